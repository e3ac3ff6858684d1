"""Energy, forces and virial of a network by fused kernels on the CPU, without torch: a forward and a backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ..particles import SERIAL, Exchange, Halo, InputError
from ..particles.collective import together
from .architecture import Architecture
from .bases import SILU_GAIN
from .fused_energy_layer import FusedEnergyLayer
from .graph import ATOM_COST, neighbour_graph
from .model_file import Model
from .operations import HostEdges
from .pruning import pruned
from .radial import TOLERANCE, RadialTables, refuse_close, shortest_pair
from .space_curve import along_curve
from .threads import Threads

FloatArray = NDArray[np.float64]


class FusedEnergy:
    r"""A network of head "energy", ready to be applied.

    E = sum_i (atom energy + readout(x_i)),  F = -dE/dx,  virial = -dE/d(strain)

    Forces and virial are the exact gradient of the energy that is computed: radial weights are splines here, and their
    slopes those of the splines. Slopes differ from the network's by 3e-6 (float64) or 1e-5 (float32) of the steepest at most, and
    rounding comes on top. The same bits for any number of threads.

    Parameters
    ----------
    model : Model of head "energy"
    dtype : "float32" or "float64", of features and weights; positions, edges, energies and forces are float64 always
    backend : "cpu" or "reference"
    threads : of the kernels; None: as numba was started. BLAS has one
    exchange : Exchange; each rank has its own atoms. Features of those within one cutoff are sent before every layer, and
        the gradients that their messages need after it

    Attributes
    ----------
    architecture : Architecture
    exchange : Exchange
    shortest : Angstrom, the shortest distance of a pair that is accepted
    table : RadialTables, the tabulated radial weights

    Raises
    ------
    InputError : a model of another head, an unknown dtype or backend

    """

    def __init__(
        self,
        model: Model,
        dtype: str = "float64",
        exchange: Exchange = SERIAL,
        *,
        backend: str = "cpu",
        threads: int | None = None,
    ) -> None:
        a = model.architecture
        if a.head != "energy":
            raise InputError(f"this model has the head {a.head!r}; energies need one with head 'energy'")
        if dtype not in TOLERANCE:
            raise InputError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
        self.architecture: Architecture = a
        self.exchange, self.shortest = exchange, shortest_pair(model.card)
        self._dtype, self._threads = np.dtype(dtype), Threads(threads)
        exact = pruned(a, {name: np.asarray(w, np.float64) for name, w in model.weights.items()})
        self.table = RadialTables(a, exact, self.shortest, dtype, slopes=True)
        weights = {name: np.ascontiguousarray(w, dtype) for name, w in exact.items()}
        self._layers = [FusedEnergyLayer(backend, a, t, weights) for t in range(a.layers)]
        self._embedding = weights["species"]
        self._hidden, self._readout = weights["readout_hidden"], weights["readout"]

    def energy(
        self, species: ArrayLike, mass: ArrayLike, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy (eV), forces (n, 3) in eV/Angstrom, virial (3, 3) in eV; of several ranks: this one's shares.

        Parameters
        ----------
        species : (n,) atomic numbers;  mass : (n,), without influence
        position : (n, 3) Angstrom
        cell : (3, 3) Angstrom or None;  periodic : (3,) bool

        Raises
        ------
        InputError : unknown species, pairs closer than ``shortest``, positions that are not finite

        """
        place = np.ascontiguousarray(position, np.float64)
        with together(self.exchange):
            index = self.architecture.species_index(species)
            order = along_curve(place, cell, periodic, 0.5 * self.architecture.cutoff, index)
        place, index = place[order], index[order]
        halo = self.exchange.halo(place, cell, periodic, self.architecture.cutoff)
        with self._threads.given():
            edges = self._edges(place, order, halo, cell, periodic)
            if len(place) == 0:  # nobody's neighbour: no message comes from here or goes here
                return 0.0, np.zeros((0, 3)), np.zeros((3, 3))
            energy, gradient = self._differentiated(index, edges, halo)
        forces = np.empty_like(place)
        forces[order] = _by_positions(gradient, edges, len(place), halo)
        return energy, forces, -(edges.vectors.T @ gradient)

    def _edges(self, place: FloatArray, order: NDArray[np.int64], halo: Halo, cell: Any, periodic: Any) -> HostEdges:
        """Return the edges into the atoms; ghosts, which only send, have the rows after them."""
        a, n = self.architecture, len(place)
        whole = np.concatenate([place, halo.forward(place)])
        with together(self.exchange):
            edges = HostEdges.of(neighbour_graph(whole, cell, periodic, a.cutoff).into(n), whole, a.l_max, self._dtype)
            length, *rows = edges.closest()
            known = self.exchange.size == 1 and n > 0  # else rows mean nothing outside
            refuse_close(length, self.shortest, (int(order[rows[0]]), int(order[rows[1]])) if known else None)
        work = np.empty(n)
        work[order] = ATOM_COST + edges.counts
        self.exchange.weigh(work)
        return edges

    def _differentiated(self, species: NDArray[np.int64], edges: HostEdges, halo: Halo) -> tuple[float, FloatArray]:
        """Return the energy and its gradient by the vectors of the edges (E, 3), each less that of its reverse elsewhere."""
        features, kept = [self._embedding[species][:, None]], []
        for t, layer in enumerate(self._layers):
            x, saved = layer(self.table(t), _with_ghosts(features[-1], halo), edges, species)
            features.append(x)
            kept.append(saved)
        energy, g = self._read(features[-1][:, 0], species)
        gradient = np.zeros_like(edges.vectors)
        for t, layer in reversed(list(enumerate(self._layers))):
            old = features[t]
            pulled, back = layer.pulled(g, features[t + 1], kept[t], species, old.shape[1])
            layer.back(self.table(t), old, _with_ghosts(pulled, halo), edges, back, gradient)
            g = back
        return energy, gradient

    def _read(self, scalars: NDArray, species: NDArray[np.int64]) -> tuple[float, NDArray]:
        """Return the energy of all atoms, and its gradient by their scalars (n, 1, C)."""
        a, gain = self.architecture, self._dtype.type(SILU_GAIN)
        inner = scalars @ self._hidden
        gates = expit(inner)
        atomic = (gain * inner * gates) @ self._readout
        energy = a.energy_scale * atomic.astype(np.float64).sum() + np.asarray(a.atom_energy)[species].sum()
        slope = gain * gates * (1.0 + inner * (1.0 - gates)) * (self._dtype.type(a.energy_scale) * self._readout[:, 0])
        return float(energy), np.ascontiguousarray((slope @ self._hidden.T)[:, None])


def _with_ghosts(x: NDArray, halo: Halo) -> NDArray:
    """Return the rows of the atoms and after them those of the ghosts, as their owners have them now."""
    ghosts = halo.forward(x)
    return np.concatenate([x, ghosts]) if len(ghosts) else x


def _by_positions(gradient: FloatArray, edges: HostEdges, n: int, halo: Halo) -> FloatArray:
    """Return the forces on the atoms (n, 3): an edge pulls its sender and pushes its receiver."""
    ends = (edges.graph.sender, edges.graph.receiver)
    sums = [np.stack([np.bincount(end, row, n + halo.n) for row in gradient.T], axis=1) for end in ends]
    pushed = np.ascontiguousarray(sums[1] - sums[0])
    forces = pushed[:n]
    halo.reverse(pushed[n:], forces)
    return forces
