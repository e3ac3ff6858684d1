"""Bits of the post-Newtonian terms, shared by the readable front and every kernel.

A set of terms travels into a kernel as one integer, the sum of the bits of the terms that are on.
"""

TERM_1 = 1  # 1PN, pairwise
TERM_1CROSS = 2  # what Einstein-Infeld-Hoffmann has beyond the pairs: products of two potentials that share a body
TERM_2 = 4  # 2PN, pairwise
TERM_25 = 8  # 2.5PN, pairwise: leading radiation reaction
TERM_3 = 16  # 3PN, pairwise, modified harmonic coordinates (no logarithms)
TERM_35 = 32  # 3.5PN, pairwise
TERM_SO = 64  # leading spin-orbit
TERM_SS = 128  # leading spin(1)-spin(2)
TERM_Q = 256  # leading quadrupole-monopole of a Kerr black hole: spin(1)-spin(1), spin(2)-spin(2)

TERM_BITS: dict[str, int] = {
    "1": TERM_1,
    "1cross": TERM_1CROSS,
    "2": TERM_2,
    "2.5": TERM_25,
    "3": TERM_3,
    "3.5": TERM_35,
    "SO": TERM_SO,
    "SS": TERM_SS,
    "Q": TERM_Q,
}

ORBIT_TERMS = TERM_1 | TERM_2 | TERM_25 | TERM_3 | TERM_35
SPIN_TERMS = TERM_SO | TERM_SS | TERM_Q

STATUS_OK = 0
STATUS_COINCIDENT = 1  # two bodies that act on each other are in one place
STATUS_NOT_FINITE = 2  # a result is infinite or not a number
