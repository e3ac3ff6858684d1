"""What the forward pass of the engine asks of a backend, and the backend of NumPy arrays with kernels of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import InputError, MissingDependency, resolve
from .architecture import Architecture
from .fused import FusedLayer
from .graph import Graph
from .harmonics import solid_harmonics
from .paths import Irreps
from .tables import RadialTable

FloatArray = NDArray[np.float64]


class Edges(Protocol):
    """The edges of a state where a backend has its arrays, sorted by receiver."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the edges of each receiver or a bound on them (n,), on the host."""
        ...

    def closest(self) -> tuple[float, int, int]:
        """Return the shortest length in Angstrom and its two rows; infinity where there is no edge."""
        ...


class Layer(Protocol):
    """One layer of a network, ready to be applied; arrays are the backend's."""

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
        """Return the features (n, D', C) after the layer.

        Parameters
        ----------
        table : radial weights of the layer
        x : (n, D, C) features of the atoms, sorted by species;  senders : (m, D, C), the same and after them the ghosts
        edges : what ``Operations.edges`` gave
        facts : (n, F) inputs of the speed network;  turned : (n, B) harmonics of the atoms' own velocities
        species : (n,);  bounds : first row of each species

        """
        ...


class Operations(Protocol):
    """The arithmetic of a forward pass; arrays are the backend's own, made by ``array``.

    Attributes
    ----------
    xp : module with NumPy's names of elementwise functions, ``stack`` and ``concatenate``, for these arrays

    """

    xp: ModuleType

    def array(self, values: ArrayLike, dtype: Any = None) -> Any:
        """Return an array of the backend, of the features' dtype or another."""
        ...

    def host(self, x: Any) -> NDArray:
        """Return the same numbers as a NumPy array."""
        ...

    def cast(self, x: Any) -> Any:
        """Return an array of the backend in the features' dtype, contiguous."""
        ...

    def edges(
        self,
        graph: Callable[[float], Graph],
        places: FloatArray,
        architecture: Architecture,
        same: tuple[Any, ...] | None,
    ) -> Edges:
        """Return the edges between ``places`` (m, 3) Angstrom, on the host.

        Parameters
        ----------
        graph : reach beyond the cutoff in Angstrom -> Graph of the places
        same : what the graph depends on beside the places: it may be used again while this does not change; None: never

        """
        ...

    def layer(self, a: Architecture, t: int, after: Irreps, weights: dict[str, Any]) -> Layer:
        """Return what does layer t, made for the kinds ``after``; ``weights`` are arrays of the backend."""
        ...

    def per_species(self, x: Any, weight: Any, bounds: NDArray[np.integer]) -> Any:
        """Return x (n, k, in) times the matrix (in, out) of each atom's species; its rows are bounds[s] ... bounds[s + 1] - 1."""
        ...

    def frame_sums(self, values: Any, starts: NDArray[np.int64]) -> Any:
        """Return the sums over the rows of each frame, (R, k), float64."""
        ...


#: backend -> what computes, made of (dtype, backend)
_BACKENDS = {"cpu": "operations:Host", "reference": "operations:Host", "cuda": "device:Device"}


def operations(backend: str, dtype: np.dtype) -> Operations:
    """Return the operations of a backend.

    Raises
    ------
    InputError : an unknown backend, or one that this machine cannot run
    MissingDependency : "cuda" without torch

    """
    if backend not in _BACKENDS:
        raise InputError(f"backend is {backend!r}; expected one of {', '.join(map(repr, _BACKENDS))}")
    module, _, name = _BACKENDS[backend].partition(":")
    try:
        kind = getattr(import_module(f".{module}", __package__), name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingDependency("torch", "ml") from None
        raise
    made: Operations = kind(dtype, backend)
    return made


class Host:
    """NumPy arrays; see ``Operations``."""

    xp = np

    def __init__(self, dtype: np.dtype, backend: str = "cpu") -> None:
        self._dtype = dtype
        self._kernel = resolve("layer", backend)

    def array(self, values: ArrayLike, dtype: Any = None) -> NDArray:
        """Return the values, contiguous."""
        return np.ascontiguousarray(values, dtype or self._dtype)

    def host(self, x: NDArray) -> NDArray:
        """Return the array itself."""
        return x

    def cast(self, x: NDArray) -> NDArray:
        """Return the array in the features' dtype, contiguous."""
        return np.ascontiguousarray(x, self._dtype)

    def edges(
        self,
        graph: Callable[[float], Graph],
        places: FloatArray,
        architecture: Architecture,
        same: tuple[Any, ...] | None,
    ) -> HostEdges:
        """Return the edges of the graph."""
        return HostEdges.of(graph(0.0), places, architecture.l_max, self._dtype)

    def layer(self, a: Architecture, t: int, after: Irreps, weights: dict[str, NDArray]) -> FusedLayer:
        """Return the layer as one kernel."""
        return FusedLayer(self._kernel, a, t, after, weights)

    def per_species(self, x: NDArray, weight: NDArray, bounds: NDArray[np.integer]) -> NDArray:
        """Return one matrix product a species."""
        n, k, fan_in = x.shape
        out = np.empty((n, k, weight.shape[2]), x.dtype)
        for s, (begin, end) in enumerate(pairwise(bounds.tolist())):
            if end > begin:
                rows = x[begin:end].reshape(-1, fan_in)
                np.matmul(rows, weight[s], out=out[begin:end].reshape(len(rows), -1))
        return out

    def frame_sums(self, values: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
        """Return the sums, in the order in which frames lie together."""
        kept = starts[:-1] < starts[1:]  # reduceat gives a frame without atoms the row that follows
        totals = np.zeros((len(starts) - 1, values.shape[1]))
        totals[kept] = np.add.reduceat(values, starts[:-1][kept], axis=0)
        return totals


@dataclass(frozen=True, eq=False, slots=True)
class HostEdges:
    """Edges in NumPy: their graph, vectors (E, 3) and lengths (E,) float64, and harmonics (E, B)."""

    graph: Graph
    vectors: FloatArray
    length: FloatArray
    harmonics: NDArray

    @classmethod
    def of(cls, graph: Graph, places: FloatArray, l_max: int, dtype: np.dtype) -> HostEdges:
        """Return the edges of a graph of these places."""
        vectors = graph.vectors(places)
        length = np.sqrt(np.einsum("ei,ei->e", vectors, vectors))
        with np.errstate(all="ignore"):
            unit = vectors / length[:, None]
        rows = solid_harmonics(unit[:, 0], unit[:, 1], unit[:, 2], l_max)
        return cls(graph, vectors, length, np.ascontiguousarray(np.stack(rows, axis=1), dtype))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Edges of each receiver."""
        return np.diff(self.graph.start)

    def closest(self) -> tuple[float, int, int]:
        """Return the shortest length (nan when one is nan) and its rows."""
        if not len(self.length):
            return np.inf, 0, 0
        e = int(np.argmin(self.length))
        return float(self.length[e]), int(self.graph.receiver[e]), int(self.graph.sender[e])
