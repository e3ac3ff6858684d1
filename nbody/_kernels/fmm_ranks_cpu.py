"""Fast multipole gravity of particles that several ranks share: each sends the others what their sinks may need of its tree.

Every rank has a tree of its own particles. The others know its top: cells of many particles and their children. With these it
goes through the pairs of cells as `fmm_cpu` does. Where the top of another rank ends, it asks whether all cells that may lie
below would take the source cell as far; if not for sure, the children are needed, or the particles. A rank then walks from its
sinks through its own tree, and through what came as through one tree with many roots.

Bounds travel bit by bit, and of cells of one radius the one of the higher rank is split. So both ranks come to the same pairs
and the same verdicts: momentum is conserved to rounding across ranks as well.

Legend
    exchange     `particles.Exchange`; every rank makes the call, even one without particles
    all others   as in `fmm_reference`, of the particles of this rank

Messages are rows of float64, cell numbers too. Coordinates are those of the tree, scaled alike on all ranks.
"""

import numpy as np
from numba import njit

from .direct_reference import STATUS_OK
from .expansion_cpu import HIGH, LIMIT, LOW, POWER, RADIUS, REACH
from .expansion_tables import HEAD, size, tables
from .fmm_cpu import WORK, far_apart, left_out, walk
from .fmm_leaf_cpu import not_finite, scale_of, scatter
from .fmm_tide_cpu import scatter_tide
from .fmm_trees_cpu import empty_tree, grow, plant

TOP = 48  # cells of more than this part of a rank's particles show their children to the others
OCTAVES = 8  # of radii, below each of which a top cell says how heavy its parts are at most
IS_LEAF, SHOWS, HIDES = 0, 1, 2  # a top cell has no children, known ones, or unknown ones
KIND, WIDEST, LEAF, HEAVIEST = 0, 1, 2, 3  # columns of `ahead`; the last is the first of OCTAVES
PARTICLE, NUMBER = (
    400.0,
    30.0,
)  # pairs that take as long as a particle does apart from its sources, and as one number in a message
SURE = 1.0 + 1e-10  # covers the rounding of bounds


@njit(cache=True, error_model="numpy")
def _top(cells, which, shown):
    """Overwrite the numbers of the top cells and, in the same numbering, the ranges of their children; return how many."""
    place = np.full(len(cells), -1, np.int64)
    made, place[0], least = 1, 0, cells[0, 1] // TOP
    which[0] = 0
    for c in range(len(cells)):
        here, first, last = place[c], cells[c, 2], cells[c, 3]
        if here >= 0 and first > 0 and cells[c, 1] - cells[c, 0] > least:
            shown[here, 0], shown[here, 1] = made, made + last - first
            for child in range(first, last):
                place[child], which[made] = made, child
                made += 1
    return made


@njit(cache=True, error_model="numpy")
def _ahead(tree, which, shown, leaf_size):
    """Return what top cells say of the cells below them: rows (kind, largest radius, largest of small cells, masses)."""
    cells, bound = tree.cells, tree.bound
    ahead, below = np.zeros((len(which), HEAVIEST + OCTAVES)), np.full(len(cells), -1, np.int64)
    for here in range(len(which)):
        c = which[here]
        ahead[here, KIND] = IS_LEAF if cells[c, 2] == 0 else SHOWS if shown[here, 1] > 0 else HIDES
        if ahead[here, KIND] == HIDES:
            below[cells[c, 2] : cells[c, 3]] = here
    for c in range(len(cells)):
        here = below[c]
        if here >= 0:
            below[cells[c, 2] : cells[c, 3]] = here
            ahead[here, WIDEST] = max(ahead[here, WIDEST], bound[c, RADIUS])
            if cells[c, 2] == 0 or cells[c, 1] - cells[c, 0] <= leaf_size:
                ahead[here, LEAF] = max(ahead[here, LEAF], bound[c, RADIUS])
    for c in range(len(cells)):
        here = below[c]
        if here >= 0:
            limit = ahead[here, WIDEST]
            for k in range(OCTAVES):
                if bound[c, RADIUS] > limit:
                    break
                ahead[here, HEAVIEST + k] = max(ahead[here, HEAVIEST + k], bound[c, POWER])
                limit *= 0.5
    return ahead


@njit(cache=True, error_model="numpy")
def _surely_far(u, a, ahead, v, b, order, coherence):
    """Return whether every cell below the top cell a that could split b, or be near it, takes b as far, and b it."""
    radius = min(max(v[b, RADIUS], ahead[a, LEAF]), ahead[a, WIDEST]) * SURE
    dx, dy, dz = u[a, 0] - v[b, 0], u[a, 1] - v[b, 1], u[a, 2] - v[b, 2]
    r = np.sqrt(dx * dx + dy * dy + dz * dz) / SURE - u[a, RADIUS] * SURE
    if not r > (radius + v[b, RADIUS] + max(u[a, REACH], v[b, REACH])) * SURE:
        return False
    wider, denominator, power, own = max(radius, v[b, RADIUS]), r * r, r * r, 1.0
    for _ in range(order):
        denominator *= r
        power *= wider
        own *= radius + v[b, RADIUS]
    if power * SURE > coherence * denominator:
        return False
    spread = 0.0
    if u[a, REACH] + v[b, REACH] == 0.0:
        spread = 0.75 * (max(u[a, HIGH], v[b, HIGH]) - max(u[a, LOW], v[b, LOW])) / (r * r)
        if spread * SURE > 0.25 * coherence:
            return False
        spread /= r * r
    if SURE * (left_out(v, b, radius, order) / denominator + spread * v[b, POWER]) > u[a, LIMIT]:
        return False
    octave, limit = 0, ahead[a, WIDEST]
    while octave < OCTAVES - 1 and radius <= 0.5 * limit:
        octave += 1
        limit *= 0.5
    mass = ahead[a, HEAVIEST + octave]
    return SURE * mass * (own / denominator + spread) <= v[b, LIMIT]


@njit(cache=True, error_model="numpy")
def _needed(cells, u, ahead, tree, higher, order, coherence, leaf_size, taken, near):
    """Mark the cells of a tree that another rank may meet, of which it has the top, and those whose particles it may need.

    ``higher``: this rank's number is the higher one. A stack holds pairs (cell of theirs, own cell); below the end of their
    top the number of theirs is -1 - that of the last cell known.
    """
    v, own, stack, n = tree.bound, tree.cells, np.zeros((1024, 2), np.int64), 1
    while n > 0:
        n -= 1
        a, b = stack[n]
        taken[b] = True
        if n + 64 > len(stack):
            longer = np.empty((2 * len(stack), 2), np.int64)
            longer[:n] = stack[:n]
            stack = longer
        few, first, last = own[b, 1] - own[b, 0] <= leaf_size, own[b, 2], own[b, 3]
        if a < 0:
            split = not _surely_far(u, -1 - a, ahead, v, b, order, coherence)
            if split and (few or first == 0):
                near[b] = True
            split = split and first > 0
        elif far_apart(u, a, v, b, order, coherence):
            continue
        else:
            is_leaf, tie = ahead[a, KIND] == IS_LEAF, higher and v[b, RADIUS] == u[a, RADIUS]
            if (few and cells[a, 1] <= leaf_size) or (is_leaf and first == 0):
                near[b] = True
                continue
            split = first > 0 and (is_leaf or v[b, RADIUS] > u[a, RADIUS] or tie)
        if split:
            if n + last - first > len(stack):
                longer = np.empty((2 * (n + last - first), 2), np.int64)
                longer[:n] = stack[:n]
                stack = longer
            for child in range(first, last):
                stack[n, 0], stack[n, 1] = a, child
                n += 1
        elif a >= 0 and ahead[a, KIND] == SHOWS:
            for child in range(cells[a, 2], cells[a, 3]):
                stack[n, 0], stack[n, 1] = child, b
                n += 1
        elif a >= 0:
            stack[n, 0], stack[n, 1] = -1 - a, b
            n += 1


@njit(cache=True, error_model="numpy")
def _packed(tree, taken, near, order, moments):
    """Return the message: numbers of cells and particles, then the cells with bounds and moments, then the particles."""
    cells, bound, rows = tree.cells, tree.bound, tree.rows
    place, at = np.full(len(cells), -1, np.int64), np.full(cells[0, 1], -1, np.int64)
    n_cells = n_particles = 0
    for c in range(len(cells)):
        if taken[c]:
            place[c] = n_cells
            n_cells += 1
        if near[c]:
            near[cells[c, 2] : cells[c, 3]] = True
            at[cells[c, 0] : cells[c, 1]] = 0
    for k in range(len(at)):
        if at[k] == 0:
            at[k] = n_particles
            n_particles += 1
    last_bound = POWER + order + 1
    width = 4 + last_bound + moments
    message = np.empty(2 + n_cells * width + 5 * n_particles)
    message[0], message[1] = n_cells, n_particles
    p = 2
    for c in range(len(cells)):
        if not taken[c]:
            continue
        n, first = cells[c, 1] - cells[c, 0], cells[c, 2]
        message[p] = at[cells[c, 0]] if near[c] else -1 - n
        message[p + 1] = message[p] + n
        message[p + 2] = message[p + 3] = 0.0
        if first > 0 and taken[first]:
            message[p + 2], message[p + 3] = place[first], place[first] + cells[c, 3] - first
        message[p + 4 : p + 4 + last_bound] = bound[c, :last_bound]
        message[p + 4 + last_bound : p + width] = rows[c, HEAD : HEAD + moments]
        p += width
    for k in range(len(at)):
        if at[k] >= 0:
            message[p], message[p + 1], message[p + 2] = tree.x[k], tree.y[k], tree.z[k]
            message[p + 3], message[p + 4] = tree.m[k], tree.s[k]
            p += 5
    return message


@njit(cache=True, error_model="numpy")
def _unpack(message, at, at_particle, compact, order, moments, forest):
    """Write a message into a forest from cell ``at`` and particle ``at_particle`` on."""
    cells, bound, rows = forest.cells, forest.bound, forest.rows
    n_cells, n_particles, last_bound, p = int(message[0]), int(message[1]), POWER + order + 1, 2
    for c in range(at, at + n_cells):
        start, first = int(message[p]), int(message[p + 2])
        cells[c, 0] = start + at_particle if start >= 0 else start
        cells[c, 1] = cells[c, 0] + int(message[p + 1]) - start
        if first > 0:
            cells[c, 2], cells[c, 3] = first + at, int(message[p + 3]) + at
        p += 4
        bound[c, :last_bound] = message[p : p + last_bound]
        p += last_bound
        rows[c, 0], rows[c, 1], rows[c, 2] = bound[c, 0], bound[c, 1], bound[c, 2]
        rows[c, 3] = 0.0 if compact else bound[c, LOW]
        rows[c, 4] = 0.0 if compact else bound[c, HIGH]
        rows[c, HEAD : HEAD + moments] = message[p : p + moments]
        p += moments
    for k in range(at_particle, at_particle + n_particles):
        forest.x[k], forest.y[k], forest.z[k] = message[p], message[p + 1], message[p + 2]
        forest.m[k], forest.s[k] = message[p + 3], message[p + 4]
        p += 5


def _outlook(tops, rank, order):
    """Return the tops of the other ranks as a forest of cells without particles, and its roots."""
    tops = [top for r, top in enumerate(tops) if r != rank and len(top)]
    at = np.cumsum([0, *(len(top) for top in tops)])
    forest = empty_tree(at[-1], 0, order)
    for first, top in zip(at, tops, strict=False):
        here = slice(first, first + len(top))
        forest.cells[here, 2:] = np.where(top[:, 1:2] > 0.0, top[:, :2] + first, 0.0)
        forest.bound[here, :LIMIT] = top[:, 2 : 2 + LIMIT]
        forest.bound[here, POWER] = top[:, 2 + LIMIT]
    return forest, at[:-1]


def _selected(tree, tops, moments, rank, order, coherence, leaf_size):
    """Return the message to every rank: the part of the tree that it may need; nothing to itself and to empty ranks."""
    messages = []
    for r, top in enumerate(tops):
        if r == rank or tree is None or len(top) == 0:
            messages.append(np.zeros(0))
            continue
        taken, near = np.zeros(len(tree.cells), np.bool_), np.zeros(len(tree.cells), np.bool_)
        cells = np.zeros((len(top), 4), np.int64)
        cells[:, 1:] = top[:, :3]
        ahead = np.ascontiguousarray(top[:, 3 : 3 + HEAVIEST + OCTAVES])
        bound = np.ascontiguousarray(top[:, 3 + HEAVIEST + OCTAVES :])
        _needed(cells, bound, ahead, tree, rank > r, order, coherence, leaf_size, taken, near)
        messages.append(_packed(tree, taken, near, order, moments))
    return messages


def _planted(messages, rank, compact, order, moments):
    """Return what came as a forest, its roots, and the first cell that came from a higher rank."""
    came = [(r, message) for r, message in enumerate(messages) if r != rank and len(message)]
    counts = np.array([message[:2] for _, message in came], dtype=np.int64).reshape(-1, 2)
    at = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(counts, axis=0)])
    forest = empty_tree(int(at[-1, 0]), int(at[-1, 1]), order)
    for (_, message), (cell, particle) in zip(came, at, strict=False):
        _unpack(message, cell, particle, compact, order, moments, forest)
    lower = sum(r < rank for r, _ in came)
    return forest, at[:-1, 0].copy(), int(at[lower, 0])


def fmm_ranks(
    exchange, mass, position, softening, law, order, leaf_size, tolerance, coherence, G, acceleration, potential, work,
    tide=None,
):  # fmt: skip
    """Overwrite accelerations, potentials and tides (None: not wanted) of this rank's particles, as those of all ranks pull.

    ``work`` is overwritten by what each particle cost, in pairs.
    """
    scale = scale_of(position, softening)
    scale = exchange.reduce(float(scale), "min")
    if not scale > 0.0:
        return not_finite(position, softening, acceleration, potential)
    compact, T, moments, tree = law > 0, tables(order), size(order) - 3, None
    top, shown = np.zeros((0, 2 + LIMIT + 1)), np.zeros((0, 2), np.int64)
    if len(mass):
        who, tree = plant(mass, position, softening, scale, compact, leaf_size)
        which, shown = np.empty(len(tree.cells), np.int64), np.zeros((len(tree.cells), 2), np.int64)
        made = _top(tree.cells, which, shown)
        which, shown = which[:made], shown[:made]
        top = np.column_stack([shown, tree.bound[which, :LIMIT], tree.bound[which, POWER]])
    outlook, roots = _outlook(exchange.allgather(top), exchange.rank, order)
    top = np.zeros((0, 3 + HEAVIEST + OCTAVES + POWER + order + 1))
    if tree is not None:
        tree = grow(tree, outlook, roots, compact, T, order, tolerance)
        count = tree.cells[which, 1] - tree.cells[which, 0]
        ahead = _ahead(tree, which, shown, leaf_size)
        top = np.column_stack([count, shown, ahead, tree.bound[which, : POWER + order + 1]])
    messages = _selected(tree, exchange.allgather(top), moments, exchange.rank, order, coherence, leaf_size)
    arrived = exchange.alltoall(messages)
    came = _planted(arrived, exchange.rank, compact, order, moments)
    if tree is None:
        return STATUS_OK
    total, sums = np.zeros((len(mass), WORK + 1)), None if tide is None else np.zeros((len(mass), 6))
    walk(tree, tree, np.zeros(1, np.int64), True, 0, T, order, coherence, law, leaf_size, total, sums)
    forest, roots, after = came
    if len(roots):
        walk(tree, forest, roots, False, after, T, order, coherence, law, leaf_size, total, sums)
    if tide is not None:
        scatter_tide(who, sums, scale, G, tide)
    moved = sum(len(message) for message in (*messages, *arrived))
    work[who] = total[:, WORK] + PARTICLE + NUMBER * moved / len(who)
    return scatter(who, total, scale, G, acceleration, potential)
