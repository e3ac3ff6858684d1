"""Gravity of all pairs and its gradient, numba on the CPU; `direct_tide_reference` is the readable twin.

Apart from `direct_cpu`, so that only those compile it who want tides; its legend holds. A sum over pairs has eleven parts: m w r
(three), m g, m v r_k r_l (xx, xy, xz, yy, yz, zz), m w.
"""

import numpy as np
from numba import njit, prange

from .direct_cpu import _ROW, THREADS_FROM, _fill, _prepare, _status
from .softening_cpu import factors, slope
from .softening_reference import PLUMMER


@njit(cache=True, error_model="numpy", fastmath=_ROW)
def _pull(i, start, stop, k, c, seen, e2, on):
    x0, y0, z0, e0 = c[0, i], c[1, i], c[2, i], e2[i]
    ax = ay = az = phi = xx = xy = xz = yy = yz = zz = own = 0.0
    for j in range(start, stop):
        dx = c[0, j] - x0
        dy = c[1, j] - y0
        dz = c[2, j] - z0
        s2 = dx * dx + dy * dy + dz * dz + max(e2[j], e0) * on[k, j]
        inverse = 1.0 / np.sqrt(s2)
        inverse2 = inverse * inverse
        g = seen[k, j] * inverse
        w = g * inverse2
        v = 3.0 * w * inverse2
        ax += w * dx
        ay += w * dy
        az += w * dz
        phi += g
        xx += v * dx * dx
        xy += v * dx * dy
        xz += v * dx * dz
        yy += v * dy * dy
        yz += v * dy * dz
        zz += v * dz * dz
        own += w
    return ax, ay, az, phi, xx, xy, xz, yy, yz, zz, own


@njit(cache=True, error_model="numpy", fastmath=_ROW)
def _pull_compact(i, start, stop, k, law, c, seen, e2, on):
    x0, y0, z0, e0 = c[0, i], c[1, i], c[2, i], e2[i]
    ax = ay = az = phi = xx = xy = xz = yy = yz = zz = own = 0.0
    for j in range(start, stop):
        dx = c[0, j] - x0
        dy = c[1, j] - y0
        dz = c[2, j] - z0
        r2, h = dx * dx + dy * dy + dz * dz, np.sqrt(max(e2[j], e0) * on[k, j])
        w, g = factors(law, r2, h)
        v = seen[k, j] * slope(law, r2, h)
        w *= seen[k, j]
        ax += w * dx
        ay += w * dy
        az += w * dz
        phi += seen[k, j] * g
        xx += v * dx * dx
        xy += v * dx * dy
        xz += v * dx * dz
        yy += v * dy * dy
        yz += v * dy * dz
        zz += v * dz * dz
        own += w
    return ax, ay, az, phi, xx, xy, xz, yy, yz, zz, own


@njit(cache=True, error_model="numpy")
def _row(i, law, columns, seen, e2, on, special, G, acceleration, potential, tide):
    k, n = 1 if special[i] else 0, len(e2)
    if law == PLUMMER:
        before = _pull(i, 0, i, k, columns, seen, e2, on)
        after = _pull(i, i + 1, n, k, columns, seen, e2, on)
    else:
        before = _pull_compact(i, 0, i, k, law, columns, seen, e2, on)
        after = _pull_compact(i, i + 1, n, k, law, columns, seen, e2, on)
    own, part = G * (before[10] + after[10]), 4
    for d in range(3):
        acceleration[i, d] = G * (before[d] + after[d])
        for e in range(d, 3):
            tide[i, d, e] = tide[i, e, d] = G * (before[part] + after[part])
            part += 1
        tide[i, d, d] -= own
    potential[i] = -G * (before[3] + after[3])


@njit(cache=True, error_model="numpy")
def _serial(mass, position, softening, special, weight, law, G, acceleration, potential, tide):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((3, len(mass)))
    _fill(columns, 0, position)
    for i in range(len(mass)):
        _row(i, law, columns, seen, e2, on, special, G, acceleration, potential, tide)
    return _status(acceleration, potential)


@njit(cache=True, error_model="numpy", parallel=True)
def _threaded(mass, position, softening, special, weight, law, G, acceleration, potential, tide):
    seen, e2, on = _prepare(mass, softening, special, weight)
    columns = np.empty((3, len(mass)))
    _fill(columns, 0, position)
    for i in prange(len(mass)):
        _row(i, law, columns, seen, e2, on, special, G, acceleration, potential, tide)
    return _status(acceleration, potential)


def acceleration_tide(mass, position, softening, special, weight, law, G, acceleration, potential, tide):
    """Overwrite accelerations, potentials and tides."""
    compute = _serial if len(mass) < THREADS_FROM else _threaded
    return compute(mass, position, softening, special, weight, law, G, acceleration, potential, tide)
