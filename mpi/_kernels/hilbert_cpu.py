"""Places on a Peano-Hilbert curve, numba on the CPU; `hilbert_reference` has the method and the legend."""

from numba import njit

from .hilbert_reference import BITS, STATUS_OK


@njit(cache=True)
def hilbert_index(grid, out):
    """Overwrite ``out`` (n,) int64 with the places on the curve of points ``grid`` (n, 3) int64, 0 ... 2^21 - 1."""
    for k in range(len(grid)):
        x, y, z = grid[k, 0], grid[k, 1], grid[k, 2]
        Q = 1 << (BITS - 1)
        while Q > 1:
            P = Q - 1
            if x & Q:
                x ^= P
            if y & Q:
                x ^= P
            else:
                t = (x ^ y) & P
                x ^= t
                y ^= t
            if z & Q:
                x ^= P
            else:
                t = (x ^ z) & P
                x ^= t
                z ^= t
            Q >>= 1
        y ^= x
        z ^= y
        t = 0
        Q = 1 << (BITS - 1)
        while Q > 1:
            if z & Q:
                t ^= Q - 1
            Q >>= 1
        x ^= t
        y ^= t
        z ^= t
        index = 0
        for bit in range(BITS - 1, -1, -1):
            index = (index << 3) | (((x >> bit) & 1) << 2) | (((y >> bit) & 1) << 1) | ((z >> bit) & 1)
        out[k] = index
    return STATUS_OK
