"""``askel info``: what is in a file, whatever it is: states and trajectories, segments of training data, models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .judging import segments_in
from .particles.files import info

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
    return info(path)


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
