"""Pairs of a few atoms in open space, each with each, in plain NumPy: the readable twin.

Legend
    position (n, 3);  starts (R + 1,) first rows of systems that do not see each other;  cutoff
    sender, receiver  (size,) with room for all pairs: overwritten with i != j, |x_j - x_i| < cutoff, by receiver i, then sender j
    start    (n + 1,) overwritten: the pairs of receiver i are start[i] ... start[i + 1] - 1
"""

import numpy as np

from .coupling_reference import STATUS_OK


def open_pairs(position, starts, cutoff, sender, receiver, start):
    """Overwrite ``sender`` and ``receiver`` with the pairs closer than the cutoff, and ``start``."""
    distance2 = ((position[:, None] - position[None]) ** 2).sum(axis=2)
    system = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    near = (distance2 < cutoff**2) & (system[:, None] == system[None]) & ~np.eye(len(position), dtype=bool)
    found = np.nonzero(near)
    receiver[: len(found[0])], sender[: len(found[0])] = found
    start[0] = 0
    np.cumsum(near.sum(axis=1), out=start[1:])
    return STATUS_OK
