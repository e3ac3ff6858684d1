"""What is judged: the frames of one trajectory as arrays, and how runs are cut into blocks.

Units of all judging: Angstrom, fs, Angstrom/fs, amu, eV, K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...particles import InputError

FloatArray = NDArray[np.float64]

#: default number of blocks, over all runs together
BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Frames:
    """One trajectory.

    Attributes
    ----------
    position : (f, n, 3), Angstrom, wrapped into the cell or not
    velocity : (f, n, 3), Angstrom/fs, or None
    species : (n,) int, atomic numbers
    mass : (n,), amu
    interval : fs between two frames
    cell : (f, 3, 3), rows are the cell vectors, Angstrom; or None
    periodic : (3,) bool
    potential_energy : (f,), eV, or None
    forces : (f, n, 3), eV/Angstrom, or None
    unwrapped : bool, positions follow the atoms through the boundaries

    """

    position: FloatArray
    velocity: FloatArray | None
    species: NDArray[np.int64]
    mass: FloatArray
    interval: float
    cell: FloatArray | None
    periodic: NDArray[np.bool_]
    potential_energy: FloatArray | None = None
    forces: FloatArray | None = None
    unwrapped: bool = False

    def __len__(self) -> int:
        return len(self.position)

    @property
    def n(self) -> int:
        """Number of atoms."""
        return len(self.species)

    @property
    def open(self) -> bool:
        """Whether no direction is periodic, so that angular momentum is conserved too."""
        return not bool(self.periodic.any())

    @property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, sorted."""
        return tuple(int(z) for z in np.unique(self.species))

    def part(self, chosen: slice) -> Frames:
        """Return some of the frames (views); a step in the slice lengthens the interval."""
        return replace(
            self,
            position=self.position[chosen],
            velocity=None if self.velocity is None else self.velocity[chosen],
            cell=None if self.cell is None else self.cell[chosen],
            potential_energy=None if self.potential_energy is None else self.potential_energy[chosen],
            forces=None if self.forces is None else self.forces[chosen],
            interval=self.interval * (chosen.step or 1),
        )


def make_frames(
    position: ArrayLike,
    species: ArrayLike,
    interval: float,
    *,
    velocity: ArrayLike | None = None,
    mass: ArrayLike | None = None,
    cell: ArrayLike | None = None,
    periodic: ArrayLike | bool | None = None,
    potential_energy: ArrayLike | None = None,
    forces: ArrayLike | None = None,
    unwrapped: bool = False,
) -> Frames:
    """Return frames from arrays (see ``Frames``); cell may be (3, 3), (3,) or (f, 3, 3), and implies periodicity.

    Raises
    ------
    InputError : shapes that do not fit, an interval that is not positive, periodic without a cell

    """
    x = np.asarray(position, dtype=float)
    if x.ndim != 3 or x.shape[2] != 3 or not len(x):
        raise InputError(f"positions have shape {x.shape}; expected (frames, atoms, 3) with at least one frame")
    if not (interval > 0.0 and np.isfinite(interval)):
        raise InputError(f"the interval between frames is {interval} fs; expected a positive number: give interval=")
    n = x.shape[1]
    kinds = _shaped("species", species, np.int64, (n,))
    weights = _standard_masses(kinds) if mass is None else _shaped("mass", mass, float, (n,))
    edges = None if cell is None else _cells(cell, len(x))
    wraps = np.broadcast_to(np.asarray(edges is not None if periodic is None else periodic, dtype=bool), (3,)).copy()
    if wraps.any() and edges is None:
        raise InputError("periodic frames need a cell; give cell=")
    return Frames(
        x,
        None if velocity is None else _shaped("velocity", velocity, float, x.shape),
        kinds,
        weights,
        float(interval),
        edges,
        wraps,
        None if potential_energy is None else _shaped("potential_energy", potential_energy, float, (len(x),)),
        None if forces is None else _shaped("forces", forces, float, x.shape),
        unwrapped,
    )


def _shaped(name: str, value: ArrayLike, dtype: Any, shape: tuple[int, ...]) -> NDArray:
    array = np.asarray(value, dtype=dtype)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}; expected {shape}")
    return array


def _cells(cell: ArrayLike, count: int) -> FloatArray:
    edges = np.asarray(cell, dtype=float)
    if edges.shape == (3,):
        edges = np.diag(edges)
    if edges.shape not in ((3, 3), (count, 3, 3)):
        raise InputError(f"cell has shape {edges.shape}; expected (3, 3), (3,) or ({count}, 3, 3)")
    return np.broadcast_to(edges, (count, 3, 3))


def _standard_masses(species: NDArray[np.int64]) -> FloatArray:
    from ...particles.io_ase import standard_masses

    return standard_masses(species)


# ---------------------------------------------------------------------- cutting and averaging


def subsample(runs: Sequence[Frames], interval: float) -> list[Frames]:
    """Return the runs with every k-th frame, so that frames are ``interval`` fs apart.

    Raises
    ------
    InputError : the interval is not a multiple of the present one

    """
    present = runs[0].interval
    every = round(interval / present)
    if every < 1 or abs(every * present - interval) > 1e-4 * interval:
        raise InputError(f"frames every {present:g} fs cannot be thinned to one every {interval:g} fs")
    return [r.part(slice(None, None, every)) for r in runs] if every > 1 else list(runs)


def blocks(runs: Sequence[Frames], count: int = BLOCKS, shortest: int = 2) -> list[Frames]:
    """Return the runs cut into about ``count`` contiguous blocks of equal length, of at least ``shortest`` frames."""
    total = sum(len(r) for r in runs)
    length = max(total // count, shortest, 1)
    cut = []
    for run in runs:
        pieces = max(len(run) // length, 1)
        edges = np.linspace(0, len(run), pieces + 1).astype(int)
        cut += [run.part(slice(a, b)) for a, b in pairwise(edges)]
    return cut


def concatenate(runs: Sequence[Frames]) -> Frames:
    """Return the frames of runs end to end, for quantities that do not look at the order of frames."""
    first = runs[0]
    if len(runs) == 1:
        return first

    def joined(name: str) -> FloatArray | None:
        parts = [getattr(r, name) for r in runs]
        return None if any(p is None for p in parts) else np.concatenate(parts)

    position = joined("position")
    assert position is not None, "frames have positions"
    return replace(
        first,
        position=position,
        velocity=joined("velocity"),
        cell=joined("cell"),
        potential_energy=joined("potential_energy"),
        forces=joined("forces"),
    )


def static_blocks(runs: Sequence[Frames], count: int = BLOCKS) -> list[Frames]:
    """Return about ``count`` blocks for quantities of single frames: as ``blocks``, but many short runs are put together."""
    if len(runs) <= count:
        return blocks(runs, count)
    edges = np.linspace(0, len(runs), count + 1).astype(int)
    return [concatenate(runs[a:b]) for a, b in pairwise(edges)]


def mean_and_error(
    samples: ArrayLike | Sequence[ArrayLike], weights: ArrayLike | None = None
) -> tuple[FloatArray, FloatArray]:
    r"""Return the weighted mean over blocks (axis 0) and its standard error sqrt(sum w^2 d^2 / (1 - sum w^2)), sum w = 1.

    With equal weights this is s/sqrt(B). NaN where there is one block. Reference: Flyvbjerg & Petersen 1989,
    doi:10.1063/1.457480 (blocks must be longer than the correlation time).
    """
    x = np.asarray(samples, dtype=float)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    w = w / w.sum()
    mean = np.tensordot(w, x, axes=1)
    if len(x) < 2:
        return mean, np.full_like(mean, np.nan)
    spread = np.tensordot(w**2, (x - mean) ** 2, axes=1) / (1.0 - np.sum(w**2))
    return mean, np.sqrt(spread)


def unwrap(frames: Frames) -> Frames:
    """Return the frames with positions that follow the atoms through the boundaries.

    x_k = x_{k-1} + minimum image of (x_k - x_{k-1}); exact while no atom moves half a cell between frames.
    """
    if frames.unwrapped or frames.open or frames.cell is None or len(frames) < 2:
        return replace(frames, unwrapped=True)
    inverse = np.linalg.inv(_full_cells(frames))
    scaled = np.einsum("fni,fij->fnj", frames.position, inverse)
    jumps = np.round(np.diff(scaled, axis=0)) * frames.periodic
    scaled[1:] -= np.cumsum(jumps, axis=0)
    position = np.einsum("fni,fij->fnj", scaled, np.linalg.inv(inverse))
    return replace(frames, position=position, unwrapped=True)


def _full_cells(frames: Frames) -> FloatArray:
    """Return the cells (f, 3, 3) with unit vectors along directions that have none."""
    assert frames.cell is not None
    cells = np.array(frames.cell)
    empty = ~cells.any(axis=2)
    cells[empty] = np.broadcast_to(np.eye(3), cells.shape)[empty]
    return cells
