"""One layer of a network of strides, composed of products and gates: for backends that have no kernel of a whole layer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .architecture import Architecture
from .operations import Operations
from .parameters import layer_irreps
from .paths import Irreps, Paths, dimension, paths
from .tables import RadialTable


class Pieces(Operations, Protocol):
    """What a backend gives for a layer to be composed of, beside the other ``Operations``."""

    def messages(self, paths: Paths, x: Any, edges: Any, table: RadialTable) -> Any:
        """Return the flat messages to all receivers, radial weights from a table."""
        ...

    def product(self, paths: Paths, x: Any, y: Any, w: Any) -> Any:
        """Return the flat product of each atom's own features (n, D, C), harmonics (n, B) and weights (n, P, C)."""
        ...

    def perceptron(self, weights: dict[str, Any], name: str, inputs: Any) -> Any:
        """Return a perceptron of inputs (n, in): no bias, silu between, nothing after the last matrix."""
        ...

    def gate(self, parts: list[Any], irreps: Irreps, channels: int) -> Any:
        """Return gated features (n, D, C); see ``network.gate``."""
        ...


class ComposedLayer:
    """Layer t of a network, which makes the kinds ``after``; ``weights`` are arrays of the backend.

    Called as ``operations.Layer`` says.
    """

    def __init__(self, do: Pieces, a: Architecture, t: int, after: Irreps, weights: dict[str, Any]) -> None:
        self._before, middle, _ = layer_irreps(a, t)
        self._do, self._channels, self._number, self._after, self._weights = do, a.channels, t, after, weights
        self._through, self._last = paths(self._before, middle, a.l_max), paths(middle, after, a.l_max)

    def __call__(
        self,
        table: RadialTable,
        x: Any,
        senders: Any,
        edges: Any,
        facts: Any,
        turned: Any,
        species: Any,
        bounds: NDArray[np.integer],
    ) -> Any:
        """Return the features after the layer."""
        do, c, n, t, last = self._do, self._channels, len(x), self._number, self._last
        message = do.messages(self._through, senders, edges, table)
        middle = do.xp.concatenate(self._mixed(f"{t}_message", message, self._through, n), 1)
        own = do.perceptron(self._weights, f"{t}_speed", facts).reshape(n, last.n, c)
        new = self._mixed(f"{t}_update", do.product(last, middle, turned, own), last, n)
        for k, kind in enumerate(self._after):
            if kind in self._before:
                first = dimension(self._before[: self._before.index(kind)])
                old = x[:, first : first + 2 * kind[0] + 1]
                new[k] += do.per_species(old, self._weights[f"{t}_residual_{k}"], bounds)
        return do.gate(new, self._after, c)

    def _mixed(self, name: str, message: Any, through: Paths, n: int) -> list[Any]:
        c, parts = self._channels, []
        for k, (first, degree, width) in enumerate(through.blocks):
            rows = (2 * degree + 1) * width
            block = message[first * n * c : (first + rows) * n * c].reshape(n * (2 * degree + 1), width * c)
            weight = self._weights[f"{name}_{k}"]
            parts.append((block @ weight).reshape(n, 2 * degree + 1, weight.shape[1]))
        return parts
