"""One picture of a judgement: distributions and spectra beside the reference, temperatures, errors, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...particles.pictures import STYLE, check_format
from .report import Curve, Judgement, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that stay apart for most colour-blind readers (Okabe & Ito 2008, with a darker yellow).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#444444")
_VERDICT = {"pass": "#009E73", "fail": "#D55E00", "unclear": "#E69F00", "": "#999999"}
_MOST_CURVES = 6
_TITLES = {
    "rdf": "Pair distributions",
    "angle": "Angles",
    "bond": "Bond lengths",
    "dihedral": "Dihedrals",
    "vdos": "Vibrational density of states",
    "temperature": "Temperature by element",
    "displacement": "Mean squared displacement",
}


def plot(judgement: Judgement, path: str | Path) -> Path:
    """Draw a judgement into a picture (*.png, *.svg, *.pdf; an existing one is replaced) and return its path.

    Solid lines are the judged, the grey bands and dashed lines behind them the reference (bands: two standard errors).

    Raises
    ------
    InputError : another kind of file

    """
    import matplotlib

    target = Path(path)
    check_format(target)
    with matplotlib.rc_context(STYLE):
        figure(judgement).savefig(target, dpi=130, metadata={"Date": None} if target.suffix == ".svg" else None)
    return target


def figure(judgement: Judgement) -> Figure:
    """Return the picture as a matplotlib figure, without a window."""
    import matplotlib
    from matplotlib.figure import Figure

    sections = [s for s in _TITLES if any(c.section == s for c in judgement.curves)]
    steps = [r for r in judgement.rows if r.section == "one step" and "displacement" in r.quantity and r.unit == "%"]
    panels = len(sections) + bool(steps) + 1
    columns = 2 if panels <= 4 else 3
    rows = -(-panels // columns)
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(4.6 * columns, 3.1 * rows + 0.5), layout="constrained")
        picture.suptitle(judgement.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        cells = picture.add_gridspec(rows, columns)
        grid = [picture.add_subplot(cells[divmod(k, columns)]) for k in range(panels - 1)]
        grid.append(picture.add_subplot(cells[rows - 1, (panels - 1) % columns :]))  # the verdicts take what is left
        grid[0].plot([], [], color="#333333", linewidth=0.9, linestyle=(0, (3, 1.5)), label="reference")
        for axes, section in zip(grid, sections, strict=False):
            _curves(axes, section, [c for c in judgement.curves if c.section == section])
        if steps:
            _one_step(grid[len(sections)], steps)
        _verdicts(grid[-1], judgement)
    return picture


def _curves(axes: Axes, section: str, found: Sequence[Curve]) -> None:
    chosen = found if len(found) <= _MOST_CURVES else sorted(found, key=_distance, reverse=True)[:_MOST_CURVES]
    chosen = [c for c in found if any(c is x for x in chosen)]
    if section == "rdf":  # the highest on top, where it may leave the picture
        chosen.sort(key=lambda c: float(np.nanmax(c.y)))
    lift = _lift(section, chosen)
    for k, curve in enumerate(chosen):
        colour, base = COLOURS[k % len(COLOURS)], k * lift
        if curve.reference is not None and curve.reference_x is not None:
            right = curve.reference + base
            if section == "temperature":
                axes.axhline(float(curve.reference[0]), color="#444444", linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
            else:
                axes.plot(curve.reference_x, right, color="#333333", linewidth=0.9, linestyle=(0, (3, 1.5)), zorder=3)
                if lift and section != "displacement":
                    axes.fill_between(
                        curve.reference_x, base, right, color="#dcdcdc", alpha=0.55, linewidth=0, zorder=1
                    )
            if curve.reference_error is not None and np.isfinite(curve.reference_error).any():
                band = 2.0 * curve.reference_error
                axes.fill_between(
                    curve.reference_x, right - band, right + band, color="#bbbbbb", alpha=0.5, lw=0, zorder=1
                )
        axes.plot(curve.x, curve.y + base, color=colour, linewidth=1.3, label=curve.label, zorder=2)
    _frame(axes, section, chosen, len(found))
    if section == "rdf" and lift:
        axes.set_ylim(0.0, (len(chosen) - 1) * lift + min(1.4 * float(np.nanmax(chosen[-1].y)), 4.0 * lift))


def _lift(section: str, chosen: Sequence[Curve]) -> float:
    """Return how far curves are moved apart, so that each is seen beside its reference."""
    if len(chosen) < 2 or section in ("temperature", "displacement"):
        return 0.0
    if section == "bond":
        return 0.0
    return 0.75 * float(np.median([np.nanmax(c.y) for c in chosen]))


def _distance(curve: Curve) -> float:
    if curve.reference is None or curve.reference_x is None:
        return 0.0
    theirs = np.interp(curve.x, curve.reference_x, curve.reference)
    return float(np.abs(curve.y - theirs).sum() / max(np.abs(theirs).sum(), 1e-300))


def _frame(axes: Axes, section: str, chosen: Sequence[Curve], total: int) -> None:
    more = f" (worst {len(chosen)} of {total})" if total > len(chosen) else ""
    first = chosen[0]
    axes.locator_params(axis="x", nbins=6)
    axes.set(title=_TITLES[section] + more, xlabel=first.x_label, ylabel=first.y_label)
    lines = [label.replace("angle ", "").replace("bond ", "").replace("dihedral ", "") for label in _labels(axes)]
    axes.legend(axes.get_legend_handles_labels()[0], lines, loc="best", ncols=1 if len(chosen) < 4 else 2)
    if section in ("rdf", "angle", "dihedral", "vdos", "bond"):
        axes.set_ylim(bottom=0.0)
        axes.set_xlim(*_range(section, chosen))
    if section == "temperature":
        level = float(first.reference[0]) if first.reference is not None else float(np.mean(first.y))
        reach = max(*(float(np.abs(c.y - level).max()) for c in chosen), 0.03 * level)
        axes.set_ylim(max(level - 1.15 * reach, 0.0), level + 1.15 * reach)
        axes.axhspan(0.98 * level, 1.02 * level, color="#dddddd", alpha=0.6, zorder=0, linewidth=0)


def _range(section: str, chosen: Sequence[Curve]) -> tuple[float, float]:
    """Return the part of the axis where something is."""
    first = chosen[0]
    there = np.concatenate([c.x[c.y > 2e-3 * c.y.max()] for c in chosen])
    if section == "dihedral" or not len(there):
        return -180.0, 180.0
    if section == "vdos":
        high = max(float(c.x[np.searchsorted(np.cumsum(c.y), 0.97 * c.y.sum())]) for c in chosen)
        return 0.0, min(1.15 * high, float(first.x[-1]))
    room = 0.06 * float(there.max() - there.min())
    high = float(first.x[-1]) if section == "rdf" else float(there.max()) + room
    return float(there.min()) - room, high


def _labels(axes: Axes) -> list[str]:
    return [str(label) for label in axes.get_legend_handles_labels()[1]]


def _one_step(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw relative displacement errors of a step: model against baselines, logarithmic."""
    shown = list(rows)[::-1]
    values = [max(r.value, 1e-6) for r in shown]
    colours = ["#bbbbbb" if "(" in r.quantity else COLOURS[0] for r in shown]
    axes.barh(range(len(shown)), values, color=colours, height=0.65)
    for k, value in enumerate(values):
        axes.text(value * 1.15, k, f"{value:.3g} %", va="center", fontsize=8, color="#333333")
    axes.set_yticks(
        range(len(shown)), [r.quantity.replace("displacement ", "").replace(", relative", "") for r in shown]
    )
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3.0, max(values) * 8.0)
    axes.grid(visible=False, axis="y")
    axes.set(title="One step: displacement error", xlabel="mean absolute error / mean displacement [%]")


def _verdicts(axes: Axes, judgement: Judgement) -> None:
    """Draw how much of its bound every judged quantity uses."""
    judged = [r for r in judgement.rows if r.verdict and r.section != "one step"]
    if not judged:
        axes.set_axis_off()
        return
    used = np.array([_used(r) for r in judged])
    most = 14
    order = np.argsort(-used, kind="stable")[:most]
    names = [judged[k].quantity if judged[k].section != "temperature" else f"T {judged[k].quantity}" for k in order][
        ::-1
    ]
    values = np.clip(used[order][::-1], 0.0, 3.0)
    axes.axvspan(0.0, 1.0, color="#009E73", alpha=0.08, linewidth=0)
    axes.barh(range(len(names)), values, color=[_VERDICT[judged[k].verdict] for k in order][::-1], height=0.62)
    for k, value in enumerate(values):
        if value >= 3.0:
            axes.text(2.97, k, f"{used[order][::-1][k]:.3g}×", va="center", ha="right", fontsize=7, color="white")
    axes.axvline(1.0, color="#444444", linewidth=0.9)
    axes.set_yticks(
        range(len(names)), [n.replace(", difference", "").replace(", Hellinger", "") for n in names], fontsize=7.5
    )
    axes.set_xlim(0.0, 3.0)
    axes.grid(visible=False, axis="y")
    more = f"; the worst {most} of {len(judged)}" if len(judged) > most else ""
    axes.set(title=judgement.summary.capitalize(), xlabel=f"difference / what is allowed{more}")


def _used(row: Row) -> float:
    gap = abs(row.value - row.reference) if row.compared == "difference" else abs(row.value)
    if row.bound > 0.0:
        return float(np.nan_to_num(gap / row.bound))
    return 0.0 if gap == 0.0 else 3.0
