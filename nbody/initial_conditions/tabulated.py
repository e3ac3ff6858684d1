"""A spherical model given by numbers: radii and densities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import make_interp_spline

from ...particles.errors import InputError
from .profile import Array, Profile, RadialTable


@dataclass(frozen=True)
class Tabulated(Profile):
    r"""A density between two radii given by a table; nothing outside, and a power law inside.

        ln rho(ln r): interpolating spline of degree five

    Its second derivative, which Eddington's inversion needs, is continuous to second order; noise in the table is noise
    in the distribution function, so give smooth numbers.

    Parameters
    ----------
    radius : k lengths, rising, at least 20
    values : k densities, positive; shape alone where ``total`` is given
    total : mass to scale to; that of the table itself when not given

    Raises
    ------
    InputError : fewer than 20 rows, radii that do not rise, densities that are not positive and finite

    """

    radius: tuple[float, ...]
    values: tuple[float, ...]
    total: float | None = None

    def __post_init__(self) -> None:
        """Look at the values."""
        r, rho = np.array(self.radius, np.float64), np.array(self.values, np.float64)
        if r.ndim != 1 or r.shape != rho.shape or len(r) < 20:
            raise InputError(f"a table of {r.shape} radii and {rho.shape} densities; expected as many, and at least 20")
        if not (np.isfinite([r, rho]).all() and r[0] > 0.0 and (np.diff(r) > 0.0).all() and (rho > 0.0).all()):
            raise InputError("a table of densities needs rising radii above zero and finite densities above zero")

    @cached_property
    def _spline(self) -> Any:
        return make_interp_spline(np.log(self.radius), np.log(self.values), 5)

    def _shape(self, r: ArrayLike) -> Array:
        x, first, last = np.log(np.asarray(r, np.float64)), math.log(self.radius[0]), math.log(self.radius[-1])
        inside = np.minimum(x - first, 0.0) * float(self._spline(first, 1))
        return np.where(x <= last + 1e-14, np.exp(self._spline(np.clip(x, first, last)) + inside), 0.0)

    @cached_property
    def _table(self) -> RadialTable:
        return RadialTable.of(self._shape, 1e-3 * self.radius[0], self.radius[-1])

    @property
    def _normalisation(self) -> float:
        return 1.0 if self.total is None else self.total / float(self._table.mass[-1])

    @property
    def mass(self) -> float:  # type: ignore[override]
        """All the mass."""
        return self._normalisation * float(self._table.mass[-1])

    @property
    def scale(self) -> float:
        """The middle of the table, in logarithm."""
        return math.sqrt(self.radius[0] * self.radius[-1])

    @property
    def extent(self) -> float:
        """The last radius."""
        return self.radius[-1]

    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""
        return self._normalisation * self._shape(r)

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        r = np.asarray(r, np.float64)
        x, rho = np.clip(np.log(r), math.log(self.radius[0]), math.log(self.radius[-1])), self.density(r)
        slope = self._spline(x, 1)
        change = np.where(r < self.radius[0], 0.0, self._spline(x, 2))
        return rho * slope / r, rho * (slope * (slope - 1.0) + change) / r**2

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        return self._normalisation * self._table.enclosed_mass(r)

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        return self._normalisation * self._table.potential(r)
