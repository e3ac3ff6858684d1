"""Particles in the order of a tree, and the sum over one leaf of all, numba on the CPU; `fmm_reference` has the legend."""

from typing import NamedTuple

import numba
import numpy as np
from numba import njit, prange

from .direct_reference import STATUS_NOT_FINITE, STATUS_OK
from .expansion_tables import LANES
from .fmm_tide_cpu import direct_tide, scatter_tide
from .near_vectors import others_beyond, own_beyond, pull_own
from .softening_cpu import factors

UNIT = 60  # coordinates are scaled below 2^UNIT, so that squares of all distances that occur fit into float32
SHARE = 128  # particles of one leaf that a thread takes at a time
DIRECT_THREADS_FROM = 512


class Tree(NamedTuple):
    """Cells, their bounds and moments; particles in the order of the tree, one array per component, LANES rows longer."""

    cells: np.ndarray
    bound: np.ndarray
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    m: np.ndarray
    s: np.ndarray


@njit(cache=True, error_model="numpy")
def gather(order, mass, position, softening, scale, tree):
    n = len(order)
    for k in range(n + LANES):
        i = order[min(k, n - 1)]
        tree.x[k], tree.y[k], tree.z[k] = scale * position[i, 0], scale * position[i, 1], scale * position[i, 2]
        tree.m[k] = mass[i]
        tree.s[k] = (scale * softening[i]) ** 2


@njit(cache=True, error_model="numpy")
def pull_compact(law, first, stop, own, sink, source, ranges, pairs, within, out, total):
    """Add the pull of ranges of sources to the sums of particles [first, stop), at most LANES; ``own``: of the sink itself."""
    s, f = sink, source
    if own:
        notes = own_beyond(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out, within)
    else:
        notes = others_beyond(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out, within)
    add_lanes(first, stop, out, total)
    for note in within[:notes]:
        _pull_within(law, first, stop, note >> LANES, note & ((1 << LANES) - 1), sink, source, total)


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _pull_within(law, first, stop, j, lanes, sink, source, total):
    """Add the pull of source j, within its radius, to those of the particles whose lanes are given."""
    x, y, z, m, s = source.x[j], source.y[j], source.z[j], source.m[j], source.s[j]
    for k in range(first, stop):
        if lanes >> (k - first) & 1:
            dx, dy, dz = x - sink.x[k], y - sink.y[k], z - sink.z[k]
            w, g = factors(law, dx * dx + dy * dy + dz * dz, np.sqrt(max(sink.s[k], s)))
            total[k, 0] += m * w * dx
            total[k, 1] += m * w * dy
            total[k, 2] += m * w * dz
            total[k, 3] += m * g


@njit(cache=True, error_model="numpy")
def add_lanes(first, stop, out, total):
    """Add what the lanes hold to the sums of particles [first, stop)."""
    for k in range(first, stop):
        for d in range(4):
            total[k, d] += out[d * LANES + k - first]


@njit(cache=True, error_model="numpy")
def scatter(who, total, scale, G, acceleration, potential):
    bad = 0.0
    for k in range(len(who)):
        i = who[k]
        for d in range(3):
            acceleration[i, d] = G * scale * scale * total[k, d]
        potential[i] = -G * scale * total[k, 3]
        bad += 0.0 * (acceleration[i, 0] + acceleration[i, 1] + acceleration[i, 2] + potential[i])
    return STATUS_OK if bad == 0.0 else STATUS_NOT_FINITE


@njit(cache=True, error_model="numpy")
def _unsorted(mass, position, softening, scale, compact):
    """Return one leaf of all particles as a tree, and their order, which is the one given."""
    n = len(mass)
    who, cells, component = np.arange(n), np.zeros((1, 4), np.int64), np.empty((5, n + LANES))
    cells[0, 1] = n
    x, y, z, m, s = component[0], component[1], component[2], component[3], component[4]
    tree = Tree(cells, np.empty((0, 0)), np.empty((0, 0)), x, y, z, m, s)
    gather(who, mass, position, softening, scale, tree)
    return who, tree


@njit(cache=True, error_model="numpy")
def _direct(tree, law, start, stop, total, tide):
    """Overwrite the sums of particles [start, stop) of one leaf; those of the tide, zero so far, where it is not None."""
    if tide is not None:
        direct_tide(tree, law, start, stop, total, tide)
        return
    whole, out = np.zeros(2, np.int64), np.empty(4 * LANES)
    whole[1] = tree.cells[0, 1]
    within = np.empty(whole[1] if law > 0 else 0, np.int64)
    x, y, z, m, s = tree.x, tree.y, tree.z, tree.m, tree.s
    total[start:stop] = 0.0
    for first in range(start, stop, LANES):
        last = min(first + LANES, stop)
        if law > 0:
            pull_compact(law, first, last, True, tree, tree, whole, 1, within, out, total)
        else:
            pull_own(x, y, z, s, first, x, y, z, m, s, whole, 1, out)
            add_lanes(first, last, out, total)


@njit(cache=True, error_model="numpy", parallel=True)
def _direct_shared(tree, law, start, stop, total, tide):
    for block in prange(-(-(stop - start) // SHARE)):
        first = start + block * SHARE
        _direct(tree, law, first, min(first + SHARE, stop), total, tide)


def direct_part(mass, position, softening, law, start, stop, G, acceleration, potential, tide=None):
    """Overwrite accelerations, potentials and tides (None: not wanted) of the particles [start, stop), as all of them pull."""
    if start == stop:
        return STATUS_OK
    scale = scale_of(position, softening)
    if not scale > 0.0:
        return not_finite(position[start:stop], softening[start:stop], acceleration, potential)
    total, sums = np.zeros((len(mass), 4)), None if tide is None else np.zeros((len(mass), 6))
    who, tree = _unsorted(mass, position, softening, scale, law > 0)
    if numba.get_num_threads() > 1 and stop - start >= DIRECT_THREADS_FROM:
        _direct_shared(tree, law, start, stop, total, sums)
    else:
        _direct(tree, law, start, stop, total, sums)
    if sums is not None:
        scatter_tide(who[: stop - start], sums[start:stop], scale, G, tide)
    return scatter(who[: stop - start], total[start:stop], scale, G, acceleration, potential)


def scale_of(position, softening):
    """Return the power of two by which coordinates are scaled; 0 where something is not finite."""
    size = np.abs(position).max(initial=0.0)
    return 2.0 ** (UNIT - np.frexp(size)[1]) if np.isfinite(size) and np.isfinite(softening).all() else 0.0


def not_finite(position, softening, acceleration, potential):
    acceleration[:] = np.nan
    potential[:] = np.where(np.isfinite(position).all(axis=1) & np.isfinite(softening), 0.0, np.nan)
    return STATUS_NOT_FINITE
