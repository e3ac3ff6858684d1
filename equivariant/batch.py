"""Several systems as one graph: what the network in torch takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..particles import Halo
from .architecture import Architecture
from .ghosts import with_ghosts
from .graph import Graph, neighbour_graph
from .products import Links


@dataclass(frozen=True, slots=True)
class System:
    """One frame, as arrays.

    Attributes
    ----------
    species : (n,) atomic numbers;  mass : (n,) amu
    position, velocity : (n, 3) Angstrom, Angstrom/fs
    cell : (3, 3) Angstrom or None;  periodic : (3,) bool
    stride : fs
    graph : edges, when they are known already

    """

    species: ArrayLike
    mass: ArrayLike
    position: NDArray[np.float64]
    velocity: NDArray[np.float64] | None = None
    cell: ArrayLike | None = None
    periodic: ArrayLike = (False, False, False)
    stride: float = 0.0
    graph: Graph | None = None


@dataclass(eq=False)
class Batch:
    """Several frames as one graph. N atoms, E edges, F frames.

    Attributes
    ----------
    position, velocity : (N, 3) float64, Angstrom, Angstrom/fs
    mass : (N,) float64 amu
    species : (N,) int64, index into the architecture's species
    frame : (N,) int64, ascending
    stride : (F,) float64 fs
    open : (F,) bool, no periodicity: angular momentum is conserved too
    sender, receiver : (E,) int64, sorted by receiver
    shift : (E, 3) float64 Angstrom; an edge is position[sender] - position[receiver] + shift
    halo : Halo of atoms that are shared out among ranks, their ghosts have the rows N ... N + halo.n - 1; None: all are here

    """

    position: Tensor
    velocity: Tensor
    mass: Tensor
    species: Tensor
    frame: Tensor
    stride: Tensor
    open: Tensor
    sender: Tensor
    receiver: Tensor
    shift: Tensor
    halo: Halo | None = None

    @property
    def n(self) -> int:
        """Number of atoms."""
        return len(self.mass)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.stride)

    @cached_property
    def links(self) -> Links:
        """The edges as the products want them."""
        return Links(self.sender, self.receiver, self.n, 0 if self.halo is None else self.halo.n)

    @cached_property
    def own(self) -> Links:
        """Every atom linked to itself."""
        index = torch.arange(self.n, device=self.position.device)
        return Links(index, index, self.n)

    @cached_property
    def by_species(self) -> tuple[Tensor, Tensor, list[int]]:
        """Order of atoms by species, its inverse, and how many there are of each species up to the highest present."""
        order = torch.argsort(self.species, stable=True)
        counts = torch.bincount(self.species).tolist()
        return order, torch.argsort(order), counts

    def vectors(self) -> Tensor:
        """Return the edges (E, 3), differentiable in the positions."""
        return self.senders(self.position)[self.sender] - self.position[self.receiver] + self.shift

    def senders(self, rows: Tensor) -> Tensor:
        """Return the rows (N, ...) with those of the ghosts, as their owners have them now, after them."""
        return rows if self.halo is None else with_ghosts(rows, self.halo)

    def sums(self, values: Tensor) -> Tensor:
        """Return the sums (F, k) over the atoms of each frame of values (N, k)."""
        return values.new_zeros(self.n_frames, values.shape[1]).index_add(0, self.frame, values)

    def with_state(self, position: Tensor, velocity: Tensor) -> Batch:
        """Return the same atoms and edges in another state."""
        return replace(self, position=position, velocity=velocity)

    def part(self, rows: NDArray[np.int64]) -> tuple[Batch, Tensor]:
        """Return the frames ``rows`` (ascending) as a batch, and the mask (N,) of their atoms; of one rank."""
        assert self.halo is None, "frames of atoms that are shared out among ranks cannot be parted"
        chosen = torch.zeros(self.n_frames, dtype=torch.bool, device=self.frame.device)
        chosen[torch.from_numpy(rows)] = True
        atoms = chosen[self.frame]
        edges = atoms[self.receiver]
        new = torch.cumsum(atoms, 0) - 1
        frame = (torch.cumsum(chosen, 0) - 1)[self.frame[atoms]]
        by_atom: dict[str, Any] = {k: getattr(self, k)[atoms] for k in ("position", "velocity", "mass", "species")}
        by_frame: dict[str, Any] = {"stride": self.stride[chosen], "open": self.open[chosen]}
        ends: dict[str, Any] = {
            "sender": new[self.sender[edges]],
            "receiver": new[self.receiver[edges]],
            "shift": self.shift[edges],
        }
        return Batch(**by_atom, **by_frame, **ends, frame=frame), atoms

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return Batch(**tensors, halo=self.halo)

    @classmethod
    def of(cls, systems: Sequence[System], architecture: Architecture, halo: Halo | None = None) -> Batch:
        """Return the batch of some systems; graphs are made where a system has none.

        With a halo there is one system, the part of this rank, and it brings its graph.

        Raises
        ------
        InputError : unknown species, positions that are not finite

        """
        graphs = [s.graph or neighbour_graph(s.position, s.cell, s.periodic, architecture.cutoff) for s in systems]
        sizes = [len(s.position) for s in systems]
        first = np.concatenate([[0], np.cumsum(sizes)])
        velocities = [
            np.zeros((n, 3)) if s.velocity is None else s.velocity for s, n in zip(systems, sizes, strict=True)
        ]
        return cls(
            position=_tensor(np.concatenate([s.position for s in systems]), float),
            velocity=_tensor(np.concatenate(velocities), float),
            mass=_tensor(np.concatenate([np.asarray(s.mass) for s in systems]), float),
            species=_tensor(np.concatenate([architecture.species_index(s.species) for s in systems]), np.int64),
            frame=_tensor(np.repeat(np.arange(len(systems)), sizes), np.int64),
            stride=_tensor(np.array([s.stride for s in systems]), float),
            open=_tensor(np.array([not np.any(s.periodic) for s in systems]), bool),
            sender=_tensor(np.concatenate([g.sender + f for g, f in zip(graphs, first, strict=False)]), np.int64),
            receiver=_tensor(np.concatenate([g.receiver + f for g, f in zip(graphs, first, strict=False)]), np.int64),
            shift=_tensor(np.concatenate([g.shift for g in graphs]), float),
            halo=halo,
        )


def _tensor(values: NDArray, dtype: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=dtype))
