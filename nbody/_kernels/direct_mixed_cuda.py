"""Gravity of all pairs on a CUDA device in mixed precision; `direct_reference.acceleration` is the readable twin.

A coordinate is a pair of float32, high + low, good to 2^-48 of the largest one. Differences are taken high from high, which is
exact for neighbours, and low from low, so a separation is right to about 1e-7 of itself down to 1e-7 of the size of the
system. The inverse distance and its cube are float32, sums of a tile of sources too; tiles are added in float64.

Error of an acceleration, relative: 5e-8 to 7e-8 (rms), 4e-7 at most (Plummer spheres of 4,096 and 65,536, the same arithmetic in
NumPy). Masses are rounded to float32, so total momentum is conserved to 1e-8 of the forces. Two particles closer than 2^-48 of
the largest coordinate are in one place, which is reported.

A pair takes 20 float32 instructions and a seed from the special function unit, where float64 takes 19 of its own, at half the
rate or less; only tiles with a special particle or a target's own place pay for the choice of masses and softenings.

Legend
    scale   power of two: coordinates times scale are below 2^SIZE, so that cubes of all distances that occur fit into float32
    unit    power of two: masses times unit are at most one
    tile    rows x, y, z (high), x, y, z (low), squared softening, mass, mass as an ordinary target sees it
"""

import numpy as np
from numba import boolean, cuda, float32, float64, int32
from numba.core import config

from ...particles._kernels.device_cuda import stays
from .device_cuda import Resident
from .direct_cuda import TARGETS, THREADS, field

SIZE = 12

_kept = Resident()

if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]  # the simulator has no device library

    def rsqrt(x):
        """Return 1 / sqrt(x) in float32, infinite at zero as the device has it."""
        return np.float32(1.0) / np.sqrt(x)

else:
    from numba.cuda.libdevice import rsqrtf as rsqrt


@cuda.jit(device=True)
def _high(x):
    return float32(x)


@cuda.jit(device=True)
def _low(x):
    return float32(x - float64(float32(x)))


@cuda.jit(device=True)
def _strength(dx, dy, dz, s2, m):
    """Return m r / s^3 and m / s, s2 being the squared softening."""
    inverse = rsqrt(dx * dx + (dy * dy + (dz * dz + s2)))
    phi = m * inverse
    g = phi * (inverse * inverse)
    return g * dx, g * dy, g * dz, phi


@cuda.jit(device=True)
def _plain_pair(tile, j, xh, yh, zh, xl, yl, zl, e2):
    """Return what an ordinary source gives to an ordinary target that it is not."""
    dx = (tile[0, j] - xh) + (tile[3, j] - xl)
    dy = (tile[1, j] - yh) + (tile[4, j] - yl)
    dz = (tile[2, j] - zh) + (tile[5, j] - zl)
    return _strength(dx, dy, dz, max(tile[6, j], e2), tile[8, j])


@cuda.jit(device=True)
def _pair(tile, j, own, plain, xh, yh, zh, xl, yl, zl, e2):
    """Return what any source gives; nothing to itself."""
    dx = (tile[0, j] - xh) + (tile[3, j] - xl)
    dy = (tile[1, j] - yh) + (tile[4, j] - yl)
    dz = (tile[2, j] - zh) + (tile[5, j] - zl)
    s2 = float32(1.0) if own else max(tile[6, j], e2) if plain else float32(0.0)
    return _strength(dx, dy, dz, s2, float32(0.0) if own else tile[8, j] if plain else tile[7, j])


def pull_mixed(mass, position, softening, special, weight, scale, unit, length, part):
    """Overwrite part (segments, 4, n) as `direct_cuda.pull` does, in scaled coordinates and masses."""
    tile = cuda.shared.array((9, THREADS), float32)
    sort = cuda.shared.array(THREADS, boolean)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    a = cuda.blockIdx.x * (TARGETS * THREADS) + t  # type: ignore[operator]
    b = a + THREADS
    i, k = min(a, n - 1), min(b, n - 1)
    x, y, z = scale * position[i, 0], scale * position[i, 1], scale * position[i, 2]
    xi, yi, zi, ui, vi, wi = _high(x), _high(y), _high(z), _low(x), _low(y), _low(z)
    x, y, z = scale * position[k, 0], scale * position[k, 1], scale * position[k, 2]
    xk, yk, zk, uk, vk, wk = _high(x), _high(y), _high(z), _low(x), _low(y), _low(z)
    ei, ek = float32((scale * softening[i]) ** 2), float32((scale * softening[k]) ** 2)
    ordinary_i, ordinary_k = not special[i], not special[k]
    axi = ayi = azi = phii = axk = ayk = azk = phik = 0.0
    unusual = cuda.syncthreads_or(int32(not (ordinary_i and ordinary_k))) != 0  # type: ignore[call-arg, var-annotated]
    block = cuda.blockIdx.x * (TARGETS * THREADS)
    start = cuda.blockIdx.y * length
    stop = min(start + length, n)
    for first in range(start, stop, THREADS):
        count = min(THREADS, stop - first)
        cuda.syncthreads()
        if t < count:
            j = first + t
            for d in range(3):
                x = scale * position[j, d]
                tile[d, t] = _high(x)
                tile[3 + d, t] = _low(x)
            tile[6, t] = float32((scale * softening[j]) ** 2)
            tile[7, t] = float32(unit * mass[j])
            tile[8, t] = float32(unit * mass[j] * (1.0 if special[j] else weight))
            sort[t] = special[j]
        apart = first >= block + TARGETS * THREADS or first + count <= block
        tile_unusual = cuda.syncthreads_or(int32(t < count and special[min(first + t, n - 1)])) != 0
        lean = apart and not (unusual or tile_unusual)  # the same for all threads
        sxi = syi = szi = si = sxk = syk = szk = sk = float32(0.0)
        for j in range(count if lean else 0):
            px, py, pz, p = _plain_pair(tile, j, xi, yi, zi, ui, vi, wi, ei)
            sxi, syi, szi, si = sxi + px, syi + py, szi + pz, si + p
            px, py, pz, p = _plain_pair(tile, j, xk, yk, zk, uk, vk, wk, ek)
            sxk, syk, szk, sk = sxk + px, syk + py, szk + pz, sk + p
        for j in range(0 if lean else count):
            px, py, pz, p = _pair(tile, j, first + j == i, ordinary_i and not sort[j], xi, yi, zi, ui, vi, wi, ei)
            sxi, syi, szi, si = sxi + px, syi + py, szi + pz, si + p
            px, py, pz, p = _pair(tile, j, first + j == k, ordinary_k and not sort[j], xk, yk, zk, uk, vk, wk, ek)
            sxk, syk, szk, sk = sxk + px, syk + py, szk + pz, sk + p
        axi += float64(sxi)
        ayi += float64(syi)
        azi += float64(szi)
        phii += float64(si)
        axk += float64(sxk)
        ayk += float64(syk)
        azk += float64(szk)
        phik += float64(sk)
    s = cuda.blockIdx.y
    if a < n:
        part[s, 0, a], part[s, 1, a], part[s, 2, a], part[s, 3, a] = axi, ayi, azi, phii
    if b < n:
        part[s, 0, b], part[s, 1, b], part[s, 2, b], part[s, 3, b] = axk, ayk, azk, phik


_pull = cuda.jit(pull_mixed)


def acceleration_mixed(mass, position, softening, special, weight, G, acceleration, potential):
    """Overwrite accelerations and potentials; raise InputError where there is no device."""
    scale, unit = 2.0 ** (SIZE - _exponent(position)), 2.0 ** -_exponent(mass)
    given = {"mass": mass, "position": position, "softening": softening, "special": special}
    results = (acceleration, G * scale * scale / unit), (potential, -G * scale / unit)
    return field(_kept, _pull, TARGETS, given, (weight, scale, unit), results)


def _exponent(array):
    """Return the least e with all values below 2^e; 0 where there are none, or some that are not finite."""
    size = np.abs(_kept.moved("", array).copy_to_host() if stays(array) else array).max(initial=0.0)
    return float(np.frexp(size)[1]) if np.isfinite(size) else 0.0
