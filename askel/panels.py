"""The panels of ``askel plot``: each draws one thing into given axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .history import FloatArray, History, Pair, centre
from .nbody.strain import strain as quadrupole_strain
from .particles import UNIT_SYSTEMS
from .particles.units import LENGTH
from .units_text import unit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for most colour-blind readers (Okabe & Ito 2008, with a darker yellow).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
_MOST_LABELS = 12
_MOST_LINES = 60
_DISTANCE_MPC = 100.0


def _colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


# ---------------------------------------------------------------------- orbits


def orbits(axes: Axes, history: History, plane: str) -> None:
    """Draw the projected orbits: pale early, full colour late; the last positions are dots with names."""
    i, j = ("xyz".index(letter) for letter in plane)
    flat = history.position[:, :, [i, j]]
    heaviest = np.argsort(-np.nanmax(history.mass, axis=1), kind="stable")
    many = len(heaviest) > _MOST_LABELS
    drawn = np.sort(heaviest[:_MOST_LINES])
    for k, row in enumerate(drawn):
        width = 0.5 if many and row != heaviest[0] else 1.0
        _trail(axes, flat[row], history.velocity[row][:, [i, j]], history.time, _colour(k), width)
    last = _last_positions(flat)
    sizes = _dot_sizes(history)
    colours = np.array(["#999999"] * len(heaviest), dtype=object)
    colours[drawn] = [_colour(k) for k in range(len(drawn))]
    axes.scatter(last[:, 0], last[:, 1], s=sizes, c=list(colours), edgecolors="white", linewidths=0.6, zorder=5)
    if not many:
        for row in heaviest:
            _label(axes, str(history.identity[row]), (float(last[row, 0]), float(last[row, 1])))
    _mark_mergers(axes, history, plane)
    _frame(axes, flat)
    length = unit_text(history.units, "length", " [", "]")
    axes.set(xlabel=f"{plane[0]}{length}", ylabel=f"{plane[1]}{length}", title="Orbits")


def _trail(axes: Axes, xy: FloatArray, velocity: FloatArray, time: FloatArray, colour: str, width: float) -> None:
    """Draw one orbit as segments that darken with time; dots where frames are too far apart for a line to be true."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    shades = LinearSegmentedColormap.from_list("", [tuple(1 - 0.25 * (1 - c) for c in to_rgb(colour)), to_rgb(colour)])
    present = np.isfinite(xy[:, 0])
    xy, velocity, time = xy[present], velocity[present], time[present]
    if len(xy) < 2:
        return
    smooth = _sampled(velocity)
    points, when = _curve(xy, velocity, time, smooth)
    lines = LineCollection(list(points), cmap=shades, linewidths=width, capstyle="round", zorder=2)
    lines.set_array(when)
    lines.set_clim(time[0], time[-1])
    axes.add_collection(lines)
    if not smooth.all():
        rough = np.append(~smooth, ~smooth[-1])
        axes.scatter(
            xy[rough, 0], xy[rough, 1], s=2.0 * width, c=time[rough], cmap=shades, linewidths=0, zorder=2, vmin=time[0],
            vmax=time[-1],
        )  # fmt: skip


def _sampled(velocity: FloatArray) -> np.ndarray:
    """Return for each pair of neighbouring frames whether the velocity turns by less than about 75 degrees."""
    a, b = velocity[:-1], velocity[1:]
    cosine = np.sum(a * b, axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-300)
    smooth: np.ndarray = cosine > 0.25
    if smooth.mean() < 0.9:  # a line through every second frame would mislead
        smooth = smooth & np.append(smooth[1:], True) & np.append(True, smooth[:-1])
    return smooth


def _curve(
    xy: FloatArray, velocity: FloatArray, time: FloatArray, smooth: np.ndarray, pieces: int = 4
) -> tuple[FloatArray, FloatArray]:
    """Return short segments (k, 2, 2) of the cubic Hermite curve through the frames, and their times (k,)."""
    s = np.linspace(0.0, 1.0, pieces + 1)[None, :, None]
    dt = np.diff(time)[smooth][:, None, None]
    x0, x1 = xy[:-1][smooth][:, None], xy[1:][smooth][:, None]
    v0, v1 = velocity[:-1][smooth][:, None] * dt, velocity[1:][smooth][:, None] * dt
    curve = x0 * (1 + 2 * s) * (1 - s) ** 2 + v0 * s * (1 - s) ** 2 + x1 * s**2 * (3 - 2 * s) + v1 * s**2 * (s - 1)
    segments = np.stack([curve[:, :-1], curve[:, 1:]], axis=2).reshape(-1, 2, 2)
    return segments, np.repeat(time[:-1][smooth], pieces)


def _last_positions(flat: FloatArray) -> FloatArray:
    last = np.full((len(flat), 2), np.nan)
    for row, path in enumerate(flat):
        if np.isfinite(path[-1, 0]):
            last[row] = path[-1]
    return last


def _dot_sizes(history: History) -> FloatArray:
    mass = np.nanmax(history.mass, axis=1)
    relative: FloatArray = np.cbrt(mass / mass.max())
    return 8.0 + 42.0 * relative**2


def _label(axes: Axes, text: str, at: tuple[float, float]) -> None:
    if np.isfinite(at).all():
        axes.annotate(
            text,
            at,
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            zorder=6,
            color="#222222",
            annotation_clip=True,
        )


def _mark_mergers(axes: Axes, history: History, plane: str) -> None:
    columns = [history.mergers.get(f"position_{letter}") for letter in plane]
    if columns[0] is not None and columns[1] is not None:
        now = history.mergers["time"] >= history.time[0]
        axes.scatter(
            columns[0][now], columns[1][now], marker="*", s=110, c="#FFD23F", edgecolors="#333333", linewidths=0.7,
            zorder=7, label="merger",
        )  # fmt: skip
        if now.any():
            axes.legend(loc="upper right")


def _frame(axes: Axes, flat: FloatArray) -> None:
    """Show everything, unless a few far points would shrink the rest to a dot."""
    points = flat.reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    middle = np.median(points, axis=0)
    distance = np.max(np.abs(points - middle), axis=1)
    reach, core = distance.max(), np.quantile(distance, 0.9)
    if reach <= 4.0 * core:
        low, high = points.min(axis=0), points.max(axis=0)
        middle, reach = (low + high) / 2, float(np.max(high - low)) / 2
    else:
        reach = 2.0 * core
    reach = 1.08 * reach or 1.0
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)


# ---------------------------------------------------------------------- the closest pair


def has_close_pair(history: History, pairs: list[Pair]) -> bool:
    """Return whether a bound pair is so tight that the picture of all orbits cannot show it."""
    if len(history.identity) < 3 or not pairs:
        return False
    extent = np.nanmax(np.linalg.norm(history.position - history.position[0, 0], axis=-1))
    return float(np.nanmedian(pairs[0].semi_major_axis)) < 0.15 * extent


def closest_pair(axes: Axes, history: History, pairs: list[Pair]) -> None:
    """Draw the relative orbit of the tightest pair in its own plane."""
    pair = pairs[0]
    bound = pair.columns[np.isfinite(pair.semi_major_axis)]
    apart = (centre(history, pair.members[0]) - centre(history, pair.members[1]))[bound]
    one, other = (np.isin(history.identity, side) for side in pair.members)
    relative = (_mean_velocity(history, one) - _mean_velocity(history, other))[bound]
    pole = np.cross(apart[0], relative[0])
    first = apart[0] / np.linalg.norm(apart[0])
    second = np.cross(pole / np.linalg.norm(pole), first)
    plane = np.stack([first, second], axis=1)
    _trail(axes, apart @ plane, relative @ plane, history.time[bound], COLOURS[0], 0.7)
    axes.plot(0.0, 0.0, "+", color="#555555", markersize=7)
    axes.set_aspect("equal", adjustable="datalim")
    axes.autoscale_view()
    length = unit_text(history.units, "length", " [", "]")
    axes.set(title=f"Relative orbit {pair.name}, in its first plane", xlabel=f"ξ{length}", ylabel=f"η{length}")


def _mean_velocity(history: History, rows: np.ndarray) -> FloatArray:
    mass = np.nan_to_num(history.mass[rows])[:, :, None]
    total = mass.sum(axis=0)
    return np.asarray((mass * np.nan_to_num(history.velocity[rows])).sum(axis=0) / np.where(total > 0, total, np.nan))


# ---------------------------------------------------------------------- against time


def energy_error(axes: Axes, history: History, pairs: list[Pair]) -> None:
    """Draw |dE/E| on a logarithmic axis."""
    table = history.energy
    keep = table["time"] >= history.time[0]
    error = np.abs(np.asarray(table["energy_error"], float)[keep])
    error[error == 0.0] = np.nan
    axes.plot(table["time"][keep], error, color="#444444", linewidth=0.8)
    axes.set_title("Energy error")
    axes.set_ylabel("|ΔE/E|")
    if np.isfinite(error).any():
        axes.set_yscale("log")
        axes.set_ylim(np.nanmin(error) / 3, np.nanmax(error) * 5)
    else:
        axes.set_ylim(-1e-16, 1e-16)


def separations(axes: Axes, history: History, pairs: list[Pair]) -> None:
    """Draw semi-major axes (lines) and separations (pale) of the bound pairs."""
    for k, pair in enumerate(pairs):
        axes.plot(pair.time, pair.separation, color=_colour(k), linewidth=0.4, alpha=0.35)
        axes.plot(pair.time, pair.semi_major_axis, color=_colour(k), linewidth=1.3, label=pair.name)
    axes.set_yscale("log")
    axes.set_title("Semi-major axis, separation (pale)")
    axes.set_ylabel(f"a, r{unit_text(history.units, 'length', ' [', ']')}")
    axes.legend(loc="best", ncols=2)


def eccentricities(axes: Axes, history: History, pairs: list[Pair]) -> None:
    """Draw the eccentricities of the bound pairs."""
    for k, pair in enumerate(pairs):
        axes.plot(pair.time, pair.eccentricity, color=_colour(k), linewidth=1.0, label=pair.name)
    axes.set_title("Eccentricity")
    axes.set_ylabel("e")
    highest = max(float(np.nanmax(pair.eccentricity)) for pair in pairs)
    axes.set_ylim(-0.02 * highest, min(1.02, 1.25 * highest) or 1.0)


# ---------------------------------------------------------------------- strain


def has_strain(history: History, pairs: list[Pair]) -> bool:
    """Return whether there are two black holes, and a speed of light."""
    return history.units.speed_of_light is not None and int(history.black_hole.sum()) >= 2 and len(history.time) > 2


def strain(axes: Axes, history: History, pairs: list[Pair]) -> None:
    """Draw h+ and hx of the black holes, or their amplitude where frames are too far apart to show the phase."""
    time, plus, cross = _strain(history)
    distance = f"at {_DISTANCE_MPC:g} Mpc" if history.units.physical else "x distance"
    axes.set_title(f"Gravitational-wave strain {distance}, seen along z")
    if _phase_is_shown(history, pairs):
        axes.plot(time, plus, color=COLOURS[0], linewidth=0.7, label="$h_+$")
        axes.plot(time, cross, color=COLOURS[1], linewidth=0.7, label=r"$h_\times$")
    else:
        axes.plot(time, np.hypot(plus, cross), color=COLOURS[0], linewidth=0.8, label="amplitude (frames too sparse)")
        axes.set_yscale("log")
    axes.set_ylabel("h")
    axes.legend(loc="upper left", ncols=2)


def _phase_is_shown(history: History, pairs: list[Pair]) -> bool:
    """Return whether most frames are less than a fifth of an orbit of the tightest pair apart."""
    if not pairs:
        return True
    pair = pairs[0]
    total = sum(float(np.nanmax(history.mass[np.isin(history.identity, side)])) for side in pair.members)
    with np.errstate(invalid="ignore"):
        rate = np.sqrt(history.units.gravitational_constant * total / pair.semi_major_axis**3)
    return float(np.nanquantile(rate, 0.8)) * float(np.median(np.diff(history.time))) < 2 * np.pi / 5


def _strain(history: History) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return times and both polarisations of the black holes' quadrupole, with Newtonian accelerations."""
    units = history.units
    light, constant = units.speed_of_light, units.gravitational_constant
    assert light is not None, "strain is drawn only where there is a speed of light"
    distance = (
        _DISTANCE_MPC * UNIT_SYSTEMS["galactic"].factor(LENGTH) * 1e3 / units.factor(LENGTH) if units.physical else 1.0
    )
    waves = np.full((2, len(history.time)), np.nan)
    for column in range(len(history.time)):
        rows = history.black_hole & np.isfinite(history.mass[:, column])
        mass, position = history.mass[rows, column], history.position[rows, column]
        if len(mass) == 0:
            continue
        apart = position[None] - position[:, None]
        cube = np.sum(apart**2, axis=-1) ** 1.5
        np.fill_diagonal(cube, np.inf)
        pull = constant * np.sum(mass[None, :, None] * apart / cube[..., None], axis=1)
        waves[:, column] = quadrupole_strain(
            mass, position, history.velocity[rows, column], pull, distance=distance, G=constant, c=light
        )
    return history.time, waves[0], waves[1]
