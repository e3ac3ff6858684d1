"""H5MD as one of the formats: what ``files`` calls to read, write and describe trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .errors import InputError
from .io_h5md_read import Trajectory
from .io_h5md_write import TrajectoryWriter
from .io_hdf5 import SIGNATURE, open_hdf5, reading, subgroup
from .io_text import check_frame
from .particles import Particles
from .units import UnitSystem

MANY_FRAMES = True
_CHECK_ALL_BELOW = 2**30  # bytes: larger files are checked at both ends only


def sniff(path: Path, head: bytes) -> bool:
    """Return whether it is HDF5 with a group h5md."""
    if not head.startswith(SIGNATURE):
        return False
    with open_hdf5(path) as h5, reading(path):
        return subgroup(h5, "h5md") is not None


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield one frame, or all (frame None)."""
    with Trajectory(path) as trajectory:
        wanted = check_frame(path, frame, len(trajectory))
        for index in range(len(trajectory)) if wanted is None else (wanted,):
            state = trajectory[index]
            if not trajectory.says_units and units is not None:
                state.units = units
            yield state


def stretch(path: Path, frame: int | None, k: int, of: int) -> Particles | None:
    """Return the k-th of so many parts, of about equal size, of one frame; None for files without identities of our own."""
    with Trajectory(path) as trajectory:
        if not trajectory.own or "identity" not in trajectory.fields:
            return None
        index = check_frame(path, -1 if frame is None else frame, len(trajectory))
        assert index is not None, "one frame was asked for"
        low, high = (trajectory.rows * i // of for i in (k, k + 1))
        return trajectory.stretch(index, slice(low, high))


def write_states(path: Path, frames: Iterable[Particles], *, gadget_view: bool = False) -> int:
    """Write frames; return how many."""
    writer, count = None, 0
    try:
        for count, state in enumerate(frames, 1):
            if writer is None:
                writer = TrajectoryWriter.create(path, state, gadget_view=gadget_view)
            writer.append(state, count - 1)
    finally:
        if writer is not None:
            writer.close()
    return count


def copy_records(source: Path, target: Path) -> None:
    """Copy the tables and the report of a trajectory to another."""
    with Trajectory(target) as made:
        lengths = made.lengths()
    with Trajectory(source) as old, TrajectoryWriter.resume(target, lengths) as new:
        for name in old.tables():
            columns = old.table(name)
            for values in zip(*columns.values(), strict=True):
                row = {k: v if isinstance(v, str) else v.item() for k, v in zip(columns, values, strict=True)}
                new.append_row(name, row)
        new.set_report(old.report)


def describe(path: Path) -> dict[str, Any]:
    """Return what a trajectory holds and what its run reported; all frames are read when the file is below a gigabyte."""
    with Trajectory(path) as trajectory:
        frames, times = len(trajectory), trajectory.times
        size = sum(file.stat().st_size for file in (path, *map(path.with_name, trajectory.parts)))
        last, damaged, checked = _check(trajectory, size < _CHECK_ALL_BELOW)
        report: dict[str, Any] = _or_damaged(lambda: trajectory.report, "report", damaged) or {}
        lengths: dict[str, int] = _or_damaged(trajectory.table_lengths, "tables", damaged) or {}
        facts: dict[str, Any] = {
            "written_by": "askel" if trajectory.own else "another H5MD program",
            "bytes": size,
            **_parts(trajectory),
            "frames": frames,
            "particles": last.n if last is not None else 0,
            "particles_ever": trajectory.rows,
            "time": {"first": float(times[0]) if frames else None, "last": float(times[-1]) if frames else None},
            "units": trajectory.units.name if trajectory.says_units else None,
            "fields": trajectory.fields,
            "tables": lengths,
            "energy_error": _energy_error(trajectory, report, lengths),
            "post_newtonian": {"terms": [], "max_v_over_c": None, "max_compactness": None}
            | dict(report.pop("post_newtonian", None) or {}),
            "mergers": int(report.pop("mergers", None) or lengths.get("events/merger", 0)),
            "wall_time": report.pop("wall_time", None),
            "valid": not damaged,
            "damaged": damaged,
            "frames_checked": checked,
        }
    return facts | {key: value for key, value in report.items() if key not in facts}


def _parts(trajectory: Trajectory) -> dict[str, Any]:
    """Return what is said of a trajectory in parts, and of a part."""
    if trajectory.parts:
        return {"parts": len(trajectory.parts), "part_files": trajectory.parts}
    return {"part_of_run": trajectory.run} if trajectory.run else {}


def _check(trajectory: Trajectory, all_of_it: bool) -> tuple[Particles | None, list[str], int]:
    """Return (last readable frame, what is damaged, number of frames read)."""
    n = len(trajectory)
    which = range(n) if all_of_it else sorted({0, n - 1} & set(range(n)))
    last: Particles | None = None
    damaged: list[str] = []
    for index in which:
        last = _or_damaged(partial(trajectory.__getitem__, index), f"frame {index}", damaged) or last
    for name in _or_damaged(trajectory.tables, "tables", damaged) or ():
        _or_damaged(partial(trajectory.table, name), f"table {name}", damaged)
    return last, damaged, len(which)


def _or_damaged(act: Callable[[], Any], what: str, damaged: list[str]) -> Any:
    """Return what ``act`` gives; note the damage and return None when it cannot."""
    try:
        return act()
    except InputError as error:
        damaged.append(f"{what}: {error}")
        return None


def _energy_error(trajectory: Trajectory, report: dict[str, Any], lengths: dict[str, int]) -> dict[str, float | None]:
    """Return the largest and final relative energy error: as reported, else from the table of energies."""
    error: dict[str, float | None] = {"max": None, "final": None, **(report.pop("energy_error", None) or {})}
    if error["max"] is None and lengths.get("series/energy"):
        table = _or_damaged(partial(trajectory.table, "series/energy"), "", []) or {}
        for key, column in (("max", "max_energy_error"), ("final", "energy_error")):
            if column in table:
                error[key] = float(table[column][-1])
    return error
