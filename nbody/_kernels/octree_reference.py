"""Octree over particles in Morton order, plain NumPy: the readable twin of `octree_cpu`.

Each particle's cell among 2^21 along each axis of the bounding cube gives its key: bits of x, y, z in turns. Sorted by their
keys, the particles of every cell of the octree are neighbours. A cell of more than ``leaf_size`` particles is split at the
highest bit in which keys differ; where none differ, keys are made anew in the bounding cube of these particles.

Legend
    position     (n, 3)
    order        (n) overwritten: particle numbers, in the order of the tree
    cells        (2 n + 1, 4) overwritten: first and last + 1 of its particles in that order, first and last + 1 of its
                 children (both 0 in leaves); parents stand before their children, siblings together
    count        (1) overwritten: how many cells there are

Returns a status, always 0.
"""

from itertools import pairwise

import numpy as np

BITS = 21


def octree(position, leaf_size, order, cells, count):
    """Overwrite the order of the particles and the cells of the tree."""
    n = len(position)
    order[:] = np.arange(n)
    keys = np.zeros(n, np.uint64)
    _sort(position, order, keys, slice(0, n))
    found = [[0, n, 0, 0]]
    for cell in found:  # grows while it is gone through
        here = slice(cell[0], cell[1])
        if cell[1] - cell[0] <= leaf_size:
            continue
        if keys[here][0] == keys[here][-1]:
            _sort(position, order, keys, here)
            if keys[here][0] == keys[here][-1]:
                continue
        level = (int(keys[here][0] ^ keys[here][-1]).bit_length() - 1) // 3
        octant = keys[here] >> np.uint64(3 * level)
        edges = (cell[0] + np.flatnonzero(np.r_[True, octant[1:] != octant[:-1], True])).tolist()
        cell[2:] = len(found), len(found) + len(edges) - 1
        found += [[start, stop, 0, 0] for start, stop in pairwise(edges)]
    cells[: len(found)] = found
    count[0] = len(found)
    return 0


def _sort(position, order, keys, here):
    keys[here] = _keys(position[order[here]])
    sorted_by = np.argsort(keys[here], kind="stable")
    order[here], keys[here] = order[here][sorted_by], keys[here][sorted_by]


def _keys(x):
    low = x.min(axis=0)
    side = (x.max(axis=0) - low).max()
    if side == 0.0:
        return np.zeros(len(x), np.uint64)
    cell = np.minimum(((x - low) / side * 2**BITS).astype(np.uint64), np.uint64(2**BITS - 1))
    return sum(
        ((cell[:, d] >> np.uint64(b)) & np.uint64(1)) << np.uint64(3 * b + 2 - d) for b in range(BITS) for d in range(3)
    )
