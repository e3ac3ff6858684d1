"""Training data from trajectories that exist already: extended XYZ, ASE's, H5MD, LAMMPS dumps, anything with velocities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import iread

from ..particles import UNIT_SYSTEMS, InputError, Particles
from ..particles.files import format_of, frames
from ..particles.io_ase import particles_from_atoms
from ..particles.io_segments import Segment, SegmentWriter
from .segment_measures import FloatArray, kinetic_temperature

#: rms displacement over interval times rms velocity: 1 when atoms fly freely, less when they turn round, never more than ~1
_FASTEST, _SLOWEST = 1.2, 0.02
#: rms distance, in cells, of unwrapped positions from where the velocities lead; 0.29 when these say nothing
_ASTRAY = 0.15

#: (state in ASE units, forces, energy) of one frame
_Frame = tuple[Particles, FloatArray | None, float | None]


def segments_from_trajectory(
    paths: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    interval: float,
    step: float | None = None,
    frames_per_segment: int = 17,
    temperature: float | None = None,
    reference: str = "trajectory",
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Cut trajectories into segments and stream them to a file; return how many.

    Segments follow one another without gap; positions are unwrapped with the help of the velocities. The trajectories must
    come from plain dynamics (NVE): a thermostat's noise cannot be learned.

    Parameters
    ----------
    paths : trajectories;  path : the file to write
    interval : fs between two frames;  step : fs, of the dynamics that made them (the interval when not given)
    frames_per_segment : 2 or more; a rest of fewer frames is left out
    temperature : K, for the table; the mean kinetic temperature of each segment when not given
    reference : name of what made the forces
    options : for ``ase.io.iread`` (``{"units": "real", "specorder": ["O", "H"]}`` of a LAMMPS dump)
    overwrite : replace an existing file
    progress : called with the number of segments after each

    Raises
    ------
    InputError : no velocities, atomic numbers or frames; a frame spacing that the times in the file or the velocities
        contradict; atoms, cell or order that change on the way

    """
    if frames_per_segment < 2 or not 0.0 < interval < np.inf:
        raise InputError(
            f"{frames_per_segment} frames every {interval} fs; expected two or more, and a positive interval"
        )
    sources = [paths] if isinstance(paths, str | Path) else list(paths)
    writer: SegmentWriter | None = None
    try:
        for source in sources:
            for segment in _cut(Path(source), interval, frames_per_segment, temperature, dict(options or {})):
                if writer is None:
                    writer = SegmentWriter.create(
                        path,
                        reference=reference,
                        step=interval if step is None else step,
                        interval=interval,
                        recipe={"kind": "trajectory", "files": [Path(s).name for s in sources]},
                        forces=segment.forces is not None,
                        energy=segment.energy is not None,
                        overwrite=overwrite,
                    )
                writer.append(segment)
                if progress is not None:
                    progress(len(writer))
        if writer is None:
            raise InputError(f"{sources[0] if sources else 'no file'} has fewer than {frames_per_segment} frames")
        return len(writer)
    finally:
        if writer is not None:
            writer.close()


def _cut(
    source: Path, interval: float, count: int, temperature: float | None, options: dict[str, Any]
) -> Iterator[Segment]:
    """Yield the segments of one trajectory."""
    waiting: list[_Frame] = []
    for frame in _read(source, options):
        waiting.append(frame)
        _check(source, waiting, interval)
        if len(waiting) == count:
            yield _segment(source, waiting, interval, temperature)
            waiting = []


def _read(source: Path, options: dict[str, Any]) -> Iterator[_Frame]:
    if format_of(source).name != "ase":
        for state in frames(source):
            yield state.in_units(UNIT_SYSTEMS["ase"]), None, None
        return
    try:
        for atoms in iread(str(source), index=":", **options):
            state = particles_from_atoms(atoms)
            if not atoms.has("momenta") and not state.velocity.any():
                raise InputError(f"{source} has no velocities; a stride is learned from positions and velocities")
            yield state, *_results(atoms)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{source} cannot be read by ASE ({what[:120]})") from None


def _results(atoms: Atoms) -> tuple[FloatArray | None, float | None]:
    found = {} if atoms.calc is None else atoms.calc.results
    energy = found.get("free_energy", found.get("energy"))
    forces = found.get("forces")
    return None if forces is None else np.array(forces, float), None if energy is None else float(energy)


def _check(source: Path, waiting: list[_Frame], interval: float) -> None:
    """Refuse a frame that does not go on from the ones before."""
    first, last = waiting[0][0], waiting[-1][0]
    if first.species is None or last.species is None:
        raise InputError(f"{source} has no atomic numbers; write them into the file")
    if not last.velocity.any():
        raise InputError(f"{source} has no velocities; a stride is learned from positions and velocities")
    if not np.array_equal(first.species, last.species) or not np.array_equal(first.identity, last.identity):
        raise InputError(f"{source} changes its atoms or their order on the way; write one file for each system")
    if first.cell is not None and (last.cell is None or not np.allclose(first.cell, last.cell, rtol=0.0, atol=1e-6)):
        raise InputError(f"{source} changes its cell on the way; segments are of constant volume")
    if len(waiting) > 1:
        gap = (last.time - waiting[-2][0].time) / units.fs
        if gap != 0.0 and abs(gap - interval) > 1e-3 * interval:
            raise InputError(f"{source} has frames {gap:.6g} fs apart, not {interval:g} fs; give interval = {gap:.6g}")


def _segment(source: Path, found: list[_Frame], interval: float, temperature: float | None) -> Segment:
    first = found[0][0]
    velocity = np.array([state.velocity for state, _, _ in found]) * units.fs
    position, astray = _unwrapped([state.position for state, _, _ in found], velocity, interval, first)
    moved = np.sqrt(np.mean(np.diff(position, axis=0) ** 2)) / (interval * np.sqrt(np.mean(velocity**2)))
    if not _SLOWEST < moved < _FASTEST or astray > _ASTRAY:
        raise InputError(
            f"{source} moves otherwise between frames than its velocities say for {interval:g} fs ({moved:.3g} times as far, "
            f"{astray:.2g} cells astray); check the interval and the unit of the velocities"
        )
    periodic = first.periodic is not None and first.periodic.any()
    forces, energy = ([part for frame in found if (part := frame[k]) is not None] for k in (1, 2))
    assert first.species is not None, "checked with each frame"
    segment = Segment(
        species=first.species.astype(np.int32),
        mass=np.array(first.mass),
        cell=np.array(first.cell) if periodic else None,
        periodic=np.array(first.periodic) if periodic else np.zeros(3, bool),
        temperature=temperature or 0.0,
        interval=interval,
        position=position,
        velocity=velocity,
        forces=np.array(forces) if len(forces) == len(found) else None,
        energy=np.array(energy) if len(energy) == len(found) else None,
    )
    return (
        segment if temperature is not None else replace(segment, temperature=float(kinetic_temperature(segment).mean()))
    )


def _unwrapped(
    position: Sequence[FloatArray], velocity: FloatArray, interval: float, first: Particles
) -> tuple[FloatArray, float]:
    """Return continuous positions, and how far (rms, in cells) they are from where the velocities lead.

    Each frame is the image nearest to where the mean velocity leads from the frame before.
    """
    x = np.array(position)
    if first.cell is None or first.periodic is None or not first.periodic.any():
        return x, 0.0
    cell = np.array(first.cell)
    empty = ~cell.any(axis=1)
    cell[empty] = np.eye(3)[empty]
    inverse = np.linalg.inv(cell)
    left = np.zeros_like(x)
    for k in range(1, len(x)):
        led = x[k - 1] + 0.5 * interval * (velocity[k - 1] + velocity[k])
        x[k] -= (np.round((x[k] - led) @ inverse) * first.periodic) @ cell
        left[k] = (x[k] - led) @ inverse
    return x, float(np.sqrt(np.mean(left[1:, :, first.periodic] ** 2)))
