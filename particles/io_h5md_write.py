"""Writing trajectories: frames and rows are appended, and the file on the disk is consistent at every moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import AskelError, InputError
from .fields import FIELDS, PARTICLE_FIELDS, Field
from .io_h5md_layout import GROUP, REPORT, add_element, boundary_names, declare_field, make_layout, write_attributes
from .io_h5md_tables import Row, check_table_name, open_table, table_length, tables, write_rows
from .io_h5md_units import file_units, read_units
from .io_hdf5 import dataset, extend, reading, reason
from .io_journal import JournaledFile, uninterrupted
from .particles import Particles
from .units import UnitSystem

_FRAMES = "particles/trajectory"  # the name of the frames in ``lengths``
_SECONDS_BETWEEN_COMMITS = 1.0  # of rows written without frames
_ROWS_BETWEEN_COMMITS = 4096


class TrajectoryWriter:
    """Appends frames and rows to one H5MD file.

    A particle keeps its row in the file for good; where it is absent (before it was born, after it was merged away) its
    identity is -1 and its position NaN. Made by ``create`` or ``resume``. Every ``append`` commits: after a kill at any
    moment the file opens and holds every frame whose ``append`` returned. Rows reach the disk with the next frame,
    ``flush`` or ``lengths``, and at the latest with the first row a second later.

    Raises
    ------
    AskelError : the disk refuses (full, for instance); the file then stays as after the last commit

    """

    def __init__(self, file: JournaledFile, target: Path, *, gadget_view: bool) -> None:
        self._file, self._target, self._gadget_view = file, target, gadget_view
        self._h5 = h5py.File(file, "r+" if file.size else "w")
        self._published = file.path == target
        self._frames = 0
        self._units: UnitSystem
        self._elements: dict[str, h5py.Dataset] = {}
        self._row_identity: NDArray[np.int64] = np.zeros(0, np.int64)
        self._compression: str | None = None
        self._boundary: list[str] = []
        self._columns: dict[str, dict[str, h5py.Dataset]] = {}
        self._waiting: dict[str, list[Row]] = {}
        self._report: dict[str, Any] = {}
        self._last_commit = time.monotonic()
        self._changed = self._closed = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        particles: Particles,
        *,
        overwrite: bool = False,
        metadata: Mapping[str, Any] | None = None,
        capacity: int | None = None,
        compression: Literal["gzip", "lzf"] | None = None,
        gadget_view: bool = False,
    ) -> TrajectoryWriter:
        """Start a file for states like ``particles``; nothing is written over before the first frame or row is there.

        Parameters
        ----------
        path : the file; ``.h5md`` is what other programs ask for
        particles : Particles, for its fields, units and size; no frame is written yet
        overwrite : replace an existing file, when the first frame or row comes
        metadata : first entries of the report, see ``set_report``; "author" goes where H5MD wants it
        capacity : rows to make room for; n when not given; the file grows by itself
        compression : "gzip" or "lzf" (about 11 % smaller for double-precision coordinates, hence None by default)
        gadget_view : add a GADGET view of the last frame when the file is closed

        Raises
        ------
        InputError : the file exists, or cannot be written there

        """
        target = Path(path).resolve()
        if target.is_dir():
            raise InputError(f"{path} is a folder; expected the name of a file to write")
        if target.exists() and not overwrite:
            raise InputError(f"{path} exists; give another name, or overwrite it (--overwrite)")
        try:
            file = JournaledFile(target.with_name(f".{target.name}.new"), "new")
        except OSError as error:
            raise InputError(f"cannot write {path}: {reason(error)}; give a name in a writable folder") from None
        writer = cls(file, target, gadget_view=gadget_view)
        with uninterrupted():
            room = max(particles.n, capacity or 0)
            make_layout(writer._h5, particles, str((metadata or {}).get("author", "unknown")))
            writer._compression = compression
            writer._open_elements()
            writer._row_identity = np.full(room, -1, np.int64)
            for field in particles.present():
                writer._add_element(field)
            if particles.species is not None and particles.cell is None:
                writer._add_element(FIELDS["cell"], declare=False)  # ZnH5MD asks for edges, even for a molecule
            writer.set_report(metadata or {})
        return writer

    @classmethod
    def resume(cls, path: str | Path, lengths: Mapping[str, int], *, gadget_view: bool = False) -> TrajectoryWriter:
        """Go on with a file, after cutting every data set back to the lengths that a checkpoint holds.

        Parameters
        ----------
        lengths : what ``lengths`` gave; tables that it does not name are removed

        Raises
        ------
        InputError : not a trajectory of Askel, damaged, or shorter than the checkpoint says

        """
        from .io_h5md_read import Trajectory

        target = Path(path).resolve()
        with Trajectory(target) as old:
            old.refuse_foreign()
            _refuse_shorter(path, old, lengths)
        try:
            file = JournaledFile(target, "update")
        except OSError as error:
            raise InputError(f"cannot write {path}: {reason(error)}") from None
        try:
            writer = cls(file, target, gadget_view=gadget_view)
            writer._cut_back(lengths)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            file.close()
            raise InputError(f"{path} cannot be continued: {str(error).splitlines()[0][:160]}") from None
        return writer

    # -- frames ---------------------------------------------------------------------------------------------------

    def append(self, particles: Particles, step: int) -> None:
        """Write one frame and commit it.

        Parameters
        ----------
        particles : Particles, of any size; converted to the units of the file
        step : int, number of the step

        Raises
        ------
        AskelError : the disk refuses; InputError: units that cannot be converted, other periodic directions

        """
        state = particles.in_units(self._units)
        with uninterrupted():
            self._check_open()
            self._check_box(state)
            rows = self._assign_rows(state.identity)
            for field in state.present():
                if field.name not in self._elements and field.name != "periodic":
                    self._add_element(field)
            time_in_file = np.array([state.time * self._factor(FIELDS["time"])])
            for name, data in self._elements.items():
                if name not in ("time", "step"):
                    extend(data, self._frames, self._block(FIELDS[name], getattr(state, name), rows)[None])
            extend(self._elements["time"], self._frames, time_in_file)
            extend(self._elements["step"], self._frames, np.array([step], np.int64))
            self._frames += 1
            self._changed = True
        self.flush()

    def _assign_rows(self, identity: NDArray[np.int64]) -> NDArray[np.int64] | slice:
        """Return the row in the file of every particle; new particles get rows of their own, for good."""
        known = self._row_identity
        if len(identity) <= len(known) and np.array_equal(identity, known[: len(identity)]):
            return slice(0, len(identity))
        order = np.argsort(known, kind="stable")
        at = np.minimum(np.searchsorted(known, identity, sorter=order), max(len(known) - 1, 0))
        rows = order[at] if len(known) else np.zeros(len(identity), np.int64)
        new = np.flatnonzero(known[rows] != identity) if len(known) else np.arange(len(identity))
        if len(new):
            first = int(np.flatnonzero(known >= 0)[-1]) + 1 if (known >= 0).any() else 0
            self._grow(first + len(new))
            rows[new] = first + np.arange(len(new))
            self._row_identity[rows[new]] = identity[new]
        return rows

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self._row_identity)
        if more > 0:
            self._row_identity = np.concatenate([self._row_identity, np.full(more, -1, np.int64)])
            for field in PARTICLE_FIELDS:
                if field.name in self._elements:
                    self._elements[field.name].resize(capacity, axis=1)

    def _block(self, field: Field, value: NDArray | None, rows: NDArray[np.int64] | slice) -> NDArray:
        """Return a field as the file holds it: in its units, with the rows of absent particles."""
        if value is not None:
            factor = self._factor(field)
            value = value * field.dtype.type(factor) if factor != 1.0 else value
            if field.scope == "system" or (len(value) == len(self._row_identity) and isinstance(rows, slice)):
                return value
        leading = (len(self._row_identity),) if field.scope == "particle" else ()
        block = np.full((*leading, *field.shape), field.fill, field.dtype)
        if value is not None:
            block[rows] = value
        return block

    def _factor(self, field: Field) -> float:
        return self._units.conversion(file_units(self._units), field.dimension)

    def _add_element(self, field: Field, *, declare: bool = True) -> None:
        if field.name in ("time", "periodic"):
            return
        self._elements[field.name] = add_element(
            self._h5, field, self._frames, len(self._row_identity), self._units, self._compression
        )
        if declare:
            declare_field(self._h5, field)

    def _check_box(self, state: Particles) -> None:
        found = boundary_names(state.periodic)
        if found != self._boundary:
            raise InputError(
                f"the file holds states with boundaries {self._boundary}, this one has {found}; write another file"
            )

    # -- rows and the report --------------------------------------------------------------------------------------

    def append_row(self, table: str, row: Row) -> None:
        """Add a row to a table such as ``series/energy`` or ``events/merger``; new columns may come at any time.

        Parameters
        ----------
        table : path of the table in the file
        row : column -> number or string; the same column always has the same type

        """
        check_table_name(table)
        self._check_open()
        self._waiting.setdefault(table, []).append(dict(row))
        self._changed = True
        waiting = sum(len(rows) for rows in self._waiting.values())
        late = time.monotonic() - self._last_commit > _SECONDS_BETWEEN_COMMITS
        if late or waiting >= _ROWS_BETWEEN_COMMITS:
            self.flush()

    def set_report(self, values: Mapping[str, Any]) -> None:
        """Set entries of the run report (attributes of ``parameters/report``); written with the next commit.

        ``askel info`` shows: ``energy_error`` {"max", "final"}, ``post_newtonian`` {"terms", "max_v_over_c",
        "max_compactness"}, ``mergers``, ``wall_time`` (s); further entries are kept (``configuration``, versions, seed).

        Parameters
        ----------
        values : name -> number, string, bool, None, list of numbers or strings, or a mapping of such

        """
        with uninterrupted():
            self._check_open()
            write_attributes(self._h5.require_group(REPORT), values, self._report)
            self._changed = True

    def lengths(self) -> dict[str, int]:
        """Return the number of frames and of rows by name, after making sure that the disk has them."""
        self.flush(sync=True)
        with uninterrupted():
            return {_FRAMES: self._frames, **{name: table_length(group) for name, group in tables(self._h5).items()}}

    # -- commits --------------------------------------------------------------------------------------------------

    def flush(self, *, sync: bool = False) -> None:
        """Commit what was appended; with ``sync`` it also survives a power failure.

        Raises
        ------
        AskelError : the disk refuses; the file stays as after the last commit

        """
        if not (self._changed or sync):
            return
        try:
            with uninterrupted():
                self._check_open()
                for table, rows in self._waiting.items():
                    if table not in self._columns:
                        self._columns[table] = open_table(self._h5, table)
                    write_rows(self._h5, table, self._columns[table], rows)
                self._waiting.clear()
                self._h5.flush()
                self._file.commit(sync=sync)
                if not self._published and (self._frames or tables(self._h5)):
                    self._file.move_to(self._target)
                    self._published = True
        except OSError as error:
            raise AskelError(f"cannot write {self._target}: {reason(error)}; what it held before is intact") from error
        self._changed, self._last_commit = False, time.monotonic()

    def close(self) -> None:
        """Commit and close; a file that never got a frame or a row is not made."""
        if self._closed:
            return
        try:
            if self._file.failure is None:
                if self._gadget_view and self._frames:
                    self._write_gadget_view()
                self.flush()
        finally:
            self._closed = True
            with uninterrupted():
                try:
                    with reading(self._target):
                        self._h5.close()
                finally:
                    self._close_file()

    def _close_file(self) -> None:
        if self._file.failure is None and self._published:
            self._file.commit()
        self._file.close()
        if not self._published:
            self._file.path.unlink(missing_ok=True)

    def _write_gadget_view(self) -> None:
        from .io_gadget import write_view
        from .io_h5md_read import FrameReader

        with uninterrupted():
            write_view(self._h5, FrameReader(self._h5).read(self._frames - 1))
            self._changed = True

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"{self._target} is closed; open it again with TrajectoryWriter.resume")
        if self._file.failure is not None:
            raise AskelError(f"{self._target} can no longer be written: an earlier write failed; the file is intact")

    # -- resuming -------------------------------------------------------------------------------------------------

    def _open_elements(self) -> None:
        group = self._h5[GROUP]
        self._units = read_units(self._h5, None, None, None)[1]
        self._boundary = list(group["box"].attrs["boundary"])
        self._elements = {"step": group["position/step"], "time": group["position/time"]}
        for field in FIELDS.values():
            where = f"box/{field.element}" if field.scope == "system" else field.element
            found = dataset(group, f"{where}/value")
            if found is not None:
                self._elements[field.name] = found

    def _cut_back(self, lengths: Mapping[str, int]) -> None:
        with uninterrupted():
            self._open_elements()
            self._frames = lengths.get(_FRAMES, 0)
            for data in self._elements.values():
                if len(data) != self._frames:
                    data.resize(self._frames, axis=0)
            for name, group in tables(self._h5).items():
                for column in group.values():
                    if name in lengths and len(column) != lengths[name]:
                        column.resize(lengths[name], axis=0)
                if name not in lengths:
                    del self._h5[name]
            self._compression = self._elements["position"].compression
            self._row_identity = _identities_by_row(self._elements["identity"])
            self._changed = True
        self.flush(sync=True)


def _identities_by_row(data: h5py.Dataset) -> NDArray[np.int64]:
    """Return the identity each row of the file belongs to, looking back in time until every row is known."""
    known = np.full(data.shape[1], -1, np.int64)
    for frame in range(len(data) - 1, -1, -1):
        unknown = known < 0
        if not unknown.any():
            break
        known[unknown] = data[frame][unknown]
    return known


def _refuse_shorter(path: str | Path, old: Any, lengths: Mapping[str, int]) -> None:
    present = old.lengths()
    for name, expected in lengths.items():
        if present.get(name, 0) < expected:
            raise InputError(
                f"{path} holds {present.get(name, 0)} entries of {name}, the checkpoint knows {expected}: it is not the "
                "file of that run, or it was damaged; give that file, or start anew with --overwrite"
            )
