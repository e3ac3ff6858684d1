"""The profile of Navarro, Frenk and White, with a smooth end, so that its mass is finite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .profile import Array, Profile, RadialTable, positive

#: The density is cut to nothing at so many truncation radii, where it has fallen by exp(-50).
_END = 50.0


@dataclass(frozen=True)
class NFW(Profile):
    r"""The profile of Navarro, Frenk and White, truncated by a hyperbolic secant.

        rho = rho_0 / (x (1 + x)^2 cosh y),     x = r/r_s,  y = r/r_t

    The mass of the profile itself has no limit; 1/cosh leaves it alone inside r_t and ends it exponentially outside, with
    all derivatives smooth, as distribution functions need.

    | symbol | name | unit |
    |---|---|---|
    | M = M(infinity) | ``mass`` | mass, of all there is |
    | r_s | ``scale_radius`` | length |
    | r_t | ``truncation_radius`` | length; usually the virial radius, r_s times the concentration |

    Enclosed mass and potential come from ``RadialTable``, 1e-9 relative. Raises InputError for values that are not
    positive. References: Navarro, Frenk & White 1997, doi:10.1086/304888; truncation: McMillan & Dehnen 2007,
    doi:10.1111/j.1365-2966.2007.11753.x.
    """

    mass: float
    scale_radius: float
    truncation_radius: float

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(mass=self.mass, scale_radius=self.scale_radius, truncation_radius=self.truncation_radius)

    @classmethod
    def of_virial(cls, virial_mass: float, virial_radius: float, concentration: float) -> NFW:
        """Return the halo with a given mass inside its virial radius, where the truncation is put."""
        positive(virial_mass=virial_mass, virial_radius=virial_radius, concentration=concentration)
        unit = cls(1.0, virial_radius / concentration, virial_radius)
        return cls(virial_mass / float(unit.enclosed_mass(virial_radius)), unit.scale_radius, virial_radius)

    @property
    def scale(self) -> float:
        """The smaller of the two lengths."""
        return min(self.scale_radius, self.truncation_radius)

    @property
    def extent(self) -> float:
        """Fifty truncation radii."""
        return _END * self.truncation_radius

    def _shape(self, r: ArrayLike) -> Array:
        r = np.asarray(r, np.float64)
        x, y = r / self.scale_radius, np.minimum(r / self.truncation_radius, 2.0 * _END)
        return np.where(y <= _END, 1.0 / (x * (1.0 + x) ** 2 * np.cosh(y)), 0.0)

    @cached_property
    def _table(self) -> RadialTable:
        return RadialTable.of(self._shape, 1e-8 * self.scale, self.extent)

    @property
    def _normalisation(self) -> float:
        return float(self.mass / self._table.mass[-1])

    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""
        return self._normalisation * self._shape(r)

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        r = np.asarray(r, np.float64)
        x, y = r / self.scale_radius, np.minimum(r / self.truncation_radius, 2.0 * _END)
        bend, rho = np.tanh(y), self.density(r)
        steepness = 1.0 + 2.0 * x / (1.0 + x) + y * bend  # -d ln rho/d ln r
        change = 2.0 * x / (1.0 + x) ** 2 + y * bend + (y / np.cosh(y)) ** 2  # of the steepness, by ln r
        return -rho * steepness / r, rho * (steepness * (steepness + 1.0) - change) / r**2

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        return self._normalisation * self._table.enclosed_mass(r)

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        return self._normalisation * self._table.potential(r)
