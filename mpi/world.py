"""The world of ranks: messages of bytes through mpi4py, which is imported here alone; and how all ranks end together.

Nothing here knows particles. Sizes are in bytes, arrays are contiguous. Python objects are never sent: that would need pickle.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, MissingDependency, Traffic

Bytes = NDArray[np.uint8]
Operation = Literal["sum", "min", "max"]

#: Seconds in which a rank that waits does nothing else, and from one look to the next after that: shortest, longest.
_SPIN, _NAP, _SLEEP = 1e-4, 2e-5, 5e-3
#: Share of the time waited so far that may pass until the next look.
_LATER = 0.01
#: Seconds a failing rank waits to see whether the others fail too.
_PATIENCE = 2.0
#: Seconds in which a launcher hands on what was printed.
_TO_BE_READ = 0.2


def rank_threads(cores: frozenset[int], others: Sequence[frozenset[int]]) -> int:
    """Return how many threads a rank may use: its cores, shared with the ranks of its node that were given any of them.

    Parameters
    ----------
    cores : those this rank may run on
    others : those of every rank of the node, this one among them

    """
    sharing = sum(bool(cores & other) for other in others)
    union = frozenset().union(*(other for other in others if cores & other))
    return max(1, len(union) // max(sharing, 1))


class World:
    """All ranks that were started together; MPI is initialised when the first is made.

    Parameters
    ----------
    started : number of ranks as the launcher says; None where nobody asked

    Attributes
    ----------
    rank, size : int
    node_rank, node_size : int, among the ranks of the same machine
    traffic : Traffic, filled by the exchanges of this world

    Raises
    ------
    MissingDependency : mpi4py is not installed
    InputError : mpi4py finds another number of ranks than the launcher started

    """

    def __init__(self, started: int | None = None) -> None:
        try:
            from mpi4py import MPI
        except ImportError:
            raise MissingDependency("mpi4py", "mpi") from None
        self._mpi: Any = MPI
        self.traffic = Traffic()
        self._world: Any = MPI.COMM_WORLD.Dup()
        self._last_words: Any = MPI.COMM_WORLD.Dup()  # so that no message of a failure meets one of the computation
        node: Any = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
        self.rank, self.size = int(self._world.rank), int(self._world.size)
        self.node_rank, self.node_size = int(node.rank), int(node.size)
        self._node = node
        self._operations = {"sum": MPI.SUM, "min": MPI.MIN, "max": MPI.MAX}
        if started is not None and self.size != started:
            raise InputError(
                f"the launcher started {started} processes, and mpi4py finds {self.size}: it belongs to another MPI; use "
                "the mpiexec that was installed with it"
            )

    # ------------------------------------------------------------------ messages

    def barrier(self) -> None:
        """Wait for all."""
        self._finish(self._world.Ibarrier())

    def reduce(self, values: NDArray, operation: Operation) -> NDArray:
        """Return an array of numbers reduced over all ranks, the same on all of them."""
        out = np.empty_like(values)
        self._finish(self._world.Iallreduce(values, out, op=self._operations[operation]))
        return out

    def allgather(self, mine: Bytes) -> list[Bytes]:
        """Return the bytes of every rank."""
        sizes = np.empty(self.size, np.int64)
        self._finish(self._world.Iallgather(np.array([len(mine)], np.int64), sizes))
        whole = np.empty(int(sizes.sum()), np.uint8)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._finish(self._world.Iallgatherv(mine, [whole, (sizes, starts[:-1]), self._mpi.BYTE]))
        return [whole[a:b] for a, b in pairwise(starts.tolist())]

    def alltoall(self, parts: Sequence[Bytes]) -> list[Bytes]:
        """Send ``parts[r]`` to rank r; return what every rank sent here. Empty parts cost no message."""
        mine, theirs = np.array([len(p) for p in parts], np.int64), np.empty(self.size, np.int64)
        self._finish(self._world.Ialltoall(mine, theirs))
        received = [parts[r] if r == self.rank else np.empty(int(n), np.uint8) for r, n in enumerate(theirs)]
        others = [r for r in range(self.size) if r != self.rank]
        self.swap(
            [(r, parts[r]) for r in others if len(parts[r])], [(r, received[r]) for r in others if len(received[r])]
        )
        return received

    def swap(self, sends: Sequence[tuple[int, Bytes]], receives: Sequence[tuple[int, Bytes]]) -> None:
        """Send to some ranks and receive from some, all at once; ``receives`` are overwritten and have the right sizes."""
        requests = [self._world.Irecv([buffer, self._mpi.BYTE], rank) for rank, buffer in receives]
        requests += [self._world.Isend([buffer, self._mpi.BYTE], rank) for rank, buffer in sends]
        self._finish(*requests)

    def _finish(self, *requests: Any) -> None:
        """Wait for requests; after a short while leave the core to others, who may be those that are waited for."""
        started, begun = time.perf_counter(), time.process_time()
        while not self._mpi.Request.Testall(requests):
            waited = time.perf_counter() - started
            if waited > _SPIN:
                time.sleep(min(max(_NAP, _LATER * waited), _SLEEP))
        self.traffic.waited += time.process_time() - begun

    def cores_of_node(self) -> list[frozenset[int]]:
        """Return the cores that each rank of this machine may run on."""
        own = np.array(sorted(usable_cores()), np.int64)
        sizes = np.empty(self.node_size, np.int64)
        self._node.Allgather(np.array([len(own)], np.int64), sizes)
        whole = np.empty(int(sizes.sum()), np.int64)
        self._node.Allgatherv(own, [whole, sizes])
        return [frozenset(part.tolist()) for part in np.split(whole, np.cumsum(sizes)[:-1])]

    # ------------------------------------------------------------------ the end

    def settle(self, code: int) -> tuple[bool, bool]:
        """Find out whether all ranks failed, or this one and not all; called once, by each rank that fails.

        Returns
        -------
        everyone : all ranks came here within two seconds
        speaker : whether this is the rank, the lowest of them, that should say what happened

        """
        others = [r for r in range(self.size) if r != self.rank]
        self._notices = [self._last_words.Isend([np.array([code], np.int32), self._mpi.INT32_T], r) for r in others]
        failed, until = {self.rank}, time.monotonic() + _PATIENCE
        while len(failed) < self.size and time.monotonic() < until:
            status = self._mpi.Status()
            if self._last_words.Iprobe(status=status):
                self._last_words.Recv(np.empty(1, np.int32), source=status.source)
                failed.add(status.source)
            else:
                time.sleep(0.01)
        everyone = len(failed) == self.size
        if everyone:
            self._mpi.Request.Waitall(self._notices)
        return everyone, self.rank == min(failed)

    def abort(self, code: int, *, speaker: bool = True) -> None:
        """End all ranks with an exit code; a rank that is not the speaker first gives that one time to end them."""
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(_TO_BE_READ if speaker else 2.0 * _PATIENCE)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what MPI says about an abort is no help to a user
        self._world.Abort(code)

    def abort_later(self, code: int, *, speaker: bool) -> None:
        """End all ranks when this process ends, in whatever way: before it says what it has to say, nobody is ended."""
        atexit.register(self.abort, code, speaker=speaker)

    def end_all_on_exceptions(self) -> None:
        """Let an exception that nobody catches, on any rank, end all ranks (others would wait for it for ever)."""
        before = sys.excepthook

        def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
            everyone, speaker = self.settle(1)
            if speaker:
                before(kind, value, trace)
            if not everyone:  # else all processes end by themselves
                self.abort(1, speaker=speaker)

        sys.excepthook = hook


def usable_cores() -> frozenset[int]:
    """Return the cores that this process may run on."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


_world: World | None = None


def existing_world() -> World | None:
    """Return the world if this process has met the other ranks."""
    return _world


def the_world(started: int | None = None) -> World:
    """Return the world, made when first asked for, with its end arranged; see ``World``."""
    global _world
    if _world is None:
        _world = World(started)
        _world.end_all_on_exceptions()
        if _world.size > 1 and "numba" not in sys.modules:  # numba reads it when it is imported
            threads = rank_threads(usable_cores(), _world.cores_of_node())
            os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    return _world
