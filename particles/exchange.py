"""Who talks to whom: the protocol of data exchange between ranks, and the serial one that does nothing.

Interactions, controllers, layers and the engine of a network hold an exchange. Serial is one rank of the same code path.
What can be said in terms of this protocol alone (gathering, spreading, errors in common) is in ``collective``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .particles import Particles

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class Traffic:
    """What this rank has sent, by purpose.

    Attributes
    ----------
    bytes, messages : purpose -> int; of collective calls what the rank itself contributes
    seconds : purpose -> float, time inside the calls, waiting included
    waited : float, processor time spent looking whether messages have come

    """

    bytes: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    waited: float = 0.0

    def add(self, purpose: str, size: int, messages: int, seconds: float) -> None:
        """Count what one call did."""
        self.bytes[purpose] = self.bytes.get(purpose, 0) + size
        self.messages[purpose] = self.messages.get(purpose, 0) + messages
        self.seconds[purpose] = self.seconds.get(purpose, 0.0) + seconds

    def clear(self) -> None:
        """Count from nothing again."""
        self.bytes.clear()
        self.messages.clear()
        self.seconds.clear()
        self.waited = 0.0


class Halo(Protocol):
    """Who needs copies of whose rows: made once for a set of positions, used for any number of arrays.

    Attributes
    ----------
    n : int, copies of other ranks' rows ("ghosts") on this rank

    """

    n: int

    def forward(self, rows: NDArray) -> NDArray:
        """Return (n, ...), the ghosts' rows, of ``rows`` (owned, ...) of every owner."""
        ...

    def reverse(self, ghosts: NDArray, owned: NDArray) -> None:
        """Add ``ghosts`` (n, ...) to the rows of their owners: ``owned`` (owned, ...) is changed in place."""
        ...


class Reducer(Protocol):
    """Who adds up over ranks: all that some functions need of an exchange."""

    size: int

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return a number or an array reduced over all ranks."""
        ...


class Exchange(Protocol):
    """Communication as the rest of Askel sees it. Every call is collective: every rank makes it, even an empty one.

    Attributes
    ----------
    rank, size : int, this rank and how many there are
    traffic : Traffic, what was sent

    """

    rank: int
    size: int
    traffic: Traffic

    def barrier(self) -> None:
        """Wait for all ranks."""
        ...

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return a number or an array reduced over all ranks: the same, to the last bit, on all of them."""
        ...

    def allgather(self, rows: NDArray) -> list[NDArray]:
        """Return the rows (k_r, ...) of every rank r; dtype (structured too) and trailing shape are the same everywhere."""
        ...

    def alltoall(self, parts: Sequence[NDArray]) -> list[NDArray]:
        """Send ``parts[r]`` (k, ...) to rank r; return what each rank sent to this one. Dtype and shape as in ``allgather``."""
        ...

    def halo(self, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike | None, reach: float) -> Halo:
        """Return the exchange of rows for all points of other ranks within ``reach`` of one of this rank's, images included.

        Parameters
        ----------
        position : (n, 3), of what this rank owns
        cell, periodic : (3, 3) rows are cell vectors, (3,) bool; None: open
        reach : the same unit of length

        """
        ...

    def ghosts(self, particles: Particles, fields: Sequence[str], reach: float) -> Particles:
        """Return copies, with the named fields, of the particles of other ranks within ``reach`` of this one's.

        Each comes once and keeps its position: periodic images are seen through the cell, as those of the rank's own are.
        """
        ...

    def migrate(self, particles: Particles) -> tuple[Particles, NDArray[np.int64]]:
        """Return what this rank owns after each particle has moved to its owner, and the rows that it kept, in order.

        The kept rows come first, what arrived follows. The same object is returned when nothing moved.
        """
        ...

    def weigh(self, work: FloatArray) -> None:
        """Say what each owned particle (n,) costs; the next ``migrate`` shares the sum out evenly."""
        ...

    def colocate(self, particles: Particles, identities: NDArray[np.int64]) -> int:
        """Return the rank on which the named particles are brought together: the one that owns most of them."""
        ...

    def state_dict(self, particles: Particles | None) -> dict:
        """Return, on rank 0, who owns what, in order, so that a restart on as many ranks is equal to the last bit.

        Without particles: all but who owns what, for a restart to which each rank brings its own.
        """
        ...

    def restore(self, particles: Particles, tree: dict) -> Particles:
        """Return what this rank owns of the particles of all ranks: as in ``tree`` when the number of ranks is the same.

        Then rank 0 has all of them, or each rank its own, as ``state_dict`` was told; on another number anyone has any.
        """
        ...


class NoHalo:
    """The halo of a rank without neighbours."""

    n = 0

    def forward(self, rows: NDArray) -> NDArray:
        """Return no rows."""
        return np.empty((0, *rows.shape[1:]), rows.dtype)

    def reverse(self, ghosts: NDArray, owned: NDArray) -> None:
        """Add nothing."""


class Serial:
    """The exchange of a single rank: no ghosts, nothing moves, reductions return their argument."""

    rank = 0
    size = 1

    def __init__(self) -> None:
        self.traffic = Traffic()

    def barrier(self) -> None:
        """Return at once."""

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return the value unchanged."""
        return value

    def allgather(self, rows: NDArray) -> list[NDArray]:
        """Return its rows alone."""
        return [rows]

    def alltoall(self, parts: Sequence[NDArray]) -> list[NDArray]:
        """Return its own part."""
        return [parts[0]]

    def halo(self, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike | None, reach: float) -> Halo:
        """Return an exchange without ghosts."""
        return NoHalo()

    def ghosts(self, particles: Particles, fields: Sequence[str], reach: float) -> Particles:
        """Return an empty state."""
        return particles.select([False] * particles.n)

    def migrate(self, particles: Particles) -> tuple[Particles, NDArray[np.int64]]:
        """Return the particles unchanged."""
        return particles, np.arange(particles.n)

    def weigh(self, work: FloatArray) -> None:
        """Do nothing."""

    def colocate(self, particles: Particles, identities: NDArray[np.int64]) -> int:
        """Return rank 0."""
        return 0

    def state_dict(self, particles: Particles | None) -> dict:
        """Return nothing."""
        return {}

    def restore(self, particles: Particles, tree: dict) -> Particles:
        """Return the particles unchanged."""
        return particles


#: The exchange of whoever was given none.
SERIAL = Serial()
