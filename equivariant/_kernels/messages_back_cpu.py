"""Gradients through the messages of a layer, numba on the CPU; `messages_back_reference` has the equations and the legend.

An atom sums over its own edges, so that nothing is scattered and no message is stored: results do not depend on the number of
threads. Derivatives of an edge are taken along it, by the splines' slopes, and in two directions across.
"""

import numpy as np
from numba import njit, prange

from .blocks import OPTIONS, sizes
from .coupling_reference import STATUS_OK
from .edge_vectors import GROUP, beside, mix_beside
from .layer_cpu import aligned, radial_slope
from .matrices import multiply, spread
from .pull_vectors import pull_run
from .vectors import LANES

_ROOT = 1.0 / np.sqrt(3.0)  # of the harmonics of degree one


@njit(parallel=True, **OPTIONS)
def messages_back(
    x, pulled, y, length, shortest, spacing, table, sender, start, layout, entries, values, slopes, slope_values, kinds, update,
    block, messages, out, gradient,
):  # fmt: skip
    """Overwrite ``messages``; add to ``out`` and ``gradient``."""
    m, n = len(pulled), len(out)
    for task in prange((m + block - 1) // block):
        begin = task * block
        _apart(pulled, kinds, update, begin, min(m, begin + block), messages)
    for task in prange((n + block - 1) // block):
        begin = task * block
        _along(
            x, y, length, shortest, spacing, table, sender, start, layout, entries, values, slopes, slope_values, begin,
            min(n, begin + block), messages, out, gradient,
        )  # fmt: skip
    return STATUS_OK


@njit(**OPTIONS)
def _apart(pulled, kinds, update, begin, end, messages):
    """Overwrite rows begin ... end - 1 of ``messages`` with the gradient by what each path brought."""
    rows_in, rows, channels, count = pulled.shape[1], messages.shape[1], messages.shape[2], end - begin
    columns, most = rows_in - (kinds[-1, 3] + kinds[-1, 1]) + 1, np.max(kinds[:, 1])
    at, to = np.empty(most * count, np.int64), np.empty(most * count, np.int64)
    flat, target = pulled.reshape(-1), messages.reshape(-1)
    v = 0
    for k in range(len(kinds)):
        first, height, width, row = kinds[k, 0], kinds[k, 1], kinds[k, 2], kinds[k, 3]
        fan_in, above = columns * channels if k == 0 else channels, 0 if k == 0 else columns - 1 + row
        spread(at, count, height, rows_in * channels, channels)
        spread(to, count, height, rows * channels, channels)
        for q in range(width):
            multiply(
                target, (begin * rows + first + q * height) * channels, to, flat, (begin * rows_in + above) * channels, at,
                count * height, fan_in, update, v, channels, False,
            )  # fmt: skip
            v += fan_in * channels


@njit(**OPTIONS)
def _along(
    x, y, length, shortest, spacing, table, sender, start, layout, entries, values, slopes, slope_values, begin, end, messages,
    out, gradient,
):  # fmt: skip
    """Add what comes back along the edges of atoms begin ... end - 1."""
    dim, channels, paths, width, rows = x.shape[1], x.shape[2], len(layout), table.shape[1], messages.shape[1]
    xs, outs, gs = x.reshape(-1, channels), out.reshape(-1, channels), messages.reshape(-1, channels)
    size = sizes(layout)[0] * GROUP
    mixing, one, other = aligned(size, x.dtype), aligned(size, x.dtype), aligned(size, x.dtype)
    weights, steep = aligned(GROUP * width, x.dtype), aligned(GROUP * width, x.dtype)
    ws, ss = weights.reshape(-1, channels), steep.reshape(-1, channels)
    side = np.empty((y.shape[1], GROUP), x.dtype)
    side_1, side_2 = np.empty_like(side), np.empty_like(side)
    across = np.empty((6, GROUP), x.dtype)
    sums = aligned(3 * GROUP * LANES, x.dtype)
    for j in range(begin, end):
        first = start[j]
        while first < start[j + 1]:
            some = min(GROUP, start[j + 1] - first)
            beside(y, first, some, side)
            _turn(side, some, slopes, slope_values, across, side_1, side_2)
            mix_beside(side, entries, values, mixing)
            mix_beside(side_1, entries, values, one)
            mix_beside(side_2, entries, values, other)
            for e in range(some):
                here = slice(e * width, (e + 1) * width)
                radial_slope(length[first + e], shortest, spacing, table, weights[here], steep[here])
            sums[:] = 0.0
            for p in range(paths):
                pull_run(
                    layout[p, 1], layout[p, 2], outs, j * dim + layout[p, 0], xs, j * dim + layout[p, 0], gs,
                    layout[p, 3] + layout[p, 6] * layout[p, 2], rows, ws, ss, p, paths, sender, first, some, mixing, one, other,
                    layout[p, 7], sums, channels,
                )  # fmt: skip
            for e in range(some):
                along = _total(sums, e)
                left = _total(sums, GROUP + e) / length[first + e]
                right = _total(sums, 2 * GROUP + e) / length[first + e]
                for axis in range(3):
                    gradient[first + e, axis] += (
                        along * _ROOT * side[1 + axis, e] + left * across[axis, e] + right * across[3 + axis, e]
                    )
            first += some


@njit(**OPTIONS)
def _total(sums, row):
    total = 0.0
    for k in range(row * LANES, (row + 1) * LANES):
        total += sums[k]
    return total


@njit(**OPTIONS)
def _turn(side, count, slopes, values, across, side_1, side_2):
    """Overwrite ``across`` with two directions perpendicular to each edge, the others with the harmonics' slopes along them."""
    across[:] = 0.0
    for e in range(count):
        x, y, z = side[1, e] * _ROOT, side[2, e] * _ROOT, side[3, e] * _ROOT
        if abs(z) < 0.7:  # the cross product with the third axis, or the first
            scale = 1.0 / np.sqrt(x * x + y * y)
            a, b, c = y * scale, -x * scale, 0.0
        else:
            scale = 1.0 / np.sqrt(y * y + z * z)
            a, b, c = 0.0, z * scale, -y * scale
        across[0, e], across[1, e], across[2, e] = a, b, c
        across[3, e], across[4, e], across[5, e] = y * c - z * b, z * a - x * c, x * b - y * a
    side_1[:] = 0.0
    side_2[:] = 0.0
    for q in range(len(values)):
        b, axis, c, value = slopes[q, 0], slopes[q, 1], slopes[q, 2], values[q]
        for e in range(GROUP):
            side_1[b, e] += value * across[axis, e] * side[c, e]
            side_2[b, e] += value * across[3 + axis, e] * side[c, e]
