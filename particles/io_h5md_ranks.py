"""One trajectory of several ranks: frames are brought together on rank 0, which writes the ordinary file."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .collective import gather, on_first
from .exchange import Exchange
from .io_h5md_tables import Row
from .io_h5md_write import TrajectoryWriter
from .particles import Particles


class GatheredWriter:
    """A ``TrajectoryWriter`` on rank 0 that every rank writes to: all make the same calls, and share its errors.

    Parameters
    ----------
    exchange : Exchange
    writer : TrajectoryWriter on rank 0, None on the others

    Raises
    ------
    AskelError : as ``TrajectoryWriter`` does, on all ranks

    """

    def __init__(self, exchange: Exchange, writer: TrajectoryWriter | None) -> None:
        self._exchange, self._writer = exchange, writer

    def append(self, particles: Particles, step: int) -> None:
        """Write one frame of the particles of all ranks, in the order of their identities, and commit it."""
        whole = gather(self._exchange, particles)
        on_first(self._exchange, lambda: self._file.append(whole, step))

    def append_row(self, table: str, row: Row) -> None:
        """Add a row, the same on all ranks, to a table by name."""
        on_first(self._exchange, lambda: self._file.append_row(table, row))

    def set_report(self, report: Mapping[str, Any]) -> None:
        """Replace entries of the report."""
        on_first(self._exchange, lambda: self._file.set_report(report))

    def lengths(self) -> dict[str, int]:
        """Return the number of frames and rows by data set; nothing on other ranks than 0."""
        return on_first(self._exchange, lambda: self._file.lengths()) or {}

    def flush(self) -> None:
        """Commit what was appended."""
        on_first(self._exchange, lambda: self._file.flush())

    def close(self) -> None:
        """Commit and close."""
        on_first(self._exchange, lambda: self._file.close())

    def __enter__(self) -> GatheredWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:  # others may not be here
            self._writer.close()

    @property
    def _file(self) -> TrajectoryWriter:
        assert self._writer is not None, "rank 0 has the file"
        return self._writer
