"""Regions: one method moves all particles, force steps redo a few of them among the paths of the others."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange, InputError, Particles
from .composition import leapfrog
from .interaction import Evaluation, Interaction
from .propagator import Capabilities, Change, Outcome, Propagator, Step
from .report import combine_statistics

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: (state before, state after, dt) -> (n,) bool, the particles to be redone; must not depend on their order
Selector = Callable[[Particles, Particles, float], Mask]


class Path:
    r"""Where particles are between two states: the cubic with their positions and velocities at both ends.

    X(s) = x + s^2 (3 - 2 s) (x' - x) + dt [s (1 - s)^2 v + s^2 (s - 1) v'],  s = t/dt in [0, 1]

    Its distance from the true path is at most dt^4/384 times the fourth derivative.

    Parameters
    ----------
    before, after : Particles, of the same rows
    dt : time between them

    """

    def __init__(self, before: Particles, after: Particles, dt: float) -> None:
        self._start, self._change = before.position, after.position - before.position
        self._out, self._in = dt * before.velocity, dt * after.velocity

    def position(self, share: float) -> FloatArray:
        """Return the positions (n, 3) at ``share`` of the time."""
        s = share
        turn = s * (1.0 - s) ** 2 * self._out + s**2 * (s - 1.0) * self._in
        return np.asarray(self._start + (s**2 * (3.0 - 2.0 * s) * self._change + turn))


def neighbourhood(particles: Particles, rows: Mask, radius: float) -> Mask:
    """Return the mask (n,) of particles within ``radius`` of any of those in ``rows``, images included, and of these.

    The cost grows as n log k, with k the marked particles and their images.
    """
    if not rows.any():
        return rows.copy()
    from scipy.spatial import cKDTree

    x, shifts = particles.position, np.zeros((1, 3))
    if particles.cell is not None and particles.periodic is not None and particles.periodic.any():
        lattice = particles.cell[particles.periodic]
        inverse = np.linalg.pinv(lattice)
        x = x - np.floor(x @ inverse) @ lattice
        reach = np.ceil(radius * np.linalg.norm(inverse, axis=0)).astype(int)
        shifts = np.array(list(product(*(range(-m, m + 1) for m in reach)))) @ lattice
    centres = (x[rows][None] + shifts[:, None]).reshape(-1, 3)
    distance, _ = cKDTree(centres).query(x, distance_upper_bound=float(np.nextafter(radius, np.inf)))
    return np.asarray(np.isfinite(distance) | rows)


def restore_momentum(before: Particles, after: Particles, dt: float) -> None:
    r"""Shift positions and velocities of all particles by one vector each, so that the centre of mass moves uniformly.

    v' <- v' + V - V',  x' <- x' + (X + dt V - X'),  X and V position and velocity of the centre of mass

    Parameters
    ----------
    before, after : Particles; ``after`` is changed
    dt : time between them

    """
    weight = before.mass / before.mass.sum()
    drift = weight @ before.velocity
    after.velocity += drift - weight @ after.velocity
    after.position += dt * drift - weight @ (after.position - before.position)


class Redo(Protocol):
    """A method that does a step again for some particles, while the others keep to the path between two states."""

    def redo(self, before: Particles, after: Particles, rows: Mask, dt: float) -> Step:
        """Overwrite positions and velocities of ``rows`` in ``after``; a failed step changes nothing."""
        ...


class ForceSteps:
    r"""Velocity Verlet for the particles of a region; the others keep to the cubic path that another method gave them.

    v <- v + dt/2 a(x),  x <- x + dt v,  v <- v + dt/2 a(x),  a at the instantaneous positions of the others

    The others do not feel what the region does differently: they keep an error of the order F' d dt^2/(2 m), with d the
    correction of the region's atoms and F' the stiffness between both. The region must therefore be wider than what is
    to be repaired. The error of the path itself enters the forces at the region's border (``Path``).

    Parameters
    ----------
    interaction : accelerations that depend on positions alone
    step : longest time step; a step of dt is cut into equal parts
    buffer : length; the interaction sees the region and all within this distance of it at the start (exact when it
        reaches no further, and nobody crosses in one step); None: it sees all particles
    momentum : "restored": the centre of mass moves uniformly (``restore_momentum``), for interactions that conserve
        momentum; "free": for external fields
    exchange : Exchange, the interaction's; on several ranks all particles are redone together

    Raises
    ------
    InputError : a step or buffer that is not positive, an interaction that depends on velocities, another ``momentum``

    """

    def __init__(
        self,
        interaction: Interaction,
        step: float,
        *,
        buffer: float | None = None,
        momentum: Literal["restored", "free"] = "restored",
        exchange: Exchange = SERIAL,
    ) -> None:
        if not (step > 0.0 and math.isfinite(step)):
            raise InputError(f"the step of the force steps is {step:g}; expected a positive time")
        if buffer is not None and not buffer > 0.0:
            raise InputError(f"the buffer is {buffer:g}; expected a positive length, or None for all particles")
        if momentum not in ("restored", "free"):
            raise InputError(f"momentum is {momentum!r}; expected 'restored' or 'free'")
        leapfrog(interaction)  # refuses what depends on velocities
        self.interaction, self.step, self.buffer, self.momentum = interaction, float(step), buffer, momentum
        self.exchange = exchange

    def redo(self, before: Particles, after: Particles, rows: Mask, dt: float) -> Step:
        """Overwrite positions and velocities of ``rows`` in ``after``; with all rows it is plain velocity Verlet."""
        seen = np.ones(before.n, bool) if self.buffer is None else neighbourhood(before, rows, self.buffer)
        state, led = before.select(seen), ~rows[seen]
        path = Path(state.select(led), after.select(seen & ~rows), dt)
        method = leapfrog(_Held(self.interaction, led), exchange=self.exchange)
        carry, count, statistics = method.start(state), self.steps(dt), {"force_steps": 0.0, "evaluations": 0.0}
        tau = dt / count
        for k in range(count):
            # the drift of a led particle ends on its path; the interaction gives it no acceleration
            state.velocity[led] = (path.position((k + 1) / count) - state.position[led]) / tau
            step = method.advance(state, carry, tau)
            statistics["force_steps"] += 1.0
            statistics["evaluations"] += step.statistics["evaluations"]
            finite = np.isfinite(state.position).all(axis=1) & np.isfinite(state.velocity).all(axis=1)
            if self.exchange.reduce(int(not finite.all()), "max"):
                bad = tuple(int(i) for i in state.identity[~finite])
                return Step(elapsed=0.0, outcome=Outcome.NOT_FINITE, identities=bad, statistics=statistics)
        after.position[rows], after.velocity[rows] = state.position[~led], state.velocity[~led]
        after.time = before.time + dt
        if self.momentum == "restored" and not rows.all():
            restore_momentum(before, after, dt)
        return Step(elapsed=dt, statistics=statistics)

    def steps(self, dt: float) -> int:
        """Return how many steps a time of dt takes."""
        return max(1, math.ceil(abs(dt) / self.step * (1.0 - 1e-9)))


class _Held:
    """An interaction that leaves some particles without acceleration."""

    def __init__(self, interaction: Interaction, held: Mask) -> None:
        self.interaction, self.held = interaction, held
        self.provides, self.velocity_dependent = interaction.provides, interaction.velocity_dependent

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants."""
        self.interaction.evaluate(particles, out)
        out.acceleration[self.held] = 0.0


@dataclass(slots=True)
class RegionsCarry:
    """Memory between steps.

    Attributes
    ----------
    outer : carry of the outer propagator

    """

    outer: Any


class Regions:
    """An outer propagator for all particles, and another method for those that a selector picks after each step.

    Nothing is done in an outer step that fails. Where the selection is empty, the step is that of the outer propagator, to
    the last bit.

    Parameters
    ----------
    outer : Propagator with fixed steps
    inner : Redo, such as ``ForceSteps``
    selector : Selector

    Raises
    ------
    InputError : an outer propagator that chooses its own steps

    """

    def __init__(self, outer: Propagator, inner: Redo, selector: Selector) -> None:
        able = outer.capabilities
        if able.adaptive:
            raise InputError(f"{type(outer).__name__} chooses its own steps; regions are for fixed-step methods")
        self.outer, self.inner, self.selector = outer, inner, selector
        order = None if able.order is None else min(able.order, 2)
        self.capabilities = Capabilities(order=order, strides=able.strides, largest_group=able.largest_group)

    def start(self, particles: Particles) -> RegionsCarry:
        """Return the carry."""
        return RegionsCarry(self.outer.start(particles))

    def advance(self, particles: Particles, carry: RegionsCarry, dt: float) -> Step:
        """Do a step of the outer propagator, then redo the selected particles."""
        before, memory = particles.clone(), copy.deepcopy(carry.outer)
        step = self.outer.advance(particles, carry.outer, dt)
        self.outer.synchronise(particles, carry.outer)
        if step.outcome is not Outcome.COMPLETED or dt == 0.0:
            return step
        rows = self.selector(before, particles, dt)
        if not rows.any():
            return step
        redone = self.inner.redo(before, particles, rows, dt)
        statistics = dict(step.statistics)
        combine_statistics(statistics, {**redone.statistics, "redone": float(rows.sum())})
        if redone.outcome is not Outcome.COMPLETED:
            particles.copy_from(before)
            carry.outer = memory
            return Step(elapsed=0.0, outcome=redone.outcome, identities=redone.identities, statistics=statistics)
        return replace(step, energy=None, statistics=statistics)

    def synchronise(self, particles: Particles, carry: RegionsCarry) -> None:
        """Do nothing: every step ends synchronised."""

    def membership_changed(self, particles: Particles, carry: RegionsCarry, change: Change) -> RegionsCarry:
        """Pass the change on."""
        return RegionsCarry(self.outer.membership_changed(particles, carry.outer, change))
