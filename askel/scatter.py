"""``askel scatter``: many encounters from a TOML file, in blocks that survive a kill, spread over ranks that need not talk.

Rank r of n computes the blocks r, r + n, ... that are missing, each a file of its own in ``FILE.parts``; the first that sees all
of them makes the table FILE. Every encounter depends on its number and the seed alone, so any of them can be run again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .config import checked, override, read_toml, to_toml
from .nbody.ensemble import REASONS
from .nbody.ensemble_outcomes import OUTCOMES
from .nbody.scattering import Scattering
from .nbody.scattering_run import Settings, replay, run_encounters
from .particles import InputError, Interrupted
from .particles.io_ensemble import assemble, check_parquet, read_columns, read_facts, write_columns, write_parquet
from .progress import Work
from .scatter_build import scattering_of, settings_of
from .scatter_tables import ScatterJob
from .signals import StopRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that is ready to run."""

    job: ScatterJob
    scattering: Scattering
    settings: Settings
    target: Path

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.job.sampling.encounters // self.job.sampling.block)

    @property
    def folder(self) -> Path:
        """Where blocks are until the table is made."""
        return self.target.with_name(f"{self.target.name}.parts")

    def part(self, block: int) -> Path:
        """Return the file of a block."""
        return self.folder / f"{block:07d}.h5"

    def numbers(self, block: int) -> np.ndarray:
        """Return the encounters of a block."""
        size = self.job.sampling.block
        return np.arange(block * size, min((block + 1) * size, self.job.sampling.encounters))

    def text(self, *, whole: bool = True) -> str:
        """Return the job as TOML; without ``whole``: only what must not change between a run and its resumption."""
        tables = self.job.model_dump(mode="python", exclude_none=True)
        tables = {name: table for name, table in tables.items() if table not in ((), {})}
        if not whole:
            del tables["output"]
            tables["sampling"] = {k: v for k, v in tables["sampling"].items() if k != "encounters"}
        return to_toml(tables)


def read_plan(path: str | Path, overrides: tuple[str, ...] | list[str] = (), folder: str | Path = ".") -> Plan:
    """Return the plan of a job file; raises InputError for whatever cannot be run."""
    return plan_of(override(read_toml(path), overrides), str(path), Path(folder))


def plan_of(tables: dict[str, Any], origin: str, folder: Path) -> Plan:
    """Return the plan of nested tables."""
    job = checked(tables, ScatterJob, origin)
    if not job.output.file.endswith((".h5", ".hdf5")):
        raise InputError(f"output.file = {job.output.file!r}: tables of encounters end in .h5")
    scattering = scattering_of(job)
    settings = settings_of(job, scattering)
    run_encounters(
        scattering, Settings(**{**_fields(settings), "max_steps": 1}), np.arange(1)
    )  # finds what cannot be used
    return Plan(job, scattering, settings, folder / job.output.file)


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def run(
    plan: Plan, *, resume: bool = False, overwrite: bool = False, quiet: bool = False, rank: int = 0, size: int = 1
) -> bool:
    """Run what is missing of a plan; return whether the table is complete.

    Raises
    ------
    InputError : output that is there already, or that belongs to another job
    Interrupted : a signal came; ``resume`` goes on at the first block that is missing

    """
    if plan.job.output.parquet:
        check_parquet()
    if (
        (resume or size > 1) and not overwrite and _is_complete(plan)
    ):  # also where other ranks were faster than this one began
        return True
    _prepare(plan, resume=resume, overwrite=overwrite, alone=size == 1)
    mine = [b for b in range(rank, plan.blocks, size) if not plan.part(b).exists()]
    with StopRequest() as stop, Work(quiet=quiet or rank > 0) as work:
        for done, block in enumerate(mine):
            if stop():
                raise Interrupted(f"stopped by {stop.reason} after {done} of {len(mine)} blocks; go on with --resume")
            work.show(done / len(mine), f"{done * plan.job.sampling.block} encounters")
            rows = run_encounters(plan.scattering, plan.settings, plan.numbers(block))
            write_columns(plan.part(block), rows, {"version": __version__})
    return _finish(plan)


def _prepare(plan: Plan, *, resume: bool, overwrite: bool, alone: bool) -> None:
    """Make the folder of blocks, or see that what is there belongs to this job."""
    if overwrite:
        if not alone and (plan.target.exists() or plan.folder.exists()):
            raise InputError(
                f"{plan.target}: ranks do not talk, so none can overwrite; remove it and {plan.folder} first"
            )
        plan.target.unlink(missing_ok=True)
        shutil.rmtree(plan.folder, ignore_errors=True)
    if alone:
        (plan.folder / "claim").unlink(missing_ok=True)  # of a run that was killed while it made the table
    if plan.target.exists():
        if not resume:
            raise InputError(
                f"{plan.target} is there already; use --resume to add to it, --overwrite, or another output.file"
            )
        _take_apart(plan)
    note = plan.folder / "job.toml"
    if note.exists() and not resume and alone:
        raise InputError(f"{plan.folder} holds blocks of a run; go on with --resume, or start anew with --overwrite")
    plan.folder.mkdir(parents=True, exist_ok=True)
    same = plan.text(whole=False)
    if note.exists():
        if note.read_text(encoding="utf-8") != same:
            raise InputError(
                f"{plan.folder} holds blocks of another job; start anew with --overwrite, or change output.file"
            )
        return
    temporary = note.with_name(f".job.{os.getpid()}.tmp")
    temporary.write_text(same, encoding="utf-8")
    temporary.replace(note)


def _is_complete(plan: Plan) -> bool:
    """Return whether the table of this very job is there."""
    if not plan.target.exists():
        return False
    facts = read_facts(plan.target, "fixed_job", "encounters")
    return facts["fixed_job"] == plan.text(whole=False) and facts["encounters"] == plan.job.sampling.encounters


def _take_apart(plan: Plan) -> None:
    """Turn a complete table back into its whole blocks, so that more encounters can be added."""
    facts = read_facts(plan.target, "fixed_job", "encounters")
    if facts["fixed_job"] != plan.text(whole=False):
        raise InputError(f"{plan.target} belongs to another job; start anew with --overwrite, or change output.file")
    plan.folder.mkdir(parents=True, exist_ok=True)
    had = int(facts["encounters"] or 0)
    for block in range(plan.blocks):
        numbers = plan.numbers(block)
        if numbers[-1] < had and not plan.part(block).exists():
            rows = read_columns(plan.target, rows=slice(int(numbers[0]), int(numbers[-1]) + 1))
            write_columns(plan.part(block), rows, {"version": __version__})


def _finish(plan: Plan) -> bool:
    """Make the table if all blocks are there, and nobody else is making it."""
    parts = [plan.part(block) for block in range(plan.blocks)]
    if not all(part.exists() for part in parts):
        return False
    claim = plan.folder / "claim"
    try:
        claim.touch(exist_ok=False)
    except (FileExistsError, FileNotFoundError):  # another rank makes it, or has made it
        return plan.target.exists()
    try:
        _check_sizes(plan, parts)
        facts: dict[str, str | int | float] = {
            "version": __version__, "job": plan.text(), "fixed_job": plan.text(whole=False), "outcomes": ", ".join(OUTCOMES),
            "reasons": ", ".join(REASONS), "encounters": plan.job.sampling.encounters,
        }  # fmt: skip
        assemble(parts, plan.target, facts)
        if plan.job.output.parquet:
            write_parquet(parts, plan.target.with_suffix(".parquet"))
    except BaseException:
        claim.unlink(missing_ok=True)
        raise
    shutil.rmtree(plan.folder)
    return True


def _check_sizes(plan: Plan, parts: list[Path]) -> None:
    """A block that was the last one of a shorter run has too few rows: compute it again."""
    for block, part in enumerate(parts):
        numbers = plan.numbers(block)
        if len(read_columns(part, ["encounter"])["encounter"]) != len(numbers):
            write_columns(part, run_encounters(plan.scattering, plan.settings, numbers), {"version": __version__})


def plan_of_table(path: Path) -> Plan:
    """Return the plan that a table was made by."""
    import tomllib

    text = read_facts(path, "job")["job"]
    if not isinstance(text, str):
        raise InputError(f"{path} does not say which job made it")
    return plan_of(tomllib.loads(text), str(path), path.parent)


def replay_encounter(path: Path, number: int) -> tuple[dict[str, Any], dict[str, Any], Any, Any, Plan]:
    """Run one encounter of a table again; return its row in the table, the new one, its start and its track."""
    plan = plan_of_table(path)
    if not 0 <= number < plan.job.sampling.encounters:
        raise InputError(f"encounter {number}: {path} has 0 to {plan.job.sampling.encounters - 1}")
    old = read_columns(path, rows=slice(number, number + 1))
    new, sample, track = replay(plan.scattering, plan.settings, number)
    return old, new, sample, track, plan
