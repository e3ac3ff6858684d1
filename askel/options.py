"""The keys of [integrator]: a method's own options, checked against its signature."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from .integrators import PropagatorEntry
from .particles import InputError, UnitSystem
from .particles.units import LENGTH, TIME, Dimension
from .tables import Config

#: Parameters that other tables than [integrator] set, unless a propagator takes a model: that has its own backend.
_ELSEWHERE = (
    "interaction",
    "softening",
    "star_star",
    "post_newtonian",
    "pairs",
    "merger_distance",
    "collisions",
    "backend",
)
#: Parameters that only programs set, with objects.
_PROGRAMS = ("external", "exchange", "splitting", "model", "resolver")
#: Options of propagators that are quantities; all others are plain numbers, words and truth values.
_DIMENSIONS = {"step": TIME, "radius": LENGTH, "log_every": TIME}


def options_of(config: Config, entry: PropagatorEntry, factory: Any, units: UnitSystem) -> dict[str, Any]:
    """Return the keyword arguments of a propagator that [integrator] gives, checked against its signature."""
    hidden = _PROGRAMS if entry.takes == "model" else (*_ELSEWHERE, *_PROGRAMS)
    parameters = {
        name: p
        for name, p in inspect.signature(factory).parameters.items()
        if name not in hidden and p.kind is not p.VAR_KEYWORD
    }
    options = {}
    for name, value in (config.integrator.model_extra or {}).items():
        if name not in parameters:
            near = difflib.get_close_matches(name, [*parameters, "step", "tolerance", "kind"], 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(parameters) or 'none'}"
            raise InputError(f"unknown key 'integrator.{name}' for kind {entry.kind!r}; {hint}")
        if name in _DIMENSIONS:
            options[name] = _quantity(f"integrator.{name}", value, _DIMENSIONS[name], units)
        else:
            options[name] = _as_default(f"integrator.{name}", value, parameters[name].default)
    for name, p in parameters.items():
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty and name not in options:
            raise InputError(f"integrator.{name} is missing; {entry.kind!r} needs it")
    if config.integrator.tolerance is not None and "tolerance" in parameters:
        options["tolerance"] = config.integrator.tolerance
    if "step" in parameters and config.integrator.step is not None:
        options["step"] = units.read(config.integrator.step, TIME)
    return options


def _quantity(key: str, value: Any, dimension: Dimension, units: UnitSystem) -> float:
    """Return a number or a string with a unit as a number in the units of the particles."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{key} = {value!r}: must be a number, or a string with a unit")
    try:
        return units.read(value, dimension)
    except InputError as error:
        raise InputError(f"{key} = {value!r}: {error}") from None


def _as_default(key: str, value: Any, default: Any) -> Any:
    """Return the value when it is of the type of the parameter's default."""
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}
    kind = type(default)
    if kind not in words:
        return value
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise InputError(f"{key} = {value!r}: must be {words[kind]}")
    return kind(value)
