"""What ``askel info`` says about a run of many bodies: how many of each kind, and the black holes at the end."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from .nbody.orbits import elements_from_state
from .particles import KINDS, InputError, Particles
from .particles.io_h5md import Trajectory

_MOST_HOLES = 64  # among which the closest pair is looked for


def galaxy_facts(path: Path) -> dict[str, Any]:
    """Return facts of the last frame of a trajectory; none where it cannot be read.

    Returns
    -------
    dict with kinds {kind: number}, and where there are black holes: black_holes {identity: mass}, and for two and more
    closest_pair {identities, separation, bound, and where it is bound semi_major_axis, eccentricity}

    """
    try:
        with Trajectory(path) as file:
            state = file[-1] if len(file) else None
    except InputError:
        return {}  # what is damaged stands in the other facts
    if state is None or state.kind is None:
        return {}
    facts: dict[str, Any] = {"kinds": {k: int(n) for k, code in KINDS.items() if (n := state.is_kind(code).sum())}}
    holes = state.select(np.flatnonzero(state.is_kind(KINDS["black-hole"])))
    if holes.n:
        facts["black_holes"] = {str(i): float(m) for i, m in zip(holes.identity, holes.mass, strict=True)}
    if 2 <= holes.n <= _MOST_HOLES:
        facts["closest_pair"] = _closest(holes)
    return facts


def _closest(holes: Particles) -> dict[str, Any]:
    """Return the nearest two, and their elements of two bodies alone."""
    apart = {(i, j): holes.position[i] - holes.position[j] for i, j in combinations(range(holes.n), 2)}
    i, j = min(apart, key=lambda pair: float(np.linalg.norm(apart[pair])))
    x, v = apart[i, j], holes.velocity[i] - holes.velocity[j]
    mu = holes.units.gravitational_constant * float(holes.mass[i] + holes.mass[j])
    r = float(np.linalg.norm(x))
    bound = float(v @ v) < 2.0 * mu / r
    facts = {"identities": [int(k) for k in holes.identity[[i, j]]], "separation": r, "bound": bound}
    if bound and np.cross(x, v).any():
        orbit = elements_from_state(mu, x, v)
        facts |= {"semi_major_axis": orbit.semi_major_axis, "eccentricity": orbit.eccentricity}
    return facts
