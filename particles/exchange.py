"""Who talks to whom: the protocol of data exchange between ranks, and the serial one that does nothing.

Interactions and controllers hold an exchange, propagators never do. Serial is one rank of the same code path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from .particles import Particles


class Exchange(Protocol):
    """Communication as the rest of Askel sees it. Every call is collective: every rank calls it, even an empty one."""

    rank: int
    size: int

    def ghosts(self, particles: Particles, fields: Sequence[str], reach: float) -> Particles:
        """Return copies, with the named fields, of the particles of other ranks within ``reach`` of this one's."""
        ...

    def migrate(self, particles: Particles) -> Particles:
        """Return the particles this rank owns after each has moved to its owner."""
        ...

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return a number or an array reduced over all ranks, on all ranks."""
        ...

    def colocate(self, identities: NDArray) -> int:
        """Return the rank on which the named particles are brought together."""
        ...


class Serial:
    """The exchange of a single rank: no ghosts, nothing moves, reductions return their argument."""

    rank = 0
    size = 1

    def ghosts(self, particles: Particles, fields: Sequence[str], reach: float) -> Particles:
        """Return an empty state."""
        return particles.select([False] * particles.n)

    def migrate(self, particles: Particles) -> Particles:
        """Return the particles unchanged."""
        return particles

    def reduce(self, value: Any, operation: Literal["sum", "min", "max"]) -> Any:
        """Return the value unchanged."""
        return value

    def colocate(self, identities: NDArray) -> int:
        """Return rank 0."""
        return 0
