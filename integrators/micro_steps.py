"""What methods that choose their own micro-steps share: the way to the asked time, and the very first step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..particles import Particles
from .propagator import Outcome


def repeat(
    micro_step: Callable[[float], tuple[float, Outcome]], particles: Particles, dt: float, most: int
) -> tuple[float, Outcome]:
    """Repeat micro-steps until dt is done, one fails, or the budget is used up; sets ``particles.time``.

    Parameters
    ----------
    micro_step : function of the remaining time, summed with compensation; returns the time done and an outcome, and a
        time done that equals the remaining time ends the advance exactly
    particles : Particles
    dt : float
    most : int, micro-steps after which the outcome is PARTIAL

    Returns
    -------
    elapsed : float, dt exactly when the outcome is COMPLETED

    """
    start, remaining, lost = particles.time, dt, 0.0
    outcome = Outcome.PARTIAL
    for _ in range(most):
        done, outcome = micro_step(remaining)
        if outcome.failed:
            break
        if done == remaining:
            remaining = 0.0
            break
        term = -done - lost
        new = remaining + term
        lost, remaining = (new - remaining) - term, new
        outcome = Outcome.PARTIAL
    elapsed = dt - remaining
    particles.time = start + elapsed
    return elapsed, outcome


def first_step(particles: Particles, acceleration: NDArray[np.float64], remaining: float) -> float:
    r"""Return a cautious first step with the sign of ``remaining`` and no longer than it.

    dt = 0.01 min_i max(|v_i|/|a_i|, sqrt(|x_i|/|a_i|)), with x and v relative to the centre of mass

    so that it follows the units and does not see translations and boosts.

    Parameters
    ----------
    particles : positions and velocities, (n, 3)
    acceleration : (n, 3)
    remaining : float, time that may be done at most

    """
    centre, drift = particles.centre_of_mass()
    size = np.linalg.norm(acceleration, axis=1)
    speed = np.linalg.norm(particles.velocity - drift, axis=1)
    distance = np.linalg.norm(particles.position - centre, axis=1)
    pulled = size > 0.0
    times = np.maximum(speed[pulled] / size[pulled], np.sqrt(distance[pulled] / size[pulled]))
    shortest = float(times[times > 0.0].min(initial=np.inf))
    return math.copysign(min(0.01 * shortest, abs(remaining)), remaining)
