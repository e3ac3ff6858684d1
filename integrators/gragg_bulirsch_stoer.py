"""Gragg-Bulirsch-Stoer: extrapolated substeps with adaptive order and step, over any interaction.

Not the regularised chain of ``askel.nbody``, which extrapolates in transformed time and coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles
from .compensated import add_compensated
from .extrapolation import (
    Verdict,
    attempt,
    check_sequence,
    even_sequence,
    first_target,
    plan_after,
    vector_error,
    work_of_rows,
)
from .interaction import Evaluation, Interaction
from .micro_steps import first_step, repeat
from .propagator import Capabilities, Change, Outcome, Step

FloatArray = NDArray[np.float64]

#: no particle's error is held to less than this fraction of the tolerance of the fastest or farthest one, so that a
#: body at rest in the centre does not ask for the impossible
_SCALE_FLOOR = 1e-3


@dataclass(slots=True)
class ExtrapolationCarry:
    """Memory between steps.

    Attributes
    ----------
    dt : float, size of the next micro-step, with no regard to landing (0: choose one)
    target : int, row of the table in which it should converge
    position_error, velocity_error : (n, 3), what rounding took from positions and velocities

    """

    dt: float
    target: int
    position_error: FloatArray
    velocity_error: FloatArray


class GraggBulirschStoer:
    r"""Results with n = 2, 4, 6, ... substeps, extrapolated to infinitely many.

    Forces of positions alone: kick-drift-kick leapfrog. Forces of velocities too: Gragg's modified midpoint rule,
    z_1 = y_0 + h f(y_0), z_{m+1} = z_{m-1} + 2 h f(z_m), y = (x, v), f = (v, a).

    A step is accepted when max_i |dx_i|/s_i and max_i |dv_i|/u_i are below the tolerance, with
    s_i = |x_i| + |dt v_i| and u_i = |v_i| + |dt a_i| relative to the centre of mass.

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | a | ``Evaluation.acceleration`` | (n, 3) float64 | length/time^2 |

    Parameters
    ----------
    interaction : Interaction
    tolerance : float in [1e-16, 1), relative error of one step
    sequence : substep counts, even and growing; as many rows as numbers
    micro_steps : int, most micro-steps in one ``advance`` (``Outcome.PARTIAL`` beyond)

    Raises
    ------
    InputError : tolerance, sequence or micro_steps out of range

    References
    ----------
    see ``askel.integrators.extrapolation``

    """

    def __init__(
        self,
        interaction: Interaction,
        *,
        tolerance: float = 1e-12,
        sequence: Sequence[int] = even_sequence(10),
        micro_steps: int = 500,
    ) -> None:
        if not 1e-16 <= tolerance < 1.0:
            raise InputError(f"gbs got tolerance = {tolerance:g}; expected a number from 1e-16 to 1, such as 1e-12")
        if micro_steps < 1:
            raise InputError(f"gbs got micro_steps = {micro_steps}; expected at least 1")
        self.interaction, self.tolerance, self.micro_steps = interaction, float(tolerance), int(micro_steps)
        self.sequence = check_sequence(sequence)
        self._work = work_of_rows(self.sequence)
        self.capabilities = Capabilities(order=None, adaptive=True)

    def start(self, particles: Particles) -> ExtrapolationCarry:
        """Return the carry."""
        shape = (particles.n, 3)
        target = first_target(self.tolerance, len(self.sequence))
        return ExtrapolationCarry(0.0, target, np.zeros(shape), np.zeros(shape))

    def advance(self, particles: Particles, carry: ExtrapolationCarry, dt: float) -> Step:
        """Do as many micro-steps as dt needs; the last one ends there exactly."""
        if dt == 0.0 or particles.n == 0:
            particles.time += dt
            return Step(elapsed=dt)
        counts = {"micro_steps": 0.0, "evaluations": 0.0, "rejected": 0.0}
        elapsed, outcome = repeat(
            lambda remaining: self._micro_step(particles, carry, remaining, counts), particles, dt, self.micro_steps
        )
        return Step(elapsed=elapsed, outcome=outcome, next_dt=carry.dt, statistics=counts)

    def synchronise(self, particles: Particles, carry: ExtrapolationCarry) -> None:
        """Do nothing: positions and velocities are always at the same time."""

    def membership_changed(self, particles: Particles, carry: ExtrapolationCarry, change: Change) -> ExtrapolationCarry:
        """Start anew, choosing a new step size."""
        return self.start(particles)

    def _micro_step(
        self, particles: Particles, carry: ExtrapolationCarry, remaining: float, counts: dict[str, float]
    ) -> tuple[float, Outcome]:
        """Do one accepted micro-step of at most ``remaining``; return its size and how it went."""
        kind = _ModifiedMidpoint if self.interaction.velocity_dependent else _Leapfrogs
        substeps = kind(self.interaction, particles, self.tolerance, counts)
        wanted = carry.dt if carry.dt * remaining > 0.0 else first_step(particles, substeps.a0, remaining)
        target, rejected = carry.target, False
        while True:
            dt = math.copysign(min(abs(wanted), abs(remaining)), remaining)
            if not abs(dt) >= 1e-15 * abs(remaining):
                substeps.restore()
                finite = np.isfinite(substeps.a0).all()
                return 0.0, Outcome.STEP_TOO_SMALL if finite else Outcome.NOT_FINITE
            tried = attempt(substeps, dt, target, self.sequence)
            accepted = tried.verdict is Verdict.ACCEPT
            rejected = rejected or not accepted
            plan = plan_after(
                dt, tried.row, target, tried.errors, self._work, most_rows=len(self.sequence), rejected=rejected
            )
            if accepted:
                break
            counts["rejected"] += 1
            wanted, target = plan.dt, plan.target
        substeps.restore()
        add_compensated(particles.position, carry.position_error, tried.increment[0])
        add_compensated(particles.velocity, carry.velocity_error, tried.increment[1])
        shortened = abs(dt) < abs(wanted)
        if not shortened or abs(plan.dt) < abs(dt):
            carry.dt, carry.target = plan.dt, plan.target
        else:
            carry.dt, carry.target = wanted, target
        counts["micro_steps"] += 1
        return dt, Outcome.COMPLETED


class _Start:
    """State at the start of a step, what it costs to evaluate elsewhere, and the scale of errors."""

    def __init__(
        self, interaction: Interaction, particles: Particles, tolerance: float, counts: dict[str, float]
    ) -> None:
        self._interaction, self._particles, self._tolerance, self._counts = interaction, particles, tolerance, counts
        self._out = Evaluation(particles.n)
        self.x0, self.v0 = particles.position.copy(), particles.velocity.copy()
        self.a0 = self.evaluate(np.zeros((2, particles.n, 3))).copy()
        centre, drift = particles.centre_of_mass()
        self._sizes = [np.linalg.norm(y, axis=1) for y in (self.x0 - centre, self.v0 - drift, self.a0)]

    def evaluate(self, increment: FloatArray) -> FloatArray:
        """Return the acceleration at the start state plus an increment (2, n, 3); overwritten by the next call."""
        np.add(self.x0, increment[0], out=self._particles.position)
        np.add(self.v0, increment[1], out=self._particles.velocity)
        self._interaction.evaluate(self._particles, self._out)
        self._counts["evaluations"] += 1
        return self._out.acceleration

    def restore(self) -> None:
        """Put back the state at the start."""
        self._particles.position[...], self._particles.velocity[...] = self.x0, self.v0

    def error(self, difference: FloatArray, dt: float) -> float:
        """Return the largest error of a particle's position and velocity, relative to the tolerance."""
        x, v, a = self._sizes
        scale = np.array([x + abs(dt) * v + 0.5 * dt * dt * a, v + abs(dt) * a])
        scale = np.maximum(scale, _SCALE_FLOOR * scale.max(axis=1, keepdims=True))
        return vector_error(difference, self._tolerance * np.where(scale > 0.0, scale, 1.0))


class _Leapfrogs:
    """Kick-drift-kick substeps, for forces of positions alone."""

    def __init__(
        self, interaction: Interaction, particles: Particles, tolerance: float, counts: dict[str, float]
    ) -> None:
        self._start = _Start(interaction, particles, tolerance, counts)
        self.a0, self.restore, self.error = self._start.a0, self._start.restore, self._start.error

    def increment(self, dt: float, n: int) -> FloatArray:
        """Return the increment (2, n, 3) of positions and velocities over n leapfrogs."""
        h = dt / n
        total = np.zeros((2, *self.a0.shape))
        total[1] = 0.5 * h * self.a0
        for i in range(n):
            total[0] += h * (self._start.v0 + total[1])
            total[1] += (h if i < n - 1 else 0.5 * h) * self._start.evaluate(total)
        return total


class _ModifiedMidpoint:
    """Gragg's modified midpoint rule, for forces of velocities too."""

    def __init__(
        self, interaction: Interaction, particles: Particles, tolerance: float, counts: dict[str, float]
    ) -> None:
        self._start = _Start(interaction, particles, tolerance, counts)
        self.a0, self.restore, self.error = self._start.a0, self._start.restore, self._start.error

    def increment(self, dt: float, n: int) -> FloatArray:
        """Return the increment (2, n, 3) of positions and velocities over n (even) midpoint steps."""
        h = dt / n
        before = np.zeros((2, *self.a0.shape))
        now = h * np.array([self._start.v0, self.a0])
        for _ in range(n - 1):
            acceleration = self._start.evaluate(now)
            derivative = np.array([self._start.v0 + now[1], acceleration])
            before, now = now, before + 2.0 * h * derivative
        return now
