"""What a rescaling thermostat treats as one: the whole system, the atoms of each species, or a kind of motion of molecules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange, InputError, Particles
from .molecular_motion import molecular_motion
from .rigid import mean
from .temperature import Conserved, conserved_velocity, count_degrees, species_rows

FloatArray = NDArray[np.float64]
#: Between the keys of translation, rotation and vibration, more than there are identities.
_MOTION_KEYS = 1 << 48
Grouping = Literal["all", "species", "molecules"]


@dataclass(frozen=True, slots=True)
class Group:
    """Particles whose internal velocities are scaled together.

    Attributes
    ----------
    key : int < 0, names the group in the noise: -1 minus its smallest identity; -1 (``SYSTEM``) for particles 0 ... n-1
    rows : (k,) int, of those on this rank
    degrees : int, degrees of freedom of ``internal``, on all ranks
    internal : (k, 3) velocities less those that are kept
    exchange : Exchange

    """

    key: int
    rows: NDArray[np.int64]
    degrees: int
    internal: FloatArray
    exchange: Exchange = SERIAL

    def doubled_kinetic(self, particles: Particles) -> float:
        """Return sum m w^2 of the internal velocities w."""
        own = float(particles.mass[self.rows] @ np.einsum("ij,ij->i", self.internal, self.internal))
        return float(self.exchange.reduce(own, "sum"))

    def scale(self, particles: Particles, factor: float) -> None:
        """Multiply the internal velocities by a factor."""
        particles.velocity[self.rows] += (factor - 1.0) * self.internal


def group_key(identity: NDArray[np.int64], exchange: Exchange = SERIAL) -> int:
    """Return the identity that stands for a group of particles in counter-based noise."""
    return -1 - int(exchange.reduce(int(identity.min(initial=np.iinfo(np.int64).max - 1)), "min"))


def check_grouping(groups: str) -> None:
    """Raise InputError for a grouping that is not known."""
    if groups not in _GROUPINGS:
        raise InputError(f"groups is {groups!r}; expected one of {', '.join(map(repr, _GROUPINGS))}")


def groups_of(particles: Particles, groups: Grouping, conserved: Conserved, exchange: Exchange = SERIAL) -> list[Group]:
    """Return the groups that have a degree of freedom: the same, in the same order, on all ranks.

    "all": one group, less the conserved motion. "species": one per species, each less the motion of its own centre of mass
    where momentum is conserved; total momentum then stays as it is, angular momentum does not. "molecules": translation,
    rotation and vibration of molecules (``molecular_motion``), found by their bonds at each call; the same holds.

    Raises
    ------
    InputError : "molecules" on several ranks, without atomic numbers, or where angular momentum is conserved

    """
    return [group for group in _GROUPINGS[groups](particles, conserved, exchange) if group.degrees > 0]


def _whole(particles: Particles, conserved: Conserved, exchange: Exchange) -> list[Group]:
    degrees = count_degrees(particles, conserved, exchange)
    internal = particles.velocity - conserved_velocity(particles, conserved, exchange)
    return [Group(group_key(particles.identity, exchange), np.arange(particles.n), degrees, internal, exchange)]


def _by_species(particles: Particles, conserved: Conserved, exchange: Exchange) -> list[Group]:
    out = []
    for rows in species_rows(particles, exchange).values():
        internal, degrees = particles.velocity[rows], 3 * int(exchange.reduce(len(rows), "sum"))
        if conserved != "nothing":
            internal, degrees = internal - mean(particles.mass[rows], internal, exchange), degrees - 3
        out.append(Group(group_key(particles.identity[rows], exchange), rows, degrees, internal, exchange))
    return out


def _by_motion(particles: Particles, conserved: Conserved, exchange: Exchange) -> list[Group]:
    from .ase_molecules import molecules

    if exchange.size > 1:
        raise InputError(f"groups = 'molecules' runs on one rank, not on {exchange.size}; take 'species'")
    if conserved == "momentum and rotation" and particles.n:
        raise InputError("groups = 'molecules' is for periodic systems; an open one keeps its angular momentum, which is "
                         "shared by translation and rotation")  # fmt: skip
    motions, degrees = molecular_motion(particles, molecules(particles))
    if conserved == "momentum":
        motions[0] = motions[0] - mean(particles.mass, particles.velocity)
        degrees[0] -= 3
    rows, key = np.arange(particles.n), group_key(particles.identity)
    each = zip(motions, degrees, strict=True)
    return [Group(key - k * _MOTION_KEYS, rows, own, w) for k, (w, own) in enumerate(each)]


_GROUPINGS: dict[str, Callable[[Particles, Conserved, Exchange], list[Group]]] = {
    "all": _whole,
    "species": _by_species,
    "molecules": _by_motion,
}
