"""Names of the units of the known systems, for axes and progress lines."""

from __future__ import annotations

from typing import Literal

from .particles import UnitSystem

_NAMES: dict[str, dict[str, str]] = {
    "galactic": {"length": "kpc", "mass": "Msun", "time": "kpc/(km/s)", "velocity": "km/s"},
    "pc-msun-kms": {"length": "pc", "mass": "Msun", "time": "pc/(km/s)", "velocity": "km/s"},
    "au-msun-yr": {"length": "au", "mass": "Msun", "time": "yr", "velocity": "au/yr"},
    "geometric": {"length": "G M/c²", "mass": "M", "time": "G M/c³", "velocity": "c"},
    "ase": {"length": "Å", "mass": "amu", "time": "10.18 fs", "velocity": "Å/(10.18 fs)"},
    "si": {"length": "m", "mass": "kg", "time": "s", "velocity": "m/s"},
}


def unit_text(
    units: UnitSystem, quantity: Literal["length", "mass", "time", "velocity"], before: str = "", after: str = ""
) -> str:
    """Return the unit between two texts, or nothing where the system has no names."""
    name = _NAMES.get(units.name, {}).get(quantity)
    return f"{before}{name}{after}" if name else ""
