"""The times of a job as numbers: its end, and what is written how often."""

from __future__ import annotations

from . import build_stride, checks
from .particles import InputError, Particles
from .particles.units import TIME, parse_quantity
from .tables import Config

#: Frames of a run that says nothing about its output.
DEFAULT_FRAMES = 500


def times_of(config: Config, particles: Particles, n: int) -> dict[str, float]:
    """Return t_end, every, series_every and checkpoint_seconds as numbers; ``n`` particles are written in a frame."""
    units, output = particles.units, config.output
    t_end = units.read(config.run.t_end, TIME)
    if not t_end > particles.time:
        raise InputError(
            f"run.t_end = {t_end:g} is not after the time of the particles, {particles.time:g}; give a later time"
        )
    span = t_end - particles.time
    every = span / DEFAULT_FRAMES if output.every is None else units.read(output.every, TIME)
    series = every if output.series_every is None else units.read(output.series_every, TIME)
    wait = output.checkpoint_every
    seconds = float(wait) if not isinstance(wait, str) else parse_quantity(wait)[0]
    for name, value in {"every": every, "series_every": series, "checkpoint_every": seconds}.items():
        if not value > 0.0:
            raise InputError(f"output.{name} = {value:g}: must be a positive time")
    checks.output_size(particles, span / every, span / series, n)
    return {"t_end": t_end, "every": every, "series_every": series, "checkpoint_seconds": seconds}


def whole_strides(times: dict[str, float], step: float, particles: Particles, config: Config) -> list[str]:
    """Bring the times of a run to whole strides; return a line for each that a user gave otherwise."""
    fs = particles.units.factor(TIME) / 1e-15
    lines, given = (
        [],
        {"t_end": config.run.t_end, "every": config.output.every, "series_every": config.output.series_every},
    )
    for name, start in (("t_end", particles.time), ("every", 0.0), ("series_every", 0.0)):
        span, changed = build_stride.whole_strides(times[name] - start, step)
        if name != "t_end":
            span = max(span, step)
        if (
            abs(start + span - times[name]) > 1e-9 * step
        ):  # else to the last bit as given: resuming must not move the end
            times[name] = start + span
        if changed and given[name] is not None:
            table = "run" if name == "t_end" else "output"
            lines.append(
                f"{table}.{name} is rounded to {times[name] * fs:g} fs, a whole number of strides of {step * fs:g} fs"
            )
    return lines
