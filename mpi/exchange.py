"""The exchange of several ranks: ``particles.Exchange`` over a ``World``, with ownership by a ``Decomposition``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import Particles
from ..particles.packing import pack_rows, unpack_rows
from .decomposition import Decomposition, FloatArray, IntArray
from .halo import RankHalo, halo_of
from .world import World


class RankExchange:
    """Communication of one rank among several; see ``particles.Exchange`` for what every call means.

    Parameters
    ----------
    world : World
    bound : work of the busiest rank, in multiples of the mean, above which the pieces are cut anew
    every : calls of ``migrate`` from one in which something may move to the next; ghosts are right whoever owns a particle

    Attributes
    ----------
    rank, size, traffic : as in the protocol
    decomposition : Decomposition

    """

    def __init__(self, world: World, *, bound: float = 1.05, every: int = 10) -> None:
        self.rank, self.size, self.traffic = world.rank, world.size, world.traffic
        self.decomposition = Decomposition(self, bound)
        self._world, self._every = world, every
        self._calls = 0
        self._work: FloatArray | None = None

    # ------------------------------------------------------------------ numbers and rows

    def barrier(self) -> None:
        """Wait for all ranks."""
        started = time.perf_counter()
        self._world.barrier()
        self.traffic.add("barrier", 0, 1, time.perf_counter() - started)

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return a number or an array reduced over all ranks: the same, to the last bit, on all of them."""
        started = time.perf_counter()
        given = np.ascontiguousarray(value)
        numbers = given.astype(np.int64) if given.dtype == np.bool_ else given
        out = self._world.reduce(numbers, operation).reshape(np.shape(value))
        self.traffic.add("reduce", numbers.nbytes, 1, time.perf_counter() - started)
        return out if isinstance(value, np.ndarray) else type(value)(out.item())

    def allgather(self, rows: NDArray) -> list[NDArray]:
        """Return the rows (k_r, ...) of every rank r."""
        started = time.perf_counter()
        rows = np.ascontiguousarray(rows)
        parts = self._world.allgather(_bytes(rows))
        self.traffic.add("allgather", rows.nbytes, 1, time.perf_counter() - started)
        return [_rows(part, rows) for part in parts]

    def alltoall(self, parts: Sequence[NDArray]) -> list[NDArray]:
        """Send ``parts[r]`` (k, ...) to rank r; return what each rank sent to this one."""
        started = time.perf_counter()
        packed = [np.ascontiguousarray(part) for part in parts]
        came = self._world.alltoall([_bytes(part) for part in packed])
        sent = [part for r, part in enumerate(packed) if r != self.rank and len(part)]
        self.traffic.add("alltoall", sum(p.nbytes for p in sent), len(sent), time.perf_counter() - started)
        return [_rows(part, packed[0]) for part in came]

    # ------------------------------------------------------------------ ghosts

    def halo(self, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike | None, reach: float) -> RankHalo:
        """Return the exchange of rows for all points of other ranks within ``reach`` of one of this rank's."""
        return halo_of(self._world, self.traffic, position, cell, periodic, reach)

    def ghosts(self, particles: Particles, fields: Sequence[str], reach: float) -> Particles:
        """Return copies, with the named fields, of the particles of other ranks within ``reach`` of this one's."""
        halo = self.halo(particles.position, particles.cell, particles.periodic, reach)
        return unpack_rows(halo.forward(pack_rows(particles, fields)), particles)

    # ------------------------------------------------------------------ ownership

    def weigh(self, work: FloatArray) -> None:
        """Say what each owned particle (n,) costs; the next ``migrate`` shares the sum out evenly."""
        self._work = np.asarray(work, np.float64)

    def migrate(self, particles: Particles) -> tuple[Particles, IntArray]:
        """Return what this rank owns after each particle has moved to its owner, and the rows that it kept, in order."""
        self._calls += 1
        work, self._work = self._work, None
        if self.decomposition.frame is not None and self._calls % self._every:
            return particles, np.arange(particles.n)
        return self._moved(particles, np.ones(particles.n) if work is None or len(work) != particles.n else work)

    def _moved(self, particles: Particles, work: FloatArray) -> tuple[Particles, IntArray]:
        owners, anew = self.decomposition.shared(particles.position, work, particles.cell, particles.periodic)
        leaving = owners != self.rank
        if not (anew or self.reduce(int(leaving.any()), "max")):
            return particles, np.arange(particles.n)
        order = np.arange(particles.n)
        if anew:  # along the curve, so that neighbours in space are neighbours in memory
            assert self.decomposition.frame is not None, "made just now"
            order = np.argsort(self.decomposition.frame.indices(particles.position), kind="stable")
        rows, owners = pack_rows(particles)[order], owners[order]
        kept = np.flatnonzero(owners == self.rank)
        parts = [rows[:0] if r == self.rank else rows[owners == r] for r in range(self.size)]
        arrived = [part for r, part in enumerate(self.alltoall(parts)) if r != self.rank]
        return unpack_rows(np.concatenate([rows[kept], *arrived]), particles), order[kept]

    def colocate(self, particles: Particles, identities: IntArray) -> int:
        """Return the rank on which the named particles are brought together: the one that owns most of them."""
        owned = np.zeros(self.size, np.int64)
        owned[self.rank] = np.isin(particles.identity, identities).sum()
        return int(np.argmax(self.reduce(owned, "sum")))

    # ------------------------------------------------------------------ restart

    def state_dict(self, particles: Particles | None) -> dict:
        """Return who owns what, in order (on rank 0; without particles it is left out), with the cuts and the count of calls."""
        tree = {"size": self.size, "calls": self._calls, "decomposition": self.decomposition.state_dict()}
        if particles is None:
            return tree
        parts = self.alltoall([particles.identity if r == 0 else particles.identity[:0] for r in range(self.size)])
        return tree | {"counts": np.array([len(part) for part in parts]), "identity": np.concatenate(parts)}

    def restore(self, particles: Particles, tree: dict) -> Particles:
        """Return what this rank owns of the particles of all: as in ``tree`` when the number of ranks is the same."""
        if int(tree.get("size", 0)) != self.size:
            return self._moved(particles, np.ones(particles.n))[0]
        self._calls = int(tree["calls"])
        self.decomposition.load_state_dict(tree["decomposition"])
        if "identity" not in tree:
            return particles
        rows = pack_rows(particles)
        parts = [rows[:0]] * self.size
        if self.rank == 0:
            order = np.argsort(rows["identity"], kind="stable")
            at = order[np.searchsorted(rows["identity"], tree["identity"], sorter=order)]
            parts = np.split(rows[at], np.cumsum(tree["counts"])[:-1])
        return unpack_rows(self.alltoall(parts)[0], particles)


def _bytes(rows: NDArray) -> NDArray[np.uint8]:
    """Return the bytes of a contiguous array, as a view."""
    return rows.reshape(-1).view(np.uint8)


def _rows(part: NDArray[np.uint8], like: NDArray) -> NDArray:
    """Return bytes as rows of the dtype and trailing shape of ``like``."""
    return np.require(part.view(like.dtype), requirements="A").reshape(-1, *like.shape[1:])
