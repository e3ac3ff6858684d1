"""Inference on the CPU without torch: fused numba kernels and BLAS, one stride of many atoms at a time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from ..particles import SERIAL, Exchange, Halo, InputError, kernel_threads, resolve
from ..particles.collective import together
from .activations import gate, hidden, perceptron
from .architecture import Architecture
from .bases import cutoff_function, radial_basis, speed_basis, velocity_harmonics
from .conservation import conserve
from .graph import Graph, neighbour_graph
from .harmonics import solid_harmonics
from .model_file import Model
from .parameters import layer_irreps
from .paths import Irreps, Paths, dimension, paths
from .pruning import VECTORS, pruned
from .tables import RadialTable, basis, tabulate

FloatArray = NDArray[np.float64]

#: Error of the tabulated radial functions, relative to their largest value.
_TABLE_TOLERANCE = {"float32": 1e-6, "float64": 1e-9}
#: Angstrom; pairs closer than this are refused where the model's card does not say what its training data held.
_SHORTEST = 0.5
#: Share of the shortest distance of the training data down to which a model may be asked.
_CLOSER = 0.8
#: What an atom costs beside its edges, in edges (64 channels): its share of the matrix products.
_ATOM_COST = 15.0


class Engine:
    """One model, ready to be applied.

    Parameters
    ----------
    model : Model with head "stride"
    dtype : "float32" or "float64", of features and weights; positions, edges and momenta are float64 always
    backend : of the kernels, "cpu" or "reference"
    threads : of the kernels; None: as numba was started. BLAS has one
    exchange : Exchange; each rank has its own atoms, and features of those within one cutoff are sent before every layer

    Attributes
    ----------
    architecture : Architecture
    exchange : Exchange
    shortest : Angstrom, the shortest distance of a pair that is accepted

    Raises
    ------
    InputError : a model of another head, an unknown dtype

    """

    def __init__(
        self,
        model: Model,
        *,
        dtype: str = "float32",
        backend: str = "cpu",
        threads: int | None = None,
        exchange: Exchange = SERIAL,
    ) -> None:
        if model.architecture.head != "stride":
            raise InputError(
                f"this model has the head {model.architecture.head!r}; a stride needs one with head 'stride'"
            )
        if dtype not in _TABLE_TOLERANCE:
            raise InputError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
        self.architecture: Architecture = model.architecture
        self.dtype = np.dtype(dtype)
        self.card = model.card
        self.threads, self.exchange = threads, exchange
        self._blas = ThreadpoolController().select(user_api="blas")
        card_shortest = model.card.get("shortest_pair")
        self.shortest = _CLOSER * float(card_shortest) if card_shortest else _SHORTEST
        self._exact = {name: np.asarray(w, np.float64) for name, w in model.weights.items()}
        self._weights = {name: np.ascontiguousarray(w, self.dtype) for name, w in model.weights.items()}
        self._couple = resolve("couple", backend)
        self._tabulated = resolve("couple_tabulated", backend)
        self._tables: dict[tuple[int, int], RadialTable] = {}
        kinds, self._weights = pruned(self.architecture, self._weights)
        ends = [layer_irreps(self.architecture, t)[2] for t in range(self.architecture.layers - 1)] + [kinds]
        self._layers = [_Layer.of(self.architecture, t, after, self.dtype) for t, after in enumerate(ends)]

    def stride(
        self,
        species: ArrayLike,
        mass: ArrayLike,
        position: FloatArray,
        velocity: FloatArray,
        cell: ArrayLike | None,
        periodic: ArrayLike,
        stride: float,
        starts: ArrayLike | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the displacement and the new velocity after one stride, with the total momenta of the state.

        Parameters
        ----------
        species : (n,) atomic numbers;  mass : (n,) amu
        position, velocity : (n, 3) Angstrom, Angstrom/fs
        cell : (3, 3) Angstrom or None;  periodic : (3,) bool
        stride : fs, one that the model was trained for
        starts : (R + 1,) first rows of R independent replicas in the same cell, advanced as one graph; on one rank

        Returns
        -------
        (n, 3) Angstrom, (n, 3) Angstrom/fs, float64

        Raises
        ------
        InputError : unknown species or stride, pairs closer than ``shortest``, positions that are not finite

        """
        a = self.architecture
        row = a.stride_index(stride)
        index = a.species_index(species)
        if self.exchange.size > 1 and starts is not None:
            raise InputError("replicas are advanced on one rank; start one process, or one system on several")
        if len(index) == 0 and self.exchange.size == 1:
            return np.zeros((0, 3)), np.zeros((0, 3))
        atoms = _Atoms.of(a, index, mass, position, velocity, starts)
        with self._threaded():
            return self._stride(atoms, cell, periodic, row)

    def _stride(self, atoms: _Atoms, cell: Any, periodic: Any, row: int) -> tuple[FloatArray, FloatArray]:
        a = self.architecture
        order = np.argsort(atoms.species, kind="stable")  # one matrix product a species, on rows that lie together
        atoms_by_species = atoms.select(order)
        halo = self.exchange.halo(atoms_by_species.position, cell, periodic, a.cutoff)
        ghosts = halo.forward(atoms_by_species.position)
        with together(self.exchange):
            graph, edges = self._edges(atoms, order, ghosts, cell, periodic)
        work = np.empty(len(order))
        work[order] = _ATOM_COST + np.diff(graph.start)
        self.exchange.weigh(work)
        out = np.empty((len(order), 3, 2))
        out[order] = self._network(atoms_by_species, halo, graph, edges, row)
        return self._stepped(atoms, out, row, bool(np.any(periodic)))

    def _edges(
        self, atoms: _Atoms, order: NDArray[np.int64], ghosts: FloatArray, cell: Any, periodic: Any
    ) -> tuple[Graph, _Edges]:
        """Return the edges into the atoms, sorted by ``order``; ghosts, which only send, have the rows after them."""
        n, places = len(order), np.concatenate([atoms.position, ghosts])
        graph = neighbour_graph(places, cell, periodic, self.architecture.cutoff, atoms.starts)
        whole = np.concatenate([order, np.arange(n, len(places))])
        graph = graph.reordered(whole).into(n)
        edges = _Edges.of(graph, places[whole], self.architecture, self.dtype)
        self._refuse_close(graph, edges.length, order)
        return graph, edges

    def _network(self, atoms: _Atoms, halo: Halo, graph: Graph, edges: _Edges, row: int) -> NDArray:
        """Return the two vectors (n, 3, 2) of the readout for atoms sorted by species."""
        x, facts, y_own = self._first(atoms, row)
        for layer in self._layers:
            x = self._layer(layer, row, x, _with_ghosts(x, halo), graph, edges, facts, y_own, atoms)
        last = self._layers[-1].after
        first = dimension(last[: last.index(VECTORS)])
        return atoms.per_species(x[:, first : first + 3], self._weights["readout"])

    def _stepped(self, atoms: _Atoms, out: FloatArray, row: int, periodic: bool) -> tuple[FloatArray, FloatArray]:
        """Return baseline + scaled output, with the momenta of the old state."""
        a, s = self.architecture, atoms.species
        ballistic = a.strides[row] * atoms.velocity

        def column(table: Any) -> FloatArray:
            return np.asarray(table[row], float)[s][:, None]

        displacement = column(a.drift) * ballistic + column(a.displacement_scale) * out[..., 0]
        velocity = column(a.memory) * atoms.velocity + column(a.velocity_change_scale) * out[..., 1]
        frames = len(atoms.starts) - 1

        def sums(values: FloatArray) -> FloatArray:
            return np.asarray(self.exchange.reduce(atoms.sums(values), "sum"))

        displacement, velocity = conserve(
            displacement, velocity, position=atoms.position, before=atoms.velocity, mass=atoms.mass, frame=atoms.frame,
            stride=np.full(frames, a.strides[row]), open_frame=np.full(frames, 0.0 if periodic else 1.0),
            sums=sums, stack=np.stack,
        )  # fmt: skip
        return displacement, velocity

    def _layer(
        self,
        layer: _Layer,
        row: int,
        x: NDArray,
        senders: NDArray,
        graph: Graph,
        edges: _Edges,
        facts: NDArray,
        y_own: NDArray,
        atoms: _Atoms,
    ) -> NDArray:
        a, c, n, t = self.architecture, self.architecture.channels, len(x), layer.number
        table = self.table(t, row)
        place, fractions = edges.places(table)
        through, last = layer.through, layer.last
        message = np.empty(through.rows * n * c, self.dtype)
        self._tabulated(
            senders, edges.harmonics, place, fractions, table.coefficients.reshape(-1, through.n, c), graph.sender,
            graph.receiver, graph.start, through.table, through.entries, layer.through_values, message,
        )  # fmt: skip
        middle = np.concatenate(self._mixed(f"{t}_message", message, through, n), axis=1)
        own = self._perceptron(f"{t}_speed", facts).reshape(n, last.n, c)
        update = np.empty(last.rows * n * c, self.dtype)
        index = np.arange(n + 1)
        self._couple(
            middle, y_own, own, index[:-1], index[:-1], index, last.table, last.entries, layer.last_values, update,
        )  # fmt: skip
        new = self._mixed(f"{t}_update", update, last, n)
        for k, kind in enumerate(layer.after):
            if kind in layer.before:
                first = dimension(layer.before[: layer.before.index(kind)])
                old = x[:, first : first + 2 * kind[0] + 1]
                new[k] += atoms.per_species(old, self._weights[f"{t}_residual_{k}"])
        return gate(new, layer.after, a.channels)

    def _first(self, atoms: _Atoms, row: int) -> tuple[NDArray, NDArray, NDArray]:
        a, w, s = self.architecture, self._weights, atoms.species
        reduced = atoms.velocity / np.asarray(a.velocity_scale)[s][:, None]
        heavier = np.log(atoms.mass / np.asarray(a.masses)[s])[:, None].astype(self.dtype)
        gauss = speed_basis(np.sqrt((reduced**2).sum(axis=1) + 1e-30), a, np).astype(self.dtype)
        scalars = w["species"][s] + atoms.per_species(gauss[:, None], w["speed"])[:, 0]
        scalars = scalars + w["stride"][row] + heavier * w["mass"]
        y = np.ascontiguousarray(np.stack(velocity_harmonics(reduced, a.l_max), axis=1), self.dtype)
        parts = [scalars[:, None]]
        for degree in range(1, a.l_max + 1):
            parts.append(y[:, degree**2 : (degree + 1) ** 2, None] * w[f"velocity_{degree}"][s][:, None])
        one_hot = np.eye(len(a.species), dtype=self.dtype)[s]
        chosen = np.tile(np.eye(len(a.strides), dtype=self.dtype)[row], (len(s), 1))
        facts = np.concatenate([gauss, one_hot, chosen, heavier], axis=1)
        return np.ascontiguousarray(np.concatenate(parts, axis=1), self.dtype), facts, y

    # ------------------------------------------------------------------ pieces

    def table(self, t: int, row: int) -> RadialTable:
        """Return the tabulated radial weights of layer t for the stride of that row; made when first asked for."""
        if (t, row) not in self._tables:
            a, name = self.architecture, self.dtype.name
            last = self._exact[f"{t}_radial_{len(a.radial_hidden)}"]
            self._tables[t, row] = tabulate(
                lambda length: self._radial(t, row, length), last, self.shortest, a.cutoff, _TABLE_TOLERANCE[name], name
            )
        return self._tables[t, row]

    def _radial(self, t: int, row: int, length: FloatArray) -> FloatArray:
        """Return what the last matrix makes the radial weights of, times the envelope, (E, hidden) float64."""
        a, w = self.architecture, self._exact
        inputs = radial_basis(length, w["bessel"], a, np)
        if len(a.strides) > 1:
            inputs = np.concatenate([inputs, np.tile(np.eye(len(a.strides))[row], (len(length), 1))], axis=1)
        envelope = cutoff_function(length, a)[:, None] / math.sqrt(a.average_neighbours)
        return hidden(w, f"{t}_radial", inputs)[0] * envelope

    def _perceptron(self, name: str, inputs: NDArray) -> NDArray:
        return perceptron(self._weights, name, inputs)

    def _mixed(self, name: str, message: NDArray, through: Paths, n: int) -> list[NDArray]:
        c, parts = self.architecture.channels, []
        for k, (first, degree, width) in enumerate(through.blocks):
            rows = (2 * degree + 1) * width
            block = message[first * n * c : (first + rows) * n * c].reshape(n * (2 * degree + 1), width * c)
            weight = self._weights[f"{name}_{k}"]
            parts.append((block @ weight).reshape(n, 2 * degree + 1, weight.shape[1]))
        return parts

    def _refuse_close(self, graph: Graph, length: FloatArray, order: NDArray[np.int64]) -> None:
        if len(length) and not length.min() >= self.shortest:
            e = int(np.argmin(length))
            names = "two atoms"
            if self.exchange.size == 1:  # else rows mean nothing outside
                names = "atoms {} and {}".format(*sorted(int(order[k[e]]) for k in (graph.receiver, graph.sender)))
            raise InputError(
                f"{names} are {length[e]:.3g} Angstrom apart; this model knows pairs down to "
                f"{self.shortest:.3g} Angstrom"
            )

    @contextlib.contextmanager
    def _threaded(self) -> Iterator[None]:
        """Give the threads to the kernels and one to BLAS: two pools that wait for work by spinning slow each other down."""
        many = any(library.num_threads != 1 for library in self._blas.lib_controllers)
        with self._blas.limit(limits=1) if many else contextlib.nullcontext():
            if self.threads is None:
                yield
            else:
                with kernel_threads(self.threads):
                    yield


@dataclass(frozen=True, eq=False, slots=True)
class _Layer:
    number: int
    before: Irreps
    after: Irreps
    through: Paths
    last: Paths
    through_values: NDArray
    last_values: NDArray

    @classmethod
    def of(cls, a: Architecture, t: int, after: Irreps, dtype: np.dtype) -> _Layer:
        before, middle, _ = layer_irreps(a, t)
        through, last = paths(before, middle, a.l_max), paths(middle, after, a.l_max)
        return cls(t, before, after, through, last, through.values.astype(dtype), last.values.astype(dtype))


@dataclass(frozen=True, eq=False, slots=True)
class _Atoms:
    """A state; ``bounds`` are the first rows of each species once it is sorted by them."""

    species: NDArray[np.int64]
    mass: FloatArray
    position: FloatArray
    velocity: FloatArray
    starts: NDArray[np.int64]
    frame: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @classmethod
    def of(
        cls, a: Architecture, index: NDArray[np.int64], mass: ArrayLike, position: Any, velocity: Any, starts: Any
    ) -> _Atoms:
        first = np.array([0, len(index)]) if starts is None else np.asarray(starts, np.int64)
        frame = np.repeat(np.arange(len(first) - 1), np.diff(first))
        bounds = np.cumsum([0, *np.bincount(index, minlength=len(a.species))])
        floats = [np.ascontiguousarray(v, np.float64) for v in (mass, position, velocity)]
        return cls(index, floats[0], floats[1], floats[2], first, frame, bounds)

    def select(self, order: NDArray[np.int64]) -> _Atoms:
        """Return the atoms in another order."""
        position, velocity = self.position[order], self.velocity[order]
        return _Atoms(
            self.species[order], self.mass[order], position, velocity, self.starts, self.frame[order], self.bounds
        )

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the sums over each replica, (R, k), in the order in which replicas lie together."""
        totals = np.zeros((len(self.starts) - 1, values.shape[1]))
        for k, (begin, end) in enumerate(pairwise(self.starts.tolist())):
            totals[k] = values[begin:end].sum(axis=0)
        return totals

    def per_species(self, x: NDArray, weight: NDArray) -> NDArray:
        """Return x (n, k, in) times the matrix (in, out) of each atom's species, for atoms sorted by species."""
        n, k, fan_in = x.shape
        out = np.empty((n, k, weight.shape[2]), x.dtype)
        for s, (begin, end) in enumerate(pairwise(self.bounds.tolist())):
            if end > begin:
                rows = x[begin:end].reshape(-1, fan_in)
                np.matmul(rows, weight[s], out=out[begin:end].reshape(len(rows), -1))
        return out


@dataclass(frozen=True, eq=False, slots=True)
class _Edges:
    length: FloatArray
    harmonics: NDArray

    @classmethod
    def of(cls, graph: Graph, position: FloatArray, a: Architecture, dtype: np.dtype) -> _Edges:
        vectors = graph.vectors(position)
        length = np.sqrt(np.einsum("ei,ei->e", vectors, vectors))
        with np.errstate(all="ignore"):
            unit = vectors / length[:, None]
        rows = solid_harmonics(unit[:, 0], unit[:, 1], unit[:, 2], a.l_max)
        return cls(length, np.ascontiguousarray(np.stack(rows, axis=1), dtype))

    def places(self, table: RadialTable) -> tuple[NDArray[np.int64], NDArray]:
        """Return the first row of the table for each edge, and the values of the basis."""
        scaled = (self.length - table.shortest) / table.spacing
        place = np.minimum(scaled.astype(np.int64), len(table.coefficients) - 4)
        return place, basis(scaled - place).astype(table.coefficients.dtype)


def _with_ghosts(x: NDArray, halo: Halo) -> NDArray:
    """Return the rows of the atoms and after them those of the ghosts, as their owners have them now."""
    ghosts = halo.forward(x)
    return np.concatenate([x, ghosts]) if len(ghosts) else x
