"""Checkpoints as one of the formats: the state in a checkpoint can be read and described, not written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .exchange import SERIAL
from .io_checkpoint import MAGIC, DamagedCheckpoint, read_checkpoint
from .io_checkpoint_shares import read_shares
from .io_text import check_frame
from .particles import Particles
from .units import UnitSystem

MANY_FRAMES = False


def sniff(path: Path, head: bytes) -> bool:
    """Return whether it starts like a checkpoint."""
    return head.startswith(MAGIC)


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield the state that a checkpoint holds.

    Raises
    ------
    InputError : no usable checkpoint, or one without particles

    """
    check_frame(path, frame, 1)
    yield _state(path, read_checkpoint(path))


def _state(path: Path, tree: Mapping[str, Any]) -> Particles:
    found = _find(tree)
    if "shares" in tree:
        try:
            found = read_shares(SERIAL, path, tree["shares"])
        except DamagedCheckpoint as error:
            raise InputError(str(error)) from None
    if found is None:
        raise InputError(f"{path} is a checkpoint without particles")
    fields = {name: np.array(value) if np.ndim(value) else value for name, value in found["fields"].items()}
    state = Particles.from_dict(fields, UnitSystem(**found["units"]))
    return state.select(np.argsort(state.identity, kind="stable")) if "shares" in tree else state


def _find(tree: Any) -> Mapping[str, Any] | None:
    """Return the first state (fields and units) in a tree."""
    if not isinstance(tree, Mapping):
        return None
    if {"fields", "units"} <= set(tree):
        return tree
    return next((found for found in map(_find, tree.values()) if found is not None), None)


def write_states(path: Path, frames: Iterable[Particles]) -> int:
    """Refuse: checkpoints are made by runs."""
    raise InputError(f"{path.suffix} files are written by runs; convert to .h5md, .hdf5, .csv, .txt or .xyz")


def describe(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    tree = read_checkpoint(path)
    state = _state(path, tree)
    facts = {key: value for key, value in tree.items() if isinstance(value, str | int | float)}
    return facts | {
        "frames": 1,
        "particles": state.n,
        "time": {"first": state.time, "last": state.time},
        "units": state.units.name,
        **({"shares": len(tree["shares"])} if "shares" in tree else {}),
        "valid": not tree.note,
        "damaged": [tree.note] if tree.note else [],
    }
