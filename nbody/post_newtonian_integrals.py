"""Conserved integrals of the conservative post-Newtonian motion: energy, momentum, angular momentum, centre of mass.

With all pairs acting, the orders 1, 2, 3 of `terms` on and 2.5, 3.5 off, these are constant up to the first order
that is left out. For n bodies: exact to 1PN with "1" and "1cross" (Einstein-Infeld-Hoffmann), pairwise above.

    E = sum m v^2/2 - sum G m_i m_j/r + (1/c^2)(...) + ...      (rest masses not included)
    P = sum m v + ...,     M c^2 V = c^2 P,  M = sum m + E/c^2   (velocity V of the centre of mass)
    J = sum x x m v + sum S + ...
    X = [sum m x (1 + v^2/(2c^2) - phi/(2c^2)) + (1/c^2) sum v x S]/[same sum without x],  phi = sum G m_j/r   (1PN)

Spin-orbit adds G m_j (S_i, x_i - x_j, v_i)/(c^2 r^3) to E, G m_j S_i x (x_i - x_j)/(c^2 r^3) to P, and
v x (S x v)/(2c^2) and the moment of that momentum to J; spin-spin and quadrupole-monopole add to E alone. They are
conserved to leading order in the spins (covariant supplementary condition).

References
----------
    Blanchet 2014, Living Rev. Relativity 17, 2, doi:10.12942/lrr-2014-2, section 5.2;
    Kidder 1995, Phys. Rev. D 52, 821, arXiv:gr-qc/9506022 (spins); `post_newtonian_tables` for the coefficients.

"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..particles.errors import InputError
from ._kernels.post_newtonian_terms import TERM_1, TERM_1CROSS, TERM_2, TERM_3, TERM_Q, TERM_SO, TERM_SS
from .post_newtonian_tables import (
    ANGULAR_SHARE,
    ANGULAR_TWIST,
    ENERGY,
    KINETIC_ENERGY,
    KINETIC_MOMENTUM,
    MOMENTUM_N,
    MOMENTUM_V,
    Table,
)

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Integrals:
    """Conserved quantities of a post-Newtonian system; equations in the module's docstring.

    Attributes
    ----------
    energy : float, without rest masses
    momentum, angular_momentum : (3,) float64
    centre_of_mass : (3,) float64, position, to 1PN
    centre_of_mass_velocity : (3,) float64, to the order of the momentum
    mass : float, total mass-energy, sum m + E/c^2

    """

    energy: float
    momentum: Vector
    angular_momentum: Vector
    centre_of_mass: Vector
    centre_of_mass_velocity: Vector
    mass: float


def integrals(
    terms: int,
    mass: npt.ArrayLike,
    position: npt.ArrayLike,
    velocity: npt.ArrayLike,
    spin: npt.ArrayLike | None = None,
    *,
    G: float,
    c: float,
    acts: npt.ArrayLike | None = None,
) -> Integrals:
    """Energy, momentum, angular momentum and centre of mass of n bodies with post-Newtonian corrections.

    | symbol | argument | shape | unit |
    |---|---|---|---|
    | | terms | int | bits of the terms; "2.5" and "3.5" are not conservative and count for nothing |
    | m | mass | (n,) | mass |
    | x, v | position, velocity | (n, 3) | length, velocity |
    | S | spin | (n, 3) | angular momentum; zero if not given |
    | | acts | (n, n) bool | pairs that post-Newtonian terms act on; all if not given; kinetic terms are always in |

    Raises InputError for shapes that do not fit or two bodies in one place. Cost O(n^2) Python-level pairs: made for
    the few bodies of a post-Newtonian group.
    """
    m, x, v = (np.asarray(values, dtype=np.float64) for values in (mass, position, velocity))
    n = m.size
    s = np.zeros((n, 3)) if spin is None else np.asarray(spin, dtype=np.float64)
    pairs = np.ones((n, n), dtype=bool) if acts is None else np.asarray(acts, dtype=bool)
    if m.shape != (n,) or any(values.shape != (n, 3) for values in (x, v, s)) or pairs.shape != (n, n):
        raise InputError(f"integrals need (n,), three (n, 3), (n, n); got {m.shape}, {x.shape}, {v.shape}, {s.shape}")
    orders = [order for order, bit in ((1, TERM_1), (2, TERM_2), (3, TERM_3)) if terms & bit]
    energy, momentum = 0.0, np.zeros(3)
    angular = np.sum(s, axis=0)
    for order in [0, *orders]:
        factor = (np.sum(v * v, axis=1) / c**2) ** order
        energy += KINETIC_ENERGY[order] * float(np.sum(m * np.sum(v * v, axis=1) * factor))
        flow = KINETIC_MOMENTUM[order] * (m * factor)[:, None] * v
        momentum += np.sum(flow, axis=0)
        angular += np.sum(np.cross(x, flow), axis=0)
    if terms & TERM_SO:
        angular += np.sum(np.cross(v, np.cross(s, v)), axis=0) / (2 * c**2)
    potential = np.zeros(n)  # of all, and of acting neighbours only
    near = np.zeros(n)
    for i in range(n):
        for j in range(i):
            pair = _Pair(G, c, m[i], m[j], x[i], x[j], v[i], v[j])
            energy -= G * m[i] * m[j] / pair.r
            for one, other in ((i, j), (j, i)):
                potential[one] += G * m[other] / pair.r
            if not pairs[i, j]:
                continue
            for one, other in ((i, j), (j, i)):
                near[one] += G * m[other] / pair.r
            pair_energy, pair_momentum, pair_angular = pair.corrections(orders)
            spin_energy, spin_momentum, spin_angular = pair.spins(terms, s[i], s[j])
            energy += pair_energy + spin_energy
            momentum += pair_momentum + spin_momentum
            angular += pair_angular + spin_angular
            if terms & TERM_1CROSS:  # the part of (1/2) sum m phi^2/c^2 that is of this pair alone
                energy -= G**2 * m[i] * m[j] * (m[i] + m[j]) / (2 * c**2 * pair.r**2)
    if terms & TERM_1CROSS:
        energy += float(np.sum(m * near**2)) / (2 * c**2)
    inertia = m * (1 + (np.sum(v * v, axis=1) - potential) / (2 * c**2) * bool(terms & TERM_1))
    centre = inertia @ x
    if terms & TERM_SO:
        centre = centre + np.sum(np.cross(v, s), axis=0) / c**2
    total = float(np.sum(m)) + (energy / c**2 if orders else 0.0)
    return Integrals(energy, momentum, angular, centre / np.sum(inertia), momentum / total, total)


class _Pair:
    """Two bodies: what the interaction adds to the integrals."""

    def __init__(
        self, G: float, c: float, m1: float, m2: float, x1: Vector, x2: Vector, v1: Vector, v2: Vector
    ) -> None:  # fmt: skip
        self.G, self.c, self.m1, self.m2 = G, c, m1, m2
        self.x1, self.x2, self.v1, self.v2 = x1, x2, v1, v2
        self.r = float(np.linalg.norm(x1 - x2))
        if self.r == 0:
            raise InputError("two bodies are in one place: their post-Newtonian energy is infinite")
        self.n = (x1 - x2) / self.r

    def mirror(self) -> _Pair:
        """The same pair with the labels swapped."""
        return _Pair(self.G, self.c, self.m2, self.m1, self.x2, self.x1, self.v2, self.v1)

    def corrections(self, orders: list[int]) -> tuple[float, Vector, Vector]:
        """Energy, momentum and angular momentum of the interaction beyond Newton's, orders as given."""
        other = self.mirror()
        energy, along1, along2, share, share_mirror, radial, twist = (0.0,) * 7
        for order in orders:
            scale = self.c ** (-2 * order)
            energy += scale * (self.rows(ENERGY[order]) + other.rows(ENERGY[order], mirrored=True))
            along1 += scale * self.rows(MOMENTUM_V[order])
            along2 += scale * other.rows(MOMENTUM_V[order])
            radial += scale * (self.rows(MOMENTUM_N[order]) - other.rows(MOMENTUM_N[order], mirrored=True))
            share += scale * self.rows(ANGULAR_SHARE[order])
            share_mirror += scale * other.rows(ANGULAR_SHARE[order])
            twist += scale * (self.rows(ANGULAR_TWIST[order]) - other.rows(ANGULAR_TWIST[order], mirrored=True))
        momentum = along1 * self.v1 + along2 * self.v2 + radial * self.n
        carried = (along1 - share_mirror) * self.v1 + share * self.v2
        angular = (
            np.cross(self.x2, momentum)
            + np.cross(self.x1 - self.x2, carried)
            + twist * self.r * np.cross(self.v1, self.v2)
        )
        return energy, momentum, angular

    def rows(self, table: Table, *, mirrored: bool = False) -> float:
        """Sum of a table's rows; as the mirror image, without the rows that are their own."""
        a, b = float(self.n @ self.v1), float(self.n @ self.v2)
        P, Q, W = float(self.v1 @ self.v1), float(self.v2 @ self.v2), float(self.v1 @ self.v2)
        total = 0.0
        for p, q, i, j, k, el, w, coefficient in table:
            if mirrored and p == q and i == j and k == el:
                continue
            mass = self.m1**p * self.m2**q * (self.G / self.r) ** (p + q - 1)
            total += coefficient * mass * a**i * b**j * P**k * Q**el * W**w
        return total

    def spins(self, terms: int, s1: Vector, s2: Vector) -> tuple[float, Vector, Vector]:
        """Energy, momentum and angular momentum of the spins' interaction."""
        g = self.G / (self.c**2 * self.r**3)
        x, n = self.x1 - self.x2, self.n
        energy, momentum, angular = 0.0, np.zeros(3), np.zeros(3)
        if terms & TERM_SO:
            first, second = g * self.m2 * np.cross(s1, x), -g * self.m1 * np.cross(s2, x)
            energy += float(first @ self.v1 + second @ self.v2)
            momentum = first + second
            angular = np.cross(2 * self.x2 - self.x1, first) + np.cross(2 * self.x1 - self.x2, second)
        if terms & TERM_SS:
            energy += g * (3 * float(n @ s1) * float(n @ s2) - float(s1 @ s2))
        if terms & TERM_Q:
            for own, other, spin in ((self.m1, self.m2, s2), (self.m2, self.m1, s1)):
                if other > 0:
                    energy += g * own / (2 * other) * (3 * float(n @ spin) ** 2 - float(spin @ spin))
        return energy, momentum, angular
