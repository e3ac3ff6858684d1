"""Names of units, for axes and progress lines, and the unit in which times of atoms are said."""

from __future__ import annotations

import math
from typing import Literal

from .particles import UNIT_SYSTEMS, UnitSystem
from .particles.units import LENGTH, MASS, TIME, UNITS, Dimension

#: Units that are no single symbol of the table.
_NAMES: dict[str, dict[str, str]] = {
    "galactic": {"time": "kpc/(km/s)"},
    "pc-msun-kms": {"time": "pc/(km/s)"},
    "geometric": {"length": "G M/c²", "mass": "M", "time": "G M/c³"},
    "ase": {"time": "10.18 fs"},
}
_DIMENSIONS: dict[str, Dimension] = {"length": LENGTH, "mass": MASS, "time": TIME}


def unit_text(units: UnitSystem, quantity: Literal["length", "mass", "time"], before: str = "", after: str = "") -> str:
    """Return the unit between two texts, or nothing where it has no name."""
    name = _NAMES.get(units.name, {}).get(quantity) or _symbol(units, _DIMENSIONS[quantity])
    return f"{before}{name}{after}" if name else ""


def _symbol(units: UnitSystem, dimension: Dimension) -> str:
    """Return the first symbol of the table that has the size of the unit."""
    if not units.physical:
        return ""
    size = units.factor(dimension)
    same = (name for name, (value, d) in UNITS.items() if d == dimension and math.isclose(value, size, rel_tol=1e-12))
    return next(same, "")


def picoseconds(time: float) -> float:
    """Return a time in ASE's unit as picoseconds."""
    return time * UNIT_SYSTEMS["ase"].factor(TIME) / 1e-12
