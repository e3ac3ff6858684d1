"""In and out of the chain's coordinates: reading Cartesian bodies, rebuilding the tree, writing them out, energies."""

import math

import numpy as np
from numba import njit

from .chain_row import HEAD, body_velocities
from .chain_tree import path, prim, to_bodies, to_edges
from .double_double import two_sum


@njit(cache=True, error_model="numpy")
def rebuild(n, mass, order, lo, yh, yl, perturbed):
    """Find the minimum spanning tree anew and rewrite order, lo and the state (in place) in its coordinates."""
    xh = np.empty(3 * n)
    xl = np.empty(3 * n)
    vh = np.empty(3 * n)
    vl = np.empty(3 * n)
    X = slice(HEAD, HEAD + 3 * n)
    V = slice(HEAD + 3 * n, HEAD + 6 * n)
    to_bodies(n, yh[X], yl[X], lo, xh, xl)
    to_bodies(n, yh[V], yl[V], lo, vh, vl)
    root = 0
    for i in range(n):
        if mass[order[i]] > mass[order[root]]:
            root = i
    new_order = np.empty(n, np.int64)
    new_lo = np.empty(n - 1, np.int64)
    prim(n, xh, root, new_order, new_lo)
    same = True
    for i in range(n):
        if new_order[i] != i or (i > 0 and new_lo[i - 1] != lo[i - 1]):
            same = False
            break
    if same:
        return
    to_edges(n, xh, xl, new_order, new_lo, yh[X], yl[X])
    to_edges(n, vh, vl, new_order, new_lo, yh[V], yl[V])
    rows = order.copy()
    for i in range(n):
        order[i] = rows[new_order[i]]
        if i > 0:
            lo[i - 1] = new_lo[i - 1]
    if perturbed:
        spin = yh[HEAD + 6 * n : HEAD + 9 * n].copy()
        for i in range(n):
            for d in range(3):
                yh[HEAD + (6 + d) * n + i] = spin[d * n + new_order[i]]


@njit(cache=True, error_model="numpy")
def read_in(position, velocity, spin, mass, order, lo, yh, yl, with_spin):
    """Overwrite the chain (order, lo, yh, yl; t = B = W = 0) by bodies in Cartesian coordinates, all tied to the heaviest."""
    n = mass.shape[0]
    total = mass.sum()
    root = 0
    for i in range(n):
        if mass[i] > mass[root]:
            root = i
    order[0] = root
    k = 1
    for i in range(n):
        if i != root:
            order[k] = i
            lo[k - 1] = 0
            k += 1
    yh[:] = 0.0
    yl[:] = 0.0
    for d in range(3):
        for part in range(2):
            a = HEAD + part * 3 * n + d * n
            source = position if part == 0 else velocity
            centre = 0.0
            for i in range(n):
                centre += mass[i] * (source[i, d] - source[root, d])
            yh[a + n - 1] = source[root, d] + centre / total
            for e in range(n - 1):
                yh[a + e], yl[a + e] = two_sum(source[order[e + 1], d], -source[root, d])
        if with_spin:
            for i in range(n):
                yh[HEAD + (6 + d) * n + i] = spin[order[i], d]


@njit(cache=True, error_model="numpy")
def read_out(position, velocity, spin, mass, order, lo, yh, yl, with_spin):
    """Overwrite Cartesian position and velocity (n, 3) (and spin) by the chain's."""
    n = mass.shape[0]
    total = mass.sum()
    bh = np.empty(3 * n)
    bl = np.empty(3 * n)
    for part in range(2):
        at = HEAD + part * 3 * n
        to_bodies(n, yh[at : at + 3 * n], yl[at : at + 3 * n], lo, bh, bl)
        target = position if part == 0 else velocity
        for d in range(3):
            mean = 0.0
            for i in range(n):
                mean += mass[order[i]] * bh[d * n + i]
            mean /= total
            centre_h = yh[at + d * n + n - 1]
            centre_l = yl[at + d * n + n - 1]
            for i in range(n):
                target[order[i], d] = centre_h + ((bh[d * n + i] - mean) + (bl[d * n + i] + centre_l))
    if with_spin:
        for d in range(3):
            for i in range(n):
                spin[order[i], d] = yh[HEAD + (6 + d) * n + i]


@njit(cache=True, error_model="numpy")
def energies(order, lo, yh, mass0, kind0, G, star_weight, star_softening):
    """Return (T in the frame of the centre of mass, U = - potential energy) of a chain, pair by pair."""
    n = mass0.shape[0]
    mass = np.empty(n)
    for i in range(n):
        mass[i] = mass0[order[i]]
    v = np.empty(3 * n)
    kinetic = body_velocities(n, yh[HEAD + 3 * n : HEAD + 6 * n], lo, mass, mass.sum(), v)
    edges = np.empty(n, np.int64)
    signs = np.empty(n)
    u = 0.0
    for j in range(n):
        for i in range(j):
            length = path(i, j, lo, edges, signs)
            r2 = 0.0
            for d in range(3):
                r = 0.0
                for q in range(length):
                    r += signs[q] * yh[HEAD + d * n + edges[q]]
                r2 += r * r
            stars = kind0[order[i]] == 0 and kind0[order[j]] == 0
            if stars:
                u += star_weight * mass[i] * mass[j] / math.sqrt(r2 + star_softening * star_softening)
            else:
                u += mass[i] * mass[j] / math.sqrt(r2)
    return kinetic, G * u
