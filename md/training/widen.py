"""A model to start from learns further strides: its own keep what they do, new ones begin as the nearest of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...equivariant.architecture import Architecture
from ...equivariant.model_file import Model
from ...particles import InputError


def widened(model: Model, strides: tuple[float, ...], measured: Callable[[], Architecture]) -> Model:
    """Return the model with rows for further strides; as it is where it knows them all.

    A one-hot stride enters the networks of lengths and speeds by rows of their first matrices. A model of one stride has no
    such rows for lengths: zeros do what it did. Strides of its own so give what they gave, to rounding.

    Parameters
    ----------
    model : of head "stride"
    strides : fs, ascending, among them all that the model knows
    measured : gives an Architecture of these strides from data, for baselines and scales of the new ones

    Raises
    ------
    InputError : a stride that the model knows and the recipe does not

    """
    a = model.architecture
    if tuple(strides) == a.strides:
        return model
    missing = [h for h in a.strides if h not in strides]
    if missing:
        raise InputError(
            f"start_from is a model of strides {list(a.strides)} fs; the recipe has {list(strides)}, without {missing[0]:g}"
        )
    data = measured()
    nearest = [int(np.argmin([abs(np.log(h / known)) for known in a.strides])) for h in strides]
    names = ("drift", "memory", "displacement_scale", "velocity_change_scale")
    tables: dict[str, Any] = {name: _rows(getattr(a, name), getattr(data, name), a.strides, strides) for name in names}
    wide = replace(a, strides=tuple(strides), **tables)
    return Model(wide, {name: _weight(a, name, w, nearest) for name, w in model.weights.items()}, model.card)


def _rows(own: tuple, data: tuple, known: tuple[float, ...], strides: tuple[float, ...]) -> tuple:
    """Return the rows of a table: the model's own where it has one."""
    return tuple(own[known.index(h)] if h in known else data[k] for k, h in enumerate(strides))


def _weight(a: Architecture, name: str, w: NDArray, nearest: list[int]) -> NDArray:
    """Return a weight with a row for each stride, copied from the nearest."""
    if name == "stride":
        return w[nearest]
    if name.endswith("_radial_0"):
        own = w[a.radial_functions :] if len(a.strides) > 1 else np.zeros((1, w.shape[1]), w.dtype)
        return np.concatenate([w[: a.radial_functions], own[nearest]])
    if name.endswith("_speed_0"):
        begin = a.speed_functions + len(a.species)
        end = begin + len(a.strides)
        return np.concatenate([w[:begin], w[begin:end][nearest], w[end:]])
    return w
