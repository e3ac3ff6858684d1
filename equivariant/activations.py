"""Perceptrons of the engine in NumPy; see ``network`` for torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .bases import SILU_GAIN


def hidden(weights: Mapping[str, NDArray], name: str, inputs: NDArray) -> tuple[NDArray, NDArray]:
    """Return what comes before the last matrix of a perceptron (n, H), and that matrix (H, out).

    ``inputs`` (n, in), weights ``<name>_0``, ``<name>_1``, ...: no bias, no gate after the last
    """
    k = 0
    while f"{name}_{k + 1}" in weights:
        inputs = _silu(inputs @ weights[f"{name}_{k}"])
        k += 1
    return inputs, weights[f"{name}_{k}"]


def _silu(x: NDArray) -> NDArray:
    return np.asarray(x.dtype.type(SILU_GAIN) * x * expit(x))
