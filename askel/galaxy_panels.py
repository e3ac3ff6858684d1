"""The panels of ``askel plot`` for many bodies: surface density, black holes, shells of mass, profiles, strain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import panels
from .galaxy_history import SHARES, FloatArray, GalaxyRun, pairs_of_tracks
from .galaxy_strain import last_phase, strain
from .history import History, Pair
from .panels import COLOURS
from .particles import KINDS
from .surface_density import surface_density
from .units_text import unit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_NAMES = {"star": "Stars", "dark-matter": "Dark matter", "gas": "Gas", "planet": "Planets", "atom": "Atoms"}
_KIND_COLOURS = {"star": COLOURS[1], "dark-matter": COLOURS[0], "gas": COLOURS[2]}
_MAPS = {"star": "inferno", "dark-matter": "bone"}
_HOLE_COLOURS = ("#5CE1FF", "#9BFF7A", "#FFB3E6", "#FFFFFF")
_DECADES = 3.5  # of surface density
_MOST_POINTS = 20_000  # of a line
_FEW = 300  # bodies that are drawn as dots too
_MOST_HOLES = 8  # whose paths are drawn


def draw(picture: Figure, run: GalaxyRun, plane: str) -> None:
    """Draw what there is of the panels into a figure."""
    pairs = pairs_of_tracks(run)
    wave = last_phase(pairs, run.mergers)
    right = _against_time(run, pairs)
    below: list[Callable[[Axes], None]] = [lambda axes: profile(axes, run)] if run.profiles[1] else []
    if wave is not None:
        below.append(lambda axes: strain(axes, wave))
    columns = picture.add_gridspec(1, 2, width_ratios=(1.0, 1.1)) if right else picture.add_gridspec(1, 1)
    top = (1.1, 1.75)[len(below) > 1] if _both(run) else 2.2
    left = columns[0].subgridspec(1 + len(below), 1, height_ratios=(top, *[1.0] * len(below)))
    _maps(picture, left[0], run, plane)
    for row, panel in enumerate(below):
        panel(picture.add_subplot(left[row + 1]))
    if right:
        _stack(picture, columns[1], run, right)


def _against_time(run: GalaxyRun, pairs: list[tuple[History, Pair]]) -> list[Callable[[Axes], None]]:
    """Return the panels whose axis is time."""
    found: list[Callable[[Axes], None]] = []
    bound = [pair for _, pair in pairs if np.isfinite(pair.eccentricity).any()]
    if pairs:
        found.append(lambda axes: separations(axes, run, pairs))
    if bound:
        found.append(lambda axes: eccentricities(axes, bound))
    if run.radii and len(run.time) > 1:
        found.append(lambda axes: lagrangian(axes, run))
    if run.energy:
        found.append(lambda axes: energy_error(axes, run))
    return found


def _stack(picture: Figure, place: Any, run: GalaxyRun, wanted: list[Callable[[Axes], None]]) -> None:
    """Draw panels above each other over one axis of time; mergers are dotted lines."""
    cells = place.subgridspec(len(wanted), 1)
    first = None
    for row, panel in enumerate(wanted):
        first = axes = picture.add_subplot(cells[row], sharex=first)
        panel(axes)
        for time in run.mergers.get("time", ()):
            axes.axvline(time, color="#777777", linewidth=0.8, linestyle=":", zorder=1)
        axes.tick_params(labelbottom=row == len(wanted) - 1)
    axes.set_xlabel(f"time{unit_text(run.units, 'time', ' [', ']')}")
    if len(run.time) > 1:
        axes.set_xlim(run.time[0], run.time[-1])


# ---------------------------------------------------------------------- maps


def _maps(picture: Figure, place: Any, run: GalaxyRun, plane: str) -> None:
    """Draw the surface density of the stars and of dark matter beside each other, or of what there is."""
    kinds = ["star", "dark-matter"] if _both(run) else [next(iter(run.radii), None)]
    cells = place.subgridspec(1, len(kinds))
    shared = None
    for column, kind in enumerate(kinds):
        shared = axes = picture.add_subplot(cells[column], sharex=shared, sharey=shared)
        drawn = surface(axes, run, plane, kind)
        if drawn is not None:
            _colour_bar(axes, drawn, run, below=len(kinds) > 1)
        if column == 0 and axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right", labelcolor="white", handletextpad=0.2)
        if column:
            axes.tick_params(labelleft=False)
            axes.set_ylabel("")


def _both(run: GalaxyRun) -> bool:
    return "star" in run.radii and "dark-matter" in run.radii


def _colour_bar(axes: Axes, drawn: AxesImage, run: GalaxyRun, *, below: bool) -> None:
    shape: dict[str, Any] = {"orientation": "horizontal", "pad": 0.02} if below else {"pad": 0.01}
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.9, aspect=30, **shape)
    bar.outline.set_visible(False)
    bar.minorticks_off()
    bar.set_label(f"mass per area{_per(run, '²')}")


def _per(run: GalaxyRun, power: str) -> str:
    """Return the unit of mass over a power of length in brackets, or nothing where units have no names."""
    mass, length = (unit_text(run.units, what) for what in ("mass", "length"))
    return f" [{mass}/{length}{power}]" if mass and length else ""


def surface(axes: Axes, run: GalaxyRun, plane: str, kind: str | None) -> AxesImage | None:
    """Draw the mass of one kind per area in the last frame, and over it the paths of black holes and mergers."""
    from matplotlib.colors import LogNorm

    ij = ["xyz".index(letter) for letter in plane]
    middle, reach = field_of_view(run, ij)
    axes.set_facecolor("black")
    drawn = None
    if kind is not None:
        state = run.last
        rows = np.arange(state.n) if state.kind is None else np.flatnonzero(state.is_kind(KINDS[kind]))
        xy = state.position[rows][:, ij]
        image = surface_density(state.mass[rows], xy, middle, reach)
        top = float(np.quantile(image, 0.9998)) or 1.0
        scale = LogNorm(top * 10**-_DECADES, top, clip=True)
        extent = (middle[0] - reach, middle[0] + reach, middle[1] - reach, middle[1] + reach)
        drawn = axes.imshow(
            np.maximum(image, 1e-9 * top), norm=scale, cmap=_MAPS.get(kind, "viridis"), origin="lower", extent=extent,
            interpolation="bilinear", rasterized=True,
        )  # fmt: skip
        if len(rows) < _FEW:
            axes.plot(*xy.T, ".", color="white", alpha=0.5, markersize=2.5, markeredgewidth=0.0)
    _paths(axes, run, ij)
    axes.grid(False)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlim(middle[0] - reach, middle[0] + reach)
    axes.set_ylim(middle[1] - reach, middle[1] + reach)
    length = unit_text(run.units, "length", " [", "]")
    title = f"{_NAMES.get(kind or '', 'Black holes')}, last frame"
    axes.set(xlabel=f"{plane[0]}{length}", ylabel=f"{plane[1]}{length}", title=title)
    return drawn


def field_of_view(run: GalaxyRun, ij: list[int]) -> tuple[FloatArray, float]:
    """Return centre (2,) and half width of a map: twice the radius of half of the stars, and the black holes at the end.

    Their paths widen it, to three times as much at most.
    """
    middle = run.centre[ij]
    inner = [float(r[-1, 1]) for r in run.radii.values() if np.isfinite(r[-1, 1])]
    ends = [float(np.max(np.abs(t.position[-1, ij] - middle))) for t in run.tracks]
    paths = [float(np.max(np.abs(t.position[:, ij] - middle))) for t in run.tracks]
    core = max([2.0 * inner[0]] if inner else [1.2 * max([1e-300, *paths])])
    reach = max(core, *[1.15 * d for d in ends if d < 5.0 * core], 0.0)
    return middle, min(max([reach, *[1.1 * d for d in paths]]), 3.0 * reach) or 1.0


def _paths(axes: Axes, run: GalaxyRun, ij: list[int]) -> None:
    """Draw paths, last positions and mergers of the black holes."""
    from matplotlib.patheffects import withStroke

    for k, track in enumerate(run.tracks[:_MOST_HOLES]):
        rows = _thinned(len(track.time))
        colour = _HOLE_COLOURS[k % len(_HOLE_COLOURS)]
        xy = track.position[:, ij]
        edge = [withStroke(linewidth=2.0, foreground="#00000090")]
        axes.plot(*xy[rows].T, color=colour, linewidth=0.9, alpha=0.85, zorder=3, path_effects=edge)
        if track.time[-1] >= run.time[-1] - 1e-9 * abs(run.time[-1]) or not len(run.mergers.get("time", ())):
            axes.plot(*xy[-1], "o", color="black", markeredgecolor=colour, markersize=6, markeredgewidth=1.4, zorder=5)
            axes.annotate(
                str(track.identity), tuple(xy[-1]), xytext=(6, 5), textcoords="offset points", color=colour, fontsize=8,
                zorder=6, annotation_clip=True,
            ).set_path_effects([withStroke(linewidth=1.5, foreground="black")])  # fmt: skip
    if len(run.mergers.get("time", ())):
        x, y = (run.mergers[f"position_{'xyz'[k]}"] for k in ij)
        axes.scatter(
            x, y, marker="*", s=90, c="#FFD23F", edgecolors="#333333", linewidths=0.7, zorder=4, label="merger"
        )


def _thinned(count: int) -> slice:
    return slice(None, None, max(1, count // _MOST_POINTS))


# ---------------------------------------------------------------------- against radius


def profile(axes: Axes, run: GalaxyRun) -> None:
    """Draw the density against the distance from the density centre, of the first frame (dashed) and the last."""
    for shells, style, width in zip(run.profiles, ("--", "-"), (0.9, 1.5), strict=True):
        for kind, (radius, density) in shells.items():
            label = _NAMES[kind].lower() if style == "-" else None
            axes.plot(radius, density, style, color=_kind_colour(kind), linewidth=width, label=label)
    axes.plot([], [], "--", color="#777777", linewidth=0.9, label="first frame")
    axes.set_xscale("log")
    axes.set_yscale("log")
    length = unit_text(run.units, "length", " [", "]")
    axes.set(title="Density around the density centre", xlabel=f"r{length}", ylabel=f"ρ{_per(run, '³')}")
    plain_ticks(axes, "x")
    axes.legend(loc="lower left")


def _kind_colour(kind: str) -> str:
    return _KIND_COLOURS.get(kind, COLOURS[3])


# ---------------------------------------------------------------------- against time


def separations(axes: Axes, run: GalaxyRun, pairs: list[tuple[History, Pair]]) -> None:
    """Draw the separations of black holes; from where they stay bound pale, with the semi-major axis; stars: mergers."""
    for k, (_, pair) in enumerate(pairs):
        rows, colour = _thinned(len(pair.time)), COLOURS[k % len(COLOURS)]
        bound = np.isfinite(pair.semi_major_axis)
        axes.plot(pair.time[rows], pair.separation[rows], color=colour, linewidth=0.6, alpha=0.5)
        apart = np.where(bound, np.nan, pair.separation)
        axes.plot(pair.time[rows], apart[rows], color=colour, linewidth=1.0, label=None if bound.any() else pair.name)
        axes.plot(
            pair.time[rows],
            pair.semi_major_axis[rows],
            color=colour,
            linewidth=1.5,
            label=pair.name if bound.any() else None,
        )
    if "separation" in run.mergers:
        axes.plot(
            run.mergers["time"], run.mergers["separation"], "*", color="#FFD23F", markeredgecolor="#333333", markersize=10,
            markeredgewidth=0.7, zorder=5, clip_on=False,
        )  # fmt: skip
    axes.set_yscale("log")
    plain_ticks(axes, "y")
    any_bound = any(np.isfinite(pair.semi_major_axis).any() for _, pair in pairs)
    axes.set_title("Black holes: separation (pale), semi-major axis" if any_bound else "Separation of the black holes")
    axes.set_ylabel(f"r, a{unit_text(run.units, 'length', ' [', ']')}")
    axes.legend(loc="lower left", ncols=2)


def eccentricities(axes: Axes, pairs: list[Pair]) -> None:
    """Draw the eccentricities of the black holes that stay bound."""
    for k, pair in enumerate(pairs):
        rows = _thinned(len(pair.time))
        axes.plot(pair.time[rows], pair.eccentricity[rows], color=COLOURS[k % len(COLOURS)], linewidth=0.8)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("Eccentricity, once bound")
    axes.set_ylabel("e")


def lagrangian(axes: Axes, run: GalaxyRun) -> None:
    """Draw the radii around the density centre that hold shares of the mass of each kind."""
    for kind, radii in run.radii.items():
        for k, (share, radius) in enumerate(zip(SHARES, radii.T, strict=True)):
            label = _NAMES[kind].lower() if k == 0 and len(run.radii) > 1 else None
            axes.plot(run.time, radius, color=_kind_colour(kind), linewidth=1.1, label=label, alpha=1.0 - 0.2 * k)
            if kind == next(iter(run.radii)):
                axes.annotate(
                    f"{100 * share:.0f} %", (1.0, radius[-1]), xycoords=("axes fraction", "data"), xytext=(3, 0),
                    textcoords="offset points", fontsize=7, va="center", color=_kind_colour(kind),
                )  # fmt: skip
    axes.set_yscale("log")
    plain_ticks(axes, "y")
    axes.set_title("Lagrangian radii")
    axes.set_ylabel(f"r{unit_text(run.units, 'length', ' [', ']')}")
    if len(run.radii) > 1:
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.2)  # room for the legend
        axes.legend(loc="upper left", ncols=3)


def energy_error(axes: Axes, run: GalaxyRun) -> None:
    """Draw |dE/E| on a logarithmic axis."""
    nobody, nowhere = np.zeros(0, np.int64), np.zeros((0, len(run.time), 3))
    history = History(
        time=run.time, identity=nobody, mass=nowhere[..., 0], position=nowhere, velocity=nowhere,
        black_hole=nobody.astype(bool), units=run.units, energy=run.energy, mergers=run.mergers, left_out=run.last.n,
    )  # fmt: skip
    panels.energy_error(axes, history, [])
    plain_ticks(axes, "y")


def plain_ticks(axes: Axes, which: Literal["x", "y"]) -> None:
    """Label a logarithmic axis at 1, 2 and 5 where it spans less than two decades, and without powers near 1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = sorted(axes.get_ylim() if which == "y" else axes.get_xlim())
    if axis.get_scale() != "log" or high > 100.0 * low:
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high > 3.0 * low else tuple(np.arange(1.0, 10.0, 0.5))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
