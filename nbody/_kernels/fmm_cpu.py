"""Fast multipole gravity, numba on the CPU; `fmm_reference` is the readable twin and has the equations and the legend.

Every sink cell owns what it receives: going down the tree, a cell gets the list of source cells that its parent could not settle,
tests them, takes far ones into its local expansion, and hands the rest to its children. Both partners of a pair come to the same
verdict, so momentum is conserved although nothing is written for the partner. All sums have one order, whatever the number
of threads. Sinks and sources may be different trees; `fmm_ranks_cpu` walks through those of other ranks.
"""

import numba
import numpy as np
from numba import njit, prange

from .expansion_cpu import (
    HIGH,
    LIMIT,
    LOW,
    POWER,
    RADIUS,
    REACH,
    evaluate_local,
    shift_local,
)
from .expansion_tables import LANES, tables
from .expansion_vectors import translate_2, translate_3, translate_4, translate_5, translate_6
from .fmm_leaf_cpu import add_lanes, direct_part, not_finite, pull_compact, scale_of, scatter
from .fmm_tide_cpu import evaluate_tide, near_compact_tide, near_tide, room_for, scatter_tide
from .fmm_trees_cpu import empty_tree, grow, plant
from .near_vectors import pull_others, pull_own

WORK = 4  # the column of the sums that has the work, where there is one
FAR = 240.0  # pairs that take as long as one source as an expansion, with the verdicts that lead to it
TASKS = 64  # about so many parts are shared among threads
THREADS_FROM = 4096  # particles; below it starting threads costs more than it saves


@njit(cache=True, error_model="numpy")
def left_out(bound, c, radius, order):
    """Return sum_q binomial(order, q) P_q radius^(order - q): what is left out, times r^(order + 2)."""
    total = bound[c, POWER]
    for q in range(1, order + 1):
        total = total * radius + bound[c, POWER + q]
    return total


@njit(cache=True, error_model="numpy")
def far_apart(u, a, v, b, order, coherence):
    """Return whether cell a, of bounds u, and cell b, of bounds v, see each other as expansions; the same for (v, b, u, a)."""
    dx, dy, dz = u[a, 0] - v[b, 0], u[a, 1] - v[b, 1], u[a, 2] - v[b, 2]
    r2 = dx * dx + dy * dy + dz * dz
    reach = u[a, RADIUS] + v[b, RADIUS] + max(u[a, REACH], v[b, REACH])
    if not r2 > reach * reach:
        return False
    r, wider = np.sqrt(r2), max(u[a, RADIUS], v[b, RADIUS])
    denominator, power = r2, r2
    for _ in range(order):
        denominator *= r
        power *= wider
    if power > coherence * denominator:
        return False
    spread = 0.0
    if u[a, REACH] + v[b, REACH] == 0.0:
        spread = 0.75 * (max(u[a, HIGH], v[b, HIGH]) - max(u[a, LOW], v[b, LOW])) / r2
        if spread > 0.25 * coherence:
            return False
        spread /= r2
    if left_out(v, b, u[a, RADIUS], order) / denominator + spread * v[b, POWER] > u[a, LIMIT]:
        return False
    return left_out(u, a, v[b, RADIUS], order) / denominator + spread * u[a, POWER] <= v[b, LIMIT]


@njit(cache=True, error_model="numpy")
def _translate(order, rows, place, sources, count, lanes):
    """Add the expansions of ``count`` sources, filled up to eights with the empty row at the end."""
    while count % LANES:
        sources[count] = len(rows) - 1
        count += 1
    for at in range(0, count, LANES):
        if order == 2:
            translate_2(rows, place, sources, at, lanes)
        elif order == 3:
            translate_3(rows, place, sources, at, lanes)
        elif order == 4:
            translate_4(rows, place, sources, at, lanes)
        elif order == 5:
            translate_5(rows, place, sources, at, lanes)
        else:
            translate_6(rows, place, sources, at, lanes)


@njit(cache=True, error_model="numpy")
def _longer(array, needed):
    """Return the array, or a copy of twice the length where ``needed`` entries do not fit."""
    if needed <= len(array):
        return array
    copy = np.empty(2 * needed, array.dtype)
    copy[: len(array)] = array
    return copy


@njit(cache=True, error_model="numpy")
def _more_rows(array, needed):
    """Return the array, or a copy with twice the rows where ``needed`` do not fit."""
    if needed <= len(array):
        return array
    copy = np.empty((2 * needed, array.shape[1]), array.dtype)
    copy[: len(array)] = array
    return copy


@njit(cache=True, error_model="numpy")
def _near(c, sink, source, itself, ranges, pairs, total):
    """Add the pull of ranges of particles, and of the cell itself, to the sums of the cell's particles; Plummer's law."""
    start, stop = sink.cells[c, 0], sink.cells[c, 1]
    s, f = sink, source
    own, out = np.empty(2, np.int64), np.empty(4 * LANES)
    own[0], own[1] = start, stop
    for first in range(start, stop, LANES):
        last = min(first + LANES, stop)
        pull_others(s.x, s.y, s.z, s.s, first, f.x, f.y, f.z, f.m, f.s, ranges, pairs, out)
        add_lanes(first, last, out, total)
        if itself:
            pull_own(s.x, s.y, s.z, s.s, first, s.x, s.y, s.z, s.m, s.s, own, 1, out)
            add_lanes(first, last, out, total)


@njit(cache=True, error_model="numpy")
def _near_compact(law, c, sink, source, itself, ranges, pairs, total):
    """Add the same with a softening law of finite radius."""
    start, stop = sink.cells[c, 0], sink.cells[c, 1]
    own, out, within = np.empty(2, np.int64), np.empty(4 * LANES), room_for(stop - start, ranges, pairs)
    own[0], own[1] = start, stop
    for first in range(start, stop, LANES):
        last = min(first + LANES, stop)
        pull_compact(law, first, last, False, sink, source, ranges, pairs, within, out, total)
        if itself:
            pull_compact(law, first, last, True, sink, sink, own, 1, within, out, total)


@njit(cache=True, error_model="numpy")
def _weigh(start, stop, n_far, itself, near, n_near, total):
    """Add what the sources of a cell cost to the column WORK of its particles, in pairs."""
    n = stop - start
    pairs = n if itself else 0
    for pair in range(n_near):
        pairs += near[2 * pair + 1] - near[2 * pair]
    filled = (n + LANES - 1) // LANES * LANES
    each = (pairs * filled + FAR * n_far) / n
    for k in range(start, stop):
        total[k, WORK] += each


@njit(cache=True, error_model="numpy")
def _evaluate(c, sink, local, T, lower, power, total):
    """Add a local expansion to the sums of the cell's particles."""
    x, y, z = sink.bound[c, 0], sink.bound[c, 1], sink.bound[c, 2]
    for k in range(sink.cells[c, 0], sink.cells[c, 1]):
        far = evaluate_local(local, sink.x[k] - x, sink.y[k] - y, sink.z[k] - z, T, lower, power)
        for d in range(4):
            total[k, d] += far[d]


@njit(cache=True, error_model="numpy")
def _sort_out(c, sink, source, same, after, order, coherence, leaf_size, start, stop, pool, extra, far, near):
    """Settle the sources pool[start:stop] of a sink cell, or split them.

    Of two cells of one radius the one with the higher number is split; of different trees, sources from ``after`` on.
    Returns how many entries are in far, near (pairs) and pool, and whether the sink is a near source of itself. Behind ``stop``
    the pool gets what the children of the sink must settle.
    """
    u, v, cells = sink.bound, source.bound, source.cells
    is_leaf, few = sink.cells[c, 2] == 0, sink.cells[c, 1] - sink.cells[c, 0] <= leaf_size
    n_far, n_near, end, itself, lower = 0, 0, stop, False, c if same else after - 1
    for k in range(start, stop):
        extra[0], n_extra = pool[k], 1
        while n_extra > 0:
            n_extra -= 1
            b = extra[n_extra]
            if far_apart(u, c, v, b, order, coherence):
                far[n_far] = b
                n_far += 1
                continue
            i, j, first, last = cells[b, 0], cells[b, 1], cells[b, 2], cells[b, 3]
            if (few and j - i <= leaf_size) or (is_leaf and first == 0):
                if same and b == c:
                    itself = True
                elif i < 0:  # a cell whose particles stayed on their rank, because they are not needed
                    far[n_far] = b
                    n_far += 1
                elif n_near > 0 and near[2 * n_near - 1] == i:
                    near[2 * n_near - 1] = j
                else:
                    near[2 * n_near], near[2 * n_near + 1] = i, j
                    n_near += 1
            elif same and b == c:
                for child in range(first, last):
                    pool[end] = child
                    end += 1
            elif first > 0 and (is_leaf or v[b, RADIUS] > u[c, RADIUS] or (v[b, RADIUS] == u[c, RADIUS] and b > lower)):
                for child in range(last - 1, first - 1, -1):
                    extra[n_extra] = child
                    n_extra += 1
            else:
                pool[end] = b
                end += 1
    return n_far, n_near, end, itself


@njit(cache=True, error_model="numpy")
def _descend(
    root, given, above, sink, source, same, after, T, order, coherence, law, leaf_size, smallest, total, tide
):  # fmt: skip
    """Go down from a sink cell, whose parent left it the sources ``given`` and the local expansion ``above``.

    Cells of at most ``smallest`` particles are not done but returned: rows (cell, first, last + 1 of its sources in the list
    that follows), that list, and their local expansions.
    """
    cells, bound, rows = sink.cells, sink.bound, sink.rows
    K = len(T.below)
    lower = order * (order + 1) * (order + 2) // 6
    lanes, mine, power = np.empty((K, LANES)), np.empty(K), np.empty(K)
    frame, local = np.empty((64, 3), np.int64), np.empty((64, K))
    most = len(source.cells)
    pool, extra = np.empty(2 * most, np.int64), np.empty(most, np.int64)
    far, near = np.empty(most + LANES, np.int64), np.empty(2 * most, np.int64)
    left, left_sources, left_local = np.empty((0, 3), np.int64), np.empty(0, np.int64), np.empty((0, K))
    n_left, n_sources, frames = 0, 0, 1
    pool = _longer(pool, len(given))
    pool[: len(given)] = given
    frame[0, 0], frame[0, 1], frame[0, 2] = root, 0, len(given)
    local[0] = above
    while frames > 0:
        frames -= 1
        c, start, stop = frame[frames, 0], frame[frames, 1], frame[frames, 2]
        if cells[c, 1] - cells[c, 0] <= smallest:
            left, left_local = _more_rows(left, n_left + 1), _more_rows(left_local, n_left + 1)
            left_sources = _longer(left_sources, n_sources + stop - start)
            left_sources[n_sources : n_sources + stop - start] = pool[start:stop]
            left[n_left, 0], left[n_left, 1], left[n_left, 2] = c, n_sources, n_sources + stop - start
            left_local[n_left] = local[frames]
            n_left += 1
            n_sources += stop - start
            continue
        pool = _longer(pool, stop + most)
        n_far, n_near, end, itself = _sort_out(
            c, sink, source, same, after, order, coherence, leaf_size, start, stop, pool, extra, far, near
        )
        if total.shape[1] > WORK:
            _weigh(cells[c, 0], cells[c, 1], n_far, itself, near, n_near, total)
        lanes[:] = 0.0
        _translate(order, source.rows, rows[c], far, n_far, lanes)
        for n in range(K):
            mine[n] = local[frames, n] + lanes[n].sum()
        if tide is None:
            if n_near > 0 or itself:
                if law > 0:
                    _near_compact(law, c, sink, source, itself, near, n_near, total)
                else:
                    _near(c, sink, source, itself, near, n_near, total)
        elif n_near > 0 or itself:
            if law > 0:
                near_compact_tide(law, c, sink, source, itself, near, n_near, total, tide)
            else:
                near_tide(c, sink, source, itself, near, n_near, total, tide)
        first, last = cells[c, 2], cells[c, 3]
        if first == 0:
            _evaluate(c, sink, mine, T, lower, power, total)
            if tide is not None:
                evaluate_tide(c, sink, mine, T, order, power, tide)
            continue
        frame, local = _more_rows(frame, frames + last - first), _more_rows(local, frames + last - first)
        for child in range(last - 1, first - 1, -1):
            x, y, z = bound[child, 0] - bound[c, 0], bound[child, 1] - bound[c, 1], bound[child, 2] - bound[c, 2]
            shift_local(mine, x, y, z, T, power, local[frames])
            frame[frames, 0], frame[frames, 1], frame[frames, 2] = child, stop, end
            frames += 1
    return left[:n_left], left_sources[:n_sources], left_local[:n_left]


@njit(cache=True, error_model="numpy", parallel=True)
def _shared(
    left, left_sources, left_local, sink, source, same, after, T, order, coherence, law, leaf_size, total, tide
):
    for k in prange(len(left)):
        given = left_sources[left[k, 1] : left[k, 2]]
        _descend(
            left[k, 0], given, left_local[k], sink, source, same, after, T, order, coherence, law, leaf_size, 0, total, tide
        )  # fmt: skip


def walk(sink, source, roots, same, after, T, order, coherence, law, leaf_size, total, tide=None):
    """Add the pull of the trees under some roots to the sums of all sinks, and the tide where there are sums for it."""
    n, threads, above = sink.cells[0, 1], numba.get_num_threads(), np.zeros(len(T.below))
    smallest = n // TASKS if threads > 1 and n >= THREADS_FROM else 0
    left, given, above = _descend(
        0, roots, above, sink, source, same, after, T, order, coherence, law, leaf_size, smallest, total, tide
    )
    if smallest > 0:
        _shared(left, given, above, sink, source, same, after, T, order, coherence, law, leaf_size, total, tide)


def fmm(mass, position, softening, law, order, leaf_size, tolerance, coherence, G, acceleration, potential, tide=None):
    """Overwrite accelerations, potentials and tides; None: these are not wanted."""
    n = len(mass)
    if n <= leaf_size:
        return direct_part(mass, position, softening, law, 0, n, G, acceleration, potential, tide)
    scale = scale_of(position, softening)
    if not scale > 0.0:
        return not_finite(position, softening, acceleration, potential)
    T, total, sums = tables(order), np.zeros((n, 4)), None if tide is None else np.zeros((n, 6))
    nothing, no_roots = empty_tree(0, 0, order), np.zeros(0, np.int64)
    who, tree = plant(mass, position, softening, scale, law > 0, leaf_size)
    tree = grow(tree, nothing, no_roots, law > 0, T, order, tolerance)
    walk(tree, tree, np.zeros(1, np.int64), True, 0, T, order, coherence, law, leaf_size, total, sums)
    if tide is not None:
        scatter_tide(who, sums, scale, G, tide)
    return scatter(who, total, scale, G, acceleration, potential)
