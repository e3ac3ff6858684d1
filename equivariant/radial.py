"""The radial weights of a network as tables, made when first asked for, and the shortest pair that they know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError
from .activations import hidden
from .architecture import Architecture
from .bases import cutoff_function, radial_basis
from .tables import RadialTable, tabulate

FloatArray = NDArray[np.float64]

#: Error of the tabulated radial functions, relative to their largest value.
TOLERANCE = {"float32": 1e-6, "float64": 1e-9}
#: The same where slopes count too, and that of the slopes: forces are the gradient of the tabulated energy whatever these are,
#: and tables beyond a few megabytes leave the cache.
_SMOOTH_TOLERANCE, _SLOPE_TOLERANCE = {"float32": 1e-6, "float64": 1e-8}, {"float32": 1e-5, "float64": 3e-6}
#: Angstrom; pairs closer than this are refused where the model's card does not say what its training data held.
_SHORTEST = 0.5
#: Share of the shortest distance of the training data down to which a model may be asked.
_CLOSER = 0.8


def shortest_pair(card: Mapping[str, Any]) -> float:
    """Return the shortest distance of a pair, in Angstrom, that a model with this card is asked for."""
    known = card.get("shortest_pair")
    return _CLOSER * float(known) if known else _SHORTEST


def refuse_close(length: float, shortest: float, rows: tuple[int, int] | None) -> None:
    """Raise InputError for a pair closer than ``shortest``; ``rows`` of its atoms are None where they mean nothing outside."""
    if not length >= shortest:
        names = "two atoms" if rows is None else "atoms {} and {}".format(*sorted(rows))
        raise InputError(
            f"{names} are {length:.3g} Angstrom apart; this model knows pairs down to {shortest:.3g} Angstrom"
        )


class RadialTables:
    """The tables of all layers and strides of one network.

    Parameters
    ----------
    a : Architecture
    weights : float64, those of the paths that layers have (``pruning.pruned``)
    shortest : Angstrom, see ``shortest_pair``
    dtype : "float32" or "float64"
    slopes : whether derivatives are needed, and bounded, too

    """

    def __init__(
        self, a: Architecture, weights: Mapping[str, FloatArray], shortest: float, dtype: str, *, slopes: bool = False
    ) -> None:
        self._a, self._weights, self._shortest, self._dtype, self._slopes = a, weights, shortest, dtype, slopes
        self._made: dict[tuple[int, int], RadialTable] = {}

    def __call__(self, t: int, row: int = 0) -> RadialTable:
        """Return the table of layer t for the stride of that row."""
        if (t, row) not in self._made:
            a, dtype = self._a, self._dtype
            last = self._weights[f"{t}_radial_{len(a.radial_hidden)}"]
            tolerance, of_slopes = TOLERANCE[dtype], math.inf
            if self._slopes:
                tolerance, of_slopes = _SMOOTH_TOLERANCE[dtype], _SLOPE_TOLERANCE[dtype]
            self._made[t, row] = tabulate(
                lambda length: self._radial(t, row, length), last, self._shortest, a.cutoff, tolerance, dtype, of_slopes
            )
        return self._made[t, row]

    def _radial(self, t: int, row: int, length: FloatArray) -> FloatArray:
        """Return what the last matrix makes the radial weights of, times the envelope, (E, hidden) float64."""
        a, w = self._a, self._weights
        inputs = radial_basis(length, w["bessel"], a, np)
        if len(a.strides) > 1:
            inputs = np.concatenate([inputs, np.tile(np.eye(len(a.strides))[row], (len(length), 1))], axis=1)
        envelope = cutoff_function(length, a)[:, None] / math.sqrt(a.average_neighbours)
        return hidden(w, f"{t}_radial", inputs)[0] * envelope
