"""Who is near whom: edges between atoms closer than the cutoff, sorted by receiver."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import Exchange, Halo, InputError, resolve
from ..particles.collective import together

FloatArray = NDArray[np.float64]

#: Atoms of an open system up to which each is compared with each: a molecule takes less time than a search takes to begin.
_FEW = 128

#: What an atom costs beside its edges, in edges (64 channels): its share of the matrix products.
ATOM_COST = 15.0


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """Directed edges, each pair in both directions.

    Attributes
    ----------
    sender, receiver : (E,) int64, rows of atoms; receivers ascend
    shift : (E, 3) Angstrom, lattice vector: the edge is position[sender] + shift - position[receiver]
    start : (n + 1,) int64, the edges of receiver i are start[i] ... start[i + 1] - 1

    """

    sender: NDArray[np.int64]
    receiver: NDArray[np.int64]
    shift: FloatArray
    start: NDArray[np.int64]

    @property
    def work(self) -> FloatArray:
        """What each receiver costs (n,), in edges."""
        return ATOM_COST + np.diff(self.start)

    def vectors(self, position: FloatArray) -> FloatArray:
        """Return the edges (E, 3) for positions (n, 3), subtracted in float64."""
        return np.asarray(position[self.sender] - position[self.receiver] + self.shift)

    def into(self, n: int) -> Graph:
        """Return the edges whose receivers are the first n rows."""
        some = slice(0, int(self.start[n]))
        return Graph(self.sender[some], self.receiver[some], self.shift[some], self.start[: n + 1])

    def reordered(self, order: NDArray[np.int64]) -> Graph:
        """Return the same edges when row i of the atoms becomes what row ``order[i]`` is now."""
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        sender, receiver = place[self.sender], place[self.receiver]
        edges = np.lexsort((sender, receiver))
        return _sorted(len(order), sender[edges], receiver[edges], self.shift[edges])


def neighbour_graph(
    position: FloatArray,
    cell: ArrayLike | None,
    periodic: ArrayLike,
    cutoff: float,
    starts: ArrayLike | None = None,
) -> Graph:
    """Return the graph of all pairs closer than ``cutoff``, images included.

    Parameters
    ----------
    position : (n, 3) float64
    cell : (3, 3), rows are the cell vectors; None for open systems
    periodic : (3,) bool
    cutoff : the same unit of length
    starts : (R + 1,) first rows of R independent replicas in the same cell, which do not see each other

    Raises
    ------
    InputError : a periodic direction without a cell vector, positions that are not finite

    """
    n = len(position)
    if not np.isfinite(position).all():
        raise InputError(f"the position of atom {int(np.argwhere(~np.isfinite(position))[0][0])} is not finite")
    wraps, box = np.asarray(periodic, dtype=bool), _box(cell)
    first = np.array([0, n]) if starts is None else np.asarray(starts, np.int64)
    if not wraps.any() and n and np.diff(first).max() <= _FEW:
        return _of_few(position, cutoff, first)
    if len(first) > 2:
        return _joined(position, cell, periodic, cutoff, first)
    from vesin import NeighborList

    _refuse_flat(box, wraps)
    if n == 0:
        empty = np.zeros(0, np.int64)
        return Graph(empty, empty, np.zeros((0, 3)), np.zeros(1, np.int64))
    search = NeighborList(cutoff=float(cutoff), full_list=True)
    receiver, sender, images = search.compute(
        points=np.ascontiguousarray(position), box=_filled(box, wraps), periodic=wraps, quantities="ijS"
    )
    receiver, sender = receiver.astype(np.int64), sender.astype(np.int64)
    order = np.lexsort((sender, receiver))
    shift = images[order].astype(float) @ box
    return _sorted(n, sender[order], receiver[order], shift)


def shared_graph(
    position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike, cutoff: float, exchange: Exchange
) -> tuple[Halo, Graph]:
    """Return who needs whose rows, and the edges into this rank's atoms; ghosts, which only send, have the rows after them.

    Parameters
    ----------
    position : (n, 3) float64, of this rank's atoms; the others as for ``neighbour_graph``
    exchange : Exchange; every rank makes the call

    Raises
    ------
    InputError : as ``neighbour_graph``, on all ranks together

    """
    wraps, box = np.asarray(periodic, dtype=bool), _box(cell)
    _refuse_flat(box, wraps)
    halo = exchange.halo(position, box, wraps, cutoff)
    ghosts = halo.forward(np.ascontiguousarray(position))
    with together(exchange):
        graph = neighbour_graph(np.concatenate([position, ghosts]), cell, periodic, cutoff)
    return halo, graph.into(len(position))


def filled_cell(cell: ArrayLike | None, periodic: NDArray[np.bool_]) -> FloatArray:
    """Return three independent vectors (3, 3) of a cell, of length one where it has none and does not repeat.

    Raises
    ------
    InputError : a periodic direction without a cell vector

    """
    box = _box(cell)
    _refuse_flat(box, periodic)
    return _filled(box, periodic)


def _box(cell: ArrayLike | None) -> FloatArray:
    return np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=float)


def _refuse_flat(box: FloatArray, wraps: NDArray[np.bool_]) -> None:
    if wraps.any() and abs(np.linalg.det(_filled(box, wraps))) < 1e-12:
        raise InputError("a periodic system needs three independent cell vectors where it is periodic")


def _filled(box: FloatArray, periodic: NDArray[np.bool_]) -> FloatArray:
    """Return the cell with vectors of length one, perpendicular to the others, where it has none and does not repeat."""
    if not periodic.any():
        return np.zeros((3, 3))
    whole = box.copy()
    missing = [k for k in range(3) if not periodic[k] and not whole[k].any()]
    if missing:
        present = np.delete(whole, missing, axis=0)
        whole[missing] = np.linalg.svd(present)[2][len(present) :]
    return whole


def _of_few(position: FloatArray, cutoff: float, starts: NDArray[np.int64]) -> Graph:
    n, room = len(position), int((np.diff(starts) ** 2).sum())
    sender, receiver, start = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(n + 1, np.int64)
    resolve("open_pairs")(np.ascontiguousarray(position, np.float64), starts, float(cutoff), sender, receiver, start)
    count = int(start[n])
    return Graph(sender[:count], receiver[:count], np.zeros((count, 3)), start)


def _joined(
    position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike, cutoff: float, starts: NDArray[np.integer]
) -> Graph:
    parts = []
    for begin, end in pairwise(starts.tolist()):
        one = neighbour_graph(position[begin:end], cell, periodic, cutoff)
        parts.append((one.sender + begin, one.receiver + begin, one.shift))
    sender, receiver, shift = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _sorted(len(position), sender, receiver, shift)


def _sorted(n: int, sender: NDArray[np.int64], receiver: NDArray[np.int64], shift: FloatArray) -> Graph:
    start = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(receiver, minlength=n), out=start[1:])
    return Graph(sender, receiver, shift, start)
