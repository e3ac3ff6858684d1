"""Gravity of all pairs, numba on the CPU; `direct_reference` is the readable twin and has the equations and the legend.

Coordinates are copied into one array per component, the loop over sources has no branch (the particle itself is left
out by cutting the loop in two), and reassociation lets the compiler fill whatever vector registers there are. Every row
is summed by one thread in one order, so results do not depend on the number of threads.

Legend
    c        rows x, y, z and, with the jerk, the components u, v, w of the velocities
    k        what the present target is: 0 ordinary, 1 special
    seen[k]  masses as a target of that sort sees them;   e2  squared softenings
    on[k]    1.0 where a pair with a target of that sort is softened, else 0.0
"""

import numpy as np
from numba import njit, prange

from .direct_reference import STATUS_NOT_FINITE, STATUS_OK

THREADS_FROM = 512  # particles; below it starting threads costs more than it saves

_ROW = {"contract", "reassoc", "nsz", "arcp"}  # nothing here is compensated; infinities and NaN keep their meaning


@njit(cache=True, error_model="numpy", fastmath=_ROW)
def _pull(i, start, stop, k, c, seen, e2, on):
    x0, y0, z0, e0 = c[0, i], c[1, i], c[2, i], e2[i]
    ax = ay = az = phi = 0.0
    for j in range(start, stop):
        dx = c[0, j] - x0
        dy = c[1, j] - y0
        dz = c[2, j] - z0
        s2 = dx * dx + dy * dy + dz * dz + max(e2[j], e0) * on[k, j]
        inverse = 1.0 / np.sqrt(s2)
        g = seen[k, j] * inverse
        phi += g
        g *= inverse * inverse
        ax += g * dx
        ay += g * dy
        az += g * dz
    return ax, ay, az, phi


@njit(cache=True, error_model="numpy", fastmath=_ROW)
def _pull_jerk(i, start, stop, k, c, seen, e2, on):
    x0, y0, z0, u0, v0, w0, e0 = c[0, i], c[1, i], c[2, i], c[3, i], c[4, i], c[5, i], e2[i]
    ax = ay = az = jx = jy = jz = phi = 0.0
    for j in range(start, stop):
        dx = c[0, j] - x0
        dy = c[1, j] - y0
        dz = c[2, j] - z0
        du = c[3, j] - u0
        dv = c[4, j] - v0
        dw = c[5, j] - w0
        s2 = dx * dx + dy * dy + dz * dz + max(e2[j], e0) * on[k, j]
        inverse = 1.0 / np.sqrt(s2)
        inverse2 = inverse * inverse
        g = seen[k, j] * inverse
        phi += g
        g *= inverse2
        along = 3.0 * inverse2 * (dx * du + dy * dv + dz * dw)
        ax += g * dx
        ay += g * dy
        az += g * dz
        jx += g * (du - along * dx)
        jy += g * (dv - along * dy)
        jz += g * (dw - along * dz)
    return ax, ay, az, jx, jy, jz, phi


@njit(cache=True, error_model="numpy")
def _row(i, columns, seen, e2, on, special, G, acceleration, potential):
    k = 1 if special[i] else 0
    before = _pull(i, 0, i, k, columns, seen, e2, on)
    after = _pull(i, i + 1, len(e2), k, columns, seen, e2, on)
    for d in range(3):
        acceleration[i, d] = G * (before[d] + after[d])
    potential[i] = -G * (before[3] + after[3])


@njit(cache=True, error_model="numpy")
def _row_jerk(i, columns, seen, e2, on, special, G, acceleration, jerk, potential):
    k = 1 if special[i] else 0
    before = _pull_jerk(i, 0, i, k, columns, seen, e2, on)
    after = _pull_jerk(i, i + 1, len(e2), k, columns, seen, e2, on)
    for d in range(3):
        acceleration[i, d] = G * (before[d] + after[d])
        jerk[i, d] = G * (before[3 + d] + after[3 + d])
    potential[i] = -G * (before[6] + after[6])


@njit(cache=True, error_model="numpy")
def _prepare(mass, softening, special, weight):
    """Return what ordinary (row 0) and special (row 1) targets see: masses, squared softenings, which are on."""
    n = len(mass)
    seen, on, e2 = np.empty((2, n)), np.zeros((2, n)), softening * softening
    for j in range(n):
        seen[0, j] = mass[j] if special[j] else weight * mass[j]
        seen[1, j] = mass[j]
        on[0, j] = 0.0 if special[j] else 1.0
    return seen, e2, on


@njit(cache=True, error_model="numpy")
def _fill(columns, first, vectors):
    for i in range(len(vectors)):
        for d in range(3):
            columns[first + d, i] = vectors[i, d]


@njit(cache=True, error_model="numpy")
def _status(acceleration, potential):
    total = 0.0
    for i in range(len(potential)):
        total += 0.0 * (acceleration[i, 0] + acceleration[i, 1] + acceleration[i, 2] + potential[i])
    return STATUS_OK if total == 0.0 else STATUS_NOT_FINITE


@njit(cache=True, error_model="numpy")
def _serial(mass, position, softening, special, weight, G, acceleration, potential):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((3, len(mass)))
    _fill(columns, 0, position)
    for i in range(len(mass)):
        _row(i, columns, seen, e2, on, special, G, acceleration, potential)
    return _status(acceleration, potential)


@njit(cache=True, error_model="numpy", parallel=True)
def _threaded(mass, position, softening, special, weight, G, acceleration, potential):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((3, len(mass)))
    _fill(columns, 0, position)
    for i in prange(len(mass)):
        _row(i, columns, seen, e2, on, special, G, acceleration, potential)
    return _status(acceleration, potential)


@njit(cache=True, error_model="numpy")
def _serial_jerk(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((6, len(mass)))
    _fill(columns, 0, position)
    _fill(columns, 3, velocity)
    for i in range(len(mass)):
        _row_jerk(i, columns, seen, e2, on, special, G, acceleration, jerk, potential)
    return _status(acceleration, potential)


@njit(cache=True, error_model="numpy", parallel=True)
def _threaded_jerk(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((6, len(mass)))
    _fill(columns, 0, position)
    _fill(columns, 3, velocity)
    for i in prange(len(mass)):
        _row_jerk(i, columns, seen, e2, on, special, G, acceleration, jerk, potential)
    return _status(acceleration, potential)


def acceleration(mass, position, softening, special, weight, G, acceleration, potential):
    """Overwrite accelerations and potentials."""
    compute = _serial if len(mass) < THREADS_FROM else _threaded
    return compute(mass, position, softening, special, weight, G, acceleration, potential)


def acceleration_jerk(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential):
    """Overwrite accelerations, their time derivatives and potentials."""
    compute = _serial_jerk if len(mass) < THREADS_FROM else _threaded_jerk
    return compute(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential)
