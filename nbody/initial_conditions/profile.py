"""What a spherical mass model gives: density, enclosed mass, potential; and tables for models without closed forms."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from ...particles.errors import InputError

Array = NDArray[np.float64]

#: Share of the mass inside the smallest radius, and outside the largest one, at which tables start and end.
INNERMOST, OUTERMOST = 1e-10, 1e-6


class Profile(ABC):
    r"""A spherical mass model, in units of G = 1: potentials and squared velocities are to be multiplied by G.

        dM/dr = 4 pi r^2 rho,     dPhi/dr = M(r)/r^2,     Phi -> 0 far away

    | symbol | name | unit |
    |---|---|---|
    | rho(r) | ``density`` | mass/length^3 |
    | rho'(r), rho''(r) | ``density_derivatives`` | mass/length^4, mass/length^5 |
    | M(r) | ``enclosed_mass`` | mass |
    | Phi(r) | ``potential`` | mass/length, negative |

    All take radii of any shape, positive, and return float64 of that shape. Subclasses are frozen dataclasses with the
    fields ``mass``, the whole of it, and lengths.
    """

    mass: float

    @abstractmethod
    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""

    @abstractmethod
    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return the first and the second derivative of rho by r."""

    @abstractmethod
    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""

    @abstractmethod
    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """A length that says where the model changes its slope; tables start from it."""

    @property
    def extent(self) -> float:
        """The radius outside of which there is nothing; infinite for most models."""
        return math.inf

    def radius_enclosing(self, fraction: ArrayLike) -> Array:
        """Return the radii that hold given shares of the mass, each in (0, 1), to round-off of ``enclosed_mass``."""
        share = np.asarray(fraction, np.float64)
        edge = math.log(min(self.extent, 1e12 * self.scale))
        grid = np.linspace(math.log(1e-8 * self.scale), edge, 3000)
        known = np.log(self.enclosed_mass(np.exp(grid)) / self.mass)
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(known)) > 0.0])
        start = PchipInterpolator(known[rising], grid[rising], extrapolate=False)
        x = start(np.clip(np.log(share), known[0], known[rising][-1]))
        for _ in range(3):  # Newton's method for ln M(ln r); flat ends stay where the table put them
            r = np.exp(x)
            inside = self.enclosed_mass(r)
            slope = 4.0 * np.pi * r**3 * self.density(r) / inside
            step = np.divide(
                np.log(inside / self.mass) - np.log(share), slope, out=np.zeros_like(x), where=slope > 1e-9
            )
            x = np.minimum(x - np.clip(step, -0.1, 0.1), edge)
        return np.exp(x)


def positive(**values: float) -> None:
    """Raise InputError unless every value is a finite number above zero."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(f"{name} is {value:g}; it must be a finite number above zero")


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class RadialTable:
    r"""Enclosed mass and potential of a density without closed forms.

        M(r) = 4 pi int_0^r rho s^2 ds,     Phi(r) = -M(r)/r - 4 pi int_r^R rho s ds

    Gauss-Legendre quadrature with 12 nodes between tabulated radii, evenly spaced in ln r; between them a cubic Hermite
    spline of ln M(ln r), whose slope is known, accurate to (d ln r)^4/384, some 1e-10. Inside the first radius the
    density is a power law, outside the last one there is nothing.

    Attributes
    ----------
    radius, mass, outer : (k,) radii; M(r); the integral from r to the last radius
    slope : d ln M/d ln r at the first radius

    """

    radius: Array
    mass: Array
    outer: Array
    density: Array

    @classmethod
    def of(cls, density: Callable[[Array], Array], first: float, last: float, points: int = 1500) -> RadialTable:
        """Tabulate a density between two radii."""
        x = np.linspace(math.log(first), math.log(last), points)
        half = 0.5 * np.diff(x)
        r = np.exp(x[:-1, None] + half[:, None] * (1.0 + _NODES))
        rho = density(r)
        shells = 4.0 * np.pi * half * ((rho * r**3) @ _WEIGHTS)
        outer = 4.0 * np.pi * half * ((rho * r**2) @ _WEIGHTS)
        at = density(np.exp(x))
        steepness = -math.log(at[1] / at[0]) / (x[1] - x[0])
        inner = 4.0 * np.pi * at[0] * first**3 / (3.0 - steepness)
        mass = inner + np.concatenate([[0.0], np.cumsum(shells)])
        beyond = np.concatenate([np.cumsum(outer[::-1])[::-1], [0.0]])
        return cls(np.exp(x), mass, beyond, at)

    def __post_init__(self) -> None:
        """Make the splines."""
        x, cube = np.log(self.radius), 4.0 * np.pi * self.radius**3 * self.density
        object.__setattr__(self, "_mass", CubicHermiteSpline(x, np.log(self.mass), cube / self.mass))
        object.__setattr__(self, "_outer", CubicHermiteSpline(x, self.outer, -cube / self.radius))
        object.__setattr__(self, "_slope", float(cube[0] / self.mass[0]))

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        x = np.log(np.asarray(r, np.float64))
        first, last = math.log(self.radius[0]), math.log(self.radius[-1])
        inside = np.minimum(x - first, 0.0) * self._slope  # type: ignore[attr-defined]
        return np.exp(self._mass(np.clip(x, first, last)) + inside)  # type: ignore[attr-defined]

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        r = np.asarray(r, np.float64)
        x = np.log(np.clip(r, self.radius[0], self.radius[-1]))
        return -self.enclosed_mass(r) / r - self._outer(x)  # type: ignore[attr-defined]
