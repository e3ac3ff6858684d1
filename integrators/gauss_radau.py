"""Gauss-Radau of 15th order with adaptive steps: the accurate, non-symplectic reference, at home with any forces.

The method known as RADAU (Everhart) and IAS15 (Rein & Spiegel), written for whole arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles
from .compensated import add_compensated
from .interaction import Evaluation, Interaction
from .micro_steps import first_step, repeat
from .propagator import Capabilities, Change, Outcome, Step

FloatArray = NDArray[np.float64]

#: Gauss-Radau spacings h_n on [0, 1], from Everhart 1985: roots of P_7 + P_8 on that interval, the left end included
NODES = (
    0.0,
    0.05626256053692214646565219103231,
    0.18024069173689236498757994280918,
    0.35262471711316963737390777017124,
    0.54715362633055538300144855765235,
    0.73421017721541053152321060830661,
    0.88532094683909576809035976293249,
    0.97752061356128750189117450042915,
)
_STAGES = len(NODES) - 1
_MOST_ITERATIONS = 12  # a step that needs more is too long; it is done again with a quarter of its size
_LARGEST_CHANGE = 4.0  # of the step size from one step to the next, and the shrinking beyond which a step is rejected
_VANISHING = 0.25  # where an acceleration goes through zero the published step is 0; the same rule for the jerk, times
# this, then takes over (on orbits, where all derivatives have about the same time scale, it never does)
_FORGET_RATIO = 20.0  # the old polynomial predicts nothing over a step so many times longer (Rein & Spiegel 2015)


class Tables(NamedTuple):
    """Matrices of the method, all float64.

    Attributes
    ----------
    newton_to_power : (7, 7), g (Newton's divided differences) to b (powers): b = newton_to_power @ g
    power_to_newton : (7, 7), its inverse
    position, velocity : (9, 8), integrals of (1, h, ..., h^7) to node i (row 8: to the end): x = x_0 + h dt v_0 +
        dt^2 position[i] @ (a_0, b), v = v_0 + dt velocity[i] @ (a_0, b)
    shift : (7, 7), coefficients of the polynomial continued past the end of the step, before scaling
    derivative : (3, 7), first to third derivative of the acceleration at the end, from b

    """

    newton_to_power: FloatArray
    power_to_newton: FloatArray
    position: FloatArray
    velocity: FloatArray
    shift: FloatArray
    derivative: FloatArray


@lru_cache(maxsize=1)
def tables() -> Tables:
    """Return the matrices, computed from the nodes."""
    newton_to_power = np.zeros((_STAGES, _STAGES))
    product = np.array([1.0])  # coefficients, lowest first, of (h - h_1) ... (h - h_k)
    for k in range(_STAGES):
        newton_to_power[: k + 1, k] = product
        product = np.convolve(product, [-NODES[k + 1], 1.0])
    at = np.array([*NODES, 1.0])[:, None]
    powers = np.arange(_STAGES + 1)[None, :]
    binomial = [[math.comb(j + 1, i + 1) if j >= i else 0 for j in range(_STAGES)] for i in range(_STAGES)]
    power = np.arange(1.0, _STAGES + 1.0)
    return Tables(
        newton_to_power=newton_to_power,
        power_to_newton=np.linalg.inv(newton_to_power).astype(np.float64),
        position=at ** (powers + 2) / ((powers + 1) * (powers + 2)),
        velocity=at ** (powers + 1) / (powers + 1),
        shift=np.array(binomial, dtype=float),
        derivative=np.array([power, power * (power - 1.0), power * (power - 1.0) * (power - 2.0)]),
    )


@dataclass(slots=True)
class GaussRadauCarry:
    """Memory between steps.

    Attributes
    ----------
    dt : float, size of the next micro-step, with no regard to landing (0: choose one)
    dt_done : float, size of the last micro-step, for which b holds (0: none)
    b, predicted : (7, n, 3), coefficients of the last step's acceleration polynomial, and those of the one before,
        continued to it
    position_error, velocity_error : (n, 3), what rounding took from positions and velocities

    """

    dt: float
    dt_done: float
    b: FloatArray
    predicted: FloatArray
    position_error: FloatArray
    velocity_error: FloatArray


class GaussRadau:
    r"""Accelerations along the step as a polynomial through eight Gauss-Radau nodes, found by iteration.

    a(h) = a_0 + b_1 h + ... + b_7 h^7,  h = t/dt in [0, 1];
    x(1) = x_0 + dt v_0 + dt^2 (a_0/2 + b_1/6 + ...),  v(1) = v_0 + dt (a_0 + b_1/2 + ...)

    The step follows from the acceleration a and its derivatives j, s at the end of the step, over all particles:
    dt_next = (5040 tolerance)^(1/7) min_i sqrt(2 a^2/(j^2 + a s)).

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | b_k | ``carry.b`` | (7, n, 3) float64 | length/time^2 |

    Positions and velocities are summed with compensation; at the default tolerance the error is that of rounding.

    Parameters
    ----------
    interaction : Interaction; may depend on velocities
    tolerance : float in (0, 1), relative size of the last term of the polynomial; 1e-9 reaches rounding
    micro_steps : int, most micro-steps in one ``advance`` (``Outcome.PARTIAL`` beyond)

    Raises
    ------
    InputError : tolerance or micro_steps out of range

    References
    ----------
    Everhart 1985, doi:10.1007/978-94-009-5400-7_17; Rein & Spiegel 2015, doi:10.1093/mnras/stu2164 (IAS15);
    Pham, Rein & Spiegel 2024, doi:10.33232/001c.92024 (the step size)

    """

    def __init__(self, interaction: Interaction, *, tolerance: float = 1e-9, micro_steps: int = 500) -> None:
        if not 0.0 < tolerance < 1.0:
            raise InputError(f"radau15 got tolerance = {tolerance:g}; expected a number between 0 and 1, such as 1e-9")
        if micro_steps < 1:
            raise InputError(f"radau15 got micro_steps = {micro_steps}; expected at least 1")
        self.interaction, self.tolerance, self.micro_steps = interaction, float(tolerance), int(micro_steps)
        self.capabilities = Capabilities(order=None, adaptive=True)
        self._step_factor = (5040.0 * tolerance) ** (1.0 / 7.0)

    def start(self, particles: Particles) -> GaussRadauCarry:
        """Return the carry."""
        shape = (particles.n, 3)
        return GaussRadauCarry(
            0.0, 0.0, np.zeros((_STAGES, *shape)), np.zeros((_STAGES, *shape)), np.zeros(shape), np.zeros(shape)
        )

    def advance(self, particles: Particles, carry: GaussRadauCarry, dt: float) -> Step:
        """Do as many micro-steps as dt needs; the last one ends there exactly."""
        if dt == 0.0 or particles.n == 0:
            particles.time += dt
            return Step(elapsed=dt)
        counts = {"micro_steps": 0.0, "evaluations": 0.0, "rejected": 0.0, "iterations": 0.0}
        elapsed, outcome = repeat(
            lambda remaining: self._micro_step(particles, carry, remaining, counts), particles, dt, self.micro_steps
        )
        return Step(elapsed=elapsed, outcome=outcome, next_dt=carry.dt, statistics=counts)

    def synchronise(self, particles: Particles, carry: GaussRadauCarry) -> None:
        """Do nothing: positions and velocities are always at the same time."""

    def membership_changed(self, particles: Particles, carry: GaussRadauCarry, change: Change) -> GaussRadauCarry:
        """Start anew, choosing a new step size."""
        return self.start(particles)

    def _micro_step(
        self, particles: Particles, carry: GaussRadauCarry, remaining: float, counts: dict[str, float]
    ) -> tuple[float, Outcome]:
        """Do one accepted micro-step of at most ``remaining``; return its size and how it went."""
        stage = _Stage(self.interaction, particles, carry, counts)
        wanted = carry.dt if carry.dt * remaining > 0.0 else first_step(particles, stage.a0, remaining)
        while True:
            dt = math.copysign(min(abs(wanted), abs(remaining)), remaining)
            if abs(dt) < 1e-15 * abs(remaining):
                stage.restore()
                return 0.0, Outcome.STEP_TOO_SMALL
            first_guess, continued = self._predict(carry, dt)
            b, converged = stage.solve(first_guess, dt)
            proposal = self._propose(stage.a0, b, dt) if converged else dt / _LARGEST_CHANGE
            if not math.isfinite(proposal):
                stage.restore()
                return 0.0, Outcome.NOT_FINITE
            if converged and abs(proposal) >= abs(dt) / _LARGEST_CHANGE:
                break
            counts["rejected"] += 1
            wanted = proposal
        stage.finish(carry, b, dt)
        carry.b, carry.predicted, carry.dt_done = b, continued, dt
        shortened = abs(dt) < abs(wanted)
        carry.dt = wanted if shortened and abs(proposal) > abs(dt) else proposal
        counts["micro_steps"] += 1
        return dt, Outcome.COMPLETED

    def _predict(self, carry: GaussRadauCarry, dt: float) -> tuple[FloatArray, FloatArray]:
        """Return b to start from and the last polynomial continued, of which b makes up what that missed last time."""
        if carry.dt_done == 0.0 or not 0.0 < dt / carry.dt_done <= _FORGET_RATIO:
            return np.zeros_like(carry.b), np.zeros_like(carry.b)
        scale = (dt / carry.dt_done) ** np.arange(1, _STAGES + 1)
        continued: FloatArray = scale[:, None, None] * np.tensordot(tables().shift, carry.b, axes=1)
        missed = carry.b - carry.predicted if carry.predicted.any() else 0.0
        return continued + missed, continued

    def _propose(self, a0: FloatArray, b: FloatArray, dt: float) -> float:
        """Return the step size that the end of a step of size dt suggests."""
        derivatives = (a0 + b.sum(axis=0), *np.tensordot(tables().derivative, b, axes=1))
        a, j, s, c = (np.einsum("ij,ij->i", y, y) for y in derivatives)
        squared = np.maximum(_squared_time(a, j, s), _VANISHING**2 * _squared_time(j, s, c))
        if np.isnan(squared).any():
            return math.nan
        factor = min(math.sqrt(float(squared.min(initial=np.inf))) * self._step_factor, _LARGEST_CHANGE)
        return dt * factor


def _squared_time(y: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return 2 |y|^2/(|y'|^2 + |y| |y''|) from the three squares, infinite where nothing changes."""
    bottom = first + np.sqrt(y * second)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0.0, np.inf, 2.0 * y / bottom)


class _Stage:
    """The inside of one micro-step: start values, and the iteration for the polynomial."""

    def __init__(
        self, interaction: Interaction, particles: Particles, carry: GaussRadauCarry, counts: dict[str, float]
    ) -> None:
        self._interaction, self._particles, self._counts = interaction, particles, counts
        self._out = Evaluation(particles.n)
        self._carry = carry  # nodes count from the unrounded start: without, energy errors are several times larger
        self._x0, self._v0 = particles.position.copy(), particles.velocity.copy()
        self._needs_velocity = interaction.velocity_dependent
        self.a0 = self._evaluate().copy()

    def _evaluate(self) -> FloatArray:
        self._interaction.evaluate(self._particles, self._out)
        self._counts["evaluations"] += 1
        return self._out.acceleration

    def restore(self) -> None:
        """Put back the state at the start of the step."""
        self._particles.position[...], self._particles.velocity[...] = self._x0, self._v0

    def _move(self, node: int, polynomial: FloatArray, dt: float) -> None:
        """Put the particles where the polynomial has them at a node."""
        table, flat = tables(), polynomial.reshape(_STAGES + 1, -1)
        shift = (table.position[node] @ flat).reshape(self._x0.shape)  # not times dt^2 yet: a bias if rounded in there
        np.add(
            self._x0,
            self._carry.position_error + dt * (NODES[node] * self._v0 + dt * shift),
            out=self._particles.position,
        )
        if self._needs_velocity:
            gain = (table.velocity[node] @ flat).reshape(self._v0.shape)
            np.add(self._v0, dt * gain, out=self._particles.velocity)

    def solve(self, predicted: FloatArray, dt: float) -> tuple[FloatArray, bool]:
        """Return b (7, n, 3), and whether the iteration came down to rounding or stopped improving."""
        table = tables()
        polynomial = np.concatenate((self.a0[None], predicted))
        g = np.tensordot(table.power_to_newton, predicted, axes=1)
        columns = [table.newton_to_power[: k + 1, k, None, None] for k in range(_STAGES)]
        last = math.inf
        for iteration in range(_MOST_ITERATIONS):
            before = polynomial[-1].copy()
            for node in range(1, _STAGES + 1):
                self._move(node, polynomial, dt)
                new = (self._evaluate() - self.a0) / NODES[node]
                for lower in range(1, node):
                    new = (new - g[lower - 1]) / (NODES[node] - NODES[lower])
                change = new - g[node - 1]
                g[node - 1] = new
                polynomial[1 : node + 1] += columns[node - 1] * change
            self._counts["iterations"] += 1
            size = float(np.max(np.abs(self.a0 + polynomial[1:].sum(axis=0)), initial=0.0))
            error = float(np.max(np.abs(polynomial[-1] - before), initial=0.0)) / (size or 1.0)
            if error < 1e-16 or (iteration > 1 and error >= last and error < 1e-10):
                return polynomial[1:], True
            if not math.isfinite(error):
                break
            last = error
        return polynomial[1:], last < 1e-12

    def finish(self, carry: GaussRadauCarry, b: FloatArray, dt: float) -> None:
        """Put the particles at the end of the step."""
        table, polynomial = tables(), np.concatenate((self.a0[None], b))
        self.restore()
        gain = dt * np.tensordot(table.velocity[-1], polynomial, axes=1)
        shift = dt * dt * np.tensordot(table.position[-1], polynomial, axes=1)
        add_compensated(self._particles.position, carry.position_error, shift)
        add_compensated(self._particles.position, carry.position_error, dt * self._v0 + dt * carry.velocity_error)
        add_compensated(self._particles.velocity, carry.velocity_error, gain)
