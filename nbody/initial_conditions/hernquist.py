"""The Hernquist model: a cusp like 1/r, and an envelope like r^-4, as bulges and haloes have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .profile import Array, Profile, positive


@dataclass(frozen=True)
class Hernquist(Profile):
    r"""The Hernquist model.

        rho = M a / (2 pi r (r + a)^3),     M(r) = M r^2/(r + a)^2,     Phi = -M/(r + a)

    | symbol | name | unit |
    |---|---|---|
    | M | ``mass`` | mass |
    | a | ``scale_radius`` | length; half of the mass is inside 2.414 a |

    Raises InputError for a mass or a length that is not positive. Reference: Hernquist 1990, doi:10.1086/168845.
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
        return self.mass / (2.0 * np.pi * self.scale_radius**3) / (x * (1.0 + x) ** 3)

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        r = np.asarray(r, np.float64)
        x = r / self.scale_radius
        rho, one = self.density(r), 1.0 + x
        return -rho * (1.0 + 4.0 * x) / (one * r), rho * (2.0 + 10.0 * x + 20.0 * x * x) / (one * r) ** 2

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        r = np.asarray(r, np.float64)
        return self.mass * (r / (r + self.scale_radius)) ** 2

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        return -self.mass / (np.asarray(r, np.float64) + self.scale_radius)

    def radius_enclosing(self, fraction: ArrayLike) -> Array:
        """Return the radii that hold given shares of the mass."""
        root = np.sqrt(np.asarray(fraction, np.float64))
        return self.scale_radius * root / (1.0 - root)

    def distribution_function(self, energy: ArrayLike) -> Array:
        r"""Return f(E) of isotropic velocities, E = -Phi - v^2/2 in [0, M/a), normalised to mass (equation 17).

        f = M/(8 sqrt(2) pi^3 (M a)^(3/2)) [3 asin q + q sqrt(1 - q^2) (1 - 2 q^2) (8 q^4 - 8 q^2 - 3)]/(1 - q^2)^(5/2)

        with q^2 = a E/M. The bracket cancels below q = 0.1 or so: relative accuracy 1e-16/q^5.
        """
        q = np.sqrt(self.scale_radius * np.asarray(energy, np.float64) / self.mass)
        rest = 1.0 - q * q
        bracket = 3.0 * np.arcsin(q) + q * np.sqrt(rest) * (1.0 - 2.0 * q * q) * (8.0 * q**4 - 8.0 * q * q - 3.0)
        scale = self.mass / (8.0 * np.sqrt(2.0) * np.pi**3 * (self.mass * self.scale_radius) ** 1.5)
        return scale * bracket / rest**2.5
