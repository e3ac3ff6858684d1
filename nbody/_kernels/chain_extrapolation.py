"""Gragg-Bulirsch-Stoer extrapolation of chain rows, with Deuflhard's order and step control.

Rows use n_k = 2, 4, 6, 8, 12, 16, 24, ... substeps (Bulirsch & Stoer 1966, doi:10.1007/BF02165234), and the error of a
row is even in the substep. The sum of |c_kj| below stays under 10, where n_k = 2k has 550 at ten rows: round-off of the
rows is not amplified. The extrapolated value is written as the last row plus a combination of *differences* to it,

    T_{k,k} = T_{k,1} + sum_{j<k} c_kj (T_{j,1} - T_{k,1}),   c_kj = prod_{i != j} n_j^2 / (n_j^2 - n_i^2),

which equals the Aitken-Neville scheme in exact arithmetic, and keeps the low parts of double-double rows where the scheme
would round every entry. err_k = |T_{k,k} - T_{k,k-1}|, T_{k,k-1} being the same combination of rows 2 ... k.

Step control: Deuflhard 1983 (doi:10.1007/BF01418332), Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, II.9.
"""

import math

import numpy as np
from numba import njit

from .chain_row import BAD_TIME, HEAD, OK, row
from .double_double import dd_add_double

NOT_CONVERGED = 3

SAFETY_1 = 0.94  # the factors of the step proposal H S1 (S2 / err)^(1/(2k-1)); Hairer et al. II.9
SAFETY_2 = 0.3
ORDER_DOWN = 0.8  # change the order when the work per unit step falls below these fractions
ORDER_UP = 0.9


#: Substeps of row k (index 0 unused).
SEQUENCE = np.array(
    [0, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072], np.int64
)
COST = np.cumsum(SEQUENCE).astype(np.float64)


@njit(cache=True, error_model="numpy")
def coefficients(rows):
    """Return (value, error): (rows+1, rows+1) tables c_kj and c_kj - c'_kj, indices from 1."""
    value = np.zeros((rows + 1, rows + 1))
    error = np.zeros((rows + 1, rows + 1))
    for k in range(1, rows + 1):
        for j in range(1, k + 1):
            c = 1.0
            for i in range(1, k + 1):
                if i != j:
                    c *= SEQUENCE[j] ** 2 / (float(SEQUENCE[j]) ** 2 - float(SEQUENCE[i]) ** 2)
            value[k, j] = c
            d = 0.0
            if j > 1:
                d = 1.0
                for i in range(2, k + 1):
                    if i != j:
                        d *= SEQUENCE[j] ** 2 / (float(SEQUENCE[j]) ** 2 - float(SEQUENCE[i]) ** 2)
            error[k, j] = c - d
    return value, error


@njit(cache=True, error_model="numpy")
def combine(k, size, value, error, table_h, table_l, y, change):
    """Overwrite y (T_kk, high part is enough here), change (T_kk - T_k1) and leave errors in table_h[0]."""
    err = table_h[0]
    top_h = table_h[k]
    top_l = table_l[k]
    for q in range(size):
        change[q] = 0.0
        err[q] = 0.0
    for j in range(1, k):
        c = value[k, j]
        d = error[k, j]
        row_h = table_h[j]
        row_l = table_l[j]
        for q in range(size):
            difference = (row_h[q] - top_h[q]) + (row_l[q] - top_l[q])
            change[q] += c * difference
            err[q] += d * difference
    for q in range(size):
        y[q] = top_h[q] + (top_l[q] + change[q])


@njit(cache=True, error_model="numpy")
def _length(y, a, n):
    return math.sqrt(y[a] * y[a] + y[a + n] * y[a + n] + y[a + 2 * n] * y[a + 2 * n])


@njit(cache=True, error_model="numpy")
def error_norm(n, y0, y, err, scale_energy, scale_length, scale_velocity, perturbed):
    """Return the largest relative error: of the time done, and of each vector (edge, velocity, spin) by its norm."""
    worst = abs(err[0]) / abs(y[0] - y0[0])
    last = n if perturbed else n - 1
    for part in range(2):
        at = HEAD + part * 3 * n
        for e in range(last):
            a = at + e
            size = max(_length(y0, a, n), _length(y, a, n))
            if part == 1:
                dx = y[a] - y0[a]
                dy = y[a + n] - y0[a + n]
                dz = y[a + 2 * n] - y0[a + 2 * n]
                size = max(size, math.sqrt(dx * dx + dy * dy + dz * dz))
            if e == n - 1:
                size = max(size, scale_length if part == 0 else scale_velocity)
            e_abs = _length(err, a, n)
            if e_abs > worst * size:
                worst = e_abs / size
    if perturbed:
        worst = max(worst, abs(err[1]) / scale_energy)
        for i in range(n):
            a = HEAD + 6 * n + i
            size = _length(y0, a, n)
            if size > 0.0:
                worst = max(worst, _length(err, a, n) / size)
    return worst


@njit(cache=True, error_model="numpy")
def step_factor(error, k):
    """Return H_k / H = S1 (S2 / err)^(1/(2k-1)), bounded."""
    if error <= 0.0:
        return 4.0
    return min(4.0, max(0.02, SAFETY_1 * (SAFETY_2 / error) ** (1.0 / (2 * k - 1))))


@njit(cache=True, error_model="numpy")
def extrapolate(H, target, eager, rows, tolerance, y0h, y0l, scales, factor, method, problem):
    """Try one step H: rows until converged, early acceptance in row target - 1, early rejection where hopeless.

    ``method`` = (value, error, table_h, table_l, y, change): coefficients and workspace, rows + 1 tables each;
    ``problem`` = (system, tree, pairs, reach2, buffers, perturbation, transform), see chain_row.row;
    ``scales`` = (energy, length, velocity) for the error norm. ``eager`` tests convergence from the second row on (short
    landing steps). ``factor`` (rows + 1) receives H_k / H of the rows whose error was formed, else 0.

    Returns
    -------
    (status, row of convergence or of rejection, substeps done, error relative to the tolerance, event substep fraction,
    event pair)

    """
    value, error, table_h, table_l, y, change = method
    system, tree, pairs, reach2, buffers, perturbation, transform = problem
    n = system[2].shape[0]
    size = y0h.shape[0]
    done = 0
    pair = -1
    last = min(target + 1, rows)
    relative = np.inf
    for k in range(rows + 1):
        factor[k] = 0.0
    for k in range(1, last + 1):
        status, seen_at, pair = row(
            H,
            SEQUENCE[k],
            system,
            tree,
            pairs,
            reach2,
            y0h,
            y0l,
            table_h[k],
            table_l[k],
            buffers,
            perturbation,
            transform,
        )
        done += SEQUENCE[k]
        if status != OK:
            return BAD_TIME, k, done, np.inf, -1.0, -1
        if k < 2 or (not eager and k < target - 2):
            continue
        combine(k, size, value, error, table_h, table_l, y, change)
        relative = (
            error_norm(n, y0h, y, table_h[0], scales[0], scales[1], scales[2], perturbation is not None) / tolerance
        )
        if not relative < np.inf:
            return BAD_TIME, k, done, np.inf, -1.0, -1
        factor[k] = step_factor(relative, k)
        if not eager and k < target - 1:
            continue
        if relative <= 1.0:
            fraction = -1.0
            if seen_at >= 0:
                fraction = seen_at / float(SEQUENCE[k])
            return OK, k, done, relative, fraction, pair
        if not eager:
            hopeless = 1.0
            if k <= target:
                hopeless = (SEQUENCE[min(k + 1, rows)] / SEQUENCE[1]) ** 2.0
            if k < target:
                hopeless *= (SEQUENCE[min(k + 2, rows)] / SEQUENCE[1]) ** 2.0
            if relative > hopeless:
                return NOT_CONVERGED, k, done, relative, -1.0, -1
    return NOT_CONVERGED, last, done, relative, -1.0, -1


@njit(cache=True, error_model="numpy")
def finish(n, k, y0h, table_h, table_l, change, yh, yl, perturbed):
    """Overwrite (yh, yl) by the accepted extrapolated state; spins get back the length they had."""
    size = y0h.shape[0]
    for q in range(size):
        yh[q], yl[q] = dd_add_double(table_h[k, q], table_l[k, q], change[q])
    if perturbed:
        for i in range(n):
            a = HEAD + 6 * n + i
            before = _length(y0h, a, n)
            after = _length(yh, a, n)
            if after > 0.0:
                for d in range(3):
                    yh[a + d * n] *= before / after
                    yl[a + d * n] = 0.0


@njit(cache=True, error_model="numpy")
def next_order(k, target, rows, factor, rejected):
    """Return (target row, H_next / H) after convergence in row k (Hairer et al. II.9, work per unit step)."""
    w0 = work_per_step(k - 2, factor)
    w1 = work_per_step(k - 1, factor)
    w2 = work_per_step(k, factor)
    top = rows - 1
    if k <= target:
        best = k
        if k > 2 and w1 < ORDER_DOWN * w2:
            best = k - 1
        elif k == 2 or w2 < ORDER_UP * w1:
            best = min(k + 1, top)
    else:
        best = k - 1
        if k > 3 and w0 < ORDER_DOWN * w1:
            best = k - 2
        if w2 < ORDER_UP * work_per_step(best, factor):
            best = min(k, top)
    best = max(best, 2)
    if rejected:
        best = max(2, min(best, k))
        return best, min(1.0, factor[best] if factor[best] > 0.0 else factor[k])
    if best <= k and factor[best] > 0.0:
        return best, factor[best]
    return best, factor[k] * cost(best) / cost(k)


@njit(cache=True, error_model="numpy")
def cost(k):
    """Return A_k, the force evaluations of rows 1 ... k."""
    return COST[k]


@njit(cache=True, error_model="numpy")
def work_per_step(k, factor):
    """Return A_k / H_k in units of 1 / H, infinite when the row's error was not formed."""
    if k < 2 or factor[k] == 0.0:
        return np.inf
    return cost(k) / factor[k]
