"""Error-free sums for compensated accumulation; nothing here may be reordered, so fastmath stays off.

A double-double number is an unevaluated sum high + low with |low| <= ulp(high) / 2.
Knuth's two-sum, Dekker's fast two-sum (doi:10.1007/BF01397083).
"""

from numba import njit


@njit(cache=True, forceinline=True)
def two_sum(a, b):
    """Return s = fl(a + b) and the error e, with s + e = a + b exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@njit(cache=True, forceinline=True)
def dd_add_double(high, low, x):
    """Return the double-double (high, low) + x."""
    s = high + x
    t = s - high
    e = ((high - (s - t)) + (x - t)) + low
    r = s + e
    return r, e - (r - s)


@njit(cache=True, forceinline=True)
def dd_add(ah, al, bh, bl):
    """Return the double-double sum a + b."""
    s = ah + bh
    t = s - ah
    e = ((ah - (s - t)) + (bh - t)) + (al + bl)
    r = s + e
    return r, e - (r - s)


@njit(cache=True, forceinline=True)
def dd_sub(ah, al, bh, bl):
    """Return the double-double difference a - b."""
    return dd_add(ah, al, -bh, -bl)
