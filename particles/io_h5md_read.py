"""Reading trajectories: our own H5MD files and those of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fields import FIELDS, PARTICLE_FIELDS, Field
from .io_h5md_layout import FORMAT_VERSION, GROUP, MODULE, REPORT, read_attributes, run_of
from .io_h5md_tables import table_length, tables
from .io_h5md_units import read_units
from .io_hdf5 import (
    attribute,
    check_rows,
    child,
    dataset,
    label,
    number_attribute,
    open_hdf5,
    read_values,
    reading,
    subgroup,
    text_attribute,
)
from .io_virtual import Parts
from .particles import Particles
from .units import UNIT_SYSTEMS, VELOCITY

#: Programs that write ASE's velocities unconverted and label them Angstrom/fs (znh5md 0.4.8).
_VELOCITIES_IN_ASE_UNITS = ("znh5md",)


class FrameReader:
    """Reads frames of the particle group of an open H5MD file.

    Parameters
    ----------
    h5 : the file
    parts : Parts, the files beside it that its virtual data sets show

    Raises
    ------
    InputError : no particle group with positions, shapes that do not fit, a file of a newer version

    """

    def __init__(self, h5: h5py.File, parts: Parts | None = None) -> None:
        module = subgroup(h5, MODULE)
        self._parts = parts
        self.own = module is not None
        if module is not None and (number_attribute(module, "version") or 0) > FORMAT_VERSION:
            raise InputError(
                f"{label(h5)} has format version {number_attribute(module, 'version'):g}, this Askel knows "
                f"{FORMAT_VERSION}; update Askel"
            )
        self._group = _particle_group(h5)
        position = _element(self._group, "position")
        assert position is not None
        self._position = position
        if position.ndim != 3 or position.shape[2] != 3:
            raise InputError(f"{label(position)} has shape {position.shape}; expected (frames, particles, 3)")
        self.fields = {"position": position, **self._other_fields(module)}
        self._clock = _element(self._group, "position", "time")
        units = read_units(h5, position, self._clock, self.fields.get("mass"))
        self.numbers, self.units = units
        self.says_units = self.own or self.units.physical
        self._velocity_units = self.numbers
        creator = subgroup(h5, "h5md/creator")
        if creator is not None and text_attribute(creator, "name") in _VELOCITIES_IN_ASE_UNITS:
            self._velocity_units = UNIT_SYSTEMS["ase"]
        self.periodic = self._boundary(module)
        self.length = self._valid_length()

    def _other_fields(self, module: h5py.Group | None) -> dict[str, h5py.Dataset]:
        found = {}
        for field in PARTICLE_FIELDS:
            data = _element(self._group, field.element) if field.name != "position" else None
            if data is not None:
                _check_shape(data, field, self._position.shape)
                found[field.name] = data
        box = subgroup(self._group, "box")
        edges = _element(box, "edges") if box is not None else None
        if edges is not None and (module is None or "cell" in np.asarray(attribute(module, "fields"))):
            found["cell"] = edges
        return found

    def _boundary(self, module: h5py.Group | None) -> NDArray[np.bool_] | None:
        box = subgroup(self._group, "box")
        names = attribute(box, "boundary") if box is not None else None
        if names is None or (module is not None and "periodic" not in np.asarray(attribute(module, "fields"))):
            return None
        flags = [(n.decode() if isinstance(n, bytes) else str(n)) == "periodic" for n in np.atleast_1d(names)]
        return np.array(flags) if len(flags) == 3 and (module is not None or any(flags)) else None

    def _valid_length(self) -> int:
        varying = [d for name, d in self.fields.items() if _varies(d, name)]
        for name in ("step", "time"):
            data = _element(self._group, "position", name)
            if data is not None and data.shape:
                varying.append(data)
        for data in (self._position, *(d for d in varying if d.ndim == 1)):
            check_rows(data)
        return min(int(d.shape[0]) for d in varying)

    def times(self) -> NDArray[np.float64]:
        """Return the times of all frames, in the units of the state."""
        factor = self.numbers.conversion(self.units, FIELDS["time"].dimension)
        if self._clock is None:
            return np.arange(self.length, dtype=float) * factor
        if self._clock.shape:
            return np.asarray(self._values(self._clock, slice(0, self.length)), dtype=float) * factor
        start = number_attribute(self._clock, "offset") or 0.0
        step = float(self._values(self._clock))
        return np.asarray((start + step * np.arange(self.length)) * factor, dtype=float)

    def _time(self, frame: int) -> float:
        if self._clock is not None and self._clock.shape:
            return float(self._values(self._clock, frame, count=1))
        return float(self.times()[frame])

    def _values(self, data: h5py.Dataset, selection: Any = (), *, count: int | None = None) -> NDArray:
        return read_values(data, selection, count=count, parts=self._parts)

    def identities(self, rows: slice) -> NDArray[np.int64]:
        """Return the identity that each of some rows is for, looking back in time until all are known; -1: of none."""
        data = self.fields["identity"]
        known = np.full(rows.stop - rows.start, -1, np.int64)
        for frame in range(self.length - 1, -1, -1):
            if (known >= 0).all():
                break
            there = self._values(data, (frame, rows), count=len(known))
            known = np.where(known < 0, there, known)
        return known

    def read(self, frame: int, rows: slice | None = None) -> Particles:
        """Return frame ``frame`` (0 <= frame < length), without the rows of absent particles; of some rows when given."""
        values: dict[str, Any] = {}
        n = self._position.shape[1]
        picked = slice(0, n) if rows is None else rows
        for name, data in self.fields.items():
            if _varies(data, name) and FIELDS[name].scope == "particle":
                width = data.size // max(len(data) * n, 1)
                values[name] = self._values(data, (frame, picked), count=width * (picked.stop - picked.start))
            elif _varies(data, name):
                values[name] = self._values(data, frame, count=data.size // max(len(data), 1))
            else:
                values[name] = self._values(data, picked if FIELDS[name].scope == "particle" else ())
            values[name] = values[name].astype(FIELDS[name].dtype, copy=False)
        present = values["identity"] >= 0 if "identity" in values else np.isfinite(values["position"]).any(axis=1)
        for name in values:
            if FIELDS[name].scope == "particle" and not present.all():
                values[name] = values[name][present]
        self._complete(values, int(present.sum()))
        if self._velocity_units != self.numbers:
            values["velocity"] = values["velocity"] * self._velocity_units.conversion(self.numbers, VELOCITY)
        time = self._time(frame) if self.own or self._clock is not None else float(frame)
        return Particles(time=time, units=self.numbers, periodic=self.periodic, **values).in_units(self.units)

    def _complete(self, values: dict[str, Any], n: int) -> None:
        """Fill in what files of other programs leave out."""
        if not self.own and "cell" in values and not values["cell"].any():
            del values["cell"]
        if "identity" in values and len(np.unique(values["identity"])) != n:
            del values["identity"]
        values.setdefault("velocity", np.zeros((n, 3)))
        if "mass" not in values:
            if "species" in values:
                from .io_ase import standard_masses

                values["mass"] = standard_masses(values["species"])
            else:
                values["mass"] = np.ones(n)
        if "cell" in values and np.shape(values["cell"]) == (3,):
            values["cell"] = np.diag(values["cell"])


class Trajectory:
    """The frames, tables and report of a trajectory file.

    ``len(t)`` frames; ``t[i]`` is a ``Particles`` in the units the file was written from (files of molecular programs:
    ASE units), negative i from the end; iteration gives them in order.

    Parameters
    ----------
    path : the file, which may be in the course of being written: the frames valid now are seen

    Attributes
    ----------
    parts : names of the files beside it that hold the frames, where each rank wrote its own; empty where it holds them
    run : mark that the parts of one run share, or ""

    Raises
    ------
    InputError : no such file, not H5MD, damaged, of a newer version, a part of it is missing

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._parts = Parts(self.path)
        self._h5 = open_hdf5(self.path)
        try:
            with reading(self.path):
                if subgroup(self._h5, "h5md") is None:
                    raise InputError(f"{path} is HDF5 but not H5MD (it has no group 'h5md')")
                self.run = run_of(self._h5)
                self._parts = Parts(self.path, self.run)
                self._frames = FrameReader(self._h5, self._parts)
                self.parts = self._parts.check(self._frames.fields["position"])
        except InputError:
            self.close()
            raise
        self.units = self._frames.units
        self.says_units = self._frames.says_units
        self.own = self._frames.own

    def __len__(self) -> int:
        return self._frames.length

    def __getitem__(self, index: int) -> Particles:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"{self.path} has {n} frames; frame {index} is not among them")
        with reading(self.path):
            return self._frames.read(index % n)

    def stretch(self, index: int, rows: slice) -> Particles:
        """Return the particles of a frame that are in some rows of the file, rows.start to rows.stop - 1."""
        with reading(self.path):
            return self._frames.read(index % len(self), rows)

    def identities(self, rows: slice) -> NDArray[np.int64]:
        """Return the identity (k,) that each of some rows of the file is for; -1: of none."""
        with reading(self.path):
            return self._frames.identities(rows)

    def __iter__(self) -> Iterator[Particles]:
        return (self[i] for i in range(len(self)))

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the frames, (frames,), in the units of the states."""
        with reading(self.path):
            return self._frames.times()

    @property
    def fields(self) -> list[str]:
        """Names of the fields the frames carry."""
        return [name for name in FIELDS if name in self._frames.fields]

    @property
    def rows(self) -> int:
        """Number of particles that ever were, (rows of the file)."""
        return int(self._frames.fields["position"].shape[1])

    @property
    def report(self) -> dict[str, Any]:
        """What the run said about itself, see ``TrajectoryWriter.set_report``."""
        with reading(self.path):
            group = subgroup(self._h5, REPORT)
            return read_attributes(group) if group is not None else {}

    def tables(self) -> list[str]:
        """Return the names of the tables."""
        with reading(self.path):
            return list(tables(self._h5))

    def table(self, name: str) -> dict[str, NDArray]:
        """Return column -> values of a table (strings as an object array of str).

        Raises
        ------
        InputError : no such table, or damaged

        """
        with reading(self.path):
            group = tables(self._h5).get(name)
            if group is None:
                raise InputError(f"{self.path} has no table {name!r}; it has: {', '.join(self.tables()) or 'none'}")
            columns = {key: dataset(group, key, "fiubS") for key in group}
            data = {key: column for key, column in columns.items() if column is not None}
            rows = min((check_rows(column) for column in data.values()), default=0)
            return {key: _column(column, rows) for key, column in data.items()}

    def table_lengths(self) -> dict[str, int]:
        """Return table -> number of complete rows."""
        with reading(self.path):
            return {name: table_length(group) for name, group in tables(self._h5).items()}

    def lengths(self) -> dict[str, int]:
        """Return the number of valid frames and of rows by name, as ``TrajectoryWriter.lengths`` does."""
        return {"particles/trajectory": len(self), **self.table_lengths()}

    def refuse_foreign(self) -> None:
        """Raise InputError unless Askel wrote the file."""
        if not self.own:
            raise InputError(
                f"{self.path} was not written by Askel and cannot be continued; read it and start a new file"
            )

    def close(self) -> None:
        """Close the file."""
        self._parts.close()
        with suppress(RuntimeError):  # HDF5 may complain of damage even then
            self._h5.close()

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _column(data: h5py.Dataset, rows: int) -> NDArray:
    values = read_values(data, slice(0, rows), count=rows)
    if values.dtype.kind == "O":
        return np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values], dtype=object)
    return values


def _particle_group(h5: h5py.File) -> h5py.Group:
    own = subgroup(h5, GROUP)
    if own is not None and _element(own, "position") is not None:
        return own
    groups = subgroup(h5, "particles")
    for name in sorted(groups) if groups is not None else ():
        found = subgroup(groups, name) if groups is not None else None
        if found is not None and _element(found, "position") is not None:
            return found
    raise InputError(f"{label(h5)} is H5MD without particle positions; expected particles/<name>/position/value")


def _element(group: h5py.Group, name: str, part: str = "value") -> h5py.Dataset | None:
    """Return the data set of an element: that of a time-dependent one, or the element itself."""
    found = child(group, name)
    if isinstance(found, h5py.Dataset):
        return dataset(group, name) if part == "value" else None
    return dataset(found, part) if found is not None else None


def _varies(data: h5py.Dataset, name: str) -> bool:
    field = FIELDS[name]
    if field.scope == "system":
        return data.name.endswith("/value")
    return data.ndim == 2 + len(field.shape)


def _check_shape(data: h5py.Dataset, field: Field, position: tuple[int, ...]) -> None:
    shapes = ((position[1], *field.shape), (len(data) if data.shape else 0, position[1], *field.shape))
    if data.shape not in shapes:
        raise InputError(
            f"{label(data)} has shape {data.shape}; expected (frames, {position[1]}, ...) as the positions"
        )
