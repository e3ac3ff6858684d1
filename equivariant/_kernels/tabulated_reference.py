"""Messages with radial weights from a table, in plain NumPy: the readable twin; see ``coupling_reference`` for the legend.

    w_e,path,c = sum_k b_e,k T_(place(e) + k),path,c        (cubic B-spline; no edge's weights are stored in the fast twin)

Legend
    place    (E,) int64, first row of the table for an edge;  b (E, 4) the values of the basis
    table    (K, P, C) coefficients
"""

import numpy as np

from .coupling_reference import couple


def couple_tabulated(x, y, place, b, table, sender, receiver, start, layout, entries, values, out):
    """Overwrite ``out`` with the messages; ``layout`` is the table of ``paths.Paths``."""
    w = sum(b[:, k, None, None] * table[place + k] for k in range(4))
    return couple(x, y, np.ascontiguousarray(w), sender, receiver, start, layout, entries, values, out)
