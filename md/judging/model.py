"""Judging a model: its one-step errors and reversibility, then runs over several seeds against the reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...equivariant.model_file import Model
from ...integrators.loop import Simulation
from ...integrators.propagator import Propagator
from ...particles import InputError, Particles
from ..groups import Grouping
from ..layers import Layer
from ..model_library import stride_of
from ..model_units import ASE_TIME
from ..replicas import Replicas
from ..stride import LearnedStride, StrideEngine
from ..temperature import conserved_in
from ..thermostats import STRIDES_PER_TIME_CONSTANT, Thermostatted, thermostat
from .dynamics import LIGHT
from .files import Runs, as_runs
from .frames import Frames
from .judge import Bounds, judge
from .one_step import (
    FORCE_FREE,
    StepError,
    StepFunction,
    StepPairs,
    baseline_errors,
    predict,
    reversibility_defect,
    step_errors,
    step_pairs,
)
from .report import NAN, Judgement, Row, Verdict
from .run import Schedule, SeedRuns, run_seeds, run_together, starting_states

if TYPE_CHECKING:
    from collections.abc import Mapping

#: what a thermostat of groups is called in the notes
_GROUPED = {
    "species": ", one for each species",
    "molecules": ", one each for translation, rotation, vibration of molecules",
}
#: pairs of states that the reversibility defect is measured on
_REVERSED = 20
#: most pairs of states that one-step errors are measured on
MOST_PAIRS = 200

#: A model's name or file, a model, or what evaluates one
Judged = str | Path | Model | StrideEngine | LearnedStride
#: (stride, state) -> propagator: error control and the like, between the stride and the thermostat
Around = Callable[[LearnedStride, Particles], Propagator]


def run_and_judge(
    model: Judged,
    reference: Runs,
    *,
    temperature: float,
    duration: float,
    stride: float | None = None,
    thermostat_kind: str = "bussi",
    time_constant: float | None = None,
    groups: Grouping = "all",
    seeds: int = 4,
    every: float | None = None,
    discard: float | None = None,
    one_step: Runs | None = None,
    around: Around | None = None,
    bounds: Bounds | None = None,
    progress: Callable[[Simulation], None] | None = None,
    title: str = "",
) -> Judgement:
    """Judge a model: one step, then runs over seeds under a thermostat, through the ordinary run loop.

    Parameters
    ----------
    model : shipped name, file, ``Model``, engine, or ``LearnedStride``
    reference : trajectory, runs, or a file of either or of NVE segments (those nearest the temperature are taken); starts
        are drawn from it, evenly spread
    temperature : K
    duration : fs of every run
    stride : fs; the model's longest when not given
    thermostat_kind : of ``thermostats.THERMOSTATS``, or "none" for NVE. Bussi's disturbs spectra and diffusion least, and
        hides no loss of equipartition; Langevin's widens spectra by 1/(2 pi c time_constant).
    time_constant : fs; 10 strides when not given
    groups : of "bussi" and "nose-hoover": one thermostat for all atoms, one for each species, or one each for translation,
        rotation and vibration of molecules
    seeds : number of runs; replicas of one graph where the states share a cell and there is no ``around``
    every : fs between frames; each stride when not given
    discard : fs of every run that are not measured; a tenth when not given
    one_step : states not trained on, for one-step errors; the reference when not given
    around : (stride, state) -> propagator, such as error control
    bounds : see ``Bounds``
    progress : called with the simulation about twice a second
    title : heading

    Raises
    ------
    InputError : no such model, a stride it was not trained for, a reference without velocities or with other atoms

    """
    learned = stride_of(model)
    h = _chosen(learned, stride)
    truth = as_runs(reference, temperature)
    step = learned.engine.stride
    pairs = step_pairs(truth if one_step is None else as_runs(one_step, temperature), h, most=MOST_PAIRS)
    first = judge_one_step(step, pairs)
    tau = STRIDES_PER_TIME_CONSTANT * h if time_constant is None else time_constant
    schedule = Schedule(h, duration, h if every is None else every, progress)
    options = {} if thermostat_kind in ("langevin", "none") else {"groups": groups}
    found = _run(learned, truth, schedule, temperature, thermostat_kind, tau, seeds, around, options)
    skip = 0.1 * duration if discard is None else discard
    last = judge_runs(found, truth, temperature=temperature, discard=skip, bounds=bounds)
    facts: dict[str, object] = {
        "model": learned.name,
        "temperature_K": temperature,
        "thermostat": thermostat_kind,
        "time_constant_fs": tau,
        **options,
        "seeds": seeds,
        **{f"counted_{name}": value for name, value in found.statistics.items()},
    }
    each = _GROUPED.get(options.get("groups", "all"), "")
    notes = (
        f"{seeds} runs of {duration * 1e-3:g} ps at {temperature:g} K, thermostat {thermostat_kind}{each}, time constant "
        f"{tau:g} fs, the first {skip * 1e-3:g} ps of each not measured",
        *learned.notes(starting_states(truth, 1)[0]),
    )
    if thermostat_kind == "langevin":
        width = 1.0 / (2.0 * math.pi * LIGHT * tau)
        notes += (f"the friction of the Langevin thermostat widens peaks by {width:.0f} cm^-1 and slows diffusion",)
    both = replace(first, title=title or f"{learned.name}, stride {h:g} fs").and_(last)
    return replace(both, notes=notes + both.notes, facts={**both.facts, **facts})


def judge_runs(
    found: SeedRuns,
    reference: Runs,
    *,
    temperature: float | None = None,
    discard: float = 0.0,
    bounds: Bounds | None = None,
    title: str = "",
) -> Judgement:
    """Judge runs over seeds, of ``run``, against a reference; see ``judge.judge``."""
    return judge(
        found.runs,
        reference,
        temperature=temperature,
        wall_time=found.wall_time,
        failures=found.failures,
        discard=discard,
        bounds=bounds,
        title=title,
    )


def _run(
    learned: LearnedStride,
    truth: Sequence[Frames],
    schedule: Schedule,
    temperature: float,
    kind: str,
    time_constant: float,
    seeds: int,
    around: Around | None,
    options: Mapping[str, str],
) -> SeedRuns:
    starts = starting_states(truth, seeds)

    def bath(seed: int, state: Particles) -> list[Layer]:
        if kind == "none":
            return []
        kept = conserved_in(state)
        return [thermostat(kind, temperature, time_constant / ASE_TIME, seed=seed, conserved=kept, **options)]

    def alone(seed: int, state: Particles) -> Propagator:
        inner = learned if around is None else around(learned, state)
        return Thermostatted(inner, layers[0]) if (layers := bath(seed, state)) else inner

    def together(states: Sequence[Particles], rows: tuple[int, ...]) -> Propagator:
        inner = LearnedStride(learned.engine, name=learned.name, starts=rows)
        return Replicas(inner, [bath(k, state) for k, state in enumerate(states)], rows)

    shared = all(np.array_equal(s.cell, starts[0].cell) for s in starts)  # type: ignore[arg-type]
    if around is None and shared and seeds > 1:
        return run_together(together, alone, starts, schedule, temperature=temperature)
    return run_seeds(alone, starts, schedule, temperature=temperature)


def _chosen(learned: LearnedStride, stride: float | None) -> float:
    known = learned.engine.architecture.strides
    if stride is None:
        return float(max(known))
    near = min(known, key=lambda h: abs(h - stride))
    if abs(near - stride) > 1e-6 * near:
        raise InputError(
            f"{learned.name} was asked for a stride of {stride:g} fs; it was trained for "
            f"{', '.join(f'{h:g}' for h in known)} fs"
        )
    return float(near)


# ---------------------------------------------------------------------- one step


def judge_one_step(step: StepFunction, pairs: StepPairs, *, title: str = "") -> Judgement:
    """Judge one step of a model on pairs of states a stride apart, beside the trivial baselines.

    Errors in 1e-5 Angstrom and 1e-5 Angstrom/fs pass when they are below those of the best baseline without forces, which is
    the column 'reference'; the relative ones are what papers quote. Velocity Verlet of the whole stride, which needs the
    exact forces, stands beside them.

    Parameters
    ----------
    step : (species, mass, position, velocity, cell, periodic, stride) -> (displacement, velocity), as ``Engine.stride``
    pairs : of ``judge_one_step.step_pairs``, cut from states the model was not trained on
    title : heading

    """
    from ...particles.io_ase import symbols

    mine, others = step_errors(predict(step, pairs), pairs), baseline_errors(pairs)
    rows: list[Row] = []
    for k, error in enumerate(mine):
        name = "all atoms" if error.element is None else symbols(np.array([error.element]))[0]
        rows += _step_rows(error, name, {label: table[k] for label, table in others.items()})
    for name, table in others.items():
        whole = table[0]
        rows.append(Row("one step", f"displacement ({name})", 100.0 * whole.displacement_relative, unit="%"))
        rows.append(Row("one step", f"velocity ({name})", 100.0 * whole.velocity_relative, unit="%"))
    back, turned = reversibility_defect(step, pairs.thinned(_REVERSED))
    rows.append(Row("one step", "reversibility defect, positions", 100.0 * back, unit="% of displacement"))
    rows.append(Row("one step", "reversibility defect, velocities", 100.0 * turned, unit="% of velocity"))
    notes = ("one-step errors are against the better of the baselines without forces: " + ", ".join(FORCE_FREE),)
    facts = {"stride_fs": pairs.stride, "pairs": len(pairs)}
    return Judgement(title or f"one step of {pairs.stride:g} fs", tuple(rows), notes=notes, facts=facts)


def _step_rows(error: StepError, name: str, baselines: Mapping[str, StepError]) -> list[Row]:
    rows = []
    for what, unit in (("displacement", "1e-5 Å"), ("velocity", "1e-5 Å/fs")):
        value, spread = getattr(error, what), getattr(error, f"{what}_error")
        best = min(getattr(baselines[label], what) for label in FORCE_FREE)
        verdict: Verdict = "pass" if value < best else "fail"
        rows.append(Row("one step", f"{what} {name}", value, spread, unit, best, NAN, best, "value", verdict))
        relative = 100.0 * getattr(error, f"{what}_relative")
        rows.append(Row("one step", f"{what} {name}, relative", relative, unit="%"))
    return rows
