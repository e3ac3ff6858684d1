"""What ``askel scatter`` says and draws: running, showing a table, replaying an encounter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .launched import launched
from .nbody.ensemble import REASONS
from .nbody.ensemble_outcomes import OUTCOMES
from .nbody.scattering_cross_sections import CrossSection
from .nbody.scattering_run import NEEDED, cross_sections
from .particles import KINDS, InputError, Particles
from .particles.io_ensemble import read_columns
from .scatter import Plan, plan_of_table, read_plan, replay_encounter, run
from .scatter_build import even_area
from .sources import units_of


def scatter(options: argparse.Namespace) -> int:
    """Run a job, or do one of the two other things with its table."""
    first, *rest = options.words
    if first in ("replay", "show"):
        if len(rest) != 1:
            raise InputError(f"askel scatter {first} takes one table, such as askel scatter {first} encounters.h5")
        return (_replay if first == "replay" else _show)(Path(rest[0]), options)
    if rest:
        raise InputError(f"askel scatter takes one job, or replay or show and a table; got {' '.join(options.words)!r}")
    plan = read_plan(first, options.set)
    rank, size = launched()
    if options.dry_run:
        print("\n".join(_preview(plan, size)))
        return 0
    done = run(plan, resume=options.resume, overwrite=options.overwrite, quiet=options.quiet, rank=rank, size=size)
    if done and not options.quiet and (size == 1 or rank == 0):
        print("\n".join(summary(plan.target, plan)))
    return 0


def _preview(plan: Plan, size: int) -> list[str]:
    sampling = plan.job.sampling
    return [
        f"encounters   {sampling.encounters} of kind {plan.scattering.kind}, seed {sampling.seed}",
        f"bodies       {plan.scattering.n} each",
        f"blocks       {plan.blocks} of {sampling.block}, on {size} rank{'s' * (size > 1)}",
        f"rules        {', '.join(plan.settings.stop) or 'none'}, t_end {plan.settings.t_end:g}",
        f"output       {plan.target}",
    ]


def summary(path: Path, plan: Plan | None = None) -> list[str]:
    """Return what a table says, as lines."""
    plan = plan or plan_of_table(path)
    wanted = [name for name in NEEDED if name in _names(plan)]
    rows = read_columns(path, [*wanted, "energy_error", "steps", "reason"])
    found = cross_sections(rows, even_area=even_area(plan.job))
    n, error = len(rows["outcome"]), np.abs(rows["energy_error"])
    lines = [
        f"{path}: {n} encounters ({plan.scattering.kind})",
        f"|dE/E|: median {np.median(error):.1e}, 99 % below {np.percentile(error, 99):.1e}, largest {error.max():.1e}",
        f"micro-steps: median {np.median(rows['steps']):.0f}, largest {rows['steps'].max()}",
        f"{'outcome':20}{'number':>10}{'share':>20}{'cross section':>24}{'/ (pi a^2 vc^2/v^2)':>24}",
    ]
    return lines + [_line(name, c) for name, c in found.items()]


def _line(name: str, c: CrossSection) -> str:
    def value(x: float, error: float) -> str:
        return "" if np.isnan(x) else f"{x:.4g} +- {error:.2g}"

    share, area, scaled = (
        value(c.fraction, c.fraction_error), value(c.area, c.area_error), value(c.scaled, c.scaled_error)
    )  # fmt: skip
    return f"{name:20}{c.count:>10}{share:>20}{area:>24}{scaled:>24}".rstrip()


def _names(plan: Plan) -> set[str]:
    own = {"outcome", "resonance"}
    return own | (set(NEEDED) if plan.scattering.approach is not None else set())


def _show(path: Path, options: argparse.Namespace) -> int:
    plan = plan_of_table(path)
    print("\n".join(summary(path, plan)))
    if options.output:
        from .scatter_plot import draw

        print(draw(path, plan, Path(options.output), overwrite=options.overwrite))
    return 0


def _replay(path: Path, options: argparse.Namespace) -> int:
    """Run one encounter again, compare it with its row, and write its path."""
    if options.encounter is None:
        raise InputError("askel scatter replay needs --encounter NUMBER")
    old, new, sample, track, plan = replay_encounter(path, options.encounter)
    target = Path(options.output or f"{path.stem}_{options.encounter}.h5md")
    _write_path(target, plan, sample, track, overwrite=options.overwrite)
    differing = [
        name for name, value in new.items() if not np.array_equal(value, old[name], equal_nan=value.dtype.kind == "f")
    ]
    outcome, reason = OUTCOMES[int(new["outcome"][0])], REASONS[int(new["reason"][0])]
    print(
        f"encounter {options.encounter}: {outcome} ({reason}) at {new['time'][0]:.6g}, {len(track.time)} micro-steps -> {target}"
    )
    if differing:
        print(
            f"not bit-equal to the table in {', '.join(differing)}: it was made by another version, machine or backend"
        )
        return 1
    print("bit-equal to the table")
    return 0


def _write_path(target: Path, plan: Plan, sample: Any, track: Any, *, overwrite: bool) -> None:
    from .particles.io_h5md_write import TrajectoryWriter

    units = units_of(plan.job.units)
    assert units is not None
    kind = np.where(sample.black_hole, KINDS["black-hole"], KINDS["star"])
    state = Particles(sample.mass[0], sample.position[0], sample.velocity[0], kind=kind, units=units)
    with TrajectoryWriter.create(
        target, state, overwrite=overwrite, metadata={"creator": "askel scatter replay"}
    ) as writer:
        writer.append(state, 0)
        for step, (time, x, v) in enumerate(zip(track.time, track.position, track.velocity, strict=True), 1):
            state.position[:], state.velocity[:], state.time = x, v, float(time)
            writer.append(state, step)
