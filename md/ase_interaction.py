"""Any ASE calculator as an interaction: its forces move particles under any integrator of Askel."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..integrators import Evaluation, require
from ..particles import UNIT_SYSTEMS, InputError, Particles


class AseInteraction:
    r"""The forces of an ASE calculator.

    a_i = F_i / m_i,  virial = -V stress

    | symbol | variable | shape | unit (ASE's) |
    |---|---|---|---|
    | x, m | ``particles.position``, ``particles.mass`` | (n, 3), (n,) float64 | Angstrom, amu |
    | a | ``out.acceleration`` | (n, 3) float64, overwritten | eV/(Angstrom amu) |
    | E | ``out.potential_energy`` | float, overwritten | eV |
    | virial | ``out.virial`` | (3, 3) float64, overwritten | eV |

    The energy is the one that belongs to the forces ("free_energy") where the calculator tells them apart.

    Parameters
    ----------
    calculator : ASE calculator with energy and forces; the virial is provided when it has "stress"
    atoms_template : ase.Atoms that say what particles do not: chemical species where ``particles.species`` is absent,
        cell and periodicity where ``particles.cell`` is absent, magnetic moments and the like. Row i is particle i. It is
        copied; its constraints are left out.

    Raises
    ------
    InputError : a calculator without energy and forces; in use: particles that are not in ASE units, or not as many as in
        the template when they have no species

    """

    velocity_dependent = False

    def __init__(self, calculator: BaseCalculator, atoms_template: Atoms) -> None:
        able = set(calculator.implemented_properties)
        missing = sorted({"energy", "forces"} - able)
        if missing:
            raise InputError(
                f"{type(calculator).__name__} gives no {missing[0]}; an interaction needs energy and forces"
            )
        self.provides = frozenset({"acceleration", "potential_energy"} | ({"virial"} if "stress" in able else set()))
        self._consistent = "free_energy" in able
        self._atoms = atoms_template.copy()
        self._atoms.set_constraint()
        self._atoms.calc = calculator

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants."""
        require(self, *out.wants)
        if particles.units != UNIT_SYSTEMS["ase"]:
            raise InputError(
                f"an ASE calculator needs particles in 'ase' units, not {particles.units.name!r}; convert them with "
                "particles.in_units(UNIT_SYSTEMS['ase'])"
            )
        if particles.n == 0:
            out.acceleration[...], out.potential_energy = 0.0, 0.0
            if out.virial is not None:
                out.virial[...] = 0.0
            return
        atoms = self._update(particles)
        out.acceleration[...] = atoms.get_forces() / particles.mass[:, None]
        out.potential_energy = float(atoms.get_potential_energy(force_consistent=self._consistent))
        if out.virial is not None:
            out.virial[...] = -atoms.get_volume() * atoms.get_stress(voigt=False)

    def _update(self, particles: Particles) -> Atoms:
        if particles.n != len(self._atoms):
            self._resize(particles)
        atoms = self._atoms
        if particles.species is not None:
            atoms.numbers[...] = particles.species
        if particles.cell is not None:
            atoms.set_cell(particles.cell)
        if particles.periodic is not None:
            atoms.set_pbc(particles.periodic)
        atoms.set_masses(particles.mass)
        atoms.set_positions(particles.position)
        return atoms

    def _resize(self, particles: Particles) -> None:
        """Replace the template by one of another size: only what the particles and the cell say is known then."""
        if particles.species is None:
            raise InputError(
                f"{particles.n} particles without species meet a template of {len(self._atoms)} atoms; give them species"
            )
        old = self._atoms
        self._atoms = Atoms(np.array(particles.species), particles.position, cell=old.cell, pbc=old.pbc)
        self._atoms.calc = old.calc
