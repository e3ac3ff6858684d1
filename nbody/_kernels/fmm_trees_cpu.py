"""The trees of fast multipole gravity, numba on the CPU: planted from positions, grown by errors and moments of their cells."""

import numpy as np
from numba import njit

from .expansion_cpu import BOUND, HIGH, LIMIT, POWER, RADIUS, multipoles, outline, outlines
from .expansion_tables import HEAD, LANES
from .fmm_leaf_cpu import Tree, gather
from .fmm_reference import GROUP, WIDE
from .near_vectors import pull_others
from .octree_cpu import octree

EMPTY = 2.0**62  # coordinates of the empty row of moments: outside of all, and its square still fits
TINY = 1e-30  # keeps the blurred square of a distance above zero


@njit(cache=True, error_model="numpy")
def _width(order):
    return -(-(HEAD + (order + 1) * (order + 2) * (order + 3) // 6 - 3) // LANES) * LANES


@njit(cache=True, error_model="numpy")
def _seen(group, sink, source, roots, stack, point, points):
    """Overwrite, from ``points`` on, what a group sees of the trees under some roots; return how many points there are.

    Cells that do not overlap the group are taken as points, leaves that do are blurred by their radii.
    """
    u, v, cells = sink.bound, source.bound, source.cells
    top = len(roots)
    stack[:top] = roots
    while top > 0:
        top -= 1
        b = stack[top]
        dx, dy, dz = v[b, 0] - u[group, 0], v[b, 1] - u[group, 1], v[b, 2] - u[group, 2]
        reach = v[b, RADIUS] + u[group, RADIUS]
        apart = dx * dx + dy * dy + dz * dz > reach * reach
        if apart or cells[b, 2] == 0:
            point[0, points], point[1, points], point[2, points] = v[b, 0], v[b, 1], v[b, 2]
            point[3, points] = v[b, POWER]
            point[4, points] = v[b, HIGH] if apart else v[b, HIGH] + v[b, RADIUS] ** 2 + TINY
            points += 1
        else:
            for child in range(cells[b, 2], cells[b, 3]):
                stack[top] = child
                top += 1
    return points


@njit(cache=True, error_model="numpy")
def _coarse(group, sink, beyond, roots, root, stack, point, coarse):
    """Overwrite squared accelerations and potentials of a group's particles, roughly: of its own tree and those beyond."""
    itself, out = np.zeros(2, np.int64), np.empty(4 * LANES)
    points = _seen(group, sink, sink, root, stack, point, 0)
    itself[1] = points = _seen(group, sink, beyond, roots, stack, point, points)
    px, py, pz, pm, ps = point[0], point[1], point[2], point[3], point[4]
    for k in range(sink.cells[group, 0], sink.cells[group, 1], LANES):
        pull_others(sink.x, sink.y, sink.z, sink.s, k, px, py, pz, pm, ps, itself, 1, out)
        for lane in range(min(LANES, sink.cells[group, 1] - k)):
            coarse[k + lane, 0] = out[lane] ** 2 + out[LANES + lane] ** 2 + out[2 * LANES + lane] ** 2
            coarse[k + lane, 1] = out[3 * LANES + lane]


@njit(cache=True, error_model="numpy")
def _limits(sink, beyond, roots, tolerance, wide):
    """Overwrite the error each cell may receive from a source: its smallest acceleration, roughly, times the tolerance.

    ``wide`` is overwritten by whether the potential changes much across a leaf.
    """
    cells, bound = sink.cells, sink.bound
    coarse = np.empty((cells[0, 1], 2))
    size = len(cells) + len(beyond.cells)
    root, stack, point = np.zeros(1, np.int64), np.empty(size, np.int64), np.empty((5, size))
    for c in range(len(cells)):
        start, stop, first, last = cells[c]
        if c == 0 and (stop - start <= GROUP or first == 0):
            _coarse(c, sink, beyond, roots, root, stack, point, coarse)
        elif stop - start > GROUP:
            for child in range(first, last):
                if cells[child, 1] - cells[child, 0] <= GROUP or cells[child, 2] == 0:
                    _coarse(child, sink, beyond, roots, root, stack, point, coarse)
    for c in range(len(cells) - 1, -1, -1):
        start, stop, first, last = cells[c]
        limit, most, depth = np.inf, 0.0, 0.0
        wide[c] = False
        if first > 0:
            for child in range(first, last):
                limit = min(limit, bound[child, LIMIT])
        else:
            for k in range(start, stop):
                limit, most, depth = min(limit, coarse[k, 0]), max(most, coarse[k, 0]), max(depth, coarse[k, 1])
            limit = tolerance * np.sqrt(limit)
            wide[c] = stop - start > 1 and bound[c, RADIUS] * np.sqrt(most) > WIDE * depth
        bound[c, LIMIT] = limit


@njit(cache=True, error_model="numpy")
def _split(tree, wide, compact, order):
    """Return the tree with the particles of wide leaves as cells of their own, and room for moments."""
    made = len(tree.cells)
    total = made
    for c in range(made):
        if wide[c]:
            total += tree.cells[c, 1] - tree.cells[c, 0]
    cells, bound = np.empty((total, 4), np.int64), np.zeros((total, BOUND))
    cells[:made], bound[:made] = tree.cells, tree.bound
    rows = np.empty((total + 1, _width(order)))
    rows[total] = 0.0
    rows[total, :3] = EMPTY
    larger = Tree(cells, bound, rows, tree.x, tree.y, tree.z, tree.m, tree.s)
    for c in range(made):
        if wide[c]:
            cells[c, 2] = made
            for k in range(cells[c, 0], cells[c, 1]):
                cells[made, 0], cells[made, 1], cells[made, 2], cells[made, 3] = k, k + 1, 0, 0
                outline(made, larger, compact)
                bound[made, LIMIT] = bound[c, LIMIT]
                made += 1
            cells[c, 3] = made
    return larger


@njit(cache=True, error_model="numpy")
def plant(mass, position, softening, scale, compact, leaf_size):
    """Return the order of the particles and the tree over them, without limits and moments."""
    n = len(mass)
    who, cells, count = np.empty(n, np.int64), np.empty((2 * n + 1, 4), np.int64), np.zeros(1, np.int64)
    octree(position, leaf_size, who, cells, count)
    made = count[0]
    component = np.empty((5, n + LANES))
    x, y, z, m, s = component[0], component[1], component[2], component[3], component[4]
    tree = Tree(cells[:made], np.zeros((made, BOUND)), np.empty((0, 0)), x, y, z, m, s)
    gather(who, mass, position, softening, scale, tree)
    outlines(tree, compact)
    return who, tree


@njit(cache=True, error_model="numpy")
def grow(tree, beyond, roots, compact, T, order, tolerance):
    """Return the tree with limits, which know of what pulls from beyond it, wide leaves split, and moments."""
    wide = np.empty(len(tree.cells), np.bool_)
    _limits(tree, beyond, roots, tolerance, wide)
    tree = _split(tree, wide, compact, order)
    multipoles(tree, compact, T, order)
    return tree


def empty_tree(cells, particles, order):
    """Return a tree of so many cells and particles, to be filled; the empty row of moments is there."""
    rows = np.zeros((cells + 1, _width(order)))
    rows[cells, :3] = EMPTY
    components = np.zeros((5, particles + LANES))
    return Tree(np.zeros((cells, 4), np.int64), np.zeros((cells, BOUND)), rows, *components)
