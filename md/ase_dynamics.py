"""Reference dynamics with an ASE calculator, for making data: velocity Verlet, Langevin (BAOAB) and CSVR with counted noise.

ASE has these methods too; here noise is a function of seed and step, so that runs can be resumed bit for bit, conserved
momenta are not counted as degrees of freedom, and a step costs little beside the calculator.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..particles import InputError
from ..particles.noise import Purpose, normal
from .bussi import rescaling
from .model_units import BOLTZMANN, KINETIC
from .rigid import angular_momentum, mean, rotation_field
from .segment_measures import FloatArray, degrees_of_freedom


class Dynamics:
    """Positions and velocities that a calculator moves (Angstrom, fs, Angstrom/fs, amu, eV).

    Parameters
    ----------
    atoms : ase.Atoms, copied, without its constraints
    velocity : (n, 3) Angstrom/fs, copied
    calculator : ASE calculator with energy and forces
    step : fs

    Attributes
    ----------
    atoms : holds the positions, which are not wrapped
    velocity, forces : (n, 3) Angstrom/fs, eV/Angstrom
    work : eV, what the thermostats ``csvr`` and ``friction`` have put in

    Raises
    ------
    InputError : forces that are not finite

    """

    def __init__(self, atoms: Atoms, velocity: FloatArray, calculator: BaseCalculator, step: float) -> None:
        self.atoms = atoms.copy()
        self.atoms.set_constraint()
        self.atoms.calc = calculator
        self.mass = self.atoms.get_masses()
        self.velocity = np.array(velocity, dtype=float)
        self.step = step
        self.work = 0.0
        self._consistent = "free_energy" in calculator.implemented_properties
        self.evaluate()

    @property
    def open(self) -> bool:
        """Whether no direction is periodic."""
        return not self.atoms.pbc.any()

    @property
    def energy(self) -> float:
        """Potential energy in eV, the one that the forces belong to."""
        return float(self.atoms.get_potential_energy(force_consistent=self._consistent))

    @property
    def kinetic(self) -> float:
        """Kinetic energy in eV."""
        return 0.5 * KINETIC * float(np.einsum("i,ij,ij->", self.mass, self.velocity, self.velocity))

    def kick(self, span: float) -> None:
        """Change the velocities as the forces do in ``span`` fs."""
        self.velocity += self.forces * (span / (KINETIC * self.mass))[:, None]

    def drift(self, span: float) -> None:
        """Move with the velocities for ``span`` fs."""
        self.atoms.positions += span * self.velocity

    def evaluate(self) -> None:
        """Get the forces at the positions."""
        self.forces = self.atoms.get_forces()
        if not np.isfinite(self.forces).all():
            raise InputError(
                "the calculator gives forces that are not finite; check the structure, or take a smaller step"
            )

    def verlet(self, steps: int) -> None:
        """Advance by velocity Verlet."""
        for _ in range(steps):
            self.kick(0.5 * self.step)
            self.drift(self.step)
            self.evaluate()
            self.kick(0.5 * self.step)

    def langevin(self, steps: int, temperature: float, friction: float, seed: int, first: int) -> None:
        """Advance by Langevin dynamics, BAOAB (Leimkuhler & Matthews 2013, doi:10.1093/amrx/abs010).

        Parameters
        ----------
        temperature : K;  friction : 1/fs
        seed, first : the steps take noise number first, first + 1, ...

        """
        memory = np.exp(-friction * self.step)
        spread = np.sqrt((1.0 - memory**2) * BOLTZMANN * temperature / (KINETIC * self.mass))[:, None]
        rows = np.arange(len(self.mass))
        for k in range(first, first + steps):
            self.kick(0.5 * self.step)
            self.drift(0.5 * self.step)
            self.velocity = memory * self.velocity + spread * normal(seed, Purpose.THERMOSTAT, k, rows, 3)
            self.drift(0.5 * self.step)
            self.evaluate()
            self.kick(0.5 * self.step)

    def csvr(self, span: float, temperature: float, time_constant: float, seed: int, number: int) -> None:
        r"""Scale all velocities as the stochastic thermostat of Bussi, Donadio & Parrinello does in ``span`` fs.

        The same rescaling as that of ``bussi.Bussi``, with as many normal numbers as there are degrees of freedom; the work
        is added to ``work``. doi:10.1063/1.2408420

        Parameters
        ----------
        temperature : K;  time_constant : tau in fs
        seed, number : of the noise

        """
        n = len(self.mass)
        freedom = degrees_of_freedom(n, is_open=self.open)
        noise = normal(seed, Purpose.THERMOSTAT, number, np.arange(n), 3).ravel()[:freedom]
        kinetic = self.kinetic
        keep = float(np.exp(-span / time_constant))
        gain = 0.5 * (1.0 - keep) * BOLTZMANN * temperature / kinetic
        factor = abs(rescaling(keep, gain, float(noise[0]), float(noise[1:] @ noise[1:])))
        self.velocity *= factor
        self.work += (factor**2 - 1.0) * kinetic

    def friction(self, span: float, temperature: float, time_constant: float, seed: int, number: int) -> None:
        r"""Give all velocities the friction and noise of ``span`` fs, exactly, and take what drifts out of them.

        v_i <- c v_i + sqrt((1 - c^2) k T / m_i) xi_i,  c = exp(-span / tau);  the work is added to ``work``

        Parameters
        ----------
        temperature : K;  time_constant : tau in fs
        seed, number : of the noise

        """
        before = self.kinetic
        keep = np.exp(-span / time_constant)
        spread = np.sqrt((1.0 - keep**2) * BOLTZMANN * temperature / (KINETIC * self.mass))[:, None]
        noise = normal(seed, Purpose.THERMOSTAT, number, np.arange(len(self.mass)), 3)
        self.velocity = keep * self.velocity + spread * noise
        self.stop_drifting()
        self.work += self.kinetic - before

    def stop_drifting(self) -> None:
        """Remove the momentum and, of an open system, the angular momentum about the centre of mass."""
        self.velocity -= mean(self.mass, self.velocity)
        if self.open:
            turning = angular_momentum(self.mass, self.atoms.positions, self.velocity)
            self.velocity -= rotation_field(self.mass, self.atoms.positions, turning)
