"""Groups of particles that a rescaling thermostat treats as one: the whole system, or the atoms of each species."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles
from .rigid import mean
from .temperature import Conserved, conserved_velocity, count_degrees, species_rows

FloatArray = NDArray[np.float64]
Grouping = Literal["all", "species"]


@dataclass(frozen=True, slots=True)
class Group:
    """Particles whose internal velocities are scaled together.

    Attributes
    ----------
    key : int < 0, names the group in the noise: -1 minus its smallest identity; -1 (``SYSTEM``) for particles 0 ... n-1
    rows : (k,) int
    degrees : int, degrees of freedom of ``internal``
    internal : (k, 3) velocities less those that are kept

    """

    key: int
    rows: NDArray[np.int64]
    degrees: int
    internal: FloatArray

    def doubled_kinetic(self, particles: Particles) -> float:
        """Return sum m w^2 of the internal velocities w."""
        return float(particles.mass[self.rows] @ np.einsum("ij,ij->i", self.internal, self.internal))

    def scale(self, particles: Particles, factor: float) -> None:
        """Multiply the internal velocities by a factor."""
        particles.velocity[self.rows] += (factor - 1.0) * self.internal


def group_key(identity: NDArray[np.int64]) -> int:
    """Return the identity that stands for a group of particles in counter-based noise."""
    return -1 - int(identity.min(initial=np.iinfo(np.int64).max - 1))


def check_grouping(groups: str) -> None:
    """Raise InputError for a grouping that is not known."""
    if groups not in _GROUPINGS:
        raise InputError(f"groups is {groups!r}; expected one of {', '.join(map(repr, _GROUPINGS))}")


def groups_of(particles: Particles, groups: Grouping, conserved: Conserved) -> list[Group]:
    """Return the groups that have a degree of freedom.

    "all": one group, less the conserved motion. "species": one per species, each less the motion of its own centre of mass
    where momentum is conserved; total momentum then stays as it is, angular momentum does not.
    """
    return [group for group in _GROUPINGS[groups](particles, conserved) if group.degrees > 0]


def _whole(particles: Particles, conserved: Conserved) -> list[Group]:
    if particles.n == 0:
        return []
    degrees = count_degrees(particles, conserved)
    internal = particles.velocity - conserved_velocity(particles, conserved)
    return [Group(group_key(particles.identity), np.arange(particles.n), degrees, internal)]


def _by_species(particles: Particles, conserved: Conserved) -> list[Group]:
    out = []
    for rows in species_rows(particles).values():
        internal, degrees = particles.velocity[rows], 3 * len(rows)
        if conserved != "nothing":
            internal, degrees = internal - mean(particles.mass[rows], internal), degrees - 3
        if len(rows):
            out.append(Group(group_key(particles.identity[rows]), rows, degrees, internal))
    return out


_GROUPINGS: dict[str, Callable[[Particles, Conserved], list[Group]]] = {"all": _whole, "species": _by_species}
