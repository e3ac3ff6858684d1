"""Messages of one path along several edges into one atom: the sum stays in registers until the last edge is added.

    out_k (+)= sum_e w_e sum_a M_e,ka x_sender(e),a

Legend
    out, w, x      (rows, C) arrays;  o  first row of the sum, jump_out rows between its components
    v, jump_w      row of w for the first edge, and rows from one edge to the next
    r, jump_x      first row of the component within an atom, rows of an atom
    first, count   the edges;  sender (E,) int64
    mixing         (place, GROUP) flat: the matrices of up to GROUP edges side by side; m first place, lane the first edge's
    fresh          whether the sum begins at zero or at what ``out`` holds
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import OPTIONS
from .vectors import Lanes

#: Edges whose matrices are made at a time.
GROUP = 16


def _make_run(size_in, size_out):
    def emit(context, builder, signature, arguments):
        out_v, o, jump_out, w_v, v, jump_w, x_v, r, jump_x, sender_v = arguments[:10]
        first, count, mixing_v, m, lane, fresh, channels = arguments[10:]
        out, w, x, sender, mixing = (
            context.make_array(signature.args[k])(context, builder, value).data
            for k, value in ((0, out_v), (3, w_v), (6, x_v), (9, sender_v), (12, mixing_v))
        )
        index, real = channels.type, signature.args[0].dtype
        group = ir.Constant(index, GROUP)
        matrices = builder.gep(mixing, [builder.add(builder.mul(m, group), lane)])

        def at(array, row, channel):
            return builder.gep(array, [builder.add(builder.mul(row, channels), channel)])

        def tile(lanes, channel):
            sums = [[lanes.zero_slot() for _ in range(lanes.count)] for _ in range(size_out)]
            targets, row = [], o
            for _ in range(size_out):
                targets.append(at(out, row, channel))
                row = builder.add(row, jump_out)
            with builder.if_then(builder.not_(fresh)):
                for line, target in zip(sums, targets, strict=True):
                    for slot, value in zip(line, lanes.load(target), strict=True):
                        builder.store(value, slot)
            with cgutils.for_range(builder, count) as loop:
                e = loop.index
                atom = builder.load(builder.gep(sender, [builder.add(first, e)]))
                rows = [builder.add(r, builder.mul(atom, jump_x))]
                for _ in range(size_in - 1):
                    rows.append(builder.add(rows[-1], ir.Constant(index, 1)))
                sent = [lanes.load(at(x, row, channel)) for row in rows]
                weight = lanes.load(at(w, builder.add(v, builder.mul(e, jump_w)), channel))
                for k, line in enumerate(sums):
                    total = [None] * lanes.count
                    for a, values in enumerate(sent):
                        place = builder.add(ir.Constant(index, (k * size_in + a) * GROUP), e)
                        scalar = lanes.splat(builder.load(builder.gep(matrices, [place])))
                        total = [lanes.fma(scalar, value, part) for value, part in zip(values, total, strict=True)]
                    for slot, factor, part in zip(line, weight, total, strict=True):
                        builder.store(lanes.fma(factor, part, builder.load(slot)), slot)
            for line, target in zip(sums, targets, strict=True):
                lanes.store([builder.load(slot) for slot in line], target)

        Lanes.over(context, builder, real, channels, (1,), tile)
        return context.get_dummy_value()

    @intrinsic
    def run(
        typingctx, out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels
    ):  # fmt: skip
        i = types.intp
        return types.void(out, i, i, w, i, i, x, i, i, sender, i, i, mixing, i, i, types.boolean, i), emit

    return run


_11, _13, _15, _17 = (_make_run(1, k) for k in (1, 3, 5, 7))
_31, _33, _35, _37 = (_make_run(3, k) for k in (1, 3, 5, 7))
_51, _53, _55, _57 = (_make_run(5, k) for k in (1, 3, 5, 7))
_71, _73, _75, _77 = (_make_run(7, k) for k in (1, 3, 5, 7))


@njit(**OPTIONS)
def add_run(
    size_in, size_out, out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels
):  # fmt: skip
    """Choose the block by the sizes of what goes in and comes out."""
    if size_in == 1:
        if size_out == 1:
            _11(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 3:
            _13(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 5:
            _15(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        else:
            _17(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
    elif size_in == 3:
        if size_out == 1:
            _31(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 3:
            _33(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 5:
            _35(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        else:
            _37(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
    elif size_in == 5:
        if size_out == 1:
            _51(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 3:
            _53(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 5:
            _55(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        else:
            _57(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
    else:
        if size_out == 1:
            _71(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 3:
            _73(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        elif size_out == 5:
            _75(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)
        else:
            _77(out, o, jump_out, w, v, jump_w, x, r, jump_x, sender, first, count, mixing, m, lane, fresh, channels)


@njit(**OPTIONS)
def mix_group(y, first, count, entries, values, mixing):
    """Overwrite ``mixing`` with the matrices of rows first ... first + count - 1 of y, side by side."""
    side = np.empty((y.shape[1], GROUP), y.dtype)
    beside(y, first, count, side)
    mix_beside(side, entries, values, mixing)


@njit(**OPTIONS)
def beside(y, first, count, side):
    """Overwrite ``side`` (B, GROUP) with the transpose of rows first ... first + count - 1 of y, and zeros after them."""
    side[:] = 0.0
    for e in range(count):
        for b in range(y.shape[1]):
            side[b, e] = y[first + e, b]


@njit(**OPTIONS)
def mix_beside(side, entries, values, mixing):
    """Overwrite ``mixing`` with the matrices of harmonics that lie side by side (B, GROUP)."""
    mixing[:] = 0.0
    for q in range(len(values)):
        place, harmonic, value = entries[q, 0] * GROUP, entries[q, 1], values[q]
        for e in range(GROUP):
            mixing[place + e] += value * side[harmonic, e]
