"""A judgement: rows of value, error, reference and verdict, as a table, JSON and Markdown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .frames import FloatArray

if TYPE_CHECKING:
    from rich.table import Table

NAN = float("nan")
Verdict = Literal["pass", "fail", "unclear", ""]
_STYLES: dict[str, str] = {"pass": "green", "fail": "bold red", "unclear": "yellow", "": "dim"}


@dataclass(frozen=True, slots=True)
class Row:
    """One judged quantity.

    Attributes
    ----------
    section : heading it stands under: "one step", "temperature", "structure", "dynamics", "stability", "speed", ...
    quantity : name
    value, error : of the judged, with its block (standard) error; NaN where unknown
    unit : str
    reference, reference_error : what it is compared with
    bound : the most that ``compared`` may be; NaN: reported only
    compared : "difference": |value - reference|; "value": the value itself
    verdict : "pass"; "fail"; "unclear": the error is too large to tell, run longer; "": no bound

    """

    section: str
    quantity: str
    value: float
    error: float = NAN
    unit: str = ""
    reference: float = NAN
    reference_error: float = NAN
    bound: float = NAN
    compared: Literal["difference", "value"] = "difference"
    verdict: Verdict = ""


def decide(excess: float, bound: float, error: float) -> Verdict:
    """Return the verdict on an excess against its bound, given its standard error (NaN: taken as exact).

    pass: within the bound, with an error no larger than it; fail: beyond it by more than two errors; else unclear.
    """
    if math.isnan(bound):
        return ""
    if math.isnan(excess):
        return "unclear"
    spread = 0.0 if math.isnan(error) else error
    if abs(excess) <= bound:
        return "pass" if spread <= bound else "unclear"
    return "fail" if abs(excess) > bound + 2.0 * spread else "unclear"


def difference_row(
    section: str,
    quantity: str,
    value: tuple[float, float],
    reference: tuple[float, float],
    bound: float,
    unit: str,
) -> Row:
    """Return a row on |value - reference|; both are (mean, standard error)."""
    errors = [e for e in (value[1], reference[1]) if not math.isnan(e)]
    error = math.hypot(*errors) if errors else NAN
    verdict = decide(value[0] - reference[0], bound, error)
    return Row(section, quantity, value[0], value[1], unit, reference[0], reference[1], bound, "difference", verdict)


@dataclass(frozen=True, slots=True)
class Curve:
    """A function drawn beside its reference.

    Attributes
    ----------
    section : panel it belongs to: "rdf", "angle", "bond", "dihedral", "vdos", "temperature", "displacement"
    label : name
    x, y : (k,)
    error : (k,) standard error of y, or None
    reference_x, reference, reference_error : the same of the reference, or None
    x_label, y_label : axis titles

    """

    section: str
    label: str
    x: FloatArray
    y: FloatArray
    error: FloatArray | None = None
    reference_x: FloatArray | None = None
    reference: FloatArray | None = None
    reference_error: FloatArray | None = None
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found about a model or a trajectory.

    Attributes
    ----------
    title : what was judged against what
    rows : tuple of Row
    curves : what ``plot.plot`` draws
    notes : sentences a reader must know
    facts : numbers and words about the runs (seeds, stride_fs, simulated_ps, wall_s, ...)

    """

    title: str
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(r.verdict != "fail" for r in self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by verdict, of those that have one."""
        found = Counter(r.verdict for r in self.rows if r.verdict)
        return {name: found[name] for name in ("pass", "fail", "unclear")}

    def find(self, quantity: str) -> Row:
        """Return the first row whose quantity contains the text; KeyError without one."""
        for row in self.rows:
            if quantity in row.quantity:
                return row
        raise KeyError(quantity)

    def and_(self, other: Judgement) -> Judgement:
        """Return both judgements as one, under this title."""
        return Judgement(
            self.title,
            self.rows + other.rows,
            self.curves + other.curves,
            self.notes + tuple(n for n in other.notes if n not in self.notes),
            {**self.facts, **other.facts},
        )

    # ------------------------------------------------------------------ as text

    @property
    def summary(self) -> str:
        """One line: how many rows passed, failed, are unclear."""
        return ", ".join(f"{n} {name}" for name, n in self.counts.items())

    def rich_table(self) -> Table:
        """Return the table for a rich console."""
        from rich.table import Table

        shown = Table(title=self.title, caption=self.summary, title_style="bold", title_justify="left")
        for name in ("quantity", "value", "reference", "allowed", "unit", ""):
            shown.add_column(name, justify="right" if name in ("value", "reference", "allowed") else "left")
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                shown.add_section()
                shown.add_row(f"[bold]{section}[/]", "", "", "", "", "")
            style = _STYLES[row.verdict]
            shown.add_row(f"  {row.quantity}", *_cells(row), row.unit, f"[{style}]{row.verdict}[/]")
        return shown

    def table(self, width: int = 120) -> str:
        """Return the table as plain text, with the notes below."""
        from rich.console import Console

        out = Console(file=StringIO(), width=width, color_system=None, legacy_windows=False)
        out.print(self.rich_table())
        for note in self.notes:
            out.print(f"* {note}", highlight=False)
        assert isinstance(out.file, StringIO)
        return out.file.getvalue()

    def to_markdown(self) -> str:
        """Return the table as Markdown, for model cards."""
        lines = [f"### {self.title}", "", "| quantity | value | reference | allowed | unit | verdict |"]
        lines.append("|---|---:|---:|---:|---|---|")
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                lines.append(f"| **{section}** | | | | | |")
            verdict = f"**{row.verdict}**" if row.verdict == "fail" else row.verdict
            lines.append(f"| {row.quantity} | {' | '.join(_cells(row))} | {row.unit} | {verdict} |")
        lines += ["", f"{self.summary}.", *(f"* {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def to_json(self, *, curves: bool = False) -> str:
        """Return rows, notes and facts (and the curves) as JSON; not-a-number becomes null."""
        tree: dict[str, Any] = {
            "title": self.title,
            "passed": self.passed,
            "counts": self.counts,
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "rows": [asdict(r) for r in self.rows],
        }
        if curves:
            tree["curves"] = [asdict(c) for c in self.curves]
        return json.dumps(_plain(tree), indent=1, allow_nan=False)


def _cells(row: Row) -> tuple[str, str, str]:
    sign = "±" if row.compared == "difference" else "≤"
    allowed = "" if math.isnan(row.bound) else f"{sign} {number(row.bound)}"
    return with_error(row.value, row.error), with_error(row.reference, row.reference_error), allowed


def number(value: float) -> str:
    """Return a number with about three digits."""
    if math.isnan(value):
        return ""
    if value == 0.0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        return f"{value:.{min(digits, 5)}f}"
    return f"{value:.2e}"


def with_error(value: float, error: float) -> str:
    """Return "value ± error", with two digits of the error."""
    if math.isnan(value) or math.isnan(error) or not math.isfinite(value):
        return number(value) if math.isfinite(value) or math.isnan(value) else "∞"
    if error <= 0.0 or not 1e-4 <= error < 1e5:
        return f"{number(value)} ± {number(error)}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
