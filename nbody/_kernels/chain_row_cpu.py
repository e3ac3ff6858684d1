"""One row of the chain from and to Cartesian coordinates: the door through which the chain meets its readable twin."""

import numpy as np
from numba import njit

from .chain_coordinates import read_in, read_out, rebuild
from .chain_cpu import map_special
from .chain_forces import forces
from .chain_row import HEAD, body_velocities
from .chain_row import row as chain_row
from .chain_tree import ALL_LISTED, list_pairs


@njit(cache=True, error_model="numpy")
def row(H, m, G, c, terms, mass, position, velocity, spin, out_position, out_velocity, out_spin, out_time):
    """Overwrite the outputs by the state after m substeps of H / m; parameters as in chain_row_reference."""
    n = mass.shape[0]
    total = mass.sum()
    order = np.zeros(n, np.int64)
    lo = np.zeros(n - 1, np.int64)
    y0h = np.zeros(HEAD + 9 * n)
    y0l = np.zeros(HEAD + 9 * n)
    read_in(position, velocity, spin, mass, order, lo, y0h, y0l, True)
    rebuild(n, mass, order, lo, y0h, y0l, True)
    frame = np.empty(3)
    for d in range(3):
        frame[d] = y0h[HEAD + (4 + d) * n - 1]
    tree_mass = mass[order]
    hole = np.ones(n, np.int64)
    slots = np.arange(n)
    capacity = 4 * n * n + 16
    first = np.empty(capacity, np.int64)
    second = np.empty(capacity, np.int64)
    start = np.empty(capacity + 1, np.int64)
    edge = np.empty(n * capacity, np.int64)
    sign = np.empty(n * capacity)
    corrected = np.empty(capacity, np.bool_)
    x = np.zeros(3 * n)
    for d in range(0, 3 * n, n):
        for e in range(n - 1):
            x[d + e + 1] = x[d + lo[e]] + y0h[HEAD + d + e]
    n_pairs, used = list_pairs(
        n, x, lo, hole, np.ones(n, np.bool_), np.zeros(n), capacity, first, second, start, edge, sign, corrected
    )
    pairs = (first, second, start, edge, sign, corrected, np.ones(capacity), np.zeros(capacity))
    acceleration = np.empty(3 * n)
    r2 = np.empty(capacity)
    weight = np.empty(n)
    buffers = (x, acceleration, weight, r2, np.empty(9 * n), np.empty(3 * n), np.empty(3 * n), np.empty(3 * n))
    acts = np.ones((n, n), np.bool_)
    for i in range(n):
        acts[i, i] = False
    post = (
        terms, c, np.zeros(n, np.int64), acts, np.full((n, n), -1), frame, np.zeros(n), np.zeros((n, n, 3)),
        np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3)),
    )  # fmt: skip
    external = (False, np.zeros(3), np.zeros(3), np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3)))
    map_special(n, order, slots, n_pairs, first, second, post)
    all_listed = n <= ALL_LISTED
    X = y0h[HEAD : HEAD + 3 * n]
    u = G * forces(
        n, n_pairs, all_listed, X, lo, tree_mass, hole, tree_mass, np.zeros(n), pairs, x, r2, weight, acceleration
    )
    y0h[1] = u - body_velocities(n, y0h[HEAD + 3 * n : HEAD + 6 * n], lo, tree_mass, total, np.empty(3 * n))
    yh = np.empty_like(y0h)
    yl = np.empty_like(y0l)
    system = (G, total, tree_mass, hole, tree_mass, np.zeros(n))
    status, seen_at, seen_pair = chain_row(
        H, m, system, (lo, n_pairs, all_listed), pairs, np.empty(0), y0h, y0l, yh, yl, buffers, (post, external), None
    )
    read_out(out_position, out_velocity, out_spin, mass, order, lo, yh, yl, True)
    out_time[0] = yh[0] + yl[0]
    return status
