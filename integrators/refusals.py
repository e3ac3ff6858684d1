"""What ends a run: a target that cannot be reached, a step that failed, a state that is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..particles import InputError, NumericalFailure, Particles
from .propagator import Outcome, Step


def check_target(t_end: float, time: float, remaining: float, strides: Sequence[float] | None) -> None:
    """Raise InputError for a time to reach that is not finite, or not a whole number of strides away."""
    if not math.isfinite(t_end):
        raise InputError(f"the run was asked to go to time {t_end}; expected a finite number")
    if strides is None:
        return
    off = min(abs(remaining - round(remaining / s) * s) for s in strides)
    if off > 4.0 * math.ulp(max(abs(t_end), abs(time))):
        raise InputError(
            f"t_end = {t_end:g} is not a whole number of strides ({', '.join(f'{s:g}' for s in strides)}) "
            f"from {time:g}; choose one that is"
        )


def failed(step: Step, time: float, number: int) -> NumericalFailure | None:
    """Return the failure of step ``number``, begun at ``time``; None when it stands."""
    if not step.outcome.failed:
        return None
    return NumericalFailure(step.outcome.value, time=time + step.elapsed, step=number, identities=step.identities)


def not_finite(particles: Particles, time: float, number: int) -> NumericalFailure | None:
    """Return the failure of a state with positions or velocities that are infinite or not a number; None without any."""
    finite = (np.isfinite(particles.position) & np.isfinite(particles.velocity)).all(axis=1)
    if finite.all():
        return None
    bad = [int(i) for i in particles.identity[~finite]]
    return NumericalFailure(Outcome.NOT_FINITE.value, time=time, step=number, identities=bad)
