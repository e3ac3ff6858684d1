"""Frames from everywhere: states, trajectory files, files of NVE segments, MDAnalysis; ASE's Atoms are in ``ase_bonds``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...particles import UNIT_SYSTEMS, InputError, Particles
from ...particles.files import frames as states_of
from ..model_units import ASE_TIME
from .frames import Frames, make_frames

#: segments drawn at a temperature within this of the wanted one are taken, else those of the nearest
_SAME_TEMPERATURE = 0.5


def frames_from_particles(
    states: Iterable[Particles], *, interval: float | None = None, potential_energy: ArrayLike | None = None
) -> Frames:
    """Return the frames of states of one membership; their times give the interval where it is not given (fs).

    Raises
    ------
    InputError : no state, no atomic numbers, states that differ in their atoms, times that are not evenly spaced

    """
    found = [s.in_units(UNIT_SYSTEMS["ase"]) for s in states]
    if not found:
        raise InputError("there are no frames to judge")
    first = found[0]
    if first.species is None:
        raise InputError("the frames have no atomic numbers; judging is by species, so write them into the file")
    if any(s.n != first.n or not np.array_equal(s.identity, first.identity) for s in found):
        raise InputError("the frames differ in their atoms; all must hold the same atoms in the same order")
    velocity = np.stack([s.velocity for s in found]) / ASE_TIME
    return make_frames(
        np.stack([s.position for s in found]),
        first.species,
        _interval([s.time * ASE_TIME for s in found]) if interval is None else interval,
        velocity=velocity if velocity.any() else None,
        mass=first.mass,
        cell=None if first.cell is None else np.array([s.cell for s in found]),
        periodic=False if first.periodic is None else first.periodic,
        potential_energy=potential_energy,
    )


def _interval(time: Sequence[float]) -> float:
    steps = np.diff(time)
    if not len(steps):
        return 1.0
    middle = float(np.median(steps))
    if not middle > 0.0 or np.abs(steps - middle).max() > 1e-4 * middle:
        raise InputError("the times of the frames are absent or not evenly spaced; give interval= in fs")
    return middle


def read_frames(path: str | Path, *, interval: float | None = None) -> Frames:
    """Return the frames of a trajectory file that Askel or ASE reads (H5MD, extended XYZ, ASE trajectories, dumps).

    Parameters
    ----------
    path : the file
    interval : fs between frames, where the file does not say it

    Raises
    ------
    InputError : as ``askel.read`` and ``frames_from_particles``

    """
    return frames_from_particles(states_of(path), interval=interval)


def read_segments(path: str | Path, *, temperature: float | None = None, system: int = 0) -> list[Frames]:
    """Return the NVE segments of a file that ``askel data`` made, of one system and, where given, one temperature.

    Parameters
    ----------
    path : the file
    temperature : K, that the segments were drawn at; the nearest there is. All when not given.
    system : which of the systems of the file

    Raises
    ------
    InputError : not such a file, damaged, or without a segment of that system

    """
    from ...particles.io_segments import SegmentFile

    with SegmentFile(path) as file:
        kept = np.asarray(file.system) == system
        if not kept.any():
            raise InputError(
                f"{path} has no segments of system {system}; it has {len(set(file.system.tolist()))} systems"
            )
        if temperature is not None:
            drawn = np.asarray(file.temperatures)
            gap = np.where(kept, np.abs(drawn - temperature), np.inf)
            kept &= gap <= gap.min() + _SAME_TEMPERATURE
        chosen = [file[int(k)] for k in np.flatnonzero(kept)]
    return [
        make_frames(
            s.position,
            s.species,
            s.interval,
            velocity=s.velocity,
            mass=s.mass,
            cell=s.cell,
            periodic=s.periodic,
            potential_energy=s.energy,
            forces=s.forces,
            unwrapped=True,
        )
        for s in chosen
    ]


def read_runs(
    path: str | Path, *, interval: float | None = None, temperature: float | None = None, system: int = 0
) -> list[Frames]:
    """Return the runs of any file: the segments of a file of NVE segments, else one trajectory.

    Parameters as of ``read_segments`` and ``read_frames``; raises InputError as they do.
    """
    if _holds_segments(Path(path)):
        return read_segments(path, temperature=temperature, system=system)
    return [read_frames(path, interval=interval)]


def _holds_segments(path: Path) -> bool:
    from ...particles.io_hdf5 import number_attribute, open_hdf5

    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(b"\x89HDF"):
                return False
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    with open_hdf5(path) as h5:
        return number_attribute(h5, "askel_segments") is not None


def frames_from_universe(universe: Any, *, interval: float | None = None) -> Frames:
    """Return the frames of an ``MDAnalysis.Universe`` with elements: its units are Angstrom, ps, Angstrom/ps, amu.

    Raises
    ------
    InputError : no elements

    """
    from ...particles.io_ase import numbers

    atoms = universe.atoms
    try:
        species = numbers(atoms.elements)
    except (AttributeError, KeyError):
        raise InputError("the universe has no known elements; add the topology attribute 'elements'") from None
    steps = [
        (ts.positions.copy(), ts.velocities.copy() if ts.has_velocities else None, ts.triclinic_dimensions, ts.time)
        for ts in universe.trajectory
    ]
    position, velocity, cell, time = zip(*steps, strict=True)
    boxed = all(c is not None and np.linalg.det(c) > 0.0 for c in cell)
    return make_frames(
        np.stack(position),
        species,
        _interval([1e3 * t for t in time]) if interval is None else interval,
        velocity=None if any(v is None for v in velocity) else np.stack(velocity) * 1e-3,
        mass=atoms.masses,
        cell=np.stack(cell) if boxed else None,
    )


Runs = Frames | Sequence[Frames] | str | Path


def as_runs(source: Runs, temperature: float | None = None) -> list[Frames]:
    """Return the independent runs of a source: frames, several of them, or a file (segments near a temperature, in K).

    Raises
    ------
    InputError : runs of different atoms or intervals, or no runs

    """
    if isinstance(source, Frames):
        return [source]
    runs = read_runs(source, temperature=temperature) if isinstance(source, str | Path) else list(source)
    if not runs:
        raise InputError("there are no runs to judge")
    first = runs[0]
    if any(not np.array_equal(r.species, first.species) for r in runs):
        raise InputError("the runs differ in their atoms; judge them one by one")
    if any(abs(r.interval - first.interval) > 1e-6 * first.interval for r in runs):
        raise InputError("the runs differ in the interval of their frames; judge them one by one")
    return runs
