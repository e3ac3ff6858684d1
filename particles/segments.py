"""A segment of molecular dynamics: frames of one NVE run, what long strides are learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Segment:
    """A stretch of one NVE run, frames at equal intervals.

    Attributes
    ----------
    species : (n,) int32, atomic numbers;  mass : (n,) amu
    cell : (3, 3) Angstrom, rows are cell vectors, or None;  periodic : (3,) bool
    temperature : K, of the ensemble that its first frame was drawn from
    interval : fs between frames
    position : (F, n, 3) Angstrom, continuous in time (not wrapped);  velocity : (F, n, 3) Angstrom/fs
    forces : (F, n, 3) eV/Angstrom or None;  energy : (F,) potential energy in eV, or None

    """

    species: NDArray[np.int32]
    mass: FloatArray
    cell: FloatArray | None
    periodic: NDArray[np.bool_]
    temperature: float
    interval: float
    position: FloatArray
    velocity: FloatArray
    forces: FloatArray | None = None
    energy: FloatArray | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.position)

    @property
    def n(self) -> int:
        """Number of atoms."""
        return len(self.species)

    def check(self) -> None:
        """Raise InputError unless shapes fit together and every number is finite."""
        n, frames = len(self.species), len(self.position)
        expected = {
            "mass": (self.mass, (n,)),
            "periodic": (self.periodic, (3,)),
            "cell": (self.cell, (3, 3)),
            "position": (self.position, (frames, n, 3)),
            "velocity": (self.velocity, (frames, n, 3)),
            "forces": (self.forces, (frames, n, 3)),
            "energy": (self.energy, (frames,)),
        }
        for name, (value, shape) in expected.items():
            if value is None:
                continue
            if np.shape(value) != shape:
                raise InputError(f"a segment's {name} has shape {np.shape(value)}; expected {shape}")
            if not np.isfinite(value).all():
                raise InputError(
                    f"a segment's {name} holds values that are not finite; the run that made it went wrong"
                )
        if n == 0 or frames < 2:
            raise InputError(f"a segment has {n} atoms and {frames} frames; expected some atoms and two frames or more")
        if (np.asarray(self.mass) <= 0.0).any():
            raise InputError("a segment has a mass that is not positive")
        if np.any(self.periodic) and self.cell is None:
            raise InputError("a segment is periodic but has no cell")
