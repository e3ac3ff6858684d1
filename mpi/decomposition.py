r"""Who owns which place: a Peano-Hilbert curve through the system, cut into pieces of equal work, one a rank.

```
place -> coordinates in a cube -> index on the curve, 63 bits -> owner = number of cuts at or below the index
```
| symbol | variable | shape |
|---|---|---|
| s = x A^-1, periodic directions modulo 1 | ``Frame.coordinates`` | (n, 3) |
| cuts c_1 <= ... <= c_(P-1) | ``Decomposition.cuts`` | (P - 1,) int64 |
| work w_i | | (n,) |

The cuts make the work below c_k equal to k/P of the whole, to one particle; they are found by bisection of the index, 63
reductions of P - 1 numbers, so no rank ever holds more than its own particles. A piece is one stretch of the curve and so
compact: its surface grows as (N/P)^(2/3).

References
----------
Warren & Salmon 1993, doi:10.1145/169627.169640 (a curve cut by work); Springel et al. 2021, doi:10.1093/mnras/stab1855
(Peano-Hilbert pieces in GADGET-4); Skilling 2004, doi:10.1063/1.1751381 (the curve)

"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import resolve
from ..particles.collective import equal_cuts
from ..particles.exchange import Reducer
from ._kernels.hilbert_reference import BITS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """Coordinates of places in a cube.

    Attributes
    ----------
    vectors : (3, 3), rows are cell vectors, of unit length where there are none
    periodic : (3,) bool
    low, scale : (3,), the cube's coordinates are scale (s - low): one scale of length in all directions

    """

    vectors: FloatArray
    periodic: NDArray[np.bool_]
    low: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike | None, reducer: Reducer) -> Frame:
        """Return the frame of a system: its cell, and where it is open, the box around all particles."""
        vectors, wraps = filled_cell(cell, periodic)
        s = position @ np.linalg.inv(vectors)
        low = np.where(wraps, 0.0, reducer.reduce(s.min(axis=0, initial=np.inf), "min"))
        high = np.where(wraps, 1.0, reducer.reduce(s.max(axis=0, initial=-np.inf), "max"))
        span = np.where(np.isfinite(high - low), high - low, 1.0)
        heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)  # distances between opposite faces
        length = np.max(span * heights)
        scale = heights / length if length > 0.0 else np.ones(3)
        return cls(vectors, wraps, np.where(np.isfinite(low), low, 0.0), scale)

    def wrapped(self, position: FloatArray) -> FloatArray:
        """Return the places (n, 3) brought into the cell in periodic directions."""
        return np.asarray(position - np.floor(self._fractions(position)) * self.periodic @ self.vectors)

    def indices(self, position: FloatArray) -> IntArray:
        """Return the places (n,) on the curve; what lies outside an open box counts as at its edge."""
        s = self._fractions(position)
        s -= np.floor(s) * self.periodic
        cells = np.clip((s - self.low) * self.scale, 0.0, 1.0) * 2**BITS
        grid = np.minimum(cells, 2**BITS - 1).astype(np.int64)
        out = np.empty(len(grid), np.int64)
        resolve("hilbert_index")(np.ascontiguousarray(grid), out)
        return out

    def _fractions(self, position: FloatArray) -> FloatArray:
        return np.asarray(position @ np.linalg.inv(self.vectors))


def filled_cell(cell: ArrayLike | None, periodic: ArrayLike | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return cell vectors (3, 3), unit vectors across the others where the system does not repeat, and where it does (3,)."""
    wraps = np.zeros(3, bool) if periodic is None else np.asarray(periodic, bool)
    vectors = np.zeros((3, 3)) if cell is None else np.array(cell, np.float64)
    vectors[~wraps] = 0.0
    if not wraps.all():
        across = np.linalg.svd(vectors)[2][int(wraps.sum()) :]  # an orthonormal basis of what the cell leaves open
        vectors[~wraps] = across
    if not wraps.any():
        vectors = np.eye(3)
    return vectors, wraps


class Decomposition:
    """The cuts, and whether they still share the work evenly.

    Parameters
    ----------
    reducer : the exchange
    bound : largest work of a rank, in multiples of the mean, above which the cuts are made anew

    Attributes
    ----------
    frame : Frame, or None before the first cuts
    cuts : (P - 1,) int64
    imbalance : largest work over mean work, as found last

    """

    def __init__(self, reducer: Reducer, bound: float = 1.05) -> None:
        self._reducer, self._bound = reducer, bound
        self.frame: Frame | None = None
        self.cuts: IntArray = np.zeros(reducer.size - 1, np.int64)
        self.imbalance = np.nan

    def owners(self, position: FloatArray) -> IntArray:
        """Return the owner (n,) of each place by the present cuts."""
        assert self.frame is not None, "there are no cuts yet"
        return np.asarray(np.searchsorted(self.cuts, self.frame.indices(position), side="right"))

    def shared(
        self, position: FloatArray, work: FloatArray, cell: ArrayLike | None, periodic: ArrayLike | None
    ) -> tuple[IntArray, bool]:
        """Return the owner of each place, and whether that is by new cuts, made because the old ones share badly.

        Parameters
        ----------
        position, work : (n, 3), (n,) of this rank's particles
        cell, periodic : of the system

        """
        if self.frame is not None:
            owners = self.owners(position)
            if self._measure(owners, work) <= self._bound:
                return owners, False
        self.frame = Frame.of(position, cell, periodic, self._reducer)
        self.cuts = equal_cuts(self.frame.indices(position), work, self._reducer)
        owners = self.owners(position)
        self._measure(owners, work)
        return owners, True

    def _measure(self, owners: IntArray, work: FloatArray) -> float:
        own = np.bincount(owners, work, minlength=self._reducer.size).astype(
            np.float64
        )  # integers where there are no rows
        load = self._reducer.reduce(own, "sum")
        mean = float(load.mean())
        self.imbalance = float(load.max()) / mean if mean > 0.0 else 1.0
        return self.imbalance

    def state_dict(self) -> dict:
        """Return frame and cuts, as a tree."""
        if self.frame is None:
            return {}
        f = self.frame
        return {"cuts": self.cuts, "vectors": f.vectors, "periodic": f.periodic, "low": f.low, "scale": f.scale}

    def load_state_dict(self, tree: dict) -> None:
        """Take them back."""
        if tree:
            self.cuts = np.array(tree["cuts"], np.int64)
            self.frame = Frame(*(np.array(tree[name]) for name in ("vectors", "periodic", "low", "scale")))
