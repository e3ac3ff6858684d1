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
from .near_vectors import pull_others_tide, pull_own_tide
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
def near_compact_tide(law, c, sink, source, itself, ranges, pairs, total, tide):
    """Add the same with a softening law of finite radius."""
    start, stop = sink.cells[c, 0], sink.cells[c, 1]
    for k in range(start, stop):
        for pair in range(pairs):
            _pull_compact(law, k, ranges[2 * pair], ranges[2 * pair + 1], sink, source, total, tide)
        if itself:
            _pull_compact(law, k, start, k, sink, sink, total, tide)
            _pull_compact(law, k, k + 1, stop, sink, sink, total, tide)


@njit(cache=True, error_model="numpy")
def direct_tide(tree, law, start, stop, total, tide):
    """Add to the sums of particles [start, stop) of one leaf what all of it does."""
    whole, out = np.zeros(2, np.int64), np.empty(11 * LANES)
    whole[1] = tree.cells[0, 1]
    if law > 0:
        for k in range(start, stop):
            _pull_compact(law, k, 0, k, tree, tree, total, tide)
            _pull_compact(law, k, k + 1, whole[1], tree, tree, total, tide)
        return
    x, y, z, m, s = tree.x, tree.y, tree.z, tree.m, tree.s
    for first in range(start, stop, LANES):
        pull_own_tide(x, y, z, s, first, x, y, z, m, s, whole, 1, out)
        _add_lanes(first, stop, out, total, tide)


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _pull_compact(law, k, first, last, sink, source, total, tide):
    """Add what the sources [first, last) do to particle k."""
    x, y, z, s = sink.x[k], sink.y[k], sink.z[k], sink.s[k]
    ax = ay = az = phi = xx = xy = xz = yy = yz = zz = own = 0.0
    for j in range(first, last):
        dx, dy, dz = source.x[j] - x, source.y[j] - y, source.z[j] - z
        r2, h = dx * dx + dy * dy + dz * dz, np.sqrt(max(s, source.s[j]))
        w, g = factors(law, r2, h)
        v = source.m[j] * slope(law, r2, h)
        w *= source.m[j]
        ax += w * dx
        ay += w * dy
        az += w * dz
        phi += source.m[j] * g
        xx += v * dx * dx
        xy += v * dx * dy
        xz += v * dx * dz
        yy += v * dy * dy
        yz += v * dy * dz
        zz += v * dz * dz
        own += w
    total[k, 0] += ax
    total[k, 1] += ay
    total[k, 2] += az
    total[k, 3] += phi
    tide[k, 0] += xx - own
    tide[k, 1] += xy
    tide[k, 2] += xz
    tide[k, 3] += yy - own
    tide[k, 4] += yz
    tide[k, 5] += zz - own


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
