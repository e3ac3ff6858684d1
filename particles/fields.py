"""The field table: every quantity a particle or a system carries, declared once.

File input and output, ghost packing, merging, restart and documentation read this table; nothing else lists fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .units import (
    ANGULAR_MOMENTUM,
    DIMENSIONLESS,
    LENGTH,
    MASS,
    TIME,
    VELOCITY,
    Dimension,
)

#: Kinds a particle can be; the code is what arrays and files hold.
KINDS: dict[str, int] = {"star": 0, "black-hole": 1, "gas": 2, "dark-matter": 3, "planet": 4, "atom": 5}


@dataclass(frozen=True, slots=True)
class Field:
    """One quantity of the state.

    Attributes
    ----------
    name : attribute name on ``Particles``
    shape : shape of one particle's (or the system's) value
    dtype : NumPy dtype
    dimension : powers of length, mass and time
    scope : "particle" (leading axis n) or "system" (one value)
    required : always present, or an optional group
    element : name in a file (H5MD element, CSV column stem)
    ghost : travels with a copy of the particle on another rank
    merge : how a merged particle gets it: "sum", "mass-weighted", "first", "resolver" (the event's resolver sets it)
    fill : value of a particle that has none (rows of absent particles in files, joins)
    meaning : one sentence

    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    dimension: Dimension
    scope: Literal["particle", "system"]
    required: bool
    element: str
    ghost: bool
    merge: Literal["sum", "mass-weighted", "first", "resolver"]
    fill: float | int
    meaning: str


def _declare(*rows: tuple) -> dict[str, Field]:
    return {r[0]: Field(r[0], r[1], np.dtype(r[2]), *r[3:]) for r in rows}


#: name -> Field, in the order in which files and tables show them.
FIELDS: dict[str, Field] = _declare(
    # name, shape, dtype, dimension, scope, required, element, ghost, merge, fill, meaning
    ("time", (), np.float64, TIME, "system", True, "time", True, "first", 0.0, "time of the state"),
    (
        "identity",
        (),
        np.int64,
        DIMENSIONLESS,
        "particle",
        True,
        "id",
        True,
        "first",
        -1,
        "number of the particle, never reused",
    ),
    ("mass", (), np.float64, MASS, "particle", True, "mass", True, "sum", 0.0, "mass"),
    ("position", (3,), np.float64, LENGTH, "particle", True, "position", True, "mass-weighted", np.nan, "position"),
    ("velocity", (3,), np.float64, VELOCITY, "particle", True, "velocity", True, "mass-weighted", np.nan, "velocity"),
    (
        "spin",
        (3,),
        np.float64,
        ANGULAR_MOMENTUM,
        "particle",
        False,
        "spin",
        True,
        "resolver",
        0.0,
        "spin angular momentum S; the dimensionless spin is c S/(G m^2)",
    ),
    (
        "radius",
        (),
        np.float64,
        LENGTH,
        "particle",
        False,
        "radius",
        True,
        "resolver",
        0.0,
        "radius at which bodies touch",
    ),
    (
        "kind",
        (),
        np.int8,
        DIMENSIONLESS,
        "particle",
        False,
        "kind",
        True,
        "resolver",
        0,
        "what the particle is: " + ", ".join(f"{v} {k}" for k, v in KINDS.items()),
    ),
    (
        "softening",
        (),
        np.float64,
        LENGTH,
        "particle",
        False,
        "softening",
        True,
        "first",
        0.0,
        "Plummer-equivalent gravitational softening length",
    ),
    ("species", (), np.int32, DIMENSIONLESS, "particle", False, "species", True, "first", 0, "atomic number"),
    (
        "cell",
        (3, 3),
        np.float64,
        LENGTH,
        "system",
        False,
        "edges",
        True,
        "first",
        0.0,
        "rows are the vectors of the simulation cell",
    ),
    (
        "periodic",
        (3,),
        np.bool_,
        DIMENSIONLESS,
        "system",
        False,
        "boundary",
        True,
        "first",
        0,
        "whether the system repeats along each cell vector",
    ),
)

PARTICLE_FIELDS = tuple(f for f in FIELDS.values() if f.scope == "particle")
SYSTEM_FIELDS = tuple(f for f in FIELDS.values() if f.scope == "system")
