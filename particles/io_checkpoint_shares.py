"""A checkpoint of several ranks: each writes the particles that it owns, and the checkpoint names these files and their SHA-256.

```
run.checkpoint, run.checkpoint.previous             all but the particles, with the list of shares
run.0.part-0.checkpoint, run.0.part-1.checkpoint    the shares of one generation; the next two are run.1 and run.2
```
Two generations are kept, and a third name is free for the one that is being written: no share that a checkpoint names is ever
written over. Shares are on the disk before the checkpoint takes its place; those that neither generation names are removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .collective import lines_of_all, on_first, together, told
from .errors import AskelError
from .exchange import Exchange
from .fields import FIELDS
from .io_checkpoint import (
    ARRAY,
    HEAD,
    MAGIC,
    SHA,
    DamagedCheckpoint,
    previous_path,
    read_generation,
    sync_folder,
    write_tree,
)
from .part_names import part_path, part_paths

_SETS = 3
_BLOCK = 2**22  # bytes of a file that are looked at together


def _set_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def share_paths(path: Path) -> list[Path]:
    """Return the shares that are there, of any generation, of a checkpoint."""
    return [share for number in range(_SETS) for share in part_paths(_set_path(path, number))]


def write_shares(exchange: Exchange, path: Path, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write the share of every rank, under names that no checkpoint has; return what the checkpoint says of them: ``shares``.

    Parameters
    ----------
    exchange : Exchange
    path : the checkpoint
    state : tree with ``fields`` (name -> array) of the particles of this rank, and ``units``

    Raises
    ------
    AskelError : the disk refuses, on any rank; the checkpoints there are intact

    """
    number = on_first(exchange, lambda: _free_set(path))
    number = int(told(exchange, np.array([0 if number is None else number], np.uint8))[0])
    share = part_path(_set_path(path, number), exchange.rank)
    temporary = share.with_name(f".{share.name}.new")
    n = len(state["fields"]["identity"])
    with together(exchange):
        try:
            digest = write_tree(temporary, {**state, "n": n})
            temporary.replace(share)
            sync_folder(share.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise AskelError(
                f"cannot write {share}: {error.strerror or error}; the last checkpoint is intact"
            ) from None
    mine = json.dumps({"file": share.name, "sha256": digest, "n": n}).encode()
    return [json.loads(part.tobytes()) for part in exchange.allgather(np.frombuffer(mine, np.uint8))]


def _named(path: Path) -> set[str]:
    """Return the names of the shares of both generations of a checkpoint."""
    names: set[str] = set()
    for generation in (path, previous_path(path)):
        try:
            names |= {share["file"] for share in read_generation(generation).get("shares", ())}
        except DamagedCheckpoint:
            continue
    return names


def _free_set(path: Path) -> int:
    named = _named(path)
    return next(k for k in range(_SETS) if not any(share.name in named for share in part_paths(_set_path(path, k))))


def remove_unnamed(path: Path) -> None:
    """Remove the shares that neither generation of a checkpoint names."""
    named = _named(path)
    for share in share_paths(path):
        if share.name not in named:
            share.unlink(missing_ok=True)


def read_shares(exchange: Exchange, path: Path, shares: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the tree of the particles for this rank: what it wrote where as many ranks read, else an equal stretch of all.

    Raises
    ------
    DamagedCheckpoint : a share is missing, or not what was written; on all ranks

    """
    ends = np.cumsum([0, *(share["n"] for share in shares)])
    low, high = (
        (ends[exchange.rank + k] if len(shares) == exchange.size else ends[-1] * (exchange.rank + k) // exchange.size)
        for k in (0, 1)
    )
    trees: list[dict[str, Any]] = []
    problem: list[str] = []
    try:
        for share, start, stop in zip(shares, ends[:-1], ends[1:], strict=True):
            first, last = max(low, start), min(high, stop)
            if first < last or (low == high and not trees):
                rows = slice(int(first - start), int(max(first, last) - start)) if first < last else slice(0, 0)
                trees.append(_read_share(path.with_name(share["file"]), share["sha256"], rows))
    except DamagedCheckpoint as error:
        problem = [str(error)]
    problems = lines_of_all(exchange, problem)
    if problems:
        raise DamagedCheckpoint(problems[0])
    fields = {
        name: np.concatenate([tree["fields"][name] for tree in trees]) if FIELDS[name].scope == "particle" else value
        for name, value in trees[0]["fields"].items()
    }
    return {"fields": fields, "units": trees[0]["units"]}


def _read_share(path: Path, sha256: str, rows: slice) -> dict[str, Any]:
    """Return the tree of some particles of a share, after looking at all of its bytes."""
    try:
        with path.open("rb") as file:
            if _digest(file, path.stat().st_size - SHA) != sha256:
                raise DamagedCheckpoint(f"{path} is not the share that was written (its checksum does not fit)")
            file.seek(0)
            magic, _, length = HEAD.unpack(file.read(HEAD.size))
            assert magic == MAGIC, "the checksum fits"
            tree = json.loads(file.read(length))["tree"]
            start = HEAD.size + length
            fields = {name: _read_field(value, file, start, name, rows) for name, value in tree["fields"].items()}
            return {"fields": fields, "units": tree["units"]}
    except OSError as error:
        raise DamagedCheckpoint(f"cannot read {path}: {error.strerror}") from None


def _digest(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _read_field(value: Any, file: BinaryIO, start: int, name: str, rows: slice) -> Any:
    if not isinstance(value, dict):
        return value
    kind, shape, place = value[ARRAY]
    dtype, size = np.dtype(kind), int(np.prod(shape[1:], dtype=np.int64))
    picked = rows if FIELDS[name].scope == "particle" else slice(0, shape[0])
    file.seek(start + place + picked.start * size * dtype.itemsize)
    found: NDArray = np.fromfile(file, dtype, (picked.stop - picked.start) * size)
    return found.reshape(-1, *shape[1:])
