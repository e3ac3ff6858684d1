"""What a run leaves for its resumption: checkpoints, and the job as it was run (``used.toml``)."""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .config import as_tables, parse, to_toml
from .integrators.carry import state_from_tree, state_to_tree
from .outputs import Outputs
from .particles import Exchange, InputError
from .particles.collective import on_first, together, told
from .particles.io_checkpoint import (
    DamagedCheckpoint,
    read_checkpoint,
    read_generation,
    tree_from_bytes,
    tree_to_bytes,
    write_checkpoint,
)
from .particles.io_checkpoint_shares import read_shares, remove_unnamed, write_shares
from .request import Request
from .tables import Config

#: Keys that a resumed run may change: they do not change what has been computed.
_FREE_KEYS = ("run.t_end", "run.max_hours", "output.checkpoint_every")
#: Keys that are filled in when the job leaves them open, and then are those of the checkpoint.
_FILLED_KEYS = ("output.every", "output.series_every")
#: Keys that name files beside the job.
_FILES = (("particles", "file"), ("integrator", "model"), ("forces", "model"))
_KIND = "askel-run"
_ANEW = "there is no checkpoint to go on from, start anew"


def save(
    exchange: Exchange,
    outputs: Outputs,
    tree: dict[str, Any],
    text: str,
    wall_time: float,
    models: Mapping[str, str],
    *,
    in_shares: bool,
) -> None:
    """Write a checkpoint, all ranks together.

    Parameters
    ----------
    exchange, outputs : of the run
    tree : of ``Simulation.state_dict``
    text : the job
    wall_time : seconds spent
    models : ``model_digests``
    in_shares : whether each rank's tree has the particles that it owns, and each writes them

    """
    whole: dict[str, Any] = {
        "kind": _KIND, "version": __version__, "used": text, "wall_time": wall_time, "models": dict(models),
        "simulation": tree,
    }  # fmt: skip
    if in_shares:
        whole["shares"] = write_shares(exchange, outputs.checkpoint, tree["particles"])
        whole["simulation"] = tree | {"particles": _without_particles(tree["particles"])}

    def write() -> None:
        write_checkpoint(outputs.checkpoint, whole)
        remove_unnamed(outputs.checkpoint)

    on_first(exchange, write)


def _without_particles(tree: dict[str, Any]) -> dict[str, Any]:
    return state_to_tree(state_from_tree(tree).select(np.zeros(0, np.int64)))


def model_digests(config: Config, folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of every model file of a job whose paths count from ``folder``."""
    tables = as_tables(config)
    names = [tables[table]["model"] for table, key in _FILES if key == "model" and tables.get(table, {}).get(key)]
    names += [] if config.error_control is None else config.error_control.ensemble
    if not names:
        return {}
    from .md.model_library import find_model

    def digest(name: str) -> str:
        path = folder / Path(name).expanduser()
        return hashlib.sha256((path if path.is_file() else find_model(name)).read_bytes()).hexdigest()

    return {Path(name).name: digest(name) for name in names}


def refuse_changed_models(saved: Mapping[str, Any], now: Mapping[str, str]) -> None:
    """Raise InputError when a model file is not the one that the run started with."""
    for name, digest in saved.get("models", {}).items():
        if now.get(name) != digest:
            raise InputError(
                f"the model {name} is another file now than when the run started (SHA-256 {digest[:12]}); a resumed run keeps "
                "its model: put that file back, or start anew with --overwrite"
            )


def read_saved(exchange: Exchange, outputs: Outputs) -> dict[str, Any] | None:
    """Return the tree of the last good checkpoint, or None when there is none, all ranks together.

    Rank 0 has the particles, and who owned them; of a checkpoint in shares every rank has some.
    """
    saved = _told_saved(exchange, on_first(exchange, lambda: read_newest(outputs)))
    if saved is None or "shares" not in saved:
        return saved
    try:
        saved["simulation"]["particles"] = read_shares(exchange, outputs.checkpoint, saved["shares"])
        return saved
    except DamagedCheckpoint as error:
        problem = str(error)
    saved = _told_saved(exchange, on_first(exchange, lambda: _read_older(outputs, problem)))
    assert saved is not None, "else there was an error"
    try:
        saved["simulation"]["particles"] = read_shares(exchange, outputs.checkpoint, saved.get("shares", []))
    except DamagedCheckpoint as error:
        with together(exchange):
            raise InputError(f"{problem}; {error}; {_ANEW}") from None
    if exchange.rank == 0:
        older = f"going on from the checkpoint before it, {outputs.previous.name}"
        print(f"askel: warning: {problem}; {older}", file=sys.stderr)
    return saved


def read_newest(outputs: Outputs) -> dict[str, Any] | None:
    """Return the tree of the last good checkpoint as it is on the disk, without shares; None when there is none."""
    if not (outputs.checkpoint.exists() or outputs.previous.exists()):
        return None
    saved = read_checkpoint(outputs.checkpoint)
    if saved.note:
        print(f"askel: warning: {saved.note}", file=sys.stderr)
    if saved.get("kind") != _KIND:
        raise InputError(f"{outputs.checkpoint} is not the checkpoint of an askel run; start anew with --overwrite")
    return saved


def _read_older(outputs: Outputs, problem: str) -> dict[str, Any]:
    """Return the generation before, in place of one of which a share is damaged."""
    try:
        saved = read_generation(outputs.previous)
    except DamagedCheckpoint as error:
        raise InputError(f"{problem}; {error}; {_ANEW}") from None
    return saved


def _told_saved(exchange: Exchange, saved: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return, on all ranks, the tree that rank 0 read; the particles, and who owned them, stay there alone."""
    if exchange.size == 1:
        return saved
    words = b""
    if saved is not None:
        tree = dict(saved["simulation"])
        tree["particles"] = _without_particles(tree["particles"])
        if "identity" in tree.get("exchange", {}):
            tree["exchange"] = tree["exchange"] | {"identity": np.zeros(0, np.int64)}
        words = tree_to_bytes({**saved, "simulation": tree})
    heard = told(exchange, np.frombuffer(words, np.uint8)).tobytes()
    if exchange.rank == 0 or not heard:
        return saved
    return tree_from_bytes(heard)


def tables_of(text: str) -> dict[str, Any]:
    """Return TOML text as nested tables."""
    return tomllib.loads(text)


def used_toml(config: Config, asked: Request) -> str:
    """Return the job as TOML that repeats it when run from the folder of the output."""
    tables = as_tables(config)
    tables["output"]["file"] = asked.outputs.trajectory.name
    target = asked.outputs.trajectory.parent.resolve()

    def moved(name: str, *, always: bool = False) -> str:
        path = asked.inputs / Path(name).expanduser()  # names of shipped models are no files
        return os.path.relpath(path.resolve(), target) if always or path.is_file() else name

    for table, key in _FILES:
        name = tables.get(table, {}).get(key)
        if name is not None:
            tables[table][key] = moved(name, always=table == "particles")
    if config.error_control is not None:
        tables["error_control"]["ensemble"] = tuple(moved(name) for name in config.error_control.ensemble)
    return to_toml(tables, [f"The job as askel {__version__} ran it; 'askel run' of this file repeats the run."])


def merged(asked: Request, before: Config) -> Config:
    """Return the job of a resumed run: that of the checkpoint, with the keys that may change.

    Raises
    ------
    InputError : a key that changes what has been computed is different

    """
    old, new = _flat(tables_of(to_toml(as_tables(before)))), _flat(tables_of(used_toml(asked.config, asked)))
    for key in [*old, *(k for k in new if k not in old)]:
        same = old.get(key) == new.get(key) or key in _FREE_KEYS or (key in _FILLED_KEYS and key not in new)
        if not same and key != "output.file":
            raise InputError(
                f"{key} is {new.get(key, 'not set')!r} now and was {old.get(key, 'not set')!r} when the run started; a resumed "
                "run keeps it: set it back, or start anew with --overwrite"
            )
    tables = as_tables(asked.config)
    for key in _FILLED_KEYS:
        table, name = key.split(".")
        tables[table].setdefault(name, as_tables(before)[table][name])
    return parse(tables)


def _flat(tables: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{head}{key}."))
        else:
            flat[head + key] = value
    return flat
