"""Products of a few rows with a matrix, as vector instructions; the matrix stays as it lies, nothing is packed.

Six rows of the result times four registers are held while the inner index runs (one register where there are but sixteen),
so that every weight that is loaded is used six times and every number of the rows for a whole line of weights. BLAS packs
its operands first, which takes as long as the product for twenty atoms, and its choice of kernel depends on the processor's name.

A product of one row does not depend on the rows beside it: results are the same for any blocks of atoms.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import OPTIONS
from .vectors import Lanes

_ROWS = 5


def _make_multiply(rows):
    """out_ic (+)= sum_k x_ik w_kc for ``rows`` rows i."""

    def emit(context, builder, signature, arguments):
        out_v, o, out_at_v, x_v, r, x_at_v, s, fan_in, w_v, v, columns, add = arguments
        out, out_at, x, x_at, w = (
            context.make_array(signature.args[k])(context, builder, value).data
            for k, value in ((0, out_v), (2, out_at_v), (3, x_v), (5, x_at_v), (8, w_v))
        )
        real = signature.args[0].dtype
        outs, xs = [], []
        for i in range(rows):
            row = builder.add(s, ir.Constant(s.type, i))
            outs.append(builder.add(o, builder.load(builder.gep(out_at, [row]))))
            xs.append(builder.gep(x, [builder.add(r, builder.load(builder.gep(x_at, [row])))]))
        w = builder.gep(w, [v])

        def tile(lanes, column):
            sums = [[lanes.zero_slot() for _ in range(lanes.count)] for _ in range(rows)]
            targets = [builder.gep(out, [builder.add(place, column)]) for place in outs]
            with builder.if_then(add):
                for line, target in zip(sums, targets, strict=True):
                    for slot, value in zip(line, lanes.load(target), strict=True):
                        builder.store(value, slot)
            with cgutils.for_range(builder, fan_in) as loop:
                place = builder.add(builder.mul(loop.index, columns), column)
                weights = lanes.load(builder.gep(w, [place]))
                for line, pointer in zip(sums, xs, strict=True):
                    value = lanes.splat(builder.load(builder.gep(pointer, [loop.index])))
                    for slot, weight in zip(line, weights, strict=True):
                        builder.store(lanes.fma(value, weight, builder.load(slot)), slot)
            for line, target in zip(sums, targets, strict=True):
                lanes.store([builder.load(slot) for slot in line], target)

        Lanes.over(context, builder, real, columns, (2, 1), tile)
        return context.get_dummy_value()

    @intrinsic
    def multiply_rows(typingctx, out, o, out_at, x, r, x_at, s, fan_in, w, v, columns, add):
        i = types.intp
        return types.void(out, i, out_at, x, i, x_at, i, i, w, i, i, types.boolean), emit

    return multiply_rows


_one, _five = _make_multiply(1), _make_multiply(_ROWS)


@njit(**OPTIONS)
def multiply(out, o, out_at, x, r, x_at, rows, fan_in, w, v, columns, add):
    """out[o + out_at[i] + c] (+)= sum_k x[r + x_at[i] + k] w[v + k columns + c] for i < rows, c < columns; flat arrays."""
    whole = rows // _ROWS * _ROWS
    for s in range(0, whole, _ROWS):
        _five(out, o, out_at, x, r, x_at, s, fan_in, w, v, columns, add)
    for s in range(whole, rows):
        _one(out, o, out_at, x, r, x_at, s, fan_in, w, v, columns, add)


@njit(**OPTIONS)
def spread(at, count, height, outer, inner):
    """Overwrite ``at``[i height + m] with i outer + m inner: where the components m of atom i lie."""
    for i in range(count):
        for m in range(height):
            at[i * height + m] = i * outer + m * inner
