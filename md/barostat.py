"""Stochastic cell rescaling around a stride: constant pressure by a first-order, stochastic barostat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..integrators import Change, Evaluation, Interaction, Outcome, Propagator, Step, require
from ..particles import SERIAL, Exchange, InputError, Particles
from ..particles.noise import Purpose, normal
from .groups import group_key
from .layers import Layered, with_work
from .rigid import FloatArray, mean
from .temperature import Conserved, boltzmann, check_conserved
from .thermostats import check_bath


@dataclass(slots=True)
class CellMemory:
    """Memory between steps.

    Attributes
    ----------
    steps : int, steps done
    elapsed : float, time since the cell was rescaled last

    """

    steps: int
    elapsed: float


@dataclass(frozen=True, slots=True)
class _Moment:
    """All that the change of the cell depends on: the pressure along each axis, and the constants of the barostat."""

    pressure: FloatArray  # (3,) P_x, P_y, P_z inside
    target: float
    heat: float  # k T
    volume: float
    rate: float  # beta_T / tau_p
    dt: float
    noise: FloatArray  # (3,) normal numbers


def _isotropic(m: _Moment) -> FloatArray:
    """Return equal logarithms of stretch: Euler-Maruyama in lambda = sqrt(V), where the noise does not depend on V."""
    root = math.sqrt(m.volume)
    drift = 0.5 * m.rate * root * (m.pressure.mean() - m.target + 0.5 * m.heat / m.volume)
    new = root + drift * m.dt + math.sqrt(0.5 * m.heat * m.rate * m.dt) * m.noise[0]
    return np.full(3, 2.0 / 3.0 * math.log(new / root)) if new > 0.0 else np.full(3, np.nan)


def _axes(m: _Moment) -> FloatArray:
    """Return the logarithm of stretch along x, y and z, each with a third of the volume's noise."""
    spread = math.sqrt(2.0 * m.heat * m.rate * m.dt / (3.0 * m.volume))
    return np.asarray(m.rate / 3.0 * (m.pressure - m.target) * m.dt + spread * m.noise)


#: coupling -> the stretch (3,) it proposes
_COUPLINGS: dict[str, Callable[[_Moment], FloatArray]] = {"isotropic": _isotropic, "axes": _axes}


class CellRescaling:
    r"""The layer of ``Barostatted``: after a step, the cell is stretched, positions with it, velocities against it.

    d lambda = (beta lambda / 2 tau) (P - P_0 + k T / 2V) dt + sqrt(k T beta / 2 tau) dW,  lambda = sqrt(V)   ("isotropic")

    d eps_a = (beta / 3 tau) (P_a - P_0) dt + sqrt(2 k T beta / (3 V tau)) dW_a,  a = x, y, z                ("axes")

    P_a V = sum m w_a^2 + virial_aa + k T,  x_a <- e^{eps_a} x_a,  w_a <- e^{-eps_a} w_a

    | symbol | variable | unit |
    |---|---|---|
    | P_0, T | ``pressure``, ``temperature`` | energy/length^3, K |
    | beta | ``compressibility``, an estimate: it sets the speed alone, as beta/tau | length^3/energy |
    | tau | ``time_constant`` | time |
    | w | velocities less that of the centre of mass, (n, 3) overwritten | length/time |
    | V, x | volume, positions (n, 3); ``particles.cell`` (3, 3) and positions are overwritten | |

    The term k T in P_a V is the pressure of the centre of mass, whose momentum is kept at rest; with
    ``conserved="nothing"`` it is in the velocities and left out. Samples constant pressure up to an error of first order in
    dt/tau. One evaluation of virial and energy and one of the energy every ``every`` steps; ``Step.work`` holds the energy
    that the barostat gave. A cell that would collapse is the outcome NOT_CONVERGED.

    Parameters
    ----------
    interaction : gives potential_energy and virial
    pressure : in energy/length^3 of the particles (eV/Angstrom^3: 1 bar is 6.24e-7, 1 GPa is 6.24e-3)
    temperature : K, that of the thermostat
    time_constant : tau
    compressibility : beta, > 0 (water: 4.6e-5/bar, 73 Angstrom^3/eV; quartz: 2.7e-6/bar)
    coupling : "isotropic", or "axes": each Cartesian axis on its own (the stretch mixes no axes, angles of slanted cells
        change)
    every : steps from one rescaling to the next
    seed : int
    conserved : "momentum" or "nothing"
    exchange : Exchange, the interaction's; each rank has its own particles, sums are over all

    Raises
    ------
    InputError : constants that are not positive, an unknown coupling, an interaction without virial; in ``start``: a
        system that is not periodic in all directions

    References
    ----------
    Bernetti & Bussi 2020, doi:10.1063/5.0020514; anisotropic: Del Tatto, Raiteri, Bernetti & Bussi 2022,
    doi:10.3390/app12031139

    """

    reversible = False
    changes_cell = True

    def __init__(
        self,
        interaction: Interaction,
        pressure: float,
        temperature: float,
        time_constant: float,
        *,
        compressibility: float,
        coupling: str = "isotropic",
        every: int = 1,
        seed: int = 0,
        conserved: Conserved = "momentum",
        exchange: Exchange = SERIAL,
    ) -> None:
        require(interaction, "potential_energy", "virial")
        check_bath(temperature, time_constant)
        check_conserved(conserved)
        if coupling not in _COUPLINGS:
            raise InputError(f"coupling is {coupling!r}; expected one of {', '.join(map(repr, _COUPLINGS))}")
        if not (compressibility > 0.0 and math.isfinite(pressure) and every >= 1):
            raise InputError(
                f"a barostat got pressure {pressure:g}, compressibility {compressibility:g}, every {every}; the last two "
                "must be positive"
            )
        self.interaction, self.pressure, self.temperature = interaction, float(pressure), float(temperature)
        self.time_constant, self.compressibility = float(time_constant), float(compressibility)
        self.every, self.seed, self.conserved, self.coupling = every, seed, conserved, coupling
        self.exchange = exchange
        self._stretch = _COUPLINGS[coupling]

    def start(self, particles: Particles) -> CellMemory:
        """Check the cell and return the memory."""
        periodic = particles.periodic is not None and particles.periodic.all()
        if particles.cell is None or not periodic or abs(np.linalg.det(particles.cell)) == 0.0:
            raise InputError("a barostat needs a cell that repeats in all three directions; set cell and periodicity")
        return CellMemory(0, 0.0)

    def before(self, particles: Particles, memory: CellMemory, dt: float) -> float:
        """Do nothing."""
        return 0.0

    def after(self, particles: Particles, memory: CellMemory, dt: float, step: Step) -> Step:
        """Rescale the cell, every so many steps."""
        if step.outcome.failed:
            return step
        memory.steps += 1
        memory.elapsed += abs(step.elapsed)
        if memory.steps % self.every:
            return step
        out = Evaluation(particles.n, ("potential_energy", "virial"))
        self.interaction.evaluate(particles, out)
        assert out.virial is not None and particles.cell is not None, "asked for, and checked in start"
        key = group_key(particles.identity, self.exchange)
        noise = normal(self.seed, Purpose.BAROSTAT, memory.steps, [key], 3)[0]
        stretch = self._stretch(self._moment(particles, out.virial, memory.elapsed, noise))
        memory.elapsed = 0.0
        if not (np.abs(stretch) < 0.5).all():
            return Step(step.elapsed, Outcome.NOT_CONVERGED, work=step.work, statistics=step.statistics)
        before = particles.kinetic_energy() + float(out.potential_energy)
        self._apply(particles, stretch)
        self.interaction.evaluate(particles, out)
        given = particles.kinetic_energy() + float(out.potential_energy) - before
        return with_work(step, float(self.exchange.reduce(given, "sum")))

    def membership_changed(self, particles: Particles, memory: CellMemory, change: Change) -> CellMemory:
        """Keep the memory."""
        return memory

    def _moment(self, particles: Particles, virial: FloatArray, dt: float, noise: FloatArray) -> _Moment:
        assert particles.cell is not None, "checked in start"
        volume = abs(float(np.linalg.det(particles.cell)))
        heat = boltzmann(particles.units) * self.temperature
        free = self.conserved == "nothing"
        w = particles.velocity - (0.0 if free else mean(particles.mass, particles.velocity, self.exchange))
        own = particles.mass @ w**2 + np.diagonal(virial)
        inside = self.exchange.reduce(own, "sum") + (0.0 if free else heat)
        rate = self.compressibility / self.time_constant
        return _Moment(inside / volume, self.pressure, heat, volume, rate, dt, noise)

    def _apply(self, particles: Particles, stretch: FloatArray) -> None:
        assert particles.cell is not None, "checked in start"
        free = self.conserved == "nothing"
        drift = np.zeros(3) if free else mean(particles.mass, particles.velocity, self.exchange)
        particles.position *= np.exp(stretch)
        particles.cell *= np.exp(stretch)
        particles.velocity += np.expm1(-stretch) * (particles.velocity - drift)


class Barostatted(Layered):
    """A propagator at constant pressure, its cell rescaled after each step: ``CellRescaling``.

    It belongs around a thermostatted propagator; the virial costs a force evaluation, which a learned stride does not have
    by itself: ``every`` spaces them out.

    Parameters
    ----------
    inner : Propagator, with fixed steps
    barostat : CellRescaling

    """

    def __init__(self, inner: Propagator, barostat: CellRescaling) -> None:
        super().__init__(inner, barostat)
        self.barostat = barostat
