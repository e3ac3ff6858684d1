"""What several ranks do together, in terms of any ``Exchange``: gather, spread, tell, fail; with one rank, nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import AskelError, InputError, Interrupted, NumericalFailure
from .exchange import Exchange, Reducer
from .fields import PARTICLE_FIELDS
from .packing import describe_state, empty_like, pack_rows, unpack_rows
from .particles import Particles

_Result = TypeVar("_Result")

#: Indices and identities are numbers of so many bits.
INDEX_BITS = 63
#: exit code -> class of an error that another rank raises again; all others become an ``AskelError`` with that code.
_CLASSES: dict[int, type[AskelError]] = {kind.exit_code: kind for kind in (InputError, Interrupted)}


def gather(exchange: Exchange, particles: Particles) -> Particles:
    """Return all particles, in the order of their identities, on rank 0, and an empty state on the others.

    One rank keeps its own order.
    """
    if exchange.size == 1:
        return particles
    rows = pack_rows(particles)
    parts = exchange.alltoall([rows if r == 0 else rows[:0] for r in range(exchange.size)])
    whole = np.concatenate(parts)
    return unpack_rows(whole[np.argsort(whole["identity"], kind="stable")], particles)


def told(exchange: Exchange, words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes of rank 0 on all ranks; those of the others are not looked at."""
    return exchange.allgather(words if exchange.rank == 0 else words[:0])[0]


def spread(exchange: Exchange, particles: Particles | None, tree: dict | None = None) -> Particles:
    """Return what each rank owns of the particles of rank 0; the others give None.

    Parameters
    ----------
    exchange : Exchange
    particles : all of them, on rank 0
    tree : what ``Exchange.state_dict`` gave, of a checkpoint

    """
    if exchange.size == 1:
        assert particles is not None, "rank 0 has the particles"
        return exchange.restore(particles, tree or {})
    words = np.zeros(0, np.uint8) if particles is None else describe_state(particles)
    empty = empty_like(told(exchange, words))
    return exchange.restore(empty if particles is None else particles, tree or {})


def equal_cuts(index: NDArray[np.int64], work: NDArray[np.float64], reducer: Reducer) -> NDArray[np.int64]:
    """Return the (P - 1,) smallest indices with at least k/P of the work of all ranks below them.

    Parameters
    ----------
    index, work : (n,) of this rank's particles, in any order

    """
    order = np.argsort(index, kind="stable")
    ascending, below = index[order], np.concatenate([[0.0], np.cumsum(work[order])])
    whole = reducer.reduce(float(below[-1]), "sum")
    wanted = whole * np.arange(1, reducer.size) / reducer.size
    low, high = np.zeros(reducer.size - 1, np.int64), np.full(reducer.size - 1, 2**INDEX_BITS - 1, np.int64)
    for _ in range(INDEX_BITS):
        middle = low + (high - low) // 2
        have = reducer.reduce(below[np.searchsorted(ascending, middle, side="left")], "sum")
        enough = have >= wanted
        high, low = np.where(enough, middle, high), np.where(enough, low, np.minimum(middle + 1, high))
    return high


def by_cuts(exchange: Exchange, particles: Particles, cuts: NDArray[np.int64]) -> Particles:
    """Return the particles of all ranks whose identities lie between two cuts, this rank's, in their order.

    Parameters
    ----------
    particles : what this rank owns
    cuts : (P - 1,) ascending; rank r gets the identities with r cuts at or below them

    """
    rows = pack_rows(particles)
    owner = np.searchsorted(cuts, particles.identity, side="right")
    whole = np.concatenate(exchange.alltoall([rows[owner == r] for r in range(exchange.size)]))
    return unpack_rows(whole[np.argsort(whole["identity"], kind="stable")], particles)


def lines_of_all(exchange: Exchange, lines: Sequence[str]) -> list[str]:
    """Return the lines of text of all ranks, each once."""
    said = exchange.allgather(np.frombuffer("\n".join(lines).encode(), np.uint8))
    return list(dict.fromkeys(line for part in said for line in part.tobytes().decode().splitlines()))


def with_common_fields(exchange: Exchange, particles: Particles) -> Particles:
    """Return the particles with every field that those of any rank have; a field that they lack is its fill value."""
    here = [getattr(particles, field.name) is not None for field in PARTICLE_FIELDS]
    for field, wanted in zip(PARTICLE_FIELDS, exchange.reduce(np.array(here, np.int64), "max"), strict=True):
        if wanted and getattr(particles, field.name) is None:
            setattr(particles, field.name, np.full((particles.n, *field.shape), field.fill, field.dtype))
    return particles


def refuse_repeated(exchange: Exchange, identity: NDArray[np.int64]) -> None:
    """Raise InputError, on all ranks, when two particles of any ranks (n,) have one identity."""
    cuts = equal_cuts(identity, np.ones(len(identity)), exchange)
    owner = np.searchsorted(cuts, identity, side="right")
    mine = np.sort(np.concatenate(exchange.alltoall([identity[owner == r] for r in range(exchange.size)])))
    with together(exchange):
        twice = mine[1:][np.diff(mine) == 0]
        if len(twice):
            raise InputError(f"identity {twice[0]} is used twice; every particle needs its own")


@contextmanager
def together(exchange: Exchange) -> Iterator[None]:
    """Let all ranks leave the context with the error that one of them met in it; of several, that of the lowest rank.

    What is done inside must not wait for other ranks after a point where one of them may fail. Errors of Askel become the
    same error everywhere; others leave their rank as they are, and there the world ends them all (``mpi/world.py``).
    """
    if exchange.size == 1:
        yield
        return
    failure: AskelError | None = None
    try:
        yield
    except AskelError as error:
        failure = error
    agree(exchange, failure)


def agree(exchange: Exchange, failure: AskelError | None) -> None:
    """Raise, on all ranks, the error of the lowest rank that has one; return when none has."""
    words = b"" if failure is None else f"{failure.exit_code} {failure}".encode()
    said = exchange.allgather(np.frombuffer(words, np.uint8))
    first = next((r for r, part in enumerate(said) if len(part)), None)
    if first is None:
        return
    if first == exchange.rank and failure is not None:
        raise _common(failure)
    code, _, text = said[first].tobytes().decode().partition(" ")
    raise _common(_error(int(code), text))


def _common(error: AskelError) -> AskelError:
    """Return the error marked as one that every rank raises."""
    error.everywhere = True
    return error


def _error(code: int, text: str) -> AskelError:
    """Return an error of another rank."""
    made = _CLASSES.get(code, AskelError)(text)
    made.exit_code = code
    return made


def on_first(exchange: Exchange, act: Callable[[], _Result]) -> _Result | None:
    """Let rank 0 act and return what that gives, None on the others; its error is everybody's."""
    with together(exchange):
        return act() if exchange.rank == 0 else None


def agreed_failure(exchange: Exchange, failure: NumericalFailure | None) -> None:
    """Raise, on all ranks, a failure that any rank has, with the particles that all ranks name."""
    if not exchange.reduce(int(failure is not None), "max"):
        return
    named = np.array([] if failure is None else failure.identities, np.int64)
    everyone = np.sort(np.concatenate(exchange.allgather(named)))
    words = b"" if failure is None else f"{failure.time!r} {failure.step} {failure.reason}".encode()
    said = next(part for part in exchange.allgather(np.frombuffer(words, np.uint8)) if len(part))
    time, step, reason = said.tobytes().decode().split(" ", 2)
    error = NumericalFailure(reason, time=float(time), step=int(step), identities=[int(i) for i in everyone])
    error.everywhere = True
    raise error
