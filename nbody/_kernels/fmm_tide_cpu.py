"""Tides of fast multipoles, numba on the CPU: what `fmm_cpu` and `fmm_leaf_cpu` call instead of their own where tides are wanted.

Who does not want them passes None, and the compiler leaves these functions out: nothing here is compiled or costs anything then.

Legend
    tide         (n, 6) sums over sources of m (v r_k r_l - w delta_kl), in the order xx, xy, xz, yy, yz, zz
    total        (n, 4) sums of m w r and m g; both are added to, and as in `fmm_reference`
"""

import numpy as np
from numba import njit

from .expansion_cpu import monomials
from .expansion_tables import LANES
from .near_vectors import others_beyond_tide, own_beyond_tide, pull_others_tide, pull_own_tide
from .softening_cpu import factors, slope


@njit(cache=True, error_model="numpy")
def near_tide(c, sink, source, itself, ranges, pairs, total, tide):
    """Add what ranges of particles, and the cell itself, do to the cell's particles; Plummer's law."""
    start, stop = sink.cells[c, 0], sink.cells[c, 1]
    s, f = sink, source
    own, out = np.empty(2, np.int64), np.empty(11 * LANES)
    own[0], own[1] = start, stop
    for first in range(start, stop, LANES):
        pull_others_tide(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out)
        _add_lanes(first, stop, out, total, tide)
        if itself:
            pull_own_tide(s.x, s.y, s.z, s.s, first, s.x, s.y, s.z, s.m, s.s, own, 1, out)
            _add_lanes(first, stop, out, total, tide)


@njit(cache=True, error_model="numpy")
def _add_lanes(first, stop, out, total, tide):
    for k in range(first, min(first + LANES, stop)):
        lane = k - first
        for d in range(4):
            total[k, d] += out[d * LANES + lane]
        for d in range(6):
            tide[k, d] += out[(4 + d) * LANES + lane]
        for d in (0, 3, 5):
            tide[k, d] -= out[10 * LANES + lane]


@njit(cache=True, error_model="numpy")
def room_for(count, ranges, pairs):
    """Return room for notes on ``count`` sources, or on those of the ranges."""
    others = 0
    for pair in range(pairs):
        others += ranges[2 * pair + 1] - ranges[2 * pair]
    return np.empty(max(count, others), np.int64)


@njit(cache=True, error_model="numpy")
def near_compact_tide(law, c, sink, source, itself, ranges, pairs, total, tide):
    """Add the same with a softening law of finite radius."""
    start, stop = sink.cells[c, 0], sink.cells[c, 1]
    own, out, within = np.empty(2, np.int64), np.empty(11 * LANES), room_for(stop - start, ranges, pairs)
    own[0], own[1] = start, stop
    for first in range(start, stop, LANES):
        last = min(first + LANES, stop)
        _pull_compact(law, first, last, False, sink, source, ranges, pairs, within, out, total, tide)
        if itself:
            _pull_compact(law, first, last, True, sink, sink, own, 1, within, out, total, tide)


@njit(cache=True, error_model="numpy")
def direct_tide(tree, law, start, stop, total, tide):
    """Add to the sums of particles [start, stop) of one leaf what all of it does."""
    whole, out = np.zeros(2, np.int64), np.empty(11 * LANES)
    whole[1] = tree.cells[0, 1]
    within = np.empty(whole[1] if law > 0 else 0, np.int64)
    x, y, z, m, s = tree.x, tree.y, tree.z, tree.m, tree.s
    for first in range(start, stop, LANES):
        if law > 0:
            last = min(first + LANES, stop)
            _pull_compact(law, first, last, True, tree, tree, whole, 1, within, out, total, tide)
        else:
            pull_own_tide(x, y, z, s, first, x, y, z, m, s, whole, 1, out)
            _add_lanes(first, stop, out, total, tide)


@njit(cache=True, error_model="numpy")
def _pull_compact(law, first, stop, own, sink, source, ranges, pairs, within, out, total, tide):
    """Add what ranges of sources do to particles [first, stop), at most LANES; ``own``: sources of the sink itself."""
    s, f = sink, source
    if own:
        notes = own_beyond_tide(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out, within)
    else:
        notes = others_beyond_tide(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out, within)
    _add_lanes(first, stop, out, total, tide)
    for note in within[:notes]:
        _pull_within(law, first, stop, note >> LANES, note & ((1 << LANES) - 1), sink, source, total, tide)


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _pull_within(law, first, stop, j, lanes, sink, source, total, tide):
    """Add what source j, within its radius, does to those of the particles whose lanes are given."""
    x, y, z, m, s = source.x[j], source.y[j], source.z[j], source.m[j], source.s[j]
    for k in range(first, stop):
        if lanes >> (k - first) & 1:
            dx, dy, dz = x - sink.x[k], y - sink.y[k], z - sink.z[k]
            r2, h = dx * dx + dy * dy + dz * dz, np.sqrt(max(sink.s[k], s))
            w, g = factors(law, r2, h)
            v, w = m * slope(law, r2, h), m * w
            total[k, 0] += w * dx
            total[k, 1] += w * dy
            total[k, 2] += w * dz
            total[k, 3] += m * g
            tide[k, 0] += v * dx * dx - w
            tide[k, 1] += v * dx * dy
            tide[k, 2] += v * dx * dz
            tide[k, 3] += v * dy * dy - w
            tide[k, 4] += v * dy * dz
            tide[k, 5] += v * dz * dz - w


@njit(cache=True, error_model="numpy")
def evaluate_tide(c, sink, local, T, order, power, tide):
    """Add the second derivatives of a local expansion at the cell's particles: sum_n L_{n + e_k + e_l} a^n / n!."""
    x, y, z = sink.bound[c, 0], sink.bound[c, 1], sink.bound[c, 2]
    lower = (order - 1) * order * (order + 1) // 6
    for p in range(sink.cells[c, 0], sink.cells[c, 1]):
        monomials(sink.x[p] - x, sink.y[p] - y, sink.z[p] - z, T, power)
        part = 0
        for k in range(3):
            for m in range(k, 3):
                value = 0.0
                for n in range(lower):
                    value += local[T.raised[T.raised[n, k], m]] * power[n]
                tide[p, part] += value
                part += 1


@njit(cache=True, error_model="numpy")
def scatter_tide(who, sums, scale, G, tide):
    """Overwrite the tides (n, 3, 3) of the particles, in their own order and unit of length."""
    for p in range(len(who)):
        part = 0
        for k in range(3):
            for m in range(k, 3):
                tide[who[p], k, m] = tide[who[p], m, k] = G * scale * scale * scale * sums[p, part]
                part += 1
