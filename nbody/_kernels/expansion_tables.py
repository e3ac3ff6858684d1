"""Multi-indices of Cartesian expansions: which n there are, and which of them combine; plain NumPy, made once per order.

A multi-index n = (n_x, n_y, n_z) names the component x^n_x y^n_y z^n_z of a symmetric tensor; |n| = n_x + n_y + n_z. They
are sorted by |n|, so that the first `size(q)` belong to order q and below.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np


class Tables(NamedTuple):
    """What kernels need to know of the multi-indices up to one order, K in number.

    Attributes
    ----------
    below, axis, power : (K,) n = below[n] + e_axis[n] and n_axis, to build x^n / n! one after another
    raised : (K, 3) the number of n + e_i, or -1 above the order
    triple : (T, 3) all (m, k, q) with m = k + q
    moment : (K,) the column of a row of moments that belongs to n; -1 for the dipole, which is zero and has none
    trace : (K, 3) the number of n + 2 e_i, or -1 above the order
    factorial : (K,) n!
    norm : (order + 1, order // 2 + 1) weights of |tr^j T_q|^2 in the squared power of T_q, see `powers`
    binomial : (order + 1,)

    """

    below: np.ndarray
    axis: np.ndarray
    power: np.ndarray
    raised: np.ndarray
    triple: np.ndarray
    moment: np.ndarray
    trace: np.ndarray
    factorial: np.ndarray
    norm: np.ndarray
    binomial: np.ndarray


HEAD = 5  # entries of a row before the moments: x, y, z, smallest and largest squared softening
LANES = 8


def width(order):
    """Return the length of a row: all moments but the dipole, filled up to whole vectors."""
    return -(-(HEAD + size(order) - 3) // LANES) * LANES


def column(number):
    """Return where a row has the moment of a multi-index that is not the dipole's."""
    return HEAD + (0 if number == 0 else number - 3)


def size(order):
    """Return how many multi-indices there are up to an order."""
    return (order + 1) * (order + 2) * (order + 3) // 6


@cache
def indices(order):
    """Return the multi-indices up to an order, sorted by |n|."""
    return [(x, y, q - x - y) for q in range(order + 1) for x in range(q, -1, -1) for y in range(q - x, -1, -1)]


@cache
def triples(order):
    """Return all (m, k, q), numbers of multi-indices, with m = k + q."""
    numbered = {n: i for i, n in enumerate(indices(order))}
    return [
        (i, numbered[k], numbered[q])
        for m, i in numbered.items()
        for k in numbered
        if min(q := (m[0] - k[0], m[1] - k[1], m[2] - k[2])) >= 0
    ]


@cache
def tables(order):
    """Return the tables of an order."""
    all_n = indices(order)
    numbered = {n: i for i, n in enumerate(all_n)}
    below, axis, power = [0], [0], [0]
    for n in all_n[1:]:
        d = max(range(3), key=lambda d: n[d])
        below.append(numbered[tuple(n[i] - (i == d) for i in range(3))])
        axis.append(d)
        power.append(n[d])
    raised, trace = (
        [[numbered.get(tuple(n[i] + by * (i == d) for i in range(3)), -1) for d in range(3)] for n in all_n]
        for by in (1, 2)
    )
    binomials = [math.comb(order, k) for k in range(order + 1)]
    return Tables(
        below=np.array(below),
        axis=np.array(axis),
        power=np.array(power),
        raised=np.array(raised),
        triple=np.array(triples(order)),
        moment=np.array([-1 if 1 <= i <= 3 else column(i) for i in range(len(all_n))]),
        trace=np.array(trace),
        factorial=np.array([math.prod(math.factorial(k) for k in n) for n in all_n], dtype=float),
        norm=_norms(order),
        binomial=np.array(binomials, dtype=float),
    )


def _norms(order):
    """Return the weights w_qj of P_q^2 = sum_j w_qj |tr^j T_q|^2, the squared norm of the traceless part of T_q.

    It is scaled so that P_q = m b^q for one mass at the distance b.
    """
    weights = np.zeros((order + 1, order // 2 + 1))
    for q in range(order + 1):
        for j in range(q // 2 + 1):
            weights[q, j] = (-1.0) ** j * _odd(q - j) / (math.factorial(q - 2 * j) * math.factorial(j) * 2**j)
    return weights


def _odd(k):
    """Return (2 k - 1)!! = 1 3 5 ... (2 k - 1)."""
    return math.prod(range(1, 2 * k, 2))
