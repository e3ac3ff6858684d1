"""Translation of multipoles into local expansions (M2L) as vector instructions: eight sources in the lanes.

Unrolled from the table of multi-indices when it is compiled, so that one text serves every order;
`expansion_reference.translate` has the equations and the layout of a row.

Legend
    rows     (cells, width) sources: x, y, z, smallest and largest squared softening, M_0, M_2, M_3, ... (no dipole)
    place    (3) x, y, z of the sink, then its smallest and largest squared softening
    sources, at   row numbers, and the first of the eight to take
    local    (K, 8) local expansion, one column per lane, added to
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .expansion_tables import HEAD, LANES, column, indices, triples, width
from .near_vectors import Vectors


def _transposed(builder, rows):
    """Return eight vectors of which k holds element k of each of eight vectors."""
    mask_type = ir.VectorType(ir.IntType(32), LANES)
    for step in (1, 2, 4):
        low = [k + (LANES - step if k & step else 0) for k in range(LANES)]
        high = [k + (LANES if k & step else step) for k in range(LANES)]
        new = [None] * LANES
        for i in range(LANES):
            if not i & step:
                for j, mask in ((i, low), (i + step, high)):
                    new[j] = builder.shuffle_vector(rows[i], rows[i + step], ir.Constant(mask_type, mask))
        rows = new
    return rows


def _derivatives(v, order, distance, e2):
    """Return D_n of 1/s for all |n| <= order, by D^k_{n+e_i} = r_i D^{k+1}_n + n_i D^{k+1}_{n-e_i}."""
    builder = v.builder
    s2 = e2
    for d in distance:
        s2 = v.fma(d, d, s2)
    inverse = v.inverse_root(s2)
    inverse2 = builder.fmul(inverse, inverse)
    radial = [inverse]
    for k in range(order):
        radial.append(builder.fmul(builder.fmul(radial[-1], v.constant(-(2 * k + 1))), inverse2))
    level = {(0, 0, 0): radial[order]}
    for k in range(order - 1, -1, -1):
        above, level = level, {(0, 0, 0): radial[k]}
        for n in indices(order - k)[1:]:
            i = max(range(3), key=lambda d: n[d])
            less = tuple(n[d] - (d == i) for d in range(3))
            value = builder.fmul(distance[i], above[less])
            if less[i] > 0:
                lesser = tuple(less[d] - (d == i) for d in range(3))
                value = (
                    v.fma(v.constant(less[i]), above[lesser], value)
                    if less[i] > 1
                    else builder.fadd(above[lesser], value)
                )
            level[n] = value
    return [level[n] for n in indices(order)]


def _make(order):
    """Return the translation of an order: local_n += sum_m D_{n+m} M_m, |n| + |m| <= order."""

    def emit(context, builder, signature, arguments):
        rows_type, place_type, sources_type, local_type = (signature.args[k] for k in (0, 1, 2, 4))
        rows, place, sources, at, local = arguments
        v = Vectors(context, builder)

        def constant(k):
            return ir.Constant(at.type, k)

        length = constant(width(order))
        starts = [
            builder.mul(builder.load(v.pointer(sources_type, sources, builder.add(at, constant(k)))), length)
            for k in range(LANES)
        ]
        columns = []
        for block in range(0, width(order), LANES):
            taken = [v.load(v.pointer(rows_type, rows, builder.add(s, constant(block)))) for s in starts]
            columns += _transposed(builder, taken)
        here = [v.splat(builder.load(v.pointer(place_type, place, constant(k)))) for k in range(HEAD)]
        distance = [builder.fsub(here[k], columns[k]) for k in range(3)]
        e2 = builder.fadd(v.maximum(here[3], columns[3]), v.maximum(here[4], columns[4]))
        derivative = _derivatives(v, order, distance, builder.fmul(e2, v.constant(0.5)))
        terms: dict[int, list] = {}
        for both, k, q in triples(order):
            if not 1 <= q <= 3:
                terms.setdefault(k, []).append((derivative[both], columns[column(q)]))
        for k, products in terms.items():
            pointer = v.pointer(local_type, local, constant(k * LANES))
            total = v.load(pointer)
            for d, moment in products:
                total = v.fma(d, moment, total)
            v.store(total, pointer)
        return context.get_dummy_value()

    @intrinsic
    def translate(typingctx, rows, place, sources, at, local):
        return types.void(rows, place, sources, types.intp, local), emit

    return translate


# numba sees functions by their names: one name for each order
translate_2, translate_3, translate_4, translate_5, translate_6 = (_make(order) for order in (2, 3, 4, 5, 6))
