"""Nose-Hoover chains around a stride: deterministic, reversible thermostats with a memory of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..integrators import Change
from ..particles import SERIAL, Exchange, InputError, Particles
from .groups import Group, Grouping, check_grouping, groups_of
from .layers import TwoHalves
from .temperature import Conserved, boltzmann, check_conserved, conserved_in
from .thermostats import check_bath

FloatArray = NDArray[np.float64]

#: Yoshida's weights of a symmetric 4th-order composition (Yoshida 1990, doi:10.1016/0375-9601(90)90092-3).
_OUTER = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
_WEIGHTS = (_OUTER, 1.0 - 2.0 * _OUTER, _OUTER)


@dataclass(slots=True)
class ChainMemory:
    """Memory between steps, one row per group.

    Attributes
    ----------
    keys : (g,) int64, names of the groups, see ``Group``
    position : (g, M), eta
    velocity : (g, M), the rate of eta

    """

    keys: NDArray[np.int64]
    position: FloatArray
    velocity: FloatArray


class NoseHoover(TwoHalves):
    r"""Chains of M thermostats, advanced by dt/2 before and after the advance.

    v' = -v p_1,  p_1' = (2K - f k T)/Q_1 - p_1 p_2,  p_j' = (Q_{j-1} p_{j-1}^2 - k T)/Q_j - p_j p_{j+1},
    eta_j' = p_j,  Q_1 = f k T tau^2,  Q_j = k T tau^2

    | symbol | variable | unit |
    |---|---|---|
    | v | ``particles.velocity``, (n, 3) overwritten, less what is conserved | length/time |
    | eta, p | ``ChainMemory.position``, ``.velocity``, (g, M) overwritten | , 1/time |
    | K, f | kinetic energy and degrees of freedom of a group | energy |
    | T, tau | ``temperature``, ``time_constant`` | K, time |

    The equations are split symmetrically (Martyna et al. 1996) with Suzuki-Yoshida weights, 4th order in dt/substeps.
    ``chain_energy`` plus the work of the thermostat stays constant up to that error. A step of -dt undoes one of dt.

    Parameters
    ----------
    temperature : K, > 0
    time_constant : > 0, in the time unit of the particles; the period of the thermostat is about 2 pi times as long
    seed : int, not used: for the same call as that of other thermostats
    groups, conserved : as of ``Bussi``
    length : M >= 1, thermostats in a chain
    substeps : >= 1
    exchange : Exchange; each rank has its own particles, sums are over all

    Raises
    ------
    InputError : temperature, time constant, length or substeps not positive, an unknown grouping

    References
    ----------
    Martyna, Klein & Tuckerman 1992, doi:10.1063/1.463940; Martyna, Tuckerman, Tobias & Klein 1996,
    doi:10.1080/00268979600100761

    """

    reversible = True

    def __init__(
        self,
        temperature: float,
        time_constant: float,
        *,
        seed: int = 0,
        groups: Grouping = "all",
        conserved: Conserved | None = None,
        length: int = 3,
        substeps: int = 1,
        exchange: Exchange = SERIAL,
    ) -> None:
        check_bath(temperature, time_constant)
        check_grouping(groups)
        check_conserved(conserved)
        if not temperature > 0.0 or length < 1 or substeps < 1:
            raise InputError(
                f"a Nose-Hoover chain got temperature {temperature:g}, length {length}, substeps {substeps}; all must be "
                "positive"
            )
        self.temperature, self.time_constant = float(temperature), float(time_constant)
        self.groups, self.conserved = groups, conserved
        self.length, self.substeps, self.exchange = length, substeps, exchange

    def start(self, particles: Particles) -> ChainMemory:
        """Return chains at rest."""
        found = self._groups(particles)
        shape = (len(found), self.length)
        return ChainMemory(np.array([g.key for g in found], dtype=np.int64), np.zeros(shape), np.zeros(shape))

    def membership_changed(self, particles: Particles, memory: ChainMemory, change: Change) -> ChainMemory:
        """Keep the chains of the groups that are still there."""
        new = self.start(particles)
        for k, key in enumerate(new.keys):
            for old in np.flatnonzero(memory.keys == key):
                new.position[k], new.velocity[k] = memory.position[old], memory.velocity[old]
        return new

    def chain_energy(self, particles: Particles, memory: ChainMemory) -> float:
        """Return the energy held by the chains: sum Q p^2/2 + f k T eta_1 + k T sum_{j>1} eta_j."""
        heat, energy = boltzmann(particles.units) * self.temperature, 0.0
        for k, group in enumerate(self._groups(particles)):
            weight = np.ones(self.length)
            weight[0] = group.degrees
            inertia = heat * self.time_constant**2 * weight
            energy += float(0.5 * inertia @ memory.velocity[k] ** 2 + heat * weight @ memory.position[k])
        return energy

    def half(self, particles: Particles, memory: ChainMemory, dt: float) -> float:
        """Do half a step; return the energy given."""
        kinetic = particles.kinetic_energy()
        heat = boltzmann(particles.units) * self.temperature
        for k, group in enumerate(self._groups(particles)):
            start = group.doubled_kinetic(particles) / (group.degrees * heat)
            factor = 1.0
            for _ in range(self.substeps):
                for weight in _WEIGHTS:
                    part = 0.5 * weight * dt / self.substeps
                    eta, p = memory.position[k], memory.velocity[k]
                    factor *= self._substep(eta, p, start * factor**2, group.degrees, part)
            group.scale(particles, factor)
        return float(self.exchange.reduce(particles.kinetic_energy() - kinetic, "sum"))

    def _groups(self, particles: Particles) -> list[Group]:
        return groups_of(particles, self.groups, conserved_in(particles, self.conserved), self.exchange)

    def _substep(self, eta: FloatArray, p: FloatArray, ratio: float, degrees: int, dt: float) -> float:
        """Advance one chain by dt; return the factor of the velocities. ``ratio`` is 2K / (f k T)."""
        rate, last = 1.0 / self.time_constant**2, len(p) - 1

        def kick(j: int, ratio: float) -> None:
            slow = math.exp(-0.25 * dt * p[j + 1]) if j < last else 1.0
            force = rate * (ratio - 1.0) if j == 0 else (degrees if j == 1 else 1.0) * p[j - 1] ** 2 - rate
            p[j] = (p[j] * slow + 0.5 * dt * force) * slow

        for j in range(last, -1, -1):
            kick(j, ratio)
        factor = math.exp(-dt * p[0])
        eta += dt * p
        for j in range(last + 1):
            kick(j, ratio * factor**2)
        return factor
