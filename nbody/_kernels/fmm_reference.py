"""Fast multipole gravity, plain NumPy and recursive: the readable twin of `fmm_cpu`.

Sources at z_B + b, sinks at z_A + a, R = z_A - z_B; sums over multi-indices n, m with |n| + |m| <= p, the order:

    M_m = sum_j m_j (-b_j)^m / m!           L_n = sum_m D_{n+m}(R) M_m,   D_n = grad^n (R^2 + e^2)^(-1/2)
    sum_j m_j / s_ij = sum_n L_n a^n / n!   acceleration = G grad of that, potential = -G times that, tide = G grad grad of it

Centres are centres of mass, so M has no dipole. Because terms are kept by |n| + |m|, the force of A on B is minus that of B on A.

Two cells are far from each other when, both ways, with P_q the powers of the multipoles (`expansion_tables`) and r the radii,

    sum_q binomial(p, q) P_q(B) r_A^(p-q) / R^(p+2) <= tolerance x smallest |a| in A     one source's part of the error
    (r_A / R)^p <= coherence                                                            the part that sources share
    R > r_A + r_B + the reach of softening

Plummer's law with softenings between e_low and e_high adds 3/4 (e_high^2 - e_low^2) M_B / R^4 to the first; as a part of
M_B / R^2 it is at most a quarter of the coherence.

Other pairs are summed directly if both have at most leaf_size particles, else the wider cell is split, or both if it is one
cell twice.

Legend
    softening    (n) lengths of Plummer's law (law 0), or radii of the other laws (`softening_reference`)
    order, leaf_size, tolerance, coherence   as above
    acceleration (n, 3), potential (n) and, if not None, tide (n, 3, 3) are overwritten

Returns a status: STATUS_OK, or STATUS_NOT_FINITE when a result is not finite.
"""

import math

import numpy as np

from .direct_reference import STATUS_NOT_FINITE, STATUS_OK
from .expansion_tables import indices, tables
from .octree_reference import octree
from .softening_reference import factors, slope

GROUP = 64  # particles that share a walk when accelerations are estimated
WIDE = 0.2  # change of the potential across a leaf, relative, from which its particles become cells of their own


class Cell:
    """A cell: its particles x (n, 3), m, s (squared softening) and numbers, and all that follows from them."""

    def __init__(self, number, which, children, x, m, s, order, compact):
        self.number, self.which, self.children, self.n = number, which, children, len(which)
        x, m, s = x[which], m[which], s[which]
        self.mass = m.sum()
        self.centre = m @ x / self.mass if self.mass > 0.0 else x.mean(axis=0)
        self.radius = np.sqrt(((x - self.centre) ** 2).sum(axis=1).max()) * (1.0 + 1e-14)
        self.low, self.high = s.min(), s.max()
        self.reach = np.sqrt(self.high) if compact else 0.0
        self.moments = sum(mj * monomials(self.centre - xj, order) for mj, xj in zip(m, x, strict=True))
        self.moments[1:4] = 0.0
        self.powers = powers(self.moments, self.radius, order)
        self.limit = 0.0


def monomials(x, order):
    """Return x^n / n! of all multi-indices."""
    return np.array([math.prod(x[d] ** n[d] / math.factorial(n[d]) for d in range(3)) for n in indices(order)])


def derivatives(r, e2, order):
    """Return D_n of all multi-indices, by D^k_{n+e_i} = r_i D^{k+1}_n + n_i D^{k+1}_{n-e_i}."""
    s2 = r @ r + e2
    radial = [1.0 / np.sqrt(s2)]
    for k in range(order):
        radial.append(-(2 * k + 1) * radial[-1] / s2)

    def component(n, k):
        if n == (0, 0, 0):
            return radial[k]
        i = int(np.argmax(n))
        less = tuple(n[d] - (d == i) for d in range(3))
        value = r[i] * component(less, k + 1)
        if less[i] > 0:
            value += less[i] * component(tuple(less[d] - (d == i) for d in range(3)), k + 1)
        return value

    return np.array([component(n, 0) for n in indices(order)])


def powers(moments, radius, order):
    """Return binomial(order, q) P_q; a power is at least the one before times the radius (symmetry can make one vanish)."""
    T, result = tables(order), np.zeros(order + 1)
    numbered = indices(order)
    result[0] = before = moments[0]
    for q in range(2, order + 1):
        tensor = {n: moments[i] * T.factorial[i] for i, n in enumerate(numbered) if sum(n) == q}
        square = 0.0
        for j in range(q // 2 + 1):
            rank = q - 2 * j
            if j > 0:
                rows = [n for n in numbered if sum(n) == rank]
                tensor = {n: sum(tensor[tuple(n[i] + 2 * (i == d) for i in range(3))] for d in range(3)) for n in rows}
            square += T.norm[q, j] * sum(
                math.factorial(rank) / math.prod(map(math.factorial, n)) * t * t for n, t in tensor.items()
            )
        size = np.sqrt(max(square, 0.0))
        before = max(size, before * radius) if q > 2 else size
        result[q] = before * T.binomial[q]
    return result


def translate(source, sink, order, compact):
    """Return the local expansion about the sink's centre of a source cell."""
    e2 = 0.0 if compact else 0.5 * (max(source.low, sink.low) + max(source.high, sink.high))
    derivative, local = derivatives(sink.centre - source.centre, e2, order), np.zeros(len(source.moments))
    for both, k, q in tables(order).triple:
        local[k] += derivative[both] * source.moments[q]
    return local


def shifted(local, shift, order):
    """Return a local expansion about a centre that lies ``shift`` from the old one."""
    power, result = monomials(shift, order), np.zeros(len(local))
    for m, k, q in tables(order).triple:
        result[k] += local[m] * power[q]
    return result


def evaluated(local, a, order):
    """Return gradient and value of a local expansion at ``a`` from its centre, (4,)."""
    power, raised = monomials(a, order), tables(order).raised
    inner = raised[:, 0] >= 0
    return np.array([*(local[raised[inner, d]] @ power[inner] for d in range(3)), local @ power])


def second_derivatives(local, a, order):
    """Return the second derivatives of a local expansion at ``a`` from its centre, (3, 3)."""
    power, raised = monomials(a, order - 2), tables(order).raised
    return np.array([[local[raised[raised[: len(power), k], m]] @ power for m in range(3)] for k in range(3)])


def fmm(mass, position, softening, law, order, leaf_size, tolerance, coherence, G, acceleration, potential, tide=None):
    """Overwrite accelerations, potentials and tides; None: these are not wanted."""
    if len(mass) == 0:
        return STATUS_OK
    walk = _Walk(mass, position, softening, law, order, leaf_size, coherence)
    walk.estimate(tolerance)
    walk.descend(walk.root, [walk.root], np.zeros(len(indices(order))))
    acceleration[:], potential[:] = G * walk.total[:, :3], -G * walk.total[:, 3]
    if tide is not None:
        tide[:] = G * walk.tide
    finite = np.isfinite(acceleration).all() and np.isfinite(potential).all()
    return STATUS_OK if finite else STATUS_NOT_FINITE


class _Walk:
    def __init__(self, mass, position, softening, law, order, leaf_size, coherence):
        self.x, self.m, self.s = position, mass, softening**2
        self.law, self.order, self.leaf_size, self.coherence = law, order, leaf_size, coherence
        self.total, self.tide = np.zeros((len(mass), 4)), np.zeros((len(mass), 3, 3))
        n = len(mass)
        order_of, cells, count = np.empty(n, np.int64), np.empty((2 * n + 1, 4), np.int64), np.zeros(1, np.int64)
        octree(position, leaf_size, order_of, cells, count)
        self.cells: list = [None] * count[0]
        for c in range(count[0] - 1, -1, -1):
            start, stop, first, last = cells[c]
            self.cells[c] = self.cell(c, order_of[start:stop], self.cells[first:last])
        self.root = self.cells[0]

    def cell(self, number, which, children):
        return Cell(number, which, children, self.x, self.m, self.s, self.order, self.law > 0)

    def estimate(self, tolerance):
        """Set the limits of all cells, and split wide leaves."""
        coarse = np.zeros((len(self.m), 4))
        parents = {child.number: parent for parent in self.cells for child in parent.children}
        for cell in self.cells:
            above = parents.get(cell.number)
            if (above is None or above.n > GROUP) and (cell.n <= GROUP or not cell.children):
                points = np.array(list(self.points(cell, self.root)))
                for i in cell.which:
                    r = points[:, :3] - self.x[i]
                    s2 = (r * r).sum(axis=1) + np.maximum(points[:, 4], self.s[i])
                    coarse[i] = *((points[:, 3] / s2**1.5) @ r), (points[:, 3] / np.sqrt(s2)).sum()
        made = len(self.cells)
        for cell in self.cells:
            size = np.linalg.norm(coarse[cell.which, :3], axis=1)
            cell.limit = tolerance * size.min()
            if not cell.children and cell.n > 1 and cell.radius * size.max() > WIDE * coarse[cell.which, 3].max():
                cell.children = [self.cell(made + k, cell.which[k : k + 1], []) for k in range(cell.n)]
                made += cell.n
                for child in cell.children:
                    child.limit = cell.limit

    def points(self, group, cell):
        """Yield x, y, z, mass and squared softening of cells as the group sees them: far ones as points, near leaves blurred."""
        reach = group.radius + cell.radius
        apart = ((group.centre - cell.centre) ** 2).sum() > reach**2
        if apart or not cell.children:
            yield *cell.centre, cell.mass, cell.high if apart else cell.high + cell.radius**2 + 1e-300
        else:
            for child in cell.children:
                yield from self.points(group, child)

    def far(self, a, b):
        r = np.linalg.norm(a.centre - b.centre)
        if not r > a.radius + b.radius + max(a.reach, b.reach):
            return False
        if max(a.radius, b.radius) ** self.order > self.coherence * r**self.order:
            return False
        spread = 0.0
        if self.law == 0:
            spread = 0.75 * (max(a.high, b.high) - max(a.low, b.low)) / r**2
            if spread > 0.25 * self.coherence:
                return False
        return all(
            np.polyval(source.powers, sink.radius) / r ** (self.order + 2) + spread * source.mass / r**2 <= sink.limit
            for sink, source in ((a, b), (b, a))
        )

    def descend(self, sink, given, local):
        """Add to the sums of a sink's particles what the sources ``given`` and the local expansion pull."""
        local, left, queue = local.copy(), [], list(given)
        for source in queue:  # grows while it is gone through
            if self.far(sink, source):
                local += translate(source, sink, self.order, self.law > 0)
            elif (sink.n <= self.leaf_size and source.n <= self.leaf_size) or not (sink.children or source.children):
                self.pull(sink, source)
            elif sink is source:
                left += source.children
            elif source.children and (not sink.children or _wider(source, sink)):
                queue += source.children
            else:
                left.append(source)
        for child in sink.children:
            self.descend(child, left, shifted(local, child.centre - sink.centre, self.order))
        if not sink.children:
            for i in sink.which:
                self.total[i] += evaluated(local, self.x[i] - sink.centre, self.order)
                self.tide[i] += second_derivatives(local, self.x[i] - sink.centre, self.order)

    def pull(self, sink, source):
        for i in sink.which:
            j = source.which[source.which != i]
            r, s = self.x[j] - self.x[i], np.maximum(self.s[j], self.s[i])
            m, r2, h = self.m[j], (r * r).sum(axis=1), np.sqrt(s)
            w, g = factors(self.law, r2, h)
            self.total[i] += *((m * w) @ r), m @ g
            self.tide[i] += (r.T * (m * slope(self.law, r2, h))) @ r - (m @ w) * np.eye(3)


def _wider(b, a):
    return b.radius > a.radius or (b.radius == a.radius and b.number > a.number)
