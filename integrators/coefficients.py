"""Splitting coefficients: how long to drift and to kick, one after the other, and where the numbers come from.

A splitting applies drifts x += d_i dt v and kicks v += k_i dt a(x) in turn, beginning with whichever list is longer.
All of them are symmetric (palindromes), hence time-reversible, and symplectic. The tests derive the order of every
general one from its numbers alone, in the free algebra of two operators, and measure the order of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Splitting:
    """One splitting method.

    Attributes
    ----------
    name : str
    order : int
    drifts, kicks : fractions of dt; one list is one longer than the other, and that one begins and ends the step
    nystrom : whether the order needs accelerations that depend on positions alone in a kinetic energy quadratic in the
        velocities (Runge-Kutta-Nystrom conditions), which every ``Composition`` has
    origin : paper and DOI

    """

    name: str
    order: int
    drifts: tuple[float, ...]
    kicks: tuple[float, ...]
    nystrom: bool
    origin: str

    @property
    def evaluations(self) -> int:
        """Accelerations per step (a method that begins with a kick takes over the last one of the step before)."""
        return min(len(self.kicks), len(self.drifts))


def palindrome(half: Sequence[float], *, middle: float | None = None) -> tuple[float, ...]:
    """Return half, middle and half turned round; without a middle the last of half is not repeated."""
    tail = tuple(reversed(half)) if middle is not None else tuple(reversed(half))[1:]
    return (*half, *(() if middle is None else (middle,)), *tail)


def of_leapfrogs(name: str, order: int, weights: Sequence[float], origin: str, *, first: str = "drift") -> Splitting:
    """Return the composition of leapfrogs with steps w_i dt; the weights are symmetric and their sum is 1.

    Inner halves merge: the longer list is w_1/2, (w_1 + w_2)/2, ..., w_s/2 and the shorter one is w_1, ..., w_s.
    """
    inner = [(a + b) / 2.0 for a, b in pairwise(weights)]
    outer = (weights[0] / 2.0, *inner, weights[-1] / 2.0)
    if first == "drift":
        return Splitting(name, order, outer, tuple(weights), False, origin)
    return Splitting(name, order, tuple(weights), outer, False, origin)


def _symmetric(*half: float) -> tuple[float, ...]:
    """Return weights w_1 ... w_m, 1 - 2 sum, w_m ... w_1."""
    return palindrome(half, middle=1.0 - 2.0 * math.fsum(half))


def _of_adjoints(first: Sequence[float], second: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return drifts and kicks of the product of drift-kick Euler steps ``second`` and their adjoints ``first``."""
    kicks = tuple(a + b for a, b in zip(first, second, strict=True))
    drifts = (second[0], *(a + b for a, b in zip(first, second[1:], strict=False)), first[-1])
    return drifts, kicks


def _blanes_moan4() -> Splitting:
    kicks = (0.0829844064174052, 0.396309801498368, -0.0390563049223486)
    drifts = (0.245298957184271, 0.604872665711080)
    half = (*drifts, 0.5 - math.fsum(drifts))
    return Splitting(
        "blanes-moan4",
        4,
        (*half, *reversed(half)),
        palindrome(kicks, middle=1.0 - 2.0 * math.fsum(kicks)),
        True,
        "SRKN_6^b of Blanes & Moan 2002, doi:10.1016/S0377-0427(01)00492-7",
    )


def _blanes_moan6() -> Splitting:
    kicks = (0.0414649985182624, 0.198128671918067, -0.0400061921041533, 0.0752539843015807, -0.0115113874206879)
    drifts = (0.123229775946271, 0.290553797799558, -0.127049212625417, -0.246331761062075, 0.357208872795928)
    half = (*kicks, 0.5 - math.fsum(kicks))
    return Splitting(
        "blanes-moan6",
        6,
        palindrome(drifts, middle=1.0 - 2.0 * math.fsum(drifts)),
        (*half, *reversed(half)),
        True,
        "SRKN_11^b of Blanes & Moan 2002, doi:10.1016/S0377-0427(01)00492-7",
    )


def _mclachlan4() -> Splitting:
    root = math.sqrt(19.0)
    forward = (
        (146.0 + 5.0 * root) / 540.0,
        (-2.0 + 10.0 * root) / 135.0,
        1.0 / 5.0,
        (-23.0 - 20.0 * root) / 270.0,
        (14.0 - root) / 108.0,
    )
    drifts, kicks = _of_adjoints(forward, tuple(reversed(forward)))
    return Splitting("mclachlan4", 4, drifts, kicks, False, "McLachlan 1995, doi:10.1137/0916010, five stages")


_YOSHIDA = "Yoshida 1990, doi:10.1016/0375-9601(90)90092-3"
_KAHAN_LI = "Kahan & Li 1997, doi:10.1090/S0025-5718-97-00873-9"
_STRANG = "Verlet 1967, doi:10.1103/PhysRev.159.98; Strang 1968, doi:10.1137/0705041"

#: name -> Splitting
SPLITTINGS: dict[str, Splitting] = {
    s.name: s
    for s in (
        of_leapfrogs("leapfrog", 2, (1.0,), f"kick-drift-kick: {_STRANG}", first="kick"),
        of_leapfrogs("leapfrog-dkd", 2, (1.0,), f"drift-kick-drift: {_STRANG}"),
        of_leapfrogs("yoshida4", 4, _symmetric(1.0 / (2.0 - 2.0 ** (1.0 / 3.0))), f"{_YOSHIDA}, three leapfrogs"),
        of_leapfrogs(
            "yoshida6",
            6,
            _symmetric(0.78451361047755726382, 0.23557321335935813368, -1.17767998417887100695),
            f"{_YOSHIDA}, solution A, seven leapfrogs",
        ),
        of_leapfrogs(
            "yoshida8",
            8,
            _symmetric(
                1.04242620869991,
                1.82020630970714,
                0.157739928123617,
                2.44002732616735,
                -0.00716989419708120,
                -2.44699182370524,
                -1.61582374150097,
            ),
            f"{_YOSHIDA}, solution D, fifteen leapfrogs",
        ),
        _mclachlan4(),
        _blanes_moan4(),
        _blanes_moan6(),
        of_leapfrogs(
            "kahan-li6",
            6,
            _symmetric(0.39216144400731413928, 0.33259913678935943860, -0.70624617255763935981, 0.08221359629355080023),
            f"{_KAHAN_LI}, nine leapfrogs",
        ),
        of_leapfrogs(
            "kahan-li8",
            8,
            _symmetric(
                0.13020248308889008087881763,
                0.56116298177510838456196441,
                -0.38947496264484728640807860,
                0.15884190655515560089621075,
                -0.39590389413323757733623154,
                0.18453964097831570709183254,
                0.25837438768632204729397911,
                0.29501172360931029887096624,
            ),
            f"{_KAHAN_LI}, seventeen leapfrogs",
        ),
    )
}
