"""Where everything is in our H5MD files, and the making of groups and data sets.

```
h5md                            attributes version, groups author, creator, modules/units
h5md/modules/askel              version, units, unit_length_in_m, unit_mass_in_kg, unit_time_in_s, G, c, fields; run, if in parts
particles/trajectory/ELEMENT    value (frames, rows, ...), step, time; one element per field of the field table
particles/trajectory/box        dimension, boundary; edges with value, step, time
series/NAME, events/KIND        one data set per column, rows are appended
parameters/report               what the run says about itself, as attributes
Header, PartType*               GADGET view of the last frame, on request
```
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .fields import FIELDS, Field
from .io_h5md_units import file_units, mark_unit, write_units
from .io_hdf5 import subgroup, text_attribute
from .particles import Particles
from .units import UnitSystem

FORMAT_VERSION = 1
GROUP = "particles/trajectory"
MODULE = "h5md/modules/askel"
REPORT = "parameters/report"

_CHUNK_BYTES = 8192  # frames of few bodies share a chunk of this size; it is rewritten with every frame
_MOST_FRAMES = 512
_MOST_ROWS = 2**19  # rows of a chunk: 12 MiB of positions


def package_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("askel")
    except PackageNotFoundError:
        return "unknown"


def make_layout(h5: h5py.File, particles: Particles, author: str, run: str) -> None:
    """Make the groups of a new file for states like ``particles``; ``run`` marks files that belong together, or is ""."""
    h5.create_group("h5md").attrs["version"] = np.array([1, 1], np.int32)
    h5.create_group("h5md/author").attrs["name"] = author
    creator = h5.create_group("h5md/creator")
    creator.attrs["name"], creator.attrs["version"] = "askel", package_version()
    h5.create_group("h5md/modules/units").attrs["version"] = np.array([1, 0], np.int32)
    module = h5.create_group(MODULE)
    module.attrs["version"], module.attrs["kind"] = FORMAT_VERSION, "trajectory"
    module.attrs["fields"] = [f.name for f in particles.present()]
    if run:
        module.attrs["run"] = run
    write_units(module, particles.units)
    box = h5.create_group(f"{GROUP}/box")
    box.attrs["dimension"], box.attrs["boundary"] = 3, boundary_names(particles.periodic)
    h5.create_group(REPORT)
    group = h5.create_group(f"{GROUP}/position")
    common: dict[str, Any] = {"maxshape": (None,), "chunks": (_MOST_FRAMES,), "fletcher32": True}
    group.create_dataset("step", (0,), np.int64, **common)
    clock = group.create_dataset("time", (0,), np.float64, **common)
    mark_unit(clock, file_units(particles.units), FIELDS["time"])


def boundary_names(periodic: NDArray[np.bool_] | None) -> list[str]:
    """Return what H5MD calls the boundaries along the three cell vectors."""
    return ["none"] * 3 if periodic is None else ["periodic" if p else "none" for p in periodic]


def add_element(
    h5: h5py.File, field: Field, frames: int, rows: int, units: UnitSystem, compression: str | None
) -> h5py.Dataset:
    """Make the data set of a field; frames that are there already hold its fill value."""
    per_particle = field.scope == "particle"
    leading = (rows,) if per_particle else ()
    chunk_rows = (min(max(rows, 1), _MOST_ROWS),) if per_particle else ()
    inner = (*chunk_rows, *field.shape)
    size = int(np.prod(inner)) * field.dtype.itemsize
    together = int(np.clip(_CHUNK_BYTES // size, 1, _MOST_FRAMES))
    group = h5.require_group(f"{GROUP}/{field.element}" if per_particle else f"{GROUP}/box/{field.element}")
    data = group.create_dataset(
        "value",
        (frames, *leading, *field.shape),
        field.dtype,
        maxshape=(None, *((None,) if per_particle else ()), *field.shape),
        chunks=(together, *inner),
        fillvalue=field.fill,
        fletcher32=True,
        compression=compression,
        shuffle=compression is not None,
    )
    mark_unit(data, file_units(units), field)
    for name in ("step", "time"):
        if name not in group:
            group[name] = h5[f"{GROUP}/position/{name}"]  # a hard link
    return data


def run_of(h5: h5py.File) -> str:
    """Return the mark of the run that a file is a part of; "" where there is none."""
    module = subgroup(h5, MODULE)
    return "" if module is None else text_attribute(module, "run")


def declare_field(h5: h5py.File, field: Field) -> None:
    """Say that the states of the file have a field (edges alone may be there for the sake of other programs)."""
    module = h5[MODULE]
    if field.name not in module.attrs["fields"]:
        module.attrs["fields"] = [*module.attrs["fields"], field.name]


def write_attributes(group: h5py.Group, values: Mapping[str, Any], written: dict[str, Any]) -> None:
    """Write a nested mapping as attributes and subgroups, leaving alone what ``written`` says is there already."""
    for name, given in values.items():
        value = given.tolist() if isinstance(given, np.ndarray) else given
        if isinstance(value, Mapping):
            write_attributes(group.require_group(name), value, written.setdefault(name, {}))
        elif name not in written or written[name] != value or type(written[name]) is not type(value):
            group.attrs[name] = _attribute_value(value)
            written[name] = value


def _attribute_value(value: Any) -> Any:
    if value is None:
        return h5py.Empty("f8")
    if isinstance(value, list | tuple):
        if all(isinstance(v, str) for v in value):
            return np.array(value, dtype=h5py.string_dtype())
        return np.asarray(value)
    return value


def read_attributes(group: h5py.Group) -> dict[str, Any]:
    """Return a nested mapping from attributes and subgroups: numbers, strings, None, lists."""
    values: dict[str, Any] = {name: _plain(group.attrs[name]) for name in group.attrs}
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink) and isinstance(group[name], h5py.Group):
            values[name] = read_attributes(group[name])
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty | h5py.Reference):
        return None
    if isinstance(value, np.ndarray):
        return [v.decode() if isinstance(v, bytes) else v for v in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
