"""Minimum-spanning-tree coordinates (Rantala et al. 2020, doi:10.1093/mnras/staa084): building, changing, reading them.

Bodies are renumbered in the order in which Prim's algorithm reaches them: body 0 is the root (the heaviest), and edge e
leads from body lo[e] <= e to body e + 1, so that positions follow by one pass, x_{e+1} = x_{lo[e]} + X_e. The last
entry of every component holds the centre of mass. All coordinates are double-double: high and low parts.

``order[k]`` is the row, in the caller's arrays, of body k.
"""

import numpy as np
from numba import njit

from .double_double import dd_add, dd_sub

#: A pair is listed when its separation is below this fraction of the larger distance from the root: beyond it, the
#: difference of two positions loses at most a factor of 20 in relative accuracy.
NEAR = 0.05

#: Up to this number of bodies all pairs are listed and there is no bulk loop.
ALL_LISTED = 5


@njit(cache=True, error_model="numpy")
def prim(n, x, root, order, lo):
    """Overwrite ``order`` (n) and ``lo`` (n-1) by Prim's algorithm on positions x (3n), plain O(n^2), without a sort."""
    best = np.empty(n)
    near = np.empty(n, np.int64)
    place = np.full(n, -1, np.int64)
    order[0] = root
    place[root] = 0
    for i in range(n):
        dx = x[i] - x[root]
        dy = x[n + i] - x[n + root]
        dz = x[2 * n + i] - x[2 * n + root]
        best[i] = dx * dx + dy * dy + dz * dz
        near[i] = root
    best[root] = np.inf
    for k in range(1, n):
        chosen = 0
        smallest = np.inf
        for i in range(n):
            if place[i] < 0 and best[i] < smallest:
                smallest = best[i]
                chosen = i
        order[k] = chosen
        lo[k - 1] = place[near[chosen]]
        place[chosen] = k
        xc = x[chosen]
        yc = x[n + chosen]
        zc = x[2 * n + chosen]
        for i in range(n):
            dx = x[i] - xc
            dy = x[n + i] - yc
            dz = x[2 * n + i] - zc
            d2 = dx * dx + dy * dy + dz * dz
            if d2 < best[i] and place[i] < 0:
                best[i] = d2
                near[i] = chosen


@njit(cache=True, error_model="numpy")
def to_bodies(n, Xh, Xl, lo, xh, xl):
    """Overwrite (xh, xl) by the double-double vectors of the bodies relative to the root, in tree order."""
    for c in range(0, 3 * n, n):
        xh[c] = 0.0
        xl[c] = 0.0
        for e in range(n - 1):
            b = lo[e]
            xh[c + e + 1], xl[c + e + 1] = dd_add(xh[c + b], xl[c + b], Xh[c + e], Xl[c + e])


@njit(cache=True, error_model="numpy")
def to_edges(n, xh, xl, order, lo, Xh, Xl):
    """Overwrite the edge vectors (not the centre of mass) by differences of double-double vectors of the bodies.

    ``order`` gives the row of body k in (xh, xl).
    """
    for c in range(0, 3 * n, n):
        for e in range(n - 1):
            a = c + order[e + 1]
            b = c + order[lo[e]]
            Xh[c + e], Xl[c + e] = dd_sub(xh[a], xl[a], xh[b], xl[b])


@njit(cache=True, error_model="numpy")
def path(i, j, lo, edges, signs):
    """Write the edges and signs whose sum is x_j - x_i, and return how many they are."""
    length = 0
    a = i
    b = j
    while a != b:
        if b > a:  # the later body is the deeper or equal one: its edge b - 1 leads towards the root
            edges[length] = b - 1
            signs[length] = 1.0
            b = lo[b - 1]
        else:
            edges[length] = a - 1
            signs[length] = -1.0
            a = lo[a - 1]
        length += 1
    return length


@njit(cache=True, error_model="numpy")
def list_pairs(n, x, lo, kind, listed_kind, reach, capacity, first, second, start, edge, sign, corrected):
    """Overwrite the list of pairs that need their separation from the tree; return (pairs, edges used), or (-1, -1).

    Listed are all pairs when n <= ALL_LISTED, else: near pairs (NEAR), pairs of two bodies flagged in ``listed_kind``
    (post-Newtonian bodies), and edges of bodies with a ``reach`` (they can collide). ``corrected`` tells which pairs'
    forces are taken from the list. (-1, -1) means that ``capacity`` is too small.
    """
    n_pairs = 0
    used = 0
    edges = np.empty(n, np.int64)
    signs = np.empty(n)
    start[0] = 0
    for j in range(1, n):
        rj2 = x[j] ** 2 + x[n + j] ** 2 + x[2 * n + j] ** 2
        for i in range(j):
            wanted = n <= ALL_LISTED
            near = wanted
            if not wanted:
                if i > 0:
                    dx = x[j] - x[i]
                    dy = x[n + j] - x[n + i]
                    dz = x[2 * n + j] - x[2 * n + i]
                    ri2 = x[i] ** 2 + x[n + i] ** 2 + x[2 * n + i] ** 2
                    near = dx * dx + dy * dy + dz * dz < NEAR * NEAR * max(ri2, rj2)
                is_edge = lo[j - 1] == i
                wanted = (
                    near or (listed_kind[i] and listed_kind[j]) or (is_edge and reach[i] >= 0.0 and reach[j] >= 0.0)
                )
            if not wanted:
                continue
            length = path(i, j, lo, edges, signs)
            if n_pairs + 1 >= capacity or used + length > edge.shape[0]:
                return -1, -1
            first[n_pairs] = i
            second[n_pairs] = j
            corrected[n_pairs] = near
            for q in range(length):
                edge[used + q] = edges[q]
                sign[used + q] = signs[q]
            used += length
            n_pairs += 1
            start[n_pairs] = used
    return n_pairs, used
