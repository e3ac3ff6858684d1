"""Kepler orbits and orientations of many systems at once; ``orbits`` has the careful ones of a single pair.

r = a (1 - e cos E),  E - e sin E = M
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_MOST_ITERATIONS = 60


def mean_to_eccentric(mean_anomaly: FloatArray, eccentricity: FloatArray) -> FloatArray:
    """Return E (k,) of E - e sin E = M for M in [0, 2 pi), e < 1, to round-off.

    Newton's method inside a bracket that shrinks: it converges for every e. Each element is iterated the same number of times
    whatever the others are, so that results do not depend on the batch.
    """
    e = np.asarray(eccentricity, dtype=np.float64)
    M = np.asarray(mean_anomaly, dtype=np.float64)
    low, high, first_half = M - e, M + e, np.pi > M
    E = np.where(first_half, np.minimum(M + e, np.pi), np.maximum(M - e, np.pi))
    for _ in range(_MOST_ITERATIONS):
        wrong = E - e * np.sin(E) - M
        low, high = np.where(wrong < 0.0, E, low), np.where(wrong > 0.0, E, high)
        new = E - wrong / (1.0 - e * np.cos(E))
        E = np.where((new > low) & (new < high), new, np.where(wrong == 0.0, E, 0.5 * (low + high)))
    return E


def orbit_state(
    mu: FloatArray,
    a: FloatArray,
    e: FloatArray,
    E: FloatArray,
    periapsis: FloatArray,
    inclination: FloatArray,
    node: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return relative position and velocity (k, 3) from elements (k,); E the eccentric anomaly, angles in radian."""
    cosine, sine, flat = np.cos(E), np.sin(E), np.sqrt((1.0 - e) * (1.0 + e))
    along, across = a * (cosine - e), a * flat * sine
    rate = np.sqrt(mu / a) / (1.0 - e * cosine)
    forward, sideward = -rate * sine, rate * flat * cosine
    turn = _turn_z(node) @ _turn_x(inclination) @ _turn_z(periapsis)
    zero = np.zeros_like(along)
    x, v = np.stack([along, across, zero], axis=1), np.stack([forward, sideward, zero], axis=1)
    return np.einsum("kij,kj->ki", turn, x), np.einsum("kij,kj->ki", turn, v)


def rotations(u: FloatArray) -> FloatArray:
    """Return isotropic rotations (k, 3, 3) from three uniform numbers each (k, 3)."""
    return _turn_z(2.0 * np.pi * u[:, 0]) @ _turn_x(np.arccos(1.0 - 2.0 * u[:, 1])) @ _turn_z(2.0 * np.pi * u[:, 2])


def _turn_z(angle: FloatArray) -> FloatArray:
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([c, -s, zero, s, c, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)


def _turn_x(angle: FloatArray) -> FloatArray:
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([one, zero, zero, zero, c, -s, zero, s, c], axis=1).reshape(-1, 3, 3)
