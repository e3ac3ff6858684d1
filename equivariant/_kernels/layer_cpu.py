"""One layer of a network, numba on the CPU; `layer_reference` has the equations and the legend.

A task takes a block of atoms through the whole layer, so that messages and what is made of them stay in the cache of a
core, and threads meet once a layer. Every atom is summed by one thread in one order: results depend neither on the number of
threads nor on the blocks.
"""

import numpy as np
from numba import njit, prange

from .blocks import OPTIONS, sizes
from .coupling_reference import STATUS_OK
from .edge_vectors import GROUP, add_run, mix_group
from .gates import gate
from .matrices import multiply, spread

_LINE = 64  # bytes of a line of the cache


@njit(parallel=True, **OPTIONS)
def layer(
    x, y, length, shortest, spacing, table, sender, start, through, through_entries, through_values, through_kinds, message,
    turned, hidden, speed, last, last_entries, last_values, last_kinds, update, residual, species, block, kept, out,
):  # fmt: skip
    """Overwrite ``out`` with the features after the layer, and ``kept`` with what the backward pass needs, if it has rows."""
    n, channels, turns = len(start) - 1, x.shape[2], len(last) > 0
    most = max(np.max(through_kinds[:, 1]), np.max(last_kinds[:, 1]))
    middle_rows, columns = through_kinds[-1, 3] + through_kinds[-1, 1], kept.shape[1]
    for task in prange((n + block - 1) // block):
        begin = task * block
        count = min(n, begin + block) - begin
        at, to = np.empty(most * count, np.int64), np.empty(most * count, np.int64)
        messages = aligned(_rows(through) * count * channels, x.dtype)
        _gather(
            x, y, length, shortest, spacing, table, sender, start, through, through_entries, through_values, begin, count,
            messages,
        )  # fmt: skip
        if turns:
            middle = aligned(count * middle_rows * channels, x.dtype)
            _mix(messages, through_kinds, message, count, channels, middle_rows, at, to, middle)
            messages = aligned(_rows(last) * count * channels, x.dtype)
            _turn(
                middle, middle_rows, turned, hidden, speed, last, last_entries, last_values, begin, count, channels, at, to,
                messages,
            )  # fmt: skip
        if len(kept):
            scalars = kept[begin : begin + count]
        else:
            scalars = aligned(count * columns * channels, x.dtype).reshape(count, columns, channels)
        _update(x, messages, last_kinds, update, residual, species, begin, count, at, to, scalars, out)
    return STATUS_OK


@njit(**OPTIONS)
def aligned(size, dtype):
    """Return an uninitialised array that begins with a line of the cache: a vector across two lines takes two loads."""
    whole = np.empty(size + _LINE, dtype)
    skip = (-whole.ctypes.data % _LINE) // whole.itemsize
    return whole[skip : skip + size]


@njit(**OPTIONS)
def _rows(layout):
    return sizes(layout)[1]


@njit(**OPTIONS)
def _gather(
    x, y, length, shortest, spacing, table, sender, start, layout, entries, values, begin, count, out
):  # fmt: skip
    """Overwrite ``out`` with the messages into atoms begin ... begin + count - 1."""
    dim, channels, paths = x.shape[1], x.shape[2], len(layout)
    xs, outs, width = x.reshape(-1, channels), out.reshape(-1, channels), table.shape[1]
    mixing = aligned(sizes(layout)[0] * GROUP, x.dtype)
    weights = aligned(GROUP * width, x.dtype)
    rows = weights.reshape(-1, channels)
    for i in range(count):
        first, end, fresh = start[begin + i], start[begin + i + 1], True
        while fresh or first < end:
            some = min(GROUP, end - first)
            mix_group(y, first, some, entries, values, mixing)
            for e in range(some):
                radial(length[first + e], shortest, spacing, table, weights[e * width : (e + 1) * width])
            for p in range(paths):
                row = layout[p, 3] * count + i * layout[p, 4] + layout[p, 6]
                add_run(
                    layout[p, 1], layout[p, 2], outs, row, layout[p, 5], rows, p, paths, xs, layout[p, 0], dim, sender, first,
                    some, mixing, layout[p, 7], 0, fresh, channels,
                )  # fmt: skip
            first, fresh = first + some, False


@njit(**OPTIONS)
def radial(length, shortest, spacing, table, out):
    """Overwrite ``out`` with the spline at a length."""
    scaled = (length - shortest) / spacing
    place = min(int(scaled), len(table) - 4)
    u = scaled - place
    v = 1.0 - u
    real = out.dtype.type
    b0, b3 = real(v * v * v / 6.0), real(u * u * u / 6.0)
    b1, b2 = real((3.0 * u * u * (u - 2.0) + 4.0) / 6.0), real((3.0 * v * v * (v - 2.0) + 4.0) / 6.0)
    c0, c1, c2, c3 = table[place], table[place + 1], table[place + 2], table[place + 3]
    for k in range(len(out)):
        out[k] = b0 * c0[k] + b1 * c1[k] + b2 * c2[k] + b3 * c3[k]


@njit(**OPTIONS)
def radial_slope(length, shortest, spacing, table, out, slope):
    """Overwrite ``out`` with the spline at a length and ``slope`` with its exact derivative, per Angstrom."""
    scaled = (length - shortest) / spacing
    place = min(int(scaled), len(table) - 4)
    u = scaled - place
    v = 1.0 - u
    real = out.dtype.type
    b0, b3 = real(v * v * v / 6.0), real(u * u * u / 6.0)
    b1, b2 = real((3.0 * u * u * (u - 2.0) + 4.0) / 6.0), real((3.0 * v * v * (v - 2.0) + 4.0) / 6.0)
    s0, s3 = real(-0.5 * v * v / spacing), real(0.5 * u * u / spacing)
    s1, s2 = real(0.5 * u * (3.0 * u - 4.0) / spacing), real(-0.5 * v * (3.0 * v - 4.0) / spacing)
    c0, c1, c2, c3 = table[place], table[place + 1], table[place + 2], table[place + 3]
    for k in range(len(out)):
        out[k] = b0 * c0[k] + b1 * c1[k] + b2 * c2[k] + b3 * c3[k]
        slope[k] = s0 * c0[k] + s1 * c1[k] + s2 * c2[k] + s3 * c3[k]


@njit(**OPTIONS)
def _mix(messages, kinds, weights, count, channels, dim, at, to, out):
    """Overwrite ``out`` with the linear combinations of all paths to each kind."""
    v = 0
    for k in range(len(kinds)):
        first, height, width, row = kinds[k, 0], kinds[k, 1], kinds[k, 2], kinds[k, 3]
        fan_in = width * channels
        spread(at, count, height, height * fan_in, fan_in)
        spread(to, count, height, dim * channels, channels)
        multiply(
            out, row * channels, to, messages, first * count * channels, at, count * height, fan_in, weights, v, channels,
            False,
        )  # fmt: skip
        v += fan_in * channels


@njit(**OPTIONS)
def _turn(
    middle, dim, turned, hidden, speed, layout, entries, values, begin, count, channels, at, to, out
):  # fmt: skip
    """Overwrite ``out`` with the products of what came together and the harmonics of the atoms' own velocities."""
    paths, fan_in = len(layout), hidden.shape[1]
    own = aligned(count * paths * channels, out.dtype)
    spread(at, count, 1, fan_in, 0)
    spread(to, count, 1, paths * channels, 0)
    for p in range(paths):
        multiply(
            own, p * channels, to, hidden.reshape(-1), begin * fan_in, at, count, fan_in, speed, p * fan_in * channels, channels,
            False,
        )  # fmt: skip
    outs, xs, ws = out.reshape(-1, channels), middle.reshape(-1, channels), own.reshape(-1, channels)
    mixing = aligned(sizes(layout)[0] * GROUP, out.dtype)
    itself = np.arange(count)
    for i in range(count):
        if i % GROUP == 0:
            mix_group(turned, begin + i, min(GROUP, count - i), entries, values, mixing)
        for p in range(paths):
            row = layout[p, 3] * count + i * layout[p, 4] + layout[p, 6]
            add_run(
                layout[p, 1], layout[p, 2], outs, row, layout[p, 5], ws, i * paths + p, 0, xs, layout[p, 0], dim, itself, i, 1,
                mixing, layout[p, 7], i % GROUP, True, channels,
            )  # fmt: skip


@njit(**OPTIONS)
def _update(x, updates, kinds, weights, residual, species, begin, count, at, to, scalars, out):
    """Overwrite the rows of ``out`` with gate(linear combinations + residual); ``scalars`` as ``gate`` leaves them."""
    channels, dim, dim_in, columns = out.shape[2], out.shape[1], x.shape[1], scalars.shape[1]
    flat, old, heads = out.reshape(-1), x.reshape(-1), scalars.reshape(-1)
    v = 0
    for k in range(len(kinds)):
        first, height, width, row = kinds[k, 0], kinds[k, 1], kinds[k, 2], kinds[k, 3]
        own, place = kinds[k, 4], kinds[k, 5]
        fan_in = width * channels
        for j in range(columns if k == 0 else 1):
            target = heads if k == 0 else flat
            o = j * channels if k == 0 else (begin * dim + row) * channels
            spread(at, count, height, height * fan_in, fan_in)
            spread(to, count, height, (columns if k == 0 else dim) * channels, channels)
            multiply(
                target, o, to, updates, first * count * channels, at, count * height, fan_in, weights, v, channels, False,
            )  # fmt: skip
            v += fan_in * channels
            if own >= 0:
                spread(at, count, height, dim_in * channels, channels)
                i = 0
                while i < count:
                    s, end = species[begin + i], i + 1
                    while end < count and species[begin + end] == s:
                        end += 1
                    matrix = place + (s * (columns if k == 0 else 1) + j) * channels * channels
                    multiply(
                        target, o, to[i * height :], old, (begin * dim_in + own) * channels, at[i * height :],
                        (end - i) * height, channels, residual, matrix, channels, True,
                    )  # fmt: skip
                    i = end
    gate(scalars, kinds, out[begin : begin + count])
