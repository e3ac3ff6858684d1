"""Fixed initial conditions of the few-body figures: G = 1, centre-of-mass frame, fixed seeds.

The formulas and seeds are part of the record: a figure is comparable with an older one because these do not change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Problem:
    """One job: bodies (n,), (n, 3), (n, 3), the time to reach and the speed of light (None: Newtonian)."""

    name: str
    mass: FloatArray
    position: FloatArray
    velocity: FloatArray
    t_end: float
    speed_of_light: float | None = None


def _centred(
    name: str, mass: ArrayLike, position: ArrayLike, velocity: ArrayLike, t_end: float, c: float | None = None
) -> Problem:
    m, x, v = (np.asarray(a, dtype=float) for a in (mass, position, velocity))
    x = x - (m[:, None] * x).sum(0) / m.sum()
    v = v - (m[:, None] * v).sum(0) / m.sum()
    return Problem(name, m, x, v, float(t_end), c)


def pythagorean() -> Problem:
    """Masses 3, 4, 5 at rest at the corners of the 3-4-5 triangle (Burrau 1913), to t = 75."""
    return _centred("pythagorean", [3, 4, 5], [[1, 3, 0], [-2, -1, 0], [1, -1, 0]], np.zeros((3, 3)), 75.0)


def binary(eccentricity: float, orbits: int = 1000) -> Problem:
    """Masses 1 and 0.5, a = 1, from apocentre, an integer number of orbits."""
    total, far = 1.5, 1.0 + eccentricity
    speed = math.sqrt(total * (1.0 - eccentricity) / (1.0 + eccentricity))
    period = 2.0 * math.pi * math.sqrt(1.0 / total)
    return _centred(
        f"binary e={eccentricity}", [1.0, 0.5], [[0, 0, 0], [far, 0, 0]], [[0, 0, 0], [0, speed, 0]], orbits * period
    )


def black_hole_and_stars(n: int) -> Problem:
    """A black hole of mass 1 and n stars of 1e-5: a log-uniform in [0.1, 1], thermal e, isotropic; 5 inner periods."""
    rng = np.random.default_rng(40961 + n)
    position, velocity = [np.zeros(3)], [np.zeros(3)]
    for _ in range(n):
        a = 0.1 * 10 ** rng.uniform(0, 1)
        e = min(np.sqrt(rng.uniform()), 0.99)
        inclination = np.arccos(rng.uniform(-1, 1))
        node, argument, anomaly = rng.uniform(0, 2 * np.pi, 3)
        x, v = _on_ellipse(a, e, inclination, node, argument, anomaly, 1.0 + 1e-5)
        position.append(x)
        velocity.append(v)
    return _centred(f"black hole + {n} stars", [1.0] + [1e-5] * n, position, velocity, 5.0 * 2.0 * np.pi * 0.1**1.5)


def inspiral(separation: float = 200.0) -> Problem:
    """An equal-mass circular binary, a = 1, with c such that a = ``separation`` G M / c^2; Newtonian circular speed."""
    return _centred(
        f"inspiral from {separation:g} GM/c^2", [0.5, 0.5], [[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]], 1e6,
        math.sqrt(separation),
    )  # fmt: skip


def _on_ellipse(
    a: float, e: float, inclination: float, node: float, argument: float, mean_anomaly: float, mu: float
) -> tuple[FloatArray, FloatArray]:
    """Return position and velocity, Newton's method on Kepler's equation from E = M."""
    E = mean_anomaly
    for _ in range(200):
        correction = (E - e * np.sin(E) - mean_anomaly) / (1 - e * np.cos(E))
        E = E - correction
        if abs(correction) < 1e-15:
            break
    minor, r, rate = np.sqrt(1 - e * e), a * (1 - e * np.cos(E)), np.sqrt(mu / a**3)
    x = np.array([a * (np.cos(E) - e), a * minor * np.sin(E), 0.0])
    v = np.array([-a * a * rate * np.sin(E) / r, a * a * rate * minor * np.cos(E) / r, 0.0])
    turn = _about_z(node) @ _about_x(inclination) @ _about_z(argument)
    return turn @ x, turn @ v


def _about_z(angle: float) -> FloatArray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _about_x(angle: float) -> FloatArray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
