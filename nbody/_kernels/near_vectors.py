"""The innermost loop of the near field as vector instructions: eight targets in the lanes, one source after another.

LLVM lowers it to whatever registers a machine has. The inverse distance starts from one in float32 and takes a Newton step
in float64, which leaves 1e-14; it is the same for both partners of a pair, so momentum is conserved to rounding. The
Plummer law and Newton's (softening zero) are here; `softening_reference` has the equations. Laws of finite radius are Newton's
beyond it: the loops named ``beyond`` leave out the pairs within it, note them, and return how many notes there are.

Legend
    x, y, z, e2      targets: coordinates and squared softenings; lanes are the eight from ``target`` on
    sx, sy, sz, sm, se2   sources: the same, and masses; ``ranges`` holds (start, stop) one after another
    out              (4, 8) sums of m r / s^3 (three rows) and of m / s, overwritten; with the tide (11, 8), then come the sums
                     of 3 m r_k r_l / s^5 (xx, xy, xz, yy, yz, zz) and of m / s^3
    within           as long as there are sources: 256 source + sum over lanes within reach of it of 2^lane, overwritten
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .expansion_tables import LANES

_DOUBLE, _SINGLE = ir.VectorType(ir.DoubleType(), LANES), ir.VectorType(ir.FloatType(), LANES)


class Vectors:
    """Arithmetic of float64 vectors of eight lanes, as instructions."""

    def __init__(self, context, builder):
        self.context, self.builder = context, builder
        module = builder.module
        self._fma = cgutils.get_or_insert_function(
            module, ir.FunctionType(_DOUBLE, [_DOUBLE] * 3), f"llvm.fmuladd.v{LANES}f64"
        )
        self._sqrt = cgutils.get_or_insert_function(
            module, ir.FunctionType(_SINGLE, [_SINGLE]), f"llvm.sqrt.v{LANES}f32"
        )
        self._max = cgutils.get_or_insert_function(
            module, ir.FunctionType(_DOUBLE, [_DOUBLE] * 2), f"llvm.maxnum.v{LANES}f64"
        )

    def constant(self, value):
        return ir.Constant(_DOUBLE, [float(value)] * LANES)

    def pointer(self, array_type, array, index):
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.builder.gep(data, [index])

    def load(self, pointer):
        value = self.builder.load(self.builder.bitcast(pointer, _DOUBLE.as_pointer()))
        value.align = 8
        return value

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, _DOUBLE.as_pointer())).align = 8

    def splat(self, scalar):
        seed = self.builder.insert_element(ir.Constant(_vector(scalar.type), ir.Undefined), scalar, _int32(0))
        return self.builder.shuffle_vector(seed, ir.Constant(_vector(scalar.type), ir.Undefined), _mask([0] * LANES))

    def fma(self, a, b, c):
        return self.builder.call(self._fma, (a, b, c))

    def maximum(self, a, b):
        return self.builder.call(self._max, (a, b), fastmath=("nnan", "nsz"))

    def inverse_root(self, s2):
        """Return 1 / sqrt(s2): a seed in float32, y, then y (1 + e/2 + 3 e^2/8) with e = 1 - s2 y^2."""
        narrow = self.builder.fptrunc(s2, _SINGLE)
        root = self.builder.call(self._sqrt, (narrow,), fastmath=("fast",))
        seed = self.builder.fdiv(ir.Constant(_SINGLE, [1.0] * LANES), root, flags=("fast",))
        y = self.builder.fpext(seed, _DOUBLE)
        minus = self.builder.fmul(s2, self.builder.fmul(y, self.constant(-1.0)))
        left = self.fma(minus, y, self.constant(1.0))
        correction = self.fma(left, self.constant(0.375), self.constant(0.5))
        return self.fma(self.builder.fmul(y, left), correction, y)


def _vector(scalar_type):
    return ir.VectorType(scalar_type, LANES)


def _int32(k):
    return ir.Constant(ir.IntType(32), k)


def _mask(lanes):
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))


def _make(own, tide=False, beyond=False):
    """Return the loop over ranges of sources.

    ``own``: sources are the targets' own array, and nothing pulls itself; ``beyond``: e2, se2 are squared radii of a law.
    """

    def emit(context, builder, signature, arguments):
        v, types_of = Vectors(context, builder), signature.args
        x, y, z, e2, target, sx, sy, sz, sm, se2, ranges, count, out, within = range(14)

        def pointer(k, index):
            return v.pointer(types_of[k], arguments[k], index)

        first = arguments[target]
        x0, y0, z0, e0 = (v.load(pointer(k, first)) for k in (x, y, z, e2))
        step = ir.Constant(first.type, 1)
        lanes = builder.add(v.splat(first), ir.Constant(_vector(first.type), list(range(LANES))))
        sums = [cgutils.alloca_once_value(builder, v.constant(0.0)) for _ in range(11 if tide else 4)]
        notes = cgutils.alloca_once_value(builder, ir.Constant(first.type, 0))
        with cgutils.for_range(builder, arguments[count]) as outer:
            place = builder.mul(outer.index, ir.Constant(first.type, 2))
            start, stop = (builder.load(pointer(ranges, p)) for p in (place, builder.add(place, step)))
            with cgutils.for_range_slice(builder, start, stop, step, first.type) as (j, _):
                dx, dy, dz = (
                    builder.fsub(v.splat(builder.load(pointer(k, j))), t) for k, t in ((sx, x0), (sy, y0), (sz, z0))
                )
                larger = v.maximum(v.splat(builder.load(pointer(se2, j))), e0)
                s2 = v.constant(0.0) if beyond else larger
                for d in (dx, dy, dz):
                    s2 = v.fma(d, d, s2)
                inverse = v.inverse_root(s2)
                if own:
                    other = builder.icmp_signed("!=", lanes, v.splat(j))
                    inverse = builder.select(other, inverse, v.constant(0.0))
                if beyond:
                    near = builder.fcmp_ordered("<", s2, larger)
                    inverse = builder.select(near, v.constant(0.0), inverse)
                    near = builder.and_(near, other) if own else near
                    lanes_near = builder.zext(builder.bitcast(near, ir.IntType(LANES)), first.type)
                    noted = builder.load(notes)
                    note = builder.or_(builder.shl(j, ir.Constant(first.type, LANES)), lanes_near)
                    builder.store(note, pointer(within, noted))
                    any_near = builder.icmp_signed("!=", lanes_near, ir.Constant(first.type, 0))
                    builder.store(builder.add(noted, builder.zext(any_near, first.type)), notes)
                g = builder.fmul(inverse, v.splat(builder.load(pointer(sm, j))))
                builder.store(builder.fadd(builder.load(sums[3]), g), sums[3])
                inverse2 = builder.fmul(inverse, inverse)
                g = builder.fmul(g, inverse2)
                for d, slot in zip((dx, dy, dz), sums, strict=False):
                    builder.store(v.fma(g, d, builder.load(slot)), slot)
                if tide:
                    builder.store(builder.fadd(builder.load(sums[10]), g), sums[10])
                    steep = builder.fmul(builder.fmul(g, v.constant(3.0)), inverse2)
                    pairs = [(dx, dx), (dx, dy), (dx, dz), (dy, dy), (dy, dz), (dz, dz)]
                    for (d, e), slot in zip(pairs, sums[4:], strict=False):
                        builder.store(v.fma(builder.fmul(steep, d), e, builder.load(slot)), slot)
        for k, slot in enumerate(sums):
            v.store(builder.load(slot), pointer(out, ir.Constant(first.type, k * LANES)))
        return builder.load(notes) if beyond else context.get_dummy_value()

    if beyond:

        @intrinsic
        def pull_beyond(typingctx, x, y, z, e2, target, sx, sy, sz, sm, se2, ranges, count, out, within):
            i = types.intp
            return i(x, y, z, e2, i, sx, sy, sz, sm, se2, ranges, i, out, within), emit

        return pull_beyond

    @intrinsic
    def pull(typingctx, x, y, z, e2, target, sx, sy, sz, sm, se2, ranges, count, out):
        i = types.intp
        return types.void(x, y, z, e2, i, sx, sy, sz, sm, se2, ranges, i, out), emit

    return pull


pull_others, pull_own = _make(False), _make(True)
pull_others_tide, pull_own_tide = _make(False, tide=True), _make(True, tide=True)
others_beyond, own_beyond = _make(False, beyond=True), _make(True, beyond=True)
others_beyond_tide, own_beyond_tide = _make(False, tide=True, beyond=True), _make(True, tide=True, beyond=True)
