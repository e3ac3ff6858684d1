"""Gravity of all pairs on a CUDA device, float64; `direct_reference` is the readable twin and has the equations.

A block has THREADS threads and brings THREADS sources at a time into shared memory; every thread adds them, one after the other,
to its own targets: two of them without jerk (each source read from shared memory serves twice), one with it. The sources
are cut into segments, so that a few thousand particles also fill a device; `gather` adds the segments in their order.
The cuts depend on n alone and no sum is atomic: a result is the same to the last bit on every run.

The particle itself is left out by giving it no mass and the distance one. The error is one of
rounding. Arrays may be of the device (anything with ``__cuda_array_interface__``, torch's too), which stay there, outputs
contiguous; or NumPy: then positions and velocities are copied there at every call, masses and softenings when they changed, and
results come back in one piece. Memory of the device is kept between calls.

Legend
    tile[q, j]   source j of the tile: x, y, z, squared softening, mass, mass as an ordinary target sees it; then u, v, w
    part         (segment, quantity, target) sums of a segment: acceleration, [jerk,] potential, without G
"""

import math

import numpy as np
from numba import boolean, cuda, float64
from numba.core import config

from ...particles._kernels.device_cuda import require_device, run, stays
from .device_cuda import Resident
from .direct_reference import STATUS_NOT_FINITE, STATUS_OK

THREADS = 128  # of a block, and sources of a tile
TARGETS = 2  # of a thread, without jerk
BLOCKS = 4096  # that fill a device evenly: about thirty for each of its multiprocessors
SHORTEST = 4  # tiles of a segment at least
MOVING = {"position", "velocity"}  # what is copied at every call; the rest only where it changed

_kept = Resident()

if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]  # the simulator has no device library

    def rsqrt(x):
        """Return 1 / sqrt(x), infinite at zero as the device has it."""
        return 1.0 / math.sqrt(x) if x > 0.0 else np.inf if x == 0.0 else np.nan

else:
    from numba.cuda.libdevice import rsqrt  # one ulp; cheaper than a root and a division


@cuda.jit(device=True)
def strength(s2, m):
    """Return m / s and m / s^3."""
    inverse = rsqrt(s2)
    phi = m * inverse
    return phi, phi * (inverse * inverse)


@cuda.jit(device=True)
def softened(plain, own, e2, e2_target):
    """Return the squared softening of a pair; one for a particle with itself."""
    larger = e2 if e2 > e2_target else e2_target
    return 1.0 if own else larger if plain else 0.0


@cuda.jit(device=True)
def bring(tile, sort, first, stop, mass, position, velocity, softening, special, weight):
    """Bring sources from ``first`` on into the tile, all threads of a block together; return how many (0 < count <= THREADS).

    ``velocity`` is None where the tile has no room for it.
    """
    t = cuda.threadIdx.x
    count = min(THREADS, stop - first)
    cuda.syncthreads()  # type: ignore[call-arg]  # nobody reads the tile before any more
    if t < count:
        source = first + t
        for d in range(3):
            tile[d, t] = position[source, d]
            if velocity is not None:
                tile[6 + d, t] = velocity[source, d]
        tile[3, t] = softening[source] * softening[source]
        tile[4, t] = mass[source]
        tile[5, t] = mass[source] if special[source] else weight * mass[source]
        sort[t] = special[source]
    cuda.syncthreads()
    return count


def pull(mass, position, softening, special, weight, length, part):
    """Overwrite part (segments, 4, n); grid (targets, segments), a segment has ``length`` sources."""
    tile = cuda.shared.array((6, THREADS), float64)
    sort = cuda.shared.array(THREADS, boolean)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    a = cuda.blockIdx.x * (TARGETS * THREADS) + t  # type: ignore[operator]
    b = a + THREADS
    i, k = min(a, n - 1), min(b, n - 1)  # threads without a target repeat the last one and store nothing
    xi, yi, zi, ei, ordinary_i = (
        position[i, 0],
        position[i, 1],
        position[i, 2],
        softening[i] * softening[i],
        not special[i],
    )
    xk, yk, zk, ek, ordinary_k = (
        position[k, 0],
        position[k, 1],
        position[k, 2],
        softening[k] * softening[k],
        not special[k],
    )
    axi = ayi = azi = phii = axk = ayk = azk = phik = 0.0
    start = cuda.blockIdx.y * length
    stop = min(start + length, n)
    for first in range(start, stop, THREADS):
        count = bring(tile, sort, first, stop, mass, position, None, softening, special, weight)
        for j in range(count):
            x, y, z, e2, m, seen, ordinary = (
                tile[0, j],
                tile[1, j],
                tile[2, j],
                tile[3, j],
                tile[4, j],
                tile[5, j],
                not sort[j],
            )
            own = first + j == i
            plain = ordinary and ordinary_i
            dx, dy, dz = x - xi, y - yi, z - zi
            s2 = dx * dx + (dy * dy + (dz * dz + softened(plain, own, e2, ei)))
            phi, g = strength(s2, 0.0 if own else seen if plain else m)
            phii += phi
            axi += g * dx
            ayi += g * dy
            azi += g * dz
            own = first + j == k
            plain = ordinary and ordinary_k
            dx, dy, dz = x - xk, y - yk, z - zk
            s2 = dx * dx + (dy * dy + (dz * dz + softened(plain, own, e2, ek)))
            phi, g = strength(s2, 0.0 if own else seen if plain else m)
            phik += phi
            axk += g * dx
            ayk += g * dy
            azk += g * dz
    s = cuda.blockIdx.y
    if a < n:
        part[s, 0, a], part[s, 1, a], part[s, 2, a], part[s, 3, a] = axi, ayi, azi, phii
    if b < n:
        part[s, 0, b], part[s, 1, b], part[s, 2, b], part[s, 3, b] = axk, ayk, azk, phik


def pull_jerk(mass, position, velocity, softening, special, weight, length, part):
    """Overwrite part (segments, 7, n); as `pull`, with the time derivatives of accelerations."""
    tile = cuda.shared.array((9, THREADS), float64)
    sort = cuda.shared.array(THREADS, boolean)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    a = cuda.blockIdx.x * THREADS + t  # type: ignore[operator]
    i = min(a, n - 1)
    xi, yi, zi, ei, ordinary_i = (
        position[i, 0],
        position[i, 1],
        position[i, 2],
        softening[i] * softening[i],
        not special[i],
    )
    ui, vi, wi = velocity[i, 0], velocity[i, 1], velocity[i, 2]
    ax = ay = az = jx = jy = jz = total = 0.0
    start = cuda.blockIdx.y * length
    stop = min(start + length, n)
    for first in range(start, stop, THREADS):
        count = bring(tile, sort, first, stop, mass, position, velocity, softening, special, weight)
        for j in range(count):
            own = first + j == i
            plain = ordinary_i and not sort[j]
            dx, dy, dz = tile[0, j] - xi, tile[1, j] - yi, tile[2, j] - zi
            du, dv, dw = tile[6, j] - ui, tile[7, j] - vi, tile[8, j] - wi
            s2 = dx * dx + (dy * dy + (dz * dz + softened(plain, own, tile[3, j], ei)))
            inverse = rsqrt(s2)
            inverse2 = inverse * inverse
            phi = (0.0 if own else tile[5, j] if plain else tile[4, j]) * inverse
            g = phi * inverse2
            along = 3.0 * inverse2 * (dx * du + (dy * dv + dz * dw))
            total += phi
            ax += g * dx
            ay += g * dy
            az += g * dz
            jx += g * (du - along * dx)
            jy += g * (dv - along * dy)
            jz += g * (dw - along * dz)
    s = cuda.blockIdx.y
    if a < n:
        part[s, 0, a], part[s, 1, a], part[s, 2, a], part[s, 3, a] = ax, ay, az, jx
        part[s, 4, a], part[s, 5, a], part[s, 6, a] = jy, jz, total


def gather(part, quantity, scale, result, bad):
    """Overwrite result (n, w) by scale times the sums of w quantities over segments; set bad[0] where one is not finite."""
    i = cuda.grid(1)  # type: ignore[call-arg, var-annotated]
    if i >= result.shape[0]:
        return
    for d in range(result.shape[1]):
        total = 0.0
        for s in range(part.shape[0]):
            total += part[s, quantity + d, i]
        result[i, d] = scale * total
        if not math.isfinite(total):
            bad[0] = STATUS_NOT_FINITE


_pull, _pull_jerk, gather_there = cuda.jit(pull), cuda.jit(pull_jerk), cuda.jit(gather)


def launch(n, targets):
    """Return blocks over targets, segments, and the sources of a segment (a multiple of THREADS): functions of n alone."""
    blocks, tiles = -(-n // (targets * THREADS)), -(-n // THREADS)
    segments = max(1, min(BLOCKS // blocks, tiles // SHORTEST))
    length = -(-tiles // segments)
    return blocks, -(-tiles // length), length * THREADS


def acceleration(mass, position, softening, special, weight, G, acceleration, potential):
    """Overwrite accelerations and potentials; raise InputError where there is no device."""
    given = {"mass": mass, "position": position, "softening": softening, "special": special}
    return field(_kept, _pull, TARGETS, given, (weight,), ((acceleration, G), (potential, -G)))


def acceleration_jerk(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential):
    """Overwrite accelerations, their time derivatives and potentials; raise InputError where there is no device."""
    given = {"mass": mass, "position": position, "velocity": velocity, "softening": softening, "special": special}
    return field(_kept, _pull_jerk, 1, given, (weight,), ((acceleration, G), (jerk, G), (potential, -G)))


def field(kept, kernel, targets, given, numbers, results):
    """Overwrite ``results``, pairs (array, factor), by the sums of a kernel over all sources; return a status.

    ``kernel`` takes the arrays of ``given``, the numbers, the length of a segment and ``part``; ``kept`` holds what stays there.
    """
    require_device()
    n = given["mass"].shape[0]
    if n == 0:
        return STATUS_OK
    blocks, segments, length = launch(n, targets)
    there = [(kept.moved if name in MOVING else kept.kept)(name, array) for name, array in given.items()]
    part = kept.room("part", (segments, sum(_width(a) for a, _ in results), n))
    run(kernel, (blocks, segments), THREADS, *there, *numbers, length, part)
    return _collect(kept, part, results)


def _collect(kept, part, results):
    """Add the segments; what goes to the host goes in one piece."""
    n, bad = part.shape[2], kept.moved("bad", np.zeros(1, np.int64))
    flat, quantity = kept.room("results", n * part.shape[1]), 0
    for array, factor in results:
        width = _width(array)
        there = kept.moved("", array) if stays(array) else flat[n * quantity : n * (quantity + width)]
        run(gather_there, -(-n // THREADS), THREADS, part, quantity, factor, there.reshape((n, width)), bad)
        quantity += width
    quantity, here = 0, None
    for array, _ in results:
        if not stays(array):
            here = flat.copy_to_host() if here is None else here
            array[...] = here[n * quantity : n * (quantity + _width(array))].reshape(array.shape)
        quantity += _width(array)
    return int(bad.copy_to_host()[0])


def _width(array):
    return array.shape[1] if array.ndim == 2 else 1
