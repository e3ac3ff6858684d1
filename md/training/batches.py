"""Frames of segments as batches of the network, with neighbour graphs made once and kept while they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...equivariant.architecture import Architecture
from ...equivariant.batch import Batch
from ...equivariant.graph import neighbour_graph
from ...particles.io_segments import Segment
from .data import FloatArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class _Kept:
    """A graph in little memory: rows as int32, lattice vectors as whole numbers of cell vectors."""

    sender: NDArray[np.int32]
    receiver: NDArray[np.int32]
    images: NDArray[Any] | None

    @property
    def nbytes(self) -> int:
        return self.sender.nbytes + self.receiver.nbytes + (0 if self.images is None else self.images.nbytes)


class Frames:
    """All frames of some segments, as parts of batches.

    Parameters
    ----------
    segments : the data
    architecture : knows the species and the cutoff
    cache : bytes of graphs that are kept; further ones are made anew each time
    device : where batches go

    Raises
    ------
    InputError : species that the architecture does not know

    """

    def __init__(self, segments: Sequence[Segment], architecture: Architecture, *, cache: float, device: str) -> None:
        self.segments, self.architecture, self.device = list(segments), architecture, device
        self._species = [architecture.species_index(s.species) for s in segments]
        self._inverse = [None if s.cell is None or not s.periodic.any() else np.linalg.pinv(s.cell) for s in segments]
        self._graphs: dict[tuple[int, int], _Kept] = {}
        self._room = cache

    def batch(self, segment: IntArray, frame: IntArray, stride: FloatArray, sign: FloatArray) -> Batch:
        """Return the batch of frames ``frame`` of segments ``segment``, velocities times ``sign``; all (F,)."""
        places = list(zip(segment.tolist(), frame.tolist(), strict=True))
        graphs = [self._graph(*place) for place in places]
        shifts = [self._shift(s, graph) for (s, _), graph in zip(places, graphs, strict=True)]
        return self._joined(
            segment,
            stride,
            np.concatenate([self.segments[s].position[f] for s, f in places]),
            np.concatenate([self.segments[s].velocity[f] * c for (s, f), c in zip(places, sign.tolist(), strict=True)]),
            [graph.sender for graph in graphs],
            [graph.receiver for graph in graphs],
            shifts,
        )

    def rebuilt(self, batch: Batch, segment: IntArray, position: Tensor, velocity: Tensor) -> Batch:
        """Return the batch in a new state, with neighbours of the new positions; differentiable in the state."""
        x = position.detach().cpu().numpy()
        graphs, begin = [], 0
        for s in segment.tolist():
            one = self.segments[s]
            end = begin + len(one.species)
            graphs.append(neighbour_graph(x[begin:end], one.cell, one.periodic, self.architecture.cutoff))
            begin = end
        new = self._joined(
            segment,
            batch.stride.cpu().numpy(),
            x,
            x,
            [graph.sender for graph in graphs],
            [graph.receiver for graph in graphs],
            [graph.shift for graph in graphs],
        )
        return new.with_state(position, velocity)

    def targets(self, segment: IntArray, start: IntArray, end: IntArray, sign: FloatArray) -> tuple[Tensor, Tensor]:
        """Return displacements from ``start`` to ``end`` and velocities at ``end`` times ``sign``, (N, 3) float64."""
        rows = list(zip(segment.tolist(), start.tolist(), end.tolist(), sign.tolist(), strict=True))
        moved = np.concatenate([self.segments[s].position[e] - self.segments[s].position[b] for s, b, e, _ in rows])
        velocity = np.concatenate([self.segments[s].velocity[e] * c for s, _, e, c in rows])
        return torch.from_numpy(moved).to(self.device), torch.from_numpy(velocity).to(self.device)

    def energies(self, segment: IntArray, frame: IntArray) -> tuple[Tensor, Tensor]:
        """Return energies (F,) in eV and forces (N, 3) in eV/Angstrom of frames that have them."""
        rows = [(self.segments[s], f) for s, f in zip(segment.tolist(), frame.tolist(), strict=True)]
        energy = np.array([s.energy[f] for s, f in rows if s.energy is not None])
        forces = np.concatenate([s.forces[f] for s, f in rows if s.forces is not None])
        return torch.from_numpy(energy).to(self.device), torch.from_numpy(forces).to(self.device)

    def _graph(self, segment: int, frame: int) -> _Kept:
        kept = self._graphs.get((segment, frame))
        if kept is not None:
            return kept
        one, inverse = self.segments[segment], self._inverse[segment]
        graph = neighbour_graph(one.position[frame], one.cell, one.periodic, self.architecture.cutoff)
        images = None
        if inverse is not None:
            whole = np.rint(graph.shift @ inverse)
            images = whole.astype(np.int8 if np.abs(whole).max(initial=0.0) < 128 else np.int32)
        kept = _Kept(graph.sender.astype(np.int32), graph.receiver.astype(np.int32), images)
        if kept.nbytes <= self._room:
            self._room -= kept.nbytes
            self._graphs[segment, frame] = kept
        return kept

    def _shift(self, segment: int, graph: _Kept) -> FloatArray:
        cell = self.segments[segment].cell
        if graph.images is None or cell is None:
            return np.zeros((len(graph.sender), 3))
        return np.asarray(graph.images.astype(float) @ cell)

    def _joined(
        self,
        segment: IntArray,
        stride: FloatArray,
        position: FloatArray,
        velocity: FloatArray,
        senders: Sequence[NDArray],
        receivers: Sequence[NDArray],
        shifts: Sequence[FloatArray],
    ) -> Batch:
        which = segment.tolist()
        sizes = np.array([len(self._species[s]) for s in which])
        edges = np.array([len(sender) for sender in senders])
        offset = np.repeat(np.cumsum(sizes) - sizes, edges)
        arrays = {
            "position": position,
            "velocity": velocity,
            "mass": np.concatenate([self.segments[s].mass for s in which]),
            "species": np.concatenate([self._species[s] for s in which]),
            "frame": np.repeat(np.arange(len(which)), sizes),
            "stride": np.ascontiguousarray(stride, dtype=float),
            "open": np.array([not self.segments[s].periodic.any() for s in which]),
            "sender": np.concatenate(senders) + offset,
            "receiver": np.concatenate(receivers) + offset,
            "shift": np.concatenate(shifts),
        }
        tensors: dict[str, Any] = {name: torch.from_numpy(a).to(self.device) for name, a in arrays.items()}
        return Batch(**tensors)
