"""Plain text: one row a body, ``m x y z vx vy vz``; lines that start with # are comments, some of which say more.

```
# units: galactic          (or: length, mass and time in SI as unit_length_in_m, unit_mass_in_kg, unit_time_in_s)
# time: 1.5
```
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .particles import Particles
from .units import UNIT_SYSTEMS, UnitSystem

COLUMNS = ("m", "x", "y", "z", "vx", "vy", "vz")
MANY_FRAMES = False
_SCALES = ("unit_length_in_m", "unit_mass_in_kg", "unit_time_in_s")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first line that is no comment has seven numbers."""
    if b"\0" in head:
        return False
    lines = head.decode("utf-8", "replace").splitlines()
    if path.stat().st_size > len(head):
        lines = lines[:-1] or lines  # the head may end inside a line
    for line in lines:
        words = line.partition("#")[0].split()
        if words:
            return len(words) == len(COLUMNS) and all(_is_number(w) for w in words)
    return False


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield the state a text file holds.

    Parameters
    ----------
    frame : ignored but for its range: there is one
    units : what the numbers mean where the file does not say

    Raises
    ------
    InputError : unreadable, a line that is not seven numbers (with its number), no bodies, units neither said nor given

    """
    check_frame(path, frame, 1)
    facts: dict[str, str] = {}
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        numbers, _, comment = line.partition("#")
        note_fact(comment, facts)
        if numbers.split():
            rows.append(_row(numbers.split(), f"{path}, line {number}"))
    if not rows:
        raise InputError(f"{path} holds no bodies; expected one row a body: {' '.join(COLUMNS)}")
    table = np.array(rows)
    meant = units_or_refuse(path, facts, units)
    yield Particles(table[:, 0], table[:, 1:4], table[:, 4:7], time=number_fact(path, facts, "time"), units=meant)


def write_states(path: Path, frames: Iterable[Particles]) -> int:
    """Write one state (fields beyond mass, position, velocity do not fit); return 1."""
    (state,) = frames
    with path.open("w", encoding="utf-8") as file:
        for name, value in {**unit_facts(state.units), "time": state.time}.items():
            file.write(f"# {name}: {value}\n")
        file.write(f"# {' '.join(COLUMNS)}\n")
        for row in np.column_stack([state.mass, state.position, state.velocity]).tolist():
            file.write(" ".join(map(repr, row)) + "\n")
    return 1


def describe(path: Path) -> dict[str, Any]:
    """Return what a text file holds."""
    facts: dict[str, str] = {}
    for line in read_lines(path):
        note_fact(line.partition("#")[2], facts)
    (state,) = states(path, None, UNIT_SYSTEMS["nbody"] if units_from_facts(facts) is None else None)
    time = state.time if "time" in facts else None
    return {
        "frames": 1,
        "particles": state.n,
        "time": {"first": time, "last": time},
        "units": state.units.name if units_from_facts(facts) else None,
    }


def _row(words: list[str], where: str) -> list[float]:
    if len(words) != len(COLUMNS):
        raise InputError(f"{where}: {len(words)} numbers; expected {len(COLUMNS)}: {' '.join(COLUMNS)}")
    return [to_number(word, where) for word in words]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def to_number(word: str, where: str) -> float:
    """Return a number; raises InputError that says where it stands."""
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{where}: {word.strip()[:40]!r} is not a number") from None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file; raises InputError when it cannot be read or is not text."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file") from None


def check_frame(path: Path, frame: int | None, frames: int) -> int | None:
    """Return a frame number counted from the start; raises InputError when the file has no such frame."""
    if frame is None:
        return None
    if not -frames <= frame < frames:
        raise InputError(f"{path} has {frames} frame{'s' * (frames != 1)}; there is no frame {frame} (counting from 0)")
    return frame % frames


def note_fact(comment: str, facts: dict[str, str]) -> None:
    """Keep a comment of the form "name: value"."""
    name, colon, value = comment.partition(":")
    if colon and name.strip() in ("units", "time", "speed_of_light", "cell", "periodic", *_SCALES):
        facts[name.strip()] = value.strip()


def number_fact(path: Path, facts: Mapping[str, str], name: str) -> float:
    """Return a number from the comments, 0 when it is not there."""
    return to_number(facts[name], f"{path}, comment {name!r}") if name in facts else 0.0


def unit_facts(units: UnitSystem) -> dict[str, Any]:
    """Return what a file has to say about its units, name -> number or string."""
    facts: dict[str, Any] = {"units": units.name}
    if units.physical:
        facts |= dict(zip(_SCALES, (units.length, units.mass, units.time), strict=True))
    if units.light is not None:
        facts["speed_of_light"] = units.light
    return facts


def units_from_facts(facts: Mapping[str, Any]) -> UnitSystem | None:
    """Return the units that ``unit_facts`` describes (the name of a known system is enough), or None.

    Raises
    ------
    InputError : an unknown name without scales

    """
    name = facts.get("units")
    if all(scale in facts for scale in _SCALES):
        return UnitSystem(str(name or "custom"), *(to_number(str(facts[s]), s) for s in _SCALES))
    if name is None:
        return None
    if name == "nbody" and "speed_of_light" in facts:
        return UnitSystem("nbody", light=to_number(str(facts["speed_of_light"]), "speed_of_light"))
    if name not in UNIT_SYSTEMS:
        raise InputError(f"unknown units {name!r}; known: {', '.join(UNIT_SYSTEMS)}, or give {', '.join(_SCALES)}")
    return UNIT_SYSTEMS[str(name)]


def units_or_refuse(path: Path, facts: Mapping[str, Any], units: UnitSystem | None) -> UnitSystem:
    """Return the units a file says, else those given; raises InputError when there are neither."""
    found = units_from_facts(facts) or units
    if found is None:
        raise InputError(f"{path} does not say its units; add a line such as '# units: nbody', or give [units]")
    return found
