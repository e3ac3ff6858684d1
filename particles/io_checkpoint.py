"""Checkpoints: a tree of arrays, numbers and strings, bit-exact, never half written, in two generations.

Layout: magic, version, length of the header; the header (JSON: the tree, with the place of each array); the bytes of the
arrays; the SHA-256 of all that. A new one is written under a temporary name and flushed to the disk before it takes the
place of the old one, which is kept as ``<name>.previous``. (Carries become trees in ``askel.integrators.carry``.)
Nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import AskelError, InputError

FORMAT_VERSION = 1
MAGIC = b"ASKELCHK"
HEAD = struct.Struct("<8sIQ")  # magic, version, length of the header
SHA = 32
ARRAY = "__array__"
_KINDS = "biufcSU"


class Checkpoint(dict[str, Any]):
    """The tree of a checkpoint.

    Attributes
    ----------
    note : "" when the newest generation was read, else one sentence that says why the older one was

    """

    note: str = ""


def previous_path(path: str | Path) -> Path:
    """Return the name of the older generation."""
    path = Path(path)
    return path.with_name(path.name + ".previous")


def write_checkpoint(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write a tree of dicts, lists, arrays, int, float, bool, str and None; the checkpoint there becomes the previous one.

    Raises
    ------
    AskelError : the disk refuses; the checkpoints there are intact
    TypeError : something else in the tree

    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.new")
    try:
        write_tree(temporary, tree)
        if path.exists():
            _keep_previous(path)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise AskelError(
            f"cannot write the checkpoint {path}: {error.strerror or error}; the last one is intact"
        ) from None


def tree_to_bytes(tree: Mapping[str, Any]) -> bytes:
    """Return a tree as bytes, for other ranks."""
    arrays: list[NDArray] = []
    header = json.dumps(_encode(tree, arrays, ""), allow_nan=True).encode()
    return b"".join((struct.pack("<Q", len(header)), header, *(a.tobytes() for a in arrays)))


def tree_from_bytes(raw: bytes) -> dict[str, Any]:
    """Return the tree of ``tree_to_bytes``."""
    (length,) = struct.unpack_from("<Q", raw)
    tree: dict[str, Any] = _decode(json.loads(raw[8 : 8 + length]), memoryview(raw)[8 + length :])
    return tree


def write_tree(path: Path, tree: Mapping[str, Any]) -> str:
    """Write a tree to a file, wait until the disk has it, and return the SHA-256 of all but the checksum at its end.

    Raises
    ------
    OSError : the disk refuses
    TypeError : something else in the tree than ``write_checkpoint`` takes

    """
    arrays: list[NDArray] = []
    header = json.dumps({"tree": _encode(tree, arrays, "")}, allow_nan=True).encode()
    bodies: list[Any] = [a.reshape(-1).view(np.uint8) for a in arrays if a.nbytes]
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (HEAD.pack(MAGIC, FORMAT_VERSION, len(header)), header, *bodies):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _keep_previous(path: Path) -> None:
    spare = path.with_name(f".{path.name}.link")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)  # so that a checkpoint of the given name exists at every moment
    except OSError:
        path.replace(previous_path(path))
        return
    spare.replace(previous_path(path))
    spare.unlink(missing_ok=True)  # replacing a name by another one of the same file leaves both


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Return the tree of a checkpoint; a damaged or missing one is replaced by its older generation, and ``note`` says so.

    Raises
    ------
    InputError : no usable generation, not a checkpoint, or one of a newer version

    """
    path = Path(path)
    try:
        return read_generation(path)
    except DamagedCheckpoint as error:
        problem = str(error)
    try:
        tree = read_generation(previous_path(path))
    except DamagedCheckpoint as error:
        older = "" if not previous_path(path).exists() else f"; {error}"
        raise InputError(f"{problem}{older}; there is no checkpoint to go on from, start anew") from None
    tree.note = f"{problem}; going on from the checkpoint before it, {previous_path(path).name}"
    return tree


class DamagedCheckpoint(Exception):
    """A checkpoint that an older generation can stand in for."""


def read_generation(path: Path) -> Checkpoint:
    """Return the tree of one file.

    Raises
    ------
    DamagedCheckpoint : it is missing, or not what was written
    InputError : it cannot be read, or is of a newer version

    """
    try:
        raw = memoryview(path.read_bytes())
    except FileNotFoundError:
        raise DamagedCheckpoint(f"there is no {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if bytes(raw[: len(MAGIC)]) != MAGIC:
        raise DamagedCheckpoint(f"{path} is not a checkpoint of Askel, or its beginning is damaged")
    if len(raw) < HEAD.size + SHA or hashlib.sha256(raw[:-SHA]).digest() != bytes(raw[-SHA:]):
        raise DamagedCheckpoint(f"{path} is truncated or damaged (its checksum does not fit)")
    _, version, length = HEAD.unpack_from(raw)
    if version > FORMAT_VERSION:
        raise InputError(f"{path} has format version {version}, this Askel knows {FORMAT_VERSION}; update Askel")
    header = json.loads(bytes(raw[HEAD.size : HEAD.size + length]))
    return Checkpoint(_decode(header["tree"], raw[HEAD.size + length : -SHA]))


def _encode(value: Any, arrays: list[NDArray], where: str) -> Any:
    """Return a value as JSON knows it; arrays go to the list and leave their place, type and shape."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) or key == ARRAY for key in value):
            raise TypeError(f"checkpoint entry {where or '/'} has a key that is no string")
        return {key: _encode(inner, arrays, f"{where}/{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(inner, arrays, f"{where}/{i}") for i, inner in enumerate(value)]
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        start = sum(a.nbytes for a in arrays)
        arrays.append(np.array(value, order="C", copy=None))
        return {ARRAY: [value.dtype.str, list(value.shape), start]}
    kind = f"{type(value).__name__} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(
        f"checkpoint entry {where or '/'} is a {kind}; expected arrays, numbers, strings, None, dicts, lists"
    )


def _decode(value: Any, data: memoryview) -> Any:
    if isinstance(value, list):
        return [_decode(inner, data) for inner in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        name, shape, start = value[ARRAY]
        dtype = np.dtype(name)
        if dtype.kind not in _KINDS:
            raise InputError(f"the checkpoint holds an array of {dtype}; it was not written by Askel")
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(data, dtype, count, start).reshape(shape).copy() if count else np.zeros(shape, dtype)
    return {key: _decode(inner, data) for key, inner in value.items()}
