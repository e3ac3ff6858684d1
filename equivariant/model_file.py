"""Model files: weights as safetensors, everything else as JSON in the header. Reading one never executes anything."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError
from .architecture import Architecture
from .parameters import parameters

FORMAT = "askel-model"
VERSION = 1
SUFFIX = ".safetensors"
#: Files above this size are not models of ours; refused before anything is read.
_LARGEST = 2**31


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """A trained network.

    Attributes
    ----------
    architecture : Architecture
    weights : name -> float array, as ``parameters(architecture)`` says
    card : what a user should know: data, recipe, metrics, versions (JSON's types)

    """

    architecture: Architecture
    weights: Mapping[str, NDArray]
    card: Mapping[str, Any] = field(default_factory=dict)


def save_model(path: str | Path, model: Model) -> None:
    """Write a model file, all or nothing: a temporary file, flushed to the disk, then renamed; the same bytes for the same model.

    Raises
    ------
    InputError : weights that do not fit the architecture, or a file that cannot be written

    """
    from safetensors.numpy import save

    path = Path(path)
    _check(model, str(path))
    header = {"architecture": model.architecture.to_json(), "card": dict(model.card)}
    try:
        text = json.dumps(header, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"the card of {path} cannot be written as JSON: {error}") from None
    facts = {"format": FORMAT, "version": str(VERSION), "header": text}
    payload = _sorted(save({k: np.ascontiguousarray(v) for k, v in sorted(model.weights.items())}, metadata=facts))
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write the model {path}: {error.strerror}") from None


def load_model(path: str | Path) -> Model:
    """Read a model file.

    Raises
    ------
    InputError : no such file, not a model file (whatever else it may be), damaged, of a newer version, or with weights
        that are not finite or do not fit its architecture

    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} has {path.stat().st_size} bytes; a model file is much smaller")
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise InputError(f"cannot read the model {path}: {error.strerror or error}") from None
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a model file, or is damaged: {str(error).splitlines()[0]}") from None
    _refuse_foreign(facts, path)
    try:
        header = json.loads(facts["header"])
        card = header.get("card", {})
        if not isinstance(card, dict):
            raise TypeError("a card is a table")
        architecture = Architecture.from_json(header["architecture"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} has a damaged header ({type(error).__name__}); get the model again") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    model = Model(architecture, weights, card)
    _check(model, str(path))
    return model


def _sorted(payload: bytes) -> bytes:
    """Return a safetensors file with the entries of its header in order: the library writes them in a random one."""
    begin = 8 + int.from_bytes(payload[:8], "little")
    text = json.dumps(json.loads(payload[8:begin]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return len(text).to_bytes(8, "little") + text + payload[begin:]


def _refuse_foreign(facts: Mapping[str, str], path: Path) -> None:
    if facts.get("format") != FORMAT or "header" not in facts:
        raise InputError(f"{path} holds tensors, but is not a model of askel; expected a file that askel train wrote")
    version = facts.get("version", "")
    if version not in {str(k) for k in range(1, VERSION + 1)}:
        raise InputError(
            f"{path} is a model of version {version[:20] or 'unknown'}; this askel reads up to {VERSION}: update askel"
        )


def _check(model: Model, path: str) -> None:
    expected = parameters(model.architecture)
    different = sorted(set(expected) ^ set(model.weights))
    if different:
        raise InputError(f"{path}: the weights {different[0]!r} do not belong to this architecture, or are missing")
    for name, parameter in expected.items():
        array = np.asarray(model.weights[name])
        if array.shape != parameter.shape or array.dtype not in (np.float32, np.float64):
            raise InputError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}; expected floats of {parameter.shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} has values that are not finite; get the model again")
