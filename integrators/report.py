"""What a run tells when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .propagator import Outcome


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes
    ----------
    outcome : COMPLETED; EVENT when a resolver ended the run; PARTIAL when it was stopped
    time : float, time reached, in the unit of the particles
    steps : int, advances done since the very start (restarts included)
    wall_time : float, seconds, of this call alone
    energy_error, max_energy_error : float, relative to the energy at the start; NaN where the energy is unknown
    stopped : bool, whether ``stop()`` ended it
    statistics : what the propagator counted: sums, and extremes where the name starts with ``max_`` or ``min_``

    """

    outcome: Outcome
    time: float
    steps: int
    wall_time: float
    energy_error: float
    max_energy_error: float
    stopped: bool
    statistics: dict[str, float] = field(default_factory=dict)


def combine_statistics(total: dict[str, float], new: dict[str, float]) -> None:
    """Bring what a step counted into the totals: extremes by the prefix of their name, sums otherwise; total changes."""
    for name, value in new.items():
        known = total.get(name)
        total[name] = value if known is None else _COMBINE.get(name[:4], _add)(known, value)


def _add(old: float, new: float) -> float:
    return old + new


#: how values of a statistic are brought together, by the prefix of its name; all others are added
_COMBINE: dict[str, Callable[[float, float], float]] = {"max_": max, "min_": min}
