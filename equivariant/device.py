"""The backend of a CUDA device: torch's tensors, its matrix products, and numba's kernels on the same memory.

Weights, radial tables, edges and features stay on the device from one stride to the next; a stride sends positions and velocities
there and takes displacements and velocities back. Neighbours are searched on the host, a little beyond the cutoff, and only when
an atom has moved by half of that; which of these candidates are near now is found on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..particles import InputError, resolve
from .architecture import Architecture
from .bases import SILU_GAIN
from .composed import ComposedLayer
from .graph import Graph
from .network import gate
from .paths import Irreps, Paths
from .products import memory
from .tables import RadialTable

FloatArray = NDArray[np.float64]

#: Angstrom beyond the cutoff, of candidates. Half of it holds quartz at 300 K (farthest of 4,050 atoms: 0.8), liquids for
#: tens of strides; candidates are three times the edges at a cutoff of 4.5, and cost little against a new search.
SKIN = 2.0

_TYPES = {np.dtype(name): getattr(torch, name) for name in ("float32", "float64", "int64", "int32")}


class Device:
    """Tensors of a CUDA device; see ``operations.Operations`` and ``composed.Pieces``.

    Raises
    ------
    InputError : no device, or a torch that was built without CUDA

    """

    xp: ModuleType = torch

    def __init__(self, dtype: np.dtype, backend: str = "cuda") -> None:
        self._dtype = dtype
        kernels = (
            "network_device",
            "network_array",
            "couple",
            "couple_tabulated",
            "near_counts",
            "near_edges",
            "table_places",
        )
        name, self._wrapped, self._couple, self._tabulated, *edges = (resolve(kernel, backend) for kernel in kernels)
        self._near_counts, self._near_edges, self._table_places = edges
        self._device = torch.device(name())
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise InputError('backend "cuda" needs a torch built for CUDA, and this one is not; use backend = "cpu"')
        self._tables: dict[RadialTable, Any] = {}
        self._candidates: _Candidates | None = None

    def array(self, values: ArrayLike | Tensor, dtype: Any = None) -> Tensor:
        """Return the values on the device, contiguous."""
        wanted = np.dtype(dtype or self._dtype)
        if isinstance(values, Tensor):
            return values.to(self._device, _TYPES[wanted]).contiguous()
        return torch.from_numpy(np.ascontiguousarray(values, wanted)).to(self._device)

    def host(self, x: Tensor) -> NDArray:
        """Return the same numbers on the host."""
        return x.cpu().numpy()

    def cast(self, x: Tensor) -> Tensor:
        """Return the tensor in the features' dtype, contiguous."""
        return x.to(_TYPES[self._dtype]).contiguous()

    def edges(
        self,
        graph: Callable[[float], Graph],
        places: FloatArray,
        architecture: Architecture,
        same: tuple[Any, ...] | None,
    ) -> DeviceEdges:
        """Return the edges that are within the cutoff now."""
        known = self._candidates
        if known is None or not known.hold(places, same):
            known = self._candidates = _Candidates.of(self, graph, places, architecture, same)
        there, n = self.array(places, np.float64), len(known.counts)
        counts, shortest = self._empty(n, np.int64), self._empty(n, np.float64)
        lists = (memory(there), known.near, known.source, known.shift, architecture.cutoff)
        self._near_counts(*lists, memory(shortest), memory(counts))
        start = torch.zeros(n + 1, dtype=torch.int64, device=self._device)
        torch.cumsum(counts, 0, out=start[1:])
        edges = DeviceEdges(known, self.lasting(start), shortest, places)
        self._near_edges(*lists, edges.start, known.receiver, known.taken, known.sender, known.length, known.harmonics)
        return edges

    def layer(self, a: Architecture, t: int, after: Irreps, weights: dict[str, Tensor]) -> ComposedLayer:
        """Return the layer, composed of what follows."""
        return ComposedLayer(self, a, t, after, weights)

    def messages(self, paths: Paths, x: Tensor, edges: DeviceEdges, table: RadialTable) -> Tensor:
        """Return the messages, by the kernel ``couple_tabulated``."""
        n, channels, c = len(edges.counts), x.shape[2], edges.candidates
        if table not in self._tables:
            self._tables[table] = self.lasting(self.array(table.coefficients.reshape(-1, paths.n, channels)))
        rows = len(table.coefficients)
        self._table_places(edges.start, c.length, table.shortest, table.spacing, rows, c.place, c.fractions)
        message = self._empty(paths.rows * n * channels)
        self._tabulated(
            memory(x), c.harmonics, c.place, c.fractions, self._tables[table], c.sender, c.receiver, edges.start,
            paths.table, paths.entries, paths.values.astype(self._dtype), memory(message),
        )  # fmt: skip
        return message

    def product(self, paths: Paths, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        """Return the product, by the kernel ``couple``."""
        n, index = len(x), memory(torch.arange(len(x) + 1, device=self._device))
        update = self._empty(paths.rows * n * x.shape[2])
        self._couple(
            memory(x), memory(y), memory(w), index, index, index, paths.table, paths.entries,
            paths.values.astype(self._dtype), memory(update),
        )  # fmt: skip
        return update

    def per_species(self, x: Tensor, weight: Tensor, bounds: NDArray[np.integer]) -> Tensor:
        """Return one matrix product a species."""
        n, k, fan_in = x.shape
        parts = [
            x[begin:end].reshape(-1, fan_in) @ weight[s] for s, (begin, end) in enumerate(pairwise(bounds.tolist()))
        ]
        return torch.cat(parts).view(n, k, weight.shape[2])

    def perceptron(self, weights: dict[str, Tensor], name: str, inputs: Tensor) -> Tensor:
        """Return a perceptron of the inputs."""
        k = 0
        while f"{name}_{k + 1}" in weights:
            inputs = SILU_GAIN * torch.nn.functional.silu(inputs @ weights[f"{name}_{k}"])
            k += 1
        return inputs @ weights[f"{name}_{k}"]

    def gate(self, parts: list[Tensor], irreps: Irreps, channels: int) -> Tensor:
        """Return gated features."""
        return gate(parts, irreps, channels)

    def frame_sums(self, values: Tensor, starts: NDArray[np.int64]) -> Tensor:
        """Return the sums over each frame; without atomics, so that they are the same on every run."""
        return torch.stack([values[begin:end].sum(0) for begin, end in pairwise(starts.tolist())])

    def lasting(self, tensor: Tensor) -> Any:
        """Return the memory of a tensor as kernels want it, for many launches: torch's would be taken apart at each."""
        return self._wrapped(memory(tensor))

    def _empty(self, size: int | tuple[int, ...], dtype: Any = None) -> Tensor:
        return torch.empty(size, dtype=_TYPES[np.dtype(dtype or self._dtype)], device=self._device)


@dataclass(frozen=True, eq=False, slots=True)
class _Candidates:
    """A graph that reaches beyond the cutoff, on the host and on the device, and room there for what its edges are now.

    Attributes
    ----------
    graph, places, same : on the host: what was found, for which places, and what it depends on beside them
    skin : Angstrom beyond the cutoff
    near, source, shift : the graph on the device, see ``_kernels.edges_cuda``
    receiver, taken, sender, length, harmonics, place, fractions : overwritten at every stride

    """

    graph: Graph
    places: FloatArray
    same: tuple[Any, ...] | None
    skin: float
    near: Any
    source: Any
    shift: Any
    receiver: Any
    taken: Any
    sender: Any
    length: Any
    harmonics: Any
    place: Any
    fractions: Any

    @classmethod
    def of(
        cls,
        do: Device,
        graph: Callable[[float], Graph],
        places: FloatArray,
        architecture: Architecture,
        same: tuple[Any, ...] | None,
    ) -> _Candidates:
        """Search on the host, and send what was found."""
        skin = 0.0 if same is None else SKIN
        found = _in_order(graph(skin))
        count = len(found.sender)
        lists = [do.array(a, t) for a, t in ((found.start, np.int64), (found.sender, np.int32), (found.shift, float))]
        whole = [do._empty(count, np.int32) for _ in range(3)]
        harmonics = do._empty((count, (architecture.l_max + 1) ** 2))
        room = [*whole, do._empty(count, np.float64), harmonics, do._empty(count, np.int32)]
        kept = (
            None if same is None else tuple(None if a is None else np.array(a) for a in same)
        )  # a cell may change in place
        return cls(found, places, kept, skin, *(do.lasting(a) for a in (*lists, *room, do._empty((count, 4)))))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Candidates of each receiver."""
        return np.diff(self.graph.start)

    def hold(self, places: FloatArray, same: tuple[Any, ...] | None) -> bool:
        """Return whether every pair within the cutoff now is among the candidates: no atom has moved by half of the skin."""
        if same is None or self.same is None or places.shape != self.places.shape:
            return False
        if not all(_equal(a, b) for a, b in zip(same, self.same, strict=True)):
            return False
        moved = places - self.places
        return bool((np.einsum("ij,ij->i", moved, moved) < (0.5 * self.skin) ** 2).all())


@dataclass(frozen=True, eq=False, slots=True)
class DeviceEdges:
    """The candidates that are near: their first edges (n + 1,), squared shortest lengths (n,), and the places on the host."""

    candidates: _Candidates
    start: Any
    shortest: Tensor
    places: FloatArray

    @property
    def counts(self) -> NDArray[np.int64]:
        """Candidates of each receiver: a bound on its edges that is known on the host."""
        return self.candidates.counts

    def closest(self) -> tuple[float, int, int]:
        """Return the shortest length (nan when one is nan) and its rows."""
        if not len(self.shortest):
            return np.inf, 0, 0
        least = float(self.shortest.min()) ** 0.5
        i = int(self.shortest.argmin())
        graph = self.candidates.graph
        own = slice(int(graph.start[i]), int(graph.start[i + 1]))
        if own.stop == own.start:
            return np.inf, 0, 0
        vectors = self.places[graph.sender[own]] - self.places[i] + graph.shift[own]
        return least, i, int(graph.sender[own][np.argmin((vectors**2).sum(axis=1))])


def _in_order(graph: Graph) -> Graph:
    """Return the graph with the images of a pair sorted too: a stride then adds in the same order whenever it was made."""
    sender, receiver, shift = graph.sender, graph.receiver, graph.shift
    if not ((sender[1:] == sender[:-1]) & (receiver[1:] == receiver[:-1])).any():
        return graph
    order = np.lexsort((*shift.T, sender, receiver))
    return Graph(sender[order], receiver[order], shift[order], graph.start)


def _equal(a: Any, b: Any) -> bool:
    return (a is None) == (b is None) and (a is None or np.array_equal(a, b))
