"""The channelwise product and its derivatives, numba on the CPU; `coupling_reference` has the equations and the legend.

For every edge the harmonics are first contracted with the coupling tensors into small matrices M (one for each triple of
degrees), which then act on all channels at once, in the blocks of `vectors`. Every atom is summed by one thread in one order:
results do not depend on the number of threads.
"""

import numpy as np
from numba import njit, prange

from .blocks import OPTIONS, add_rows, clear, meet_rows, mix, sizes, weigh_rows
from .coupling_reference import STATUS_OK

_CHUNK = 32  # edges that one task of a parallel loop takes


@njit(parallel=True, **OPTIONS)
def couple(x, y, w, sender, receiver, start, table, entries, values, out):
    """Overwrite ``out`` with the messages."""
    n, dim, channels, paths = len(start) - 1, x.shape[1], x.shape[2], len(table)
    xs, ws, outs = x.reshape(-1, channels), w.reshape(-1, channels), out.reshape(-1, channels)
    size, _ = sizes(table)
    for i in prange(n):
        mixing = np.empty(size, x.dtype)
        clear(outs, table, n, i)
        for e in range(start[i], start[i + 1]):
            mix(y, e, entries, values, mixing)
            for p in range(paths):
                row = table[p, 3] * n + i * table[p, 4] + table[p, 6]
                add_rows(
                    table[p, 1], table[p, 2], outs, row, table[p, 5], ws, e * paths + p, xs, sender[e] * dim + table[p, 0], 1,
                    mixing, table[p, 7], 1, table[p, 1], channels,
                )  # fmt: skip
    return STATUS_OK


@njit(parallel=True, **OPTIONS)
def couple_x(g, y, w, sender, receiver, order, start, table, entries, values, out):
    """Overwrite ``out`` (n, D, C); ``order`` sorts the edges by sender, ``start`` counts them."""
    n, dim, channels, paths = out.shape[0], out.shape[1], out.shape[2], len(table)
    ws, gs, outs = w.reshape(-1, channels), g.reshape(-1, channels), out.reshape(-1, channels)
    size, rows = sizes(table)
    receivers = len(gs) // rows
    for i in prange(n):
        mixing = np.empty(size, g.dtype)
        outs[i * dim : (i + 1) * dim, :] = 0.0
        for q in range(start[i], start[i + 1]):
            e = order[q]
            mix(y, e, entries, values, mixing)
            for p in range(paths):
                row = table[p, 3] * receivers + receiver[e] * table[p, 4] + table[p, 6]
                add_rows(
                    table[p, 2], table[p, 1], outs, i * dim + table[p, 0], 1, ws, e * paths + p, gs, row, table[p, 5],
                    mixing, table[p, 7], table[p, 1], 1, channels,
                )  # fmt: skip
    return STATUS_OK


@njit(parallel=True, **OPTIONS)
def couple_w(x, y, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, P, C)."""
    edges, dim, channels, paths = len(sender), x.shape[1], x.shape[2], len(table)
    xs, gs, outs = x.reshape(-1, channels), g.reshape(-1, channels), out.reshape(-1, channels)
    size, rows = sizes(table)
    receivers = len(gs) // rows
    for chunk in prange((edges + _CHUNK - 1) // _CHUNK):
        mixing = np.empty(size, x.dtype)
        for e in range(chunk * _CHUNK, min(edges, (chunk + 1) * _CHUNK)):
            mix(y, e, entries, values, mixing)
            for p in range(paths):
                row = table[p, 3] * receivers + receiver[e] * table[p, 4] + table[p, 6]
                weigh_rows(
                    table[p, 1], table[p, 2], outs, e * paths + p, gs, row, table[p, 5], xs, sender[e] * dim + table[p, 0],
                    mixing, table[p, 7], 1, table[p, 1], channels,
                )  # fmt: skip
    return STATUS_OK


@njit(parallel=True, **OPTIONS)
def couple_y(x, w, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, B)."""
    edges, dim, channels, paths = len(sender), x.shape[1], x.shape[2], len(table)
    xs, ws, gs = x.reshape(-1, channels), w.reshape(-1, channels), g.reshape(-1, channels)
    size, rows = sizes(table)
    receivers = len(gs) // rows
    for chunk in prange((edges + _CHUNK - 1) // _CHUNK):
        met, one = np.empty(size, x.dtype), np.empty(49, x.dtype)
        for e in range(chunk * _CHUNK, min(edges, (chunk + 1) * _CHUNK)):
            met[:] = 0.0
            for p in range(paths):
                r = sender[e] * dim + table[p, 0]
                row = table[p, 3] * receivers + receiver[e] * table[p, 4] + table[p, 6]
                meet_rows(
                    table[p, 1], table[p, 2], one, 0, xs, r, ws, e * paths + p, gs, row, table[p, 5], channels,
                )  # fmt: skip
                for k in range(table[p, 1] * table[p, 2]):
                    met[table[p, 7] + k] += one[k]
            out[e, :] = 0.0
            for q in range(len(values)):
                out[e, entries[q, 1]] += values[q] * met[entries[q, 0]]
    return STATUS_OK
