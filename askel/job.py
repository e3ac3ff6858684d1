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
from typing import Any

from . import __version__
from .build import Job, build
from .config import as_tables, load, override, parse, to_toml
from .integrators import Checkpoints, EnergySeries, Progress, RunReport, Simulation, Snapshots
from .integrators.carry import state_from_tree
from .outputs import Lock, Outputs
from .particles import InputError, Interrupted, NumericalFailure, Particles
from .particles.io_checkpoint import read_checkpoint, write_checkpoint
from .particles.io_h5md import TrajectoryWriter
from .particles.kernels import compiled_before, watch_compilation
from .particles.units import TIME
from .progress import display
from .signals import StopRequest
from .tables import Config
from .units_text import unit_text

#: Keys that a resumed run may change: they do not change what has been computed.
_FREE_KEYS = ("run.t_end", "run.max_hours", "output.checkpoint_every")
#: Keys that are filled in when the job leaves them open, and then are those of the checkpoint.
_FILLED_KEYS = ("output.every", "output.series_every")
_KIND = "askel-run"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run gives.

    Attributes
    ----------
    particles : Particles, the final state
    trajectory : path of the trajectory file
    report : RunReport, or None when a resumed run was finished already

    """

    particles: Particles
    trajectory: Path
    report: RunReport | None


@dataclass(frozen=True, slots=True)
class Request:
    """A job and how to run it.

    Attributes
    ----------
    config : the job
    origin : the job file, or None for a job from a program
    folder : where outputs go
    outputs : their names
    resume, overwrite, quiet : as on the command line
    max_hours : wall-clock limit, or None

    """

    config: Config
    origin: Path | None
    folder: Path
    outputs: Outputs
    resume: bool = False
    overwrite: bool = False
    quiet: bool = True
    max_hours: float | None = None

    @property
    def inputs(self) -> Path:
        """The folder where the names of input files start."""
        return Path.cwd() if self.origin is None else self.origin.parent


def request(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    folder: str | os.PathLike[str] = ".",
    **how: Any,
) -> Request:
    """Return a job, read and parsed, with the names of its outputs; see ``Request``.

    Raises
    ------
    InputError : a job that cannot be used, or outputs where it may not write

    """
    origin = None if isinstance(source, Mapping) else Path(source)
    config = parse(override(source, overrides)) if isinstance(source, Mapping) else load(Path(source), overrides)
    trusted = origin is None or any(text.split("=")[0].strip() == "output.file" for text in overrides)
    outputs = Outputs.of(config.output.file, Path(folder), anywhere=trusted)
    limit = how.get("max_hours")
    if limit is not None and not limit > 0.0:
        raise InputError(f"--max-hours {limit:g}: must be positive")
    return Request(config, origin, Path(folder), outputs, **how)


def run(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    folder: str | os.PathLike[str] = ".",
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    max_hours: float | None = None,
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
        )
    )


def execute(asked: Request) -> Result:
    """Start or resume a run; see ``run``."""
    with contextlib.nullcontext() if asked.quiet else watch_compilation(_say_compiling):
        return _execute(asked)


def _execute(asked: Request) -> Result:
    outputs = asked.outputs
    saved = None
    if asked.resume and not asked.overwrite:
        saved = read_saved(outputs)
        if saved is None and outputs.trajectory.exists():
            raise InputError(
                f"{outputs.trajectory} has no checkpoint {outputs.checkpoint.name} to resume from; "
                "use --overwrite to start anew, or another output.file"
            )
    if saved is not None:
        return _go_on(asked, saved)
    if not (asked.overwrite or asked.resume):  # under --resume, a used.toml alone is of a run killed at its very start
        outputs.refuse_existing(asked.origin)
    job = build(asked.config, asked.inputs)
    return _start(asked, job)


# ---------------------------------------------------------------------- starting and resuming


def _start(asked: Request, job: Job) -> Result:
    outputs = asked.outputs
    text = used_toml(job.config, asked)
    _warn(job)
    outputs.prepare_folder()
    first = job.simulation()
    with Lock(outputs.used) as used:
        used.write(text)
        for old in (outputs.checkpoint, outputs.previous):
            old.unlink(missing_ok=True)
        _save(outputs, first.state_dict(), text, 0.0)
        writer = _create(outputs, job, text)
        return _run(asked, job, writer, text)


def _go_on(asked: Request, saved: dict[str, Any]) -> Result:
    outputs, tree = asked.outputs, saved["simulation"]
    state = state_from_tree(tree["particles"])
    before = parse(_toml(saved["used"]), outputs.checkpoint.name)
    config = _merged(asked, before)
    if state.time >= state.units.read(config.run.t_end, TIME):
        if not asked.quiet:
            print(f"{outputs.trajectory}: finished already, at t = {state.time:.10g}; nothing to do", file=sys.stderr)
        return Result(state, outputs.trajectory, None)
    job = build(config, asked.inputs, state)
    text = used_toml(job.config, asked)
    _warn(job)
    with Lock(outputs.used) as used:
        used.write(text)
        lengths = next((o["lengths"] for o in tree["observers"].values() if "lengths" in o), None)
        writer = (
            _create(outputs, job, text) if lengths is None else TrajectoryWriter.resume(outputs.trajectory, lengths)
        )
        return _run(asked, job, writer, text, saved)


def _create(outputs: Outputs, job: Job, text: str) -> TrajectoryWriter:
    facts = {"configuration": text, "askel_version": __version__, "seed": job.config.run.seed}
    return TrajectoryWriter.create(outputs.trajectory, job.particles, overwrite=True, metadata=facts)


def _run(
    asked: Request, job: Job, writer: TrajectoryWriter, text: str, saved: Mapping[str, Any] | None = None
) -> Result:
    """Run to the end with all observers; the trajectory is closed and reported on whatever happens."""
    spent = 0.0 if saved is None else float(saved["wall_time"])
    started = clock.monotonic()

    def keep(tree: dict) -> None:
        _save(asked.outputs, tree, text, spent + clock.monotonic() - started)

    unit = unit_text(job.particles.units, "time", " ")
    with writer, display(unit, job.particles.time, quiet=asked.quiet) as shown:
        simulation = job.simulation(
            (
                Snapshots(writer, job.every),
                EnergySeries(writer, job.series_every),
                Progress(shown.show),
                Checkpoints(keep, job.checkpoint_seconds),
            )
        )
        if saved is not None:
            simulation.load_state_dict(saved["simulation"])
        with StopRequest(_hours(asked)) as stop:
            try:
                report = simulation.run(job.t_end, stop=stop)
            except NumericalFailure as failure:
                _report(writer, job, simulation, f"failed: {failure}", spent)
                raise
        _report(writer, job, simulation, "stopped" if report.stopped else "finished", spent)
    if report.stopped:
        raise Interrupted(
            f"stopped by {stop.reason} at t = {report.time:.10g}; a checkpoint is written: go on with --resume"
        )
    return Result(simulation.particles, asked.outputs.trajectory, report)


def _report(writer: TrajectoryWriter, job: Job, simulation: Simulation, outcome: str, spent: float) -> None:
    mergers = writer.lengths().get("events/merger", 0)
    writer.set_report(report_of(job, simulation, outcome, mergers, spent + simulation.wall_time))


def _hours(asked: Request) -> float | None:
    limits = [h for h in (asked.max_hours, asked.config.run.max_hours) if h is not None]
    return min(limits) if limits else None


# ---------------------------------------------------------------------- checkpoints and used.toml


def _save(outputs: Outputs, tree: dict[str, Any], text: str, wall_time: float) -> None:
    whole = {"kind": _KIND, "version": __version__, "used": text, "wall_time": wall_time, "simulation": tree}
    write_checkpoint(outputs.checkpoint, whole)


def read_saved(outputs: Outputs) -> dict[str, Any] | None:
    """Return the tree of the last good checkpoint, or None when there is none."""
    if not (outputs.checkpoint.exists() or outputs.previous.exists()):
        return None
    saved = read_checkpoint(outputs.checkpoint)
    if saved.note:
        print(f"askel: warning: {saved.note}", file=sys.stderr)
    if saved.get("kind") != _KIND:
        raise InputError(f"{outputs.checkpoint} is not the checkpoint of an askel run; start anew with --overwrite")
    return saved


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def used_toml(config: Config, asked: Request) -> str:
    """Return the job as TOML that repeats it when run from the folder of the output."""
    tables = as_tables(config)
    tables["output"]["file"] = asked.outputs.trajectory.name
    source = tables["particles"].get("file")
    if source is not None:
        target = asked.outputs.trajectory.parent
        tables["particles"]["file"] = os.path.relpath((asked.inputs / source).resolve(), target.resolve())
    return to_toml(tables, [f"The job as askel {__version__} ran it; 'askel run' of this file repeats the run."])


def _merged(asked: Request, before: Config) -> Config:
    """Return the job of a resumed run: that of the checkpoint, with the keys that may change.

    Raises
    ------
    InputError : a key that changes what has been computed is different

    """
    old, new = _flat(_toml(to_toml(as_tables(before)))), _flat(_toml(used_toml(asked.config, asked)))
    for key in [*old, *(k for k in new if k not in old)]:
        same = old.get(key) == new.get(key) or key in _FREE_KEYS or (key in _FILLED_KEYS and key not in new)
        if not same and key != "output.file":
            raise InputError(
                f"{key} is {new.get(key, 'not set')!r} now and was {old.get(key, 'not set')!r} when the run started; a resumed "
                "run keeps it: set it back, or start anew with --overwrite"
            )
    tables = as_tables(asked.config)
    for key in _FILLED_KEYS:
        table, name = key.split(".")
        tables[table].setdefault(name, as_tables(before)[table][name])
    return parse(tables)


def _flat(tables: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{head}{key}."))
        else:
            flat[head + key] = value
    return flat


# ---------------------------------------------------------------------- what is said


def _warn(job: Job) -> None:
    for line in job.warnings:
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
        "wall_time": wall_time,
        "energy_error": {k: v for k, v in error.items() if math.isfinite(v)},
        "post_newtonian": relativity,
        "mergers": mergers,
        "statistics": {k: v for k, v in numbers.items() if math.isfinite(v)},
    }
