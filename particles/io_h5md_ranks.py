"""One trajectory of several ranks: brought together in one file by rank 0, or in parts of which each rank writes one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .collective import by_cuts, equal_cuts, gather, on_first, together, told
from .errors import AskelError, InputError
from .exchange import Exchange
from .io_h5md_parts import MasterWriter
from .io_h5md_read import Trajectory
from .io_h5md_records import FRAMES, RecordWriter
from .io_h5md_tables import Row
from .io_h5md_write import TrajectoryWriter
from .io_journal import journal_path
from .part_names import part_path, part_paths
from .particles import Particles


class RanksWriter:
    """What writers of several ranks share: rank 0 has the tables and the report, all make the same calls.

    Parameters
    ----------
    exchange : Exchange
    first : the writer of rank 0, None on the others

    Raises
    ------
    AskelError : the disk refuses, on any rank: all ranks raise it

    """

    def __init__(self, exchange: Exchange, first: RecordWriter | None) -> None:
        self._exchange, self._first = exchange, first

    def append(self, particles: Particles, step: int) -> None:
        """Write one frame of the particles of all ranks, in the order of their identities, and commit it."""
        raise NotImplementedError

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
        with together(self._exchange):
            self._close_here()

    def _close_here(self) -> None:
        """Close the files of this rank."""
        if self._first is not None:
            self._first.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._close_here()  # others may not be here

    @property
    def _file(self) -> Any:
        assert self._first is not None, "rank 0 has the file"
        return self._first


class GatheredWriter(RanksWriter):
    """A ``TrajectoryWriter`` on rank 0 to which all ranks send their particles."""

    def append(self, particles: Particles, step: int) -> None:
        """Write one frame of the particles of all ranks, in the order of their identities, and commit it."""
        whole = gather(self._exchange, particles)
        on_first(self._exchange, lambda: self._file.append(whole, step))


class PartsWriter(RanksWriter):
    """A ``TrajectoryWriter`` of a part on every rank, and a ``MasterWriter`` on rank 0 that shows them as one trajectory.

    Before a frame is written, each particle goes to the rank whose part has its row: rows follow identities, so that a part
    is one stretch of rows at all times, wherever its particles are. No rank ever holds more than its share.
    Made by ``create`` or ``resume``.
    """

    def __init__(
        self, exchange: Exchange, master: MasterWriter | None, part: TrajectoryWriter, cuts: NDArray[np.int64]
    ) -> None:
        super().__init__(exchange, master)
        self._part, self._cuts = part, cuts

    @classmethod
    def create(cls, exchange: Exchange, path: Path, particles: Particles, metadata: Mapping[str, Any]) -> Self:
        """Start a trajectory in parts; files of these names are replaced when the first frame comes.

        Parameters
        ----------
        exchange : Exchange
        path : the file that shows the parts, see ``part_names`` for theirs
        particles : Particles, what this rank owns of the first state
        metadata : first entries of the report

        Raises
        ------
        InputError : a file cannot be written there

        """
        path, run = path.resolve(), _told_text(exchange, secrets.token_hex(8))
        cuts = equal_cuts(particles.identity, np.ones(particles.n), exchange)
        rows = by_cuts(exchange, particles, cuts).identity
        names = [part_path(path, rank).name for rank in range(exchange.size)]
        with _opening(exchange) as files:
            part = files.enter_context(_new_part(path.with_name(names[exchange.rank]), particles, rows, run))
            master = None
            if exchange.rank == 0:
                master = MasterWriter.create(path, _none_of(particles), metadata=metadata, run=run)
                files.enter_context(master).show_parts(names, 0)
        return cls(exchange, master, part, cuts)

    @classmethod
    def resume(cls, exchange: Exchange, path: Path, lengths: Mapping[str, int], particles: Particles) -> Self:
        """Go on with a trajectory, cut back to lengths: in its parts on as many ranks, else in new ones.

        Parameters
        ----------
        exchange : Exchange
        path : the file that shows the parts
        lengths : what ``lengths`` gave to rank 0 (on the others they are not looked at)
        particles : Particles, for their fields and units

        Raises
        ------
        InputError : as ``TrajectoryWriter.resume``, and when a part is missing

        """
        path = path.resolve()
        master = on_first(exchange, lambda: MasterWriter.resume(path, lengths))
        before = json.loads(_told_text(exchange, "" if master is None else json.dumps(master.outline())))
        names, first = before["files"], before["first_frame"]
        go_on = len(names) == exchange.size
        if not go_on:
            names = [part_path(path, before["parts"] + rank).name for rank in range(exchange.size)]
            first = before["frames"]
        mine = path.with_name(names[exchange.rank])
        with _opening(exchange) as files:
            if master is not None:
                files.enter_context(master).show_parts(names, first)
            part = files.enter_context(
                _old_part(mine, before["frames"] - first, before["run"])
                if go_on
                else _new_part(mine, particles, _rows_of(exchange, path, before["rows"]), before["run"])
            )
            if master is not None:
                _remove_unused(path, master)
        return cls(exchange, master, part, _cuts_between(exchange, part.row_identity))

    def append(self, particles: Particles, step: int) -> None:
        """Write one frame of the particles of all ranks, in the order of their identities, and commit it."""
        mine = by_cuts(self._exchange, particles, self._cuts)
        with together(self._exchange):
            self._part.append(mine, step)
        rows = np.concatenate(self._exchange.allgather(np.array([len(self._part.row_identity)]))).tolist()
        on_first(self._exchange, lambda: self._file.append(_none_of(particles), step, rows))

    def lengths(self) -> dict[str, int]:
        """Return the number of frames and rows by data set, on rank 0, after making sure that the disks have them."""
        with together(self._exchange):
            self._part.flush(sync=True)
        return super().lengths()

    def _close_here(self) -> None:
        try:
            self._part.close()
        finally:
            super()._close_here()


@contextmanager
def _opening(exchange: Exchange) -> Iterator[ExitStack]:
    """Let all ranks open files or none: what is on the stack is closed when one of them fails."""
    with ExitStack() as files:
        with together(exchange):
            yield files
        files.pop_all()


def _new_part(path: Path, particles: Particles, rows: NDArray[np.int64], run: str) -> TrajectoryWriter:
    """Return the writer of a part for the particles that are named (at least one row, so that every part can be shown)."""
    return TrajectoryWriter.create(path, _none_of(particles), overwrite=True, rows=rows, capacity=1, run=run)


def _old_part(path: Path, frames: int, run: str) -> TrajectoryWriter:
    """Return the writer of a part that is there, cut back."""
    part = TrajectoryWriter.resume(path, {FRAMES: frames})
    if part.run != run:
        part.close()
        raise InputError(f"{path} is a part of another run; put the right one beside the trajectory")
    return part


def _rows_of(exchange: Exchange, path: Path, rows: int) -> NDArray[np.int64]:
    """Return the identities of this rank's stretch of the rows of a trajectory."""
    low, high = (rows * rank // exchange.size for rank in (exchange.rank, exchange.rank + 1))
    with Trajectory(path) as before:
        return before.identities(slice(low, high))


def _cuts_between(exchange: Exchange, identities: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (P - 1,) smallest identities in the stretches of the ranks but the first."""
    smallest = np.min(identities, where=identities >= 0, initial=np.iinfo(np.int64).max)
    firsts = np.concatenate(exchange.allgather(np.array([smallest])))
    return np.asarray(np.minimum.accumulate(firsts[::-1])[::-1][1:])


def _remove_unused(path: Path, master: MasterWriter) -> None:
    """Remove parts of this run that the trajectory, as cut back, does not show and that nobody goes on writing."""
    used = master.files()
    for part in part_paths(path):
        if part.name not in used:
            with suppress(AskelError, OSError), Trajectory(part) as found:
                if found.run == master.run:
                    part.unlink()
                    journal_path(part).unlink(missing_ok=True)


def _none_of(particles: Particles) -> Particles:
    return particles.select(np.zeros(0, np.int64))


def _told_text(exchange: Exchange, text: str) -> str:
    """Return the text of rank 0."""
    return told(exchange, np.frombuffer(text.encode(), np.uint8)).tobytes().decode()
