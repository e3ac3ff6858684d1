"""What a running job shows: a bar on a terminal, plain lines elsewhere; all on standard error."""

from __future__ import annotations

import math
import sys
import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from .integrators import Simulation

#: Seconds between two plain lines.
LINE_INTERVAL = 10.0
#: Weight of the newest measurement in the rate that the time left is computed from.
_SMOOTHING = 0.3


class Display(Protocol):
    """Shows a simulation."""

    def __enter__(self) -> Display:
        """Start."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        ...

    def show(self, simulation: Simulation) -> None:
        """Show where the simulation is."""
        ...


class Rate:
    """Simulated time per second of wall-clock time, smoothed; and the time left.

    The first measurement is left out: kernels may have been compiled in it.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._measured = 0
        self.value = math.nan

    def update(self, time: float) -> None:
        """Take note of the simulated time now."""
        now = clock.monotonic()
        if self._last is None:
            self._last = (now, time)
            return
        seconds, done = now - self._last[0], abs(time - self._last[1])
        if seconds < 0.2:  # shorter intervals measure the calls, not the run
            return
        self._last = (now, time)
        self._measured += 1
        if self._measured > 1:
            fresh = done / seconds
            self.value = fresh if math.isnan(self.value) else _SMOOTHING * fresh + (1 - _SMOOTHING) * self.value

    def left(self, remaining: float) -> float:
        """Return seconds for the remaining simulated time; NaN where unknown."""
        return abs(remaining) / self.value if self.value > 0.0 else math.nan


def duration(seconds: float) -> str:
    """Return a time in words: "42 s", "3 min 10 s", "2 h 5 min"; "?" where unknown."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True, slots=True)
class Look:
    """How times are shown.

    Attributes
    ----------
    unit : text after a time
    scale : factor from the simulation's time to the one shown
    measure : what else to say of a simulation; the energy error when not given
    daily : unit of time simulated per day (a thousand of ``unit``), instead of ``unit`` per second; ""

    """

    unit: str
    scale: float = 1.0
    measure: Callable[[Simulation], str] | None = None
    daily: str = ""

    def time(self, value: float) -> str:
        """Return a time."""
        return f"{self.scale * value:.6g}"

    def speed(self, rate: float) -> str:
        """Return a rate; nothing where it is unknown."""
        if not rate > 0.0:
            return ""
        if self.daily:
            return f"{self.scale * rate * 86.4:.3g} {self.daily}/day"
        return f"{self.scale * rate:.3g}{self.unit}/s"

    def words(self, simulation: Simulation) -> str:
        """Return what else there is to say."""
        return _error(simulation) if self.measure is None else self.measure(simulation)


def _error(simulation: Simulation) -> str:
    return f"dE/E {simulation.energy_error:8.1e}" if math.isfinite(simulation.energy_error) else ""


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, simulation: Simulation) -> None:
        """Show nothing."""


class Lines:
    """One plain line every ten seconds, for files and pipes."""

    def __init__(self, unit: str, **look: Any) -> None:
        self._look, self._rate, self._last = Look(unit, **look), Rate(), clock.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, simulation: Simulation) -> None:
        """Print a line when ten seconds have passed."""
        self._rate.update(simulation.time)
        if clock.monotonic() - self._last < LINE_INTERVAL:
            return
        self._last = clock.monotonic()
        left = self._rate.left(simulation.t_end - simulation.time)
        parts = [
            f"t = {self._look.time(simulation.time)} of {self._look.time(simulation.t_end)}{self._look.unit}",
            self._look.speed(self._rate.value),
            self._look.words(simulation),
            f"{duration(left)} left" if math.isfinite(left) else "",
        ]
        print(" | ".join(p for p in parts if p), file=sys.stderr, flush=True)


class Bar:
    """A progress bar with simulated time, rate, energy error and time left."""

    def __init__(self, unit: str, start: float, **look: Any) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._look, self._rate, self._start = Look(unit, **look), Rate(), start
        self._bar = Progress(
            TextColumn("[bold]{task.fields[time]}"),
            BarColumn(bar_width=None, style="grey30", complete_style="cyan", finished_style="green"),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("[magenta]{task.fields[error]}"),
            TextColumn("[cyan]{task.fields[left]}"),
            console=Console(stderr=True),
            expand=True,
        )
        shown = f"t = {self._look.time(start)}{unit}"
        self._task = self._bar.add_task("", total=1.0, time=shown, rate="", error="", left="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, simulation: Simulation) -> None:
        """Move the bar."""
        self._rate.update(simulation.time)
        span = simulation.t_end - self._start
        left = self._rate.left(simulation.t_end - simulation.time)
        self._bar.update(
            self._task,
            completed=(simulation.time - self._start) / span if span else 1.0,
            time=f"t = {self._look.time(simulation.time)}{self._look.unit}",
            rate=self._look.speed(self._rate.value),
            error=self._look.words(simulation),
            left=f"{duration(left)} left" if math.isfinite(left) else "",
        )


def display(unit: str, start: float, *, quiet: bool, **look: Any) -> Display:
    """Return what suits standard error: a bar, lines, or nothing; ``look`` as the attributes of ``Look``."""
    if quiet:
        return Silent()
    return Bar(unit, start, **look) if sys.stderr.isatty() else Lines(unit, **look)


class Work:
    """Progress of a piece of work that is no simulation: a bar on a terminal, else a line every ten seconds.

    Parameters
    ----------
    quiet : show nothing

    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._last = quiet, -math.inf
        self._bar: Any = None
        self._begun = clock.monotonic()
        self._first: float | None = None

    def __enter__(self) -> Work:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            self._bar = Progress(
                BarColumn(bar_width=24, style="grey30", complete_style="cyan", finished_style="green"),
                TaskProgressColumn(),
                TextColumn("{task.fields[text]}"),
                TextColumn("[cyan]{task.fields[left]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=1.0, text="", left="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, fraction: float, text: str) -> None:
        """Say how much is done, 0 to 1, and a line of words; the time left follows from the first call."""
        if self._quiet:
            return
        now = clock.monotonic()
        if self._first is None:
            self._first, self._begun = fraction, now
        gained = fraction - self._first
        left = (now - self._begun) * (1.0 - fraction) / gained if gained > 0.0 else math.nan
        words = f"{duration(left)} left" if math.isfinite(left) and fraction < 1.0 else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=min(fraction, 1.0), text=text, left=words)
        elif now - self._last >= LINE_INTERVAL:
            self._last = now
            print(" | ".join(p for p in (f"{100 * fraction:.0f} %", text, words) if p), file=sys.stderr, flush=True)
