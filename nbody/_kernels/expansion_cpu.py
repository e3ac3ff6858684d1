"""Cartesian multipole and local expansions, numba on the CPU; `expansion_reference` has the equations and the legend.

The translation between them (M2L) is in `expansion_vectors`; what is here is done once a cell or once a particle.
"""

import numpy as np
from numba import njit

from .expansion_tables import HEAD

RADIUS, LOW, HIGH, REACH, LIMIT, POWER = 3, 4, 5, 6, 7, 8  # columns of a bound
BOUND = 16  # columns of a bound


@njit(cache=True, error_model="numpy")
def monomials(x, y, z, T, out):
    """Overwrite x^n / n! of all multi-indices."""
    out[0] = 1.0
    for n in range(1, len(T.below)):
        d = T.axis[n]
        out[n] = out[T.below[n]] * (x if d == 0 else y if d == 1 else z) / T.power[n]


@njit(cache=True, error_model="numpy")
def _centre(c, body):
    start, stop, bound = body.cells[c, 0], body.cells[c, 1], body.bound
    mass = px = py = pz = 0.0
    for k in range(start, stop):
        m = body.m[k]
        mass += m
        px += m * body.x[k]
        py += m * body.y[k]
        pz += m * body.z[k]
    bound[c, POWER] = mass
    if not mass > 0.0:
        mass = stop - start
        for k in range(start, stop):
            px += body.x[k]
            py += body.y[k]
            pz += body.z[k]
    bound[c, 0], bound[c, 1], bound[c, 2] = px / mass, py / mass, pz / mass


@njit(cache=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
def _extent(c, body):
    start, stop, bound = body.cells[c, 0], body.cells[c, 1], body.bound
    x, y, z = bound[c, 0], bound[c, 1], bound[c, 2]
    largest = 0.0
    for k in range(start, stop):
        dx, dy, dz = body.x[k] - x, body.y[k] - y, body.z[k] - z
        largest = max(largest, dx * dx + dy * dy + dz * dz)
    bound[c, RADIUS] = np.sqrt(largest) * (1.0 + 1e-14)


@njit(cache=True, error_model="numpy")
def _powers(row, T, order, tensor, bound):
    """Overwrite binomial(order, q) P_q."""
    bound[POWER] = row[HEAD]
    bound[POWER + 1] = 0.0
    before = 0.0
    for q in range(2, order + 1):
        first, last = q * (q + 1) * (q + 2) // 6, (q + 1) * (q + 2) * (q + 3) // 6
        for n in range(first, last):
            tensor[n] = T.factorial[n] * row[T.moment[n]]
        total, lower = 0.0, 1.0
        for k in range(2, q + 1):
            lower *= k  # q!
        rank = q
        for j in range(q // 2 + 1):
            if j > 0:
                rank -= 2
                for n in range(rank * (rank + 1) * (rank + 2) // 6, (rank + 1) * (rank + 2) * (rank + 3) // 6):
                    tensor[n] = tensor[T.trace[n, 0]] + tensor[T.trace[n, 1]] + tensor[T.trace[n, 2]]
            norm, factor = 0.0, 1.0
            for k in range(2, rank + 1):
                factor *= k
            for n in range(rank * (rank + 1) * (rank + 2) // 6, (rank + 1) * (rank + 2) * (rank + 3) // 6):
                norm += factor / T.factorial[n] * tensor[n] * tensor[n]
            total += T.norm[q, j] * norm
        size = np.sqrt(max(total, 0.0))
        if q > 2:
            size = max(size, bound[RADIUS] * before)
        before = size
        bound[POWER + q] = T.binomial[q] * size


@njit(cache=True, error_model="numpy")
def outlines(tree, compact):
    """Overwrite centres of mass, radii, softenings and masses of all cells."""
    for c in range(len(tree.cells) - 1, -1, -1):
        outline(c, tree, compact)


@njit(cache=True, error_model="numpy")
def outline(c, tree, compact):
    """Overwrite centre of mass, radius, softenings and mass of a cell; those of its children are there."""
    cells, bound = tree.cells, tree.bound
    start, stop, first, last = cells[c]
    _centre(c, tree)
    _extent(c, tree)
    low, high = np.inf, 0.0
    if first == 0:
        for k in range(start, stop):
            low, high = min(low, tree.s[k]), max(high, tree.s[k])
    else:
        for child in range(first, last):
            low, high = min(low, bound[child, LOW]), max(high, bound[child, HIGH])
    bound[c, LOW], bound[c, HIGH] = low, high
    bound[c, REACH] = np.sqrt(high) if compact else 0.0


@njit(cache=True, error_model="numpy")
def multipoles(tree, compact, T, order):
    """Overwrite moments (`rows`) and powers (in `bound`) of all cells."""
    cells, bound, rows = tree.cells, tree.bound, tree.rows
    K = len(T.below)
    power, tensor = np.empty(K), np.empty(K)
    for c in range(len(cells) - 1, -1, -1):
        start, stop, first, last = cells[c]
        row = rows[c]
        row[:] = 0.0
        x, y, z = bound[c, 0], bound[c, 1], bound[c, 2]
        if first == 0:
            for k in range(start, stop):
                monomials(x - tree.x[k], y - tree.y[k], z - tree.z[k], T, power)
                for n in range(K):
                    if T.moment[n] >= 0:
                        row[T.moment[n]] += tree.m[k] * power[n]
        else:
            for child in range(first, last):
                monomials(x - bound[child, 0], y - bound[child, 1], z - bound[child, 2], T, power)
                for t in range(len(T.triple)):
                    m, k = T.moment[T.triple[t, 0]], T.moment[T.triple[t, 1]]
                    if m >= 0 and k >= 0:
                        row[m] += rows[child, k] * power[T.triple[t, 2]]
        row[0], row[1], row[2] = x, y, z
        row[3] = 0.0 if compact else bound[c, LOW]
        row[4] = 0.0 if compact else bound[c, HIGH]
        _powers(row, T, order, tensor, bound[c])


@njit(cache=True, error_model="numpy")
def shift_local(above, dx, dy, dz, T, power, local):
    """Overwrite a local expansion by that of the parent, taken to a centre that lies (dx, dy, dz) from the parent's."""
    monomials(dx, dy, dz, T, power)
    local[:] = 0.0
    for t in range(len(T.triple)):
        local[T.triple[t, 1]] += above[T.triple[t, 0]] * power[T.triple[t, 2]]


@njit(cache=True, error_model="numpy")
def evaluate_local(local, dx, dy, dz, T, lower, power):
    """Return gradient and value of a local expansion at (dx, dy, dz) from its centre; ``lower`` indices have all n + e_i."""
    monomials(dx, dy, dz, T, power)
    ax = ay = az = value = 0.0
    for n in range(lower):
        value += local[n] * power[n]
        ax += local[T.raised[n, 0]] * power[n]
        ay += local[T.raised[n, 1]] * power[n]
        az += local[T.raised[n, 2]] * power[n]
    for n in range(lower, len(T.below)):
        value += local[n] * power[n]
    return ax, ay, az, value
