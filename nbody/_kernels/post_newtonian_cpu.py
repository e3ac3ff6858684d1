"""Post-Newtonian accelerations and spin precession, numba on the CPU; `post_newtonian_reference` is the readable twin.

The formulas are those of the twin, with velocities in units of c and potentials in units of c^2, so that a term of
order k is a pure number and no power of c is left; common factors are taken out and polynomials nested.

Legend (one pair, body 1 = i, body 2 = j; n points from j to i; everything dimensionless)
    a, b, d      n.v1/c, n.v2/c, a - b                  x, y    G m_j / (r c^2), G m_i / (r c^2)
    P, Q, W, D   v1^2, v2^2, v1.v2, |v1 - v2|^2 over c^2
    N, K         a_i = (G m_j / r^2) [N n + K (v_i - v_j)/c];  for body j: swap 1 and 2, x and y, n -> -n, v -> -v,
                 which turns (a, b) into (-b, -a) and leaves d, W and D as they are

The functions of a pair take numbers and return numbers: `post_newtonian_cuda` compiles them for a GPU.
"""

import math

import numpy as np
from numba import njit

from .post_newtonian_terms import (
    ORBIT_TERMS,
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

PI2 = math.pi**2
INVERSE_15 = 1.0 / 15.0  # a division costs ten products
INVERSE_35 = 1.0 / 35.0
INVERSE_105 = 1.0 / 105.0
INVERSE_420 = 1.0 / 420.0

_compile = njit(cache=True, error_model="numpy", fastmath={"contract"})


@_compile
def _order_1(x, y, a, b, P, Q, W):
    return 4.0 * (x + W) + 5.0 * y + 1.5 * b * b - P - 2.0 * Q, 4.0 * a - 3.0 * b


@_compile
def _order_2(x, y, a, b, P, Q, W):
    b2 = b * b
    ab = a * b
    WQ = W - Q
    N = (
        b2 * (1.5 * P - 6.0 * W + 4.5 * Q - 1.875 * b2)
        - 2.0 * WQ * WQ
        + y * (19.5 * a * a - 39.0 * ab + 8.5 * b2 - 3.75 * P - 2.5 * W + 1.25 * Q - 14.25 * y - 34.5 * x)
        + x * (2.0 * a * a - 4.0 * ab - 6.0 * b2 - 8.0 * W + 4.0 * Q - 9.0 * x)
    )
    K = (
        b2 * (4.5 * b - 6.0 * a)
        + b * (P + 4.0 * W - 5.0 * Q)
        - 4.0 * a * WQ
        - 2.0 * x * (a + b)
        + y * (13.75 * b - 15.75 * a)
    )
    return N, K


@_compile
def _order_25(x, y, d, D):
    N = y * d * (208.0 * x - 72.0 * y + 36.0 * D) * INVERSE_15
    K = y * (8.0 * y - 32.0 * x - 4.0 * D) * 0.2
    return N, K


@_compile
def _order_3(x, y, a, b, d, P, Q, W, D):
    a2 = a * a
    b2 = b * b
    ab = a * b
    WQ = W - Q
    N = (
        b2 * (b2 * (2.1875 * b2 - 1.875 * P + 7.5 * (W - Q)) + 3.0 * W * W + Q * (1.5 * P - 12.0 * W + 7.5 * Q))
        - 2.0 * Q * WQ * WQ
        + y
        * (
            a2 * (-21.375 * a2 + 85.5 * ab - 180.75 * b2)
            + b2 * (191.5 * ab - 56.875 * b2)
            + P * (57.25 * a2 - 102.5 * ab + 47.75 * b2 - 11.375 * P + 45.5 * W - 22.75 * Q)
            + W * (-114.5 * a2 + 244.0 * ab - 112.5 * b2 - 44.25 * W + 43.0 * Q)
            + Q * (57.25 * a2 - 141.5 * ab + 64.75 * b2 - 10.125 * Q)
        )
        + x * (6.0 * b2 * (b2 + 2.0 * ab - a2) + 4.0 * WQ * (ab + 3.0 * b2 + WQ))
        + x * x * (2.0 * ab - a2 + 21.5 * b2 + 18.0 * W - 9.0 * Q)
        + x
        * y
        * (
            51.875 * a2 - 93.75 * ab + 139.125 * b2 + 18.0 * P + 33.0 * W - 16.5 * Q
            + PI2 / 64.0 * (123.0 * D - 615.0 * d * d)
        )
        + y
        * y
        * (
            -45887.0 / 168.0 * a2 + 24025.0 / 42.0 * ab - 10469.0 / 42.0 * b2
            + 48197.0 / 840.0 * P - 36227.0 / 420.0 * W + 36227.0 / 840.0 * Q
            + 22.0 / 3.0 * (8.0 * d * d - D + x + y)
        )
        + x * x * (16.0 * x + (110741.0 / 630.0 - 41.0 / 16.0 * PI2) * y)
        + y * y * ((175.0 - 41.0 / 16.0 * PI2) * x - 3187.0 / 1260.0 * y)
    )  # fmt: skip
    K = (
        b2 * (b2 * (7.5 * a - 5.625 * b) - 1.5 * b * P + 6.0 * W * (a - b) - 12.0 * Q * (a - b))
        + b * (Q * (P + 8.0 * W - 7.0 * Q) - 2.0 * W * W)
        - 4.0 * a * Q * WQ
        + x * (2.0 * b * (b2 + 4.0 * ab - a2) + 2.0 * WQ * (a + 2.0 * b))
        + y
        * (
            a2 * (-60.75 * a + 141.25 * b) + b2 * (-67.25 * a - 95.0 / 12.0 * b)
            + P * (25.875 * a - 17.125 * b) + W * (6.75 * b - 36.0 * a) + Q * (10.125 * a + 10.375 * b)
        )
        + x * x * (4.0 * a + 5.0 * b)
        + x * y * (59.875 * b - 38.375 * a + 123.0 / 32.0 * PI2 * d)
        + y * y * ((31397.0 * a - 36227.0 * b) * INVERSE_420 - 44.0 / 3.0 * d)
    )  # fmt: skip
    return N, K


@_compile
def _order_35(x, y, a, b, d, P, Q, W, D):
    a2 = a * a
    b2 = b * b
    ab = a * b
    N = y * (
        y * y * (3992.0 * a - 4328.0 * b) * INVERSE_105
        + x * y * (14360.0 * b - 13576.0 * a) * INVERSE_105
        - 3172.0 / 21.0 * x * x * d
        + y
        * (
            a2 * (48.0 * a - 139.2 * b) + b2 * (148.8 * a - 57.6 * b)
            + INVERSE_105
            * (P * (5056.0 * b - 4888.0 * a) + W * (10280.0 * a - 11120.0 * b) + Q * (5812.0 * b - 5140.0 * a))
        )
        + x
        * (
            a2 * (349.2 * b - 116.4 * a) + b2 * (158.0 * b - 390.8 * a)
            + INVERSE_105 * (3568.0 * d * P + W * (10048.0 * b - 8592.0 * a) + Q * (4296.0 * a - 5752.0 * b))
        )
        + D * (a2 * (60.0 * a - 180.0 * b) + b2 * (174.0 * a - 54.0 * b))
        - 56.0 * d * d * d * d * d
        + (
            P * (W * (1068.0 * a - 984.0 * b) - Q * (534.0 * a - 450.0 * b) - 246.0 * d * P)
            + W * (W * (900.0 * b - 1068.0 * a) + Q * (984.0 * a - 732.0 * b))
            + Q * Q * (120.0 * b - 204.0 * a)
        )
        * INVERSE_35
    )  # fmt: skip
    K = y * (
        (-920.0 * y * y + 6224.0 * x * y + 6388.0 * x * x) * INVERSE_105
        + y * ((52.0 * a2 - 56.0 * ab - 44.0 * b2) * INVERSE_15 + (152.0 * W - 132.0 * P - 48.0 * Q) * INVERSE_35)
        + x
        * ((454.0 * a2 - 1116.0 * ab + 854.0 * b2) * INVERSE_15 + (2864.0 * W - 760.0 * P - 1768.0 * Q) * INVERSE_105)
        + 60.0 * d * d * d * d
        + D * (-69.6 * a2 + 136.8 * ab - 66.0 * b2)
        + (
            P * (334.0 * P - 1336.0 * W + 654.0 * Q) + W * (1308.0 * W - 1252.0 * Q) + 292.0 * Q * Q
        )
        * INVERSE_35
    )  # fmt: skip
    return N, K


@_compile
def pair_coefficients(terms, x, y, a, b, d, P, Q, W, D):
    """Coefficients (N, K) of body 1's acceleration (G m_2 / r^2) [N n + K (v_1 - v_2)/c]; legend in the module."""
    N = 0.0
    K = 0.0
    if terms & TERM_1:
        N, K = _order_1(x, y, a, b, P, Q, W)
    if terms & TERM_2:
        more_n, more_k = _order_2(x, y, a, b, P, Q, W)
        N += more_n
        K += more_k
    if terms & TERM_25:
        more_n, more_k = _order_25(x, y, d, D)
        N += more_n
        K += more_k
    if terms & TERM_3:
        more_n, more_k = _order_3(x, y, a, b, d, P, Q, W, D)
        N += more_n
        K += more_k
    if terms & TERM_35:
        more_n, more_k = _order_35(x, y, a, b, d, P, Q, W, D)
        N += more_n
        K += more_k
    return N, K


@_compile
def spin_acceleration(terms, G, c, M, r, n0, n1, n2, u0, u1, u2, s0, s1, s2, S0, S1, S2):
    """Acceleration of body 1 by the spins: u = v_1 - v_2, s = spin of 1 over its mass, S = spin of 2, M = mass of 2."""
    ax = 0.0
    ay = 0.0
    az = 0.0
    g = G / (c * c * r * r * r)
    if terms & TERM_SO:
        # the three mixtures of the spins that enter: t in the radial part, z in the velocity part, h in the n part
        tx = 6.0 * S0 + 3.0 * M * s0
        ty = 6.0 * S1 + 3.0 * M * s1
        tz = 6.0 * S2 + 3.0 * M * s2
        zx = 4.0 * S0 + 3.0 * M * s0
        zy = 4.0 * S1 + 3.0 * M * s1
        zz = 4.0 * S2 + 3.0 * M * s2
        hx = S0 + M * s0
        hy = S1 + M * s1
        hz = S2 + M * s2
        radial = n0 * u0 + n1 * u1 + n2 * u2
        along = 6.0 * ((hy * n2 - hz * n1) * u0 + (hz * n0 - hx * n2) * u1 + (hx * n1 - hy * n0) * u2)
        ax += g * (along * n0 + zy * u2 - zz * u1 - radial * (ty * n2 - tz * n1))
        ay += g * (along * n1 + zz * u0 - zx * u2 - radial * (tz * n0 - tx * n2))
        az += g * (along * n2 + zx * u1 - zy * u0 - radial * (tx * n1 - ty * n0))
    if terms & (TERM_SS | TERM_Q):
        h = 3.0 * g / r
        ns = n0 * s0 + n1 * s1 + n2 * s2
        nS = n0 * S0 + n1 * S1 + n2 * S2
        if terms & TERM_SS:
            along = h * (5.0 * ns * nS - (s0 * S0 + s1 * S1 + s2 * S2))
            ax += along * n0 - h * (nS * s0 + ns * S0)
            ay += along * n1 - h * (nS * s1 + ns * S1)
            az += along * n2 - h * (nS * s2 + ns * S2)
        if terms & TERM_Q:
            along = 0.5 * h * M * (5.0 * ns * ns - (s0 * s0 + s1 * s1 + s2 * s2))
            ax += along * n0 - h * M * ns * s0
            ay += along * n1 - h * M * ns * s1
            az += along * n2 - h * M * ns * s2
            if M > 0.0:
                h /= M
                along = 0.5 * h * (5.0 * nS * nS - (S0 * S0 + S1 * S1 + S2 * S2))
                ax += along * n0 - h * nS * S0
                ay += along * n1 - h * nS * S1
                az += along * n2 - h * nS * S2
    return ax, ay, az


@_compile
def spin_precession(terms, G, c, M, r, n0, n1, n2, p0, p1, p2, q0, q1, q2, s0, s1, s2, S0, S1, S2):
    """Angular velocity of the spin of body 1: p, q velocities of 1 and 2; s, S, M as in `spin_acceleration`."""
    wx = 0.0
    wy = 0.0
    wz = 0.0
    g = G / (c * c * r * r)
    if terms & TERM_SO:
        kx = g * M * (2.0 * q0 - 1.5 * p0)
        ky = g * M * (2.0 * q1 - 1.5 * p1)
        kz = g * M * (2.0 * q2 - 1.5 * p2)
        wx += ky * n2 - kz * n1
        wy += kz * n0 - kx * n2
        wz += kx * n1 - ky * n0
    g /= r
    along = 0.0
    if terms & TERM_SS:
        along += 3.0 * g * (n0 * S0 + n1 * S1 + n2 * S2)
        wx -= g * S0
        wy -= g * S1
        wz -= g * S2
    if terms & TERM_Q:
        along += 3.0 * g * M * (n0 * s0 + n1 * s1 + n2 * s2)
    return wx + along * n0, wy + along * n1, wz + along * n2


@_compile
def _add_spin_pair(terms, G, c, i, j, r, n0, n1, n2, mass, velocity, spin, acceleration, precession):
    """Add what the spins of i and j do to the motion and the spin of i (not of j)."""
    m = mass[i]
    inverse = 1.0 / m if m > 0.0 else 0.0  # a body without mass feels no force on its own spin
    s0 = spin[i, 0] * inverse
    s1 = spin[i, 1] * inverse
    s2 = spin[i, 2] * inverse
    M = mass[j]
    S0 = spin[j, 0]
    S1 = spin[j, 1]
    S2 = spin[j, 2]
    p0 = velocity[i, 0]
    p1 = velocity[i, 1]
    p2 = velocity[i, 2]
    q0 = velocity[j, 0]
    q1 = velocity[j, 1]
    q2 = velocity[j, 2]
    ax, ay, az = spin_acceleration(
        terms, G, c, M, r, n0, n1, n2, p0 - q0, p1 - q1, p2 - q2, s0, s1, s2, S0, S1, S2
    )  # fmt: skip
    acceleration[i, 0] += ax
    acceleration[i, 1] += ay
    acceleration[i, 2] += az
    wx, wy, wz = spin_precession(
        terms, G, c, M, r, n0, n1, n2, p0, p1, p2, q0, q1, q2, s0, s1, s2, S0, S1, S2
    )  # fmt: skip
    precession[i, 0] += wx
    precession[i, 1] += wy
    precession[i, 2] += wz


@_compile
def cross_coefficients(G, c, m_i, m_j, phi, A0, A1, A2, d0, d1, d2):
    """Return o, r, f and B of a pair: body j is accelerated by o d, body i by r d + f B, where d = x_i - x_j.

    phi and A: potential and field at j of all bodies that act on it, i included; B is the field of all but i.
    """
    inverse_c2 = 1.0 / (c * c)
    inverse = 1.0 / math.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
    inverse2 = inverse * inverse
    gi = G * m_i * inverse
    gj = G * m_j * inverse
    others = phi - gi
    B0 = A0 - gi * inverse2 * d0
    B1 = A1 - gi * inverse2 * d1
    B2 = A2 - gi * inverse2 * d2
    # on j itself, its other neighbours' potential at j times the pull of i (n_ji = -n_ij)
    own = -4.0 * gi * inverse2 * others * inverse_c2
    # on i, the other neighbours' potential and field at j
    radial = gj * inverse2 * (others + 0.5 * (d0 * B0 + d1 * B1 + d2 * B2)) * inverse_c2
    return own, radial, 3.5 * gj * inverse_c2, B0, B1, B2


@_compile
def _add_cross_terms(G, c, mass, acts, separation, acceleration):
    """Add what Einstein-Infeld-Hoffmann has beyond the pairs, in O(b^2): one potential and one field per body.

    For body j, over the bodies k that act on it: phi = sum G m_k / r_jk, A = -sum G m_k n_jk / r_jk^2. What a pair
    (i, j) contributes by itself (k = i) is subtracted, because the pairwise 1PN term has it already.
    """
    b = mass.shape[0]
    for j in range(b):
        phi = 0.0
        A0 = 0.0
        A1 = 0.0
        A2 = 0.0
        for k in range(b):
            if k != j and acts[j, k]:
                d0 = separation[j, k, 0]
                d1 = separation[j, k, 1]
                d2 = separation[j, k, 2]
                inverse = 1.0 / math.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
                g = G * mass[k] * inverse
                phi += g
                g *= inverse * inverse
                A0 -= g * d0
                A1 -= g * d1
                A2 -= g * d2
        for i in range(b):
            if i == j or not acts[i, j]:
                continue
            d0 = separation[i, j, 0]  # from j to i
            d1 = separation[i, j, 1]
            d2 = separation[i, j, 2]
            own, radial, direct, B0, B1, B2 = cross_coefficients(G, c, mass[i], mass[j], phi, A0, A1, A2, d0, d1, d2)
            acceleration[j, 0] += own * d0
            acceleration[j, 1] += own * d1
            acceleration[j, 2] += own * d2
            acceleration[i, 0] += radial * d0 + direct * B0
            acceleration[i, 1] += radial * d1 + direct * B1
            acceleration[i, 2] += radial * d2 + direct * B2


@_compile
def accelerations(terms, G, c, mass, acts, separation, velocity, spin, acceleration, precession):
    """Overwrite `acceleration` with the post-Newtonian part and `precession` with the spins' angular velocity.

    | symbol | argument | shape | unit | |
    |---|---|---|---|---|
    | | terms | int | | sum of `post_newtonian_terms.TERM_BITS` |
    | G, c | G, c | float | | any consistent system |
    | m | mass | (b,) | mass | zero allowed: a test body |
    | | acts | (b, b) bool | | symmetric; diagonal ignored: the pairs that post-Newtonian terms act on |
    | x_i - x_j | separation | (b, b, 3) | length | antisymmetric; only entries of acting pairs are read |
    | v | velocity | (b, 3) | velocity | |
    | S | spin | (b, 3) | angular momentum | read only if SO, SS or Q is on; of a body without mass, only as a source |
    | | acceleration | (b, 3) | length/time^2 | overwritten; the Newtonian part is not in it |
    | Omega | precession | (b, 3) | 1/time | overwritten; dS/dt = Omega x S |

    "1cross" adds the products of two inverse distances of different pairs that share a body (Thorne & Hartle 1985
    eq. 4.11a without its two-body part); such a product counts when **both** of its pairs act. A set of bodies that
    all act on each other is therefore a complete Einstein-Infeld-Hoffmann system ("1" + "1cross"), and a body without
    an acting pair neither feels nor sources any of it.

    Returns STATUS_OK, STATUS_COINCIDENT (two acting bodies in one place) or STATUS_NOT_FINITE. Nothing is allocated.
    """
    b = mass.shape[0]
    for i in range(b):
        for k in range(3):
            acceleration[i, k] = 0.0
            precession[i, k] = 0.0
    inverse_c = 1.0 / c
    for i in range(b):
        for j in range(i):
            if not acts[i, j]:
                continue
            d0 = separation[i, j, 0]
            d1 = separation[i, j, 1]
            d2 = separation[i, j, 2]
            r2 = d0 * d0 + d1 * d1 + d2 * d2
            if r2 == 0.0:
                return STATUS_COINCIDENT
            r = math.sqrt(r2)
            inverse = 1.0 / r
            n0 = d0 * inverse
            n1 = d1 * inverse
            n2 = d2 * inverse
            if terms & ORBIT_TERMS:
                p0 = velocity[i, 0] * inverse_c
                p1 = velocity[i, 1] * inverse_c
                p2 = velocity[i, 2] * inverse_c
                q0 = velocity[j, 0] * inverse_c
                q1 = velocity[j, 1] * inverse_c
                q2 = velocity[j, 2] * inverse_c
                u0 = p0 - q0
                u1 = p1 - q1
                u2 = p2 - q2
                P = p0 * p0 + p1 * p1 + p2 * p2
                Q = q0 * q0 + q1 * q1 + q2 * q2
                W = p0 * q0 + p1 * q1 + p2 * q2
                D = u0 * u0 + u1 * u1 + u2 * u2
                va = n0 * p0 + n1 * p1 + n2 * p2
                vb = n0 * q0 + n1 * q1 + n2 * q2
                d = n0 * u0 + n1 * u1 + n2 * u2
                g = G * inverse
                x = g * mass[j] * inverse_c * inverse_c
                y = g * mass[i] * inverse_c * inverse_c
                N, K = pair_coefficients(terms, x, y, va, vb, d, P, Q, W, D)
                g *= inverse
                N *= g * mass[j]
                K *= g * mass[j]
                acceleration[i, 0] += N * n0 + K * u0
                acceleration[i, 1] += N * n1 + K * u1
                acceleration[i, 2] += N * n2 + K * u2
                N, K = pair_coefficients(terms, y, x, -vb, -va, d, Q, P, W, D)
                N *= g * mass[i]
                K *= g * mass[i]
                acceleration[j, 0] -= N * n0 + K * u0
                acceleration[j, 1] -= N * n1 + K * u1
                acceleration[j, 2] -= N * n2 + K * u2
            if terms & SPIN_TERMS:
                _add_spin_pair(
                    terms, G, c, i, j, r, n0, n1, n2, mass, velocity, spin, acceleration, precession
                )  # fmt: skip
                _add_spin_pair(
                    terms, G, c, j, i, r, -n0, -n1, -n2, mass, velocity, spin, acceleration, precession
                )  # fmt: skip
    if terms & TERM_1CROSS and b > 2:
        _add_cross_terms(G, c, mass, acts, separation, acceleration)
    total = 0.0
    for i in range(b):
        for k in range(3):
            total += abs(acceleration[i, k]) + abs(precession[i, k])
    return STATUS_OK if np.isfinite(total) else STATUS_NOT_FINITE
