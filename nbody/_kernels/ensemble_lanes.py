"""A numba type for float64 vectors, so that one scalar source also advances several encounters side by side.

A ``Lanes`` value holds LANES numbers in vector registers. Sums, differences, products, quotients, negation and ``math.sqrt`` act
lane by lane, and a number in between is spread over all lanes; therefore functions written for numbers, such as those of
ensemble_row, compile for Lanes too. Every lane gets the bits that it would get in any company.

``lanes_load(array, row)`` and ``lanes_store(array, row, value)`` move a row of a C-contiguous (rows, LANES) array.
"""

import math
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

LANES = 8

_DOUBLE = ir.VectorType(ir.DoubleType(), LANES)


class LanesType(types.Type):
    """The type of a vector of LANES float64."""

    def __init__(self):
        super().__init__(name=f"Lanes{LANES}")

    def unify(self, typingctx, other):
        """A variable that is a number on one path and a vector on another is a vector."""
        return self if isinstance(other, types.Float | types.Integer) else None

    def can_convert_from(self, typingctx, other):
        return Conversion.promote if isinstance(other, types.Float | types.Integer) else None


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _DOUBLE)


def _splat(builder, scalar):
    undefined = ir.Constant(_DOUBLE, ir.Undefined)
    seed = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(seed, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@lower_cast(types.Number, LanesType)
def _number_to_lanes(context, builder, from_type, to_type, value):
    return _splat(builder, context.cast(builder, value, from_type, types.float64))


def _binary(function, instruction):
    @infer_global(function)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and any(isinstance(a, LanesType) for a in args):
                if all(isinstance(a, LanesType | types.Float | types.Integer) for a in args):
                    return signature(lanes, lanes, lanes)
            return None

    @lower_builtin(function, lanes, lanes)
    def emit(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
    (operator.iadd, "fadd"),
    (operator.isub, "fsub"),
    (operator.imul, "fmul"),
    (operator.itruediv, "fdiv"),
):
    _binary(_function, _instruction)


def _unary(function, emit):
    @infer_global(function)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            return signature(lanes, lanes) if len(args) == 1 and isinstance(args[0], LanesType) else None

    lower_builtin(function, lanes)(emit)


def _negative(context, builder, sig, args):
    return builder.fneg(args[0])


def _root(context, builder, sig, args):
    name = f"llvm.sqrt.v{LANES}f64"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_DOUBLE, [_DOUBLE]), name)
    return builder.call(function, args)


_unary(operator.neg, _negative)
_unary(math.sqrt, _root)


def _row_pointer(context, builder, array_type, array, row):
    struct = context.make_array(array_type)(context, builder, array)
    first = builder.mul(row, ir.Constant(row.type, LANES))
    return builder.bitcast(builder.gep(struct.data, [first]), _DOUBLE.as_pointer())


def _load():
    @intrinsic
    def lanes_load(typingctx, array, row):
        def emit(context, builder, sig, args):
            value = builder.load(_row_pointer(context, builder, sig.args[0], *args))
            value.align = 8
            return value

        return lanes(array, types.intp), emit

    return lanes_load


def _store():
    @intrinsic
    def lanes_store(typingctx, array, row, value):
        def emit(context, builder, sig, args):
            builder.store(args[2], _row_pointer(context, builder, sig.args[0], args[0], args[1])).align = 8
            return context.get_dummy_value()

        return types.void(array, types.intp, lanes), emit

    return lanes_store


lanes_load, lanes_store = _load(), _store()
