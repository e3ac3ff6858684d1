"""The channelwise product of features with harmonics and its partial derivatives, in plain NumPy: the readable twin.

All four kernels are derivatives of one form that is linear in each of its arguments,

    F = sum_e sum_path sum_kac w_e,path,c M_e,ka x_sender(e),a,c g_receiver(e),k,path,c,
    M_e,ka = sum_b sqrt(2 l_3 + 1) C_abk y_e,b

    couple   m = dF/dg    messages, summed at the receiver
    couple_x dF/dx        features' gradient, summed at the sender
    couple_w dF/dw        weights' gradient, an edge each
    couple_y dF/dy        harmonics' gradient, an edge each

so that the derivative of any of them is again one of them, with an argument replaced: gradients of every order are free.

Legend (``paths.Paths`` says what the tables mean)
    x         (n, D, C) features          y  (E, B) harmonics          w  (E, P, C) weights of the paths
    g, out    flat messages of rows * n * C numbers, block by block
    sender, receiver  (E,) int64
"""

import numpy as np

STATUS_OK = 0


def mixing_of(path, y, entries, values):
    """Return the matrices M of a path, (E, 2 l_3 + 1, 2 l_1 + 1)."""
    size_out, size_in, offset = path[2], path[1], path[7]
    mixing = np.zeros((len(y), size_out * size_in), dtype=y.dtype)
    for (place, harmonic), value in zip(entries, values, strict=True):
        if offset <= place < offset + size_out * size_in:
            mixing[:, place - offset] += value * y[:, harmonic]
    return mixing.reshape(len(y), size_out, size_in)


def _block(flat, path, n, channels):
    """Return the (n, 2 l_3 + 1, C) view of the messages of one path."""
    _, _, size_out, first, rows, width, place, _ = path
    block = flat[first * n * channels : (first + rows) * n * channels]
    return block.reshape(n, size_out, width, channels)[:, :, place]


def couple(x, y, w, sender, receiver, start, table, entries, values, out):
    """Overwrite ``out`` with the messages."""
    n, channels = len(start) - 1, x.shape[2]
    out[...] = 0.0
    for p, path in enumerate(table):
        sent = x[sender][:, path[0] : path[0] + path[1]]
        moved = np.einsum("eka,eac,ec->ekc", mixing_of(path, y, entries, values), sent, w[:, p])
        np.add.at(_block(out, path, n, channels), receiver, moved)
    return STATUS_OK


def couple_x(g, y, w, sender, receiver, order, start, table, entries, values, out):
    """Overwrite ``out`` (n, D, C); ``order`` sorts the edges by sender, ``start`` counts them."""
    channels = out.shape[2]
    out[...] = 0.0
    for p, path in enumerate(table):
        pulled = _block(g, path, len(g) // (channels * _rows(table)), channels)[receiver]
        moved = np.einsum("eka,ekc,ec->eac", mixing_of(path, y, entries, values), pulled, w[:, p])
        np.add.at(out[:, path[0] : path[0] + path[1]], sender, moved)
    return STATUS_OK


def couple_w(x, y, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, P, C)."""
    channels = x.shape[2]
    for p, path in enumerate(table):
        sent = x[sender][:, path[0] : path[0] + path[1]]
        pulled = _block(g, path, len(g) // (channels * _rows(table)), channels)[receiver]
        out[:, p] = np.einsum("eka,eac,ekc->ec", mixing_of(path, y, entries, values), sent, pulled)
    return STATUS_OK


def couple_y(x, w, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, B)."""
    channels = x.shape[2]
    out[...] = 0.0
    for p, path in enumerate(table):
        size_in, size_out, offset = path[1], path[2], path[7]
        sent = x[sender][:, path[0] : path[0] + path[1]]
        pulled = _block(g, path, len(g) // (channels * _rows(table)), channels)[receiver]
        met = np.einsum("eac,ec,ekc->eka", sent, w[:, p], pulled).reshape(len(w), size_in * size_out)
        for (place, harmonic), value in zip(entries, values, strict=True):
            if offset <= place < offset + size_out * size_in:
                out[:, harmonic] += value * met[:, place - offset]
    return STATUS_OK


def _rows(table):
    return int((table[:, 3] + table[:, 4]).max())
