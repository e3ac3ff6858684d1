r"""Regions around black holes: a regularised chain moves what is near them, an outer method everything else.

What KETJU (Mannerkoski et al. 2023, doi:10.1093/mnras/stad2139) does in GADGET-4; what is different here: the tide of
the rest acts during the advance of the chain, and each region has a step of its own. The splitting and its error:
docs/theory/regions.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integrators import Evaluation, Event, Interaction, Outcome, Resolver, Row, Settled, Step
from ..integrators.report import combine_statistics
from ..integrators.split_regions import Moved, Region, centre_of_mass
from ..particles import KINDS, SERIAL, Exchange, InputError, Particles
from .direct import DirectGravity
from .region_owners import Gathered, key_of
from .regularised_chain import ExternalField, RegularisedChain

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Particles within so many radii may not take longer steps than the region.
AROUND = 2.0
#: Longest steps, as KETJU has them, in shares of the time to cross the radius: at three times the dispersion around, ...
CROSSING = 0.5
#: ... at the bulk speed of what is around, ...
PASSING = 0.3
#: ... and, squared, by falling with what pulls at the whole region.
FALLING = 0.01
#: At another accuracy of the outer method than this one, all three follow its root: they then converge together.
KETJU_ACCURACY = 0.025


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


def nowhere(particles: Particles) -> float:
    """Return 0: forces are not softened."""
    return 0.0


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
    interaction : of the outer method
    chain : RegularisedChain, with its options (tolerance, post-Newtonian terms, softening of stars, mergers)
    resolver : what becomes of mergers and disruptions; needed where the chain looks for them
    members : kinds that are taken in; others pass through and feel the softened forces of the outer method
    log : how often black holes are written to series/black_holes
    exchange : members come from all ranks; regions move side by side, each on one rank
    accuracy : of the steps of the outer method; the limits to those of regions go with its root
    softened_within : distance between such particles within which the outer method softens a pair with a black hole
    soften_stars : the chain softens pairs of stars by the largest length that a member carries

    Raises
    ------
    InputError : a radius that is not positive, unknown kinds, or mergers without a resolver

    """

    def __init__(
        self,
        radius: float,
        interaction: Interaction,
        chain: RegularisedChain,
        *,
        resolver: Resolver | None = None,
        members: tuple[str, ...] = ("star", "black-hole"),
        log: Log = Log(),
        exchange: Exchange = SERIAL,
        accuracy: float = KETJU_ACCURACY,
        softened_within: Callable[[Particles], float] = nowhere,
        soften_stars: bool = False,
    ) -> None:
        if not (radius > 0.0 and math.isfinite(radius)):
            raise InputError(f"radius of the regions is {radius:g}; expected a positive length")
        unknown = sorted(set(members) - set(KINDS))
        if unknown:
            raise InputError(f"members names the kind {unknown[0]!r}; known: {', '.join(KINDS)}")
        if resolver is None and (chain.merger_distance is not None or chain.collisions):
            raise InputError("the chain looks for mergers, and no resolver says what becomes of them; give one")
        self.radius, self.interaction, self.chain = float(radius), interaction, chain
        self.resolver, self.log = resolver, log
        self._among_stars = DirectGravity(exchange=exchange)
        self.exchange, self._softened_within, self.soften_stars = exchange, softened_within, soften_stars
        self.accuracy, self._kinds = accuracy, [KINDS[m] for m in members]
        chain.external = ExternalField()

    def start(self, particles: Particles) -> dict[str, FloatArray]:
        """Return the memory: micro-step, row and cost of each region's last chain, by the identity of its heaviest body.

        Raises
        ------
        InputError : post-Newtonian terms or mergers without a speed of light; spheres that do not reach to where the forces of
            the outer method are Newton's

        """
        members = particles.select(self._able(particles))
        self._refuse_softened(members)
        if self.soften_stars:
            lengths = np.zeros(1) if members.softening is None else members.softening
            self.chain.star_softening = float(self.exchange.reduce(lengths.max(initial=0.0), "max"))
        self.chain.start(particles.select(np.arange(min(2, particles.n))))
        return {}

    def _able(self, particles: Particles) -> NDArray[np.bool_]:
        return np.isin(np.zeros(particles.n) if particles.kind is None else particles.kind, self._kinds)

    def _refuse_softened(self, members: Particles) -> None:
        reach = float(self.exchange.reduce(self._softened_within(members), "max"))
        if math.isinf(reach):
            raise InputError(
                "regions need forces that are Newton's outside them, and kernel 'plummer' softens at any distance; "
                "give [gravity] kernel = 'spline', or star_star = 'softened'"
            )
        if self.radius < reach:
            raise InputError(
                f"radius of the regions is {self.radius:g}, and forces are softened within {reach:g}; give at least that"
            )

    def find(self, particles: Particles, acceleration: FloatArray, longest: FloatArray) -> list[Region]:
        """Return the regions among these particles; see ``SplitRegions.find``."""
        mine = particles.position[particles.is_kind(KINDS["black-hole"])]
        holes = np.concatenate(self.exchange.allgather(mine))
        if len(holes) == 0:
            return []
        groups = _overlapping(np.linalg.norm(holes[:, None] - holes[None], axis=-1), 2.0 * self.radius)
        able = self._able(particles)
        nearest = [np.linalg.norm(particles.position[None] - holes[g, None], axis=-1).min(axis=0) for g in groups]
        inside = [(d <= self.radius) & able for d in nearest]
        around = [(d <= AROUND * self.radius) & ~i for d, i in zip(nearest, inside, strict=True)]
        pairs = list(zip(inside, around, strict=True))
        sums = self.exchange.reduce(np.array([_sums(particles, acceleration, i, a) for i, a in pairs]), "sum")
        least = [[longest[which].min(initial=np.inf) for which in pair] for pair in pairs]
        least = self.exchange.reduce(np.array(least), "min")
        return [
            Region(np.flatnonzero(i), np.flatnonzero(a), self._longest(*rest))
            for i, a, *rest in zip(inside, around, sums, least, strict=True)
        ]

    def _longest(self, sums: FloatArray, least: FloatArray) -> float:
        """Return the longest step of a region, from what ``_sums`` gave and the steps of its members and those around."""
        (drift, pull), members, around, mean, square = (
            sums[1:7].reshape(2, 3) / sums[0],
            *sums[7:9],
            sums[9:12],
            sums[12],
        )
        limits = [math.sqrt(FALLING * self.radius / max(float(np.linalg.norm(pull)), 1e-300))]
        if around > 0.5:
            mean = mean / around
            spread = max(square / around - 2.0 * drift @ mean + drift @ drift, 1e-300)
            limits.append(CROSSING * self.radius / (3.0 * math.sqrt(spread / 3.0)))
            limits.append(PASSING * self.radius / max(float(np.linalg.norm(mean - drift)), 1e-300))
        scaled = min(limits) * math.sqrt(self.accuracy / KETJU_ACCURACY)
        return min(scaled, float(least[1]), float(least[0]) if members < 1.5 else np.inf)

    def tide(self, particles: Particles, rows: Rows) -> FloatArray:
        r"""Return K = sum_j G m_j (3 d (x) d/s^5 - 1/s^3) of the others, s^2 = d^2 + radius^2.

        The radius keeps single particles at the border, whose field is not linear, from ruling it.
        """
        others = np.ones(particles.n, bool)
        others[rows] = False
        d = particles.position[others] - centre_of_mass(particles.select(rows), self.exchange)[0]
        inverse2 = 1.0 / (np.einsum("ij,ij->i", d, d) + self.radius**2)
        weight = particles.units.gravitational_constant * particles.mass[others] * inverse2**1.5
        tide: FloatArray = 3.0 * (d.T * (weight * inverse2)) @ d - weight.sum() * np.eye(3)
        return np.asarray(self.exchange.reduce(tide, "sum"))

    def advance(
        self, members: Sequence[Particles], tides: Sequence[FloatArray], dt: float, memory: Any
    ) -> Sequence[Moved]:
        """Move the members by dt, in frames in which their centres of mass rest; see ``SplitRegions.advance``."""
        gathered = Gathered(self.exchange, members, memory)
        moved = [None if whole is None else _Advance(self, whole, tide, memory).run(dt)
                 for whole, tide in zip(gathered.wholes, tides, strict=True)]  # fmt: skip
        return gathered.returned(moved, memory)

    def taken_out(self, members: Particles, out: Evaluation) -> None:
        """Overwrite what the outer method has of the members' forces, less the difference of its star-star law to the chain's.

        This difference stays in the kicks, so that a star that comes or goes changes no star-star energy.
        """
        self.interaction.evaluate(members, out)
        which = ~members.is_kind(KINDS["black-hole"])
        stars = members.select(which)
        part = Evaluation(stars.n, out.wants)
        self.interaction.evaluate(stars, part)
        out.acceleration[which] -= part.acceleration
        out.potential_energy -= part.potential_energy
        if self.chain.star_weight > 0.0:
            stars.softening = np.full(stars.n, self.chain.star_softening)
            self._among_stars.evaluate(stars, part)
            out.acceleration[which] += part.acceleration
            out.potential_energy += part.potential_energy

    def potential_energy(self, members: Particles) -> float:
        """Return the potential energy of the members as the chain has it, on the rank that would move them."""
        (whole,) = Gathered(self.exchange, [members], {}).wholes
        return 0.0 if whole is None else self.chain.energy(whole, self.chain.start(whole)) - whole.kinetic_energy()


def _sums(
    particles: Particles, acceleration: FloatArray, inside: NDArray[np.bool_], around: NDArray[np.bool_]
) -> FloatArray:
    """Return of members: mass, momentum (3), force (3), number; of those around: number, sums of velocity (3) and its square."""
    mass, velocity = particles.mass[inside], particles.velocity[around]
    own = [mass.sum(), *(mass @ particles.velocity[inside]), *(mass @ acceleration[inside]), inside.sum()]
    return np.array([*own, around.sum(), *velocity.sum(axis=0), np.sum(velocity**2)])


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
        self.memory[self._key] = np.array([*self.carry.step, self.statistics.get("chain_evaluations", 0.0)])
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
        self._key = key_of(members)
        known = self.memory.get(self._key)
        if known is not None and not self.events:
            self.carry.step = np.array(known[:2], dtype=np.float64)

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
