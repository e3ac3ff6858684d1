"""The Plummer sphere: a core, and a steep envelope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .profile import Array, Profile, positive


@dataclass(frozen=True)
class Plummer(Profile):
    r"""The Plummer sphere.

        rho = 3 M/(4 pi b^3) (1 + r^2/b^2)^(-5/2),     M(r) = M r^3/(r^2 + b^2)^(3/2),     Phi = -M/sqrt(r^2 + b^2)

    | symbol | name | unit |
    |---|---|---|
    | M | ``mass`` | mass |
    | b | ``scale_radius`` | length; half of the mass is inside 1.305 b |

    Raises InputError for a mass or a length that is not positive. Reference: Plummer 1911, doi:10.1093/mnras/71.5.460;
    distribution function: Binney & Tremaine 2008, Galactic Dynamics, section 4.3.3.
    """

    mass: float
    scale_radius: float

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(mass=self.mass, scale_radius=self.scale_radius)

    @property
    def scale(self) -> float:
        """The scale radius."""
        return self.scale_radius

    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""
        x = np.asarray(r, np.float64) / self.scale_radius
        return 3.0 * self.mass / (4.0 * np.pi * self.scale_radius**3) * (1.0 + x * x) ** -2.5

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        x = np.asarray(r, np.float64) / self.scale_radius
        one = 1.0 + x * x
        rho = self.density(r)
        return -5.0 * rho * x / (one * self.scale_radius), rho * 5.0 * (6.0 * x * x - 1.0) / (
            one * self.scale_radius
        ) ** 2

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        x = np.asarray(r, np.float64) / self.scale_radius
        return self.mass * (x / np.sqrt(1.0 + x * x)) ** 3

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        return -self.mass / np.hypot(np.asarray(r, np.float64), self.scale_radius)

    def radius_enclosing(self, fraction: ArrayLike) -> Array:
        """Return the radii that hold given shares of the mass."""
        return self.scale_radius / np.sqrt(np.asarray(fraction, np.float64) ** (-2.0 / 3.0) - 1.0)

    def distribution_function(self, energy: ArrayLike) -> Array:
        r"""Return f(E) of isotropic velocities, E = -Phi - v^2/2 >= 0, normalised to mass.

        f = 24 sqrt(2) b^2 / (7 pi^3 M^4) E^(7/2)
        """
        E = np.asarray(energy, np.float64)
        return 24.0 * np.sqrt(2.0) * self.scale_radius**2 / (7.0 * np.pi**3 * self.mass**4) * E**3.5
