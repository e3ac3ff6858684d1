"""What all pictures have in common: the formats, and a quiet style for matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import InputError

FORMATS = (".png", ".svg", ".pdf")

#: Settings of matplotlib (its rc parameters).
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "askel",  # the same picture is the same file
}


def check_format(target: Path) -> None:
    """Raise InputError unless the name ends like a picture."""
    if target.suffix.lower() not in FORMATS:
        raise InputError(f"{target}: pictures are {', '.join('*' + f for f in FORMATS)}")
