"""The file that shows the parts which ranks write as one trajectory: frames are virtual data sets, all else is its own.

```
run.h5md                            step, time, edges, tables, report; elements of particles show the parts
run.part-0.h5md, run.part-1.h5md    ordinary trajectories of the particles of a stretch of rows, one by each rank
```
Rows follow identities, and a particle keeps its row for good, as in an ordinary file: so a part is one box of every element,
frames times rows, whoever computed the particles in it. A run that goes on with another number of ranks adds a set of
parts for the frames to come. Names are relative, so that the files can be moved together.

A frame is in all parts before it is in this file, and this file says how many there are: after a kill at any moment it
shows the frames whose ``append`` returned, and parts may hold one more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self

from .errors import InputError
from .fields import PARTICLE_FIELDS, Field
from .io_h5md_layout import GROUP, declare_field
from .io_h5md_read import Trajectory
from .io_h5md_records import FRAMES, RecordWriter
from .io_h5md_units import file_units, mark_unit
from .io_hdf5 import dataset
from .io_journal import JournaledFile, uninterrupted
from .io_virtual import Piece, pieces, show
from .particles import Particles


class MasterWriter(RecordWriter):
    """Writes the file that shows the parts; made by ``create`` or ``resume``, then told the set of parts by ``show_parts``."""

    def __init__(self, file: JournaledFile, target: Path) -> None:
        super().__init__(file, target)
        self._shown: dict[str, list[Piece]] = {}  # field name -> what its data set shows of parts that are complete
        self._files: tuple[str, ...] = ()  # the parts that are being written,
        self._first = 0  # and the frame of the trajectory that is their frame 0

    @classmethod
    def create(cls, path: str | Path, particles: Particles, *, metadata: Mapping[str, Any], run: str) -> Self:
        """Start a file for states like ``particles``; an existing one is replaced when the first frame comes.

        Parameters
        ----------
        path : the file
        particles : Particles, for its fields and units
        metadata : first entries of the report
        run : mark that all parts have

        """
        return cls._laid_out(path, particles, overwrite=True, metadata=metadata, run=run)

    @classmethod
    def _refuse_kind(cls, path: str | Path, old: Trajectory) -> None:
        if not old.parts:
            raise InputError(f"{path} has no parts; go on with output.files = 'one'")

    def outline(self) -> dict[str, Any]:
        """Return what all ranks must know to go on: ``run``, ``frames``, ``rows``, ``parts`` (how many were ever shown), and
        of the parts that hold the last frames ``files`` and their ``first_frame``.
        """
        shown = self._shown.get("identity", [])
        first = max((piece.here[0][0] for piece in shown), default=0)
        return {
            "run": self.run,
            "frames": self._frames,
            "rows": max((piece.here[1][1] for piece in shown), default=0),
            "parts": len({piece.file for piece in shown}),
            "files": [piece.file for piece in shown if piece.here[0][0] == first],
            "first_frame": first,
        }

    def files(self) -> set[str]:
        """Return the names of all parts that are shown or being written."""
        return {*self._files, *(piece.file for piece in self._shown.get("identity", ()))}

    def show_parts(self, files: Sequence[str], first_frame: int) -> None:
        """Take note of the parts in which the next frames will be.

        Parameters
        ----------
        files : their names, in the order of their rows
        first_frame : of the trajectory, that is their frame 0

        """
        self._files, self._first = tuple(files), first_frame
        for name, shown in self._shown.items():
            self._shown[name] = [piece for piece in shown if piece.file not in self._files]

    def append(self, particles: Particles, step: int, rows: Sequence[int]) -> None:
        """Show one frame more, which all parts hold, and commit it.

        Parameters
        ----------
        particles : Particles, for time, cell and fields
        step : number of the step
        rows : number of rows of each part

        Raises
        ------
        AskelError : the disk refuses

        """
        state = particles.in_units(self._units)
        with uninterrupted():
            self._check_frame(state)
            present = {field.name for field in state.present()}
            for field in PARTICLE_FIELDS:
                if field.name in present or field.name in self._shown:
                    self._show(field, rows)
            self._end_frame(state, step)
        self.flush()

    def _show(self, field: Field, rows: Sequence[int]) -> None:
        path = f"{GROUP}/{field.element}/value"
        inner = tuple((0, n) for n in field.shape)
        frames = (self._first, self._frames + 1)
        shown = list(self._shown.setdefault(field.name, []))
        for name, (low, high) in zip(self._files, pairwise(accumulate(rows, initial=0)), strict=True):
            there = ((0, frames[1] - frames[0]), (0, high - low), *inner)
            shown.append(Piece(name, f"/{path}", (frames, (low, high), *inner), there))
        self._make(field, frames[1], max(piece.here[1][1] for piece in shown), shown)

    def _make(self, field: Field, frames: int, rows: int, shown: Sequence[Piece]) -> None:
        group = self._h5.require_group(f"{GROUP}/{field.element}")
        new = "value" not in group
        data = show(group, "value", (frames, rows, *field.shape), field.dtype.type(field.fill), shown)
        mark_unit(data, file_units(self._units), field)
        if new:
            for name in ("step", "time"):
                if name not in group:
                    group[name] = self._h5[f"{GROUP}/position/{name}"]  # a hard link
            declare_field(self._h5, field)

    def _cut_back(self, lengths: Mapping[str, int]) -> None:
        super()._cut_back(lengths)
        for field in PARTICLE_FIELDS:
            data = dataset(self._h5[GROUP], f"{field.element}/value")
            if data is not None:
                self._shown[field.name] = kept = [
                    _cut(piece, self._frames) for piece in pieces(data) if piece.here[0][0] < self._frames
                ]
                self._make(field, lengths[FRAMES], data.shape[1], kept)


def _cut(piece: Piece, frames: int) -> Piece:
    """Return what is left of a piece in so many frames."""
    (start, stop), (first, _) = piece.here[0], piece.there[0]
    stop = min(stop, frames)
    return piece._replace(
        here=((start, stop), *piece.here[1:]), there=((first, first + stop - start), *piece.there[1:])
    )
