"""Gradients of one path along several edges of one atom: what comes back to the atom stays in registers until the last edge.

    s_a = sum_k M_e,ka mu_sender(e),k,  out_a += sum_e w_e s_a,  sums_0,e += w'_e sum_a x_a s_a,
    sums_1,e += w_e sum_a x_a sum_k M'_e,ka mu_k,  sums_2,e the same with M''        (M', M'': two derivatives of M)

Legend
    out, x, g, w, slope  (rows, C) arrays;  o, r  first rows of the atom's gradient and features
    q, jump_g            first row of the component within an atom of mu, rows of an atom
    v, jump_w            row of w and w' for the first edge, and rows from one edge to the next
    first, count         the edges;  sender (E,) int64
    mixing, one, other   (place, GROUP) flat: M, M', M'' of up to GROUP edges side by side; m first place
    sums                 (3, GROUP, LANES) flat: each tile of channels adds to the first numbers of a row; their sum counts
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import OPTIONS
from .edge_vectors import GROUP
from .vectors import LANES, Lanes


def _make_pull(size_in, size_out):
    def emit(context, builder, signature, arguments):
        o, r, q, jump_g, v, jump_w, first, count, m, channels = (
            arguments[k] for k in (1, 3, 5, 6, 9, 10, 12, 13, 17, 19)
        )
        out, x, g, w, slope, sender, mixing, one, other, sums = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data
            for k in (0, 2, 4, 7, 8, 11, 14, 15, 16, 18)
        )
        index, real = channels.type, signature.args[0].dtype
        start = builder.mul(m, ir.Constant(index, GROUP))
        matrices = [builder.gep(array, [start]) for array in (mixing, one, other)]

        def plus(row, k):
            return builder.add(row, ir.Constant(index, k))

        def tile(lanes, channel):
            def at(array, row):
                return builder.gep(array, [builder.add(builder.mul(row, channels), channel)])

            def load(array, row):
                return lanes.load(at(array, row))[0]

            own = [load(x, plus(r, a)) for a in range(size_in)]
            targets = [at(out, plus(o, a)) for a in range(size_in)]
            totals = [lanes.zero_slot() for _ in range(size_in)]
            for slot, target in zip(totals, targets, strict=True):
                builder.store(lanes.load(target)[0], slot)
            with cgutils.for_range(builder, count) as loop:
                e = loop.index
                atom = builder.load(builder.gep(sender, [builder.add(first, e)]))
                row = builder.add(q, builder.mul(atom, jump_g))
                there = [load(g, plus(row, k)) for k in range(size_out)]
                row = builder.add(v, builder.mul(e, jump_w))
                weight, steep = load(w, row), load(slope, row)
                dots = [None] * 3
                for a, value in enumerate(own):
                    for c, matrix in enumerate(matrices):
                        moved = None
                        for k, pulled in enumerate(there):
                            place = plus(e, (k * size_in + a) * GROUP)
                            moved = lanes.fma(lanes.splat(builder.load(builder.gep(matrix, [place]))), pulled, moved)
                        dots[c] = lanes.fma(value, moved, dots[c])
                        if c == 0:
                            builder.store(lanes.fma(weight, moved, builder.load(totals[a])), totals[a])
                for c, factor in enumerate((steep, weight, weight)):
                    place = builder.mul(plus(e, c * GROUP), ir.Constant(index, LANES))
                    pointer = builder.gep(sums, [place])
                    lanes.store([lanes.fma(factor, dots[c], lanes.load(pointer)[0])], pointer)
            for slot, target in zip(totals, targets, strict=True):
                lanes.store([builder.load(slot)], target)

        Lanes.over(context, builder, real, channels, (1,), tile)
        return context.get_dummy_value()

    @intrinsic
    def pull(
        typingctx, out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels
    ):  # fmt: skip
        i = types.intp
        return types.void(out, i, x, i, g, i, i, w, slope, i, i, sender, i, i, mixing, one, other, i, sums, i), emit

    return pull


_11, _13, _15, _17 = (_make_pull(1, k) for k in (1, 3, 5, 7))
_31, _33, _35, _37 = (_make_pull(3, k) for k in (1, 3, 5, 7))
_51, _53, _55, _57 = (_make_pull(5, k) for k in (1, 3, 5, 7))
_71, _73, _75, _77 = (_make_pull(7, k) for k in (1, 3, 5, 7))


# fmt: off
@njit(**OPTIONS)
def pull_run(
    size_in, size_out, out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums,
    channels,
):
    """Choose the block by the sizes of what goes in and comes out."""
    if size_in == 1:
        if size_out == 1:
            _11(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 3:
            _13(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 5:
            _15(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        else:
            _17(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
    elif size_in == 3:
        if size_out == 1:
            _31(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 3:
            _33(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 5:
            _35(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        else:
            _37(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
    elif size_in == 5:
        if size_out == 1:
            _51(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 3:
            _53(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 5:
            _55(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        else:
            _57(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
    else:
        if size_out == 1:
            _71(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 3:
            _73(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        elif size_out == 5:
            _75(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
        else:
            _77(out, o, x, r, g, q, jump_g, w, slope, v, jump_w, sender, first, count, mixing, one, other, m, sums, channels)
# fmt: on
