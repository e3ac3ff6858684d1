"""What pulls, as a propagator sees it: ``evaluate`` overwrites, never accumulates; ``SumInteraction`` adds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles

QUANTITIES = ("acceleration", "jerk", "potential_energy", "tide", "virial")


class Evaluation:
    """Buffers for what an interaction gives; only what is wanted is allocated and filled.

    Attributes
    ----------
    acceleration : (n, 3) float64
    jerk : (n, 3) float64 or None, d acceleration / dt
    potential_energy : float; of several ranks, the share of this one, as the virial: the sum of the shares is the whole
    tide : (n, 3, 3) float64 or None, d acceleration_k / d x_l at each particle
    virial : (3, 3) float64 or None, sum of r_i (x) F_i
    wants : the quantities to fill, a subset of QUANTITIES
    work : (n,) float64 or None, what each particle cost in a unit of the interaction, where it says so: ranks share it evenly

    """

    __slots__ = ("acceleration", "jerk", "potential_energy", "tide", "virial", "wants", "work")

    def __init__(self, n: int, wants: Iterable[str] = ("acceleration",)) -> None:
        self.wants = frozenset(wants)
        unknown = self.wants - set(QUANTITIES)
        if unknown:
            raise InputError(f"unknown quantity {sorted(unknown)[0]!r}; known: {', '.join(QUANTITIES)}")
        self.acceleration: NDArray[np.float64] = np.zeros((n, 3))
        self.jerk: NDArray[np.float64] | None = np.zeros((n, 3)) if "jerk" in self.wants else None
        self.tide: NDArray[np.float64] | None = np.zeros((n, 3, 3)) if "tide" in self.wants else None
        self.virial: NDArray[np.float64] | None = np.zeros((3, 3)) if "virial" in self.wants else None
        self.potential_energy = 0.0
        self.work: NDArray[np.float64] | None = None


class Interaction(Protocol):
    """Gives accelerations, and what else it declares, for a state.

    Every rank calls ``evaluate``, even with no particles.
    """

    @property
    def provides(self) -> frozenset[str]:
        """The subset of QUANTITIES this interaction can fill."""
        ...

    @property
    def velocity_dependent(self) -> bool:
        """Whether accelerations depend on velocities (symplectic splittings then lose their meaning)."""
        ...

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite in ``out`` all that it wants."""
        ...


class SumInteraction:
    """The sum of several interactions."""

    def __init__(self, parts: Sequence[Interaction]) -> None:
        if not parts:
            raise InputError("a sum of interactions needs at least one")
        self.parts = tuple(parts)

    @property
    def provides(self) -> frozenset[str]:
        """What all parts provide."""
        return frozenset.intersection(*(p.provides for p in self.parts))

    @property
    def velocity_dependent(self) -> bool:
        """Whether any part depends on velocities."""
        return any(p.velocity_dependent for p in self.parts)

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite ``out`` with the sum over the parts."""
        self.parts[0].evaluate(particles, out)
        part = Evaluation(particles.n, out.wants)
        for interaction in self.parts[1:]:
            interaction.evaluate(particles, part)
            out.acceleration += part.acceleration
            out.potential_energy += part.potential_energy
            if out.jerk is not None and part.jerk is not None:
                out.jerk += part.jerk
            if out.tide is not None and part.tide is not None:
                out.tide += part.tide
            if out.virial is not None and part.virial is not None:
                out.virial += part.virial


def require(interaction: Interaction, *quantities: str) -> None:
    """Raise InputError when an interaction cannot give a quantity a method needs."""
    missing = [q for q in quantities if q not in interaction.provides]
    if missing:
        raise InputError(f"{type(interaction).__name__} gives no {missing[0]}, which this method needs")
