"""A run of many bodies, for pictures: paths of the black holes, shells of mass around the density centre, profiles.

Frames are read one by one, and only as many as ``_MOST_VALUES`` allows; one frame, the last, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .history import FloatArray, History, Pair, first_frame
from .particles import KINDS, Particles, UnitSystem
from .particles.io_h5md import Trajectory

#: Shares of the mass that the Lagrangian radii hold.
SHARES = (0.1, 0.5, 0.9)
#: Bodies from which on a run is drawn as a galaxy.
MANY = 400
_MOST_VALUES = 30_000_000  # body-frames looked at; beyond, frames are left out evenly
_MOST_FRAMES = 300
_LEAST_FRAMES = 12
_SAMPLE = 4096  # bodies among which the densest one is looked for
_LEAST_SHELL = 10  # bodies below which a kind has no radii

Table = dict[str, NDArray]
Profile = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class Track:
    """One black hole over time.

    Attributes
    ----------
    identity : int
    time, mass : (rows,), times ascending
    position, velocity : (rows, 3)

    """

    identity: int
    time: FloatArray
    mass: FloatArray
    position: FloatArray
    velocity: FloatArray


@dataclass(frozen=True, slots=True)
class GalaxyRun:
    """Many bodies over time, in the units of the file.

    Attributes
    ----------
    time : (frames,), of the frames that were looked at
    last : the last frame
    centre : (3,), where the last frame is densest
    radii : kind -> (frames, 3), radii around the density centre that hold ``SHARES`` of the mass of that kind
    profiles : of the first and the last frame: kind -> radii (b,) and densities (b,)
    tracks : black holes, the heaviest first
    energy, mergers : columns of series/energy and events/merger, or none

    """

    units: UnitSystem
    time: FloatArray
    last: Particles
    centre: FloatArray
    radii: dict[str, FloatArray]
    profiles: tuple[dict[str, Profile], dict[str, Profile]]
    tracks: list[Track]
    energy: Table
    mergers: Table


def holds_galaxy(path: Path) -> bool:
    """Return whether a trajectory is drawn as a galaxy: it follows black holes, or has many bodies."""
    with Trajectory(path) as file:
        return len(file) > 0 and ("series/black_holes" in file.tables() or file.rows > MANY)


def read_galaxy_run(path: Path, last: float = 1.0) -> GalaxyRun:
    """Return the last part of a run.

    Raises
    ------
    InputError : not a trajectory, no frames, or a fraction that is none

    """
    with Trajectory(path) as file:
        times, first = file.times, first_frame(file, last)
        frames = _frames(first, len(times), file.rows)
        shells = _Shells()
        for frame in frames:
            shells.add(file[frame])
        names = set(file.tables())
        rows = _rows_since(file.table("series/black_holes"), times[first]) if "series/black_holes" in names else {}
        return GalaxyRun(
            units=file.units,
            time=times[frames],
            last=shells.state,
            centre=shells.centre,
            radii=shells.radii(),
            profiles=(shells.first, shells.profile()),
            tracks=tracks_of(rows or shells.rows()),
            energy=file.table("series/energy") if "series/energy" in names else {},
            mergers=_rows_since(file.table("events/merger"), times[first]) if "events/merger" in names else {},
        )


def _frames(first: int, count: int, rows: int) -> list[int]:
    """Return evenly chosen frames, the first and the last among them."""
    most = min(max(_MOST_VALUES // max(rows, 1), _LEAST_FRAMES), _MOST_FRAMES)
    chosen = np.unique(np.linspace(first, count - 1, min(most, count - first)).round().astype(int))
    return [int(k) for k in chosen]


def _rows_since(table: Table, start: float) -> Table:
    keep = table["time"] >= start
    return {name: column[keep] for name, column in table.items()}


# ---------------------------------------------------------------------- shells of mass


class _Shells:
    """What is kept of frames that pass by one at a time."""

    def __init__(self) -> None:
        self.first: dict[str, Profile] = {}
        self._radii: list[dict[str, FloatArray]] = []
        self._inner = np.zeros(0, np.int64)
        self._holes: list[Particles] = []

    def add(self, state: Particles) -> None:
        self.state, self._groups = state, _groups(state)
        self.centre = self._follow(state)
        self._distance = {
            kind: np.linalg.norm(state.position[rows] - self.centre, axis=1) for kind, rows in self._groups.items()
        }
        self._radii.append(
            {kind: lagrangian_radii(state.mass[rows], self._distance[kind]) for kind, rows in self._groups.items()}
        )
        if not self.first:
            self.first = self.profile()
        self._holes.append(state.select(np.flatnonzero(state.is_kind(KINDS["black-hole"]))))

    def _follow(self, state: Particles) -> FloatArray:
        """Return the density centre that the innermost bodies of the frame before lead to: that of the same galaxy."""
        rows = _luminous(state)
        position = state.position[rows]
        inner = np.isin(state.identity[rows], self._inner)
        start = np.median(position[inner], axis=0) if inner.any() else None
        centre = density_centre(state.mass[rows], position, start)
        distance = np.linalg.norm(position - centre, axis=1)
        few = min(max(len(rows) // 50, _LEAST_SHELL), len(rows))
        self._inner = state.identity[rows[np.argpartition(distance, few - 1)[:few]]]
        return centre

    def profile(self) -> dict[str, Profile]:
        return {k: density_profile(self.state.mass[rows], self._distance[k]) for k, rows in self._groups.items()}

    def radii(self) -> dict[str, FloatArray]:
        kinds = dict.fromkeys(kind for one in self._radii for kind in one)
        absent = np.full(len(SHARES), np.nan)
        return {kind: np.array([one.get(kind, absent) for one in self._radii]) for kind in kinds}

    def rows(self) -> Table:
        """Return the black holes of the frames as rows, as series/black_holes has them."""
        columns: Table = {
            "time": np.repeat([s.time for s in self._holes], [s.n for s in self._holes]),
            "identity": np.concatenate([s.identity for s in self._holes]),
            "mass": np.concatenate([s.mass for s in self._holes]),
        }
        for name in ("position", "velocity"):
            values = np.concatenate([getattr(s, name) for s in self._holes])
            columns |= {f"{name}_{letter}": values[:, k] for k, letter in enumerate("xyz")}
        return columns


def _groups(state: Particles) -> dict[str, NDArray[np.int64]]:
    """Return the rows of every kind that has enough bodies, black holes aside; without kinds, all are stars."""
    if state.kind is None:
        return {"star": np.arange(state.n)}
    found = {name: np.flatnonzero(state.is_kind(code)) for name, code in KINDS.items() if name != "black-hole"}
    return {name: rows for name, rows in found.items() if len(rows) >= _LEAST_SHELL}


def _luminous(state: Particles) -> NDArray[np.int64]:
    """Return the rows of the stars, or of everything where there are none."""
    groups = _groups(state)
    return groups.get("star", next(iter(groups.values()), np.arange(state.n)))


def density_centre(mass: ArrayLike, position: ArrayLike, start: ArrayLike | None = None) -> FloatArray:
    """Return where bodies are densest, (3,): spheres shrink around their centre of mass.

    The first sphere is around ``start``, or else around the body with the densest surroundings of a sample (so that of two
    galaxies it is in one), and holds a quarter of all; each next one is a tenth smaller, until a fiftieth of all or 32
    bodies are left. Of fewer bodies it is the centre of mass.

    Reference: Power et al. 2003, doi:10.1046/j.1365-8711.2003.05925.x (appendix).
    """
    m, x = np.asarray(mass, np.float64), np.asarray(position, np.float64)
    centre = _densest(x) if start is None else np.asarray(start, np.float64)
    distance = np.linalg.norm(x - centre, axis=1)
    radius = float(np.quantile(distance, max(0.25, min(1.0, 64 / len(x)))))
    least = max(len(x) // 50, 32)
    if len(x) <= least:
        return np.asarray(m @ x / m.sum())
    while True:
        inside = distance <= radius
        if inside.sum() <= least or radius == 0.0:
            return centre
        m, x = m[inside], x[inside]
        centre = m @ x / m.sum()
        distance = np.linalg.norm(x - centre, axis=1)
        radius *= 0.9


def _densest(position: FloatArray) -> FloatArray:
    """Return the body of an even sample whose fiftieth part of the sample is nearest."""
    from scipy.spatial import cKDTree

    sample = position[:: max(len(position) // _SAMPLE, 1)]
    neighbours = min(max(len(sample) // 50, 8), len(sample))
    reach = cKDTree(sample).query(sample, k=[neighbours])[0][:, 0]
    found: FloatArray = sample[int(np.argmin(reach))]
    return found


def lagrangian_radii(mass: ArrayLike, radius: ArrayLike, shares: ArrayLike = SHARES) -> FloatArray:
    """Return the radii inside which given shares of the mass are, (len(shares),)."""
    m, r = np.asarray(mass, np.float64), np.asarray(radius, np.float64)
    order = np.argsort(r)
    inside = np.cumsum(m[order])
    at = np.searchsorted(inside, np.asarray(shares) * inside[-1])
    found: FloatArray = r[order[np.minimum(at, len(order) - 1)]]
    return found


def density_profile(mass: ArrayLike, radius: ArrayLike, least: int = 6) -> Profile:
    """Return radii and mean densities of shells of equal logarithmic width; shells with fewer than ``least`` left out."""
    m, r = np.asarray(mass, np.float64), np.asarray(radius, np.float64)
    inner, outer = float(np.sort(r)[min(least, len(r) - 1)]), float(np.quantile(r, 0.998))
    shells = int(np.clip(np.sqrt(len(r)) / 2, 8, 48))
    edges = np.geomspace(max(0.5 * inner, 1e-300), max(outer, inner) * 1.001, shells + 1)
    count = np.histogram(r, edges)[0]
    inside = np.histogram(r, edges, weights=m)[0]
    volume = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    keep = count >= least
    return np.sqrt(edges[1:] * edges[:-1])[keep], (inside / volume)[keep]


# ---------------------------------------------------------------------- black holes


def tracks_of(rows: Table) -> list[Track]:
    """Return the paths in rows of series/black_holes, the heaviest black hole first."""
    found = []
    for identity in np.unique(rows["identity"]):
        mine = np.flatnonzero(rows["identity"] == identity)
        time, at = np.unique(rows["time"][mine], return_index=True)
        mine = mine[at]
        position, velocity = (
            np.stack([rows[f"{name}_{letter}"][mine] for letter in "xyz"], axis=1) for name in ("position", "velocity")
        )
        found.append(Track(int(identity), time, rows["mass"][mine], position, velocity))
    return sorted(found, key=lambda track: -float(track.mass[-1]))


def pair_history(one: Track, other: Track, run: GalaxyRun) -> History | None:
    """Return two black holes at the times of the first at which both are there; None where there are not two such times.

    In regions of their own they have rows at times of their own: the second is then put onto the cubic through its rows.
    """
    keep = (one.time >= other.time[0]) & (one.time <= other.time[-1])
    if keep.sum() < 2 or len(other.time) < 2:
        return None
    time = one.time[keep]
    at = np.clip(np.searchsorted(other.time, time), 0, len(other.time) - 1)
    position, velocity = other.position[at].copy(), other.velocity[at].copy()
    between = other.time[at] != time
    if between.any():
        from scipy.interpolate import CubicHermiteSpline

        curve = CubicHermiteSpline(other.time, other.position, other.velocity)
        position[between], velocity[between] = curve(time[between]), curve(time[between], 1)
    return History(
        time=time,
        identity=np.array([one.identity, other.identity]),
        mass=np.stack([one.mass[keep], other.mass[at]]),
        position=np.stack([one.position[keep], position]),
        velocity=np.stack([one.velocity[keep], velocity]),
        black_hole=np.ones(2, bool),
        units=run.units,
        energy=run.energy,
        mergers=run.mergers,
        left_out=0,
    )


def pairs_of_tracks(run: GalaxyRun, most: int = 4) -> list[tuple[History, Pair]]:
    """Return pairs of black holes, those that stay bound first, with separation and elements at the times of their rows."""
    found = []
    for one, other in combinations(run.tracks, 2):
        history = pair_history(one, other, run)
        if history is not None:
            found.append((history, pair_elements(history)))
    found.sort(key=lambda both: -int(np.isfinite(both[1].semi_major_axis).sum()))
    return found[:most]


def pair_elements(history: History) -> Pair:
    """Return the two-body elements of a pair, NaN before it is bound for good.

    1/a = 2/r - v^2/(G m),   e^2 = 1 - h^2/(G m a),   h = |x cross v|,   m = m1 + m2

    Newtonian: stars between the two are left out, and so are post-Newtonian corrections, of relative order (v/c)^2.
    """
    x = history.position[0] - history.position[1]
    v = history.velocity[0] - history.velocity[1]
    mu = history.units.gravitational_constant * history.mass.sum(axis=0)
    r = np.linalg.norm(x, axis=1)
    inverse = 2.0 / r - np.sum(v * v, axis=1) / mu
    since = len(r) - int(np.argmax(np.append((inverse <= 0.0)[::-1], True)))
    inverse[:since] = np.nan
    square = 1.0 - np.sum(np.cross(x, v) ** 2, axis=1) / mu * inverse
    names = [int(i) for i in history.identity]
    return Pair(
        name=f"{min(names)} – {max(names)}",
        members=((names[0],), (names[1],)),
        columns=np.arange(len(r)),
        time=history.time,
        semi_major_axis=1.0 / inverse,
        eccentricity=np.sqrt(np.maximum(square, 0.0)),
        separation=r,
    )
