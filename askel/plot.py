"""``askel plot``: one picture of a trajectory, chosen by what it holds.

Bodies: orbits, the closest pair, energy error, orbital elements, strain. Atoms: temperature by element, energy, pair
distributions, vibrations. Galaxies: surface density, black holes, Lagrangian radii, profiles, strain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .galaxy_history import GalaxyRun, holds_galaxy, read_galaxy_run
from .history import History, Pair, pairs_of, read_history
from .molecules import Molecules, holds_atoms, read_molecules
from .particles import InputError
from .particles.pictures import STYLE, check_format
from .units_text import unit_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Panel = Callable[["Axes", History, list[Pair]], None]


def plot(
    source: str | Path, target: str | Path, *, plane: str = "xy", last: float = 1.0, overwrite: bool = False
) -> Path:
    """Draw a trajectory file into a picture and return its path.

    Parameters
    ----------
    source : an Askel or H5MD trajectory
    target : *.png, *.svg or *.pdf
    plane : "xy", "xz" or "yz", the projection of the orbits
    last : fraction of the run that is drawn, from its end
    overwrite : replace an existing picture

    Raises
    ------
    InputError : not a trajectory, an unknown format, or a picture that is there already

    """
    import matplotlib

    target = Path(target)
    check_format(target)
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already; use --overwrite, or -o another name")
    name = Path(source).name
    if holds_atoms(Path(source)):
        picture = molecular_figure(read_molecules(Path(source), last), name)
    elif holds_galaxy(Path(source)):
        picture = galaxy_figure(read_galaxy_run(Path(source), last), plane, name)
    else:
        picture = figure(read_history(Path(source), last), plane, name)
    metadata = {"Date": None} if target.suffix.lower() == ".svg" else None
    with matplotlib.rc_context(STYLE):
        picture.savefig(target, dpi=130, metadata=metadata)
    return target


def figure(history: History, plane: str, title: str) -> Figure:
    """Return the picture as a matplotlib figure, without a window."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(11.0, 6.6), layout="constrained")
        _draw(picture, history, plane)
        time = f"t = {history.time[0]:.4g} … {history.time[-1]:.4g}{unit_text(history.units, 'time', ' ')}"
        more = f", {history.left_out} lighter ones not drawn" if history.left_out > 0 else ""
        picture.suptitle(
            f"{title}   ·   {len(history.identity)} bodies{more}, {time}",
            x=0.01,
            ha="left",
            fontsize=9,
            color="#666666",
        )
    return picture


def molecular_figure(molecules: Molecules, title: str) -> Figure:
    """Return the picture of atoms as a matplotlib figure, without a window."""
    import matplotlib
    from matplotlib.figure import Figure

    from .molecular_panels import draw

    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(11.0, 6.6), layout="constrained")
        draw(picture, molecules)
        frames, time = molecules.frames, molecules.time
        text = f"{title}   ·   {frames.n} atoms, {len(frames)} frames, t = {time[0]:.4g} … {time[-1]:.4g} ps"
        picture.suptitle(text, x=0.01, ha="left", fontsize=9, color="#666666")
    return picture


def galaxy_figure(run: GalaxyRun, plane: str, title: str) -> Figure:
    """Return the picture of many bodies as a matplotlib figure, without a window."""
    import matplotlib
    from matplotlib.figure import Figure

    from .galaxy_panels import draw

    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(11.0, 8.4), layout="constrained")
        draw(picture, run, plane)
        time = f"t = {run.time[0]:.4g} … {run.time[-1]:.4g}{unit_text(run.units, 'time', ' ')}"
        text = f"{title}   ·   {run.last.n} bodies, {time}"
        picture.suptitle(text, x=0.01, ha="left", fontsize=9, color="#666666")
    return picture


def _draw(picture: Figure, history: History, plane: str) -> None:
    from . import panels

    pairs = pairs_of(history)
    right: list[Panel] = []
    if history.energy:
        right.append(panels.energy_error)
    if pairs:
        right += [panels.separations, panels.eccentricities]
    if panels.has_strain(history, pairs):
        right.append(panels.strain)
    left: list[Any] = [lambda axes, h, p: panels.orbits(axes, h, plane)]
    if panels.has_close_pair(history, pairs):
        left.append(panels.closest_pair)
    if not right:
        left[0](picture.add_subplot(), history, pairs)
        return
    columns = picture.add_gridspec(1, 2, width_ratios=(1.0, 1.15))
    ratios = (1.6, 1.0) if len(left) == 2 else (1.0,)
    stack = columns[0].subgridspec(len(left), 1, height_ratios=ratios)
    for row, panel in enumerate(left):
        panel(picture.add_subplot(stack[row]), history, pairs)
    cells = columns[1].subgridspec(len(right), 1)
    first = None
    for row, panel in enumerate(right):
        first = axes = picture.add_subplot(cells[row], sharex=first)
        panel(axes, history, pairs)
        if row < len(right) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel(f"time{unit_text(history.units, 'time', ' [', ']')}")
            if len(history.time) > 1:
                axes.set_xlim(history.time[0], history.time[-1])
