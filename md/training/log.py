"""The log of a training: a CSV file that grows row by row, and a plot of the losses drawn from it now and then."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from ...particles import InputError

#: Columns of every training; those of its task follow.
COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "train_loss",
    "validation_loss",
    "strides_in_a_row",
    "seconds",
    "steps_per_second",
)


class TrainingLog:
    """Rows of a CSV file; on a resumption rows after the checkpoint's step are dropped.

    Parameters
    ----------
    path : the file
    last_step : rows after this step are removed; -1: a new file

    """

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        self._names: list[str] = list(COLUMNS)
        rows = [r for r in read_log(path) if int(r["step"]) <= last_step] if last_step >= 0 and path.exists() else []
        if rows:
            self._names = list(rows[0])
        self._write(rows)

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row; a column not seen before rewrites the file with it."""
        new = [name for name in row if name not in self._names]
        if new:
            rows = read_log(self.path)
            self._names += new
            self._write(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._names, restval="").writerow({k: _text(v) for k, v in row.items()})

    def _write(self, rows: list[dict[str, str]]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.new")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._names, restval="")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)


def _text(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def read_log(path: str | Path) -> list[dict[str, str]]:
    """Return the rows of a log; a last row that was cut off is left out."""
    try:
        with Path(path).open(newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row.values() and row.get("step", "").isdigit()]
    except OSError as error:
        raise InputError(f"cannot read the log {path}: {error.strerror}") from None


def plot_log(log: str | Path, image: str | Path) -> None:
    """Draw the losses of a log over its steps, and below them the relative errors of the validation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_log(log)
    if not rows:
        return
    figure = Figure(figsize=(7.0, 7.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for name, label in (("train_loss", "training"), ("validation_loss", "validation")):
        upper.plot(*_column(rows, name), ".-" if name == "validation_loss" else "-", label=label, linewidth=1.0)
    upper.set(ylabel="loss", title=f"step {rows[-1]['step']}, {float(rows[-1]['seconds']) / 60:.1f} min")
    for name in [n for n in rows[0] if n not in COLUMNS]:
        dashed = name.startswith("velocity")
        lower.plot(*_column(rows, name), "--" if dashed else "-", label=name.replace("_", " "), linewidth=1.0)
    lower.set(xlabel="step", ylabel="relative error (validation)")
    for axes in (upper, lower):
        if axes.lines and any(len(line.get_xdata()) for line in axes.lines):
            axes.set_yscale("log")
            axes.legend(fontsize="small", ncols=2)
            axes.grid(alpha=0.3)
    image = Path(image)
    temporary = image.with_name(f".{image.stem}.new.png")
    FigureCanvasAgg(figure).print_png(str(temporary))
    temporary.replace(image)


def _column(rows: list[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    chosen = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
    chosen = [(step, value) for step, value in chosen if math.isfinite(value) and value > 0.0]
    return [step for step, _ in chosen], [value for _, value in chosen]
