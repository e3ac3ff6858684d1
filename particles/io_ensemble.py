"""Tables of encounters in HDF5 and Parquet: columns of equal length, one row for each encounter.

    /encounters/<column>     data set, first axis the encounters; names with a dot stay as they are
    attributes of the file   kind = "askel-encounters", and texts and numbers that say what they are

A long run writes its blocks as files of their own (``write_columns``: to a temporary name, flushed, renamed), so that what is
there is whole whenever the run is killed; ``assemble`` makes one file of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError, MissingDependency
from .io_hdf5 import dataset, number_attribute, open_hdf5, read_values, reading, subgroup, text_attribute

Columns = Mapping[str, NDArray]
Facts = Mapping[str, str | int | float]

KIND = "askel-encounters"
_GROUP = "encounters"


def write_columns(path: Path, columns: Columns, facts: Facts) -> None:
    """Write a table; a file that is there is replaced when the new one is complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            _state(file, facts)
            for name, values in columns.items():
                file.create_dataset(f"{_GROUP}/{name}", data=values)
        _into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_columns(path: Path, names: Sequence[str] | None = None, rows: slice = slice(None)) -> dict[str, NDArray]:
    """Return columns of a table, all when no names are given.

    Raises
    ------
    InputError : not such a file, no such column, damaged

    """
    with open_hdf5(path) as file, reading(path):
        group = _table(file, path)
        found: dict[str, NDArray] = {}
        for name in names if names is not None else list(group):
            data = dataset(group, name)
            if data is None:
                raise InputError(f"{path} has no column {name!r}; it has {', '.join(group)}")
            found[name] = read_values(data, (rows,))
    return found


def read_facts(path: Path, *names: str) -> dict[str, str | float | None]:
    """Return attributes of a table: numbers, texts, or None where there is none."""
    with open_hdf5(path) as file, reading(path):
        _table(file, path)
        found: dict[str, str | float | None] = {}
        for name in names:
            text = text_attribute(file, name)
            found[name] = text if text else number_attribute(file, name)
    return found


def assemble(parts: Sequence[Path], target: Path, facts: Facts) -> int:
    """Make one table of its blocks, in their order; return the number of rows.

    Raises
    ------
    InputError : blocks that do not belong together, or are damaged

    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    total = 0
    try:
        with h5py.File(temporary, "w") as file:
            _state(file, facts)
            for part in parts:
                columns = read_columns(part)
                count = len(next(iter(columns.values())))
                for name, values in columns.items():
                    _append(file, name, values, total)
                total += count
        _into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return total


def write_parquet(parts: Sequence[Path], target: Path) -> None:
    """Write the same table as Parquet; a column with more than one number in a row becomes one column for each.

    Raises
    ------
    MissingDependency : pyarrow is not installed

    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency("pyarrow", "parquet") from None
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    writer: Any = None
    try:
        for part in parts:
            table = pyarrow.table(_flat(read_columns(part)))
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_parquet() -> None:
    """Raise MissingDependency where pyarrow is missing: before a long run, not after it."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingDependency("pyarrow", "parquet") from None


def _flat(columns: Columns) -> dict[str, NDArray]:
    flat: dict[str, NDArray] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            flat[name] = values
            continue
        for place in np.ndindex(values.shape[1:]):
            flat["_".join([name, *map(str, place)])] = np.ascontiguousarray(values[(slice(None), *place)])
    return flat


def _table(file: h5py.File, path: Path) -> h5py.Group:
    group = subgroup(file, _GROUP)
    if text_attribute(file, "kind") != KIND or group is None:
        raise InputError(f"{path} holds no encounters; expected a file that askel scatter wrote")
    return group


def _state(file: h5py.File, facts: Facts) -> None:
    file.attrs["kind"] = KIND
    for name, value in facts.items():
        file.attrs[name] = value


def _append(file: h5py.File, name: str, values: NDArray, start: int) -> None:
    path = f"{_GROUP}/{name}"
    if path not in file:
        if start:
            raise InputError(f"a block has a column {name!r} that others lack; start anew with --overwrite")
        shape = (None, *values.shape[1:])
        file.create_dataset(
            path, data=values, maxshape=shape, chunks=(max(1, min(len(values), 4096)), *values.shape[1:])
        )
        return
    data = file[path]
    data.resize(start + len(values), axis=0)
    data[start:] = values


def _into_place(temporary: Path, target: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
