"""The gravitational waves of the last phase of a pair of black holes, for ``askel plot``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from . import panels
from .history import FloatArray, History, Pair
from .nbody.strain import strain as strain_of
from .panels import COLOURS
from .particles import UnitSystem
from .particles.units import LENGTH, UNITS
from .units_text import unit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 4_000  # at which waves are computed
_ORBITS = 12.0  # drawn where the rows show the phase
_LEAST_ROWS = 8
_DISTANCE_MPC = 100.0


@dataclass(frozen=True, slots=True)
class LastPhase:
    """A pair from where it stays bound.

    Attributes
    ----------
    history : the two black holes
    pair : their elements
    merger : time of their merger, or None

    """

    history: History
    pair: Pair
    merger: float | None


def last_phase(pairs: list[tuple[History, Pair]], mergers: dict[str, np.ndarray]) -> LastPhase | None:
    """Return the tightest pair from where it stays bound; None where there is none, or no speed of light."""
    bound = [(h, p) for h, p in pairs if np.isfinite(p.semi_major_axis).sum() >= _LEAST_ROWS]
    if not bound or bound[0][0].units.speed_of_light is None:
        return None
    history, pair = min(bound, key=lambda both: float(np.nanmin(both[1].semi_major_axis)))
    rows = np.flatnonzero(np.isfinite(pair.semi_major_axis))
    when = _merger(pair, mergers)
    shown = _resolved(history, pair, rows)
    return LastPhase(*_part(history, pair, shown if len(shown) >= _LEAST_ROWS else _sparse(pair, rows, when)), when)


def _merger(pair: Pair, mergers: dict[str, np.ndarray]) -> float | None:
    if "identity_1" not in mergers:
        return None
    names = {pair.members[0][0], pair.members[1][0]}
    both = zip(mergers["identity_1"], mergers["identity_2"], mergers["time"], strict=True)
    return next((float(t) for one, other, t in both if {int(one), int(other)} == names), None)


def _resolved(history: History, pair: Pair, rows: np.ndarray) -> np.ndarray:
    """Return the rows of the last orbits where less than a fifth of an orbit is between rows; none where there are no such."""
    total = history.mass.sum(axis=0)[rows]
    rate = np.sqrt(history.units.gravitational_constant * total / pair.semi_major_axis[rows] ** 3)
    phase = 0.5 * (rate[1:] + rate[:-1]) * np.diff(pair.time[rows])
    to_end = np.append(np.cumsum(phase[::-1])[::-1], 0.0)
    late = np.flatnonzero(to_end < 2.0 * np.pi * _ORBITS)
    if len(late) < _LEAST_ROWS or np.quantile(phase[late[:-1]], 0.9) > 2.0 * np.pi / 5.0:
        return np.zeros(0, np.int64)
    return np.asarray(rows[late])


def _sparse(pair: Pair, rows: np.ndarray, merger: float | None) -> np.ndarray:
    """Return at most ``_MOST_ROWS`` of the rows, evenly in time, or in the logarithm of the time before a merger."""
    if len(rows) <= _MOST_ROWS:
        return rows
    time = pair.time[rows]
    if merger is None:
        return rows[:: len(rows) // _MOST_ROWS + 1]
    ahead = np.maximum(merger - time, np.finfo(float).tiny)
    wanted = np.geomspace(ahead[0], ahead[-1], _MOST_ROWS)
    return np.asarray(rows[np.unique(np.searchsorted(time, merger - wanted).clip(0, len(rows) - 1))])


def _part(history: History, pair: Pair, rows: np.ndarray) -> tuple[History, Pair]:
    history = replace(
        history,
        time=history.time[rows],
        mass=history.mass[:, rows],
        position=history.position[:, rows],
        velocity=history.velocity[:, rows],
    )
    pair = Pair(
        pair.name, pair.members, np.arange(len(rows)), pair.time[rows], pair.semi_major_axis[rows],
        pair.eccentricity[rows], pair.separation[rows],
    )  # fmt: skip
    return history, pair


def strain(axes: Axes, phase: LastPhase) -> None:
    """Draw h+ and hx of the last orbits, or the amplitude (before a merger: against the time left) where rows are sparse."""
    history, pair = phase.history, phase.pair
    if len(_resolved(history, pair, pair.columns)) == len(pair.columns):
        panels.strain(axes, history, [pair])
        axes.set_title(f"Strain of the last orbits {_where(history.units)}, seen along z")
        axes.set_xlabel(f"time{unit_text(history.units, 'time', ' [', ']')}")
        axes.set_xlim(pair.time[0], pair.time[-1])
        return
    plus, cross = _waves(history)
    time, before = (pair.time, "time") if phase.merger is None else (phase.merger - pair.time, "time before the merger")
    axes.plot(time, np.hypot(plus, cross), ".", color=COLOURS[0], markersize=1.5, alpha=0.6, label="at the rows")
    axes.plot(
        time, circular_amplitude(history, pair), color=COLOURS[1], linewidth=1.2, label="circular, same a, face-on"
    )
    axes.set_yscale("log")
    if phase.merger is not None:
        axes.set_xscale("log")
        axes.set_xlim(time[0], time[time > 0.0][-1])
    axes.set_title(f"Gravitational-wave amplitude {_where(history.units)}")
    axes.set_xlabel(f"{before}{unit_text(history.units, 'time', ' [', ']')}")
    axes.set_ylabel("|h|")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
    axes.legend(loc="upper left", ncols=2, markerscale=4.0)


def circular_amplitude(history: History, pair: Pair) -> FloatArray:
    """Return 4 G^2 m1 m2/(c^4 a D) of circular orbits of the pair's sizes, seen along their axis, (rows,)."""
    units = history.units
    light = units.speed_of_light
    assert light is not None, "amplitudes are drawn only where there is a speed of light"
    product = units.gravitational_constant**2 * history.mass[0] * history.mass[1]
    return np.asarray(4.0 * product / (light**4 * pair.semi_major_axis * _distance(units)))


def _waves(history: History) -> tuple[FloatArray, FloatArray]:
    """Return h+ and hx, (rows,), of the pair alone, with Newtonian accelerations, seen along z."""
    units = history.units
    assert units.speed_of_light is not None, "waves are drawn only where there is a speed of light"
    apart = history.position[1] - history.position[0]
    mass, G = history.mass[:, 0], units.gravitational_constant
    pull = G * apart / np.linalg.norm(apart, axis=1)[:, None] ** 3
    x, v = (np.moveaxis(values, 0, 1) for values in (history.position, history.velocity))
    a = np.stack([mass[1] * pull, -mass[0] * pull], axis=1)
    return strain_of(mass, x, v, a, distance=_distance(units), G=G, c=units.speed_of_light)


def _where(units: UnitSystem) -> str:
    return f"at {_DISTANCE_MPC:g} Mpc" if units.physical else "x distance"


def _distance(units: UnitSystem) -> float:
    """Return 100 Mpc, or 1 where units have no scale."""
    return _DISTANCE_MPC * 1e6 * UNITS["pc"][0] / units.factor(LENGTH) if units.physical else 1.0
