"""Gradients through the end of a layer, numba on the CPU; `update_back_reference` has the equations and the legend."""

import numpy as np
from numba import njit, prange

from .blocks import OPTIONS
from .coupling_reference import STATUS_OK
from .gates import ungate
from .matrices import multiply, spread


@njit(parallel=True, **OPTIONS)
def update_back(g, new, kept, kinds, residual, species, block, pulled, out):
    """Overwrite ``pulled`` and ``out``."""
    n = len(g)
    for task in prange((n + block - 1) // block):
        begin = task * block
        end = min(n, begin + block)
        ungate(g[begin:end], new[begin:end], kept[begin:end], kinds, pulled[begin:end])
        _residual(pulled, kept.shape[1], kinds, residual, species, begin, end, out)
    return STATUS_OK


@njit(**OPTIONS)
def _residual(pulled, columns, kinds, matrices, species, begin, end, out):
    """Overwrite rows begin ... end - 1 of ``out`` with what comes back along the residual."""
    rows, dim, channels, count = pulled.shape[1], out.shape[1], out.shape[2], end - begin
    most = np.max(kinds[:, 1])
    at, to = np.empty(most * count, np.int64), np.empty(most * count, np.int64)
    flat, target = pulled.reshape(-1), out.reshape(-1)
    out[begin:end] = 0.0
    for k in range(len(kinds)):
        height, row, own, place = kinds[k, 1], kinds[k, 3], kinds[k, 4], kinds[k, 5]
        if own < 0:
            continue
        fan_in, first = columns * channels if k == 0 else channels, 0 if k == 0 else columns - 1 + row
        spread(at, count, height, rows * channels, channels)
        spread(to, count, height, dim * channels, channels)
        i = 0
        while i < count:
            s, stop = species[begin + i], i + 1
            while stop < count and species[begin + stop] == s:
                stop += 1
            multiply(
                target, (begin * dim + own) * channels, to[i * height :], flat, (begin * rows + first) * channels,
                at[i * height :], (stop - i) * height, fan_in, matrices, place + s * fan_in * channels, channels, False,
            )  # fmt: skip
            i = stop
