"""When a run is asked to stop: signals and the wall-clock limit; both are seen between two advances."""

from __future__ import annotations

import signal
import threading
import time as clock
from types import FrameType
from typing import Any

#: Signals that ask for a checkpoint and an end. SIGUSR1 is what batch systems send before the time is up.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


class StopRequest:
    """A context in which signals set ``reason``; calling it says whether to stop.

    The second SIGINT ends the process at once: after the first, the system's own handler is back.

    Parameters
    ----------
    max_hours : float or None, wall-clock hours

    Attributes
    ----------
    reason : str or None, what asked for the end

    """

    def __init__(self, max_hours: float | None = None) -> None:
        self.reason: str | None = None
        self._limit = None if max_hours is None else clock.monotonic() + 3600.0 * max_hours
        self._hours = max_hours
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                if number is not None:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __call__(self) -> bool:
        """Return whether the run should stop now."""
        if self.reason is None and self._limit is not None and clock.monotonic() >= self._limit:
            self.reason = f"the limit of {self._hours:g} h"
        return self.reason is not None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
