"""``askel info``: what is in a file, whatever it is: states and trajectories, segments of training data, models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .particles import InputError
from .particles.files import info
from .units_text import picoseconds

_SUFFIX = ".safetensors"


def describe(path: Path) -> dict[str, Any]:
    """Return the facts of a file as plain values.

    Raises
    ------
    InputError : unreadable, damaged, unknown format

    """
    if path.suffix == _SUFFIX:
        return _model(path)
    if path.suffix in (".h5", ".hdf5") and (found := segments_in(path)) is not None:
        with found as file:
            return _segments(path, file)
    facts = info(path)
    if facts["format"] == "h5md" and facts.get("frames"):
        facts |= _many_bodies(path)
    return facts


def _many_bodies(path: Path) -> dict[str, Any]:
    """Return what is said of galaxies alone."""
    from .galaxy_facts import galaxy_facts
    from .galaxy_history import holds_galaxy

    return galaxy_facts(path) if holds_galaxy(path) else {}


def segments_in(path: Path) -> Any:
    """Return the open ``SegmentFile`` at a path, or None when it is another kind of file."""
    from .particles.io_hdf5 import SIGNATURE, number_attribute, open_hdf5
    from .particles.io_segments import SegmentFile

    try:
        with path.open("rb") as file:
            if not file.read(len(SIGNATURE)).startswith(SIGNATURE):
                return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with open_hdf5(path) as h5:
        if number_attribute(h5, "askel_segments") is None:
            return None
    return SegmentFile(path)


def _model(path: Path) -> dict[str, Any]:
    from .equivariant.model_file import load_model
    from .md.model_library import card

    model = load_model(path)
    weights = sum(w.size for w in model.weights.values())
    return {"path": str(path), "format": "model", "bytes": path.stat().st_size, "weights": weights, **card(model)}


def _segments(path: Path, file: Any) -> dict[str, Any]:
    from collections import Counter

    from .particles.io_ase import symbols

    facts: dict[str, Any] = {
        "path": str(path),
        "format": "segments",
        "bytes": path.stat().st_size,
        "reference": file.reference,
        "segments": len(file),
        "frames": int(file.frames.sum()),
        "interval_fs": file.interval,
        "step_fs": file.step,
        "forces": file.has_forces,
        "energy": file.has_energy,
        "temperatures_K": dict(sorted(Counter(f"{t:g}" for t in file.temperatures).items())),
        "seed": file.seed,
    }
    if len(file):
        first = file[0]
        facts["atoms"] = first.n
        facts["composition"] = " ".join(f"{n} {name}" for name, n in Counter(symbols(first.species)).items())
        facts["periodic"] = [bool(p) for p in first.periodic]
        facts["cell_vectors"] = (
            None if first.cell is None else [[round(float(x), 4) for x in row] for row in first.cell]
        )
    return {**facts, "recipe": file.recipe}


# ---------------------------------------------------------------------- as text


def shown(facts: Mapping[str, Any], *, as_json: bool) -> str:
    """Return facts as aligned lines, or as JSON."""
    return json.dumps(facts, indent=2, default=_plain) if as_json else "\n".join(_lines(_for_readers(facts)))


def _for_readers(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts without groups of which nothing is known, and times of atoms in picoseconds."""
    said = {
        k: v for k, v in facts.items() if not (isinstance(v, Mapping) and v and all(_unknown(x) for x in v.values()))
    }
    if said.get("units") == "ase" and isinstance(facts.get("time"), Mapping):
        said["time"] = {k: None if t is None else f"{picoseconds(t):.6g} ps" for k, t in facts["time"].items()}
    return said


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and not value)


def _plain(value: Any) -> Any:
    """Return arrays and NumPy numbers as JSON knows them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _lines(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return one aligned line a fact; nested facts are indented."""
    width = max((len(str(k)) for k in facts), default=0) + 2
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
            lines += [f"{indent}{key}", *(line for v in value for line in _lines(v, indent + "  "))]
        elif isinstance(value, str) and "\n" in value:
            lines += [f"{indent}{key}", *(f"{indent}    {line}" for line in value.splitlines())]
        else:
            lines.append(f"{indent}{key:<{width}}{_words(value)}")
    return lines


def _words(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_words(v) for v in value) or "none"
    return str(value) if not isinstance(value, Mapping) else "none"
