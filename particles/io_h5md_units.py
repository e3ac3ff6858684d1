"""Units in an H5MD file: a unit string on every value, and exact SI factors in ``h5md/modules/askel``.

| units of the state | numbers in the file | unit strings |
|---|---|---|
| ``ase`` | Angstrom, fs, Angstrom/fs, amu (MDAnalysis and others take the file as it is) | ``unit``: ``Angstrom``, ``fs`` |
| physical | the state's own | ``askel_unit``: symbols such as ``kpc``, else ``1.5e+11 m`` |
| ``nbody`` without scales | the state's own | ``askel_unit``: ``nbody`` |

MDAnalysis refuses a ``unit`` it does not know even when told not to convert; without one it opens the file with
``MDAnalysis.Universe.empty(n, trajectory=True).load_new(file, convert_units=False)``.
"""

from __future__ import annotations

from typing import Any

import h5py

from .errors import InputError
from .fields import Field
from .io_hdf5 import number_attribute, subgroup, text_attribute
from .units import DIMENSIONLESS, LENGTH, MASS, TIME, UNIT_SYSTEMS, UNITS, Dimension, UnitSystem, parse_unit

#: Angstrom, amu, fs: the units in which an ASE state is written.
ASE_IN_FILES = UnitSystem("ase", 1e-10, UNIT_SYSTEMS["ase"].mass, 1e-15)

#: H5MD names of symbols for which the unit table has several.
_PREFERRED = ("Angstrom", "nm", "kpc", "pc", "au", "m", "Msun", "amu", "kg", "fs", "ps", "ns", "yr", "s")
_SI_SYMBOLS = ("m", "kg", "s")
_MODULE = "h5md/modules/askel"


def file_units(units: UnitSystem) -> UnitSystem:
    """Return the units of the numbers in a file that holds states in ``units``."""
    return ASE_IN_FILES if units == UNIT_SYSTEMS["ase"] else units


def mark_unit(data: h5py.Dataset, units: UnitSystem, field: Field) -> None:
    """Write the unit attribute of a data set that holds a field in the file's units."""
    text = unit_string(units, field)
    if text is not None:
        data.attrs["unit" if units == ASE_IN_FILES else "askel_unit"] = text


def unit_string(units: UnitSystem, field: Field) -> str | None:
    """Return the unit attribute of a field (None for plain numbers), such as "Angstrom fs-1"."""
    if field.dimension == DIMENSIONLESS:
        return None
    if not units.physical:
        return "nbody"
    compact = _symbol(units.factor(field.dimension), field.dimension)
    if compact is not None:
        return compact
    parts = []
    for axis, power in enumerate(field.dimension):
        if power:
            symbol = _base_symbol(units, axis)
            parts.append(symbol if power == 1 else f"{symbol}{power}")
    text = " ".join(p for p in parts if p)
    if any(" " in p for p in parts):  # a factor without a name: give the whole product in SI
        si = " ".join(f"{s}{p}" if p != 1 else s for s, p in zip(_SI_SYMBOLS, field.dimension, strict=True) if p)
        text = f"{units.factor(field.dimension)!r} {si}"
    return text


def _base_symbol(units: UnitSystem, axis: int) -> str:
    dimension = (LENGTH, MASS, TIME)[axis]
    size = units.factor(dimension)
    return _symbol(size, dimension) or f"{size!r} {_SI_SYMBOLS[axis]}"


def _symbol(size: float, dimension: Dimension) -> str | None:
    names = (*(n for n in _PREFERRED if n in UNITS), *UNITS)
    for name in names:
        if UNITS[name][1] == dimension and abs(size / UNITS[name][0] - 1.0) < 1e-14:
            return name
    if dimension == (1, 0, -1) and abs(size / 1e3 - 1.0) < 1e-14:
        return "km s-1"
    return None


def write_units(module: h5py.Group, units: UnitSystem) -> None:
    """Write the units of a state, and of the numbers in the file, as attributes."""
    numbers = file_units(units)
    module.attrs["units"] = units.name
    module.attrs["G"] = numbers.gravitational_constant
    if numbers.length is not None and numbers.mass is not None and numbers.time is not None:
        module.attrs["unit_length_in_m"] = numbers.length
        module.attrs["unit_mass_in_kg"] = numbers.mass
        module.attrs["unit_time_in_s"] = numbers.time
    if numbers.speed_of_light is not None:
        module.attrs["c"] = numbers.speed_of_light


def read_units(file: h5py.File, position: Any, time: Any, mass: Any) -> tuple[UnitSystem, UnitSystem]:
    """Return (units of the numbers, units of the state to make) of an H5MD file.

    Files of other programs say their units on the data sets; molecular ones become states in ASE units.

    Raises
    ------
    InputError : a unit that is not known

    """
    module = subgroup(file, _MODULE)
    if module is not None and text_attribute(module, "units"):
        return read_own_units(module)
    return _foreign_units(position, time, mass)


def read_own_units(module: h5py.Group) -> tuple[UnitSystem, UnitSystem]:
    """Return (units of the numbers, units of the state to make) from what ``write_units`` wrote."""
    name = text_attribute(module, "units")
    scales = [number_attribute(module, f"unit_{n}") for n in ("length_in_m", "mass_in_kg", "time_in_s")]
    if all(s is None for s in scales):
        units = UnitSystem(name, light=number_attribute(module, "c"))
        return units, units
    numbers = UnitSystem(name, *scales)
    return numbers, UNIT_SYSTEMS["ase"] if name == "ase" else numbers


def _foreign_units(position: Any, time: Any, mass: Any) -> tuple[UnitSystem, UnitSystem]:
    length, duration = (text_attribute(d, "unit") if d is not None else "" for d in (position, time))
    if not length or "nbody" in (length, duration):
        return UNIT_SYSTEMS["nbody"], UNIT_SYSTEMS["nbody"]
    size = _parse(length, LENGTH)
    small = size < 1e-6
    weight = text_attribute(mass, "unit") if mass is not None else ""
    default = UNIT_SYSTEMS["ase"].mass if small else UNITS["Msun"][0]
    numbers = UnitSystem(
        "file", size, _parse(weight, MASS) if weight else default, _parse(duration or ("fs" if small else "s"), TIME)
    )
    return numbers, UNIT_SYSTEMS["ase"] if small else numbers


def _parse(text: str, dimension: Dimension) -> float:
    head, _, rest = text.strip().partition(" ")
    try:
        scale, symbols = float(head), rest
    except ValueError:
        scale, symbols = 1.0, text
    size, found = parse_unit({"u": "amu", "\u00c5": "Angstrom"}.get(symbols.strip(), symbols))
    if found != dimension:
        raise InputError(f"the file says unit {text!r}, which does not fit; expected a unit of another quantity")
    return scale * size
