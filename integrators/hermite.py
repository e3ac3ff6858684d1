"""Hermite, 4th order: predictor and iterated corrector from acceleration and jerk, one step shared by all particles.

Not the individual-time-step scheme of collisional codes, which uses the same corrector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles
from .compensated import add_compensated
from .interaction import Evaluation, Interaction, require
from .propagator import Capabilities, Change, Outcome, Step

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class HermiteCarry:
    """Memory between steps.

    Attributes
    ----------
    position_error, velocity_error : (n, 3), what rounding took from positions and velocities
    acceleration, jerk : (n, 3), of the last evaluation
    known_at : (2, n, 3), the positions and velocities the last step ended with (NaN: none); when a wrapper has moved
        particles since, acceleration and jerk are evaluated anew

    """

    position_error: FloatArray
    velocity_error: FloatArray
    acceleration: FloatArray
    jerk: FloatArray
    known_at: FloatArray


class Hermite:
    r"""P(EC)^n of 4th order with a fixed step.

    predict  x_1 = x_0 + v_0 dt + a_0 dt^2/2 + j_0 dt^3/6,  v_1 = v_0 + a_0 dt + j_0 dt^2/2, then n times
    evaluate a_1, j_1 and
    correct  v_1 = v_0 + (a_0 + a_1) dt/2 + (j_0 - j_1) dt^2/12,  x_1 = x_0 + (v_0 + v_1) dt/2 + (a_0 - a_1) dt^2/12

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | a, j | ``Evaluation.acceleration``, ``.jerk`` | (n, 3) float64 | length/time^2, length/time^3 |

    The last evaluation is taken over as that of the next step's start, so a step costs n evaluations. The converged
    corrector is time-symmetric, n iterations are so up to a high power of dt. Not symplectic.

    Parameters
    ----------
    interaction : gives acceleration and jerk; may depend on velocities
    iterations : int >= 1, how often evaluate and correct are done

    Raises
    ------
    InputError : no jerk, or fewer than one iteration

    References
    ----------
    Makino & Aarseth 1992, PASJ 44, 141; Hut, Makino & McMillan 1995, doi:10.1086/187844

    """

    def __init__(self, interaction: Interaction, *, iterations: int = 2) -> None:
        require(interaction, "jerk")
        if iterations < 1:
            raise InputError(f"hermite4 got iterations = {iterations}; expected at least 1")
        self.interaction, self.iterations = interaction, int(iterations)
        self.capabilities = Capabilities(order=4)

    def start(self, particles: Particles) -> HermiteCarry:
        """Return the carry."""
        shape = (particles.n, 3)
        return HermiteCarry(
            np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape), np.full((2, *shape), np.nan)
        )

    def advance(self, particles: Particles, carry: HermiteCarry, dt: float) -> Step:
        """Do one step of size dt."""
        if dt == 0.0:
            return Step(elapsed=0.0)
        out = Evaluation(particles.n, ("acceleration", "jerk"))
        evaluations = self._evaluate_at_start(particles, carry, out)
        position, velocity = particles.position.copy(), particles.velocity.copy()
        a0, j0 = carry.acceleration.copy(), carry.jerk.copy()
        shift = dt * (velocity + dt * (a0 / 2.0 + dt / 6.0 * j0))
        gain = dt * (a0 + dt / 2.0 * j0)
        for _ in range(self.iterations):
            np.add(position, shift, out=particles.position)
            np.add(velocity, gain, out=particles.velocity)
            a1, j1 = self._evaluate(particles, out)
            gain = dt * ((a0 + a1) / 2.0 + dt / 12.0 * (j0 - j1))
            shift = dt * (velocity + gain / 2.0 + dt / 12.0 * (a0 - a1))
        particles.position[...], particles.velocity[...] = position, velocity
        add_compensated(particles.position, carry.position_error, shift)
        add_compensated(particles.velocity, carry.velocity_error, gain)
        carry.acceleration[...], carry.jerk[...] = a1, j1
        carry.known_at[0], carry.known_at[1] = particles.position, particles.velocity
        particles.time += dt
        outcome = Outcome.COMPLETED if np.isfinite(particles.position).all() else Outcome.NOT_FINITE
        return Step(
            elapsed=dt, outcome=outcome, statistics={"micro_steps": 1, "evaluations": evaluations + self.iterations}
        )

    def synchronise(self, particles: Particles, carry: HermiteCarry) -> None:
        """Do nothing: positions and velocities are always at the same time."""

    def membership_changed(self, particles: Particles, carry: HermiteCarry, change: Change) -> HermiteCarry:
        """Start anew."""
        return self.start(particles)

    def _evaluate(self, particles: Particles, out: Evaluation) -> tuple[FloatArray, FloatArray]:
        self.interaction.evaluate(particles, out)
        assert out.jerk is not None, "the jerk was asked for"
        return out.acceleration, out.jerk

    def _evaluate_at_start(self, particles: Particles, carry: HermiteCarry, out: Evaluation) -> int:
        """Fill acceleration and jerk of the carry unless they are known; return the number of evaluations."""
        if np.array_equal(carry.known_at[0], particles.position) and np.array_equal(
            carry.known_at[1], particles.velocity
        ):
            return 0
        carry.acceleration[...], carry.jerk[...] = self._evaluate(particles, out)
        carry.known_at[0], carry.known_at[1] = particles.position, particles.velocity
        return 1
