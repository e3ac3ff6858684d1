"""A trajectory of atoms as arrays, for pictures: temperatures, energy, and frames at equal intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .particles import UNIT_SYSTEMS, InputError
from .particles.io_h5md import Trajectory
from .particles.units import ENERGY, TIME

if TYPE_CHECKING:
    from .md.judging.frames import Frames

FloatArray = NDArray[np.float64]

_MOST_VALUES = 6_000_000  # atom-frames kept in memory; beyond, the last part of the run is taken
_PICOSECOND = 1e-12


@dataclass(frozen=True, slots=True)
class Molecules:
    """Atoms over time.

    Attributes
    ----------
    frames : Frames, evenly spaced; of the last part of the run where it is too long for memory
    time : (f,) ps, of the frames
    temperature : name of an element, or "all" -> (k,) K, over ``temperature_time`` (k,) ps
    energy : (m,) eV, kinetic + potential - work, over ``energy_time`` (m,) ps; empty where unknown
    target : K, of the thermostat, or None

    """

    frames: Frames
    time: FloatArray
    temperature: dict[str, FloatArray]
    temperature_time: FloatArray
    energy: FloatArray
    energy_time: FloatArray
    target: float | None


def holds_atoms(path: Path) -> bool:
    """Return whether the particles of a trajectory have atomic numbers."""
    with Trajectory(path) as file:
        return len(file) > 0 and file[0].species is not None and file.units.physical


def read_molecules(path: Path, last: float = 1.0) -> Molecules:
    """Return the last part of a trajectory of atoms.

    Raises
    ------
    InputError : a fraction that is none, atoms that come or go

    """
    from .md.judging.files import frames_from_particles

    if not 0.0 < last <= 1.0:
        raise InputError(f"--last {last:g}: expected a fraction of the run, above 0 and at most 1")
    ase = UNIT_SYSTEMS["ase"]
    with Trajectory(path) as file:
        times = np.asarray(file.times, float)
        first = int(np.searchsorted(times, times[-1] - last * (times[-1] - times[0])))
        chosen = _even(times, max(first, len(times) - max(_MOST_VALUES // file[0].n, 2)))
        states = [file[int(k)] for k in chosen]
        scale = file.units.conversion(ase, TIME) * ase.factor(TIME) / _PICOSECOND
        energy_scale = file.units.conversion(ase, ENERGY)
        tables = {name: file.table(name) for name in file.tables() if name in ("series/energy", "series/temperature")}
        report = file.report
    spacing = None if len(states) > 1 else 1.0
    frames = frames_from_particles(states, interval=spacing)
    warm, energies = tables.get("series/temperature", {}), tables.get("series/energy", {})
    series, when = _temperatures(warm, frames, times[chosen], float(times[first]))
    keep = np.asarray(energies.get("time", ()), float) >= times[first]
    columns = [np.asarray(energies.get(name, ()), float)[keep] for name in ("energy", "work", "time")]
    known = np.isfinite(columns[0])
    return Molecules(
        frames=frames,
        time=scale * times[chosen],
        temperature=series,
        temperature_time=scale * when,
        energy=energy_scale * (columns[0] - columns[1])[known],
        energy_time=scale * columns[2][known],
        target=_target(report),
    )


def _even(times: FloatArray, first: int) -> NDArray[np.int64]:
    """Return the frames from ``first`` on that are evenly spaced: the last of a run may fall between two others."""
    rows = np.arange(first, len(times))
    if len(rows) < 3:
        return rows
    gap = float(np.median(np.diff(times[rows])))
    offset = (times[rows] - times[first]) / gap
    even: NDArray[np.int64] = rows[np.abs(offset - np.round(offset)) < 1e-3]
    return even


def _temperatures(
    table: dict[str, Any], frames: Frames, times: FloatArray, start: float
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return the series that the run wrote, or else the temperatures of the frames; and their times."""
    if table:
        when = np.asarray(table["time"], float)
        keep = when >= start
        names = {name: name.removeprefix("temperature").removeprefix("_") or "all" for name in table}
        series = {
            short: np.asarray(table[name], float)[keep]
            for name, short in names.items()
            if name.startswith("temperature")
        }
        return series, when[keep]
    if frames.velocity is None:
        return {}, times
    from .md.judging.conservation import temperatures
    from .particles.io_ase import symbols

    total, each = temperatures(frames)
    return {"all": total, **{symbols(np.array([z]))[0]: value for z, value in each.items()}}, times


def _target(report: dict[str, Any]) -> float | None:
    """Return the thermostat's temperature that the job in a report names."""
    import tomllib

    try:
        value = tomllib.loads(str(report.get("configuration", "")))["thermostat"]["temperature"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return float(value)
