"""Pairs of a few atoms in open space, numba on the CPU; `pairs_reference` is the readable twin."""

from numba import njit

from .blocks import OPTIONS
from .coupling_reference import STATUS_OK


@njit(**OPTIONS)
def open_pairs(position, starts, cutoff, sender, receiver, start):
    """Overwrite ``sender`` and ``receiver`` with the pairs closer than the cutoff, and ``start``."""
    count = 0
    start[0] = 0
    for k in range(len(starts) - 1):
        for i in range(starts[k], starts[k + 1]):
            x, y, z = position[i, 0], position[i, 1], position[i, 2]
            for j in range(starts[k], starts[k + 1]):
                dx, dy, dz = position[j, 0] - x, position[j, 1] - y, position[j, 2] - z
                if j != i and dx * dx + dy * dy + dz * dz < cutoff * cutoff:
                    receiver[count] = i
                    sender[count] = j
                    count += 1
            start[i + 1] = count
    return STATUS_OK
