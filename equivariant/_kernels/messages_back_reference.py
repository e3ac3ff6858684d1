"""Gradients through the messages of a layer in plain NumPy: the readable twin; `layer_reference` says what the layer does.

Graphs hold every pair in both directions: what atom j sent along (i <- j) comes back to it along its own edge e = (j <- i), whose
vector v is the opposite one, M(-v) = sum_b (-1)^l(b) ... y_b(v). So nothing is scattered: each atom sums over its own edges.

    mu_i,path   = V_k,path^T pulled_i,k                              by the messages, k the kind to which the path leads
    s_e,path    = M_e^T mu_sender(e),path
    out_i      += sum over edges e into i of sum_path w_path(r_e) s_e,path
    dE/dr_e     = sum_path w'_path(r_e) x_i s_e,path                 along v_e; w' is the exact derivative of the spline
    dE/dy_e,b   = sum_path w_path(r_e) dM_e,ka/dy_b x_i,a mu_sender(e),path,k
    gradient_e += n dE/dr + (1 - n n^T) sum_b dE/dy_b grad Y_b / r   n = v/r

Legend
    x          (n, D, C) features before the layer, of the atoms
    pulled     (m, gates + D', C) of atoms and ghosts, as `update_back` leaves it
    y, length, shortest, spacing, table, sender, start  as for `layer`
    layout, entries  ``table`` and ``entries`` of ``paths.Paths``;  values  its values times (-1)^l of their harmonics
    slopes     (Q, 3) int64, slope_values (Q,): d Y_b/d x_i = sum value Y_c for rows (b, i, c), on the unit sphere
    kinds      (kinds, >= 4) first row of the block, components, paths, first row among the features
    update     V^T, flat, for each kind and path one (C, C) matrix, for even scalars (1 + gates) C rows
    block      atoms of a task, without influence on the results
    messages   (m, rows, C) mu, overwritten;  out (n, D, C) added to
    gradient   (E, 3) float64, added to: by v_e, of what the reversed edges brought
"""

import numpy as np

from .coupling_reference import STATUS_OK, mixing_of
from .layer_reference import radial


def messages_back(
    x, pulled, y, length, shortest, spacing, table, sender, start, layout, entries, values, slopes, slope_values, kinds, update,
    block, messages, out, gradient,
):  # fmt: skip
    """Overwrite ``messages``; add to ``out`` and ``gradient``."""
    n, channels = len(out), out.shape[2]
    _apart(pulled, kinds, update, channels, messages)
    receiver = np.repeat(np.arange(n), np.diff(start))
    w, slope = (v.reshape(len(length), len(layout), channels) for v in radial(length, shortest, spacing, table))
    along, turned = np.zeros(len(length)), np.zeros(y.shape)
    for p, path in enumerate(layout):
        first, size_in, size_out, offset = path[0], path[1], path[2], path[7]
        row = path[3] + path[6] * size_out
        here, there = x[receiver, first : first + size_in], messages[sender, row : row + size_out]
        s = np.einsum("eka,ekc->eac", mixing_of(path, y, entries, values), there)
        np.add.at(out[:, first : first + size_in], receiver, w[:, p, None] * s)
        along += np.einsum("eac,eac,ec->e", here, s, slope[:, p])
        met = np.einsum("eac,ec,ekc->eka", here, w[:, p], there).reshape(len(length), -1)
        for (place, harmonic), value in zip(entries, values, strict=True):
            if offset <= place < offset + size_in * size_out:
                turned[:, harmonic] += value * met[:, place - offset]
    unit = y[:, 1:4] / np.sqrt(3.0)
    sideways = np.zeros((len(length), 3))
    for (b, axis, c), value in zip(slopes, slope_values, strict=True):
        sideways[:, axis] += turned[:, b] * value * y[:, c]
    sideways -= unit * (unit * sideways).sum(axis=1, keepdims=True)
    gradient += unit * along[:, None] + sideways / length[:, None]
    return STATUS_OK


def _apart(pulled, kinds, update, channels, messages):
    """Overwrite ``messages`` with the gradient by what each path brought."""
    columns, v = pulled.shape[1] - (kinds[-1, 3] + kinds[-1, 1]) + 1, 0
    for k, (first, height, width, row) in enumerate(kinds[:, :4]):
        fan_in, begin = (columns * channels, 0) if k == 0 else (channels, columns - 1 + row)
        wide = pulled.reshape(len(pulled), -1)[:, begin * channels : begin * channels + height * fan_in]
        for q in range(width):
            matrix = update[v : v + fan_in * channels].reshape(fan_in, channels)
            messages[:, first + q * height : first + (q + 1) * height] = wide.reshape(-1, height, fan_in) @ matrix
            v += matrix.size
