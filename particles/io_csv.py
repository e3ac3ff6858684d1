"""CSV: a header of column names, one row a particle and frame; comments before the header say the units.

Columns: frame, time, id, mass, x, y, z, vx, vy, vz, and those of optional fields (spin_x, ..., radius, kind, ...).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fields import PARTICLE_FIELDS, Field
from .io_text import check_frame, note_fact, read_lines, to_number, unit_facts, units_from_facts, units_or_refuse
from .particles import Particles
from .units import UNIT_SYSTEMS, UnitSystem

MANY_FRAMES = True
_STEMS = {"position": ("x", "y", "z"), "velocity": ("vx", "vy", "vz")}


def _columns(field: Field) -> tuple[str, ...]:
    if not field.shape:
        return (field.element,)
    return _STEMS.get(field.name, tuple(f"{field.element}_{axis}" for axis in "xyz"))


_KNOWN = {"frame", "time", *(c for f in PARTICLE_FIELDS for c in _columns(f))}
_NEEDED = {c for f in PARTICLE_FIELDS if f.required and f.name != "identity" for c in _columns(f)}


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first line that is no comment names the columns that are needed."""
    if b"\0" in head:
        return False
    for line in head.decode("utf-8", "replace").splitlines():
        if line.strip() and not line.startswith("#"):
            return set(_names(line)) >= _NEEDED
    return False


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield one frame, or all (frame None) of a CSV file.

    Raises
    ------
    InputError : missing or unknown columns, a cell that is not a number (with its line), no such frame, no units

    """
    names, table, facts = _read(path)
    meant = units_or_refuse(path, facts, units)
    starts = _frame_starts(names, table)
    wanted = check_frame(path, frame, len(starts) - 1)
    for k in range(len(starts) - 1) if wanted is None else (wanted,):
        yield _state(names, table[starts[k] : starts[k + 1]], meant)


def write_states(path: Path, frames: Iterable[Particles]) -> int:
    """Write all frames; return how many."""
    count, fields, units = -1, [], None
    with path.open("w", encoding="utf-8") as file:
        for count, state in enumerate(frames):
            if units is None:
                units, fields = state.units, [f for f in state.present() if f.scope == "particle"]
                file.writelines(f"# {name}: {value}\n" for name, value in unit_facts(units).items())
                file.write(",".join(["frame", "time", *(c for f in fields for c in _columns(f))]) + "\n")
            converted = state.in_units(units)
            columns = [c for f in fields for c in _values(converted, f)]
            start = f"{count},{converted.time!r},"
            file.writelines(start + ",".join(map(repr, row)) + "\n" for row in zip(*columns, strict=True))
    return count + 1


def describe(path: Path) -> dict[str, Any]:
    """Return what a CSV file holds."""
    facts = _read(path)[2]
    said = units_from_facts(facts)
    all_states = list(states(path, None, UNIT_SYSTEMS["nbody"]))
    times = [s.time for s in all_states]
    return {
        "frames": len(all_states),
        "particles": max((s.n for s in all_states), default=0),
        "time": {"first": times[0], "last": times[-1]},
        "units": said.name if said else None,
    }


def _names(line: str) -> list[str]:
    return [word.strip() for word in line.split(",")]


def _read(path: Path) -> tuple[list[str], NDArray[np.float64], dict[str, str]]:
    facts: dict[str, str] = {}
    names: list[str] = []
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}, line {number}"
        if line.startswith("#"):
            note_fact(line[1:], facts)
        elif not names and line.strip():
            names = _checked_names(_names(line), where)
        elif line.strip():
            cells = line.split(",")
            if len(cells) != len(names):
                raise InputError(f"{where}: {len(cells)} cells; the header has {len(names)} columns")
            rows.append([to_number(cell, where) for cell in cells])
    if not rows:
        raise InputError(f"{path} holds no particles; expected a header such as mass,x,y,z,vx,vy,vz and rows")
    return names, np.array(rows), facts


def _checked_names(names: Sequence[str], where: str) -> list[str]:
    for name in names:
        if name not in _KNOWN or names.count(name) > 1:
            near = difflib.get_close_matches(name, _KNOWN, 1) or sorted(_KNOWN)
            what = "twice the column" if name in _KNOWN else "unknown column"
            raise InputError(f"{where}: {what} {name!r}; did you mean {', '.join(near)}?")
    missing = sorted(_NEEDED - set(names))
    if missing:
        raise InputError(f"{where}: no column {missing[0]!r}; needed: {', '.join(sorted(_NEEDED))}")
    return list(names)


def _frame_starts(names: list[str], table: NDArray) -> list[int]:
    key = next((names.index(k) for k in ("frame", "time") if k in names), None)
    changes = [] if key is None else (np.flatnonzero(np.diff(table[:, key])) + 1).tolist()
    return [0, *changes, len(table)]


def _state(names: list[str], table: NDArray, units: UnitSystem) -> Particles:
    values: dict[str, Any] = {}
    for field in PARTICLE_FIELDS:
        columns = _columns(field)
        if all(c in names for c in columns):
            picked = table[:, [names.index(c) for c in columns]]
            values[field.name] = np.ascontiguousarray(picked if field.shape else picked[:, 0]).astype(field.dtype)
    time = float(table[0, names.index("time")]) if "time" in names else 0.0
    return Particles(time=time, units=units, **values)


def _values(state: Particles, field: Field) -> list[list]:
    value = getattr(state, field.name)
    if value is None:
        value = np.full((state.n, *field.shape), field.fill, field.dtype)
    return [value.tolist()] if not field.shape else [value[:, k].tolist() for k in range(field.shape[0])]
