"""The picture of the record of `error_control.py`."""

from pathlib import Path
from typing import Any

import numpy as np

STYLE = {"font.size": 9, "legend.frameon": False, "axes.titleweight": "bold", "axes.titlelocation": "left"}
DASHED = {"color": "#444444", "linewidth": 1.0, "linestyle": (0, (3, 1.5))}


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw error against cost, and the errors of every case."""
    import matplotlib
    from askel.md.judging.plot import COLOURS
    from matplotlib.figure import Figure

    with matplotlib.rc_context({f"axes.spines.{side}": False for side in ("top", "right")} | STYLE):
        picture = Figure(figsize=(10.5, 3.9), layout="constrained")
        one, other = picture.subplots(1, 2)
        if "curve" in record:
            _curve(one, record, COLOURS)
        _bars(other, record, COLOURS)
        picture.savefig(path, dpi=130)


def _curve(axes: Any, record: dict[str, Any], colours: tuple[str, ...]) -> None:
    """Draw the error of runs against the processor time of a picosecond, with the tolerance at every point."""
    rows, case = record["curve"]["rows"], record["cases"][record["curve"]["case"]]
    cost, error = [86.4 / r["ns_per_day"] for r in rows], [100.0 * r["pair_distribution_error"] for r in rows]
    axes.plot(cost, error, "o-", color=colours[0], label="error control, by tolerance")
    x, y = 86.4 / case["bare"]["ns_per_day"], 100.0 * case["bare"]["pair_distribution_error"]
    axes.plot(x, y, "s", color=colours[1], label="bare stride")
    axes.axvline(86.4 / case["forces"]["ns_per_day"], **DASHED, label="forces alone")
    for x, y, row in zip(cost, error, rows, strict=True):
        name = row["tolerance"].replace("inf", "∞").removesuffix(".0")
        axes.annotate(name, (x, y), (5, 5), textcoords="offset points")
    axes.set(xlabel="processor time, s per ps", ylabel="pair distribution, % of its peak", xlim=(0.0, None))
    axes.set(title=f"Accuracy against cost, {record['curve']['case']}", ylim=(0.0, 1.2 * max(error)))
    axes.legend()


def _bars(axes: Any, record: dict[str, Any], colours: tuple[str, ...]) -> None:
    """Draw the error of all cases over what is allowed, bare beside controlled."""
    names = list(record["cases"])
    limits = [record["limits"]["water" if name.startswith("water") else "copper"] for name in names]
    for k, kind in enumerate(("bare", "controlled")):
        errors = [record["cases"][n][kind]["pair_distribution_error"] for n in names]
        heights = [error / limit for error, limit in zip(errors, limits, strict=True)]
        bars = axes.bar(np.arange(len(names)) + 0.36 * (k - 0.5), heights, 0.34, color=colours[1 - k], label=kind)
        axes.bar_label(bars, [f"{100.0 * e:.2f}" for e in errors], fontsize=7, padding=1)
    axes.axhline(1.0, **DASHED, label="twice the error inside")
    axes.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8)
    axes.set_title("Pair distribution over its limit (labels: % of the peak)")
    axes.margins(y=0.15)
    axes.legend()
