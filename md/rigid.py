"""Rigid motion of a system: centre of mass, angular momentum, inertia, and what is left when it is taken away.

With an ``exchange``, arrays are of the particles of this rank and sums are over all ranks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange

FloatArray = NDArray[np.float64]

#: Axes whose inertia is below this share of the largest have none: a linear molecule turns about two axes.
_NO_INERTIA = 1e-10


def mean(mass: FloatArray, vectors: FloatArray, exchange: Exchange = SERIAL) -> FloatArray:
    """Return the mass-weighted mean (3,) of vectors (n, 3); zero without mass."""
    *moment, total = exchange.reduce(np.array([*(mass @ vectors), mass.sum()]), "sum")
    return np.array(moment) / total if total > 0.0 else np.zeros(3)


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a x b, (n, 3), of a (n, 3) or (3,) and b (n, 3); for few rows ten times faster than NumPy's."""
    ax, ay, az = a.T
    bx, by, bz = b.T
    out = np.empty_like(b)
    out[:, 0], out[:, 1], out[:, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return out


def angular_momentum(
    mass: FloatArray, position: FloatArray, velocity: FloatArray, exchange: Exchange = SERIAL
) -> FloatArray:
    """Return L = sum m (x - X) x (v - V), (3,), about the centre of mass."""
    r, w = position - mean(mass, position, exchange), velocity - mean(mass, velocity, exchange)
    return np.asarray(exchange.reduce(mass @ cross(r, w), "sum"))


def inverse_inertia(mass: FloatArray, centred: FloatArray, exchange: Exchange = SERIAL) -> FloatArray:
    """Return the pseudo-inverse (3, 3) of the tensor of inertia of ``centred`` (n, 3); axes without inertia are left out.

    I = sum m (r^2 1 - r r^T)
    """
    values, axes = _principal(mass, centred, exchange)
    inverse = np.divide(1.0, values, out=np.zeros(3), where=values > 0.0)
    return np.asarray((axes * inverse) @ axes.T)


def rotation_axes(mass: FloatArray, position: FloatArray, exchange: Exchange = SERIAL) -> int:
    """Return the number of axes about which a system can turn: 3, for a linear molecule 2, for one atom 0."""
    return int(np.count_nonzero(_principal(mass, position - mean(mass, position, exchange), exchange)[0]))


def _principal(mass: FloatArray, centred: FloatArray, exchange: Exchange) -> tuple[FloatArray, FloatArray]:
    """Return principal moments (3,), zero where there is no inertia, and axes (3, 3) in columns."""
    outer = exchange.reduce((mass[:, None] * centred).T @ centred, "sum")
    values, axes = np.linalg.eigh(outer.trace() * np.eye(3) - outer)
    values[values <= _NO_INERTIA * max(values[-1], 0.0)] = 0.0
    return values, axes


def rotation_field(
    mass: FloatArray, position: FloatArray, momentum: FloatArray, exchange: Exchange = SERIAL
) -> FloatArray:
    """Return the velocities (n, 3) omega x r of the rigid rotation with angular momentum ``momentum`` (3,)."""
    r = position - mean(mass, position, exchange)
    return cross(inverse_inertia(mass, r, exchange) @ momentum, r)


def rotation(quaternion: FloatArray) -> FloatArray:
    """Return the rotation matrix (3, 3) of a quaternion (4,) of any length but 0."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )
