"""Two-body orbits: elements from Cartesian states and back, and the binaries and hierarchies inside a set of bodies.

    r = a (1 - e cos E),  E - e sin E = M,  M = n t,  n = sqrt(mu/|a|^3)          (ellipse,   a > 0, e < 1)
    r = a (1 - e cosh F), e sinh F - F = M                                       (hyperbola, a < 0, e > 1)

| symbol | name | unit |
|---|---|---|
| a | `semi_major_axis` | length; negative on a hyperbola |
| e | `eccentricity` | |
| i, Omega, omega | `inclination`, `ascending_node`, `periapsis_argument` | radian |
| M | `mean_anomaly` | radian, in [-pi, pi) on an ellipse; not reduced on a hyperbola |
| mu = G (m1 + m2) | `mu` | length^3/time^2 |

Where an angle is undefined (no inclination: Omega; no eccentricity: omega) it is set to zero and the next one takes
over, so that the round trip Cartesian - elements - Cartesian always holds. Parabolas (e = 1 to round-off) have no
elements a and M and are refused.

Reference: Murray & Dermott 1999, Solar System Dynamics, chapter 2, doi:10.1017/CBO9781139174817.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..particles.errors import InputError

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OrbitalElements:
    """Elements of a two-body orbit; symbols and units in the module's docstring."""

    semi_major_axis: float
    eccentricity: float
    inclination: float = 0.0
    ascending_node: float = 0.0
    periapsis_argument: float = 0.0
    mean_anomaly: float = 0.0

    @property
    def periastron(self) -> float:
        """Smallest separation, length."""
        return self.semi_major_axis * (1 - self.eccentricity)

    def period(self, mu: float) -> float:
        """Time of one revolution; infinite on a hyperbola."""
        if self.semi_major_axis < 0:
            return math.inf
        return 2 * math.pi * math.sqrt(self.semi_major_axis**3 / mu)


def solve_kepler(mean_anomaly: float, eccentricity: float) -> float:
    """Eccentric anomaly E of E - e sin E = M (e < 1), or F of e sinh F - F = M (e > 1).

    Newton's method from a bound above the root, with x - sin x and sinh x - x free of cancellation: it converges for
    every e, also next to 1, to round-off. For e < 1 the result is on the same revolution as M.

    Raises InputError for e < 0, e = 1, or values that are not finite.
    """
    e = float(eccentricity)
    if not (math.isfinite(e) and math.isfinite(mean_anomaly) and e >= 0) or e == 1:
        raise InputError(f"Kepler's equation needs a finite M and e >= 0, e != 1; got M = {mean_anomaly}, e = {e}")
    if e < 1:
        turns = round(mean_anomaly / (2 * math.pi))
        reduced = math.remainder(mean_anomaly, 2 * math.pi)
        return math.copysign(_newton_from_above(abs(reduced), e), reduced) + 2 * math.pi * turns
    return math.copysign(_newton_from_above(abs(mean_anomaly), e), mean_anomaly)


def _newton_from_above(M: float, e: float) -> float:
    """Solve for M >= 0; with M in [0, pi] where e < 1.

    With x - sin x >= x^3/12 on [0, pi] and sinh x - x >= x^3/6, the start is above the root; the equation is convex,
    so that Newton's steps go down to the root and never past it: when a step no longer goes down, that is round-off.
    """
    if M == 0:
        return 0.0
    if e < 1:
        x = min(math.pi, M + e, M / (1 - e))
        if e > 0.5:
            x = min(x, (12 * M / e) ** (1 / 3))
    else:
        x = min(math.asinh(M / (e - 1)), (6 * M / e) ** (1 / 3))
    while True:
        if e < 1:
            error = (1 - e) * x + e * _x_minus_sin(x) - M
            slope = (1 - e) + 2 * e * math.sin(x / 2) ** 2
        else:
            error = (e - 1) * x + e * _sinh_minus_x(x) - M
            slope = (e - 1) + 2 * e * math.sinh(x / 2) ** 2
        new = x - error / slope
        if not new < x:
            return x
        x = new


def _x_minus_sin(x: float) -> float:
    """Return x - sin x without cancellation at small x."""
    return _odd_series(x, -1.0) if abs(x) < 0.5 else x - math.sin(x)


def _sinh_minus_x(x: float) -> float:
    """Return sinh x - x without cancellation at small x."""
    return _odd_series(x, 1.0) if abs(x) < 0.5 else math.sinh(x) - x


def _odd_series(x: float, sign: float) -> float:
    """x^3/3! + sign x^5/5! + x^7/7! + ..., enough for abs x < 0.5 in double precision."""
    term = x**3 / 6
    total = term
    for k in range(5, 19, 2):
        term *= sign * x * x / (k * (k - 1))
        total += term
    return total


def elements_from_state(mu: float, separation: npt.ArrayLike, velocity: npt.ArrayLike) -> OrbitalElements:
    """Elements of the orbit through a relative state.

    Parameters
    ----------
    mu : float, G (m1 + m2), positive
    separation : (3,), x_1 - x_2, length
    velocity : (3,), v_1 - v_2

    Raises InputError for a parabola, a radial orbit (no angular momentum), zero separation or mu <= 0.

    """
    x, v = np.asarray(separation, dtype=np.float64), np.asarray(velocity, dtype=np.float64)
    r, speed2 = float(np.linalg.norm(x)), float(v @ v)
    if mu <= 0 or r == 0:
        raise InputError(f"an orbit needs mu > 0 and a separation; got mu = {mu:g}, r = {r:g}")
    h = np.cross(x, v)
    momentum = float(np.linalg.norm(h))
    if momentum == 0:
        raise InputError("the orbit is radial: it has no plane, and its elements are undefined")
    inverse_a = 2 / r - speed2 / mu
    if abs(inverse_a) * r < 1e-14:
        raise InputError("the orbit is parabolic to round-off: it has no semi-major axis")
    a = 1 / inverse_a
    radial = float(x @ v)
    # e^2 = (1 - r/a)^2 + (x.v)^2/(mu a) on both conics, from the two parts e cos E, e sin E (with |a| for hyperbolas)
    along, across = 1 - r * inverse_a, radial * math.sqrt(abs(inverse_a) / mu)
    semilatus = momentum**2 / mu
    if a > 0:
        e = math.hypot(along, across)
        anomaly = math.atan2(across, along)
        one_minus_e = semilatus * inverse_a / (1 + e)
        e = min(e, math.nextafter(1.0, 0.0))
        # M = E - e sin E, arranged so that nothing cancels at the periastron of a thin ellipse
        mean = one_minus_e * math.sin(anomaly) + _x_minus_sin(anomaly)
    else:
        e = math.sqrt(1 - semilatus * inverse_a)
        anomaly = math.asinh(across / e)
        mean = -semilatus * inverse_a / (1 + e) * math.sinh(anomaly) + _sinh_minus_x(anomaly)
    inclination = math.atan2(math.hypot(h[0], h[1]), h[2])
    node = math.atan2(h[0], -h[1]) if h[0] != 0 or h[1] != 0 else 0.0
    # angle of the body from the ascending node, less its true anomaly
    node_axis = np.array([math.cos(node), math.sin(node), 0.0])
    latitude = math.atan2(float(x @ np.cross(h / momentum, node_axis)), float(x @ node_axis))
    true = math.atan2(momentum * radial / mu, semilatus - r)
    if e == 0:
        true, mean = 0.0, latitude
        latitude = 0.0
    return OrbitalElements(a, e, inclination, node, _wrap(latitude - true), mean)


def state_from_elements(mu: float, elements: OrbitalElements) -> tuple[Vector, Vector]:
    """Relative position (3,) and velocity (3,) on an orbit; the inverse of `elements_from_state`.

    Raises InputError where a and e do not belong together (a > 0 needs e < 1, a < 0 needs e > 1) or mu <= 0.
    """
    a, e = elements.semi_major_axis, elements.eccentricity
    if mu <= 0 or e < 0 or not (a * (1 - e) > 0):
        raise InputError(f"no orbit has a = {a:g}, e = {e:g}, mu = {mu:g}: a (1 - e) and mu must be positive")
    anomaly = solve_kepler(elements.mean_anomaly, e)
    rate = math.sqrt(mu / abs(a))
    if e < 1:
        flat = math.sqrt((1 - e) * (1 + e))
        cosine, sine = math.cos(anomaly), math.sin(anomaly)
        # cos E - e = (1 - e) - 2 sin^2(E/2)
        along, across = a * ((1 - e) - 2 * math.sin(anomaly / 2) ** 2), a * flat * sine
        scale = rate / ((1 - e) + 2 * e * math.sin(anomaly / 2) ** 2)
        v_along, v_across = -scale * sine, scale * flat * cosine
    else:
        flat = math.sqrt((e - 1) * (e + 1))
        cosine, sine = math.cosh(anomaly), math.sinh(anomaly)
        along, across = a * ((1 - e) + 2 * math.sinh(anomaly / 2) ** 2), -a * flat * sine
        scale = rate / ((e - 1) + 2 * e * math.sinh(anomaly / 2) ** 2)
        v_along, v_across = -scale * sine, scale * flat * cosine
    to_periapsis, ahead = _orbit_axes(elements)
    return along * to_periapsis + across * ahead, v_along * to_periapsis + v_across * ahead


def _orbit_axes(elements: OrbitalElements) -> tuple[Vector, Vector]:
    """Unit vectors to the periapsis and, in the plane, a right angle ahead of it."""
    ci, si = math.cos(elements.inclination), math.sin(elements.inclination)
    cn, sn = math.cos(elements.ascending_node), math.sin(elements.ascending_node)
    cw, sw = math.cos(elements.periapsis_argument), math.sin(elements.periapsis_argument)
    node, up = np.array([cn, sn, 0.0]), np.array([-sn * ci, cn * ci, si])
    return cw * node + sw * up, -sw * node + cw * up


def _wrap(angle: float) -> float:
    """Reduce to [-pi, pi]."""
    return math.remainder(angle, 2 * math.pi)


def binary_state(mass: npt.ArrayLike, elements: OrbitalElements, *, G: float = 1.0) -> tuple[Vector, Vector]:
    """Positions (2, 3) and velocities (2, 3) of two bodies on an orbit about their common centre of mass at rest.

    `mass` (2,); the elements are those of body 0 relative to body 1.
    """
    m = np.asarray(mass, dtype=np.float64)
    x, v = state_from_elements(G * float(m.sum()), elements)
    share = np.array([[m[1]], [-m[0]]]) / m.sum()
    return share * x, share * v


@dataclass(frozen=True, slots=True)
class Binary:
    """A bound pair, or two bound groups moving about each other.

    Attributes
    ----------
    members : two tuples of identities: the bodies on either side; one each for an ordinary binary
    elements : of the first side relative to the second
    mass : (total mass of the first side, of the second)
    period : time
    level : 1 for two single bodies, 1 + the larger level of its sides otherwise (2: triple or two binaries)

    """

    members: tuple[tuple[int, ...], tuple[int, ...]]
    elements: OrbitalElements
    mass: tuple[float, float]
    period: float
    level: int

    @property
    def bodies(self) -> tuple[int, ...]:
        """All identities in it, ascending."""
        return tuple(sorted(self.members[0] + self.members[1]))

    @property
    def periastron(self) -> float:
        """Smallest separation of the two sides, length."""
        return self.elements.periastron


def find_binaries(
    mass: npt.ArrayLike,
    position: npt.ArrayLike,
    velocity: npt.ArrayLike,
    *,
    G: float = 1.0,
    identity: Sequence[int] | npt.NDArray[np.int64] | None = None,
    largest_level: int = 8,
) -> list[Binary]:
    """Bound pairs and hierarchies: bind the tightest pair, replace it by its centre of mass, repeat.

    | argument | shape | unit |
    |---|---|---|
    | mass | (n,) | mass, not negative |
    | position | (n, 3) | length |
    | velocity | (n, 3) | velocity |
    | identity | (n,) int | names of the bodies in the result; 0, 1, 2, ... if not given |
    | largest_level | int | deeper hierarchies are not looked for (a bound cluster has one around everything) |

    A pair is bound if v^2/2 < G (m1 + m2)/r; "tightest" is the smallest semi-major axis. An outer orbit is accepted
    only if its periastron is beyond the apastron of what it holds inside: otherwise the group is a resonance or a
    scramble and not a hierarchy. Radial pairs have no plane and are left out.

    Returns the binaries in the order of binding, inner ones first. Memory O(n^2), time O(n^2) for every binary found.

    Raises InputError for arrays of other shapes or negative masses.
    """
    m, x, v = (np.array(values, dtype=np.float64) for values in (mass, position, velocity))
    n = m.size
    if m.shape != (n,) or x.shape != (n, 3) or v.shape != (n, 3) or np.any(m < 0):
        raise InputError(f"find_binaries needs masses (n,) >= 0 and two (n, 3); got {m.shape}, {x.shape}, {v.shape}")
    names = range(n) if identity is None else identity
    members: list[tuple[int, ...]] = [(int(name),) for name in names]
    level, apastron = np.zeros(n, dtype=np.int64), np.zeros(n)
    axis = np.full((n, n), np.inf)  # upper triangle: semi-major axis of every pair still to be looked at
    for i in range(n - 1):
        axis[i, i + 1 :] = _semi_major_axes(i, m, x, v, G)[i + 1 :]
    found: list[Binary] = []
    while n > 1:
        i, j = (int(k) for k in np.unravel_index(np.argmin(axis), axis.shape))
        if not np.isfinite(axis[i, j]):
            break
        axis[i, j] = np.inf
        separation, relative, total = x[i] - x[j], v[i] - v[j], m[i] + m[j]
        new_level = 1 + int(max(level[i], level[j]))
        if new_level > largest_level or not np.any(np.cross(separation, relative)):
            continue
        elements = elements_from_state(G * total, separation, relative)
        if elements.periastron <= max(apastron[i], apastron[j]):
            continue
        sides, masses = (members[i], members[j]), (float(m[i]), float(m[j]))
        found.append(Binary(sides, elements, masses, elements.period(G * total), new_level))
        x[i], v[i] = (m[i] * x[i] + m[j] * x[j]) / total, (m[i] * v[i] + m[j] * v[j]) / total
        m[i], m[j] = total, -1.0  # negative: no longer there
        members[i], level[i] = members[i] + members[j], new_level
        apastron[i] = elements.semi_major_axis * (1 + elements.eccentricity)
        axis[j], axis[:, j] = np.inf, np.inf
        row = _semi_major_axes(i, m, x, v, G)
        axis[i, i + 1 :], axis[:i, i] = row[i + 1 :], row[:i]
    return found


def _semi_major_axes(i: int, m: Vector, x: Vector, v: Vector, G: float) -> Vector:
    """Semi-major axes of body i with all others (n,); infinite where unbound, coincident, gone, or i itself."""
    r, speed2 = np.linalg.norm(x - x[i], axis=1), np.sum((v - v[i]) ** 2, axis=1)
    alive = (m >= 0) & (m[i] >= 0) & (m + m[i] > 0) & (r > 0)
    inverse = np.zeros(len(m))
    inverse[alive] = 2 / r[alive] - speed2[alive] / (G * (m[alive] + m[i]))
    return np.divide(1.0, inverse, out=np.full(len(m), np.inf), where=inverse * r > 1e-12)
