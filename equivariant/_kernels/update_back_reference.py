"""Gradients through the end of a layer in plain NumPy: the readable twin; `layer_reference` has the equations of the layer.

    pulled_a     = g gain (sigma + a sigma (1 - sigma))      even scalars, sigma = sigma(a)
    pulled_a     = g (1 - x'^2)                              odd scalars, x' = tanh a
    pulled_a     = g sigma(gate)                             others, x' = a sigma(gate)
    pulled_gate  = (1 - sigma(gate)) sum_m g_m x'_m
    out_i        = R_species(i)^T pulled_i                   by the old features, along the residual alone

Legend
    g, new     (n, D', C) gradient of the energy by the features after the layer, and these features x'
    kept       (n, 1 + gates, C) as `layer` left it: a of the even scalars, sigma(gate)
    kinds      (kinds, 6) ``last_kinds`` of `layer_reference`
    residual   R^T, flat, for each kind and species one (C, C) matrix, for even scalars (1 + gates) C rows
    species    (n,) int64, equal ones lie together as far as possible;  block  atoms of a task
    pulled     (n, gates + D', C) gradient by what the linear maps made: even scalars, gates, the rows of the other kinds
    out        (n, D, C)
"""

from .coupling_reference import STATUS_OK
from .layer_reference import SILU_GAIN, sigmoid


def update_back(g, new, kept, kinds, residual, species, block, pulled, out):
    """Overwrite ``pulled`` and ``out``."""
    n, _, channels = g.shape
    columns, used = kept.shape[1], 1
    a = kept[:, 0]
    s = sigmoid(a)
    pulled[:, 0] = g.dtype.type(SILU_GAIN) * g[:, 0] * s * (1.0 + a * (1.0 - s))
    for _, height, _, row, _, _ in kinds[1:]:
        rows, here = slice(row, row + height), slice(columns - 1 + row, columns - 1 + row + height)
        if height == 1:
            pulled[:, here] = g[:, rows] * (1.0 - new[:, rows] ** 2)
            continue
        pulled[:, here] = g[:, rows] * kept[:, used, None]
        pulled[:, used] = (1.0 - kept[:, used]) * (g[:, rows] * new[:, rows]).sum(axis=1)
        used += 1
    out[...] = 0.0
    for k, (_, height, _, row, own, place) in enumerate(kinds):
        if own < 0:
            continue
        fan_in, first = (columns * channels, 0) if k == 0 else (channels, columns - 1 + row)
        for i in range(n):
            begin = place + species[i] * fan_in * channels
            matrix = residual[begin : begin + fan_in * channels].reshape(fan_in, channels)
            wide = pulled[i].reshape(-1)[first * channels : first * channels + height * fan_in]
            out[i, own : own + height] = wide.reshape(height, fan_in) @ matrix
    return STATUS_OK
