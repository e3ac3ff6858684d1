"""Distributions of the parameters of encounters, as functions of a number uniform in [0, 1): the inverse of the cumulative share.

| kind | density | parameters |
|---|---|---|
| fixed | one value | value |
| list | the values given, equally often | values |
| uniform | constant | low, high |
| log-uniform | 1/x | low, high |
| power-law | x^(-slope) | slope, low, high |
| thermal | x, for eccentricities (Jeans 1919) | low = 0, high = 1 |
| disk | x, for impact parameters: even over an area | low = 0, high |
| sine | sin x between 0 and pi, for inclinations: even over the sphere | |
| normal | Gaussian | mean, sigma |
| maxwellian | x^2 exp(-x^2 / (2 sigma^2)), sigma the dispersion of one component | sigma |
| maxwellian-flux | x^3 exp(-x^2 / (2 sigma^2)): speeds of those that arrive | sigma |
| kroupa | the stellar mass function (Kroupa 2001, doi:10.1046/j.1365-8711.2001.04022.x) | low = 0.08, high = 150 solar masses |
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError
from .initial_conditions.kroupa import MassFunction, kroupa

FloatArray = NDArray[np.float64]
Parameters = Mapping[str, float | tuple[float, ...]]


def _between(p: Parameters) -> tuple[float, float]:
    low, high = float(p["low"]), float(p["high"])  # type: ignore[arg-type]
    if not low < high:
        raise InputError(f"low is {low:g} and high {high:g}; expected low < high")
    return low, high


def _positive_range(p: Parameters) -> tuple[float, float]:
    low, high = _between(p)
    if not low > 0.0:
        raise InputError(f"low is {low:g}; expected a positive number")
    return low, high


def _sigma(p: Parameters) -> float:
    sigma = float(p["sigma"])  # type: ignore[arg-type]
    if not sigma > 0.0:
        raise InputError(f"sigma is {sigma:g}; expected a positive number")
    return sigma


def _list(u: FloatArray, p: Parameters) -> FloatArray:
    values = np.asarray(p["values"], dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError("values must be a list of numbers")
    return values[np.minimum((u * values.size).astype(np.int64), values.size - 1)]


def _uniform(u: FloatArray, p: Parameters) -> FloatArray:
    low, high = _between(p)
    return low + u * (high - low)


def _log_uniform(u: FloatArray, p: Parameters) -> FloatArray:
    low, high = _positive_range(p)
    return low * (high / low) ** u


def _power_law(u: FloatArray, p: Parameters) -> FloatArray:
    return MassFunction(_positive_range(p), (float(p["slope"]),)).masses(u)  # type: ignore[arg-type]


def _square(u: FloatArray, p: Parameters) -> FloatArray:
    low, high = _between(p)
    if low < 0.0:
        raise InputError(f"low is {low:g}; expected zero or a positive number")
    return np.sqrt(low**2 + u * (high**2 - low**2))


def _thermal(u: FloatArray, p: Parameters) -> FloatArray:
    if not float(p["high"]) <= 1.0:  # type: ignore[arg-type]
        raise InputError(f"high is {p['high']}; eccentricities are below 1")
    return np.minimum(_square(u, p), math.nextafter(1.0, 0.0))


def _normal(u: FloatArray, p: Parameters) -> FloatArray:
    from scipy.special import ndtri

    return np.asarray(float(p["mean"]) + _sigma(p) * ndtri(np.maximum(u, 2.0**-54)))  # type: ignore[arg-type]


def _maxwellian(u: FloatArray, p: Parameters, shape: float = 1.5) -> FloatArray:
    from scipy.special import gammaincinv

    return np.asarray(_sigma(p) * np.sqrt(2.0 * gammaincinv(shape, np.maximum(u, 2.0**-54))))


def _kroupa(u: FloatArray, p: Parameters) -> FloatArray:
    low, high = _positive_range(p)
    unit = float(p["unit"])  # type: ignore[arg-type]
    return kroupa(low / unit, high / unit).masses(u) * unit


@dataclass(frozen=True, slots=True)
class _Kind:
    draw: Callable[[FloatArray, Parameters], FloatArray]
    needed: tuple[str, ...] = ()
    defaults: Parameters = field(default_factory=dict)


KINDS: dict[str, _Kind] = {
    "fixed": _Kind(lambda u, p: np.full(u.shape, float(p["value"])), ("value",)),  # type: ignore[arg-type]
    "list": _Kind(_list, ("values",)),
    "uniform": _Kind(_uniform, ("low", "high")),
    "log-uniform": _Kind(_log_uniform, ("low", "high")),
    "power-law": _Kind(_power_law, ("slope", "low", "high")),
    "thermal": _Kind(_thermal, (), {"low": 0.0, "high": 1.0}),
    "disk": _Kind(_square, ("high",), {"low": 0.0}),
    "sine": _Kind(lambda u, p: np.arccos(1.0 - 2.0 * u)),
    "normal": _Kind(_normal, ("mean", "sigma")),
    "maxwellian": _Kind(_maxwellian, ("sigma",)),
    "maxwellian-flux": _Kind(lambda u, p: _maxwellian(u, p, 2.0), ("sigma",)),
    "kroupa": _Kind(_kroupa, (), {"low": 0.08, "high": 150.0, "unit": 1.0}),
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution.

    Attributes
    ----------
    kind : name, see the module
    parameters : its numbers; for "kroupa" also ``unit``, a solar mass in the units of low and high

    Raises InputError for unknown kinds, parameters that are missing or unknown, or values out of range.

    """

    kind: str
    parameters: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in defaults and look at the values."""
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(KINDS)}"
            raise InputError(f"unknown distribution {self.kind!r}; {hint}")
        kind = KINDS[self.kind]
        missing = [name for name in kind.needed if name not in self.parameters]
        known = {*kind.needed, *kind.defaults}
        unknown = [name for name in self.parameters if name not in known]
        if missing or unknown:
            problem = f"needs {missing[0]!r}" if missing else f"does not know {unknown[0]!r}"
            raise InputError(
                f"distribution {self.kind!r} {problem}; its parameters: {', '.join(sorted(known)) or 'none'}"
            )
        object.__setattr__(self, "parameters", {**kind.defaults, **self.parameters})
        values = self(np.array([0.0, 0.5]))
        if not np.isfinite(values).all():
            raise InputError(f"distribution {self.kind!r} has parameters that are not finite")

    def __call__(self, share: FloatArray) -> FloatArray:
        """Return the values below which given shares lie, each in [0, 1)."""
        return KINDS[self.kind].draw(np.asarray(share, dtype=np.float64), self.parameters)

    @property
    def largest(self) -> float:
        """The largest value possible."""
        return float(self(np.array([math.nextafter(1.0, 0.0)]))[0])


def fixed(value: float) -> Distribution:
    """Return the distribution of one value."""
    return Distribution("fixed", {"value": float(value)})
