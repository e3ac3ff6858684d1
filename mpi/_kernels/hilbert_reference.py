"""Places on a Peano-Hilbert curve, in plain NumPy: the readable twin.

Skilling's transform turns three coordinates of b bits into the "transpose" of the Hilbert index: its bits, dealt out to three
words. Neighbours on the curve are neighbours in space.

Legend
    X      (3, n), the coordinates, turned in place into the transpose
    Q      the bit that is looked at, P = Q - 1 the bits below it

Source: Skilling 2004, "Programming the Hilbert curve", doi:10.1063/1.1751381
"""

import numpy as np

BITS = 21  # three times 21 bits fit into an index of 63
STATUS_OK = 0


def hilbert_index(grid, out):
    """Overwrite ``out`` (n,) int64 with the places on the curve of points ``grid`` (n, 3) int64, 0 ... 2^21 - 1."""
    X = grid.T.copy()
    Q = 1 << (BITS - 1)
    while Q > 1:  # inverse undo of the excess rotations
        P = Q - 1
        for i in range(3):
            set_ = (X[i] & Q) != 0
            swap = np.where(set_, 0, (X[0] ^ X[i]) & P)
            X[0] ^= np.where(set_, P, swap)
            if i:
                X[i] ^= swap
        Q >>= 1
    X[1] ^= X[0]  # Gray code
    X[2] ^= X[1]
    t = np.zeros_like(X[0])
    Q = 1 << (BITS - 1)
    while Q > 1:
        t ^= np.where((X[2] & Q) != 0, Q - 1, 0)
        Q >>= 1
    X ^= t
    out[:] = 0
    for bit in range(BITS - 1, -1, -1):
        for i in range(3):
            out[:] = (out << 1) | ((X[i] >> bit) & 1)
    return STATUS_OK
