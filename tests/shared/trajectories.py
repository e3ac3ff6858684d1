"""Frames of trajectories, and whether two are equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from askel.particles import Particles
from askel.particles.io_h5md import Trajectory


def frames(path: Path) -> list[Particles]:
    with Trajectory(path) as file:
        return list(file)


def same_content(one: Path, other: Path) -> bool:
    """Return whether frames and tables are equal bit for bit."""
    with Trajectory(one) as a, Trajectory(other) as b:
        if len(a) != len(b) or a.tables() != b.tables():
            return False
        for x, y in zip(a, b, strict=True):
            left, right = x.to_dict(), y.to_dict()
            if left.keys() != right.keys() or any(not np.array_equal(left[k], right[k]) for k in left):
                return False
        for name in a.tables():
            left, right = a.table(name), b.table(name)
            if left.keys() != right.keys():
                return False
            if any(not np.array_equal(left[k], right[k], equal_nan=left[k].dtype.kind == "f") for k in left):
                return False
    return True
