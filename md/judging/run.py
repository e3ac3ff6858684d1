"""Runs over seeds for judging: any propagator from several starts, through the ordinary run loop, frames in memory."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...integrators.controllers import Fixed
from ...integrators.loop import Simulation
from ...integrators.observers import Observer, Progress, Records
from ...integrators.propagator import Outcome, Propagator
from ...particles import UNIT_SYSTEMS, InputError, NumericalFailure, Particles
from ..model_units import ASE_TIME
from ..replicas import replicate
from .failure import Failure, failure
from .files import frames_from_particles
from .frames import Frames

#: (seed, state) -> the propagator of one run
Alone = Callable[[int, Particles], Propagator]
#: (states, row offsets) -> the propagator of all runs as one graph
Together = Callable[[Sequence[Particles], tuple[int, ...]], Propagator]


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """Runs of one propagator from several starts.

    Attributes
    ----------
    runs : the frames of each, up to its failure
    failures : of each, None where it went to the end
    wall_time : seconds of all runs together, observers included
    statistics : what the propagator counted, added over all runs

    """

    runs: list[Frames]
    failures: list[Failure | None]
    wall_time: float
    statistics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How runs go.

    Attributes
    ----------
    stride : fs, the step of the loop
    duration : fs, rounded to whole strides
    every : fs between frames, a multiple of the stride
    progress : called with the simulation about twice a second, or None

    """

    stride: float
    duration: float
    every: float
    progress: Callable[[Simulation], None] | None = None

    def __post_init__(self) -> None:
        ratio = self.every / self.stride
        if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-4:
            raise InputError(f"frames every {self.every:g} fs are no multiple of the stride of {self.stride:g} fs")
        if not self.duration >= 2.0 * self.every:
            raise InputError(f"a duration of {self.duration:g} fs is too short for frames every {self.every:g} fs")


@dataclass(frozen=True, slots=True)
class _Part:
    frames: list[Particles]
    broken: Failure | None
    wall: float
    statistics: dict[str, float]


def starting_states(runs: Sequence[Frames], count: int) -> list[Particles]:
    """Return ``count`` states of the runs in ASE units, evenly spread, to start from; raises InputError without velocities."""
    if runs[0].velocity is None:
        raise InputError("the reference has no velocities to start from")
    lengths = np.cumsum([0, *(len(r) for r in runs)])
    states = []
    for place in ((np.arange(count) + 0.5) / count * lengths[-1]).astype(int):
        r = int(np.searchsorted(lengths, place, side="right")) - 1
        frames, k = runs[r], int(place - lengths[r])
        assert frames.velocity is not None, "all runs hold the same"
        states.append(
            Particles(
                frames.mass,
                frames.position[k].copy(),
                frames.velocity[k] * ASE_TIME,
                units=UNIT_SYSTEMS["ase"],
                species=frames.species,
                cell=None if frames.cell is None else frames.cell[k],
                periodic=None if frames.cell is None else frames.periodic,
            )
        )
    return states


def run_seeds(
    alone: Alone, starts: Sequence[Particles], schedule: Schedule, *, temperature: float | None = None
) -> SeedRuns:
    """Run a propagator from each start, one run after the other.

    Parameters
    ----------
    alone : makes the propagator of a run; seeds are 0, 1, ...
    starts : states in ASE units, changed in place
    schedule : see ``Schedule``
    temperature : K, for the checks of ``failure.failure``

    """
    parts = [_go(state, alone(seed, state), schedule, schedule.duration, seed) for seed, state in enumerate(starts)]
    return _collect([p.frames for p in parts], [p.broken for p in parts], parts, schedule, temperature)


def run_together(
    together: Together,
    alone: Alone,
    starts: Sequence[Particles],
    schedule: Schedule,
    *,
    temperature: float | None = None,
) -> SeedRuns:
    """Run all starts as replicas of one graph; when one of them fails, the rest of each is run alone from its last frame.

    Parameters as of ``run_seeds``; states must share one cell (raises InputError otherwise).
    """
    whole, rows = replicate(starts)
    first = _go(whole, together(starts, rows), schedule, schedule.duration, 0)
    pieces = [[state.select(np.arange(a, b)) for state in first.frames] for a, b in pairwise(rows)]
    parts = [first]
    broken: list[Failure | None] = [None] * len(starts)
    if first.broken is not None:
        done = (first.frames[-1].time - first.frames[0].time) * ASE_TIME
        for seed, piece in enumerate(pieces):
            state = piece[-1].clone()
            rest = _go(state, alone(seed + len(starts), state), schedule, schedule.duration - done, seed, resumed=True)
            piece += rest.frames[1:]
            parts.append(rest)
            if rest.broken is not None:
                broken[seed] = Failure(rest.broken.time + done, rest.broken.reason)
    return _collect(pieces, broken, parts, schedule, temperature)


def _go(
    state: Particles, method: Propagator, schedule: Schedule, duration: float, seed: int, *, resumed: bool = False
) -> _Part:
    """Run one state for ``duration`` fs, or to its failure; what a resumed run is refused is a failure too."""
    records = Records(schedule.every / ASE_TIME)
    watchers: list[Observer] = [records]
    if schedule.progress is not None:
        watchers.append(Progress(schedule.progress, 0.5))
    wanted = schedule.stride / ASE_TIME
    known = method.capabilities.strides or (wanted,)
    step = min(known, key=lambda s: abs(s - wanted))  # the propagator's own number, to the last digit
    start, begun, broken = state.time, clock.monotonic(), None
    simulation = Simulation(state, method, Fixed(step), observers=watchers, seed=seed)
    try:
        simulation.run(start + round(duration / schedule.stride) * step)
    except NumericalFailure as end:
        broken = Failure((simulation.time - start) * ASE_TIME, str(end).split(" (at time")[0])
    except InputError:
        if not resumed:
            raise
        broken = Failure((simulation.time - start) * ASE_TIME, Outcome.OUT_OF_RANGE.value)
    frames = _even(records.frames, schedule.every / ASE_TIME)
    return _Part(frames, broken, clock.monotonic() - begun, dict(simulation.statistics))


def _even(frames: Sequence[Particles], spacing: float) -> list[Particles]:
    """Return the frames that are whole spacings after the first: the loop keeps the last state wherever it falls."""
    places = [(f.time - frames[0].time) / spacing for f in frames]
    return [f for f, place in zip(frames, places, strict=True) if abs(place - round(place)) < 1e-3]


def _collect(
    pieces: Sequence[Sequence[Particles]],
    broken: Sequence[Failure | None],
    parts: Sequence[_Part],
    schedule: Schedule,
    temperature: float | None,
) -> SeedRuns:
    runs, failures = [], []
    for piece, end in zip(pieces, broken, strict=True):
        frames = frames_from_particles(piece, interval=schedule.every)
        seen = failure(frames, temperature)
        runs.append(frames)
        failures.append(min((f for f in (seen, end) if f is not None), key=lambda f: f.time, default=None))
    statistics: dict[str, float] = {}
    for part in parts:
        for name, value in part.statistics.items():
            statistics[name] = statistics.get(name, 0.0) + value
    return SeedRuns(runs, failures, sum(part.wall for part in parts), statistics)
