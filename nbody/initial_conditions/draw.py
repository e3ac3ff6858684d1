"""Positions and velocities drawn from a distribution function, by noise that depends on seed and identity alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...particles.errors import NumericalFailure
from ...particles.noise import Purpose, uniform
from .eddington import DistributionFunction
from .profile import Array, Profile

#: Streams of noise: one for where a particle is, and one for each attempt at its speed.
_PLACE, _ATTEMPT = 1, 16
#: Radii and angles at which the bound of the rejection is tabulated, and what it is raised by.
_RADII, _ANGLES, _MARGIN = 300, 400, 1.1
_MOST_ATTEMPTS = 10_000


def positions_of(
    profile: Profile, fraction: float, seed: int, identity: NDArray[np.int64], even: bool
) -> tuple[Array, Array]:
    """Return radii (n,) and positions (n, 3) of the inner share of a profile, in no order.

    With ``even`` the k-th of the n equal shells of mass holds exactly one particle.
    """
    n = len(identity)
    u = uniform(seed, Purpose.INITIAL_CONDITIONS, _PLACE, identity, 6)
    share = u[:, 0]
    if even:
        share = (np.argsort(np.argsort(u[:, 5], kind="stable"), kind="stable") + share) / n
    radius = profile.radius_enclosing(np.maximum(share, 2.0**-54) * fraction)
    return radius, radius[:, None] * _directions(u[:, 1], u[:, 2])


def _directions(first: Array, second: Array) -> Array:
    """Return unit vectors (n, 3), evenly over the sphere."""
    cosine, angle = 2.0 * first - 1.0, 2.0 * np.pi * second
    flat = np.sqrt(1.0 - cosine * cosine)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), cosine], axis=1)


def velocities_of(
    distribution: DistributionFunction, radius: Array, position: Array, seed: int, identity: NDArray[np.int64]
) -> Array:
    r"""Return velocities (n, 3) of particles at given places, for G = 1.

        w = (v_r, sqrt(1 + r^2/r_a^2) v_t) is isotropic,  w = sqrt(2 Psi) sin(phi)
        p(phi) ~ sin^2(phi) cos(phi) f(Psi cos^2(phi))

    by rejection in phi, in which the density is smooth also far inside the sphere of influence of a black hole.

    Raises
    ------
    NumericalFailure : no speed is found in ten thousand attempts

    """
    depth = distribution.potential.depth(radius)
    angle = _speed_angles(distribution, radius, depth, seed, identity)
    u = uniform(seed, Purpose.INITIAL_CONDITIONS, _PLACE, identity, 6)
    w = np.sqrt(2.0 * depth) * np.sin(angle)
    w = w[:, None] * _directions(u[:, 3], u[:, 4])
    outwards = position / radius[:, None]
    along = np.sum(w * outwards, axis=1, keepdims=True) * outwards
    stretch = np.sqrt(1.0 + (radius / distribution.anisotropy_radius) ** 2)[:, None]
    return along + (w - along) / stretch


def _weight(distribution: DistributionFunction, depth: Array, angle: Array) -> Array:
    """Return p(phi), not normalised."""
    cosine = np.cos(angle)
    return np.sin(angle) ** 2 * cosine * distribution(depth * cosine**2)


def _speed_angles(
    distribution: DistributionFunction, radius: Array, depth: Array, seed: int, identity: NDArray[np.int64]
) -> Array:
    bound = _bound(distribution, radius)
    found, left = np.empty(len(radius)), np.arange(len(radius))
    for attempt in range(_MOST_ATTEMPTS):
        if left.size == 0:
            return found
        u = uniform(seed, Purpose.INITIAL_CONDITIONS, _ATTEMPT + attempt, identity[left], 2)
        angle = 0.5 * math.pi * u[:, 0]
        taken = u[:, 1] * bound[left] < _weight(distribution, depth[left], angle)
        found[left[taken]] = angle[taken]
        left = left[~taken]
    raise NumericalFailure(
        f"no velocity found for {left.size} particles", time=0.0, identities=identity[left[:10]].tolist()
    )


def _bound(distribution: DistributionFunction, radius: Array) -> Array:
    """Return, for every radius, a number above the largest p(phi)."""
    low, high = radius.min(), radius.max()
    grid = np.geomspace(low, max(high, low * (1.0 + 1e-9)), _RADII)
    angle = np.linspace(0.0, 0.5 * np.pi, _ANGLES + 1)[1:-1]
    depth = distribution.potential.depth(grid)[:, None]
    largest = np.maximum(_weight(distribution, depth, angle).max(axis=1), 1e-300)
    return _MARGIN * np.exp(np.interp(np.log(radius), np.log(grid), np.log(largest)))
