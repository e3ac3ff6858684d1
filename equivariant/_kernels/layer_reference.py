"""One layer of a network in plain NumPy: the readable twin; `coupling_reference` says what messages are.

    m_i,k = sum over edges e into i of sum_path w_path(r_e) M_e x_sender(e)          messages, radial weights from a table
    u_i,k = sum_path V_k,path m_i,path                                               linear, to the kinds in the middle
    t_i,k = sum_path (h_i S)_path M(v_i) u_i                                         products with the own velocity
    a_i,k = sum_path U_k,path t_i,path + R_species(i),k x_i                          linear, and residual
    x'_i  = silu a (even scalars), tanh a (odd ones), a sigma(gate) (others)         gates are more columns of the even scalars
            (a network of energies has no velocities: t_i = m_i, and ``last`` is empty)
    w(r)  = sum_k b_k(u) T_(j + k),  j + u = (r - shortest)/spacing                  cubic B-spline, b as in ``tables.basis``

Legend
    x          (N, D, C) features; the first n rows are those of the atoms that receive
    y          (E, B) harmonics of the edges;  length (E,), shortest, spacing  Angstrom, float64
    table      (K, P C) coefficients T of the splines
    sender, start  edges by receiver, see ``graph.Graph``
    through, through_entries, through_values  ``table``, ``entries`` and ``values`` of ``paths.Paths``: the messages
    through_kinds  (kinds, 4) first row of the block, components, paths, first row among the features
    message    V, flat, one (paths C, C) matrix a kind
    turned     (n, B) harmonics of the velocities;  hidden h (n, H);  speed S, flat, one (H, C) matrix a path
    last, last_entries, last_values, last_kinds  the same for the products with the velocity; ``last_kinds`` has two more columns:
               first row of the kind among the old features (-1: it was not there), first number of its matrices in ``residual``
    update     U, flat, one (paths C, C) matrix a kind, for even scalars 1 + gates of them
    residual   R, flat, for each kind and species one (C, C) matrix, for even scalars 1 + gates of them
    species    (n,) int64;  block  atoms of a task, without influence on the results;  out (n, D', C)
    kept       (n or 0, 1 + gates, C) a of the even scalars and sigma(gate), for the backward pass; not written without rows
"""

import numpy as np

from .coupling_reference import STATUS_OK, couple

SILU_GAIN = 1.6791767  # as in ``bases``


def layer(
    x, y, length, shortest, spacing, table, sender, start, through, through_entries, through_values, through_kinds, message,
    turned, hidden, speed, last, last_entries, last_values, last_kinds, update, residual, species, block, kept, out,
):  # fmt: skip
    """Overwrite ``out`` with the features after the layer, and ``kept`` with what the backward pass needs, if it has rows."""
    n, channels = len(start) - 1, x.shape[2]
    w = radial(length, shortest, spacing, table)[0].reshape(len(length), len(through), channels)
    receiver = np.repeat(np.arange(n), np.diff(start))
    flat = np.empty(_rows(through_kinds) * n * channels, x.dtype)
    couple(x, y, w, sender, receiver, start, through, through_entries, through_values, flat)
    if len(last):
        middle = np.concatenate(_linear(flat, through_kinds, message, n, channels, 1), axis=1)
        own = np.concatenate([hidden @ s for s in speed.reshape(len(last), -1, channels)], axis=1)
        flat, index = np.empty(_rows(last_kinds) * n * channels, x.dtype), np.arange(n)
        own = own.reshape(n, len(last), channels)
        couple(middle, turned, own, index, index, np.arange(n + 1), last, last_entries, last_values, flat)
    columns = kept.shape[1]
    new = _linear(flat, last_kinds, update, n, channels, columns)
    for k, (_, height, _, _, old, place) in enumerate(last_kinds):
        if old >= 0:
            many = columns if k == 0 else 1
            size = many * channels**2
            for i in range(n):
                begin = place + species[i] * size
                matrices = residual[begin : begin + size].reshape(many, channels, channels)
                new[k][i] += np.concatenate([x[i, old : old + height] @ matrix for matrix in matrices], axis=1)
    out[...] = _gated(new, channels)
    if len(kept):
        kept[:, 0], kept[:, 1:] = (
            new[0][:, 0, :channels],
            sigmoid(new[0][:, 0, channels:]).reshape(n, columns - 1, channels),
        )
    return STATUS_OK


def _rows(kinds):
    return int((kinds[:, 1] * kinds[:, 2]).sum())


def radial(length, shortest, spacing, table):
    """Return the splines at the lengths (E, W) and their derivatives."""
    scaled = (length - shortest) / spacing
    place = np.minimum(scaled.astype(int), len(table) - 4)
    u = scaled - place
    v = 1.0 - u
    b = [v**3 / 6.0, (3.0 * u**3 - 6.0 * u**2 + 4.0) / 6.0, (3.0 * v**3 - 6.0 * v**2 + 4.0) / 6.0, u**3 / 6.0]
    slope = [-0.5 * v**2, 0.5 * u * (3.0 * u - 4.0), -0.5 * v * (3.0 * v - 4.0), 0.5 * u**2]

    def combined(factors):
        return sum(factors[k].astype(table.dtype)[:, None] * table[place + k] for k in range(4))

    return combined(b), combined([s / spacing for s in slope])


def _linear(flat, kinds, weights, n, channels, columns):
    """Return for each kind (n, components, C), for the first ``columns`` times C."""
    parts, v = [], 0
    for k, (first, height, width, *_) in enumerate(kinds):
        fan_in, many = width * channels, columns if k == 0 else 1
        block = flat[first * n * channels : (first + height * width) * n * channels].reshape(n, height, fan_in)
        matrices = weights[v : v + many * fan_in * channels].reshape(many, fan_in, channels)
        parts.append(np.concatenate([block @ matrix for matrix in matrices], axis=2))
        v += matrices.size
    return parts


def sigmoid(a):
    """Return 1/(1 + exp(-a))."""
    return 1.0 / (1.0 + np.exp(-a))


def _gated(parts, channels):
    scalars, gates = parts[0][..., :channels], np.split(sigmoid(parts[0][..., channels:]), _gates(parts), axis=2)
    results = [scalars.dtype.type(SILU_GAIN) * scalars * sigmoid(scalars)]
    for part in parts[1:]:
        results.append(np.tanh(part) if part.shape[1] == 1 else part * gates.pop(0))
    return np.concatenate(results, axis=1)


def _gates(parts):
    return max(sum(part.shape[1] > 1 for part in parts[1:]), 1)
