"""Particles as rows of bytes: one record a particle, laid out by the field table, so that one message carries all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .fields import FIELDS, SYSTEM_FIELDS
from .particles import Particles
from .units import UnitSystem


def record(particles: Particles, names: Sequence[str] | None = None) -> np.dtype:
    """Return the structured dtype of one particle: its present fields, or those of them that are named."""
    fields = [f for f in particles.present() if f.scope == "particle" and (names is None or f.name in names)]
    return np.dtype([(f.name, f.dtype, f.shape) for f in fields])


def pack_rows(particles: Particles, names: Sequence[str] | None = None) -> NDArray:
    """Return (n,) records of the present fields, or of those that are named, whatever they are."""
    rows = np.empty(particles.n, record(particles, names))
    for name in rows.dtype.names or ():
        rows[name] = getattr(particles, name)
    return rows


def unpack_rows(rows: NDArray, like: Particles) -> Particles:
    """Return the state of records; time, cell, units are those of ``like``; a required field that is not in them is its fill.

    Parameters
    ----------
    rows : (n,) records, see ``record``
    like : Particles, may be empty

    """
    values = {f.name: getattr(like, f.name) for f in SYSTEM_FIELDS if getattr(like, f.name) is not None}
    for name in rows.dtype.names or ():
        values[name] = np.ascontiguousarray(rows[name])
    for field in FIELDS.values():
        if field.required and field.scope == "particle" and field.name not in values:
            values[field.name] = np.full((len(rows), *field.shape), field.fill, field.dtype)
    return Particles.from_dict(values, like.units)


def describe_state(particles: Particles) -> NDArray[np.uint8]:
    """Return all of a state but its particles as bytes: units, present fields, time, cell; see ``empty_like``."""
    system = {
        f.name: np.asarray(getattr(particles, f.name)).tolist()
        for f in SYSTEM_FIELDS
        if getattr(particles, f.name) is not None
    }
    units = {name: getattr(particles.units, name) for name in ("name", "length", "mass", "time", "light")}
    facts = {"units": units, "system": system, "fields": list(record(particles).names or ())}
    return np.frombuffer(json.dumps(facts).encode(), np.uint8)


def empty_like(described: NDArray[np.uint8]) -> Particles:
    """Return the state without particles that ``describe_state`` described."""
    facts = json.loads(described.tobytes())
    values = {name: np.empty((0, *FIELDS[name].shape), FIELDS[name].dtype) for name in facts["fields"]}
    return Particles.from_dict({**values, **facts["system"]}, UnitSystem(**facts["units"]))
