"""Pictures of a table of encounters: outcomes, cross sections, kicks, energy errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .nbody.ensemble_outcomes import OUTCOMES
from .nbody.scattering_run import cross_sections
from .particles import InputError
from .particles.io_ensemble import read_columns
from .particles.pictures import STYLE, check_format
from .scatter import Plan
from .scatter_build import even_area

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (
    "#4c78a8",
    "#f58518",
    "#54a24b",
    "#e45756",
    "#72b7b2",
    "#b279a2",
    "#9d755d",
    "#bab0ac",
    "#eeca3b",
    "#222222",
)


def draw(path: Path, plan: Plan, target: Path, *, overwrite: bool = False) -> Path:
    """Draw a table into a picture and return its path; raises InputError for a picture that is there, or no format."""
    import matplotlib
    from matplotlib.figure import Figure

    check_format(target)
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already; use --overwrite, or -o another name")
    rows = read_columns(path)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 6.4), layout="constrained")
        axes = figure.subplots(2, 2)
        _shares(axes[0, 0], rows, even_area(plan.job))
        _by_impact(axes[0, 1], rows)
        _kicks(axes[1, 0], rows)
        _errors(axes[1, 1], rows)
        figure.suptitle(f"{len(rows['outcome'])} encounters, {plan.scattering.kind}", x=0.01, ha="left", fontsize=11)
        figure.savefig(target, dpi=130, metadata={"Date": None} if target.suffix.lower() == ".svg" else None)
    return target


def _shares(axes: Axes, rows: dict[str, np.ndarray], area: bool) -> None:
    """Draw cross sections where there are any, else shares, with their errors."""
    found = cross_sections(rows, even_area=area)
    scaled = all(np.isfinite(c.scaled) for c in found.values())
    names = list(found)
    values = [c.scaled if scaled else c.fraction for c in found.values()]
    errors = [c.scaled_error if scaled else c.fraction_error for c in found.values()]
    colours = [_COLOURS[OUTCOMES.index(name)] if name in OUTCOMES else "#777777" for name in names]
    axes.barh(names, values, xerr=errors, color=colours, height=0.6, error_kw={"lw": 1.0, "ecolor": "#333333"})
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title("Cross sections" if scaled else "Outcomes")
    axes.set_xlabel(r"$\sigma\,/\,(\pi a^2 v_c^2/v^2)$" if scaled else "share of all encounters")


def _by_impact(axes: Axes, rows: dict[str, np.ndarray]) -> None:
    """Draw the share of each outcome over the impact parameter."""
    axes.set_title("Outcome by impact parameter")
    if "drawn_impact_parameter" not in rows:
        axes.set_axis_off()
        return
    x = rows["drawn_impact_parameter"] / rows["drawn_largest_impact_parameter"]
    edges = np.linspace(0.0, 1.0, 21)
    total = np.maximum(np.histogram(x, edges)[0], 1)
    for i, name in enumerate(OUTCOMES):
        which = rows["outcome"] == i
        if which.any():
            axes.stairs(np.histogram(x[which], edges)[0] / total, edges, color=_COLOURS[i], lw=1.5, label=name)
    axes.set_xlabel(r"$b\,/\,b_\mathrm{max}$")
    axes.set_ylabel("share")
    axes.legend()


def _kicks(axes: Axes, rows: dict[str, np.ndarray]) -> None:
    """Draw the distribution of the largest speed after each encounter."""
    axes.set_title("Kicks")
    speed = rows["kick"].max(axis=1)
    good = np.isfinite(speed) & (speed > 0.0)
    if good.any():
        edges = np.geomspace(speed[good].min(), speed[good].max() * 1.0001, 41)
        for i, name in enumerate(OUTCOMES):
            which = good & (rows["outcome"] == i)
            if which.sum() > 1:
                axes.stairs(np.histogram(speed[which], edges)[0], edges, color=_COLOURS[i], lw=1.5, label=name)
        axes.set_xscale("log")
        axes.legend()
    axes.set_xlabel("speed of the fastest part at infinity")
    axes.set_ylabel("encounters")


def _errors(axes: Axes, rows: dict[str, np.ndarray]) -> None:
    """Draw energy errors over micro-steps."""
    error = np.maximum(np.abs(rows["energy_error"]), 1e-17)
    axes.set_title("Energy error")
    axes.loglog(np.maximum(rows["steps"], 1), error, ".", ms=2, alpha=0.4, color="#4c78a8", rasterized=True)
    axes.set_xlabel("micro-steps")
    axes.set_ylabel(r"$|\Delta E/E|$")
