"""One layer of a network on the CPU, by one kernel: its constants in the order in which the kernel reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles.kernels import thread_count
from .activations import hidden
from .architecture import Architecture
from .parameters import layer_irreps
from .paths import Irreps, Paths, dimension, paths
from .tables import RadialTable, aligned

#: Atoms of a block at most: their messages (26 kB an atom, both parities and 64 channels) share a cache of 1 MB with the weights.
_BLOCK = 20
#: Rows that the products of the kernel take at a time.
_ROWS = 5


class FusedLayer:
    """Layer t of a network of strides, made for the kinds ``after``, by the kernel ``layer`` (``layer_reference``).

    Called as ``operations.Layer`` says, with the edges of ``operations.HostEdges``.
    """

    def __init__(
        self, kernel: Callable[..., int], a: Architecture, t: int, after: Irreps, weights: Mapping[str, NDArray]
    ) -> None:
        before, middle, _ = layer_irreps(a, t)
        through, last = paths(before, middle, a.l_max), paths(middle, after, a.l_max)
        self._kernel, self._after, self._channels, self._speed = kernel, after, a.channels, f"{t}_speed"
        dtype = weights["species"].dtype
        self._perceptron = {name: w for name, w in weights.items() if name.startswith(self._speed)}
        message = joined([weights[f"{t}_message_{k}"] for k in range(len(middle))], a.channels)
        speed = joined([weights[f"{t}_speed_{len(a.speed_hidden)}"]], a.channels)
        update = joined([weights[f"{t}_update_{k}"] for k in range(len(after))], a.channels)
        old, residual = residuals(before, after, {k: weights.get(f"{t}_residual_{k}") for k in range(len(after))})
        self._gather = (*tables(through, dtype), kinds_of(through, middle), message)
        self._turn = (speed, *tables(last, dtype))
        kinds = np.column_stack([kinds_of(last, after), old])
        self._kept = np.empty((0, 1 + sum(degree > 0 for degree, _ in after), a.channels), dtype)
        self._update = (kinds, update, joined(residual or [message[:0].reshape(0, a.channels)], a.channels))

    def __call__(
        self,
        table: RadialTable,
        x: NDArray,
        senders: NDArray,
        edges: Any,
        facts: NDArray,
        turned: NDArray,
        species: NDArray,
        bounds: NDArray,
    ) -> NDArray:
        """Return the features after the layer."""
        inner, _ = hidden(self._perceptron, self._speed, facts)
        out = aligned((len(x), dimension(self._after), self._channels), x.dtype)
        self._kernel(
            senders, edges.harmonics, edges.length, table.shortest, table.spacing, table.coefficients, edges.graph.sender,
            edges.graph.start, *self._gather, turned, inner, *self._turn, *self._update, species, block_of(len(x)),
            self._kept, out,
        )  # fmt: skip
        return out


def block_of(n: int) -> int:
    """Return how many of n atoms a task takes: as many tasks for every thread, of rows that fill the blocks of ``matrices``."""
    threads = thread_count()
    tasks = max(-(-n // (_BLOCK * threads)), 1) * threads
    return -(-n // (tasks * _ROWS)) * _ROWS or _ROWS


def joined(matrices: list[NDArray], channels: int) -> NDArray:
    """Return matrices (..., in, k C) one after another, each as (..., k, in, C): the kernel makes C columns at a time."""
    parts = [w.reshape(*w.shape[:-1], -1, channels) for w in matrices]
    blocks = [np.moveaxis(part, -2, -3).ravel() for part in parts]
    out = aligned((sum(map(len, blocks)),), blocks[0].dtype)
    return np.concatenate(blocks, out=out)


def residuals(
    before: Irreps, after: Irreps, weights: Mapping[int, NDArray | None]
) -> tuple[list[tuple[int, int]], list[NDArray]]:
    """Return for each kind (its first row among the old features or -1, where its matrices begin), and the matrices."""
    places, matrices, size = [], [], 0
    for k, kind in enumerate(after):
        weight = weights[k]
        if weight is None:
            places.append((-1, 0))
            continue
        places.append((dimension(before[: before.index(kind)]), size))
        matrices.append(weight)
        size += weight.size
    return places, matrices


def tables(through: Paths, dtype: np.dtype) -> tuple[NDArray, ...]:
    """Return the tables of paths as kernels read them."""
    return through.table, through.entries, through.values.astype(dtype)


def kinds_of(through: Paths, kinds: Irreps) -> NDArray[np.int64]:
    """Return for each kind: first row of its block, its components, its paths, its first row among the features."""
    rows = np.cumsum([0, *(2 * degree + 1 for degree, _ in kinds)])[:-1]
    blocks = zip(through.blocks, rows, strict=True)
    return np.array([(first, 2 * degree + 1, width, row) for (first, degree, width), row in blocks], np.int64)
