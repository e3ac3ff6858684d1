"""Radial weights as splines: an edge's weights depend on its length alone, so a network needs to be asked only once.

A uniform cubic B-spline f(r) = sum_k b_k(u) c_(i + k), u = (r - r_0)/h - i, whose coefficients interpolate the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

from ..particles import InputError

FloatArray = NDArray[np.float64]

#: Grid points beyond the lower end: what is wrong at the end falls by 3.7 a point.
_MARGIN = 24
_FIRST_INTERVALS, _MOST_INTERVALS = 64, 8192
#: Rows of a table that are made at a time.
_BLOCK = 64
#: Bytes of a line of the cache.
_LINE = 64
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
    slope_bound : 1/24 h^3 max |f''''| relative to the function's steepest slope, the same for the derivative

    """

    coefficients: NDArray
    shortest: float
    spacing: float
    error: float
    bound: float
    slope_bound: float = math.nan


def basis(fraction: FloatArray) -> FloatArray:
    """Return the four values b_k(u), (E, 4), for u in [0, 1)."""
    u = fraction[:, None]
    v = 1.0 - u
    return np.concatenate(
        [v**3, 3.0 * u**3 - 6.0 * u**2 + 4.0, 3.0 * v**3 - 6.0 * v**2 + 4.0, u**3], axis=1
    ) / 6.0  # fmt: skip


def tabulate(
    function: Callable[[FloatArray], FloatArray],
    mixing: FloatArray,
    shortest: float,
    cutoff: float,
    tolerance: float,
    dtype: str = "float32",
    slope_tolerance: float = math.inf,
) -> RadialTable:
    """Return a table of ``function`` @ ``mixing`` whose error is at most ``tolerance``, with about as few intervals as it takes.

    A spline is linear in its samples, so it is the narrow ``function`` that is interpolated, and its coefficients are mixed.

    Parameters
    ----------
    function : (E,) lengths in Angstrom -> (E, H) float64, zero from the cutoff on, defined a little below ``shortest``
    mixing : (H, W) float64
    shortest, cutoff : Angstrom
    tolerance : relative to the largest value of ``function`` @ ``mixing``
    slope_tolerance : what ``RadialTable.slope_bound`` may be at most

    Raises
    ------
    InputError : the tolerance cannot be reached

    """
    intervals, error, slope_bound = _FIRST_INTERVALS, math.inf, math.inf
    while intervals <= _MOST_INTERVALS:
        coefficients, samples = _coefficients(function, shortest, cutoff, intervals)
        size = _largest(samples, mixing) or 1.0
        h = (cutoff - shortest) / intervals
        lengths = shortest + h * (np.arange(intervals) + _PROBES[:, None])
        errors = (
            _spline(coefficients, probe, intervals) - function(at) for probe, at in zip(_PROBES, lengths, strict=True)
        )
        error = max(_largest(wrong, mixing) for wrong in errors) / size
        fourth, steepest = (_largest(np.diff(samples, n=n, axis=0), mixing) for n in (4, 1))
        slope_bound = fourth / (24.0 * steepest) if steepest else 0.0
        if error <= tolerance and slope_bound <= slope_tolerance:
            bound = 3.0 / 128.0 * fourth / size
            return RadialTable(_mixed(coefficients, mixing, dtype), shortest, h, error, bound, slope_bound)
        more = max(
            (error / tolerance) ** 0.25, (slope_bound / slope_tolerance) ** (1.0 / 3.0)
        )  # they fall with h^4 and h^3
        intervals = math.ceil(intervals * min(max(1.05 * more, 1.1), 4.0))
    raise InputError(
        f"the radial functions cannot be tabulated to {tolerance:g} (reached {error:.1g}), their slopes to {slope_tolerance:g} "
        f"({slope_bound:.1g}); use more layers"
    )


def _coefficients(
    function: Callable[[FloatArray], FloatArray], shortest: float, cutoff: float, intervals: int
) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients of the spline (K, H) and the samples from ``shortest`` on."""
    h = (cutoff - shortest) / intervals
    margin = min(_MARGIN, int(0.9 * shortest / h))
    grid: FloatArray = shortest + h * np.arange(-margin, intervals + 3, dtype=np.float64)
    samples = function(grid)
    n = len(grid)
    banded = np.zeros((3, n))
    banded[0, 1:], banded[1], banded[2, :-1] = 1.0, 4.0, 1.0
    return solve_banded((1, 1), banded, 6.0 * samples)[max(margin - 1, 0) :], samples[margin:]


def _spline(coefficients: FloatArray, probe: float, intervals: int) -> FloatArray:
    """Return the spline at the same fraction of every interval."""
    b = basis(np.array([probe]))[0]
    return np.asarray(sum(b[k] * coefficients[k : intervals + k] for k in range(4)))


def _blocks(narrow: FloatArray, mixing: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Yield the rows of ``narrow`` @ ``mixing`` a few at a time: all of them in float64 are the most memory of an engine."""
    for begin in range(0, len(narrow), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        yield rows, narrow[rows] @ mixing


def _largest(narrow: FloatArray, mixing: FloatArray) -> float:
    return max(float(np.abs(block).max()) for _, block in _blocks(narrow, mixing))


def aligned(shape: tuple[int, ...], dtype: str | np.dtype) -> NDArray:
    """Return an uninitialised array that begins with a line of the cache: a vector across two lines takes two loads."""
    size = math.prod(shape)
    whole = np.empty(size + _LINE, dtype)
    skip = (-whole.ctypes.data % _LINE) // whole.itemsize
    return whole[skip : skip + size].reshape(shape)


def _mixed(narrow: FloatArray, mixing: FloatArray, dtype: str) -> NDArray:
    out = aligned((len(narrow), mixing.shape[1]), dtype)
    for rows, block in _blocks(narrow, mixing):
        out[rows] = block
    return out
