"""What ``askel run`` says before (``--dry-run``) and after a run."""

from __future__ import annotations

import math
from collections import Counter
from importlib import import_module

from . import checks
from .build import Job, build
from .job import Request, Result, kernel_modules, kernels_ready, read_saved
from .particles import KINDS, Particles
from .progress import duration


def preview(asked: Request) -> list[str]:
    """Return what a run would do, line by line; builds everything and writes nothing."""
    if not (asked.overwrite or asked.resume):
        asked.outputs.refuse_existing(asked.origin)
    job = build(asked.config, asked.inputs)
    particles, config = job.particles, job.config
    frames = (job.t_end - particles.time) / job.every
    size = checks.output_bytes(particles, frames, (job.t_end - particles.time) / job.series_every)
    state = "compiled" if kernels_ready() else "to be compiled, once"
    terms = config.post_newtonian
    return [
        *_resumed(asked),
        f"particles      {particles.n} ({_kinds(particles)}), at t = {particles.time:g}",
        f"units          {_units(particles)}",
        f"integrator     {config.integrator.kind}, {_accuracy(job)}",
        f"post-Newtonian {', '.join(terms.terms) if terms is not None and terms.terms else 'none'}",
        f"mergers        {'none' if config.mergers is None else f'within {config.mergers.distance:g} x 2 G (m1 + m2)/c^2'}",
        f"run            to t = {job.t_end:.10g}, {_steps(job)}",
        f"kernels        {', '.join(kernel_modules()) or 'none'} ({state})",
        f"memory         about {_bytes(checks.memory_estimate(particles))}",
        f"output         {asked.outputs.trajectory}: {frames:.0f} frames, about {_bytes(size)}",
        *(f"warning        {line}" for line in job.warnings),
        "nothing was written (--dry-run)",
    ]


def _resumed(asked: Request) -> list[str]:
    """Return a line that says where a resumed run would go on."""
    saved = read_saved(asked.outputs) if asked.resume and not asked.overwrite else None
    if saved is None:
        return []
    return [f"resume         {asked.outputs.checkpoint}, at t = {saved['simulation']['particles']['fields']['time']:g}"]


def _kinds(particles: Particles) -> str:
    names = {code: name for name, code in KINDS.items()}
    counts = Counter(names[int(k)] for k in particles.kind) if particles.kind is not None else Counter()
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _units(particles: Particles) -> str:
    units = particles.units
    light = units.speed_of_light
    return f"{units.name}: G = {units.gravitational_constant:.6g}, c = {'none' if light is None else f'{light:.6g}'}"


def _accuracy(job: Job) -> str:
    settings = job.config.integrator
    if settings.step is not None:
        return f"step {settings.step}"
    return f"tolerance {getattr(job.propagator, 'tolerance', settings.tolerance)}"


def _steps(job: Job) -> str:
    step = getattr(job.controller, "step", None)
    return f"{math.ceil((job.t_end - job.particles.time) / step)} steps" if step else "steps as the error demands"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def summary(result: Result) -> list[str]:
    """Return what a run did."""
    report, particles = result.report, result.particles
    assert report is not None, "a run that did nothing has no summary"
    trajectory = import_module("askel.particles.io_h5md").Trajectory
    with trajectory(result.trajectory) as file:
        frames, tables = len(file), {t: n for t, n in file.table_lengths().items() if t.startswith("events/")}
    events = "".join(f", {count} {name.split('/')[1]}{'s' if count > 1 else ''}" for name, count in tables.items())
    lines = [f"{result.trajectory}: {frames} frames, {particles.n} particles, t = {report.time:.10g}{events}"]
    if math.isfinite(report.max_energy_error):
        lines.append(f"energy error {report.energy_error:.2e} (largest {report.max_energy_error:.2e})")
    measures = report.statistics
    if "max_v_over_c" in measures and measures["max_v_over_c"] > 0:
        lines.append(
            f"largest v/c {measures['max_v_over_c']:.3g}, largest G m/(r c^2) {measures.get('max_compactness', 0.0):.3g}"
        )
    return [*lines, f"{report.steps} steps in {duration(report.wall_time)}; look at it: askel plot {result.trajectory}"]
