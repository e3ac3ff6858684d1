"""Post-Newtonian accelerations and spin precession, readable NumPy twin: the formulas as they are printed.

Nothing is rearranged for speed here; `post_newtonian_cpu` is held to this file by a test. The arrays may be of any
float type that NumPy computes in (`numpy.longdouble` included), which the boost test uses.

Legend (one pair, body 1 = i, body 2 = j; n points from j to i)
    m, M      masses of i and j                     G m / r        written out
    a, b, d   n.v1, n.v2, a - b                     P, Q, W, D     v1^2, v2^2, v1.v2, |v1 - v2|^2
    N, K      coefficients in  a_i = N n + K (v_i - v_j)

References
----------
    Blanchet 2014, Living Rev. Relativity 17, 2, doi:10.12942/lrr-2014-2, arXiv:1310.1528, eq. (203) (1PN to 3.5PN);
    Mora & Will 2004, Phys. Rev. D 69, 104021, arXiv:gr-qc/0312082 (3PN without logarithms);
    Thorne & Hartle 1985, Phys. Rev. D 31, 1815, doi:10.1103/PhysRevD.31.1815, eq. (4.11) (N-body 1PN, spins);
    Kidder 1995, Phys. Rev. D 52, 821, arXiv:gr-qc/9506022 (spins, covariant supplementary condition).

"""

import math

import numpy as np
import numpy.typing as npt

from .post_newtonian_terms import (
    SPIN_TERMS,
    STATUS_COINCIDENT,
    STATUS_NOT_FINITE,
    STATUS_OK,
    TERM_1,
    TERM_1CROSS,
    TERM_2,
    TERM_3,
    TERM_25,
    TERM_35,
    TERM_Q,
    TERM_SO,
    TERM_SS,
)

Array = npt.NDArray[np.floating]
PI2 = math.pi**2


def accelerations(
    terms: int,
    G: float,
    c: float,
    mass: Array,
    acts: npt.NDArray[np.bool_],
    separation: Array,
    velocity: Array,
    spin: Array,
    acceleration: Array,
    precession: Array,
) -> int:
    """Overwrite `acceleration` with the post-Newtonian part and `precession` with the spins' angular velocity.

    See `post_newtonian_cpu.accelerations` for shapes, units and the meaning of `acts`: same name, same signature.
    """
    acceleration[...] = 0
    precession[...] = 0
    n_bodies = len(mass)
    for i in range(n_bodies):
        for j in range(n_bodies):
            if i == j or not acts[i, j]:
                continue
            if not np.any(separation[i, j]):
                return STATUS_COINCIDENT
            acceleration[i] += _orbit(terms, G, c, mass[i], mass[j], separation[i, j], velocity[i], velocity[j])
            if terms & SPIN_TERMS:
                pair = (G, c, mass[i], mass[j], separation[i, j], velocity[i], velocity[j], spin[i], spin[j])
                acceleration[i] += _spin_acceleration(terms, *pair)
                precession[i] += _spin_precession(terms, *pair)
    if terms & TERM_1CROSS:
        _add_cross_terms(G, c, mass, acts, separation, acceleration)
    finite = np.all(np.isfinite(acceleration)) and np.all(np.isfinite(precession))
    return STATUS_OK if finite else STATUS_NOT_FINITE


def _orbit(terms: int, G, c, m, M, x, v1, v2):
    """Acceleration of body 1 from body 2 without spins, Blanchet 2014 eq. (203), logarithms removed at 3PN."""
    r = np.sqrt(x @ x)
    n = x / r
    v = v1 - v2
    a, b, d = n @ v1, n @ v2, n @ v
    P, Q, W, D = v1 @ v1, v2 @ v2, v1 @ v2, v @ v
    total = np.zeros_like(x)
    if terms & TERM_1:
        N, K = _first(G, m, M, r, a, b, P, Q, W)
        total += (N * n + K * v) / c**2
    if terms & TERM_2:
        N, K = _second(G, m, M, r, a, b, P, Q, W)
        total += (N * n + K * v) / c**4
    if terms & TERM_25:
        N = d * (
            208 * G**3 * m * M**2 / (15 * r**4) - 24 * G**3 * m**2 * M / (5 * r**4) + 12 * G**2 * m * M * D / (5 * r**3)
        )
        K = 8 * G**3 * m**2 * M / (5 * r**4) - 32 * G**3 * m * M**2 / (5 * r**4) - 4 * G**2 * m * M * D / (5 * r**3)
        total += (N * n + K * v) / c**5
    if terms & TERM_3:
        N, K = _third(G, m, M, r, a, b, d, P, Q, W, D)
        total += (N * n + K * v) / c**6
    if terms & TERM_35:
        N, K = _third_and_half(G, m, M, r, a, b, d, P, Q, W, D)
        total += (N * n + K * v) / c**7
    return total


def _first(G, m, M, r, a, b, P, Q, W):
    N = -G * M / r**2 * (P + 2 * Q - 4 * W - 3 * b**2 / 2 - 5 * G * m / r - 4 * G * M / r)
    K = G * M / r**2 * (4 * a - 3 * b)
    return N, K


def _second(G, m, M, r, a, b, P, Q, W):
    N = (
        -57 * G**3 * m**2 * M / (4 * r**4)
        - 69 * G**3 * m * M**2 / (2 * r**4)
        - 9 * G**3 * M**3 / r**4
        + G * M / r**2
        * (b**2 * (-15 * b**2 / 8 + 3 * P / 2 - 6 * W + 9 * Q / 2) - 2 * W**2 + 4 * W * Q - 2 * Q**2)
        + G**2 * m * M / r**3
        * (39 * a**2 / 2 - 39 * a * b + 17 * b**2 / 2 - 15 * P / 4 - 5 * W / 2 + 5 * Q / 4)
        + G**2 * M**2 / r**3 * (2 * a**2 - 4 * a * b - 6 * b**2 - 8 * W + 4 * Q)
    )  # fmt: skip
    K = (
        -2 * G**2 * M**2 / r**3 * (a + b)
        + G**2 * m * M / r**3 * (-63 * a / 4 + 55 * b / 4)
        + G * M / r**2 * (-6 * a * b**2 + 9 * b**3 / 2 + b * P - 4 * a * W + 4 * b * W + 4 * a * Q - 5 * b * Q)
    )
    return N, K


def _third(G, m, M, r, a, b, d, P, Q, W, D):
    N = (
        G * M / r**2 * (
            35 * b**6 / 16 - 15 * b**4 * P / 8 + 15 * b**4 * W / 2 + 3 * b**2 * W**2 - 15 * b**4 * Q / 2
            + 3 * b**2 * P * Q / 2 - 12 * b**2 * W * Q - 2 * W**2 * Q + 15 * b**2 * Q**2 / 2 + 4 * W * Q**2 - 2 * Q**3
        )
        + G**2 * m * M / r**3 * (
            -171 * a**4 / 8 + 171 * a**3 * b / 2 - 723 * a**2 * b**2 / 4 + 383 * a * b**3 / 2 - 455 * b**4 / 8
            + 229 * a**2 * P / 4 - 205 * a * b * P / 2 + 191 * b**2 * P / 4 - 91 * P**2 / 8
            - 229 * a**2 * W / 2 + 244 * a * b * W - 225 * b**2 * W / 2 + 91 * P * W / 2 - 177 * W**2 / 4
            + 229 * a**2 * Q / 4 - 283 * a * b * Q / 2 + 259 * b**2 * Q / 4 - 91 * P * Q / 4 + 43 * W * Q
            - 81 * Q**2 / 8
        )
        + G**2 * M**2 / r**3 * (
            -6 * a**2 * b**2 + 12 * a * b**3 + 6 * b**4 + 4 * a * b * W + 12 * b**2 * W + 4 * W**2
            - 4 * a * b * Q - 12 * b**2 * Q - 8 * W * Q + 4 * Q**2
        )
        + G**3 * M**3 / r**4 * (-(a**2) + 2 * a * b + 43 * b**2 / 2 + 18 * W - 9 * Q)
        + G**3 * m * M**2 / r**4 * (
            415 * a**2 / 8 - 375 * a * b / 4 + 1113 * b**2 / 8 - 615 * PI2 * d**2 / 64
            + 18 * P + 123 * PI2 * D / 64 + 33 * W - 33 * Q / 2
        )
        + G**3 * m**2 * M / r**4 * (
            -45887 * a**2 / 168 + 24025 * a * b / 42 - 10469 * b**2 / 42
            + 48197 * P / 840 - 36227 * W / 420 + 36227 * Q / 840
        )
        + G**4 / r**5 * (
            16 * M**4 + m**2 * M**2 * (175 - 41 * PI2 / 16) - 3187 * m**3 * M / 1260
            + m * M**3 * (110741 / 630 - 41 * PI2 / 16)
        )
        + 22 * G**3 * m**2 * M / 3 * (8 * d**2 / r**4 - D / r**4 + G * (m + M) / r**5)
    )  # fmt: skip
    K = (
        G * M / r**2 * (
            15 * a * b**4 / 2 - 45 * b**5 / 8 - 3 * b**3 * P / 2 + 6 * a * b**2 * W - 6 * b**3 * W - 2 * b * W**2
            - 12 * a * b**2 * Q + 12 * b**3 * Q + b * P * Q - 4 * a * W * Q + 8 * b * W * Q
            + 4 * a * Q**2 - 7 * b * Q**2
        )
        + G**2 * M**2 / r**3 * (
            -2 * a**2 * b + 8 * a * b**2 + 2 * b**3 + 2 * a * W + 4 * b * W - 2 * a * Q - 4 * b * Q
        )
        + G**2 * m * M / r**3 * (
            -243 * a**3 / 4 + 565 * a**2 * b / 4 - 269 * a * b**2 / 4 - 95 * b**3 / 12
            + 207 * a * P / 8 - 137 * b * P / 8 - 36 * a * W + 27 * b * W / 4 + 81 * a * Q / 8 + 83 * b * Q / 8
        )
        + G**3 * M**3 / r**4 * (4 * a + 5 * b)
        + G**3 * m * M**2 / r**4 * (-307 * a / 8 + 479 * b / 8 + 123 * PI2 * d / 32)
        + G**3 * m**2 * M / r**4 * (31397 * a / 420 - 36227 * b / 420)
        - 44 * G**3 * m**2 * M * d / (3 * r**4)
    )  # fmt: skip
    return N, K


def _third_and_half(G, m, M, r, a, b, d, P, Q, W, D):
    N = (
        G**4 * m**3 * M / r**5 * (3992 * a / 105 - 4328 * b / 105)
        + G**4 * m**2 * M**2 / r**5 * (-13576 * a / 105 + 2872 * b / 21)
        - 3172 * G**4 * m * M**3 * d / (21 * r**5)
        + G**3 * m**2 * M / r**4 * (
            48 * a**3 - 696 * a**2 * b / 5 + 744 * a * b**2 / 5 - 288 * b**3 / 5
            - 4888 * a * P / 105 + 5056 * b * P / 105 + 2056 * a * W / 21 - 2224 * b * W / 21
            - 1028 * a * Q / 21 + 5812 * b * Q / 105
        )
        + G**3 * m * M**2 / r**4 * (
            -582 * a**3 / 5 + 1746 * a**2 * b / 5 - 1954 * a * b**2 / 5 + 158 * b**3 + 3568 * d * P / 105
            - 2864 * a * W / 35 + 10048 * b * W / 105 + 1432 * a * Q / 35 - 5752 * b * Q / 105
        )
        + G**2 * m * M / r**3 * (
            -56 * d**5 + 60 * a**3 * D - 180 * a**2 * b * D + 174 * a * b**2 * D - 54 * b**3 * D - 246 * d * P**2 / 35
            + 1068 * a * P * W / 35 - 984 * b * P * W / 35 - 1068 * a * W**2 / 35 + 180 * b * W**2 / 7
            - 534 * a * P * Q / 35 + 90 * b * P * Q / 7 + 984 * a * W * Q / 35 - 732 * b * W * Q / 35
            - 204 * a * Q**2 / 35 + 24 * b * Q**2 / 7
        )
    )  # fmt: skip
    K = (
        -184 * G**4 * m**3 * M / (21 * r**5)
        + 6224 * G**4 * m**2 * M**2 / (105 * r**5)
        + 6388 * G**4 * m * M**3 / (105 * r**5)
        + G**3 * m**2 * M / r**4 * (
            52 * a**2 / 15 - 56 * a * b / 15 - 44 * b**2 / 15 - 132 * P / 35 + 152 * W / 35 - 48 * Q / 35
        )
        + G**3 * m * M**2 / r**4 * (
            454 * a**2 / 15 - 372 * a * b / 5 + 854 * b**2 / 15 - 152 * P / 21 + 2864 * W / 105 - 1768 * Q / 105
        )
        + G**2 * m * M / r**3 * (
            60 * d**4 - 348 * a**2 * D / 5 + 684 * a * b * D / 5 - 66 * b**2 * D + 334 * P**2 / 35
            - 1336 * P * W / 35 + 1308 * W**2 / 35 + 654 * P * Q / 35 - 1252 * W * Q / 35 + 292 * Q**2 / 35
        )
    )  # fmt: skip
    return N, K


def _add_cross_terms(G, c, mass, acts, separation, acceleration):
    """The three-body sums of Thorne & Hartle eq. (4.11a), as printed: one pass over (i, j, k), all different.

    Each summand is a product of two inverse distances that share a body; it counts when both of these pairs act.
    """
    n_bodies = len(mass)
    distance = np.sqrt(np.sum(separation**2, axis=2))
    for i in range(n_bodies):
        for j in range(n_bodies):
            if j == i or not acts[i, j]:
                continue
            n_ij = separation[i, j] / distance[i, j]
            for k in range(n_bodies):
                if k == i or k == j:
                    continue
                if acts[i, k]:
                    acceleration[i] += (
                        4 * G**2 * mass[j] * mass[k] / (c**2 * distance[i, j] ** 2 * distance[i, k]) * n_ij
                    )
                if acts[j, k]:
                    n_jk = separation[j, k] / distance[j, k]
                    ratio = distance[i, j] / distance[j, k]
                    acceleration[i] += (
                        G * mass[j] / (c**2 * distance[i, j] ** 2)
                        * G * mass[k] / distance[j, k] * (1 - ratio * (n_ij @ n_jk) / 2) * n_ij
                        - 7 * G**2 * mass[j] * mass[k] / (2 * c**2 * distance[i, j] * distance[j, k] ** 2) * n_jk
                    )  # fmt: skip


def _spin_acceleration(terms, G, c, m, M, x, v1, v2, S1, S2):
    r = np.sqrt(x @ x)
    n = x / r
    v = v1 - v2
    s1 = S1 / m if m > 0 else 0 * S1  # a body without mass has no spin force on itself
    total = np.zeros_like(x)
    if terms & TERM_SO:
        a_dot = n @ v
        total += G / (c**2 * r**3) * (
            6 * n * (np.cross(S2, n) @ v + M * (np.cross(s1, n) @ v))
            + 4 * np.cross(S2, v)
            + 3 * M * np.cross(s1, v)
            - a_dot * (6 * np.cross(S2, n) + 3 * M * np.cross(s1, n))
        )  # fmt: skip
    if terms & TERM_SS:
        total += G / (c**2 * r**4) * (
            n * (-3 * (s1 @ S2) + 15 * (n @ s1) * (n @ S2)) - 3 * s1 * (n @ S2) - 3 * S2 * (n @ s1)
        )  # fmt: skip
    if terms & TERM_Q:
        if M > 0:
            total += G / (c**2 * M * r**4) * (n * (-1.5 * (S2 @ S2) + 7.5 * (n @ S2) ** 2) - 3 * (n @ S2) * S2)
        total += G * M / (c**2 * r**4) * (n * (-1.5 * (s1 @ s1) + 7.5 * (n @ s1) ** 2) - 3 * (n @ s1) * s1)
    return total


def _spin_precession(terms, G, c, m, M, x, v1, v2, S1, S2):
    r = np.sqrt(x @ x)
    n = x / r
    total = np.zeros_like(x)
    if terms & TERM_SO:
        total += G * M / (c**2 * r**2) * np.cross(2 * v2 - 1.5 * v1, n)
    if terms & TERM_SS:
        total += G / (c**2 * r**3) * (-S2 + 3 * n * (n @ S2))
    if terms & TERM_Q and m > 0:
        total += 3 * G * M / (c**2 * m * r**3) * (n @ S1) * n
    return total
