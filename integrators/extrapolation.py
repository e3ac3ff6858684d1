"""Extrapolation after Gragg, Bulirsch and Stoer: sequence, table and Deuflhard's order-and-step control, as parts.

The parts are small pure functions of numbers, so that fused kernels can be tested against them. Rows are counted from 1
as in the books: row k of the table uses n_k substeps, and after it the result T_kk has order 2k in the step size.

References
----------
Gragg 1965, doi:10.1137/0702030; Bulirsch & Stoer 1966, doi:10.1007/BF02165234; Deuflhard 1983, doi:10.1007/BF01418332;
Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.9, doi:10.1007/978-3-540-78862-1

"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError

FloatArray = NDArray[np.float64]

# Hairer, Norsett & Wanner I, II.9 (9.19 and the end of the section): safety factors and bounds of the step control
SAFETY_STEP = 0.94
SAFETY_ERROR = 0.65
SMALLEST_FACTOR = 0.02
ORDER_GAIN = 0.9  # another order is taken only when it saves a tenth of the work


def even_sequence(rows: int, *, first: int = 2, increment: int = 2) -> tuple[int, ...]:
    """Return the substep counts 2, 4, 6, ... of ``rows`` rows (Deuflhard's harmonic sequence, doubled)."""
    return tuple(first + increment * i for i in range(rows))


def work_of_rows(sequence: Sequence[int], *, overhead: int = 1) -> tuple[float, ...]:
    """Return A_k, the evaluations up to row k: A_0 = 0, A_1 = n_1 + overhead, A_k = A_{k-1} + n_k.

    ``overhead`` counts what is evaluated once per step (the derivative at its start).
    """
    total, out = float(overhead), [0.0]
    for n in sequence:
        total += n
        out.append(total)
    return tuple(out)


def extrapolate(before: list[FloatArray], new: FloatArray, sequence: Sequence[int]) -> list[FloatArray]:
    r"""Return the next row of the Aitken-Neville table: T_{k,1} = new, ..., T_{k,k}.

    T_{k,j+1} = T_{k,j} + (T_{k,j} - T_{k-1,j}) / ((n_k/n_{k-j})^2 - 1)

    Parameters
    ----------
    before : T_{k-1,1} ... T_{k-1,k-1} (empty for the first row)
    new : T_{k,1}, any shape; increments over the step rather than values keep the last digits
    sequence : n_1, n_2, ...

    """
    k = len(before) + 1
    row = [new]
    for j in range(1, k):
        ratio = (sequence[k - 1] / sequence[k - 1 - j]) ** 2
        row.append(row[-1] + (row[-1] - before[j - 1]) / (ratio - 1.0))
    return row


def step_for_error(dt: float, error: float, k: int) -> float:
    r"""Return the step with which row k would just meet the tolerance.

    H_k = dt * clip(0.94 (0.65/error)^{1/(2k-1)}, f/4, 1/f),  f = 0.02^{1/(2k-1)}
    """
    exponent = 1.0 / (2 * k - 1)
    smallest = SMALLEST_FACTOR**exponent
    if not math.isfinite(error):
        return dt * smallest / 4.0
    factor = SAFETY_STEP * (SAFETY_ERROR / error) ** exponent if error > 0.0 else math.inf
    return dt * min(max(factor, smallest / 4.0), 1.0 / smallest)


class Verdict(Enum):
    """What to do after a row."""

    ACCEPT = "the row meets the tolerance"
    REJECT = "no row will meet the tolerance; do the step again, shorter"
    CONTINUE = "compute the next row"


def judge_row(k: int, target: int, error: float, sequence: Sequence[int]) -> Verdict:
    r"""Return the verdict after row k, when convergence is expected in row ``target``.

    Any row that meets the tolerance is accepted. From row target - 1 on, the step is given up as soon as the asymptotic
    fall of the error, err_{k+1} = err_k (n_1/n_{k+1})^2, cannot bring row target + 1 below 1.

    Parameters
    ----------
    k : int >= 2, row just computed
    target : int >= 2
    error : float, ||T_kk - T_{k,k-1}|| relative to the tolerance
    sequence : n_1, n_2, ... at least target + 1 of them

    """
    if error <= 1.0:
        return Verdict.ACCEPT
    if not math.isfinite(error) or k > target:
        return Verdict.REJECT
    reachable = math.prod((sequence[row - 1] / sequence[0]) ** 2 for row in range(k + 1, target + 2))
    return Verdict.REJECT if k >= target - 1 and error > reachable else Verdict.CONTINUE


class Plan(NamedTuple):
    """Order and size of the next step.

    Attributes
    ----------
    target : int, row in which convergence is expected
    dt : float

    """

    target: int
    dt: float


def plan_after(
    dt: float, k: int, target: int, errors: Sequence[float], work: Sequence[float], *, most_rows: int, rejected: bool
) -> Plan:
    r"""Return target row and size of the next step after the verdict in row k.

    The work per unit step of row i is W_i = A_i/H_i. After an accepted row the row with the least work among k - 1, k
    (and k + 1, extrapolated, when k grew cheaper than k - 1) is taken; after a rejected one the target never grows.

    Parameters
    ----------
    dt : float, the step done
    k : int >= 2, the last row computed
    target : int, where convergence had been expected
    errors : errors[i] of row i, relative to the tolerance, for i = 2 ... k (entries 0 and 1 are not read)
    work : A_0, A_1, ... as ``work_of_rows`` gives
    most_rows : int, rows of the table; targets stay in 2 ... most_rows - 1
    rejected : whether the step, or the one before it, was rejected: then neither order nor step grows

    """

    def cost(row: int) -> float:
        return work[row] / abs(step_for_error(dt, errors[row], row))

    best = min(k, target) if rejected else k
    if best > 2 and cost(best - 1) < ORDER_GAIN * cost(best):
        best -= 1
    elif not rejected and best == k and k > 2 and cost(k) < ORDER_GAIN * cost(k - 1):
        best = k + 1
    elif not rejected and k == 2:
        best = 3  # a single error tells nothing of the gain; try
    best = min(max(best, 2), most_rows - 1)
    if best <= k:
        size = step_for_error(dt, errors[best], best)
    else:
        size = step_for_error(dt, errors[k], k) * work[best] / work[k]
    if rejected and abs(size) > abs(dt):
        size = dt
    return Plan(best, size)


def vector_error(difference: FloatArray, scale: FloatArray) -> float:
    """Return max_i |difference_i| / scale_i over vectors: difference (..., n, 3), scale (..., n), all > 0.

    The norm is of each vector, not of each component, so that it does not depend on the axes.
    """
    return float(np.max(np.sqrt(np.einsum("...i,...i->...", difference, difference)) / scale, initial=0.0))


def first_target(tolerance: float, most_rows: int) -> int:
    """Return the row to expect convergence in when nothing is known: 1.5 - 0.6 log10(tolerance), at most rows - 1."""
    return min(max(2, int(1.5 - 0.6 * math.log10(tolerance))), most_rows - 1)


class Substeps(Protocol):
    """What is extrapolated: a symmetric method, whose error is a series in even powers of the substep."""

    def increment(self, dt: float, n: int) -> FloatArray:
        """Return state(start + dt) - state(start) with n substeps."""
        ...

    def error(self, difference: FloatArray, dt: float) -> float:
        """Return the size of a difference of two increments, relative to the tolerance."""
        ...


class Attempt(NamedTuple):
    """Result of one tried step.

    Attributes
    ----------
    increment : state(end) - state(start), of the shape the substeps give
    errors : relative error by row (entries 0 and 1 are infinite)
    row : last row computed
    verdict : ACCEPT or REJECT

    """

    increment: FloatArray
    errors: tuple[float, ...]
    row: int
    verdict: Verdict


def attempt(substeps: Substeps, dt: float, target: int, sequence: Sequence[int]) -> Attempt:
    """Try one step of size dt: compute rows, at most target + 1, until the verdict is in."""
    row: list[FloatArray] = []
    errors = [math.inf, math.inf]
    k, verdict = 1, Verdict.CONTINUE
    while verdict is Verdict.CONTINUE:
        row = extrapolate(row, substeps.increment(dt, sequence[k - 1]), sequence)
        if k > 1:
            errors.append(substeps.error(row[-1] - row[-2], dt))
            verdict = judge_row(k, target, errors[k], sequence)
        k += 1
    return Attempt(row[-1], tuple(errors), k - 1, verdict)


def check_sequence(sequence: Sequence[int]) -> tuple[int, ...]:
    """Return the sequence; raises InputError unless it has three or more even numbers that grow."""
    growing = all(b > a > 0 for a, b in pairwise(sequence))
    if len(sequence) < 3 or not growing or any(n % 2 for n in sequence):
        raise InputError(f"extrapolation got the substeps {tuple(sequence)}; expected 3 or more even numbers that grow")
    return tuple(sequence)
