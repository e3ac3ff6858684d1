r"""Regions around black holes: a regularised chain moves what is near them, an outer method everything else.

What KETJU (Mannerkoski et al. 2023, doi:10.1093/mnras/stad2139) does in GADGET-4; what is different here: the tide of
the rest acts during the advance of the chain, and each region has a step of its own. The splitting and its error:
docs/theory/regions.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integrators import Event, Outcome, Resolver, Row, Settled, Step
from ..integrators.report import combine_statistics
from ..integrators.split_regions import Moved, Region
from ..particles import KINDS, InputError, Particles
from .regularised_chain import ExternalField, RegularisedChain

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Softening lengths that a region must reach: there the splines of GADGET end, and forces are Newton's.
SOFTENINGS = 2.8
#: Particles within so many radii may not take longer steps than the region.
AROUND = 2.0
#: Longest step, as KETJU has them: share of the time to cross the radius at three times the dispersion of speeds, ...
CROSSING = 0.5
#: ... and with the bulk speed of what is around.
PASSING = 0.3


@dataclass(frozen=True, slots=True)
class Log:
    """Rows of series/black_holes.

    Attributes
    ----------
    every : float, time between rows; 0: one after each step of a region

    """

    every: float = 0.0

    def next_time(self, time: float, end: float) -> float:
        """Return the next time to write a row at: a multiple of ``every``, or the end where that comes first."""
        if self.every == 0.0:
            return end
        ahead = 1.0 if end > time else -1.0
        count = math.floor(ahead * time / self.every * (1.0 + 1e-15)) + 1.0
        due = ahead * count * self.every
        return min(due, end, key=lambda t: ahead * t)


class BlackHoleRegions:
    r"""Spheres around black holes, moved by a regularised chain; spheres that overlap are one region.

    x_i'' = sum_j F_ij (Newton, post-Newtonian, spins) + K (x_i - X),  X the centre of mass, which moves uniformly

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x_i | ``particles.position`` of the members | (k, 3) float64, overwritten | length |
    | K | ``tide`` of all others | (3, 3) float64 | 1/time^2 |

    Parameters
    ----------
    radius : of the spheres, in the unit of length of the particles
    chain : RegularisedChain, with its options (tolerance, post-Newtonian terms, softening of stars, mergers)
    resolver : what becomes of mergers and disruptions; needed where the chain looks for them
    members : kinds that are taken in; others pass through and feel the softened forces of the outer method
    log : how often black holes are written to series/black_holes

    Raises
    ------
    InputError : a radius that is not positive, unknown kinds, or mergers without a resolver

    """

    def __init__(
        self,
        radius: float,
        chain: RegularisedChain,
        *,
        resolver: Resolver | None = None,
        members: tuple[str, ...] = ("star", "black-hole"),
        log: Log = Log(),
    ) -> None:
        if not (radius > 0.0 and math.isfinite(radius)):
            raise InputError(f"radius of the regions is {radius:g}; expected a positive length")
        unknown = sorted(set(members) - set(KINDS))
        if unknown:
            raise InputError(f"members names the kind {unknown[0]!r}; known: {', '.join(KINDS)}")
        if resolver is None and (chain.merger_distance is not None or chain.collisions):
            raise InputError("the chain looks for mergers, and no resolver says what becomes of them; give one")
        self.radius, self.chain, self.resolver, self.log = float(radius), chain, resolver, log
        self._kinds = [KINDS[m] for m in members]
        chain.external = ExternalField()

    def start(self, particles: Particles) -> dict[str, FloatArray]:
        """Return the memory: the last micro-step of each region's chain, by the identity of its heaviest black hole.

        Raises
        ------
        InputError : post-Newtonian terms or mergers without a speed of light

        """
        self.chain.start(particles.select(np.arange(min(2, particles.n))))
        return {}

    def find(self, particles: Particles, acceleration: FloatArray, longest: FloatArray, memory: Any) -> list[Region]:
        """Return the regions among these particles; see ``SplitRegions.find``."""
        holes = np.flatnonzero(particles.is_kind(KINDS["black-hole"]))
        if len(holes) == 0:
            return []
        able = np.isin(0 if particles.kind is None else particles.kind, self._kinds)
        separation = np.array([np.linalg.norm(particles.position - particles.position[h], axis=1) for h in holes])
        return [
            self._region(particles, separation[group], able, acceleration, longest)
            for group in _overlapping(separation[:, holes], 2.0 * self.radius)
        ]

    def _region(
        self, particles: Particles, separation: FloatArray, able: NDArray[np.bool_], acceleration: FloatArray,
        longest: FloatArray,
    ) -> Region:  # fmt: skip
        nearest = separation.min(axis=0)
        inside = (nearest <= self.radius) & able
        around = (nearest <= AROUND * self.radius) & ~inside
        near = np.flatnonzero(inside | around)
        mass = particles.mass[inside]
        drift = mass @ particles.velocity[inside] / mass.sum()
        relative = particles.velocity[near] - drift
        limits = [np.inf, *longest[around]]
        if len(near) > 1:
            limits += [
                CROSSING * self.radius / (3.0 * float(np.sqrt(np.mean(np.sum(relative**2, axis=1)) / 3.0))),
                PASSING * self.radius / max(float(np.linalg.norm(relative.mean(axis=0))), 1e-300),
            ]
        if inside.sum() == 1:
            limits += [*longest[inside]]
        return Region(np.flatnonzero(inside), np.flatnonzero(around), float(min(limits)))

    def tide(self, particles: Particles, rows: Rows) -> FloatArray:
        r"""Return K = sum_j G m_j (3 d (x) d/s^5 - 1/s^3) of the others, s^2 = d^2 + radius^2.

        The radius keeps single particles at the border, whose field is not linear, from ruling it.
        """
        if len(rows) < 2:
            return np.zeros((3, 3))
        others = np.ones(particles.n, bool)
        others[rows] = False
        centre = particles.mass[rows] @ particles.position[rows] / particles.mass[rows].sum()
        d = particles.position[others] - centre
        inverse2 = 1.0 / (np.einsum("ij,ij->i", d, d) + self.radius**2)
        weight = particles.units.gravitational_constant * particles.mass[others] * inverse2**1.5
        tide: FloatArray = 3.0 * (d.T * (weight * inverse2)) @ d - weight.sum() * np.eye(3)
        return tide

    def advance(self, members: Particles, tide: FloatArray, dt: float, memory: Any) -> Moved:
        """Move the members by dt, in the frame in which their centre of mass rests; see ``SplitRegions.advance``."""
        return _Advance(self, members, tide, memory).run(dt)

    def potential_energy(self, members: Particles) -> float:
        """Return the potential energy of the members as the chain has it."""
        return self.chain.energy(members, self.chain.start(members)) - members.kinetic_energy()


class _Advance:
    """One advance of one region, mergers included."""

    def __init__(self, regions: BlackHoleRegions, members: Particles, tide: FloatArray, memory: Any) -> None:
        self.regions, self.chain, self.memory = regions, regions.chain, memory
        self.members, self.start = members, members.time
        self._tide, self.chain.external = tide, ExternalField(tide=tide)
        self.events: list[Event] = []
        self.rows: list[tuple[str, Row]] = []
        self.work, self.statistics = 0.0, {"regions": 1.0, "max_members": float(members.n)}
        self._key = ""
        self._rest()

    def run(self, dt: float) -> Moved:
        """Move the members by dt."""
        end = self.start + dt
        while self.members.time != end:
            target = self.regions.log.next_time(self.members.time, end)
            step = self._advance(target - self.members.time)
            if step.outcome.failed:
                return Moved(self.members, replace(step, elapsed=0.0, statistics=self.statistics))
            if step.outcome is Outcome.COMPLETED:
                self.members.time = target
                self._log()
            if step.outcome is Outcome.EVENT:
                self._resolve(step.events[0])
        self._back()
        self.memory[self._key] = self.carry.step.copy()
        return Moved(
            self.members,
            Step(dt, work=self.work, events=tuple(self.events), rows=tuple(self.rows), statistics=self.statistics),
        )

    def _advance(self, dt: float) -> Step:
        before = self._tidal_energy()
        step = self.chain.advance(self.members, self.carry, dt)
        self.work += step.work + self._tidal_energy() - before  # the tide only moves energy between members and others
        combine_statistics(self.statistics, {f"{_prefix(k)}{k}": v for k, v in step.statistics.items()})
        return step

    def _tidal_energy(self) -> float:
        x = self.members.position
        return -0.5 * float(np.einsum("i,ij,jk,ik->", self.members.mass, x, self._tide, x))

    def _rest(self) -> None:
        """Go into the frame in which the centre of mass rests at the origin, and start the chain there."""
        members = self.members
        self.centre, self.drift = members.centre_of_mass()
        self.since = members.time
        members.position -= self.centre
        members.velocity -= self.drift
        self.carry = self.chain.start(members)
        self._key = str(int(members.identity[np.argmax(members.mass)]))
        known = self.memory.get(self._key)
        if known is not None and not self.events:
            self.carry.step = np.array(known, dtype=np.float64)

    def _back(self) -> None:
        self.members.position += self.centre + (self.members.time - self.since) * self.drift
        self.members.velocity += self.drift

    def _resolve(self, event: Event) -> None:
        assert self.regions.resolver is not None, "the chain found an event that nobody asked it to look for"
        self._back()
        before = self.members
        resolution = self.regions.resolver.resolve(before, event)
        assert resolution.particles is not None, "an event of the chain changes its members"
        resolution.particles.time = before.time
        gone = tuple(int(i) for i in np.setdiff1d(before.identity, resolution.particles.identity))
        self.events.append(replace(event, data=dict(resolution.row), settled=Settled(gone, resolution.stop)))
        self.members = resolution.particles
        self._rest()

    def _log(self) -> None:
        holes = np.flatnonzero(self.members.is_kind(KINDS["black-hole"]))
        light = self.members.units.speed_of_light
        position = self.members.position + self.centre + (self.members.time - self.since) * self.drift
        velocity = self.members.velocity + self.drift
        for i in holes:
            row: Row = {"time": self.members.time, "identity": int(self.members.identity[i])}
            row |= {"mass": float(self.members.mass[i]), "members": int(self.members.n)}
            row |= {f"position_{k}": float(position[i, d]) for d, k in enumerate("xyz")}
            row |= {f"velocity_{k}": float(velocity[i, d]) for d, k in enumerate("xyz")}
            if self.members.spin is not None and light is not None:
                row |= {f"spin_{k}": float(self.members.spin[i, d]) for d, k in enumerate("xyz")}
            self.rows.append(("series/black_holes", row))


def _prefix(name: str) -> str:
    return "" if name[:4] in ("max_", "min_") else "chain_"


def _overlapping(distance: FloatArray, reach: float) -> list[Rows]:
    """Return the groups of rows that are joined by distances, (k, k), of at most ``reach``."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(distance <= reach, directed=False)
    return [np.flatnonzero(label == c) for c in range(count)]
