"""Dehnen's models: a cusp of any slope, as the centres of galaxies with and without black holes have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...particles.errors import InputError
from .profile import Array, Profile, positive

#: The steepest cusp: beyond, a noticeable mass is at radii that float64 positions do not resolve.
STEEPEST = 2.5


@dataclass(frozen=True)
class Dehnen(Profile):
    r"""Dehnen's model: Hernquist's is gamma = 1, Jaffe's gamma = 2.

        rho = (3 - gamma) M a / (4 pi r^gamma (r + a)^(4 - gamma))
        M(r) = M y^(3 - gamma),   Phi = -M/a (1 - y^(2 - gamma))/(2 - gamma),   y = r/(r + a)

    | symbol | name | unit |
    |---|---|---|
    | M | ``mass`` | mass |
    | a | ``scale_radius`` | length |
    | gamma | ``inner_slope`` | 0 to 2.5; above 1/2 around a black hole |

    Raises InputError for values out of range. Reference: Dehnen 1993, doi:10.1093/mnras/265.1.250; Tremaine et al. 1994,
    doi:10.1086/116883.
    """

    mass: float
    scale_radius: float
    inner_slope: float

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(mass=self.mass, scale_radius=self.scale_radius)
        if not 0.0 <= self.inner_slope <= STEEPEST:
            raise InputError(f"inner_slope is {self.inner_slope:g}; Dehnen's models here have 0 to {STEEPEST}")

    @property
    def scale(self) -> float:
        """The scale radius."""
        return self.scale_radius

    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""
        x, gamma = np.asarray(r, np.float64) / self.scale_radius, self.inner_slope
        scale = (3.0 - gamma) * self.mass / (4.0 * np.pi * self.scale_radius**3)
        return scale * x**-gamma * (1.0 + x) ** (gamma - 4.0)

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        r = np.asarray(r, np.float64)
        x, outer = r / self.scale_radius, 4.0 - self.inner_slope
        rho = self.density(r)
        steepness = self.inner_slope + outer * x / (1.0 + x)  # -d ln rho/d ln r
        change = outer * x / (1.0 + x) ** 2  # of the steepness, by ln r
        return -rho * steepness / r, rho * (steepness * (steepness + 1.0) - change) / r**2

    def _log_y(self, r: ArrayLike) -> Array:
        return -np.log1p(self.scale_radius / np.asarray(r, np.float64))

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        return self.mass * np.exp((3.0 - self.inner_slope) * self._log_y(r))

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        rest, log_y = 2.0 - self.inner_slope, self._log_y(r)
        # (y^rest - 1)/rest, whose limit at rest = 0 is ln y
        return self.mass / self.scale_radius * (log_y if rest == 0.0 else np.expm1(rest * log_y) / rest)

    def radius_enclosing(self, fraction: ArrayLike) -> Array:
        """Return the radii that hold given shares of the mass."""
        log_y = np.log(np.asarray(fraction, np.float64)) / (3.0 - self.inner_slope)
        return self.scale_radius * np.exp(log_y) / -np.expm1(log_y)
