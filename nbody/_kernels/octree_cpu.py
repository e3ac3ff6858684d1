"""Octree over particles in Morton order, numba on the CPU; `octree_reference` is the readable twin and has the legend.

Keys have 21 bits a dimension. A cell is split at the highest bit in which the keys of its particles differ, so no cell has one
child alone. Where all keys of an overfull cell agree, its particles get new keys in their own bounding cube; so the depth has
no limit, and only particles in one place stay together.
"""

import numpy as np
from numba import njit

from .octree_reference import BITS

_DIGIT = 11  # bits a pass of the radix sort takes


@njit(cache=True, error_model="numpy")
def _spread(v):
    """Return the 21 low bits of v, two zeros after each."""
    v = (v | (v << np.uint64(32))) & np.uint64(0x1F00000000FFFF)
    v = (v | (v << np.uint64(16))) & np.uint64(0x1F0000FF0000FF)
    v = (v | (v << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
    v = (v | (v << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
    return (v | (v << np.uint64(2))) & np.uint64(0x1249249249249249)


@njit(cache=True, error_model="numpy")
def _keys(position, order, start, stop, keys):
    """Overwrite the Morton keys of order[start:stop] in their bounding cube; return the side of the cube."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for k in range(start, stop):
        for d in range(3):
            x = position[order[k], d]
            low[d] = min(low[d], x)
            high[d] = max(high[d], x)
    side = max(high[0] - low[0], high[1] - low[1], high[2] - low[2])
    top = (1 << BITS) - 1
    for k in range(start, stop):
        key = np.uint64(0)
        if side > 0.0:
            i = order[k]
            for d in range(3):
                cell = min(int((position[i, d] - low[d]) / side * (1 << BITS)), top)
                key |= _spread(np.uint64(cell)) << np.uint64(2 - d)
        keys[k] = key
    return side


@njit(cache=True, error_model="numpy")
def _sort(keys, order, start, stop):
    """Sort keys[start:stop] and order[start:stop] by the keys; equal keys keep their order."""
    n = stop - start
    key, who = keys[start:stop].copy(), order[start:stop].copy()
    key2, who2 = np.empty_like(key), np.empty_like(who)
    count = np.empty((1 << _DIGIT) + 1, np.int64)
    mask = np.uint64((1 << _DIGIT) - 1)
    for first in range(0, 3 * BITS, _DIGIT):
        shift = np.uint64(first)
        count[:] = 0
        for k in range(n):
            count[((key[k] >> shift) & mask) + np.uint64(1)] += 1
        for k in range(1 << _DIGIT):
            count[k + 1] += count[k]
        for k in range(n):
            digit = (key[k] >> shift) & mask
            key2[count[digit]] = key[k]
            who2[count[digit]] = who[k]
            count[digit] += 1
        key, key2, who, who2 = key2, key, who2, who
    keys[start:stop] = key
    order[start:stop] = who


@njit(cache=True, error_model="numpy")
def octree(position, leaf_size, order, cells, count):
    n = len(position)
    keys = np.empty(n, np.uint64)
    for i in range(n):
        order[i] = i
    _keys(position, order, 0, n, keys)
    _sort(keys, order, 0, n)
    cells[0, 0], cells[0, 1] = 0, n
    made, c = 1, 0
    while c < made:
        start, stop = cells[c, 0], cells[c, 1]
        cells[c, 2] = cells[c, 3] = 0
        split = stop - start > leaf_size
        if split and keys[start] == keys[stop - 1]:
            split = _keys(position, order, start, stop, keys) > 0.0
            if split:
                _sort(keys, order, start, stop)
        if split:
            different = keys[start] ^ keys[stop - 1]
            shift = np.uint64(0)
            while different >> (shift + np.uint64(3)):
                shift += np.uint64(3)
            cells[c, 2] = made
            while start < stop:
                child = keys[start] >> shift
                low, high = start + 1, stop
                while low < high:  # the first particle with another octant
                    middle = (low + high) >> 1
                    if keys[middle] >> shift == child:
                        low = middle + 1
                    else:
                        high = middle
                cells[made, 0], cells[made, 1] = start, low
                made += 1
                start = low
            cells[c, 3] = made
        c += 1
    count[0] = made
    return 0
