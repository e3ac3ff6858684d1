"""One layer of a network of energies on the CPU: forward by the kernel of strides, backward to its features and edges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..particles import resolve
from .architecture import Architecture
from .fused import block_of, joined, kinds_of, residuals, tables
from .harmonics import slopes
from .operations import HostEdges
from .paths import dimension, paths
from .pruning import kept_kinds, kinds_before
from .tables import RadialTable, aligned

FloatArray = NDArray[np.float64]


class FusedEnergyLayer:
    """Layer t: the kernel ``layer`` and its adjoints, ``update_back`` and ``messages_back`` (``_kernels/*_reference.py``).

    Parameters
    ----------
    backend : "cpu" or "reference"
    a : Architecture
    t : which layer
    weights : as ``pruning.pruned`` gives them, in the dtype of the features

    """

    def __init__(self, backend: str, a: Architecture, t: int, weights: Mapping[str, NDArray]) -> None:
        names = ("layer", "update_back", "messages_back")
        self._forward, self._update_back, self._messages_back = (resolve(name, backend) for name in names)
        before, self._after = kinds_before(a, t), kept_kinds(a, t)
        through, c, dtype = paths(before, self._after, a.l_max), a.channels, weights["species"].dtype
        updates = [weights[f"{t}_update_{k}"] for k in range(len(self._after))]
        old, matrices = residuals(
            before, self._after, {k: weights.get(f"{t}_residual_{k}") for k in range(len(updates))}
        )
        self._kinds = np.column_stack([kinds_of(through, self._after), old])
        self._layout = tables(through, dtype)
        none, nothing = np.empty(0, dtype), np.empty((0, 0), dtype)
        self._gather = (*self._layout, self._kinds[:, :4].copy(), none, nothing, nothing, none)
        self._update = (
            np.empty((0, 8), np.int64), np.empty((0, 2), np.int64), none, self._kinds, joined(updates, c),
            joined(matrices or [np.empty((0, c), dtype)], c),
        )  # fmt: skip
        self._columns, self._rows, self._channels = updates[0].shape[1] // c, through.rows, c
        entries, (places, factors) = through.entries, slopes(a.l_max)
        signs = (-1.0) ** np.sqrt(entries[:, 1]).astype(int)
        self._back = (entries, (signs * through.values).astype(dtype), places, factors.astype(dtype))
        self._back_update = _turned([w.reshape(-1, c, w.shape[1]) for w in updates], dtype)
        self._back_residual = _turned(matrices, dtype)

    def __call__(
        self, table: RadialTable, senders: NDArray, edges: HostEdges, species: NDArray[np.int64]
    ) -> tuple[NDArray, NDArray]:
        """Return the features (n, D', C) after the layer, and what ``pulled`` needs of it.

        Parameters
        ----------
        table : radial weights of the layer
        senders : (m, D, C) features of the atoms and after them those of the ghosts
        edges : of the n atoms;  species : (n,)

        """
        n, c = len(species), self._channels
        out = aligned((n, dimension(self._after), c), senders.dtype)
        kept = aligned((n, self._columns, c), senders.dtype)
        self._forward(
            senders, edges.harmonics, edges.length, table.shortest, table.spacing, table.coefficients, edges.graph.sender,
            edges.graph.start, *self._gather, *self._update, species, block_of(n), kept, out,
        )  # fmt: skip
        return out, kept

    def pulled(
        self, g: NDArray, new: NDArray, kept: NDArray, species: NDArray[np.int64], dim: int
    ) -> tuple[NDArray, NDArray]:
        """Return the gradients by what the linear maps made (n, gates + D', C), and by the old features along the residual alone.

        Parameters
        ----------
        g : (n, D', C) gradient by the features after the layer
        new, kept : what the layer gave;  species : (n,);  dim : D

        """
        n, c = len(g), self._channels
        pulled = aligned((n, self._columns + new.shape[1] - 1, c), g.dtype)
        out = aligned((n, dim, c), g.dtype)
        self._update_back(g, new, kept, self._kinds, self._back_residual, species, block_of(n), pulled, out)
        return pulled, out

    def back(
        self, table: RadialTable, x: NDArray, pulled: NDArray, edges: HostEdges, out: NDArray, gradient: FloatArray
    ) -> None:
        """Add what comes through the messages to ``out`` (n, D, C), by the old features, and ``gradient`` (E, 3), by the edges.

        Parameters
        ----------
        table : radial weights of the layer
        x : (n, D, C) features before the layer;  pulled : (m, gates + D', C) of atoms and ghosts
        edges : whose reverses these gradients belong to, by their own vectors

        """
        messages = aligned((len(pulled), self._rows, self._channels), x.dtype)
        self._messages_back(
            x, pulled, edges.harmonics, edges.length, table.shortest, table.spacing, table.coefficients, edges.graph.sender,
            edges.graph.start, self._layout[0], *self._back, self._kinds, self._back_update, block_of(len(pulled)), messages,
            out, gradient,
        )  # fmt: skip


def _turned(matrices: list[NDArray], dtype: np.dtype) -> NDArray:
    """Return the transposes of all matrices (..., in, out), one after another."""
    parts = [np.swapaxes(w, -1, -2).ravel() for w in matrices] or [np.empty(0, dtype)]
    out = aligned((sum(map(len, parts)),), dtype)
    return np.concatenate(parts, out=out)
