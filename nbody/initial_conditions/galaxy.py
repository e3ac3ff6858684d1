"""Galaxies: spherical components and a central black hole in equilibrium with each other, as particles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...particles import KINDS, UNIT_SYSTEMS, Particles, UnitSystem, join
from ...particles.errors import InputError
from .black_holes import BlackHole, BlackHoleBinary
from .draw import positions_of, velocities_of
from .eddington import DistributionFunction, Potential, invert
from .kroupa import MassFunction
from .profile import Profile

#: Share of an infinite model that is made of particles when no cut is given.
DEFAULT_FRACTION = 0.99
#: sampling -> (radii evenly over the mass, particles in mirrored pairs)
_SAMPLINGS = {"random": (False, False), "stratified": (True, False), "quiet": (True, True)}


@dataclass(frozen=True)
class Component:
    """One spherical component of a galaxy.

    Attributes
    ----------
    profile : Plummer, Hernquist, Dehnen, NFW, King, Tabulated or another ``Profile``
    n : number of particles
    kind : what they are: "star", "dark-matter", ...
    anisotropy_radius : of Osipkov and Merritt; beyond it orbits are radial; infinite: isotropic
    cut_radius : no particle is farther out; by default where infinite models have 99 % of their mass
    softening : Plummer softening length of the particles, or None
    mass_function : relative masses of the particles, such as ``kroupa()``; equal masses when None

    Raises InputError for values out of range.

    """

    profile: Profile
    n: int
    kind: str = "star"
    anisotropy_radius: float = math.inf
    cut_radius: float | None = None
    softening: float | None = None
    mass_function: MassFunction | None = None

    def __post_init__(self) -> None:
        """Look at the values."""
        if isinstance(self.n, bool) or not isinstance(self.n, int | np.integer) or self.n < 1:
            raise InputError(f"n is {self.n!r}; a component needs a whole number of particles, at least 1")
        if self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r} is unknown; known: {', '.join(KINDS)}")
        if not self.anisotropy_radius > 0.0:
            raise InputError(f"anisotropy_radius is {self.anisotropy_radius:g}; it must be above zero")
        if self.cut_radius is not None and not (math.isfinite(self.cut_radius) and self.cut_radius > 0.0):
            raise InputError(f"cut_radius is {self.cut_radius:g}; it must be a finite length above zero")
        if self.softening is not None and not (math.isfinite(self.softening) and self.softening >= 0.0):
            raise InputError(f"softening is {self.softening:g}; it must be a finite length, zero or positive")

    @property
    def mass_fraction(self) -> float:
        """The share of the profile's mass that the particles have."""
        if self.cut_radius is not None:
            return float(self.profile.enclosed_mass(self.cut_radius)) / self.profile.mass
        return 1.0 if math.isfinite(self.profile.extent) else DEFAULT_FRACTION


@dataclass(frozen=True)
class Galaxy:
    r"""Spherical components about one centre, each in equilibrium in the potential of all, with black holes.

    The black hole at the centre, or the pair of them, counts in that potential with its whole mass as a point; stars
    within a few semi-major axes of a pair are therefore not in equilibrium. ``further_black_holes`` are put where they
    say, and nothing knows of them. The potential is that of unsoftened particles: with a softening eps the inner few eps
    are too hot, and expand a little in the first crossing time.

    Attributes
    ----------
    components : of Component
    black_hole : BlackHole at rest in the centre, BlackHoleBinary, or None
    further_black_holes : of BlackHole or BlackHoleBinary, anywhere

    Raises InputError for a central black hole that is not in the centre, or nothing at all.

    """

    components: Sequence[Component] = ()
    black_hole: BlackHole | BlackHoleBinary | None = None
    further_black_holes: Sequence[BlackHole | BlackHoleBinary] = ()

    def __post_init__(self) -> None:
        """Look at the values."""
        if not self.components and self.black_hole is None and not self.further_black_holes:
            raise InputError("a galaxy has no components and no black hole; give at least one")
        hole = self.black_hole
        if hole is not None and (any(hole.position) or any(hole.velocity)):
            raise InputError("black_hole is away from the centre or moves; put it into further_black_holes")

    @cached_property
    def potential(self) -> Potential:
        """The potential of all components and the central black hole, G = 1."""
        profiles = tuple(c.profile for c in self.components)
        return Potential(profiles, 0.0 if self.black_hole is None else self.black_hole.mass)

    @cached_property
    def distributions(self) -> tuple[DistributionFunction, ...]:
        """The distribution function of every component; raises InputError where there is none."""
        return tuple(invert(c.profile, self.potential, c.anisotropy_radius) for c in self.components)

    def sample(
        self,
        *,
        seed: int = 0,
        units: UnitSystem = UNIT_SYSTEMS["nbody"],
        sampling: str = "random",
        first_identity: int = 0,
    ) -> Particles:
        """Return the particles, black holes last, with the centre of mass at rest in the origin.

        Parameters
        ----------
        seed : every number follows from it and the particle's identity
        units : what the lengths and masses of the components are in; velocities use their G
        sampling : "random"; "stratified": radii evenly spread over the mass; "quiet": that, and every second particle the
            mirror image (-x, -v) of the one before, so that net momentum and the dipole vanish, and stay zero: such a system
            stays its own mirror image until round-off has grown
        first_identity : number of the first particle

        Raises
        ------
        InputError : unknown sampling, or a component without a distribution function

        """
        if sampling not in _SAMPLINGS:
            raise InputError(f"sampling = {sampling!r} is unknown; known: {', '.join(_SAMPLINGS)}")
        parts, at = [], first_identity
        for component, distribution in zip(self.components, self.distributions, strict=True):
            parts.append(_particles(component, distribution, seed, units, sampling, at))
            at += component.n
        holes = ((self.black_hole,) if self.black_hole is not None else ()) + tuple(self.further_black_holes)
        parts += [hole.particles(units) for hole in holes]
        whole = join(parts)
        whole.identity[:] = first_identity + np.arange(whole.n)
        centre, drift = whole.centre_of_mass()
        whole.position -= centre
        whole.velocity -= drift
        return whole


def sample(profile: Profile, n: int, *, seed: int = 0, units: UnitSystem = UNIT_SYSTEMS["nbody"]) -> Particles:
    """Return n particles of equal mass of one profile in equilibrium with itself; more options: ``Galaxy``."""
    return Galaxy([Component(profile, n)]).sample(seed=seed, units=units)


def _particles(
    component: Component, distribution: DistributionFunction, seed: int, units: UnitSystem, sampling: str, first: int
) -> Particles:
    """Return the particles of one component, at the origin."""
    n, (even, mirrored) = component.n, _SAMPLINGS[sampling]
    identity = first + np.arange(n, dtype=np.int64)
    drawn = identity[::2] if mirrored else identity
    radius, position = positions_of(component.profile, component.mass_fraction, seed, drawn, even)
    velocity = velocities_of(distribution, radius, position, seed, drawn) * math.sqrt(units.gravitational_constant)
    relative = np.ones(len(drawn))
    if component.mass_function is not None:
        relative = component.mass_function.sample(len(drawn), seed=seed, identity=drawn)
    if mirrored:
        position, velocity = (np.stack([a, -a], axis=1).reshape(-1, 3)[:n] for a in (position, velocity))
        relative = np.repeat(relative, 2)[:n]
    mass = relative * (component.mass_fraction * component.profile.mass / relative.sum())
    fields: dict[str, Any] = {} if component.softening is None else {"softening": np.full(n, component.softening)}
    kind = np.full(n, KINDS[component.kind], np.int8)
    return Particles(mass, position, velocity, identity=identity, kind=kind, units=units, **fields)
