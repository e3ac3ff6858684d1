"""The learned stride of a model by name or file: what the table of propagators calls "stride"; imports neither ASE nor torch."""

from __future__ import annotations

from pathlib import Path

from ..equivariant.model_file import Model
from ..particles import InputError
from .model_library import model_name, open_model
from .stride import LearnedStride


def model_stride(model: str | Path | Model, precision: str = "float32") -> LearnedStride:
    """Return the stride of a model.

    Parameters
    ----------
    model : name of a shipped model, path, or ``Model``, of head "stride"
    precision : "float32" or "float64", of features and weights

    Raises
    ------
    InputError : no such model, a damaged one, another head, another precision

    """
    loaded, name = open_model(model), model_name(model)
    head = loaded.architecture.head
    if head != "stride":
        raise InputError(f"{name} has the head {head!r}; a stride needs one with head 'stride' (energies: [forces])")
    from ..equivariant.engine import Engine

    return LearnedStride(Engine(loaded, dtype=precision), name=name)
