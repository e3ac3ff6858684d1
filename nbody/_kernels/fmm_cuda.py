"""Fast multipole gravity with the near field on a CUDA device; `fmm_reference` is the readable twin.

The host plants and grows the tree, sums the far field and lists near pairs of cells (`fmm_lists_cpu`), in one walk; then the
device sums near pairs, in a hundredth of that time by estimate, so the two need not overlap. A block is one warp: up to THREADS
targets of a cell, to which it brings its sources THREADS at a time. Sums have one order: a result is the same to the last bit
on every run. Pairs are float64 without the seed in float32 that the CPU has, so they differ from its by 1e-14.

What it gains is the share of near pairs in the time of the CPU: a fifth to a quarter (1e5 particles, error 1e-3), because vector
registers do those well. What is left are the tree (two fifths), verdicts (a quarter) and M2L with evaluation (a third). M2L stays
on the host: order 5 reads 0.5 kB and does about 2,500 operations for each pair of cells, which would suit a device, but its lists
come out of the verdicts, so at most another third could go, at sizes where the direct sum of a device is faster than either.
"""

import math

import numpy as np
from numba import cuda, float64

from ...particles import InputError
from ...particles._kernels.device_cuda import require_device, run
from .device_cuda import Resident, on_device
from .direct_compact_cuda import acceleration_compact
from .direct_cuda import acceleration as direct_acceleration
from .direct_cuda import strength
from .expansion_tables import tables
from .fmm_leaf_cpu import not_finite, scale_of, scatter
from .fmm_lists_cpu import add_groups, walk_and_list
from .fmm_trees_cpu import empty_tree, grow, plant
from .softening_cpu import factors

THREADS = 32  # of a block: leaves have twenty particles on the average

_kept = Resident()
_factors = on_device(factors)


def near_field(law, work, ranges, x, y, z, m, s, sums):
    """Overwrite sums (4, w, THREADS) of m w r and m g; one block for each row of ``work``."""
    tile = cuda.shared.array((5, THREADS), float64)
    item = cuda.blockIdx.x
    t = cuda.threadIdx.x
    k = min(work[item, 0] + t, work[item, 1] - 1)  # threads without a target repeat the last one
    xk, yk, zk, sk = x[k], y[k], z[k], s[k]
    ax = ay = az = total = 0.0
    for r in range(work[item, 2], work[item, 3]):
        stop = ranges[r, 1]
        for first in range(ranges[r, 0], stop, THREADS):
            count = min(THREADS, stop - first)
            cuda.syncthreads()  # type: ignore[call-arg]
            if t < count:
                j = first + t
                tile[0, t], tile[1, t], tile[2, t], tile[3, t], tile[4, t] = x[j], y[j], z[j], m[j], s[j]
            cuda.syncthreads()
            for j in range(count):
                own = first + j == k
                dx, dy, dz = tile[0, j] - xk, tile[1, j] - yk, tile[2, j] - zk
                radius2 = max(sk, tile[4, j])
                r2 = 1.0 if own else dx * dx + (dy * dy + dz * dz)
                mass = 0.0 if own else tile[3, j]
                if law > 0 and r2 < radius2:
                    w, g = _factors(law, r2, math.sqrt(radius2))
                    w, g = mass * w, mass * g
                else:
                    g, w = strength(r2 + (radius2 if law == 0 else 0.0), mass)
                total += g
                ax += w * dx
                ay += w * dy
                az += w * dz
    sums[0, item, t], sums[1, item, t], sums[2, item, t], sums[3, item, t] = ax, ay, az, total


_near_field = cuda.jit(near_field)


def fmm(mass, position, softening, law, order, leaf_size, tolerance, coherence, G, acceleration, potential, tide=None):
    """Overwrite accelerations and potentials; raise InputError where there is no device, or where tides are wanted."""
    require_device()
    if tide is not None:
        raise InputError("fast multipoles on a device give no tides; use backend = 'cpu'")
    n = len(mass)
    if n <= leaf_size:
        given, ordinary = (mass, position, softening), np.zeros(n, bool)
        if law > 0:
            return acceleration_compact(*given, ordinary, 1.0, law, G, acceleration, potential)
        return direct_acceleration(*given, ordinary, 1.0, G, acceleration, potential)
    scale = scale_of(position, softening)
    if not scale > 0.0:
        return not_finite(position, softening, acceleration, potential)
    T, total, compact = tables(order), np.zeros((n, 4)), law > 0
    who, tree = plant(mass, position, softening, scale, compact, leaf_size)
    tree = grow(tree, empty_tree(0, 0, order), np.zeros(0, np.int64), compact, T, order, tolerance)
    work, ranges = walk_and_list(tree, T, order, coherence, leaf_size, THREADS, total)
    add_groups(work, _near(law, tree, work, ranges), total)
    return scatter(who, total, scale, G, acceleration, potential)


def _near(law, tree, work, ranges):
    """Return the sums of all groups, (4, w, THREADS)."""
    given = {"work": work, "ranges": ranges, "x": tree.x, "y": tree.y, "z": tree.z, "m": tree.m, "s": tree.s}
    there = [_kept.moved(name, array) for name, array in given.items()]
    sums = _kept.room("sums", (4, len(work), THREADS))
    run(_near_field, len(work), THREADS, law, *there, sums)
    return sums.copy_to_host()
