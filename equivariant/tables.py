"""Radial weights as splines: an edge's weights depend on its length alone, so a network needs to be asked only once.

A uniform cubic B-spline f(r) = sum_k b_k(u) c_(i + k), u = (r - r_0)/h - i, whose coefficients interpolate the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from ..particles import InputError

FloatArray = NDArray[np.float64]

#: Grid points beyond the lower end: what is wrong at the end falls by 3.7 a point.
_MARGIN = 24
_FIRST_INTERVALS, _MOST_INTERVALS = 256, 8192
#: Where each interval is compared with the function: the error of a cubic is largest about its middle.
_PROBES = np.array([0.12, 0.3, 0.5, 0.7, 0.88])


@dataclass(frozen=True, eq=False, slots=True)
class RadialTable:
    r"""A function of the length, tabulated.

    Attributes
    ----------
    coefficients : (K, W), W values each; row i is the first of the four that belong to interval i
    shortest : Angstrom, lengths below it are refused
    spacing : h, Angstrom
    error : largest difference from the function found at five points of every interval, relative to the function's largest
        value
    bound : 3/128 h^4 max |f''''| relative to the same value (a bound of the error of cubic spline interpolation, with the
        derivative from the differences of the samples); both in exact arithmetic, the rounding of ``coefficients`` comes on top

    """

    coefficients: NDArray
    shortest: float
    spacing: float
    error: float
    bound: float


def basis(fraction: FloatArray) -> FloatArray:
    """Return the four values b_k(u), (E, 4), for u in [0, 1)."""
    u = fraction[:, None]
    v = 1.0 - u
    return np.concatenate(
        [v**3, 3.0 * u**3 - 6.0 * u**2 + 4.0, 3.0 * v**3 - 6.0 * v**2 + 4.0, u**3], axis=1
    ) / 6.0  # fmt: skip


def tabulate(
    function: Callable[[FloatArray], FloatArray],
    shortest: float,
    cutoff: float,
    tolerance: float,
    dtype: str = "float32",
) -> RadialTable:
    """Return a table whose error is at most ``tolerance``; intervals are halved until it is.

    Parameters
    ----------
    function : (E,) lengths in Angstrom -> (E, W) float64, zero from the cutoff on, defined a little below ``shortest``
    shortest, cutoff : Angstrom
    tolerance : relative to the largest value of the function

    Raises
    ------
    InputError : the tolerance cannot be reached

    """
    intervals = _FIRST_INTERVALS
    while intervals <= _MOST_INTERVALS:
        table = _table(function, shortest, cutoff, intervals, dtype)
        if table.error <= tolerance:
            return table
        intervals *= 2
    raise InputError(
        f"the radial functions cannot be tabulated to {tolerance:g} (reached {table.error:.1g}); use more layers"
    )


def _table(
    function: Callable[[FloatArray], FloatArray], shortest: float, cutoff: float, intervals: int, dtype: str
) -> RadialTable:
    h = (cutoff - shortest) / intervals
    margin = min(_MARGIN, int(0.9 * shortest / h))
    grid: FloatArray = shortest + h * np.arange(-margin, intervals + 3, dtype=np.float64)
    samples = function(grid)
    n = len(grid)
    banded = np.zeros((3, n))
    banded[0, 1:], banded[1], banded[2, :-1] = 1.0, 4.0, 1.0
    coefficients = solve_banded((1, 1), banded, 6.0 * samples)[max(margin - 1, 0) :]
    size = float(np.abs(samples[margin:]).max()) or 1.0
    error = 0.0
    for probe in _PROBES:
        place = np.arange(intervals)
        b = basis(np.full(intervals, probe))
        spline = sum(b[:, k, None] * coefficients[place + k] for k in range(4))
        error = max(error, float(np.abs(spline - function(shortest + h * (place + probe))).max()))
    fourth = np.abs(np.diff(samples[margin:], n=4, axis=0)).max() if intervals > 4 else math.inf
    return RadialTable(
        np.ascontiguousarray(coefficients, dtype=dtype), shortest, h, error / size, 3.0 / 128.0 * fourth / size
    )
