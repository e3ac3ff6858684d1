"""Tables in our files (``series/energy``, ``events/merger``): a group marked ``askel_table`` with one data set per column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from .errors import InputError
from .io_hdf5 import extend, subgroup

Row = Mapping[str, float | int | str]

_NAME = re.compile(r"(?!particles|h5md|parameters|observables|Header|PartType)[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+")
_CHUNK = 512


def check_table_name(name: str) -> None:
    """Raise InputError unless the name can be that of a table."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a table; expected a name such as 'series/energy'")


def tables(h5: h5py.File) -> dict[str, h5py.Group]:
    """Return name -> group of every table; links to elsewhere are not followed, groups that contain themselves end."""
    found: dict[str, h5py.Group] = {}
    seen: set[int] = set()
    for top in ("series", "events", *sorted(h5)):
        if _NAME.match(f"{top}/x") and top in h5:
            _walk(top, h5, found, seen)
    return found


def _walk(name: str, h5: h5py.File, found: dict[str, h5py.Group], seen: set[int]) -> None:
    if not isinstance(h5.get(name, getlink=True), h5py.HardLink):
        return
    group = subgroup(h5, name)
    address = h5py.h5o.get_info(group.id).addr if group is not None else 0
    if group is None or address in seen:
        return
    seen.add(address)
    if group.attrs.get("askel_table", False):
        found[name] = group
        return
    for key in sorted(group):
        _walk(f"{name}/{key}", h5, found, seen)


def table_length(group: h5py.Group) -> int:
    """Return the number of complete rows."""
    return min((len(column) for column in group.values()), default=0)


def open_table(h5: h5py.File, name: str) -> dict[str, h5py.Dataset]:
    """Return column -> data set of a table, which is made when new."""
    group = h5.require_group(name)
    group.attrs["askel_table"] = True
    return dict(group.items())


def write_rows(h5: h5py.File, table: str, columns: dict[str, h5py.Dataset], rows: Sequence[Row]) -> None:
    """Append rows; new columns are made with fill values for the earlier rows.

    Raises
    ------
    TypeError : a value that is neither a number nor a string

    """
    before = len(next(iter(columns.values()))) if columns else 0
    for name in dict.fromkeys([*columns, *(key for row in rows for key in row)]):
        values = [row.get(name) for row in rows]
        if name not in columns:
            columns[name] = _add_column(h5[table], name, next(v for v in values if v is not None), before)
        if columns[name].dtype.kind == "i" and any(isinstance(v, float) for v in values):
            columns[name] = _made_float(h5[table], name)
        _append(columns[name], before, values)


def _append(column: h5py.Dataset, before: int, values: Sequence[Any]) -> None:
    filled = [column.fillvalue if v is None else v for v in values]
    if column.dtype.kind in "if":
        extend(column, before, np.array(filled, column.dtype))
    else:
        column.resize(before + len(filled), axis=0)
        column[before:] = filled


def _add_column(group: h5py.Group, name: str, example: Any, rows: int) -> h5py.Dataset:
    common: dict[str, Any] = {"maxshape": (None,), "chunks": (_CHUNK,)}
    if isinstance(example, str):
        return group.create_dataset(name, (rows,), h5py.string_dtype(), **common)
    for types, dtype, fill in _COLUMN_TYPES:
        if isinstance(example, types):
            return group.create_dataset(name, (rows,), dtype, fillvalue=fill, fletcher32=True, **common)
    raise TypeError(f"column {name!r} got {type(example).__name__}; expected a number or a string")


#: (types of the first value, type of the column, value of a row that has none); bool is an int, so it comes first.
_COLUMN_TYPES: tuple[tuple[Any, Any, float], ...] = (
    (bool | np.bool_, np.int8, -1),
    (int | np.integer, np.int64, -1),
    (float | np.floating, np.float64, np.nan),
)


def _made_float(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a column of integers made one of floats."""
    old = group[name][:]
    del group[name]
    new = _add_column(group, name, 0.0, 0)
    extend(new, 0, old.astype(float))
    return new
