"""Carries and states as trees: nested dictionaries of arrays, numbers, strings and None, for checkpoints."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from ..particles import InputError, Particles, UnitSystem


def pack(value: Any) -> Any:
    """Return a carry (dataclasses, tuples, lists and dicts of arrays, numbers, strings and None) as a tree."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: pack(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): pack(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return {str(i): pack(v) for i, v in enumerate(value)}
    return value.copy() if isinstance(value, np.ndarray) else value


def unpack(tree: Any, like: Any) -> Any:
    """Return the carry of a tree, with the types of ``like``, the carry a propagator has just started with.

    Raises
    ------
    InputError : the tree lacks a field

    """
    if is_dataclass(like) and not isinstance(like, type):
        missing = [f.name for f in fields(like) if f.name not in tree]
        if missing:
            raise InputError(f"the checkpoint lacks {missing[0]!r} of {type(like).__name__}; it is of another version")
        return replace(like, **{f.name: unpack(tree[f.name], getattr(like, f.name)) for f in fields(like)})
    if isinstance(like, dict):
        return {k: unpack(v, like.get(k)) for k, v in tree.items()}
    if isinstance(like, (tuple, list)):
        examples = [*like, *[like[-1] if like else None] * (len(tree) - len(like))]
        return type(like)(unpack(tree[str(i)], examples[i]) for i in range(len(tree)))
    if isinstance(like, np.ndarray):
        return np.array(tree, dtype=like.dtype)
    return tree.item() if isinstance(tree, np.generic) else tree


def state_to_tree(particles: Particles) -> dict:
    """Return a state as a tree of copies: its fields and its units."""
    units = particles.units
    return {
        "fields": pack(particles.to_dict()),
        "units": {name: getattr(units, name) for name in ("name", "length", "mass", "time", "light")},
    }


def state_from_tree(tree: dict) -> Particles:
    """Return the state of a tree."""
    return Particles.from_dict(
        {k: np.array(v) if np.ndim(v) else v for k, v in tree["fields"].items()}, UnitSystem(**tree["units"])
    )
