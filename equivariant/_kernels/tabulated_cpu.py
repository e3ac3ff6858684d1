"""Messages with radial weights from a table, numba on the CPU; `tabulated_reference` is the readable twin."""

import numpy as np
from numba import njit, prange

from .blocks import OPTIONS, add_tabulated_rows, clear, mix, sizes
from .coupling_reference import STATUS_OK


@njit(parallel=True, **OPTIONS)
def couple_tabulated(x, y, place, b, table, sender, receiver, start, layout, entries, values, out):
    """Overwrite ``out`` with the messages; ``layout`` is the table of ``paths.Paths``."""
    n, dim, channels, paths = len(start) - 1, x.shape[1], x.shape[2], len(layout)
    xs, ts, outs = x.reshape(-1, channels), table.reshape(-1, channels), out.reshape(-1, channels)
    size, _ = sizes(layout)
    for i in prange(n):
        mixing = np.empty(size, x.dtype)
        clear(outs, layout, n, i)
        for e in range(start[i], start[i + 1]):
            mix(y, e, entries, values, mixing)
            b0, b1, b2, b3 = b[e, 0], b[e, 1], b[e, 2], b[e, 3]
            for p in range(paths):
                row = layout[p, 3] * n + i * layout[p, 4] + layout[p, 6]
                add_tabulated_rows(
                    layout[p, 1], layout[p, 2], outs, row, layout[p, 5], ts, place[e] * paths + p,
                    xs, sender[e] * dim + layout[p, 0], 1, mixing, layout[p, 7], 1, layout[p, 1], channels,
                    paths, b0, b1, b2, b3,
                )  # fmt: skip
    return STATUS_OK
