"""Inference by fused kernels: one stride of many atoms at a time; on the CPU without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import SERIAL, Exchange, Halo, InputError
from ..particles.collective import together
from .architecture import Architecture
from .bases import speed_basis, velocity_harmonics
from .conservation import conserve
from .graph import ATOM_COST, Graph, neighbour_graph
from .model_file import Model
from .operations import Edges, Operations, operations
from .paths import dimension
from .pruning import VECTORS, kept_kinds, pruned
from .radial import TOLERANCE, RadialTables, refuse_close, shortest_pair
from .threads import Threads

FloatArray = NDArray[np.float64]

#: Tables of the architecture that a forward pass reads.
_SCALES = ("masses", "velocity_scale", "drift", "memory", "displacement_scale", "velocity_change_scale")


class Engine:
    """One model, ready to be applied.

    Parameters
    ----------
    model : Model with head "stride"
    dtype : "float32" or "float64", of features and weights; positions, edges and momenta are float64 always
    backend : what computes: "cpu", "cuda" or "reference"
    threads : of the kernels; None: as numba was started. BLAS has one
    exchange : Exchange; each rank has its own atoms, and features of those within one cutoff are sent before every layer

    Attributes
    ----------
    architecture : Architecture
    exchange : Exchange
    shortest : Angstrom, the shortest distance of a pair that is accepted
    table : RadialTables, the tabulated radial weights

    Raises
    ------
    InputError : a model of another head, an unknown dtype or backend, no CUDA device for "cuda"

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
        if dtype not in TOLERANCE:
            raise InputError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
        self.architecture: Architecture = model.architecture
        self.dtype = np.dtype(dtype)
        self.card = model.card
        self.threads, self.exchange = threads, exchange
        self._threads = Threads(threads)
        self.shortest = shortest_pair(model.card)
        self._do: Operations = operations(backend, self.dtype)
        exact = {name: np.asarray(w, np.float64) for name, w in model.weights.items()}
        self.table = RadialTables(self.architecture, exact, self.shortest, dtype)
        weights = pruned(self.architecture, model.weights)
        self._weights = {name: self._do.array(w) for name, w in weights.items()}
        self._scales = {name: self._do.array(getattr(self.architecture, name), np.float64) for name in _SCALES}
        self._embedding, self._facts = self._constants()
        ends = [kept_kinds(self.architecture, t) for t in range(self.architecture.layers)]
        self._layers = [self._do.layer(self.architecture, t, after, self._weights) for t, after in enumerate(ends)]
        self._readout = dimension(ends[-1][: ends[-1].index(VECTORS)])

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
        with self._threads.given():
            return self._stride(atoms, cell, periodic, row)

    def _stride(self, atoms: _Atoms, cell: Any, periodic: Any, row: int) -> tuple[FloatArray, FloatArray]:
        do = self._do
        order = np.argsort(atoms.species, kind="stable")  # one matrix product a species, on rows that lie together
        places = atoms.position[order]
        halo = self.exchange.halo(places, cell, periodic, self.architecture.cutoff)
        ghosts = halo.forward(places)
        with together(self.exchange):
            edges = self._edges(atoms, order, ghosts, cell, periodic)
        work = np.empty(len(order))
        work[order] = ATOM_COST + edges.counts
        self.exchange.weigh(work)
        here, back = atoms.on(do), np.empty_like(order)
        back[order] = np.arange(len(order))
        by_species = here.select(do.array(order, np.int64))
        out = self._network(by_species, halo, edges, row)[do.array(back, np.int64)]
        found = self._stepped(here, do.array(out, np.float64), row, bool(np.any(periodic)))
        displacement, velocity = (do.host(x) for x in found)
        return displacement, velocity

    def _edges(self, atoms: _Atoms, order: NDArray[np.int64], ghosts: FloatArray, cell: Any, periodic: Any) -> Edges:
        """Return the edges into the atoms, sorted by ``order``; ghosts, which only send, have the rows after them."""
        n, places = len(order), np.concatenate([atoms.position, ghosts])
        whole = np.concatenate([order, np.arange(n, len(places))])

        def graph(beyond: float) -> Graph:
            reach = self.architecture.cutoff + beyond
            if len(atoms.starts) == 2:
                return neighbour_graph(places[whole], cell, periodic, reach).into(n)
            return neighbour_graph(places, cell, periodic, reach, atoms.starts).reordered(whole).into(n)

        same = (order, cell, periodic, atoms.starts) if self.exchange.size == 1 else None  # ghosts come and go
        edges = self._do.edges(graph, places[whole], self.architecture, same)
        length, *rows = edges.closest()
        known = self.exchange.size == 1  # else rows mean nothing outside
        refuse_close(length, self.shortest, (int(order[rows[0]]), int(order[rows[1]])) if known else None)
        return edges

    def _network(self, atoms: _Atoms, halo: Halo, edges: Edges, row: int) -> Any:
        """Return the two vectors (n, 3, 2) of the readout for atoms sorted by species."""
        x, facts, y_own = self._first(atoms, row)
        for t, layer in enumerate(self._layers):
            senders = self._with_ghosts(x, halo)
            x = layer(self.table(t, row), x, senders, edges, facts, y_own, atoms.species, atoms.bounds)
        first = self._readout
        return self._do.per_species(x[:, first : first + 3], self._weights["readout"], atoms.bounds)

    def _with_ghosts(self, x: Any, halo: Halo) -> Any:
        """Return the rows of the atoms and after them those of the ghosts, as their owners have them now."""
        if self.exchange.size == 1:
            return x
        ghosts = halo.forward(self._do.host(x))
        return self._do.xp.concatenate([x, self._do.array(ghosts)]) if len(ghosts) else x

    def _stepped(self, atoms: _Atoms, out: Any, row: int, periodic: bool) -> tuple[Any, Any]:
        """Return baseline + scaled output, with the momenta of the old state."""
        do, stride = self._do, self.architecture.strides[row]

        def column(name: str) -> Any:
            return self._scales[name][row][atoms.species][:, None]

        displacement = column("drift") * (stride * atoms.velocity) + column("displacement_scale") * out[..., 0]
        velocity = column("memory") * atoms.velocity + column("velocity_change_scale") * out[..., 1]
        frames = len(atoms.starts) - 1

        def sums(values: Any) -> Any:
            own = do.frame_sums(values, atoms.starts)
            if self.exchange.size == 1:
                return own
            return do.array(np.asarray(self.exchange.reduce(do.host(own), "sum")), np.float64)

        displacement, velocity = conserve(
            displacement, velocity, position=atoms.position, before=atoms.velocity, mass=atoms.mass, frame=atoms.frame,
            stride=do.array(np.full(frames, stride), np.float64),
            open_frame=None if periodic else do.array(np.ones(frames), np.float64), sums=sums, xp=do.xp,
        )  # fmt: skip
        return displacement, velocity

    def _first(self, atoms: _Atoms, row: int) -> tuple[Any, Any, Any]:
        """Return the features before the first layer, the inputs of the speed networks, harmonics of own velocities."""
        a, w, s, do = self.architecture, self._weights, atoms.species, self._do
        xp = do.xp
        reduced = atoms.velocity / self._scales["velocity_scale"][s][:, None]
        heavier = do.cast(xp.log(atoms.mass / self._scales["masses"][s])[:, None])
        gauss = do.cast(speed_basis(xp.sqrt((reduced**2).sum(1) + 1e-30), a, xp))
        y = do.cast(xp.stack(velocity_harmonics(reduced, a.l_max), 1))
        x = y[:, :, None] * self._embedding[s]  # the first harmonic is one
        speed = do.per_species(gauss[:, None], w["speed"], atoms.bounds)
        x[:, :1] += speed + (w["stride"][row] + heavier * w["mass"])[:, None]
        facts = self._facts[row][s]
        facts[:, : a.speed_functions], facts[:, -1:] = gauss, heavier
        return x, facts, y

    def _constants(self) -> tuple[Any, list[Any]]:
        """Return what harmonics of velocities are multiplied with (S, B, C), and for each stride facts of species (S, F)."""
        a, do = self.architecture, self._do
        names = ["species", *(f"velocity_{k}" for k in range(1, a.l_max + 1) for _ in range(2 * k + 1))]
        species, strides = np.eye(len(a.species)), np.eye(len(a.strides))
        facts = []
        for chosen in strides:
            rows = [np.zeros((len(species), a.speed_functions)), species, np.tile(chosen, (len(species), 1))]
            facts.append(do.array(np.concatenate([*rows, np.zeros((len(species), 1))], axis=1)))
        return do.xp.stack([self._weights[name] for name in names], 1), facts


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

    def select(self, order: Any) -> _Atoms:
        """Return the atoms in another order."""
        position, velocity = self.position[order], self.velocity[order]
        return _Atoms(
            self.species[order], self.mass[order], position, velocity, self.starts, self.frame[order], self.bounds
        )

    def on(self, do: Operations) -> _Atoms:
        """Return the atoms with the arrays of a backend; ``starts`` and ``bounds`` stay on the host."""
        floats = {name: do.array(getattr(self, name), np.float64) for name in ("mass", "position", "velocity")}
        whole = {name: do.array(getattr(self, name), np.int64) for name in ("species", "frame")}
        return replace(self, **floats, **whole)
