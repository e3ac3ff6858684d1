"""Atoms along Morton's curve through space, so that neighbours lie together in memory and caches."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .graph import filled_cell

FloatArray = NDArray[np.float64]

#: Atoms of a stretch of the curve, among which those of one species come together: one matrix product for each.
_STRETCH = 64
_BITS = 21


def along_curve(
    position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike, spacing: float, species: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return an order of the atoms (n,).

    Parameters
    ----------
    position : (n, 3);  cell : (3, 3) or None;  periodic : (3,) bool
    spacing : length of a cell of the curve
    species : (n,)

    """
    wraps = np.asarray(periodic, bool)
    if not len(position) or not np.isfinite(position).all():  # refused by the search for neighbours
        return np.arange(len(position))
    if wraps.any():
        box = filled_cell(cell, wraps)
        parts = position @ np.linalg.inv(box)
        parts[:, wraps] -= np.floor(parts[:, wraps])
        position = parts @ box
    steps = (position - position.min(axis=0)) / spacing
    keys = _interleaved(np.minimum(steps, 2.0**_BITS - 1.0).astype(np.int64))
    order = np.argsort(keys, kind="stable")
    stretch = np.arange(len(order)) // _STRETCH
    return np.asarray(order[np.lexsort((species[order], stretch))])


def _interleaved(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number whose bits are those of three (n, 3) in turn."""
    keys = np.zeros(len(places), np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            keys |= ((places[:, axis] >> bit) & 1) << (3 * bit + axis)
    return keys
