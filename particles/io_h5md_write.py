"""Writing trajectories: frames and rows are appended, and the file on the disk is consistent at every moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .fields import PARTICLE_FIELDS, Field
from .io_h5md_layout import GROUP
from .io_h5md_read import FrameReader, Trajectory
from .io_h5md_records import RecordWriter
from .io_hdf5 import dataset, extend
from .io_journal import JournaledFile, uninterrupted
from .particles import Particles


class TrajectoryWriter(RecordWriter):
    """Appends frames and rows to one H5MD file.

    A particle keeps its row in the file for good; where it is absent (before it was born, after it was merged away) its
    identity is -1 and its position NaN. Made by ``create`` or ``resume``. Every ``append`` commits: after a kill at any
    moment the file opens and holds every frame whose ``append`` returned. Rows reach the disk with the next frame,
    ``flush`` or ``lengths``, and at the latest with the first row a second later.

    Raises
    ------
    AskelError : the disk refuses (full, for instance); the file then stays as after the last commit

    """

    def __init__(self, file: JournaledFile, target: Path) -> None:
        super().__init__(file, target)
        self._gadget_view = False
        self._row_identity: NDArray[np.int64] = np.zeros(0, np.int64)

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
        run: str = "",
        rows: ArrayLike = (),
    ) -> Self:
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
        run : mark of the run, where the file is one of several parts
        rows : (k,) identities of the particles that the first rows are for; -1: free

        Raises
        ------
        InputError : the file exists, or cannot be written there

        """
        writer = cls._laid_out(path, particles, overwrite=overwrite, metadata=metadata, run=run)
        known = np.asarray(rows, np.int64)
        with uninterrupted():
            writer._compression, writer._gadget_view = compression, gadget_view
            writer._row_identity = np.full(max(particles.n, capacity or 0, len(known)), -1, np.int64)
            writer._row_identity[: len(known)] = known
            for field in particles.present():
                if field.scope == "particle":
                    writer._add_element(field, len(writer._row_identity))
        return writer

    @classmethod
    def _refuse_kind(cls, path: str | Path, old: Trajectory) -> None:
        if old.parts:
            raise InputError(f"{path} shows {len(old.parts)} parts; go on with output.files = 'per-rank'")

    @property
    def row_identity(self) -> NDArray[np.int64]:
        """The identity (rows,) that each row of the file is for; -1: free."""
        return self._row_identity

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
            self._check_frame(state)
            rows = self._assign_rows(state.identity)
            for field in state.present():
                if field.scope == "particle" and field.name not in self._elements:
                    self._add_element(field, len(self._row_identity))
            for field in PARTICLE_FIELDS:
                if field.name in self._elements:
                    block = self._block(field, getattr(state, field.name), rows)
                    extend(self._elements[field.name], self._frames, block[None])
            self._end_frame(state, step)
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
            if len(value) == len(self._row_identity) and isinstance(rows, slice):
                return value
        block = np.full((len(self._row_identity), *field.shape), field.fill, field.dtype)
        if value is not None:
            block[rows] = value
        return block

    # -- the end, and resuming ------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._gadget_view and self._frames:
            from .io_gadget import write_view

            with uninterrupted():
                write_view(self._h5, FrameReader(self._h5).read(self._frames - 1))
                self._changed = True
        super()._finish()

    def _open_elements(self) -> None:
        super()._open_elements()
        for field in PARTICLE_FIELDS:
            found = dataset(self._h5[GROUP], f"{field.element}/value")
            if found is not None:
                self._elements[field.name] = found

    def _cut_back(self, lengths: Mapping[str, int]) -> None:
        super()._cut_back(lengths)
        self._compression = self._elements["position"].compression
        self._row_identity = FrameReader(self._h5).identities(slice(0, self._elements["identity"].shape[1]))
