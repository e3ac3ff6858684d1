"""Several ranks without MPI: an exchange between threads of one process, for tests of what only moves rows about."""

import threading

import numpy as np
import pytest
from askel.particles import Traffic


class ThreadExchange:
    """One rank; the fixture ``run_ranks`` makes them."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.traffic = rank, size, Traffic()
        self._board, self._barrier = board, barrier

    def _swap(self, mine):
        self._board[self.rank] = mine
        self._barrier.wait()
        everyone = list(self._board)
        self._barrier.wait()
        return everyone

    def barrier(self):
        self._barrier.wait()

    def allgather(self, rows):
        return self._swap(rows)

    def alltoall(self, parts):
        return [theirs[self.rank] for theirs in self._swap(parts)]

    def reduce(self, value, operation):
        whole = {"sum": np.sum, "min": np.min, "max": np.max}[operation](self._swap(value), axis=0)
        return whole if isinstance(value, np.ndarray) else type(value)(whole)


def _run_ranks(size, act):
    """Return what ``act(exchange)`` gives on each of ``size`` ranks; the error of the lowest rank that has one is raised."""
    board, barrier = [None] * size, threading.Barrier(size, timeout=20.0)
    results, errors = [None] * size, [None] * size

    def rank(k):
        try:
            results[k] = act(ThreadExchange(k, size, board, barrier))
        except BaseException as error:
            errors[k] = error
            if not getattr(error, "everywhere", False):
                barrier.abort()

    threads = [threading.Thread(target=rank, args=(k,)) for k in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = [e for e in errors if e is not None and not isinstance(e, threading.BrokenBarrierError)]
    if own:
        raise own[0]
    return results


@pytest.fixture
def run_ranks():
    return _run_ranks
