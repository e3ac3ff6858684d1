"""What acts on each number alone at the end of a layer, as loops that become vector instructions."""

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from .blocks import OPTIONS

#: Makes silu of a standard normal variable have a mean square of one; as in ``bases``.
_SILU_GAIN = 1.6791767
_TERMS = 14
_INVERSE_FACTORIALS = np.array([1.0 / float(np.prod(np.arange(1.0, k + 1.0))) for k in range(_TERMS)])


def _make_power_of_two():
    """2^k for a whole k in a float, put together from its exponent."""

    def emit(context, builder, signature, arguments):
        real = signature.return_type
        bits, fraction, bias = (32, 23, 127) if real.bitwidth == 32 else (64, 52, 1023)
        whole = ir.IntType(bits)
        exponent = builder.add(builder.fptosi(arguments[0], whole), ir.Constant(whole, bias))
        return builder.bitcast(builder.shl(exponent, ir.Constant(whole, fraction)), context.get_value_type(real))

    @intrinsic
    def power(typingctx, k):
        return k(k), emit

    return power


_power_of_two = _make_power_of_two()


@njit(**OPTIONS)
def sigmoid(x, factorials):
    """Return 1/(1 + exp(-x)); exp by its series about the nearest power of two."""
    real = factorials.dtype.type
    z = min(max(-x, real(-80.0)), real(80.0))
    k = np.floor(z * real(1.4426950408889634) + real(0.5))
    r = z - k * real(0.6931471805599453)
    series = factorials[_TERMS - 1]
    for j in range(1, _TERMS):
        series = series * r + factorials[_TERMS - 1 - j]
    return real(1.0) / (real(1.0) + series * _power_of_two(k))


@njit(**OPTIONS)
def gate(scalars, kinds, out):
    """Overwrite scalars (even: silu, odd: tanh) of ``out`` (n, D, C), and multiply the others by their gates.

    ``scalars`` (n, 1 + gates, C): the even scalars before, then one gate for each kind of a higher degree, which becomes
    its sigmoid
    """
    count, channels = out.shape[0], out.shape[2]
    factorials = _INVERSE_FACTORIALS.astype(out.dtype)
    real = factorials.dtype.type
    gain, one, two = real(_SILU_GAIN), real(1.0), real(2.0)
    for i in range(count):
        used = 1
        for k in range(len(kinds)):
            height, row = kinds[k, 1], kinds[k, 3]
            target = out[i, row]
            if k == 0:
                value = scalars[i, 0]
                for c in range(channels):
                    target[c] = gain * value[c] * sigmoid(value[c], factorials)
            elif height == 1:
                for c in range(channels):
                    target[c] = two * sigmoid(two * target[c], factorials) - one
            else:
                factor = scalars[i, used]
                for c in range(channels):
                    factor[c] = sigmoid(factor[c], factorials)
                for m in range(height):
                    target = out[i, row + m]
                    for c in range(channels):
                        target[c] *= factor[c]
                used += 1


@njit(**OPTIONS)
def ungate(g, new, scalars, kinds, out):
    """Overwrite ``out`` (n, columns + D - 1, C) with the gradient by what the gate took, from that by what it made.

    ``g`` (n, D, C) the gradient by the features ``new`` (n, D, C) that ``gate`` made; ``scalars`` as it left them. First rows of
    ``out``: the even scalars and the gates, then all rows of the other kinds.
    """
    count, channels, columns = g.shape[0], g.shape[2], scalars.shape[1]
    factorials = _INVERSE_FACTORIALS.astype(g.dtype)
    real = factorials.dtype.type
    gain, one = real(_SILU_GAIN), real(1.0)
    for i in range(count):
        used = 1
        for k in range(len(kinds)):
            height, row = kinds[k, 1], kinds[k, 3]
            pull, made, target = g[i, row], new[i, row], out[i, 0 if k == 0 else columns - 1 + row]
            if k == 0:
                value = scalars[i, 0]
                for c in range(channels):
                    s = sigmoid(value[c], factorials)
                    target[c] = gain * pull[c] * s * (one + value[c] * (one - s))
            elif height == 1:
                for c in range(channels):
                    target[c] = pull[c] * (one - made[c] * made[c])
            else:
                factor, below = scalars[i, used], out[i, used]
                below[:] = real(0.0)
                for m in range(height):
                    pull, made, target = g[i, row + m], new[i, row + m], out[i, columns - 1 + row + m]
                    for c in range(channels):
                        target[c] = pull[c] * factor[c]
                        below[c] += pull[c] * made[c]
                for c in range(channels):
                    below[c] *= one - factor[c]
                used += 1
