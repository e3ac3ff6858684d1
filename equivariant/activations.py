"""What acts on each number alone between the products of the engine: perceptrons, the gate; NumPy, see ``network`` for torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .bases import SILU_GAIN
from .paths import Irreps


def perceptron(weights: dict[str, NDArray], name: str, inputs: NDArray) -> NDArray:
    """Return a perceptron with weights ``<name>_0``, ``<name>_1``, ... of inputs (n, in): no bias, no gate after the last."""
    before, last = hidden(weights, name, inputs)
    return before @ last


def hidden(weights: dict[str, NDArray], name: str, inputs: NDArray) -> tuple[NDArray, NDArray]:
    """Return what comes before the last matrix of a perceptron (n, H), and that matrix (H, out)."""
    k = 0
    while f"{name}_{k + 1}" in weights:
        inputs = _silu(inputs @ weights[f"{name}_{k}"])
        k += 1
    return inputs, weights[f"{name}_{k}"]


def _silu(x: NDArray) -> NDArray:
    return np.asarray(x.dtype.type(SILU_GAIN) * x * expit(x))


def gate(parts: list[NDArray], irreps: Irreps, channels: int) -> NDArray:
    """Return gated features (n, D, C); see ``network.gate``."""
    gates = expit(parts[0][..., channels:])
    results, used = [_silu(parts[0][..., :channels])], 0
    for (degree, _), part in zip(irreps[1:], parts[1:], strict=True):
        if degree == 0:
            results.append(np.tanh(part))
        else:
            results.append(part * gates[..., used * channels : (used + 1) * channels])
            used += 1
    return np.concatenate(results, axis=1)
