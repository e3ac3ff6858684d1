"""The innermost blocks of the products, as vector instructions that LLVM lowers to whatever registers a machine has.

numba's own loops over channels check at every start that their arrays do not overlap; a block here works on 16 channels at
a time, keeps the input rows in registers for all output rows, and needs no check.

A block is made for the numbers of rows it takes and gives (1, 3, 5 or 7, the sizes of degrees 0 to 3), so that both loops over
rows are unrolled. Each is a function of numba's nopython mode; `coupling_reference` has the equations.

Legend
    out, w, x, g   (rows, C) arrays;  o, v, r, q  first rows;  jump_*  rows between one component and the next
    mixing         flat matrices M, at m + (component in) * step_in + (component out) * step_out
"""

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16


class _Block:
    """Emits code for one tile of channels; ``lanes`` = 1 is the remainder."""

    def __init__(self, context, builder, real, lanes):
        self.context, self.builder, self.lanes = context, builder, lanes
        self.real = context.get_value_type(real)
        self.type = ir.VectorType(self.real, lanes) if lanes > 1 else self.real
        self.bytes = real.bitwidth // 8
        shape = f"v{lanes}f{real.bitwidth}" if lanes > 1 else f"f{real.bitwidth}"
        self.fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(self.type, [self.type] * 3), f"llvm.fmuladd.{shape}"
        )

    def load(self, pointer):
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = self.bytes
        return value

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer())).align = self.bytes

    def splat(self, scalar):
        if self.lanes == 1:
            return scalar
        index = ir.Constant(ir.IntType(32), 0)
        seed = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), scalar, index)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(seed, ir.Constant(self.type, ir.Undefined), mask)

    def fma(self, a, b, c):
        return self.builder.call(self.fused, (a, b, c)) if c is not None else self.builder.fmul(a, b)


class _Rows:
    """Pointers to rows of a two-dimensional array."""

    def __init__(self, context, builder, array_type, value, channels):
        self.builder, self.channels = builder, channels
        self.data = context.make_array(array_type)(context, builder, value).data

    def at(self, row, channel):
        return self.builder.gep(self.data, [self.builder.add(self.builder.mul(row, self.channels), channel)])

    def steps(self, first, jump, count, channel):
        """Return pointers to rows first, first + jump, ..."""
        rows, row = [], first
        for _ in range(count):
            rows.append(self.at(row, channel))
            row = self.builder.add(row, jump)
        return rows


def register_bytes():
    """Return the size of a vector register: 64 bytes where AVX-512 is, else 32."""
    return 64 if binding.get_host_cpu_features().get("avx512f", False) else 32


class Lanes:
    """A tile of channels in ``count`` vectors of one register each, or one scalar: lists of values."""

    def __init__(self, context, builder, real, count, width):
        self.builder, self.count, self.width = builder, count, width
        self.block = _Block(context, builder, real, width)

    def load(self, pointer):
        """Return the vectors of a tile."""
        return [self.block.load(self.builder.gep(pointer, [_index(j * self.width)])) for j in range(self.count)]

    def store(self, values, pointer):
        """Store the vectors of a tile."""
        for j, value in enumerate(values):
            self.block.store(value, self.builder.gep(pointer, [_index(j * self.width)]))

    def splat(self, scalar):
        """Return a vector of one number."""
        return self.block.splat(scalar)

    def fma(self, a, b, c):
        """Return a b + c; c None is zero."""
        return self.block.fma(a, b, c)

    def zero_slot(self):
        """Return a place for one vector, which holds zero."""
        zero = ir.Constant(self.block.type, [0.0] * self.width if self.width > 1 else 0.0)
        slot = cgutils.alloca_once(self.builder, self.block.type)
        self.builder.store(zero, slot)
        return slot

    @staticmethod
    def over(context, builder, real, channels, counts, body):
        """Emit ``body(lanes, channel)`` for tiles of so many registers, the widest first, then for single channels."""
        width = register_bytes() * 8 // real.bitwidth
        start = _index(0)
        for count, size in (*((count, width) for count in counts), (1, 1)):
            step = _index(count * size)
            stop = builder.add(start, builder.mul(builder.sdiv(builder.sub(channels, start), step), step))
            with cgutils.for_range_slice(builder, start, stop, step, channels.type) as (channel, _):
                body(Lanes(context, builder, real, count, size), channel)
            start = stop


def _index(value):
    return ir.Constant(ir.IntType(64), value)


def _over_channels(context, builder, real, channels, body):
    """Emit ``body(block, channel)`` for all tiles and for the channels that remain."""
    one, lanes = (ir.Constant(channels.type, k) for k in (1, LANES))
    whole = builder.mul(builder.sdiv(channels, lanes), lanes)
    zero = ir.Constant(channels.type, 0)
    for start, stop, step, width in ((zero, whole, lanes, LANES), (whole, channels, one, 1)):
        with cgutils.for_range_slice(builder, start, stop, step, channels.type) as (channel, _):
            body(_Block(context, builder, real, width), channel)


def _scalar(builder, mixing, index):
    return builder.load(builder.gep(mixing, [index]))


def _mixing_indices(builder, m, step_in, step_out, size_in, size_out):
    """Return [out][in] -> index of the matrix element."""
    rows, row = [], m
    for _ in range(size_out):
        line, place = [], row
        for _ in range(size_in):
            line.append(place)
            place = builder.add(place, step_in)
        rows.append(line)
        row = builder.add(row, step_out)
    return rows


def _make_add(size_in, size_out):
    """out_k += w sum_a M_ka x_a."""

    def emit(context, builder, signature, arguments):
        out_type, w_type, x_type, mixing_type = (signature.args[k] for k in (0, 3, 5, 8))
        out_v, o, jump_out, w_v, v, x_v, r, jump_in, mixing_v, m, step_in, step_out, channels = arguments
        out = _Rows(context, builder, out_type, out_v, channels)
        w = _Rows(context, builder, w_type, w_v, channels)
        x = _Rows(context, builder, x_type, x_v, channels)
        mixing = context.make_array(mixing_type)(context, builder, mixing_v).data
        places = _mixing_indices(builder, m, step_in, step_out, size_in, size_out)

        def body(block, channel):
            inputs = [block.load(p) for p in x.steps(r, jump_in, size_in, channel)]
            weight = block.load(w.at(v, channel))
            for pointer, line in zip(out.steps(o, jump_out, size_out, channel), places, strict=True):
                total = None
                for value, place in zip(inputs, line, strict=True):
                    total = block.fma(block.splat(_scalar(builder, mixing, place)), value, total)
                block.store(block.fma(weight, total, block.load(pointer)), pointer)

        _over_channels(context, builder, out_type.dtype, channels, body)
        return context.get_dummy_value()

    @intrinsic
    def add(typingctx, out, o, jump_out, w, v, x, r, jump_in, mixing, m, step_in, step_out, channels):
        index = types.intp
        return types.void(out, index, index, w, index, x, index, index, mixing, index, index, index, index), emit

    return add


def _make_weigh(size_in, size_out):
    """Out = sum_k g_k sum_a M_ka x_a."""

    def emit(context, builder, signature, arguments):
        out_v, o, g_v, q, jump_g, x_v, r, mixing_v, m, step_in, step_out, channels = arguments
        out = _Rows(context, builder, signature.args[0], out_v, channels)
        g = _Rows(context, builder, signature.args[2], g_v, channels)
        x = _Rows(context, builder, signature.args[5], x_v, channels)
        mixing = context.make_array(signature.args[7])(context, builder, mixing_v).data
        places = _mixing_indices(builder, m, step_in, step_out, size_in, size_out)
        one = ir.Constant(channels.type, 1)

        def body(block, channel):
            inputs = [block.load(p) for p in x.steps(r, one, size_in, channel)]
            result = None
            for pointer, line in zip(g.steps(q, jump_g, size_out, channel), places, strict=True):
                total = None
                for value, place in zip(inputs, line, strict=True):
                    total = block.fma(block.splat(_scalar(builder, mixing, place)), value, total)
                result = block.fma(block.load(pointer), total, result)
            block.store(result, out.at(o, channel))

        _over_channels(context, builder, signature.args[0].dtype, channels, body)
        return context.get_dummy_value()

    @intrinsic
    def weigh(typingctx, out, o, g, q, jump_g, x, r, mixing, m, step_in, step_out, channels):
        i = types.intp
        return types.void(out, i, g, i, i, x, i, mixing, i, i, i, i), emit

    return weigh


def _make_meet(size_in, size_out):
    """met_ka = sum_c x_a w g_k, for all channels; one row of g at a time, so that the sums stay in registers."""

    def emit(context, builder, signature, arguments):
        met_v, m, x_v, r, w_v, v, g_v, q, jump_g, channels = arguments
        x = _Rows(context, builder, signature.args[2], x_v, channels)
        w = _Rows(context, builder, signature.args[4], w_v, channels)
        g = _Rows(context, builder, signature.args[6], g_v, channels)
        met = context.make_array(signature.args[0])(context, builder, met_v).data
        real, one = signature.args[2].dtype, ir.Constant(channels.type, 1)
        row, place = q, m
        for _ in range(size_out):
            sums = {}
            for lanes in (LANES, 1):
                block = _Block(context, builder, real, lanes)
                zero = ir.Constant(block.type, [0.0] * lanes if lanes > 1 else 0.0)
                sums[lanes] = [cgutils.alloca_once_value(builder, zero) for _ in range(size_in)]
                for slot in sums[lanes]:
                    builder.store(zero, slot)

            def body(block, channel, row=row, sums=sums):
                pulled = builder.fmul(block.load(w.at(v, channel)), block.load(g.at(row, channel)))
                for slot, pointer in zip(sums[block.lanes], x.steps(r, one, size_in, channel), strict=True):
                    builder.store(block.fma(pulled, block.load(pointer), builder.load(slot)), slot)

            _over_channels(context, builder, real, channels, body)
            for wide, narrow in zip(sums[LANES], sums[1], strict=True):
                total = builder.fadd(_total(builder, builder.load(wide)), builder.load(narrow))
                builder.store(total, builder.gep(met, [place]))
                place = builder.add(place, one)
            row = builder.add(row, jump_g)
        return context.get_dummy_value()

    @intrinsic
    def meet(typingctx, met, m, x, r, w, v, g, q, jump_g, channels):
        i = types.intp
        return types.void(met, i, x, i, w, i, g, i, i, i), emit

    return meet


def _total(builder, vector):
    """Return the sum over the lanes, halving the vector again and again."""
    count = vector.type.count
    while count > 1:
        count //= 2
        undefined = ir.Constant(vector.type, ir.Undefined)
        halves = [
            builder.shuffle_vector(
                vector, undefined, ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(k, k + count)))
            )
            for k in (0, count)
        ]
        vector = builder.fadd(*halves)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


# numba sees functions by their names: one name for each pair of sizes (in, out)
add_11, add_13, add_15, add_17 = (_make_add(1, k) for k in (1, 3, 5, 7))
add_31, add_33, add_35, add_37 = (_make_add(3, k) for k in (1, 3, 5, 7))
add_51, add_53, add_55, add_57 = (_make_add(5, k) for k in (1, 3, 5, 7))
add_71, add_73, add_75, add_77 = (_make_add(7, k) for k in (1, 3, 5, 7))
weigh_11, weigh_13, weigh_15, weigh_17 = (_make_weigh(1, k) for k in (1, 3, 5, 7))
weigh_31, weigh_33, weigh_35, weigh_37 = (_make_weigh(3, k) for k in (1, 3, 5, 7))
weigh_51, weigh_53, weigh_55, weigh_57 = (_make_weigh(5, k) for k in (1, 3, 5, 7))
weigh_71, weigh_73, weigh_75, weigh_77 = (_make_weigh(7, k) for k in (1, 3, 5, 7))
meet_11, meet_13, meet_15, meet_17 = (_make_meet(1, k) for k in (1, 3, 5, 7))
meet_31, meet_33, meet_35, meet_37 = (_make_meet(3, k) for k in (1, 3, 5, 7))
meet_51, meet_53, meet_55, meet_57 = (_make_meet(5, k) for k in (1, 3, 5, 7))
meet_71, meet_73, meet_75, meet_77 = (_make_meet(7, k) for k in (1, 3, 5, 7))
