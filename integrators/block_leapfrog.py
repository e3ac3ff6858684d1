"""Hierarchical block time steps: kick-drift-kick leapfrog in which every particle has a step of its own, a power of two.

The Hamiltonian is split, not the particle list: pairs of slow particles, and of slow with fast ones, are kicked with
the slow step; what the fast ones do among themselves is the same problem with half the step (Pelupessy, Jaenes &
Portegies Zwart 2012, doi:10.1016/j.newast.2012.05.009; GADGET-4, Springel et al. 2021, doi:10.1093/mnras/stab1855).
Only forces of a set of particles on itself are ever needed, and every kick is mutual: momentum is conserved to the
rounding of the forces. What it is not: individual steps with predicted positions (Aarseth).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange, InputError, Particles
from .interaction import Evaluation, Interaction, require
from .propagator import Capabilities, Change, Event, Outcome, Row, Step
from .report import combine_statistics
from .split_regions import NoRegions, Region, SplitRegions, centre_of_mass
from .time_steps import StepCriterion

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Sets of which more than this share is fast are moved as a whole with the shorter step: that takes fewer forces.
_FAST_SHARE = 0.5


@dataclass(slots=True)
class BlockCarry:
    """Memory between steps.

    Attributes
    ----------
    acceleration : (n, 3); tide : (n, 3, 3) or (0, 3, 3); potential_energy : float, at ``known_at``
    known_at : (n, 3), the positions for which these are known (NaN: nowhere)
    regions : what the regions remember

    """

    acceleration: FloatArray
    tide: FloatArray
    potential_energy: float
    known_at: FloatArray
    regions: Any


class BlockLeapfrog:
    r"""Leapfrog with hierarchical block time steps, and regions that move by another method among themselves.

    H = H_slow + H_slow,fast + sum_g H_g + H_fast;  one step of a set A of particles with step dt:

    v_A <- v_A + dt/2 (a_A - a_fast - a_g);  x_slow <- x_slow + dt v;  fast: twice this with dt/2;  g: their method;
    v_A <- v_A + dt/2 (a_A - a_fast - a_g)

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | a_A, a_fast, a_g | accelerations of the particles of a set by each other | (k, 3) float64 | length/time^2 |
    | dt | the step asked for, over 2^level | | time |

    The step asked for is the longest any particle takes. A set is divided anew each time it is entered, when all its
    particles are at one time: fast is what ``criterion`` gives less than dt. Second order; neither symplectic nor
    exactly reversible, because steps follow the particles.

    Parameters
    ----------
    interaction : accelerations that depend on positions alone
    criterion : StepCriterion
    regions : SplitRegions; their forces are taken out of the kicks, and their motion in between is theirs
    levels : most halvings of the step; a particle that wants less fails the step
    exchange : with it the ranks agree on how sets are divided, and tell what each particle costs

    Raises
    ------
    InputError : the interaction depends on velocities, or a number of levels out of range

    """

    capabilities = Capabilities(order=2)

    def __init__(
        self,
        interaction: Interaction,
        criterion: StepCriterion,
        *,
        regions: SplitRegions | None = None,
        levels: int = 24,
        exchange: Exchange = SERIAL,
    ) -> None:
        if interaction.velocity_dependent:
            name = type(interaction).__name__
            raise InputError(
                f"block time steps need forces that depend on positions alone; {name} depends on velocities"
            )
        if not 0 <= levels <= 40:
            raise InputError(f"levels is {levels}; expected 0 to 40")
        self.interaction, self.criterion, self.levels, self.exchange = interaction, criterion, levels, exchange
        self.regions: SplitRegions = NoRegions() if regions is None else regions

    def start(self, particles: Particles) -> BlockCarry:
        """Return the carry.

        Raises
        ------
        InputError : the criterion or the regions cannot serve these particles

        """
        wants = self.criterion.needs(particles)
        require(self.interaction, *wants)
        n = particles.n
        tide = np.zeros((n if "tide" in wants else 0, 3, 3))
        return BlockCarry(np.zeros((n, 3)), tide, 0.0, np.full((n, 3), np.nan), self.regions.start(particles))

    def advance(self, particles: Particles, carry: BlockCarry, dt: float) -> Step:
        """Do one step of size dt, the longest of the blocks; a failed step leaves the particles where it failed."""
        pull = self._known(particles, carry)
        if dt == 0.0:
            return Step(0.0, energy=self._energy(particles, pull))
        block = _Block(self, particles, carry.regions)
        nothing = _Pull(np.zeros((particles.n, 3)), np.zeros_like(pull.tide))
        end = block.move(np.arange(particles.n), 0, dt, pull, nothing)
        particles.time = block.time + dt
        if end is None:
            return Step(0.0, outcome=block.outcome, identities=block.identities, statistics=block.statistics)
        self._remember(particles, carry, end, block.gone)
        self.exchange.weigh(block.cost)
        living = particles if not block.gone.any() else particles.select(~block.gone)
        return Step(
            elapsed=dt,
            energy=self._energy(living, end),
            work=block.work,
            events=tuple(sorted(block.events, key=lambda e: e.time)),
            rows=tuple(block.rows),
            statistics=block.statistics,
        )

    def synchronise(self, particles: Particles, carry: BlockCarry) -> None:
        """Do nothing: every step ends synchronised."""

    def membership_changed(self, particles: Particles, carry: BlockCarry, change: Change) -> BlockCarry:
        """Start anew, apart from what the regions remember."""
        fresh = self.start(particles)
        fresh.regions = carry.regions
        return fresh

    # ---- forces and energy ----------------------------------------------------------------------------------

    def pull(self, particles: Particles) -> _Pull:
        """Return what these particles do to each other."""
        out = Evaluation(particles.n, ("acceleration", "potential_energy", *self.criterion.needs(particles)))
        self.interaction.evaluate(particles, out)
        tide = np.zeros((0, 3, 3)) if out.tide is None else out.tide
        return _Pull(out.acceleration, tide, out.potential_energy, 1.0 if out.work is None else out.work)

    def taken_out(self, members: Particles) -> Evaluation:
        """Return what of the members' pull on each other is left to their region: acceleration and potential energy."""
        out = Evaluation(members.n, ("acceleration", "potential_energy"))
        self.regions.taken_out(members, out)
        return out

    def _known(self, particles: Particles, carry: BlockCarry) -> _Pull:
        unknown = not np.array_equal(carry.known_at, particles.position)
        if self.exchange.reduce(int(unknown), "max"):
            self._remember(particles, carry, self.pull(particles), np.zeros(particles.n, bool))
        return _Pull(carry.acceleration, carry.tide, carry.potential_energy)

    def _remember(self, particles: Particles, carry: BlockCarry, pull: _Pull, gone: NDArray[np.bool_]) -> None:
        if gone.any():  # the run loop takes them away before the next step
            carry.known_at[...] = np.nan
            return
        carry.acceleration, carry.tide, carry.potential_energy = pull.acceleration, pull.tide, pull.potential_energy
        carry.known_at = particles.position.copy()  # after a restart on other ranks it has their number of rows

    def _energy(self, particles: Particles, pull: _Pull) -> float:
        """Return kinetic + potential energy, with the potential of regions as their own method has it."""
        total = particles.kinetic_energy() + pull.potential_energy
        for region in self.regions.find(particles, pull.acceleration, np.full(particles.n, np.inf)):
            members = particles.select(region.rows)
            total += self.regions.potential_energy(members) - self.taken_out(members).potential_energy
        everywhere: float = self.exchange.reduce(total, "sum")
        return everywhere


@dataclass(slots=True)
class _Pull:
    """What the particles of a set do to each other: acceleration (k, 3), tide (k, 3, 3) or (0, 3, 3), energy; its work (k,).

    A set has no tides where the criterion looks at none of its members', and then none of its subsets has.
    """

    acceleration: FloatArray
    tide: FloatArray
    potential_energy: float = 0.0
    work: FloatArray | float = 1.0

    def beyond(self, rows: Rows, inner: _Pull) -> _Pull:
        """Return this pull on some rows, less what those do among themselves."""
        tide = self.tide[rows] - inner.tide if len(self.tide) and len(inner.tide) else self.tide[:0]
        return _Pull(self.acceleration[rows] - inner.acceleration, tide)

    def added(self, other: _Pull) -> _Pull:
        """Return the sum of two pulls on the same rows."""
        tide = self.tide + other.tide if len(self.tide) and len(other.tide) else self.tide[:0]
        return _Pull(self.acceleration + other.acceleration, tide)


@dataclass(slots=True)
class _Block:
    """One step of the longest size: the recursion over sets, and what comes up in it.

    Attributes
    ----------
    method : the propagator; particles : all of them, changed in place; memory : of the regions
    time : float, at which the step began
    gone : (n,) bool, rows that an event took away
    cost : (n,), work of the forces on each particle; where the interaction tells none, how often they were evaluated
    events, rows, statistics, work : for the ``Step``
    taken : rows of a region as bytes -> positions of its members, and what was taken out of their kick there
    outcome, identities : of the failure, if there is one

    """

    method: BlockLeapfrog
    particles: Particles
    memory: Any
    time: float = field(init=False)
    gone: NDArray[np.bool_] = field(init=False)
    cost: FloatArray = field(init=False)
    events: list[Event] = field(default_factory=list)
    rows: list[tuple[str, Row]] = field(default_factory=list)
    work: float = 0.0
    outcome: Outcome = Outcome.COMPLETED
    identities: tuple[int, ...] = ()
    statistics: dict[str, float] = field(default_factory=dict)
    taken: dict[bytes, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.time = self.particles.time
        self.gone, self.cost = np.zeros(self.particles.n, bool), np.ones(self.particles.n)
        self._count(micro_steps=0.0, evaluations=0.0, pulls=0.0, max_level=0.0)

    def move(
        self, rows: Rows, level: int, dt: float, pull: _Pull, background: _Pull, start: float = 0.0
    ) -> _Pull | None:
        """Move a set by dt and return what its living members do to each other at the end; None after a failure.

        Parameters
        ----------
        rows : of the members, none of them gone
        pull : what they do to each other now
        background : what all others do to them, as known last
        start : time since the start of the whole step

        """
        members = self._state(rows, start)
        total = pull.added(background)
        tide = total.tide if len(total.tide) else None
        longest = self.method.criterion.longest(members, total.acceleration, tide)
        regions = self.method.regions.find(members, total.acceleration, longest)
        fast, here, share = _divide(longest, regions, abs(dt), self.method.exchange)
        if share > 0.0 and level == self.method.levels:
            self._fail(Outcome.STEP_TOO_SMALL, members.identity[fast])
            return None
        self._count(max_level=float(level))
        if share > _FAST_SHARE:
            return self._halves(rows, level, dt, pull, background, start)
        return self._kick_drift_kick(rows, fast if share > 0.0 else None, here, level, dt, pull, background, start)

    def _halves(self, rows: Rows, level: int, dt: float, pull: _Pull, background: _Pull, start: float) -> _Pull | None:
        end = self.move(rows, level + 1, 0.5 * dt, pull, background, start)
        if end is None:
            return None
        background = _of(background, ~self.gone[rows])
        return self.move(self._living(rows), level + 1, 0.5 * dt, end, background, start + 0.5 * dt)

    def _kick_drift_kick(
        self, rows: Rows, fast: NDArray[np.bool_] | None, here: list[Region], level: int, dt: float, pull: _Pull,
        background: _Pull, start: float,
    ) -> _Pull | None:  # fmt: skip
        particles, slow = self.particles, np.ones(len(rows), bool) if fast is None else ~fast
        quick = np.flatnonzero(~slow)
        inner = _of(pull, quick) if fast is None else self._pull(rows[quick], start)
        members = self._state(rows, start)
        inside = [(rows[region.rows], self.method.regions.tide(members, region.rows)) for region in here]
        for region in here:
            slow[region.rows] = False
        kick = self._outer(rows, pull, rows[quick], inner, inside, start)
        particles.velocity[rows] += 0.5 * dt * kick
        particles.position[rows[slow]] += dt * particles.velocity[rows[slow]]
        if here and not self._move_regions(inside, dt, start):
            return None
        if fast is not None:
            beyond = _of(background, quick).added(pull.beyond(quick, inner))
            end = self._halves(rows[quick], level, dt, inner, beyond, start)
            if end is None:
                return None
            inner = end
        living = self._living(rows)
        after = self._pull(living, start + dt)
        inside = [(self._living(which), tide) for which, tide in inside]
        kick = self._outer(living, after, self._living(rows[quick]), inner, inside, start + dt)
        particles.velocity[living] += 0.5 * dt * kick
        self._count(micro_steps=float(slow.sum()))
        return after

    def _outer(
        self, rows: Rows, pull: _Pull, quick: Rows, inner: _Pull, inside: list[tuple[Rows, FloatArray]], start: float
    ) -> FloatArray:
        """Return what is left of a pull (k, 3) without what fast particles and regions do among themselves."""
        kick = pull.acceleration.copy()
        kick[np.searchsorted(rows, quick)] -= inner.acceleration
        for which, tide in inside:
            members = self._state(which, start)
            centred = members.position - centre_of_mass(members, self.method.exchange)[0]
            kick[np.searchsorted(rows, which)] -= self._taken_out(which, members) + centred @ tide
        return kick

    def _taken_out(self, which: Rows, members: Particles) -> FloatArray:
        """Return what is taken out of the kick of a region's members, (k, 3): the sum that closes a step opens the next."""
        known = self.taken.get(which.tobytes())
        unknown = known is None or not np.array_equal(known[0], members.position)
        if self.method.exchange.reduce(int(unknown), "max") or known is None:
            known = members.position.copy(), self.method.taken_out(members).acceleration
            self.taken[which.tobytes()] = known
        return known[1]

    def _living(self, rows: Rows) -> Rows:
        return rows[~self.gone[rows]]

    def _move_regions(self, inside: list[tuple[Rows, FloatArray]], dt: float, start: float) -> bool:
        members = [self._state(which, start) for which, _ in inside]
        moved = self.method.regions.advance(members, [tide for _, tide in inside], dt, self.memory)
        for (which, _), result in zip(inside, moved, strict=True):
            step = result.step
            combine_statistics(self.statistics, step.statistics)
            if step.outcome is not Outcome.COMPLETED:
                self._fail(step.outcome, np.array(step.identities, dtype=np.int64))
                return False
            stay = np.isin(self.particles.identity[which], result.particles.identity)
            self.gone[which[~stay]] = True
            self.particles.assign(which[stay], result.particles)
            self.work += step.work
            self.events += step.events
            self.rows += step.rows
        return True

    def _pull(self, rows: Rows, start: float) -> _Pull:
        self._count(evaluations=1.0, pulls=float(len(rows)))
        pull = self.method.pull(self._state(rows, start))
        self.cost[rows] += pull.work
        return pull

    def _state(self, rows: Rows, start: float) -> Particles:
        state = self.particles if len(rows) == self.particles.n else self.particles.select(rows)
        state.time = self.time + start
        return state

    def _fail(self, outcome: Outcome, identities: NDArray[np.int64]) -> None:
        named = np.unique(np.concatenate(self.method.exchange.allgather(identities[:8])))
        self.outcome, self.identities = outcome, tuple(int(i) for i in named[:8])

    def _count(self, **new: float) -> None:
        combine_statistics(self.statistics, new)


def _divide(
    longest: FloatArray, regions: list[Region], dt: float, exchange: Exchange
) -> tuple[NDArray[np.bool_], list[Region], float]:
    """Return which rows need a shorter step than dt, the regions that move with dt, and the share of such rows of all ranks."""
    fast = longest < dt
    for region in regions:
        fast[region.rows] = False
    short = np.array([region.longest < dt for region in regions], dtype=np.int64)
    while True:  # members near a faster region take their own region along
        for region in np.array(regions, dtype=object)[short > 0]:
            fast[region.rows] = fast[region.around] = True
        touched = np.array([fast[region.rows].any() for region in regions], dtype=np.int64)
        more = exchange.reduce(np.maximum(touched, short), "max") if regions else short
        if (more == short).all():
            break
        short = more
    here = [region for region, is_short in zip(regions, short, strict=True) if not is_short]
    number, total = exchange.reduce(np.array([fast.sum(), len(fast)]), "sum")
    return fast, here, number / max(total, 1)


def _of(pull: _Pull, which: NDArray) -> _Pull:
    return _Pull(pull.acceleration[which], pull.tide[which] if len(pull.tide) else pull.tide)
