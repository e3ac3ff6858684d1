"""A trajectory as arrays over time, for pictures: a row a body, a column a frame, NaN where a body is absent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .nbody.orbits import Binary, find_binaries
from .particles import KINDS, InputError, UnitSystem
from .particles.io_h5md import Trajectory

FloatArray = NDArray[np.float64]

_MOST_VALUES = 4_000_000  # body-frames kept in memory; beyond, frames are left out evenly
_MOST_BODIES = 400  # bodies drawn; beyond, the most massive ones
_MOST_SEARCHES = 2000  # frames at which bound pairs are looked for
_MOST_IN_HIERARCHY = 60  # bodies among which bound pairs are looked for at every frame


@dataclass(frozen=True, slots=True)
class History:
    """Bodies over time, in the units of the file.

    Attributes
    ----------
    time : (frames,)
    identity : (bodies,)
    mass : (bodies, frames); position, velocity : (bodies, frames, 3), NaN where absent
    black_hole : (bodies,) bool
    units : UnitSystem
    energy : the columns of the table series/energy, or none
    mergers : the columns of the table events/merger, or none
    left_out : number of bodies that are not among them

    """

    time: FloatArray
    identity: NDArray[np.int64]
    mass: FloatArray
    position: FloatArray
    velocity: FloatArray
    black_hole: NDArray[np.bool_]
    units: UnitSystem
    energy: dict[str, NDArray]
    mergers: dict[str, NDArray]
    left_out: int


def read_history(path: Path, last: float = 1.0) -> History:
    """Return the last part of a trajectory.

    Raises
    ------
    InputError : not a trajectory, no frames, or a fraction that is none

    """
    with Trajectory(path) as file:
        times, first = file.times, first_frame(file, last)
        names = _bodies(file, first)
        stride = max(1, (len(times) - first) * len(names) // _MOST_VALUES)
        frames = [*range(first, len(times), stride)]
        if frames[-1] != len(times) - 1:
            frames.append(len(times) - 1)
        shape = (len(names), len(frames))
        mass, position, velocity = np.full(shape, np.nan), np.full((*shape, 3), np.nan), np.full((*shape, 3), np.nan)
        holes = np.zeros(len(names), bool)
        for column, frame in enumerate(frames):
            state = file[frame]
            rows, found = _rows(names, state.identity)
            mass[rows, column] = state.mass[found]
            position[rows, column], velocity[rows, column] = state.position[found], state.velocity[found]
            holes[rows] |= state.is_kind(KINDS["black-hole"])[found]
        tables = set(file.tables())
        return History(
            time=times[frames],
            identity=names,
            mass=mass,
            position=position,
            velocity=velocity,
            black_hole=holes,
            units=file.units,
            energy=file.table("series/energy") if "series/energy" in tables else {},
            mergers=file.table("events/merger") if "events/merger" in tables else {},
            left_out=file[first].n - len(names),
        )


def first_frame(file: Trajectory, last: float) -> int:
    """Return the first frame of the last part of a run.

    Raises
    ------
    InputError : no frames, or a fraction that is none

    """
    if not 0.0 < last <= 1.0:
        raise InputError(f"--last {last:g}: expected a fraction of the run, above 0 and at most 1")
    if len(file) == 0:
        raise InputError(f"{file.path} holds no frames; there is nothing to draw")
    times = file.times
    return int(np.searchsorted(times, times[-1] - last * (times[-1] - times[0])))


def _bodies(file: Trajectory, first: int) -> NDArray[np.int64]:
    state = file[first]
    heaviest = np.argsort(-state.mass, kind="stable")[:_MOST_BODIES]
    names: NDArray[np.int64] = state.identity[np.sort(heaviest)]
    return names


def _rows(names: NDArray[np.int64], identity: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the bodies that are present, and where they are in the state."""
    order = np.argsort(identity)
    at = np.minimum(np.searchsorted(identity, names, sorter=order), len(identity) - 1)
    found = order[at]
    rows = np.flatnonzero(identity[found] == names)
    return rows, found[rows]


@dataclass(slots=True)
class Pair:
    """The elements of one bound pair over time; arrays (columns,), NaN where it is not bound."""

    name: str
    members: tuple[tuple[int, ...], tuple[int, ...]]
    columns: NDArray[np.int64]
    time: FloatArray
    semi_major_axis: FloatArray
    eccentricity: FloatArray
    separation: FloatArray


def pairs_of(history: History, most: int = 4) -> list[Pair]:
    """Return the bound pairs that last longest, the tightest first; outer orbits of hierarchies among them."""
    if not 2 <= len(history.identity) <= _MOST_IN_HIERARCHY:
        heavy = np.argsort(-np.nanmax(history.mass, axis=1), kind="stable")[:_MOST_IN_HIERARCHY]
    else:
        heavy = np.arange(len(history.identity))
    pairs: dict[str, Pair] = {}
    stride = max(1, len(history.time) // _MOST_SEARCHES)
    columns = np.arange(0, len(history.time), stride)
    for at, column in enumerate(columns):
        rows = heavy[np.isfinite(history.mass[heavy, column])]
        if len(rows) < 2:
            continue
        found = find_binaries(
            history.mass[rows, column],
            history.position[rows, column],
            history.velocity[rows, column],
            G=history.units.gravitational_constant,
            identity=history.identity[rows],
        )
        for binary in found:
            name = _name(binary)
            if name not in pairs:
                empty = [np.full(len(columns), np.nan) for _ in range(3)]
                pairs[name] = Pair(name, binary.members, columns, history.time[columns], *empty)
            pair = pairs[name]
            pair.semi_major_axis[at] = binary.elements.semi_major_axis
            pair.eccentricity[at] = binary.elements.eccentricity
            pair.separation[at] = _separation(history, binary.members, int(column))
    lasting = sorted(pairs.values(), key=lambda p: -int(np.isfinite(p.semi_major_axis).sum()))
    lasting = [p for p in lasting if np.isfinite(p.semi_major_axis).sum() >= max(2, len(columns) // 50)][:most]
    return sorted(lasting, key=lambda p: float(np.nanmedian(p.semi_major_axis)))


def _name(binary: Binary) -> str:
    sides = [
        "+".join(str(i) for i in side) if len(side) == 1 else f"({'+'.join(str(i) for i in sorted(side))})"
        for side in sorted(binary.members, key=lambda side: (-len(side), side))
    ]
    return " – ".join(sides)


def centre(history: History, members: tuple[int, ...]) -> FloatArray:
    """Return the centre of mass (frames, 3) of some bodies, those that are present at each frame."""
    rows = np.isin(history.identity, members)
    mass = np.nan_to_num(history.mass[rows])[:, :, None]
    total = mass.sum(axis=0)
    weighted: FloatArray = (mass * np.nan_to_num(history.position[rows])).sum(axis=0)
    return weighted / np.where(total > 0, total, np.nan)


def _separation(history: History, members: tuple[tuple[int, ...], tuple[int, ...]], column: int) -> float:
    ends = []
    for side in members:
        rows = np.isin(history.identity, side)
        mass = history.mass[rows, column]
        ends.append(mass @ history.position[rows, column] / mass.sum())
    return float(np.linalg.norm(ends[0] - ends[1]))
