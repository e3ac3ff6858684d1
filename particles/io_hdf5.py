"""Opening HDF5 files that may be hostile, truncated, foreign or from the future, with one clear line for each.

Nothing outside the file is ever read: external links, external storage and object references are refused, soft links are
not followed, virtual data sets may name files of the same folder alone. Sizes are checked before anything is allocated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import AskelError, InputError
from .io_journal import JournaledFile

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DENSEST = 1100  # deflate packs at most 1032 : 1; beyond that a data set claims what it cannot hold


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, also while it is being written.

    Raises
    ------
    InputError : no such file, not HDF5, truncated, unreadable

    """
    try:
        with path.open("rb") as file:
            head = file.read(len(SIGNATURE))
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    if head != SIGNATURE:
        what = "is empty" if not head else "is not an HDF5 file"
        raise InputError(f"{path} {what}; expected a file that Askel, another H5MD program or GADGET wrote")
    try:
        # a driver of our own: h5py's would show stale content when the file is open elsewhere in this process
        return h5py.File(JournaledFile(path, "read"), "r")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be opened, it is {_damage(error, path)}; restore it from a copy") from None


def _damage(error: Exception, path: Path) -> str:
    text = str(error)
    if "truncated" in text:
        return f"truncated (only {path.stat().st_size} bytes are there)"
    return f"damaged ({text.splitlines()[0][:120] if text else type(error).__name__})"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what HDF5 raises for damaged metadata into InputError, one line."""
    try:
        yield
    except AskelError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged ({what[:120]})") from None


def reason(error: OSError) -> str:
    """Return what the operating system says, without the path."""
    return error.strerror or str(error).splitlines()[0]


def child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return a member by path, or None when it is absent; only hard links are followed.

    Raises
    ------
    InputError : a link on the way leads elsewhere, or the member cannot be read

    """
    here: Any = group
    for part in name.split("/"):
        if not isinstance(here, h5py.Group):
            return None
        try:
            link = here.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                where = getattr(link, "filename", "") or link.path
                raise InputError(f"{label(here)}/{part} is a link to {where!r}; copy the data into the file (h5repack)")
            here = here[part]
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(f"{label(here)}/{part} is damaged ({str(error).splitlines()[0][:120]})") from None
    return here


def label(item: Any) -> str:
    """Return "file:path" of a group or a data set, for messages."""
    return f"{Path(_file_name(item)).name}:{'' if item.name == '/' else item.name}"


def _file_name(item: Any) -> str:
    name = item.file.filename
    return name if isinstance(name, str) else "file"


def subgroup(group: h5py.Group, name: str) -> h5py.Group | None:
    """Return a member that is a group, or None."""
    found = child(group, name)
    return found if isinstance(found, h5py.Group) else None


def dataset(group: h5py.Group, name: str, kinds: str = "fiub") -> h5py.Dataset | None:
    """Return a member that is a data set of numbers (or, with "S" in kinds, of strings) held in the file, or None.

    Raises
    ------
    InputError : references or other types; data held outside the file or its folder; a size that cannot be true

    """
    found = child(group, name)
    if not isinstance(found, h5py.Dataset):
        return None
    if found.external:
        raise InputError(f"{label(found)} keeps its data outside the file, in {found.external[0][0]!r}; refused")
    if found.is_virtual:
        _check_virtual(found)
    text = h5py.check_string_dtype(found.dtype) is not None
    if not (text and "S" in kinds) and found.dtype.kind not in kinds.replace("S", ""):
        raise InputError(f"{label(found)} holds {found.dtype}; expected numbers")
    return found


def _check_virtual(data: h5py.Dataset) -> None:
    for source in data.virtual_sources():
        name = source.file_name
        if name != "." and (os.sep in name or "/" in name or "\\" in name or name.startswith("..")):
            raise InputError(f"{label(data)} is a view of {name!r}, outside the file's folder; refused")


def check_rows(data: h5py.Dataset) -> int:
    """Return the number of rows, after comparing what the data set claims with what it stores.

    Raises
    ------
    InputError : it claims more than it can hold

    """
    rows = int(data.shape[0]) if data.shape else 1
    stored = int(data.id.get_storage_size())
    if not data.is_virtual and data.size * data.dtype.itemsize > 2**20 + _DENSEST * stored:
        raise InputError(f"{label(data)} claims {data.size:.4g} values but stores {stored} bytes; the file is damaged")
    return rows


class PartsReader(Protocol):
    """Who reads virtual data sets: ``io_virtual.Parts``."""

    def read(self, data: h5py.Dataset, selection: Any) -> NDArray:
        """Return a part of a virtual data set."""
        ...


def read_values(
    data: h5py.Dataset, selection: Any = (), *, count: int | None = None, parts: PartsReader | None = None
) -> NDArray:
    """Return a part of a data set as an array.

    Parameters
    ----------
    selection : what h5py takes between brackets
    count : number of values the selection has; all of them when not given
    parts : reads virtual data sets, which HDF5 cannot through our file driver

    Raises
    ------
    InputError : more than half of the machine's memory, or damaged data

    """
    size = (data.size if count is None else count) * data.dtype.itemsize
    if size > memory_limit():
        raise InputError(
            f"{label(data)} asks for {size / 2**30:.3g} GiB; this machine reads {memory_limit() >> 30} GiB"
        )
    if data.is_virtual and parts is None:
        raise InputError(f"{label(data)} shows other files; copy it into one file (h5repack)")
    try:
        return np.asarray(data[selection]) if parts is None or not data.is_virtual else parts.read(data, selection)
    except AskelError:
        raise
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        raise InputError(f"{label(data)} is damaged ({str(error).splitlines()[0][:120]})") from None


def memory_limit() -> int:
    """Return half of the machine's memory in bytes (8 GiB where it cannot be told)."""
    names: Sequence[str] = getattr(os, "sysconf_names", ())
    if "SC_PHYS_PAGES" in names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 2**33


def extend(data: h5py.Dataset, start: int, values: NDArray) -> None:
    """Write ``values`` at rows ``start`` and beyond, to which the data set is cut back or extended.

    The low-level interface of h5py: a quarter of the time of ``resize`` and indexing, which counts once per frame.
    """
    shape = (start + len(values), *data.id.shape[1:])
    data.id.set_extent(shape)
    if values.size:
        space = data.id.get_space()
        space.select_hyperslab((start, *(0,) * (len(shape) - 1)), values.shape)
        data.id.write(h5py.h5s.create_simple(values.shape), space, np.ascontiguousarray(values))


def text_attribute(item: Any, name: str, default: str = "") -> str:
    """Return an attribute as a string, whatever kind of string the file holds."""
    value = attribute(item, name)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else default


def attribute(item: Any, name: str) -> Any:
    """Return an attribute, or None when it is absent or unreadable or refers to something else."""
    try:
        value = item.attrs.get(name)
    except (OSError, RuntimeError, TypeError, KeyError):
        return None
    if isinstance(value, h5py.Empty | h5py.Reference | h5py.RegionReference):
        return None
    return value


def number_attribute(item: Any, name: str) -> float | None:
    """Return an attribute as a number, or None."""
    value = np.asarray(attribute(item, name))
    return float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "fiub" else None
