"""What ``askel run`` says before (``--dry-run``) and after a run."""

from __future__ import annotations

import math
from collections import Counter
from importlib import import_module

from . import checks
from .build import Job, build
from .job import Result, kernel_modules, kernels_ready
from .particles import KINDS, UNIT_SYSTEMS, Particles
from .progress import duration
from .request import Request
from .saved import read_newest
from .units_text import picoseconds


def preview(asked: Request) -> list[str]:
    """Return what a run would do, line by line; builds everything and writes nothing."""
    if not (asked.overwrite or asked.resume):
        asked.outputs.refuse_existing(asked.origin)
    job = build(asked.config, asked.inputs)
    particles = job.particles
    frames = (job.t_end - particles.time) / job.every
    size = checks.output_bytes(particles, frames, (job.t_end - particles.time) / job.series_every, particles.n)
    state = "compiled" if kernels_ready() else "to be compiled, once"
    return [
        *_resumed(asked),
        f"particles      {particles.n} ({_kinds(particles)}), at t = {_time(job, particles.time)}",
        f"units          {_units(particles)}",
        *(_molecular(job) if job.molecular else _gravity(job)),
        f"run            to t = {_time(job, job.t_end)}, {_steps(job)}",
        f"kernels        {', '.join(kernel_modules()) or 'none'} ({state})",
        f"memory         about {_bytes(checks.memory_estimate(particles))}",
        f"output         {asked.outputs.trajectory}: {frames:.0f} frames, about {_bytes(size)}",
        *(f"warning        {line}" for line in job.warnings),
        "nothing was written (--dry-run)",
    ]


def _gravity(job: Job) -> list[str]:
    """Return the lines on how bodies move."""
    config, terms = job.config, job.config.post_newtonian
    return [
        f"integrator     {config.integrator.kind}, {_accuracy(job)}",
        f"post-Newtonian {', '.join(terms.terms) if terms is not None and terms.terms else 'none'}",
        f"mergers        {'none' if config.mergers is None else f'within {config.mergers.distance:g} x 2 G (m1 + m2)/c^2'}",
    ]


def _molecular(job: Job) -> list[str]:
    """Return the lines on how atoms move."""
    config = job.config
    bath, press, control, forces = config.thermostat, config.barostat, config.error_control, config.forces
    model = f" {config.integrator.model}" if config.integrator.model else ""
    lines = [f"integrator     {config.integrator.kind}{model}, step {1e3 * picoseconds(_step(job) or 0.0):g} fs"]
    if control is not None:
        after = control.fallback or "none"
        lines.append(f"error control  {', '.join(job.estimators)}; tolerance {control.tolerance:g}; fallback {after}")
    lines.append(f"forces         {'none' if forces is None else forces.reference or forces.model}")
    if bath is None:
        lines.append("thermostat     none: constant energy")
    else:
        time = 1e3 * picoseconds(job.thermostat.time_constant)
        lines.append(f"thermostat     {bath.kind}, {bath.temperature:g} K, time constant {time:g} fs")
    if press is not None:
        lines.append(f"barostat       {press.pressure:g} bar, every {press.every} steps")
    return lines


def _time(job: Job, value: float) -> str:
    return f"{picoseconds(value):.10g} ps" if job.molecular else f"{value:.10g}"


def _resumed(asked: Request) -> list[str]:
    """Return a line that says where a resumed run would go on."""
    saved = read_newest(asked.outputs) if asked.resume and not asked.overwrite else None
    if saved is None:
        return []
    return [f"resume         {asked.outputs.checkpoint}, at t = {saved['simulation']['particles']['fields']['time']:g}"]


def _kinds(particles: Particles) -> str:
    if particles.species is not None and not particles.is_kind(KINDS["star"]).any():
        from .particles.io_ase import symbols

        return " ".join(f"{count} {name}" for name, count in Counter(symbols(particles.species)).items())
    names = {code: name for name, code in KINDS.items()}
    counts = Counter(names[int(k)] for k in particles.kind) if particles.kind is not None else Counter()
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _units(particles: Particles) -> str:
    units = particles.units
    if units == UNIT_SYSTEMS["ase"]:
        return "ase: Angstrom, amu, eV, so times are in 10.18 fs (write '5 fs')"
    light = units.speed_of_light
    return f"{units.name}: G = {units.gravitational_constant:.6g}, c = {'none' if light is None else f'{light:.6g}'}"


def _accuracy(job: Job) -> str:
    settings = job.config.integrator
    if settings.step is not None:
        return f"step {settings.step}"
    return f"tolerance {getattr(job.propagator, 'tolerance', settings.tolerance)}"


def _step(job: Job) -> float | None:
    return getattr(job.controller, "step", None)


def _steps(job: Job) -> str:
    step = _step(job)
    return (
        f"{math.ceil((job.t_end - job.particles.time) / step - 1e-6)} steps" if step else "steps as the error demands"
    )


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def summary(result: Result) -> list[str]:
    """Return what a run did."""
    report = result.report
    assert report is not None, "a run that did nothing has no summary"
    trajectory = import_module("askel.particles.io_h5md").Trajectory
    with trajectory(result.trajectory) as file:
        frames, tables = len(file), {t: n for t, n in file.table_lengths().items() if t.startswith("events/")}
    events = "".join(f", {count} {name.split('/')[1]}{'s' if count > 1 else ''}" for name, count in tables.items())
    time = f"{picoseconds(report.time):.10g} ps" if result.notes else f"{report.time:.10g}"
    lines = [f"{result.trajectory}: {frames} frames, {result.count} particles, t = {time}{events}", *result.notes]
    if math.isfinite(report.max_energy_error) and not result.notes:
        lines.append(f"energy error {report.energy_error:.2e} (largest {report.max_energy_error:.2e})")
    measures = report.statistics
    if "max_v_over_c" in measures and measures["max_v_over_c"] > 0:
        lines.append(
            f"largest v/c {measures['max_v_over_c']:.3g}, largest G m/(r c^2) {measures.get('max_compactness', 0.0):.3g}"
        )
    return [*lines, f"{report.steps} steps in {duration(report.wall_time)}; look at it: askel plot {result.trajectory}"]
