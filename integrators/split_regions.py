"""Regions of a splitting: groups of particles whose forces among themselves are taken out of the kicks of an outer method.

Beside `regions`, which redoes a step for some particles after the fact: there the outer method has no forces to split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import Exchange, Particles
from .interaction import Evaluation
from .propagator import Step

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Region:
    """Particles that move by a method of their own during a step.

    Attributes
    ----------
    rows : of the members on this rank, ascending, in the state they were found in
    around : rows of those near it, which may not take longer steps than the region
    longest : float, the longest step it may take; the same on all ranks

    """

    rows: Rows
    around: Rows
    longest: float


@dataclass(frozen=True, slots=True)
class Moved:
    """What a region became.

    Attributes
    ----------
    particles : the members of this rank that are left, in the order of before
    step : outcome, work, events, rows of tables, statistics; the same on all ranks

    """

    particles: Particles
    step: Step


class SplitRegions(Protocol):
    """Finds regions and moves them. Every rank makes the same calls, and finds the same regions in the same order."""

    def start(self, particles: Particles) -> Any:
        """Return what is remembered between steps: a tree that a checkpoint can hold; raises InputError."""
        ...

    def find(self, particles: Particles, acceleration: FloatArray, longest: FloatArray) -> list[Region]:
        """Return the regions among these particles, disjoint.

        Parameters
        ----------
        acceleration : (n, 3) of all that pulls
        longest : (n,) the longest step of each particle on its own

        """
        ...

    def tide(self, particles: Particles, rows: Rows) -> FloatArray:
        """Return the symmetric (3, 3) tide K of the others on a region.

        Its field K (x - centre of mass of the members) acts during their advance and is taken out of the kicks.
        """
        ...

    def advance(
        self, members: Sequence[Particles], tides: Sequence[FloatArray], dt: float, memory: Any
    ) -> Sequence[Moved]:
        """Move the members of each region by dt under their own forces and its tide; ``members`` may be overwritten."""
        ...

    def taken_out(self, members: Particles, out: Evaluation) -> None:
        """Overwrite acceleration and potential energy of the members by each other, as the outer method has it and leaves it out.

        Forces that the region's method does not have stay with the outer method, in its kicks.
        """
        ...

    def potential_energy(self, members: Particles) -> float:
        """Return the potential energy of the members as the region's method has it: all of it, on one of the ranks."""
        ...


class NoRegions:
    """All particles move by the outer method."""

    def start(self, particles: Particles) -> None:
        """Return nothing."""

    def find(self, particles: Particles, acceleration: FloatArray, longest: FloatArray) -> list[Region]:
        """Return none."""
        return []

    def tide(self, particles: Particles, rows: Rows) -> FloatArray:
        """Never called."""
        raise NotImplementedError

    def advance(
        self, members: Sequence[Particles], tides: Sequence[FloatArray], dt: float, memory: Any
    ) -> Sequence[Moved]:
        """Never called."""
        raise NotImplementedError

    def taken_out(self, members: Particles, out: Evaluation) -> None:
        """Never called."""
        raise NotImplementedError

    def potential_energy(self, members: Particles) -> float:
        """Never called."""
        raise NotImplementedError


def centre_of_mass(particles: Particles, exchange: Exchange) -> tuple[FloatArray, FloatArray]:
    """Return position and velocity, (3,) each, of the centre of mass of particles on all ranks."""
    if exchange.size == 1:
        return particles.centre_of_mass()
    sums = np.concatenate(
        [[particles.mass.sum()], particles.mass @ particles.position, particles.mass @ particles.velocity]
    )
    total: FloatArray = exchange.reduce(sums, "sum")
    return total[1:4] / total[0], total[4:] / total[0]
