"""The models that come with the package, by name, with their cards; and models of the user, by path."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..equivariant.architecture import Architecture
from ..equivariant.model_file import SUFFIX, Model, load_model
from ..particles import SERIAL, Exchange, InputError
from .stride import LearnedStride, StrideEngine

#: Where shipped models lie, inside this package.
FOLDER = "models"


def models() -> dict[str, dict[str, Any]]:
    """Return name -> card of every shipped model.

    A card begins with what the model was made for: head, species (atomic numbers), masses (amu), strides_fs, cutoff
    (Angstrom); what follows was written by its training: data, recipe, metrics, versions.
    """
    return {name: card(load_model(path)) for name, path in _shipped().items()}


def card(model: Model) -> dict[str, Any]:
    """Return what the model was made for, and its own card."""
    return {**_made_for(model.architecture), **model.card}


def find_model(name_or_path: str | Path) -> Path:
    """Return the file of a shipped model, or the path given, when there is such a file.

    Raises
    ------
    InputError : neither a shipped name nor a file

    """
    shipped = _shipped()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    near = difflib.get_close_matches(str(name_or_path), shipped, n=1, cutoff=0.5)
    known = ", ".join(shipped) or "none are installed"
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"there is no model {str(name_or_path)!r}: neither a file nor a shipped model ({known}){hint}")


def open_model(model: str | Path | Model) -> Model:
    """Return the model of a shipped name or a path; a ``Model`` is returned as it is.

    Raises
    ------
    InputError : no such model, or a file that is damaged, foreign or of a newer version

    """
    return model if isinstance(model, Model) else load_model(find_model(model))


def stride_of(
    model: str | Path | Model | StrideEngine | LearnedStride,
    precision: str = "float32",
    backend: str = "cpu",
    *,
    exchange: Exchange = SERIAL,
) -> LearnedStride:
    """Return the stride of a shipped name, a path, a ``Model``, or an engine; a ``LearnedStride`` is returned as it is.

    Parameters
    ----------
    model : what holds the network
    precision : "float32" or "float64", of its features; engines have theirs
    backend : what computes, "cpu", "cuda" or "reference"; engines have theirs
    exchange : Exchange, of names, paths and models

    Raises
    ------
    InputError : no such model, a damaged one, another head; a backend that this machine cannot run

    """
    if isinstance(model, LearnedStride):
        return model
    if not isinstance(model, str | Path | Model):
        return LearnedStride(model)
    loaded, name = open_model(model), model_name(model)
    if loaded.architecture.head != "stride":
        raise InputError(
            f"{name} has the head {loaded.architecture.head!r}; strides need a model with head 'stride' (energies: "
            "[forces], EnergyModel, EnergyModelCalculator)"
        )
    from ..equivariant.engine import Engine

    engine = Engine(loaded, dtype=precision, backend=backend, exchange=exchange)
    return LearnedStride(engine, name=name, exchange=exchange)


def model_name(model: str | Path | Model) -> str:
    """Return what messages call a model: its name or file name, or "the model"."""
    if isinstance(model, Model):
        return str(model.card.get("name", "the model"))
    return Path(model).name.removesuffix(SUFFIX)


def _shipped() -> dict[str, Path]:
    folder = Path(str(files(__package__))) / FOLDER
    return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def _made_for(a: Architecture) -> dict[str, Any]:
    return {
        "head": a.head,
        "species": list(a.species),
        "masses": list(a.masses),
        "strides_fs": list(a.strides),
        "cutoff": a.cutoff,
    }
