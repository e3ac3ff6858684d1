"""Who watches a run: the observer protocol, and the observers that write frames, series, checkpoints and progress.

Observers read and never change the state. The loop calls them only on a synchronised, finite state. Propagators that
choose their own micro-steps land exactly on the due times; with fixed steps an observation happens at the end of the
first step at or after its due time, and no step is changed for it.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..particles import InputError, Particles
from .propagator import Row
from .schedule import Schedule

if TYPE_CHECKING:
    from .loop import Simulation


class Observer(Protocol):
    """Something that looks at a run.

    Attributes
    ----------
    order : int, observers of lower order are called first; checkpoints come last (1), all others have 0

    """

    order: int

    def start(self, time: float, direction: int) -> None:
        """Take note that a run starts, or goes on, at ``time`` in ``direction`` (+1 or -1)."""
        ...

    def next_due(self, time: float) -> float:
        """Return the simulation time of the next observation (infinite when it depends on other things)."""
        ...

    def due(self, time: float) -> bool:
        """Return whether to observe now."""
        ...

    def observe(self, simulation: Simulation) -> None:
        """Look at the simulation."""
        ...

    def event(self, row: Row) -> None:
        """Take note of an event that has been carried out."""
        ...

    def finish(self, simulation: Simulation) -> None:
        """Take note of the end: the asked time is reached, or ``simulation.stopped``."""
        ...

    def state_dict(self) -> dict:
        """Return what a restart needs, as a tree of numbers and strings."""
        ...

    def load_state_dict(self, tree: dict) -> None:
        """Take back what ``state_dict`` gave."""
        ...


class Writer(Protocol):
    """What the observers ask of a file: ``askel.particles.io_h5md.TrajectoryWriter`` is one."""

    def append(self, particles: Particles, step: int) -> None:
        """Add a frame."""
        ...

    def append_row(self, table: str, row: Row) -> None:
        """Add a row to a table by name."""
        ...

    def lengths(self) -> dict[str, int]:
        """Return the number of valid frames and rows by dataset, to which a resumed run cuts the file back."""
        ...

    def flush(self) -> None:
        """Hand everything to the operating system."""
        ...


class _BySchedule:
    """An observer that acts at every multiple of a time, and at the end unless it has acted on that state already.

    A run that was stopped has not come to its end: the resumed one goes on with the same schedule.
    """

    order = 0

    def __init__(self, every: float) -> None:
        self._schedule, self._last_step = Schedule(every), -1

    def act(self, simulation: Simulation) -> None:
        """Do what is done at every due time."""
        raise NotImplementedError

    def start(self, time: float, direction: int) -> None:
        """Start the schedule."""
        self._schedule.start(time, direction)

    def next_due(self, time: float) -> float:
        """Return the next due time."""
        return self._schedule.next_due

    def due(self, time: float) -> bool:
        """Return whether a due time is reached."""
        return self._schedule.reached(time)

    def observe(self, simulation: Simulation) -> None:
        """Act, and wait for the next due time."""
        self.act(simulation)
        self._last_step = simulation.step
        self._schedule.advance(simulation.time)

    def event(self, row: Row) -> None:
        """Do nothing."""

    def finish(self, simulation: Simulation) -> None:
        """Act a last time, unless the run was stopped or it is done already."""
        if not simulation.stopped and simulation.step != self._last_step:
            self.observe(simulation)

    def state_dict(self) -> dict:
        """Return the schedule."""
        return {"schedule": self._schedule.state_dict(), "last_step": self._last_step}

    def load_state_dict(self, tree: dict) -> None:
        """Take back the schedule."""
        self._schedule.load_state_dict(tree["schedule"])
        self._last_step = int(tree["last_step"])


class Snapshots(_BySchedule):
    """Writes frames: the first state, one every ``every``, the last one when the asked time is reached; and the events.

    Parameters
    ----------
    writer : Writer
    every : float > 0, in the time unit of the particles; infinite for the first and last frame alone

    """

    def __init__(self, writer: Writer, every: float) -> None:
        super().__init__(every)
        self._writer = writer

    def act(self, simulation: Simulation) -> None:
        """Write a frame."""
        self._writer.append(simulation.particles, simulation.step)

    def event(self, row: Row) -> None:
        """Write a row of the table ``events/<kind>``."""
        self._writer.append_row(f"events/{row['kind']}", row)

    def finish(self, simulation: Simulation) -> None:
        """Write the last state where it is due, and hand all to the operating system."""
        super().finish(simulation)
        self._writer.flush()

    def state_dict(self) -> dict:
        """Return the schedule and the lengths to which a resumed run cuts the file back."""
        self._writer.flush()
        return super().state_dict() | {"lengths": dict(self._writer.lengths())}


class EnergySeries(_BySchedule):
    """Writes rows of the table ``series/energy``: step, time, energy, work, error and its largest value so far.

    Parameters
    ----------
    writer : Writer
    every : float > 0, in the time unit of the particles

    """

    def __init__(self, writer: Writer, every: float) -> None:
        super().__init__(every)
        self._writer = writer

    def act(self, simulation: Simulation) -> None:
        """Write a row."""
        self._writer.append_row("series/energy", energy_row(simulation))


class _ByTheClock:
    """An observer that acts when so many seconds of wall-clock time have passed, and at the end; it remembers nothing."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = float(seconds), -math.inf

    def act(self, simulation: Simulation) -> None:
        """Do what is done every so often."""
        raise NotImplementedError

    def start(self, time: float, direction: int) -> None:
        """Make the next step due."""
        self._last = -math.inf

    def next_due(self, time: float) -> float:
        """Return infinity: wall-clock time decides."""
        return math.inf

    def due(self, time: float) -> bool:
        """Return whether the interval has passed."""
        return clock.monotonic() - self._last >= self._seconds

    def observe(self, simulation: Simulation) -> None:
        """Act, and wait for the next interval."""
        self.act(simulation)
        self._last = clock.monotonic()

    def event(self, row: Row) -> None:
        """Do nothing."""

    def finish(self, simulation: Simulation) -> None:
        """Act a last time."""
        self.observe(simulation)

    def state_dict(self) -> dict:
        """Return nothing."""
        return {}

    def load_state_dict(self, tree: dict) -> None:
        """Do nothing."""


class Checkpoints(_ByTheClock):
    """Hands the tree of ``Simulation.state_dict`` to ``write`` every so often of wall-clock time, and at the end.

    Parameters
    ----------
    write : function of the tree; it writes to a temporary name and renames
    every_seconds : float > 0 of wall-clock time; infinite for the end (and stops) alone
    in_shares : whether the tree of each rank has the particles that it owns, and not that of rank 0 all

    """

    order = 1

    def __init__(self, write: Callable[[dict], None], every_seconds: float, *, in_shares: bool = False) -> None:
        if not every_seconds > 0.0:
            raise InputError(f"a checkpoint interval of {every_seconds:g} s was given; expected a positive time")
        super().__init__(every_seconds)
        self._write, self._in_shares = write, in_shares

    def start(self, time: float, direction: int) -> None:
        """Let the first interval begin."""
        self._last = clock.monotonic()

    def act(self, simulation: Simulation) -> None:
        """Write a checkpoint."""
        self._write(simulation.state_dict(in_shares=self._in_shares))


class Progress(_ByTheClock):
    """Calls a function with the simulation, at most once every ``min_interval`` seconds of wall-clock time.

    Parameters
    ----------
    callback : function of the simulation; ``time``, ``t_end``, ``step``, ``wall_time`` and ``energy_error`` (the error
        measured last: asking for it costs nothing) are what a progress bar shows
    min_interval : float >= 0, seconds

    """

    order = 0

    def __init__(self, callback: Callable[[Simulation], None], min_interval: float = 0.1) -> None:
        super().__init__(min_interval)
        self._callback = callback

    def act(self, simulation: Simulation) -> None:
        """Call the function."""
        self._callback(simulation)


class Records(_BySchedule):
    """Keeps frames, energy rows and events in memory, for use from Python.

    Parameters
    ----------
    every : float > 0, in the time unit of the particles; infinite for the first and last state alone

    Attributes
    ----------
    frames : list of Particles (copies)
    energies : list of rows (step, time, energy, ...)
    events : list of rows

    Notes
    -----
    A checkpoint does not hold what was kept: a resumed run keeps what comes after.

    """

    def __init__(self, every: float) -> None:
        super().__init__(every)
        self.frames: list[Particles] = []
        self.energies: list[Row] = []
        self.events: list[Row] = []

    def act(self, simulation: Simulation) -> None:
        """Keep a copy of the state and an energy row."""
        self.frames.append(simulation.particles.clone())
        self.energies.append(energy_row(simulation))

    def event(self, row: Row) -> None:
        """Keep the row."""
        self.events.append(row)


def energy_row(simulation: Simulation) -> Row:
    """Return step, time, energy, work, energy_error and max_energy_error of the simulation, measured now."""
    energy = simulation.energy()
    return {
        "step": simulation.step,
        "time": simulation.time,
        "energy": energy,
        "work": simulation.work,
        "energy_error": simulation.energy_error,
        "max_energy_error": simulation.max_energy_error,
    }
