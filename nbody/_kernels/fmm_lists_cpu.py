"""Fast multipole gravity without its near field, which is listed for a device: `fmm_cpu._descend` with lists in place of sums.

A verdict on two cells is asked once, as there. Parts of the tree are shared among threads of Python, because each returns lists
of its own; compiled code lets them run side by side. Lists are in the order of the parts, whatever the number of threads.

Legend
    ranges   (r, 2) first and last + 1 of sources; work (w, 4) first and last + 1 of targets, and of their ranges
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numba import njit

from .expansion_cpu import shift_local
from .expansion_tables import LANES
from .fmm_cpu import TASKS, THREADS_FROM, _evaluate, _longer, _more_rows, _sort_out, _translate


@njit(cache=True, error_model="numpy", nogil=True)
def _descend(root, given, above, tree, T, order, coherence, leaf_size, smallest, group, total):
    """Add the far field from a cell downward, as `fmm_cpu._descend` does; return what it returns, work and ranges."""
    cells, bound, rows, K = tree.cells, tree.bound, tree.rows, len(T.below)
    lower, most = order * (order + 1) * (order + 2) // 6, len(tree.cells)
    lanes, mine, power = np.empty((K, LANES)), np.empty(K), np.empty(K)
    frame, local = np.empty((64, 3), np.int64), np.empty((64, K))
    pool, extra = _longer(np.empty(2 * most, np.int64), len(given)), np.empty(most, np.int64)
    far, near = np.empty(most + LANES, np.int64), np.empty(2 * most, np.int64)
    left, left_sources, left_local = np.empty((0, 3), np.int64), np.empty(0, np.int64), np.empty((0, K))
    work, ranges = np.empty((64, 4), np.int64), np.empty((64, 2), np.int64)
    n_left, n_sources, frames, made, listed = 0, 0, 1, 0, 0
    pool[: len(given)] = given
    frame[0, 0], frame[0, 1], frame[0, 2] = root, 0, len(given)
    local[0] = above
    while frames > 0:
        frames -= 1
        c, start, stop = frame[frames, 0], frame[frames, 1], frame[frames, 2]
        i, j, first, last = cells[c]
        if j - i <= smallest:
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
            c, tree, tree, True, 0, order, coherence, leaf_size, start, stop, pool, extra, far, near
        )
        lanes[:] = 0.0
        _translate(order, rows, rows[c], far, n_far, lanes)
        for k in range(K):
            mine[k] = local[frames, k] + lanes[k].sum()
        if itself:
            near[2 * n_near], near[2 * n_near + 1] = i, j
            n_near += 1
        if n_near > 0:
            ranges = _more_rows(ranges, listed + n_near)
            for k in range(n_near):
                ranges[listed + k, 0], ranges[listed + k, 1] = near[2 * k], near[2 * k + 1]
            for k in range(i, j, group):
                work = _more_rows(work, made + 1)
                work[made, 0], work[made, 1], work[made, 2], work[made, 3] = (
                    k,
                    min(k + group, j),
                    listed,
                    listed + n_near,
                )
                made += 1
            listed += n_near
        if first == 0:
            _evaluate(c, tree, mine, T, lower, power, total)
            continue
        frame, local = _more_rows(frame, frames + last - first), _more_rows(local, frames + last - first)
        for child in range(last - 1, first - 1, -1):
            x, y, z = bound[child, 0] - bound[c, 0], bound[child, 1] - bound[c, 1], bound[child, 2] - bound[c, 2]
            shift_local(mine, x, y, z, T, power, local[frames])
            frame[frames, 0], frame[frames, 1], frame[frames, 2] = child, stop, end
            frames += 1
    return left[:n_left], left_sources[:n_sources], left_local[:n_left], work[:made], ranges[:listed]


def walk_and_list(tree, T, order, coherence, leaf_size, group, total):
    """Add the far field to the sums of all particles; return work, with groups of at most ``group`` targets, and ranges."""
    n, threads = tree.cells[0, 1], numba.get_num_threads()
    smallest = n // TASKS if threads > 1 and n >= THREADS_FROM else 0
    options = tree, T, order, coherence, leaf_size
    root, above = np.zeros(1, np.int64), np.zeros(len(T.below))
    left, sources, above, *lists = _descend(0, root, above, *options, smallest, group, total)
    parts = [lists]
    if smallest > 0:
        with ThreadPoolExecutor(threads) as pool:
            jobs = [
                pool.submit(_descend, c, sources[first:last], above[k], *options, 0, group, total)
                for k, (c, first, last) in enumerate(left)
            ]
            parts += [job.result()[3:] for job in jobs]
    before = np.cumsum([0, *(len(ranges) for _, ranges in parts)])
    work = [part + np.array([0, 0, b, b]) for (part, _), b in zip(parts, before[:-1], strict=True)]
    return np.concatenate(work), np.concatenate([ranges for _, ranges in parts])


@njit(cache=True, error_model="numpy")
def add_groups(work, sums, total):
    """Add the sums of groups, (4, w, group), to those of their particles, total (n, 4)."""
    for w in range(len(work)):
        for k in range(work[w, 0], work[w, 1]):
            for d in range(4):
                total[k, d] += sums[d, w, k - work[w, 0]]
