"""Black holes of initial conditions: one, or a pair on a Kepler orbit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...particles import KINDS, Particles, UnitSystem
from ...particles.errors import InputError
from ..orbits import OrbitalElements, binary_state
from .profile import positive

Triple = tuple[float, float, float]
_ORIGIN: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class BlackHole:
    """One black hole.

    Attributes
    ----------
    mass : mass
    position, velocity : of three numbers, from the centre of the galaxy
    spin : spin angular momentum, or None

    """

    mass: float
    position: Triple = _ORIGIN
    velocity: Triple = _ORIGIN
    spin: Triple | None = None

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(black_hole_mass=self.mass)

    def particles(self, units: UnitSystem) -> Particles:
        """Return its state."""
        return _holes([self.mass], np.array([self.position]), np.array([self.velocity]), units, spin=self.spin)


@dataclass(frozen=True)
class BlackHoleBinary:
    """Two black holes on a Kepler orbit about each other.

    Attributes
    ----------
    mass : of both together
    semi_major_axis : length
    eccentricity : 0 <= e < 1
    mass_ratio : m2/m1, in (0, 1]
    inclination, mean_anomaly : radian; the orbit starts at mean_anomaly = 0, the pericentre, if not told otherwise
    position, velocity : of their centre of mass

    Raises InputError for values out of range.

    """

    mass: float
    semi_major_axis: float
    eccentricity: float = 0.0
    mass_ratio: float = 1.0
    inclination: float = 0.0
    mean_anomaly: float = 0.0
    position: Triple = _ORIGIN
    velocity: Triple = _ORIGIN

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(black_hole_mass=self.mass, semi_major_axis=self.semi_major_axis)
        if not 0.0 <= self.eccentricity < 1.0:
            raise InputError(f"eccentricity of a black-hole binary is {self.eccentricity:g}; expected 0 <= e < 1")
        if not 0.0 < self.mass_ratio <= 1.0:
            raise InputError(f"mass_ratio is {self.mass_ratio:g}; expected 0 < m2/m1 <= 1")
        if not all(map(math.isfinite, (self.inclination, self.mean_anomaly))):
            raise InputError("angles of a black-hole binary must be finite numbers")

    def particles(self, units: UnitSystem) -> Particles:
        """Return the states of both."""
        first = self.mass / (1.0 + self.mass_ratio)
        masses = [first, self.mass - first]
        elements = OrbitalElements(
            self.semi_major_axis, self.eccentricity, self.inclination, mean_anomaly=self.mean_anomaly
        )
        x, v = binary_state(masses, elements, G=units.gravitational_constant)
        return _holes(masses, x + np.array(self.position), v + np.array(self.velocity), units)


def _holes(
    mass: list[float], position: np.ndarray, velocity: np.ndarray, units: UnitSystem, spin: Triple | None = None
) -> Particles:
    n = len(mass)
    fields: dict[str, Any] = {} if spin is None else {"spin": np.array([spin])}
    return Particles(mass, position, velocity, kind=np.full(n, KINDS["black-hole"], np.int8), units=units, **fields)
