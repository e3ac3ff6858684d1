"""An H5MD file in the making: tables, report and the times of frames, consistent on the disk at every moment.

What is in the frames is for ``TrajectoryWriter`` (``io_h5md_write``) and ``MasterWriter`` (``io_h5md_parts``) to say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from .errors import InputError
from .fields import FIELDS, SYSTEM_FIELDS, Field
from .io_h5md_layout import (
    GROUP,
    REPORT,
    add_element,
    boundary_names,
    declare_field,
    make_layout,
    run_of,
    write_attributes,
)
from .io_h5md_read import Trajectory
from .io_h5md_tables import Row, check_table_name, open_table, table_length, tables, write_rows
from .io_h5md_units import file_units, read_units
from .io_hdf5 import dataset, extend
from .io_hdf5_write import Hdf5Writer
from .io_journal import JournaledFile, uninterrupted
from .particles import Particles
from .units import UnitSystem

FRAMES = GROUP  # the name of the frames in ``lengths``
_SECONDS_BETWEEN_COMMITS = 1.0  # of rows written without frames
_ROWS_BETWEEN_COMMITS = 4096


class RecordWriter(Hdf5Writer):
    """What all writers of H5MD files do: begin, resume, tables, report, commits, and the end.

    After a kill at any moment the file opens and holds every frame whose ``append`` returned. Rows reach the disk with
    the next frame, ``flush`` or ``lengths``, and at the latest with the first row a second later.

    Raises
    ------
    AskelError : the disk refuses (full, for instance); the file then stays as after the last commit

    """

    def __init__(self, file: JournaledFile, target: Path) -> None:
        super().__init__(file, target)
        self._frames = 0
        self._units: UnitSystem
        self._elements: dict[str, h5py.Dataset] = {}
        self._compression: str | None = None
        self._boundary: list[str] = []
        self._columns: dict[str, dict[str, h5py.Dataset]] = {}
        self._waiting: dict[str, list[Row]] = {}
        self._report: dict[str, Any] = {}
        self._last_commit = time.monotonic()
        self._changed = False

    @classmethod
    def _laid_out(
        cls,
        path: str | Path,
        particles: Particles,
        *,
        overwrite: bool,
        metadata: Mapping[str, Any] | None,
        run: str,
    ) -> Self:
        """Return the writer of a new file for states like ``particles``, without elements of particles."""
        writer = cls._begun(path, overwrite=overwrite)
        with uninterrupted():
            make_layout(writer._h5, particles, str((metadata or {}).get("author", "unknown")), run)
            writer._open_elements()
            if particles.cell is not None:
                writer._add_element(FIELDS["cell"])
            elif particles.species is not None:
                writer._add_element(FIELDS["cell"], declare=False)  # ZnH5MD asks for edges, even for a molecule
            writer.set_report(metadata or {})
        return writer

    @classmethod
    def resume(cls, path: str | Path, lengths: Mapping[str, int]) -> Self:
        """Go on with a file, after cutting every data set back to the lengths that a checkpoint holds.

        Parameters
        ----------
        lengths : what ``lengths`` gave; tables that it does not name are removed

        Raises
        ------
        InputError : not a trajectory of Askel, damaged, or shorter than the checkpoint says

        """
        with Trajectory(path) as old:
            old.refuse_foreign()
            _refuse_shorter(path, old, lengths)
            cls._refuse_kind(path, old)
        writer = cls._reopened(path)
        try:
            with uninterrupted():
                writer._open_elements()
                writer._cut_back(lengths)
                writer._changed = True
            writer.flush(sync=True)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            writer._abandon()
            raise InputError(f"{path} cannot be continued: {str(error).splitlines()[0][:160]}") from None
        return writer

    @classmethod
    def _refuse_kind(cls, path: str | Path, old: Trajectory) -> None:
        """Raise InputError when this writer cannot go on with the trajectory ``old``."""

    @property
    def run(self) -> str:
        """The mark that the parts of one run share, or ""."""
        return run_of(self._h5)

    # -- frames ---------------------------------------------------------------------------------------------------

    def _check_frame(self, state: Particles) -> None:
        """Raise unless the file can take a frame, and this one."""
        self._check_open()
        found = boundary_names(state.periodic)
        if found != self._boundary:
            raise InputError(
                f"the file holds states with boundaries {self._boundary}, this one has {found}; write another file"
            )

    def _end_frame(self, state: Particles, step: int) -> None:
        """Write what is not of single particles, the step last."""
        if state.cell is not None and "cell" not in self._elements:
            self._add_element(FIELDS["cell"])
        values: dict[str, Any] = {"time": state.time * self._factor(FIELDS["time"]), "step": np.int64(step)}
        if "cell" in self._elements:
            cell = np.zeros((3, 3)) if state.cell is None else state.cell * self._factor(FIELDS["cell"])
            values = {"cell": cell, **values}
        for name, value in values.items():
            extend(self._elements[name], self._frames, np.array([value]))
        self._frames += 1
        self._changed = True

    def _factor(self, field: Field) -> float:
        return self._units.conversion(file_units(self._units), field.dimension)

    def _add_element(self, field: Field, rows: int = 0, *, declare: bool = True) -> None:
        self._elements[field.name] = add_element(self._h5, field, self._frames, rows, self._units, self._compression)
        if declare:
            declare_field(self._h5, field)

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
            return {FRAMES: self._frames, **{name: table_length(group) for name, group in tables(self._h5).items()}}

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
                self._commit(sync=sync)
        except OSError as error:
            raise self._refused(error) from error
        self._changed, self._last_commit = False, time.monotonic()

    def _holds_something(self) -> bool:
        return bool(self._frames or tables(self._h5))

    def _finish(self) -> None:
        self.flush()

    # -- resuming -------------------------------------------------------------------------------------------------

    def _open_elements(self) -> None:
        """Find the data sets that are not of single particles."""
        group = self._h5[GROUP]
        self._units = read_units(self._h5, None, None, None)[1]
        self._boundary = list(group["box"].attrs["boundary"])
        self._elements = {"step": group["position/step"], "time": group["position/time"]}
        for field in SYSTEM_FIELDS:
            found = dataset(group, f"box/{field.element}/value")
            if found is not None:
                self._elements[field.name] = found

    def _cut_back(self, lengths: Mapping[str, int]) -> None:
        self._frames = lengths.get(FRAMES, 0)
        for data in self._elements.values():
            if len(data) != self._frames:
                data.resize(self._frames, axis=0)
        for name, group in tables(self._h5).items():
            for column in group.values():
                if name in lengths and len(column) != lengths[name]:
                    column.resize(lengths[name], axis=0)
            if name not in lengths:
                del self._h5[name]


def _refuse_shorter(path: str | Path, old: Trajectory, lengths: Mapping[str, int]) -> None:
    present = old.lengths()
    for name, expected in lengths.items():
        if present.get(name, 0) < expected:
            raise InputError(
                f"{path} holds {present.get(name, 0)} entries of {name}, the checkpoint knows {expected}: it is not the "
                "file of that run, or it was damaged; give that file, or start anew with --overwrite"
            )
