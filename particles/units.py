"""Units: one frozen ``UnitSystem`` on the state, and quantities with units in strings at the edge.

G and c are derived from the system, never set beside it. N-body units (G = 1) have no physical scale, therefore no
speed of light, unless one is given or two scales are named.

Constants: G from CODATA 2018 (doi:10.1103/RevModPhys.93.025010), solar mass from GM_sun of IAU 2015 resolution B3
divided by that G, astronomical unit and parsec of IAU 2012 B2 and 2015 B2, year = Julian year.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .errors import InputError

Dimension = tuple[int, int, int]  # powers of length, mass, time

DIMENSIONLESS: Dimension = (0, 0, 0)
LENGTH: Dimension = (1, 0, 0)
MASS: Dimension = (0, 1, 0)
TIME: Dimension = (0, 0, 1)
VELOCITY: Dimension = (1, 0, -1)
ACCELERATION: Dimension = (1, 0, -2)
ENERGY: Dimension = (2, 1, -2)
ANGULAR_MOMENTUM: Dimension = (2, 1, -1)

GRAVITATIONAL_CONSTANT = 6.67430e-11  # m^3 kg^-1 s^-2, CODATA 2018
SPEED_OF_LIGHT = 299792458.0  # m/s, exact
_SOLAR_MASS_PARAMETER = 1.3271244e20  # m^3 s^-2, IAU 2015 B3
_ATOMIC_MASS = 1.66053906660e-27  # kg, CODATA 2018
_ELECTRONVOLT = 1.602176634e-19  # J, exact
_ASTRONOMICAL_UNIT = 149597870700.0  # m, IAU 2012 B2
_PARSEC = _ASTRONOMICAL_UNIT * 648000.0 / math.pi  # m, IAU 2015 B2
_YEAR = 365.25 * 86400.0  # s, Julian

#: symbol -> (value in SI, dimension)
UNITS: dict[str, tuple[float, Dimension]] = {
    "m": (1.0, LENGTH), "cm": (1e-2, LENGTH), "km": (1e3, LENGTH), "nm": (1e-9, LENGTH), "pm": (1e-12, LENGTH),
    "A": (1e-10, LENGTH), "Angstrom": (1e-10, LENGTH), "angstrom": (1e-10, LENGTH), "Ang": (1e-10, LENGTH),
    "au": (_ASTRONOMICAL_UNIT, LENGTH), "AU": (_ASTRONOMICAL_UNIT, LENGTH), "mpc": (1e-3 * _PARSEC, LENGTH),
    "pc": (_PARSEC, LENGTH), "kpc": (1e3 * _PARSEC, LENGTH), "Mpc": (1e6 * _PARSEC, LENGTH), "Rsun": (6.957e8, LENGTH),
    "kg": (1.0, MASS), "g": (1e-3, MASS), "amu": (_ATOMIC_MASS, MASS), "Da": (_ATOMIC_MASS, MASS),
    "Msun": (_SOLAR_MASS_PARAMETER / GRAVITATIONAL_CONSTANT, MASS),
    "s": (1.0, TIME), "ms": (1e-3, TIME), "min": (60.0, TIME), "h": (3600.0, TIME), "day": (86400.0, TIME),
    "fs": (1e-15, TIME), "ps": (1e-12, TIME), "ns": (1e-9, TIME), "us": (1e-6, TIME),
    "yr": (_YEAR, TIME), "kyr": (1e3 * _YEAR, TIME), "Myr": (1e6 * _YEAR, TIME), "Gyr": (1e9 * _YEAR, TIME),
    "J": (1.0, ENERGY), "eV": (_ELECTRONVOLT, ENERGY), "erg": (1e-7, ENERGY),
}  # fmt: skip

_DIMENSION_NAMES = {
    DIMENSIONLESS: "a plain number", LENGTH: "a length", MASS: "a mass", TIME: "a time", VELOCITY: "a velocity",
    ENERGY: "an energy", ANGULAR_MOMENTUM: "an angular momentum", ACCELERATION: "an acceleration",
}  # fmt: skip

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")
_FACTOR = re.compile(r"\s*([*/])?\s*([A-Za-z]+)\s*(?:(?:\*\*|\^)?\s*([-+]?\d+))?\s*")


def describe(dimension: Dimension) -> str:
    """Return words for a dimension, such as "a length"."""
    return _DIMENSION_NAMES.get(dimension, "length^{} mass^{} time^{}".format(*dimension))


def parse_unit(text: str) -> tuple[float, Dimension]:
    """Return (value in SI, dimension) of a product of units such as ``km/s`` or ``Msun kpc^2 s^-1``.

    Raises
    ------
    InputError : an unknown symbol, or text that is no product of units

    """
    value, powers, at = 1.0, [0, 0, 0], 0
    while at < len(text):
        match = _FACTOR.match(text, at)
        if match is None or match.group(2) not in UNITS:
            wrong = text[at:].split()[0] if text[at:].split() else text
            raise InputError(f"unknown unit {wrong!r} in {text!r}; known: {', '.join(UNITS)}")
        size, dimension = UNITS[match.group(2)]
        power = int(match.group(3) or 1) * (-1 if match.group(1) == "/" else 1)
        value *= size**power
        powers = [p + power * d for p, d in zip(powers, dimension, strict=True)]
        at = match.end()
    return value, (powers[0], powers[1], powers[2])


def parse_quantity(text: str) -> tuple[float, Dimension]:
    """Return (value in SI, dimension) of a quantity with a unit, such as ``"10 kpc"``.

    Raises
    ------
    InputError : not a number followed by known units

    """
    match = _QUANTITY.match(text)
    if match is None:
        raise InputError(f"{text!r} is not a quantity; expected a number and a unit, such as '10 kpc'")
    size, dimension = parse_unit(match.group(2))
    return float(match.group(1)) * size, dimension


@dataclass(frozen=True, slots=True)
class UnitSystem:
    """The units of a state: length, mass and time in SI, or none of them (pure N-body units with G = 1).

    Attributes
    ----------
    name : str
    length, mass, time : float or None, the unit in m, kg, s; all three or none
    light : float or None, the speed of light of a scale-free system (only when the scales are None)

    """

    name: str
    length: float | None = None
    mass: float | None = None
    time: float | None = None
    light: float | None = None

    def __post_init__(self) -> None:
        scales = (self.length, self.mass, self.time)
        if any(s is None for s in scales) != all(s is None for s in scales):
            raise InputError(f"unit system {self.name!r}: give length, mass and time, or none of them, not {scales}")
        if any(s is not None and not (s > 0 and math.isfinite(s)) for s in (*scales, self.light)):
            raise InputError(f"unit system {self.name!r}: units must be positive and finite, not {scales}")
        if self.length is not None and self.light is not None:
            raise InputError(f"unit system {self.name!r}: the speed of light follows from its scales; do not give one")

    @property
    def physical(self) -> bool:
        """Whether the units have a size in SI."""
        return self.length is not None

    def factor(self, dimension: Dimension) -> float:
        """Return the SI value of one unit of ``dimension``; raises InputError in scale-free units."""
        if dimension == DIMENSIONLESS:
            return 1.0
        if self.length is None or self.mass is None or self.time is None:
            raise InputError(f"{self.name!r} units have no physical scale; name one in [units]: length, mass (or time)")
        return self.length ** dimension[0] * self.mass ** dimension[1] * self.time ** dimension[2]

    @property
    def gravitational_constant(self) -> float:
        """G in these units (1 in scale-free units)."""
        if not self.physical:
            return 1.0
        value = GRAVITATIONAL_CONSTANT / self.factor((3, -1, -2))
        return 1.0 if abs(value - 1.0) < 1e-12 else value  # units made from G = 1 must give exactly 1

    @property
    def speed_of_light(self) -> float | None:
        """C in these units, or None where the units have no scale and none was given."""
        return SPEED_OF_LIGHT / self.factor(VELOCITY) if self.physical else self.light

    def read(self, quantity: float | str, dimension: Dimension) -> float:
        """Return a quantity in these units: a bare number is taken as it is, a string is converted.

        Raises
        ------
        InputError : wrong dimension, unknown unit, or a physical unit in scale-free units

        """
        if not isinstance(quantity, str):
            return float(quantity)
        value, found = parse_quantity(quantity)
        if found != dimension and found != DIMENSIONLESS:
            raise InputError(f"{quantity!r} is {describe(found)}; expected {describe(dimension)}")
        return value if found == DIMENSIONLESS else value / self.factor(dimension)

    def conversion(self, other: UnitSystem, dimension: Dimension) -> float:
        """Return the factor that turns numbers in these units into numbers in ``other``.

        Raises
        ------
        InputError : exactly one of the two has no physical scale, or both lack one and differ in their speed of light

        """
        if self == other:
            return 1.0
        if not self.physical and not other.physical:
            if self.light is not None and other.light is not None and self.light != other.light:
                raise InputError(
                    f"cannot convert N-body units with c = {self.light} to N-body units with c = {other.light}"
                )
            return 1.0
        return self.factor(dimension) / other.factor(dimension)


def nbody_units(
    *, speed_of_light: float | None = None, length: str | None = None, mass: str | None = None
) -> UnitSystem:
    """Return units with G = 1: scale-free, or scaled by a length and a mass given as strings.

    Raises
    ------
    InputError : only one of length and mass, or a speed of light beside them

    """
    if length is None and mass is None:
        return UnitSystem("nbody", light=speed_of_light)
    if length is None or mass is None:
        raise InputError("N-body units with a physical scale need both length and mass, such as '1 pc' and '1e6 Msun'")
    if speed_of_light is not None:
        raise InputError("the speed of light follows from length and mass; give either it or them")
    size_length, size_mass = _scale(length, LENGTH), _scale(mass, MASS)
    return UnitSystem("nbody", size_length, size_mass, math.sqrt(size_length**3 / (GRAVITATIONAL_CONSTANT * size_mass)))


def custom_units(length: str, mass: str, time: str) -> UnitSystem:
    """Return a system from three strings, such as ``custom_units("1 pc", "1 Msun", "1 Myr")``."""
    return UnitSystem("custom", _scale(length, LENGTH), _scale(mass, MASS), _scale(time, TIME))


def geometric_units(mass: str = "1 Msun") -> UnitSystem:
    """Return units with G = c = 1 and the given mass as unit."""
    size = _scale(mass, MASS)
    length = GRAVITATIONAL_CONSTANT * size / SPEED_OF_LIGHT**2
    return UnitSystem("geometric", length, size, length / SPEED_OF_LIGHT)


def _scale(text: str, dimension: Dimension) -> float:
    value, found = parse_quantity(text)
    if found != dimension:
        raise InputError(f"{text!r} is {describe(found)}; expected {describe(dimension)}")
    return value


_KPC, _MSUN = UNITS["kpc"][0], UNITS["Msun"][0]

#: The systems known by name. ``ase``: Angstrom, atomic mass unit and the time that makes energies eV (10.18 fs).
UNIT_SYSTEMS: dict[str, UnitSystem] = {
    "nbody": nbody_units(),
    "galactic": UnitSystem("galactic", _KPC, _MSUN, _KPC / 1e3),  # kpc, Msun, km/s
    "pc-msun-kms": UnitSystem("pc-msun-kms", _PARSEC, _MSUN, _PARSEC / 1e3),
    "au-msun-yr": UnitSystem("au-msun-yr", _ASTRONOMICAL_UNIT, _MSUN, _YEAR),
    "geometric": geometric_units(),
    "ase": UnitSystem("ase", 1e-10, _ATOMIC_MASS, 1e-10 * math.sqrt(_ATOMIC_MASS / _ELECTRONVOLT)),
    "si": UnitSystem("si", 1.0, 1.0, 1.0),
}
