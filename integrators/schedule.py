"""When to observe: due times that are computed and not summed up."""

from __future__ import annotations

import math

from ..particles import InputError


class Schedule:
    """Due times origin + k * every, k = 0, 1, ..., computed and not summed up, in the direction of the run.

    Parameters
    ----------
    every : float > 0, simulation time between two observations

    Raises
    ------
    InputError : every is not positive

    """

    def __init__(self, every: float) -> None:
        if not every > 0.0:
            raise InputError(f"an output interval of {every:g} was given; expected a positive time")
        self.every = float(every)
        self._origin = math.nan
        self._count = 0
        self._direction = 1

    def start(self, time: float, direction: int) -> None:
        """Count from ``time`` unless a restart said from where; a turned run counts from its turning point, seen before."""
        turned = direction != self._direction and not math.isnan(self._origin)
        if turned or math.isnan(self._origin):
            self._origin, self._count, self._direction = time, int(turned), direction

    @property
    def next_due(self) -> float:
        """The next due time."""
        if self._count and math.isinf(self.every):
            return self._direction * math.inf
        return self._origin + self._direction * self._count * self.every if self._count else self._origin

    def reached(self, time: float) -> bool:
        """Return whether ``time`` is at or beyond the next due time (to 4 units in the last place: 3 * 0.1 > 0.3)."""
        due = self.next_due
        return math.isfinite(due) and (time - due) * self._direction >= -4.0 * math.ulp(max(abs(time), abs(due)))

    def advance(self, time: float) -> None:
        """Move the next due time beyond ``time``."""
        if self.reached(time) and math.isfinite(self.every):
            self._count = max(self._count, math.floor((time - self._origin) * self._direction / self.every))
        while self.reached(time):
            self._count += 1

    def state_dict(self) -> dict:
        """Return origin, count and direction."""
        return {"origin": self._origin, "count": self._count, "direction": self._direction}

    def load_state_dict(self, tree: dict) -> None:
        """Take back origin, count and direction."""
        self._origin, self._count = float(tree["origin"]), int(tree["count"])
        self._direction = int(tree["direction"])
