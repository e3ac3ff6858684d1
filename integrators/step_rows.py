"""The observer of what happens inside steps: rows of tables that propagators bring, such as series/black_holes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .observers import Writer
from .propagator import Row

if TYPE_CHECKING:
    from .loop import Simulation


class StepRows:
    """Writes ``Step.rows`` after every step.

    Parameters
    ----------
    writer : Writer

    """

    order = 0

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def start(self, time: float, direction: int) -> None:
        """Do nothing."""

    def next_due(self, time: float) -> float:
        """Return infinity: steps are not changed for it."""
        return math.inf

    def due(self, time: float) -> bool:
        """Return True: every step may have rows."""
        return True

    def observe(self, simulation: Simulation) -> None:
        """Write the rows of the last step."""
        for table, row in simulation.rows:
            self._writer.append_row(table, {"step": simulation.step, **row})

    def event(self, row: Row) -> None:
        """Do nothing: ``Snapshots`` writes events."""

    def finish(self, simulation: Simulation) -> None:
        """Do nothing: the last step is written."""

    def state_dict(self) -> dict:
        """Return nothing."""
        return {}

    def load_state_dict(self, tree: dict) -> None:
        """Do nothing."""
