"""A run from its job file to its last frame: start or resume, watch, stop, report.

Order of a fresh start, so that a kill at any moment leaves something that ``--resume`` can use: a checkpoint of the initial
state first, then the trajectory.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .build import Job, build
from .config import parse
from .integrators import Checkpoints, EnergySeries, Observer, Progress, RunReport, Simulation, Snapshots
from .integrators.carry import state_from_tree
from .integrators.step_rows import StepRows
from .outputs import Lock
from .parallel import exchange_of_launch
from .particles import SERIAL, Interrupted, NumericalFailure, Particles
from .particles.collective import gather, on_first
from .particles.io_h5md import TrajectoryWriter
from .particles.io_h5md_ranks import GatheredWriter, PartsWriter, RanksWriter
from .particles.kernels import compiled_before, watch_compilation
from .particles.units import TIME
from .progress import Display, display
from .request import Request, request
from .saved import merged, model_digests, read_saved, refuse_changed_models, save, tables_of, used_toml
from .signals import StopRequest
from .units_text import picoseconds, unit_text

if TYPE_CHECKING:
    from .thermometer import Thermometer


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gives.

    Attributes
    ----------
    particles : Particles, the final state; of several ranks, rank 0 has it, or with files = "per-rank" each what it owns
    trajectory : path of the trajectory file
    report : RunReport, or None when a resumed run was finished already
    notes : lines about temperatures, momentum and energy, of a run of atoms
    count : int, particles of all ranks

    """

    particles: Particles
    trajectory: Path
    report: RunReport | None
    notes: tuple[str, ...] = ()
    count: int = 0


def run(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    folder: str | os.PathLike[str] = ".",
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    max_hours: float | None = None,
    parallel: bool = False,
) -> Result:
    """Run a job to its end.

    Parameters
    ----------
    source : path of a TOML job file, or its tables as nested dictionaries
    overrides : ``key=value`` texts, such as ``"integrator.tolerance=1e-12"``
    folder : where outputs go; a job file may only write inside it, a dictionary anywhere
    resume : go on from the last checkpoint; start if there is none
    overwrite : replace existing outputs
    quiet : show no progress
    max_hours : wall-clock limit
    parallel : share the particles out over the ranks that mpiexec started; every rank then makes the same call

    Returns
    -------
    Result : final particles, path of the trajectory, report

    Raises
    ------
    InputError : a job that cannot be run; nothing is written then
    NumericalFailure : the integration cannot go on; the trajectory holds all up to the last good frame
    Interrupted : SIGINT, SIGTERM, SIGUSR1 or the limit; a checkpoint is written, and ``resume`` goes on

    """
    return execute(
        request(
            source,
            overrides=overrides,
            folder=folder,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
            max_hours=max_hours,
            exchange=exchange_of_launch() if parallel else SERIAL,
        )
    )


def execute(asked: Request) -> Result:
    """Start or resume a run; see ``run``."""
    with contextlib.nullcontext() if _mute(asked) else watch_compilation(_say_compiling):
        return _execute(asked)


def _execute(asked: Request) -> Result:
    outputs = asked.outputs
    if asked.resume and not asked.overwrite:
        saved = read_saved(asked.exchange, outputs)
        if saved is not None:
            return _go_on(asked, saved)
        on_first(asked.exchange, outputs.refuse_lone_trajectory)
    if not (asked.overwrite or asked.resume):  # under --resume, a used.toml alone is of a run killed at its very start
        on_first(asked.exchange, lambda: outputs.refuse_existing(asked.origin))
    job = build(asked.config, asked.inputs, exchange=asked.exchange)
    return _start(asked, job)


# ---------------------------------------------------------------------- starting and resuming


def _start(asked: Request, job: Job) -> Result:
    outputs = asked.outputs
    text = used_toml(job.config, asked)
    _warn(job)
    on_first(asked.exchange, outputs.prepare_folder)
    tree = job.simulation().state_dict(in_shares=job.in_shares)
    with contextlib.ExitStack() as held:

        def begin() -> None:
            held.enter_context(Lock(outputs.used)).write(text)
            outputs.remove_old()

        on_first(asked.exchange, begin)
        models = model_digests(job.config, asked.inputs)
        save(asked.exchange, outputs, tree, text, 0.0, models, in_shares=job.in_shares)
        del tree
        return _run(asked, job, _new_trajectory(asked, job, text), text)


def _go_on(asked: Request, saved: dict[str, Any]) -> Result:
    outputs, tree = asked.outputs, saved["simulation"]
    state = state_from_tree(tree["particles"])
    before = parse(tables_of(saved["used"]), outputs.checkpoint.name)
    config = merged(asked, before)
    refuse_changed_models(saved, model_digests(config, asked.inputs))
    if state.time >= state.units.read(config.run.t_end, TIME):
        return _finished(asked, state)
    job = build(config, asked.inputs, state, asked.exchange, in_shares="shares" in saved)
    if state.time >= job.t_end:  # it was rounded to whole strides
        return _finished(asked, state)
    text = used_toml(job.config, asked)
    _warn(job)
    lengths = next((o["lengths"] for o in tree["observers"].values() if "lengths" in o), None)
    with contextlib.ExitStack() as held:
        on_first(asked.exchange, lambda: held.enter_context(Lock(outputs.used)).write(text))
        if lengths is None:
            on_first(asked.exchange, outputs.remove_parts)
            writer = _new_trajectory(asked, job, text)
        else:
            writer = _old_trajectory(asked, job, lengths)
        return _run(asked, job, writer, text, saved)


def _finished(asked: Request, state: Particles) -> Result:
    if not _mute(asked):
        name = asked.outputs.trajectory
        print(f"{name}: finished already, at t = {state.time:.10g}; nothing to do", file=sys.stderr)
    return Result(state, asked.outputs.trajectory, None, count=int(asked.exchange.reduce(state.n, "sum")))


def _new_trajectory(asked: Request, job: Job, text: str) -> RanksWriter:
    """Return the writer of a trajectory that begins."""
    exchange, path, first = asked.exchange, asked.outputs.trajectory, job.particles
    facts = {"configuration": text, "askel_version": __version__, "seed": job.config.run.seed}
    if job.in_shares:
        return PartsWriter.create(exchange, path, first, facts)
    rows = int(exchange.reduce(first.n, "sum"))
    return GatheredWriter(
        exchange,
        on_first(
            exchange,
            lambda: TrajectoryWriter.create(path, first, overwrite=True, metadata=facts, capacity=rows),
        ),
    )


def _old_trajectory(asked: Request, job: Job, lengths: Mapping[str, int]) -> RanksWriter:
    """Return the writer that goes on with a trajectory, cut back to what the checkpoint knows."""
    exchange, path = asked.exchange, asked.outputs.trajectory
    if job.in_shares:
        return PartsWriter.resume(exchange, path, lengths, job.particles)
    return GatheredWriter(exchange, on_first(exchange, lambda: TrajectoryWriter.resume(path, lengths)))


def _run(asked: Request, job: Job, writer: RanksWriter, text: str, saved: Mapping[str, Any] | None = None) -> Result:
    """Run to the end with all observers; the trajectory is closed and reported on whatever happens."""
    spent = 0.0 if saved is None else float(saved["wall_time"])
    started = clock.monotonic()
    models = model_digests(job.config, asked.inputs)

    def keep(tree: dict) -> None:
        seconds = spent + clock.monotonic() - started
        save(asked.exchange, asked.outputs, tree, text, seconds, models, in_shares=job.in_shares)

    thermometer = _thermometer(writer, job) if job.molecular else None
    with writer, _display(asked, job, thermometer) as shown:
        watchers: list[Observer] = [Snapshots(writer, job.every), StepRows(writer)]
        if job.potential is not None or not job.molecular:
            watchers.append(EnergySeries(writer, job.series_every))
        if thermometer is not None:
            watchers.append(thermometer)
        watchers += [Progress(shown.show), Checkpoints(keep, job.checkpoint_seconds, in_shares=job.in_shares)]
        simulation = job.simulation(tuple(watchers))
        if saved is not None:
            simulation.load_state_dict(saved["simulation"])
        with StopRequest(_hours(asked)) as stop:
            try:
                report = simulation.run(job.t_end, stop=stop)
            except NumericalFailure as failure:
                if not failure.everywhere:  # others do not know of it, and wait elsewhere
                    raise
                _report(writer, job, simulation, f"failed: {failure}", spent, thermometer)
                raise
        _report(writer, job, simulation, "stopped" if report.stopped else "finished", spent, thermometer)
    if report.stopped:
        reason = stop.reason or "another rank"
        end = Interrupted(
            f"stopped by {reason} at t = {report.time:.10g}; a checkpoint is written: go on with --resume"
        )
        end.everywhere = True
        raise end
    notes = () if thermometer is None else thermometer.notes(dict(report.statistics), report.wall_time)
    final = simulation.particles if job.in_shares else gather(asked.exchange, simulation.particles)
    count = int(asked.exchange.reduce(simulation.particles.n, "sum"))
    return Result(final, asked.outputs.trajectory, report, notes, count)


def _thermometer(writer: RanksWriter, job: Job) -> Thermometer:
    from .thermometer import Thermometer

    return Thermometer(writer, job.series_every, job.thermostat, job.exchange)


def _mute(asked: Request) -> bool:
    return asked.quiet or asked.exchange.rank > 0


def _display(asked: Request, job: Job, thermometer: Thermometer | None) -> Display:
    """Return the progress display: molecular runs are shown in ps, with temperature and ns/day."""
    start = job.particles.time
    if thermometer is None:
        return display(unit_text(job.particles.units, "time", " "), start, quiet=_mute(asked))
    return display(" ps", start, quiet=_mute(asked), scale=picoseconds(1.0), measure=thermometer.words, daily="ns")


def _report(
    writer: RanksWriter,
    job: Job,
    simulation: Simulation,
    outcome: str,
    spent: float,
    thermometer: Thermometer | None,
) -> None:
    mergers = writer.lengths().get("events/merger", 0)
    facts = report_of(job, simulation, outcome, mergers, spent + simulation.wall_time)
    writer.set_report(facts | ({} if thermometer is None else thermometer.facts()))


def _hours(asked: Request) -> float | None:
    limits = [h for h in (asked.max_hours, asked.config.run.max_hours) if h is not None]
    return min(limits) if limits else None


# ---------------------------------------------------------------------- what is said


def _warn(job: Job) -> None:
    for line in job.warnings if job.exchange.rank == 0 else ():
        print(f"askel: warning: {line}", file=sys.stderr)


def _say_compiling() -> None:
    print("compiling kernels, once for this version; this takes up to a minute ...", file=sys.stderr, flush=True)


def kernel_modules() -> list[str]:
    """Return the compiled-kernel modules that are loaded, which are those the job uses."""
    return sorted(name.rpartition(".")[2] for name in sys.modules if "._kernels." in name and name.endswith("_cpu"))


def kernels_ready() -> bool:
    """Return whether the cache holds kernels of all modules of the job (if perhaps not every version of them)."""
    return all(compiled_before(module) for module in kernel_modules())


def report_of(job: Job, simulation: Simulation, outcome: str, mergers: int, wall_time: float) -> dict[str, Any]:
    """Return what a trajectory says about its run; unknown numbers are left out."""
    terms, numbers = job.config.post_newtonian, simulation.statistics
    relativity: dict[str, Any] = {"terms": [] if terms is None else list(terms.terms)}
    if relativity["terms"]:
        relativity["pairs"] = "" if terms is None else terms.pairs
        relativity |= {k: numbers[k] for k in ("max_v_over_c", "max_compactness") if k in numbers}
    error = {"max": simulation.max_energy_error, "final": simulation.energy_error}
    return {
        "outcome": outcome,
        "integrator": job.config.integrator.kind,
        "steps": simulation.step,
        "ranks": job.exchange.size,
        "wall_time": wall_time,
        "energy_error": {k: v for k, v in error.items() if math.isfinite(v)},
        "post_newtonian": relativity,
        "mergers": mergers,
        "statistics": {k: v for k, v in numbers.items() if math.isfinite(v)},
    }
