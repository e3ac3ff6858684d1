"""Writing files of segments: whole segments are appended, and the file on the disk is consistent at every moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from .errors import InputError
from .io_h5md_layout import package_version
from .io_hdf5 import extend, reading
from .io_hdf5_write import Hdf5Writer
from .io_journal import JournaledFile, uninterrupted
from .io_segments_read import COLUMNS, FORMAT, PER_ATOM, SegmentFile
from .segments import Segment

UNITS = "Angstrom, fs, amu, eV"
_CHUNK = 4096


class SegmentWriter(Hdf5Writer):
    """Appends whole segments to a file; after a kill at any moment it opens and holds all whose ``append`` returned.

    Made by ``create`` or ``resume``.

    Raises
    ------
    AskelError : the disk refuses (full, for instance); the file then stays as after the last append

    """

    def __init__(self, file: JournaledFile, target: Path) -> None:
        super().__init__(file, target)
        self._systems: list[tuple[bytes, ...]] = []
        self._data: dict[str, h5py.Dataset] = {}
        self._columns: dict[str, h5py.Dataset] = {}
        self._count = self._rows = self._frames = 0

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        reference: str,
        step: float,
        interval: float,
        seed: int = 0,
        recipe: Mapping[str, Any] | None = None,
        forces: bool = True,
        energy: bool = True,
        overwrite: bool = False,
    ) -> Self:
        """Start a file; an existing one is replaced with the first segment.

        Parameters
        ----------
        reference : name of what makes the forces
        step, interval : fs, the reference's time step and the time between frames
        seed : int
        recipe : what a JSON text can hold
        forces, energy : whether segments bring them; the same for all of a file
        overwrite : replace an existing file

        Raises
        ------
        InputError : the file exists or cannot be written there; a step or interval that is not positive

        """
        if not (0.0 < step < np.inf and 0.0 < interval < np.inf):
            raise InputError(f"step {step} fs and interval {interval} fs; expected positive numbers")
        writer = cls._begun(
            path, overwrite=overwrite, choices="go on with it (--resume), or overwrite it (--overwrite)"
        )
        with uninterrupted():
            root = writer._h5
            root.attrs.update(
                askel_segments=FORMAT,
                reference=reference,
                step=float(step),
                interval=float(interval),
                seed=np.uint64(seed),
                recipe=json.dumps(dict(recipe or {})),
                askel=package_version(),
                units=UNITS,
            )
            root.create_group("systems")
            for name in (*PER_ATOM, "energy"):
                if {"forces": forces, "energy": energy}.get(name, True):
                    _make(root, name, np.float64, 3 if name in PER_ATOM else 0)
            table = root.create_group("segments")
            for name, kind in COLUMNS.items():
                _make(table, name, kind, 0)
            writer._attach()
        return writer

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """Go on after the last whole segment.

        Raises
        ------
        InputError : not such a file, damaged, or not writable

        """
        with SegmentFile(path) as old:
            count = len(old)
            rows, frames = 0, 0
            if count:
                last = old[-1]
                rows = int(old._table["row"][-1]) + last.frames * last.n
                frames = int(old._table["frame"][-1]) + last.frames
        writer = cls._reopened(path)
        try:
            with reading(writer._target):
                writer._attach()
                writer._count, writer._rows, writer._frames = count, rows, frames
        except BaseException:
            writer._abandon()
            raise
        return writer

    def _attach(self) -> None:
        self._data = {name: self._h5[name] for name in (*PER_ATOM, "energy") if name in self._h5}
        self._columns = {name: self._h5["segments"][name] for name in COLUMNS}
        for k in range(len(self._h5["systems"])):
            group = self._h5[f"systems/{k}"]
            cell = group["cell"][()] if "cell" in group else None
            self._systems.append(_key(group["species"][()], group["mass"][()], cell, group["periodic"][()]))

    def __len__(self) -> int:
        return self._count

    def append(self, segment: Segment) -> None:
        """Write one segment and commit it.

        Raises
        ------
        InputError : arrays of other shapes, numbers that are not finite, another interval, missing forces or energies
        AskelError : the disk refuses

        """
        segment.check()
        self._check(segment)
        try:
            with uninterrupted():
                system = self._system(segment)
                for name, data in self._data.items():
                    value = np.ascontiguousarray(getattr(segment, name), dtype=np.float64)
                    start = self._rows if name in PER_ATOM else self._frames
                    extend(data, start, value.reshape(-1, 3) if name in PER_ATOM else value)
                row = (system, segment.temperature, self._rows, self._frames, segment.frames)
                for (name, column), entry in zip(self._columns.items(), row, strict=True):
                    extend(column, self._count, np.array([entry], COLUMNS[name]))
                self._count += 1
                self._rows += segment.frames * segment.n
                self._frames += segment.frames
                self._commit()
        except OSError as error:
            raise self._refused(error) from error

    def _check(self, segment: Segment) -> None:
        self._check_open()
        interval = float(self._h5.attrs["interval"])
        if abs(segment.interval - interval) > 1e-9 * interval:
            raise InputError(f"a segment with frames every {segment.interval:g} fs; the file has {interval:g} fs")
        for name in ("forces", "energy"):
            if (getattr(segment, name) is None) == (name in self._data):
                raise InputError(
                    f"{self._target} was made {'with' if name in self._data else 'without'} {name}; not so the segment"
                )

    def _system(self, segment: Segment) -> int:
        """Return the number of the segment's system, adding it when it is new."""
        key = _key(segment.species, segment.mass, segment.cell, segment.periodic)
        if key not in self._systems:
            group = self._h5["systems"].create_group(str(len(self._systems)))
            group["species"] = np.asarray(segment.species, np.int32)
            group["mass"] = np.asarray(segment.mass, np.float64)
            group["periodic"] = np.asarray(segment.periodic, bool)
            if segment.cell is not None:
                group["cell"] = np.asarray(segment.cell, np.float64)
            self._systems.append(key)
        return self._systems.index(key)

    def _holds_something(self) -> bool:
        return self._count > 0

    def _finish(self) -> None:
        if self._published:
            self._commit(sync=True)


def _make(group: h5py.Group, name: str, kind: Any, columns: int) -> None:
    tail = (columns,) if columns else ()
    group.create_dataset(
        name,
        (0, *tail),
        kind,
        maxshape=(None, *tail),
        chunks=(_CHUNK if columns else _CHUNK // 4, *tail),
        fletcher32=True,
    )


def _key(species: Any, mass: Any, cell: Any, periodic: Any) -> tuple[bytes, ...]:
    arrays = ((species, np.int32), (mass, np.float64), (periodic, np.bool_), ([] if cell is None else cell, np.float64))
    return tuple(np.asarray(value, kind).tobytes() for value, kind in arrays)
