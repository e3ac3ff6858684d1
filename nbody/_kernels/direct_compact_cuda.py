"""Gravity of all pairs with a softening law of finite radius on a CUDA device; `direct_compact_reference` is the readable twin.

Blocks, tiles and segments are those of `direct_cuda`, with one target a thread. Pairs within the radius of the law take the
formula of `softening_cpu`, the same source compiled for the device; all others take Newton's, without a root or a division. At
equal places the law decides: a softened pair is finite there.
"""

import math

from numba import boolean, cuda, float64

from .device_cuda import Resident, on_device
from .direct_cuda import THREADS, bring, field, strength
from .softening_cpu import factors

_kept = Resident()
_factors = on_device(factors)


def pull_compact(mass, position, softening, special, weight, law, length, part):
    """Overwrite part (segments, 4, n) as `direct_cuda.pull` does; ``softening`` is the radius of the law."""
    tile = cuda.shared.array((6, THREADS), float64)
    sort = cuda.shared.array(THREADS, boolean)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    a = cuda.blockIdx.x * THREADS + t  # type: ignore[operator]
    i = min(a, n - 1)
    x, y, z, h2 = position[i, 0], position[i, 1], position[i, 2], softening[i] * softening[i]
    ordinary = not special[i]
    ax = ay = az = total = 0.0
    start = cuda.blockIdx.y * length
    stop = min(start + length, n)
    for first in range(start, stop, THREADS):
        count = bring(tile, sort, first, stop, mass, position, None, softening, special, weight)
        for j in range(count):
            own = first + j == i
            plain = ordinary and not sort[j]
            dx, dy, dz = tile[0, j] - x, tile[1, j] - y, tile[2, j] - z
            r2 = 1.0 if own else dx * dx + (dy * dy + dz * dz)
            radius2 = max(h2, tile[3, j])
            m = 0.0 if own else tile[5, j] if plain else tile[4, j]
            if plain and r2 < radius2:
                w, g = _factors(law, r2, math.sqrt(radius2))
                w, g = m * w, m * g
            else:
                g, w = strength(r2, m)
            total += g
            ax += w * dx
            ay += w * dy
            az += w * dz
    s = cuda.blockIdx.y
    if a < n:
        part[s, 0, a], part[s, 1, a], part[s, 2, a], part[s, 3, a] = ax, ay, az, total


_pull = cuda.jit(pull_compact)


def acceleration_compact(mass, position, softening, special, weight, law, G, acceleration, potential):
    """Overwrite accelerations and potentials; raise InputError where there is no device."""
    given = {"mass": mass, "position": position, "softening": softening, "special": special}
    return field(_kept, _pull, 1, given, (weight, law), ((acceleration, G), (potential, -G)))
