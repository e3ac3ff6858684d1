"""Thermostats by the names that ASE gives them and their options: what ``LongStride`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..particles import InputError
from .bussi import Bussi
from .langevin import Langevin
from .layers import Layer
from .nose_hoover import NoseHoover
from .temperature import Conserved
from .thermostats import STRIDES_PER_TIME_CONSTANT, THERMOSTATS, thermostat

#: Options of ASE's dynamics -> (kind they belong to, name here); times and rates in ASE's units.
OPTIONS: dict[str, tuple[str, str]] = {
    "friction": ("langevin", "time_constant"),
    "taut": ("bussi", "time_constant"),
    "tdamp": ("nose-hoover", "time_constant"),
    "tchain": ("nose-hoover", "length"),
    "tloop": ("nose-hoover", "substeps"),
}
#: Options that are rates: the time constant is their inverse.
_RATES = ("friction",)
#: The thermostat of a temperature without a thermostat: it mends equipartition, which learned strides may break.
DEFAULT = "langevin"


def bath(
    given: str | Layer | None, temperature_K: float | None, stride: float, seed: int, options: Mapping[str, Any]
) -> Layer | None:
    """Return the thermostat, or None for constant energy.

    Parameters
    ----------
    given : kind of thermostat, a layer that is returned as it is, or None
    temperature_K : K; with ``given`` None it means "langevin"
    stride : in ASE's unit of time; time constants are 10 strides where no option says otherwise
    seed : of its noise
    options : those of ``OPTIONS``, None where not given

    Raises
    ------
    InputError : a kind without a temperature, an unknown kind, an option of another kind, a value out of range

    """
    chosen = {name: value for name, value in options.items() if value is not None}
    if given is None and temperature_K is None:
        _refuse(chosen, None)
        return None
    kind = DEFAULT if given is None else given
    if not isinstance(kind, str):
        if temperature_K is not None:
            raise InputError(
                f"temperature_K = {temperature_K:g} came with a {type(kind).__name__}, which has its own; give one"
            )
        _refuse(chosen, None)
        return kind
    if kind not in THERMOSTATS:
        raise InputError(f"unknown thermostat {kind!r}; known: {', '.join(THERMOSTATS)}")
    if temperature_K is None:
        raise InputError(f"thermostat = {kind!r} came without temperature_K; give it in kelvin")
    _refuse(chosen, kind)
    own: dict[str, Any] = {"time_constant": STRIDES_PER_TIME_CONSTANT * stride}
    for name, value in chosen.items():
        if not value > 0:
            raise InputError(f"{name} is {value}; expected a positive number, in ASE's units")
        own[OPTIONS[name][1]] = 1.0 / value if name in _RATES else value
    return thermostat(kind, temperature_K, own.pop("time_constant"), seed=seed, **own)


def _refuse(chosen: Mapping[str, Any], kind: str | None) -> None:
    """Refuse options that the thermostat does not take."""
    for name in chosen:
        if OPTIONS[name][0] != kind:
            came = "without a thermostat of that kind" if kind is None else f"with thermostat = {kind!r}"
            raise InputError(f"{name} is an option of thermostat = {OPTIONS[name][0]!r}; it came {came}")


def conserved_with(layer: Layer | None) -> Conserved | None:
    """Return what a motion under this thermostat conserves; None: what the boundaries say."""
    return layer.conserved if isinstance(layer, Langevin | Bussi | NoseHoover) else None


def target_of(layer: Layer | None) -> float | None:
    """Return the temperature (K) a thermostat aims at, None without one or where it is not known."""
    return layer.temperature if isinstance(layer, Langevin | Bussi | NoseHoover) else None
