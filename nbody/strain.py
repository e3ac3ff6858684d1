"""Gravitational-wave strain by the quadrupole formula, and Peters' decay of a binary orbit.

    h_ij^TT = 2G/(c^4 D) d^2 Q_ij/dt^2,   d^2Q/dt^2 = sum m (2 v v + x a + a x),   (trace removed by the projection)
    h_plus = G/(c^4 D) (Q''_pp - Q''_qq),   h_cross = 2G/(c^4 D) Q''_pq,   p, q, N right-handed, N to the observer

    da/dt = -(64/5) G^3 m1 m2 m / (c^5 a^3 (1-e^2)^(7/2)) (1 + 73 e^2/24 + 37 e^4/96)
    de/dt = -(304/15) e G^3 m1 m2 m / (c^5 a^4 (1-e^2)^(5/2)) (1 + 121 e^2/304)
    a(e) = c0 e^(12/19)/(1-e^2) (1 + 121 e^2/304)^(870/2299)

References
----------
    Peters & Mathews 1963, Phys. Rev. 131, 435, doi:10.1103/PhysRev.131.435;
    Peters 1964, Phys. Rev. 136, B1224, doi:10.1103/PhysRev.136.B1224, eqs. (5.6), (5.7), (5.11), (5.14);
    Misner, Thorne & Wheeler 1973, Gravitation, section 36.10 (quadrupole formula).

"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..particles.errors import InputError

Vector = npt.NDArray[np.float64]


def strain(
    mass: npt.ArrayLike,
    position: npt.ArrayLike,
    velocity: npt.ArrayLike,
    acceleration: npt.ArrayLike,
    *,
    distance: float,
    line_of_sight: npt.ArrayLike = (0.0, 0.0, 1.0),
    G: float = 1.0,
    c: float = 1.0,
) -> tuple[Vector, Vector]:
    """Plus and cross strain seen from far away; the equations are in the module's docstring.

    | symbol | argument | shape | unit |
    |---|---|---|---|
    | m | mass | (n,) | mass |
    | x, v | position, velocity | (..., n, 3) | length, velocity; any number of times in front |
    | a | acceleration | (..., n, 3) | length/time^2, all forces on the bodies |
    | D | distance | float | length |
    | N | line_of_sight | (3,) | from the source to the observer; any length |

    Positions count from the centre of mass, which is subtracted here (positions, velocities and accelerations), so a
    moving source gives the same strain. Polarisation axes: p is horizontal, p = z x N, and q = N x p; for N along z
    they are x and y. Leading order: relative error of order v^2/c^2.

    Returns (h_plus, h_cross), each of shape (...).

    Raises InputError for a distance or a line of sight of zero, and for shapes that do not fit.
    """
    m = np.asarray(mass, dtype=np.float64)
    x, v, a = (np.asarray(values, dtype=np.float64) for values in (position, velocity, acceleration))
    if m.ndim != 1 or x.shape[-2:] != (m.size, 3) or x.shape != v.shape or x.shape != a.shape:
        raise InputError(
            f"strain needs mass (n,) and position, velocity, acceleration (..., n, 3);"
            f" got {m.shape}, {x.shape}, {v.shape}, {a.shape}"
        )
    if not distance > 0:
        raise InputError(f"the distance to the observer must be positive; got {distance}")
    p, q = polarisation_axes(line_of_sight)
    x, v, a = (values - np.sum(m[:, None] * values, axis=-2, keepdims=True) / m.sum() for values in (x, v, a))

    def second_derivative(left: Vector, right: Vector) -> Vector:
        """Component (left, right) of the second time derivative of the quadrupole."""
        xl, xr, al, ar = x @ left, x @ right, a @ left, a @ right
        return np.sum(m * (2 * (v @ left) * (v @ right) + xl * ar + al * xr), axis=-1)

    scale = G / (c**4 * distance)
    plus = scale * (second_derivative(p, p) - second_derivative(q, q))
    return plus, 2 * scale * second_derivative(p, q)


def polarisation_axes(line_of_sight: npt.ArrayLike) -> tuple[Vector, Vector]:
    """Unit vectors p, q with p, q, N right-handed: p = z x N normalised (x if N is along z), q = N x p."""
    sight = np.asarray(line_of_sight, dtype=np.float64)
    length = float(np.linalg.norm(sight)) if sight.shape == (3,) else 0.0
    if not (length > 0 and math.isfinite(length)):
        raise InputError(f"the line of sight must be a finite vector (3,) that is not zero; got {line_of_sight!r}")
    sight = sight / length
    p = np.array([-sight[1], sight[0], 0.0])
    horizontal = float(np.linalg.norm(p))
    p = p / horizontal if horizontal > 1e-12 else np.array([1.0, 0.0, 0.0])
    return p, np.cross(sight, p)


def peters_rates(m1: float, m2: float, a: float, e: float, *, G: float = 1.0, c: float = 1.0) -> tuple[float, float]:
    """Orbit-averaged da/dt (velocity) and de/dt (1/time) of a binary by 2.5PN radiation, Peters 1964 (5.6), (5.7).

    m1, m2: masses; a: semi-major axis, length; e: eccentricity in [0, 1). Raises InputError outside.
    """
    _check_orbit(m1, m2, a, e)
    beta = G**3 * m1 * m2 * (m1 + m2) / c**5
    flat = (1 - e) * (1 + e)
    a_rate = -64 / 5 * beta / (a**3 * flat**3.5) * (1 + 73 / 24 * e**2 + 37 / 96 * e**4)
    e_rate = -304 / 15 * e * beta / (a**4 * flat**2.5) * (1 + 121 / 304 * e**2)
    return a_rate, e_rate


def peters_semi_major_axis(e: float, a_start: float, e_start: float) -> float:
    """Semi-major axis at which a decaying orbit has the eccentricity e, Peters 1964 (5.11); e in (0, 1)."""
    for value in (e, e_start):
        if not 0 < value < 1:
            raise InputError(f"a(e) needs eccentricities between 0 and 1; got {value}")
    return a_start * _peters_shape(e) / _peters_shape(e_start)


def _peters_shape(e: float) -> float:
    return e ** (12 / 19) / ((1 - e) * (1 + e)) * (1 + 121 / 304 * e * e) ** (870 / 2299)


def peters_merger_time(m1: float, m2: float, a: float, e: float, *, G: float = 1.0, c: float = 1.0) -> float:
    """Time until a = 0 of a binary that decays by 2.5PN radiation, orbit-averaged; Peters 1964 (5.10), (5.14).

        T = (5/256) c^5 a^4/(G^3 m1 m2 m) f(e),   f = (48/19) / s(e)^4 * integral_0^e s^4 (1-e^2)^(5/2) / (e (1 + 121
        e^2/304)) de,   s = e^(12/19)/(1-e^2) (1 + 121 e^2/304)^(870/2299),   f(0) = 1

    m1, m2: masses; a: semi-major axis, length; e: eccentricity in [0, 1). The integral is done by Gauss-Legendre
    quadrature to 1e-12 relative for 1 - e >= 1e-8, in a variable that takes out both end points.

    Raises InputError for e outside [0, 1) or non-positive masses or a.
    """
    _check_orbit(m1, m2, a, e)
    circular = 5 / 256 * c**5 * a**4 / (G**3 * m1 * m2 * (m1 + m2))
    return circular * _eccentric_factor(e)


def _eccentric_factor(e: float) -> float:
    """Merger time over that of a circular orbit with the same a.

    With e' = h w^(19/2) the integrand is w^23 times a function of w^19, free of roots; with 1 - e' = exp(-y) it loses
    its (1-e'^2)^(-3/2).
    """
    if e < 1e-8:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(48)
    half = min(e, 0.5)
    w = 0.5 * (nodes + 1)
    exponent = 48 / 19
    total = 19 / 2 * half**exponent * float(np.sum(0.5 * weights * w**23 * _integrand(half * w**9.5)))
    if e > half:
        pieces = np.linspace(-math.log1p(-half), -math.log1p(-e), 1 + math.ceil(-math.log1p(-e)))
        for start, end in pairwise(pieces):
            y = 0.5 * (end - start) * (nodes + 1) + start
            inner = -np.expm1(-y)
            values = inner ** (29 / 19) * _integrand(inner, one_minus=np.exp(-y)) * np.exp(-y)
            total += float(np.sum(0.5 * (end - start) * weights * values))
    flat = (1 - e) * (1 + e)
    return 48 / 19 * total * flat**4 / (e**exponent * (1 + 121 / 304 * e * e) ** (3480 / 2299))


def _integrand(e: Vector, one_minus: Vector | None = None) -> Vector:
    """Peters' integrand without its factor e^(29/19)."""
    flat = (1 - e if one_minus is None else one_minus) * (1 + e)
    return (1 + 121 / 304 * e * e) ** (1181 / 2299) / flat**1.5


def _check_orbit(m1: float, m2: float, a: float, e: float) -> None:
    if not (m1 > 0 and m2 > 0 and a > 0 and 0 <= e < 1):
        raise InputError(f"a decaying binary needs m1, m2, a > 0 and 0 <= e < 1; got {m1}, {m2}, {a}, {e}")
