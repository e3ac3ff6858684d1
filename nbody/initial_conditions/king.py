"""King's models: isothermal in the middle, and ended by tides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.special import hyp1f1

from ...particles.errors import InputError
from .profile import Array, Profile, positive

_LOWEST, _HIGHEST = 0.1, 15.0


@dataclass(frozen=True)
class King(Profile):
    r"""A King model, a lowered isothermal sphere.

        rho(W) ~ e^W erf(sqrt W) - sqrt(4 W/pi) (1 + 2 W/3) = 8/(15 sqrt pi) W^(5/2) 1F1(1; 7/2; W)
        W'' + (2/r) W' = -9 rho(W)/(r_0^2 rho(W_0)),     W(0) = W_0,  W'(0) = 0,     W(r_t) = 0
        f(E) ~ e^(E/sigma^2) - 1,     W = (E at rest)/sigma^2

    The hypergeometric function is free of the cancellation that the first form has at the edge.

    | symbol | name | unit |
    |---|---|---|
    | M | ``mass`` | mass |
    | r_0 | ``core_radius`` | length, King's radius sqrt(9 sigma^2/(4 pi G rho_0)) |
    | W_0 | ``central_potential`` | depth, 0.1 to 15 |
    | r_t | ``tidal_radius`` | length |
    | c = log10(r_t/r_0) | ``concentration`` | |

    Poisson's equation is integrated to 1e-12. Raises InputError for values out of range. References: King 1966,
    doi:10.1086/109857; Binney & Tremaine 2008, Galactic Dynamics, section 4.3.3c.
    """

    mass: float
    core_radius: float
    central_potential: float

    def __post_init__(self) -> None:
        """Look at the values."""
        positive(mass=self.mass, core_radius=self.core_radius)
        if not _LOWEST <= self.central_potential <= _HIGHEST:
            raise InputError(
                f"central_potential is {self.central_potential:g}; King models have {_LOWEST} to {_HIGHEST:g}"
            )

    @cached_property
    def _solution(self) -> tuple[Any, float, float]:
        """Return (dense solution [W, r^2 W'] of r/r_0, r_t/r_0, -r^2 W' at r_t)."""
        top, scale = self.central_potential, 9.0 / float(_rho(self.central_potential))

        def poisson(r: float, y: Array) -> list[float]:
            return [y[1] / (r * r), -scale * r * r * float(_rho(max(y[0], 0.0)))]

        def edge(r: float, y: Array) -> float:
            return float(y[0])

        edge.terminal = True  # type: ignore[attr-defined]
        first = 1e-4
        start = [top - 1.5 * first**2, -3.0 * first**3 * (1.0 - 0.9 * first**2 * float(_rho_1(top) / _rho(top)))]
        found = solve_ivp(
            poisson, (first, 1e9), start, method="DOP853", events=edge, dense_output=True, rtol=1e-12, atol=1e-14
        )
        return found.sol, float(found.t_events[0][0]), -float(found.y_events[0][0][1])

    @property
    def tidal_radius(self) -> float:
        """The radius r_t of the edge."""
        return self.core_radius * self._solution[1]

    @property
    def concentration(self) -> float:
        """The decadic logarithm of r_t/r_0."""
        return math.log10(self._solution[1])

    @property
    def velocity_scale(self) -> float:
        """The parameter sigma of the distribution function, sqrt(mass/length)."""
        return math.sqrt(self.mass / (self.core_radius * self._solution[2]))

    @property
    def scale(self) -> float:
        """The core radius."""
        return self.core_radius

    @property
    def extent(self) -> float:
        """The tidal radius."""
        return self.tidal_radius

    def _state(self, r: ArrayLike) -> tuple[Array, Array, Array]:
        """Return x = r/r_0 (cut at the edge), W and x^2 dW/dx; inside the first point the series of the core."""
        solution, edge, _ = self._solution
        x = np.minimum(np.asarray(r, np.float64) / self.core_radius, edge)
        inner = x <= solution.t_min
        depth, flow = solution(np.where(inner, solution.t_min, x).ravel()).reshape(2, *x.shape)
        bend = 0.9 * float(_rho_1(self.central_potential) / _rho(self.central_potential))
        depth = np.where(inner, self.central_potential - 1.5 * x * x, depth)
        return x, np.maximum(depth, 0.0), np.where(inner, -3.0 * x**3 * (1.0 - bend * x * x), flow)

    @property
    def _central_density(self) -> float:
        """9 sigma^2/(4 pi r_0^2)."""
        return 9.0 * self.velocity_scale**2 / (4.0 * math.pi * self.core_radius**2)

    def density(self, r: ArrayLike) -> Array:
        """Return rho(r)."""
        x, depth, _ = self._state(r)
        return np.where(x < self._solution[1], self._central_density * _rho(depth) / _rho(self.central_potential), 0.0)

    def density_derivatives(self, r: ArrayLike) -> tuple[Array, Array]:
        """Return rho'(r) and rho''(r)."""
        x, depth, flow = self._state(r)
        top = float(_rho(self.central_potential))
        slope = flow / x**2
        bend = -9.0 * _rho(depth) / top - 2.0 * slope / x
        scale = np.where(x < self._solution[1], self._central_density / top, 0.0)
        first = scale * _rho_1(depth) * slope / self.core_radius
        second = scale * (_rho_2(depth) * slope**2 + _rho_1(depth) * bend) / self.core_radius**2
        return first, second

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return M(r)."""
        return -self._state(r)[2] * self.mass / self._solution[2]

    def potential(self, r: ArrayLike) -> Array:
        """Return Phi(r)/G."""
        depth = self._state(r)[1]
        return -depth * self.velocity_scale**2 - self.mass / np.maximum(np.asarray(r, np.float64), self.tidal_radius)


def _rho(W: ArrayLike) -> Array:
    return 8.0 / (15.0 * math.sqrt(math.pi)) * np.asarray(W) ** 2.5 * hyp1f1(1.0, 3.5, W)


def _rho_1(W: ArrayLike) -> Array:
    """First derivative of ``_rho``."""
    return 4.0 / (3.0 * math.sqrt(math.pi)) * np.asarray(W) ** 1.5 * hyp1f1(1.0, 2.5, W)


def _rho_2(W: ArrayLike) -> Array:
    """Second derivative of ``_rho``."""
    return 2.0 / math.sqrt(math.pi) * np.asarray(W) ** 0.5 * hyp1f1(1.0, 1.5, W)
