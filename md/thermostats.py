"""Thermostats around any fixed-step propagator, a learned stride or leapfrog alike, and the table of their kinds."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..integrators import Propagator
from ..particles import InputError
from .layers import Layer, Layered

#: Time constant of a thermostat, in strides, where the user gives none.
STRIDES_PER_TIME_CONSTANT = 10.0

#: kind -> "module:class"; every one takes (temperature, time_constant, *, seed, ...)
THERMOSTATS: dict[str, str] = {
    "langevin": "langevin:Langevin",
    "bussi": "bussi:Bussi",
    "nose-hoover": "nose_hoover:NoseHoover",
}


@dataclass(slots=True)
class Drawn:
    """Memory of a layer with noise.

    Attributes
    ----------
    draws : int, how many times it has drawn, the step in counter-based noise

    """

    draws: int


class Thermostatted(Layered):
    """A propagator with half of a thermostat before and half of it after each advance.

    ``Step.work`` holds the energy that the thermostat gave, so that the energy account of a run closes.

    Parameters
    ----------
    inner : Propagator, with fixed steps
    thermostat : Langevin, Bussi, NoseHoover, or another Layer

    Raises
    ------
    InputError : an inner propagator that chooses its own steps

    """

    def __init__(self, inner: Propagator, thermostat: Layer) -> None:
        super().__init__(inner, thermostat)
        self.thermostat = thermostat


def thermostat(kind: str, temperature: float, time_constant: float, **options: Any) -> Layer:
    """Return a thermostat by the name of its kind.

    Parameters
    ----------
    kind : one of ``THERMOSTATS``
    temperature : K
    time_constant : in the time unit of the particles
    options : seed, conserved, groups, ... as the class takes them

    Raises
    ------
    InputError : an unknown kind, or what the class refuses

    """
    return thermostat_class(kind)(temperature, time_constant, **options)


def thermostat_class(kind: str) -> Callable[..., Layer]:
    """Return the class of one of ``THERMOSTATS``; raise InputError for another name."""
    if kind not in THERMOSTATS:
        raise InputError(f"unknown thermostat {kind!r}; known: {', '.join(THERMOSTATS)}")
    module, _, name = THERMOSTATS[kind].partition(":")
    found: Callable[..., Layer] = getattr(importlib.import_module(f".{module}", __package__), name)
    return found


def check_bath(temperature: float, time_constant: float) -> None:
    """Refuse temperatures below 0 K and time constants that are not positive."""
    if not (temperature >= 0.0 and math.isfinite(temperature)):
        raise InputError(f"temperature is {temperature:g} K; expected a number of kelvin, 0 or more")
    if not (time_constant > 0.0 and math.isfinite(time_constant)):
        raise InputError(f"the thermostat's time constant is {time_constant:g}; expected a positive time")
