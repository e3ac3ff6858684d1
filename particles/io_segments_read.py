"""Reading files of segments, one segment at a time, also while they grow; the layout is in ``io_segments``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .io_hdf5 import (
    attribute,
    check_rows,
    dataset,
    number_attribute,
    open_hdf5,
    read_values,
    reading,
    subgroup,
    text_attribute,
)
from .segments import Segment

FloatArray = NDArray[np.float64]

#: Version of the layout; newer ones are refused.
FORMAT = 1
COLUMNS = {"system": np.int64, "temperature": np.float64, "row": np.int64, "frame": np.int64, "frames": np.int64}
PER_ATOM = ("position", "velocity", "forces")
_LARGEST_SEGMENT = 2**31  # atoms times frames


class SegmentFile:
    """The segments of a file, read one at a time; a file that is still being written shows what it held when opened.

    Parameters
    ----------
    path : the file

    Attributes
    ----------
    reference : name of what made the forces;  step, interval : fs;  seed : int
    recipe : dict, what the segments were made by
    temperatures, frames, system : (S,) K, number of frames, and number of the system of each segment
    has_forces, has_energy : bool

    Raises
    ------
    InputError : not such a file, newer, truncated or damaged, with links, or claiming sizes that cannot be true

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._h5 = open_hdf5(self.path)
        try:
            with reading(self.path):
                self._open()
        except BaseException:
            self._h5.close()
            raise

    def _open(self) -> None:
        root = self._h5
        version = number_attribute(root, "askel_segments")
        if version is None:
            raise InputError(f"{self.path} holds no segments; expected a file that `askel data` made")
        if version > FORMAT:
            raise InputError(f"{self.path} has format {version:g}, this Askel reads up to {FORMAT}; update Askel")
        self.reference = text_attribute(root, "reference")
        self.step, self.interval = (_positive(self.path, root, name) for name in ("step", "interval"))
        self.seed = int(attribute(root, "seed") or 0)
        self.recipe = _json(self.path, text_attribute(root, "recipe", "{}"))
        table = subgroup(root, "segments")
        columns = {name: dataset(table, name) if table is not None else None for name in COLUMNS}
        missing = [name for name, column in columns.items() if column is None]
        if missing:
            raise InputError(f"{self.path} has no segments/{missing[0]}; it is damaged")
        lengths = [check_rows(column) for column in columns.values() if column is not None]
        self._table = {
            name: read_values(column, np.s_[: min(lengths)], count=min(lengths))
            for name, column in columns.items()
            if column is not None
        }
        self.temperatures, self.frames, self.system = (self._table[n] for n in ("temperature", "frames", "system"))
        self._data = {name: dataset(root, name, "f") for name in (*PER_ATOM, "energy")}
        self.has_forces, self.has_energy = (self._data[name] is not None for name in ("forces", "energy"))
        self._systems = [self._read_system(k) for k in range(1 + int(max(self.system, default=-1)))]
        self._check_table()

    def _read_system(self, k: int) -> dict[str, Any]:
        group = subgroup(self._h5, f"systems/{k}")
        found = {name: dataset(group, name) if group is not None else None for name in ("species", "mass", "periodic")}
        if group is None or any(value is None for value in found.values()):
            raise InputError(f"{self.path} lacks systems/{k}; it is damaged")
        for value in found.values():
            check_rows(value)
        cell = dataset(group, "cell")
        system: dict[str, Any] = {
            "species": read_values(found["species"]).astype(np.int32),
            "mass": read_values(found["mass"]).astype(np.float64),
            "periodic": read_values(found["periodic"]).astype(bool),
            "cell": None if cell is None else read_values(cell).astype(np.float64),
        }
        n = len(system["species"])
        if (
            system["mass"].shape != (n,)
            or system["periodic"].shape != (3,)
            or (cell is not None and cell.shape != (3, 3))
        ):
            raise InputError(f"{self.path}:systems/{k} has arrays of shapes that do not fit; it is damaged")
        return system

    def _check_table(self) -> None:
        """Refuse a table that points outside the data."""
        table = self._table
        if len(self) == 0:
            return
        if min(self.system) < 0 or min(table["frames"]) < 2 or min(table["row"]) < 0 or min(table["frame"]) < 0:
            raise InputError(f"{self.path}:segments holds numbers that cannot be; it is damaged")
        atoms = np.array([len(s["species"]) for s in self._systems], dtype=np.float64)[self.system]
        values = atoms * table["frames"]
        if values.max() > _LARGEST_SEGMENT:
            raise InputError(f"{self.path} claims a segment of {values.max():.3g} atoms times frames; it is damaged")
        ends = {"energy": table["frame"] + table["frames"], **dict.fromkeys(PER_ATOM, table["row"] + values)}
        for name, data in self._data.items():
            if data is None:
                if name in ("position", "velocity"):
                    raise InputError(f"{self.path} has no {name}; it is damaged")
                continue
            if data.shape[1:] != ((3,) if name in PER_ATOM else ()):
                raise InputError(f"{self.path}:{name} has shape {data.shape}; it is damaged")
            if check_rows(data) < ends[name].max():
                raise InputError(
                    f"{self.path}:{name} has {len(data)} rows, the table names {ends[name].max():.0f}; truncated"
                )

    def __len__(self) -> int:
        return len(self._table["system"])

    def __getitem__(self, index: int) -> Segment:
        if not -len(self) <= index < len(self):
            raise IndexError(f"segment {index} of {len(self)}")
        system = self._systems[int(self.system[index])]
        n, frames = len(system["species"]), int(self.frames[index])
        row, frame = int(self._table["row"][index]), int(self._table["frame"][index])
        values: dict[str, FloatArray | None] = {}
        for name, data in self._data.items():
            start, count = (row, frames * n) if name in PER_ATOM else (frame, frames)
            shape = (frames, n, 3) if name in PER_ATOM else (frames,)
            values[name] = (
                None
                if data is None
                else read_values(data, np.s_[start : start + count], count=int(np.prod(shape))).reshape(shape)
            )
        return Segment(
            **system,
            temperature=float(self.temperatures[index]),
            interval=self.interval,
            **values,  # type: ignore[arg-type]
        )

    def __iter__(self) -> Iterator[Segment]:
        return (self[k] for k in range(len(self)))

    def close(self) -> None:
        """Close the file."""
        self._h5.close()

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _positive(path: Path, root: h5py.File, name: str) -> float:
    value = number_attribute(root, name)
    if value is None or not 0.0 < value < np.inf:
        raise InputError(f"{path} gives {name} {value}; expected a positive number of fs: it is damaged")
    return value


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} has a recipe that is no JSON object; it is damaged")
    return found
