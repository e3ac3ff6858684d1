"""Post-Newtonian accelerations and spin precession of point masses in harmonic coordinates: the terms and their use.

    a_i = a_i(Newton) + sum_j [N n + K (v_i - v_j)]/c^(2k)   for every order k that is on,   dS_i/dt = Omega_i x S_i

with n = (x_i - x_j)/r, and N, K polynomials in G m/r, n.v_i, n.v_j, v_i^2, v_j^2, v_i.v_j (general frame). Leading
parts, to show the form (body 1 by body 2):

    "1"       (1/c^2) (G m2/r^2) {[4 G m2/r + 5 G m1/r + 3/2 (n.v2)^2 - v1^2 - 2 v2^2 + 4 v1.v2] n
                                  + [4 n.v1 - 3 n.v2] (v1 - v2)}
    "1cross"  what Einstein-Infeld-Hoffmann has beyond pairs: products of two inverse distances that share a body
    "2.5"     (1/c^5) (4 G^2 m1 m2/(5 r^3)) {(n.v) [-6 G m1/r + 52/3 G m2/r + 3 v^2] n + [2 G m1/r - 8 G m2/r - v^2] v}
    "SO"      (G/(c^2 m1 r^3)) {6 n [m1 (S2 x n).v + m2 (S1 x n).v] + 4 m1 S2 x v + 3 m2 S1 x v
                                - (n.v) (6 m1 S2 x n + 3 m2 S1 x n)},   v = v1 - v2
    "SS"      from the energy E_SS = (G/(c^2 r^3)) [3 (n.S1)(n.S2) - S1.S2]
    "Q"       from E_Q = (G m1/(2 c^2 m2 r^3)) [3 (n.S2)^2 - S2^2] and its mirror image (Kerr holes)

    Omega_1 = (G m2/(c^2 r^2)) (2 v2 - 3/2 v1) x n          with "SO"
            + (G/(c^2 r^3)) [3 n (n.S2) - S2]               with "SS"
            + (3 G m2/(c^2 m1 r^3)) (n.S1) n                with "Q"

| symbol | variable | shape | unit |
|---|---|---|---|
| m | mass | (b,) | mass |
| x_i - x_j | separation | (b, b, 3) | length |
| v | velocity | (b, 3) | velocity |
| S = chi G m^2/c | spin | (b, 3) | angular momentum (covariant spin supplementary condition) |
| a - a(Newton) | acceleration | (b, 3) | length/time^2 |
| Omega | precession | (b, 3) | 1/time |

"2", "3" (conservative) and "2.5", "3.5" (radiation reaction, odd under time reversal) are pairwise; "3" is in the
harmonic coordinates without logarithms. The full polynomials, as printed, are in `_kernels/post_newtonian_reference`;
what is conserved is in `post_newtonian_integrals`. Neither spin effects beyond leading order nor tides are here.

The expansion is in v/c and G m/(r c^2): `validity` measures both. At 0.1 and more of either square, the first order
left out is of the order of a per cent, and below r of about 10 G m/c^2 nothing here should be trusted.

References
----------
    Blanchet 2014, Living Rev. Relativity 17, 2, doi:10.12942/lrr-2014-2, arXiv:1310.1528, eq. (203);
    Mora & Will 2004, Phys. Rev. D 69, 104021, arXiv:gr-qc/0312082; Nissanke & Blanchet 2005, Class. Quantum Grav. 22,
    1007, arXiv:gr-qc/0412018 (3.5PN); Thorne & Hartle 1985, Phys. Rev. D 31, 1815, doi:10.1103/PhysRevD.31.1815;
    Kidder 1995, Phys. Rev. D 52, 821, arXiv:gr-qc/9506022; Barker & O'Connell 1975, Phys. Rev. D 12, 329.

"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..particles.errors import InputError
from ._kernels.post_newtonian_terms import SPIN_TERMS, TERM_BITS
from .post_newtonian_integrals import Integrals, integrals

__all__ = ["TERMS", "Integrals", "Validity", "integrals", "needs_spin", "parse_terms", "term_names", "validity"]

TERMS: tuple[str, ...] = tuple(TERM_BITS)


def parse_terms(names: Iterable[str]) -> int:
    """Bit mask of post-Newtonian terms given by name; names are those of `TERMS`, each at most once.

    Raises InputError for an unknown name (the message lists the known ones), a repeated one, or one string in place of
    a list of them.
    """
    if isinstance(names, str):
        raise InputError(f"post-Newtonian terms are a list of names, such as [{names!r}]; got the text {names!r}")
    bits = 0
    for name in names:
        if name not in TERM_BITS:
            near = difflib.get_close_matches(str(name), TERMS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"unknown post-Newtonian term {name!r}{hint} Known are: {', '.join(TERMS)}")
        if bits & TERM_BITS[name]:
            raise InputError(f"post-Newtonian term {name!r} is given twice")
        bits |= TERM_BITS[name]
    return bits


def term_names(terms: int) -> tuple[str, ...]:
    """Names of the terms in a bit mask, in the order of `TERMS`."""
    if terms < 0 or terms >= 2 ** len(TERMS):
        raise InputError(f"no post-Newtonian terms have the bit mask {terms}; it is from 0 to {2 ** len(TERMS) - 1}")
    return tuple(name for name, bit in TERM_BITS.items() if terms & bit)


def needs_spin(terms: int) -> bool:
    """Whether any of the terms reads the bodies' spins."""
    return bool(terms & SPIN_TERMS)


@dataclass(frozen=True, slots=True)
class Validity:
    """How far the expansion is pushed.

    Attributes
    ----------
    velocity : largest abs(v_i - v_j)/c of the acting pairs
    potential : largest G (m_i + m_j)/(r c^2) of the acting pairs
    pair : the two indices where velocity^2 + potential is largest; (-1, -1) if no pair acts

    """

    velocity: float
    potential: float
    pair: tuple[int, int]


def validity(
    mass: npt.ArrayLike,
    position: npt.ArrayLike,
    velocity: npt.ArrayLike,
    *,
    G: float,
    c: float,
    acts: npt.ArrayLike | None = None,
) -> Validity:
    """Largest relative speed and potential, in units of c and c^2, of the pairs that post-Newtonian terms act on.

    mass (n,), position (n, 3), velocity (n, 3) in the units of G and c; acts (n, n) bool, all pairs if not given.
    Relative speeds, so that a common motion does not count. Raises InputError for shapes that do not fit.
    """
    m, x, v = (np.asarray(values, dtype=np.float64) for values in (mass, position, velocity))
    n = m.size
    pairs = np.ones((n, n), dtype=bool) if acts is None else np.array(acts, dtype=bool)
    if m.shape != (n,) or x.shape != (n, 3) or v.shape != (n, 3) or pairs.shape != (n, n):
        raise InputError(f"validity needs (n,), (n, 3), (n, 3); got {m.shape}, {x.shape}, {v.shape}, {pairs.shape}")
    first, second = np.nonzero(np.tril(pairs, -1))
    if first.size == 0:
        return Validity(0.0, 0.0, (-1, -1))
    speed2 = np.sum((v[first] - v[second]) ** 2, axis=1) / c**2
    distance = np.linalg.norm(x[first] - x[second], axis=1)
    potential = np.full(first.size, np.inf)
    np.divide(G * (m[first] + m[second]) / c**2, distance, out=potential, where=distance > 0)
    worst = int(np.argmax(speed2 + potential))
    pair = (int(second[worst]), int(first[worst]))
    return Validity(float(np.sqrt(np.max(speed2))), float(np.max(potential)), pair)
