"""The leapfrog of two and of three bodies with post-Newtonian terms of pairs, as functions of numbers.

    drift  dt = h / (T + b + d),  X += dt V,  t += dt
    kick   dt = h / (U + g),      V += dt (F + f),  d' = -sum m v.f       (the kick of chain_row, with auxiliary velocities w:
           w += dt/2 (F + f(v));  v += dt (F + f(w)),  d -= dt sum m w.f(w);  w += dt/2 (F + f(v)))

(Hellstrom & Mikkola 2010, doi:10.1007/s10569-009-9248-8; for the rest see ensemble_row.) B = U - T at the start; b = B, g = 0
where B > 0, else b = 0, g = -B. What post-Newtonian terms take from the Newtonian energy is gathered in d, zero at the start of
the encounter, so that no small difference is left where bodies fly apart. These terms depend on velocities in the frame in which
the centre of mass was at rest, and move it: its motion is part of the state.

Terms of pairs are those of post_newtonian_cpu. Cross terms (Einstein-Infeld-Hoffmann) know no velocities: once a substep.
Functions are compiled for what they get: numbers, or vectors of encounters (ensemble_lanes); a device compiles the same source.
Branches depend on ``terms`` alone, which all encounters share.

Legend
    h                   fictitious time of a substep;  m: number of substeps;  terms: their bits;  light: c
    m0, m1, m2          masses times G, in chain order;  binding, shift, work: G b, G g, G d
    act, acta ...       1 where terms act in a pair, else 0;  near: 1 / (r c^2);  g: act / r^2;  n: unit vector of an edge
    a*, b*, c*          edges x_1 - x_0, x_2 - x_1 and their sum;  p*, q*: velocities of a and b;  v*: of the centre of mass
    N, K                one body of a pair is accelerated by N n + K u, the other by minus that; u: velocity of the edge over c
"""

import math

from numba import njit

from .post_newtonian_cpu import pair_coefficients
from .post_newtonian_terms import TERM_1CROSS

_compile = njit(cache=True, error_model="numpy", fastmath={"contract"})
_inlined = njit(cache=True, error_model="numpy", fastmath={"contract"}, forceinline=True)


@_inlined
def _pair(terms, m0, m1, near, g, nx, ny, nz, ux, uy, uz, v0x, v0y, v0z):
    """Return (N_0, K_0, N_1, K_1) of an edge from 0 to 1: v0 velocity of body 0, u of the edge, both over c."""
    v1x = v0x + ux
    v1y = v0y + uy
    v1z = v0z + uz
    along0 = nx * v0x + ny * v0y + nz * v0z
    along = nx * ux + ny * uy + nz * uz
    along1 = along0 + along
    square0 = v0x * v0x + v0y * v0y + v0z * v0z
    square1 = v1x * v1x + v1y * v1y + v1z * v1z
    mixed = v0x * v1x + v0y * v1y + v0z * v1z
    square = ux * ux + uy * uy + uz * uz
    x0 = near * m0
    x1 = near * m1
    N1, K1 = pair_coefficients(terms, x0, x1, along1, along0, along, square1, square0, mixed, square)
    N0, K0 = pair_coefficients(terms, x1, x0, -along0, -along1, along, square0, square1, mixed, square)
    g0 = g * m1
    g1 = g * m0
    return g0 * N0, g0 * K0, g1 * N1, g1 * K1


@_compile
def force_two(terms, inverse_c, m0, m1, inverse_total, near, g, nx, ny, nz, px, py, pz, vx, vy, vz):
    """Return post-Newtonian accelerations of the edge and of the centre of mass."""
    ux = px * inverse_c
    uy = py * inverse_c
    uz = pz * inverse_c
    share = m1 * inverse_total
    N0, K0, N1, K1 = _pair(
        terms, m0, m1, near, g, nx, ny, nz, ux, uy, uz,
        vx * inverse_c - share * ux, vy * inverse_c - share * uy, vz * inverse_c - share * uz,
    )  # fmt: skip
    N = N0 + N1
    K = K0 + K1
    Nc = (m1 * N1 - m0 * N0) * inverse_total
    Kc = (m1 * K1 - m0 * K0) * inverse_total
    return (
        N * nx + K * ux, N * ny + K * uy, N * nz + K * uz, Nc * nx + Kc * ux, Nc * ny + Kc * uy, Nc * nz + Kc * uz,
    )  # fmt: skip


@_compile
def substeps_two(h, m, terms, light, m0, m1, binding, shift, act, ax, ay, az, px, py, pz, work, cx, cy, cz, vx, vy, vz):
    """Return (t, edge, its velocity, work, centre of mass and its velocity), 14 numbers, after m substeps."""
    inverse_c = 1.0 / light
    inverse_total = 1.0 / (m0 + m1)
    total = m0 + m1
    product = m0 * m1
    reduced = product * inverse_total
    wx = px
    wy = py
    wz = pz
    zx = vx
    zy = vy
    zz = vz
    t = 0.0 * h
    step = 0.5 * h
    for _ in range(m):
        dt = step / (0.5 * reduced * (px * px + py * py + pz * pz) + binding + work)
        step = h
        t = t + dt
        ax = ax + dt * px
        ay = ay + dt * py
        az = az + dt * pz
        cx = cx + dt * vx
        cy = cy + dt * vy
        cz = cz + dt * vz
        inverse = 1.0 / math.sqrt(ax * ax + ay * ay + az * az)
        nx = ax * inverse
        ny = ay * inverse
        nz = az * inverse
        near = inverse * inverse_c * inverse_c
        square = inverse * inverse
        g = act * square
        dt = h / (product * inverse + shift)
        pull = -total * square
        half = 0.5 * dt
        f = force_two(terms, inverse_c, m0, m1, inverse_total, near, g, nx, ny, nz, px, py, pz, vx, vy, vz)
        wx = wx + half * (pull * nx + f[0])
        wy = wy + half * (pull * ny + f[1])
        wz = wz + half * (pull * nz + f[2])
        zx = zx + half * f[3]
        zy = zy + half * f[4]
        zz = zz + half * f[5]
        f = force_two(terms, inverse_c, m0, m1, inverse_total, near, g, nx, ny, nz, wx, wy, wz, zx, zy, zz)
        px = px + dt * (pull * nx + f[0])
        py = py + dt * (pull * ny + f[1])
        pz = pz + dt * (pull * nz + f[2])
        vx = vx + dt * f[3]
        vy = vy + dt * f[4]
        vz = vz + dt * f[5]
        work = work - dt * reduced * (wx * f[0] + wy * f[1] + wz * f[2])
        f = force_two(terms, inverse_c, m0, m1, inverse_total, near, g, nx, ny, nz, px, py, pz, vx, vy, vz)
        wx = wx + half * (pull * nx + f[0])
        wy = wy + half * (pull * ny + f[1])
        wz = wz + half * (pull * nz + f[2])
        zx = zx + half * f[3]
        zy = zy + half * f[4]
        zz = zz + half * f[5]
    dt = 0.5 * h / (0.5 * reduced * (px * px + py * py + pz * pz) + binding + work)
    return (
        t + dt, ax + dt * px, ay + dt * py, az + dt * pz, px, py, pz, work,
        cx + dt * vx, cy + dt * vy, cz + dt * vz, vx, vy, vz,
    )  # fmt: skip


@_inlined
def _cross(mi, mj, mk, both, dx, dy, dz, inverse, ex, ey, ez, inverse_e):
    """Return what k adds to the pair (i, j), d = x_i - x_j, e = x_j - x_k: on j along d, on i along d and along e."""
    potential = both * mk * inverse_e
    field = -potential * inverse_e * inverse_e
    own = inverse * inverse * inverse
    radial = mj * own * (potential + 0.5 * field * (dx * ex + dy * ey + dz * ez))
    return -4.0 * mi * own * potential, radial, 3.5 * mj * inverse * field


@_compile
def cross_three(
    terms, inverse_c, m0, m1, m2, acta, actb, actc, ia, ib, ic, ax, ay, az, bx, by, bz, cx, cy, cz
):  # fmt: skip
    """Return accelerations of bodies 0, 1 and 2 by cross terms; ia, ib, ic: inverse lengths of the edges."""
    if terms & TERM_1CROSS:
        square = inverse_c * inverse_c
        ab = acta * actb * square
        bc = actb * actc * square
        ac = acta * actc * square
        # (i, j; k): d from j to i, e from k to j. o: on j along d; r: on i along d; s: on i along e
        o01, r01, s01 = _cross(m0, m1, m2, ab, -ax, -ay, -az, ia, -bx, -by, -bz, ib)
        o10, r10, s10 = _cross(m1, m0, m2, ac, ax, ay, az, ia, -cx, -cy, -cz, ic)
        o12, r12, s12 = _cross(m1, m2, m0, bc, -bx, -by, -bz, ib, cx, cy, cz, ic)
        o21, r21, s21 = _cross(m2, m1, m0, ab, bx, by, bz, ib, ax, ay, az, ia)
        o02, r02, s02 = _cross(m0, m2, m1, bc, -cx, -cy, -cz, ic, bx, by, bz, ib)
        o20, r20, s20 = _cross(m2, m0, m1, ac, cx, cy, cz, ic, -ax, -ay, -az, ia)
        # coefficients of a, b, c in the accelerations of 0, 1, 2
        a0 = o10 - r01
        b0 = s02 - s01
        c0 = o20 - r02
        a1 = r10 - o01
        b1 = o21 - r12
        c1 = s12 - s10
        a2 = s21 - s20
        b2 = r21 - o12
        c2 = r20 - o02
        return (
            a0 * ax + b0 * bx + c0 * cx, a0 * ay + b0 * by + c0 * cy, a0 * az + b0 * bz + c0 * cz,
            a1 * ax + b1 * bx + c1 * cx, a1 * ay + b1 * by + c1 * cy, a1 * az + b1 * bz + c1 * cz,
            a2 * ax + b2 * bx + c2 * cx, a2 * ay + b2 * by + c2 * cy, a2 * az + b2 * bz + c2 * cz,
        )  # fmt: skip
    none = 0.0 * m0
    return none, none, none, none, none, none, none, none, none


@_compile
def force_three(
    terms, inverse_c, m0, m1, m2, inverse_total, neara, ga, nax, nay, naz, nearb, gb, nbx, nby, nbz, nearc, gc, ncx, ncy, ncz,
    f0x, f0y, f0z, f1x, f1y, f1z, f2x, f2y, f2z, px, py, pz, qx, qy, qz, vx, vy, vz,
):  # fmt: skip
    """Return post-Newtonian accelerations of both edges and of the centre of mass; f0 ... f2: those by cross terms."""
    px = px * inverse_c
    py = py * inverse_c
    pz = pz * inverse_c
    qx = qx * inverse_c
    qy = qy * inverse_c
    qz = qz * inverse_c
    ux = px + qx
    uy = py + qy
    uz = pz + qz
    v0x = vx * inverse_c - (m1 * px + m2 * ux) * inverse_total
    v0y = vy * inverse_c - (m1 * py + m2 * uy) * inverse_total
    v0z = vz * inverse_c - (m1 * pz + m2 * uz) * inverse_total
    N0, K0, N1, K1 = _pair(terms, m0, m1, neara, ga, nax, nay, naz, px, py, pz, v0x, v0y, v0z)
    f0x = f0x - (N0 * nax + K0 * px)
    f0y = f0y - (N0 * nay + K0 * py)
    f0z = f0z - (N0 * naz + K0 * pz)
    f1x = f1x + (N1 * nax + K1 * px)
    f1y = f1y + (N1 * nay + K1 * py)
    f1z = f1z + (N1 * naz + K1 * pz)
    N0, K0, N1, K1 = _pair(terms, m1, m2, nearb, gb, nbx, nby, nbz, qx, qy, qz, v0x + px, v0y + py, v0z + pz)
    f1x = f1x - (N0 * nbx + K0 * qx)
    f1y = f1y - (N0 * nby + K0 * qy)
    f1z = f1z - (N0 * nbz + K0 * qz)
    f2x = f2x + (N1 * nbx + K1 * qx)
    f2y = f2y + (N1 * nby + K1 * qy)
    f2z = f2z + (N1 * nbz + K1 * qz)
    N0, K0, N1, K1 = _pair(terms, m0, m2, nearc, gc, ncx, ncy, ncz, ux, uy, uz, v0x, v0y, v0z)
    f0x = f0x - (N0 * ncx + K0 * ux)
    f0y = f0y - (N0 * ncy + K0 * uy)
    f0z = f0z - (N0 * ncz + K0 * uz)
    f2x = f2x + (N1 * ncx + K1 * ux)
    f2y = f2y + (N1 * ncy + K1 * uy)
    f2z = f2z + (N1 * ncz + K1 * uz)
    return (
        f1x - f0x, f1y - f0y, f1z - f0z, f2x - f1x, f2y - f1y, f2z - f1z,
        (m0 * f0x + m1 * f1x + m2 * f2x) * inverse_total,
        (m0 * f0y + m1 * f1y + m2 * f2y) * inverse_total,
        (m0 * f0z + m1 * f1z + m2 * f2z) * inverse_total,
    )  # fmt: skip


@_compile
def substeps_three(
    h, m, terms, light, m0, m1, m2, binding, shift, acta, actc, actb, ax, ay, az, bx, by, bz, px, py, pz, qx, qy, qz, work,
    sx, sy, sz, vx, vy, vz,
):  # fmt: skip
    """Return (t, edges, their velocities, work, centre of mass s and its velocity), 20 numbers, after m substeps."""
    inverse_c = 1.0 / light
    total = m0 + m1 + m2
    inverse_total = 1.0 / total
    w01 = m0 * m1
    w02 = m0 * m2
    w12 = m1 * m2
    k01 = 0.5 * w01 * inverse_total
    k02 = 0.5 * w02 * inverse_total
    k12 = 0.5 * w12 * inverse_total
    sum01 = m0 + m1
    sum12 = m1 + m2
    wpx = px
    wpy = py
    wpz = pz
    wqx = qx
    wqy = qy
    wqz = qz
    wvx = vx
    wvy = vy
    wvz = vz
    t = 0.0 * h
    step = 0.5 * h
    for _ in range(m):
        ux = px + qx
        uy = py + qy
        uz = pz + qz
        kinetic = (
            k01 * (px * px + py * py + pz * pz)
            + k12 * (qx * qx + qy * qy + qz * qz)
            + k02 * (ux * ux + uy * uy + uz * uz)
        )
        dt = step / (kinetic + binding + work)
        step = h
        t = t + dt
        ax = ax + dt * px
        ay = ay + dt * py
        az = az + dt * pz
        bx = bx + dt * qx
        by = by + dt * qy
        bz = bz + dt * qz
        sx = sx + dt * vx
        sy = sy + dt * vy
        sz = sz + dt * vz
        cx = ax + bx
        cy = ay + by
        cz = az + bz
        ra = math.sqrt(ax * ax + ay * ay + az * az)
        rb = math.sqrt(bx * bx + by * by + bz * bz)
        rc = math.sqrt(cx * cx + cy * cy + cz * cz)
        inverse = 1.0 / (ra * rb * rc)
        ia = rb * rc * inverse
        ib = ra * rc * inverse
        ic = ra * rb * inverse
        dt = h / (w01 * ia + w12 * ib + w02 * ic + shift)
        half = 0.5 * dt
        ia2 = ia * ia
        ib2 = ib * ib
        ic2 = ic * ic
        nax = ax * ia
        nay = ay * ia
        naz = az * ia
        nbx = bx * ib
        nby = by * ib
        nbz = bz * ib
        ncx = cx * ic
        ncy = cy * ic
        ncz = cz * ic
        aa = -sum01 * ia2
        ab = m2 * ib2
        ac = m2 * ic2
        bb = -sum12 * ib2
        ba = m0 * ia2
        bc = m0 * ic2
        Fpx = aa * nax + ab * nbx - ac * ncx
        Fpy = aa * nay + ab * nby - ac * ncy
        Fpz = aa * naz + ab * nbz - ac * ncz
        Fqx = bb * nbx + ba * nax - bc * ncx
        Fqy = bb * nby + ba * nay - bc * ncy
        Fqz = bb * nbz + ba * naz - bc * ncz
        x = cross_three(
            terms, inverse_c, m0, m1, m2, acta, actb, actc, ia, ib, ic, ax, ay, az, bx, by, bz, cx, cy, cz
        )  # fmt: skip
        scale = inverse_c * inverse_c
        neara = ia * scale
        nearb = ib * scale
        nearc = ic * scale
        ga = acta * ia2
        gb = actb * ib2
        gc = actc * ic2
        f = force_three(
            terms, inverse_c, m0, m1, m2, inverse_total, neara, ga, nax, nay, naz, nearb, gb, nbx, nby, nbz, nearc, gc, ncx, ncy,
            ncz, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], px, py, pz, qx, qy, qz, vx, vy, vz,
        )  # fmt: skip
        wpx = wpx + half * (Fpx + f[0])
        wpy = wpy + half * (Fpy + f[1])
        wpz = wpz + half * (Fpz + f[2])
        wqx = wqx + half * (Fqx + f[3])
        wqy = wqy + half * (Fqy + f[4])
        wqz = wqz + half * (Fqz + f[5])
        wvx = wvx + half * f[6]
        wvy = wvy + half * f[7]
        wvz = wvz + half * f[8]
        f = force_three(
            terms, inverse_c, m0, m1, m2, inverse_total, neara, ga, nax, nay, naz, nearb, gb, nbx, nby, nbz, nearc, gc, ncx, ncy,
            ncz, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], wpx, wpy, wpz, wqx, wqy, wqz, wvx, wvy, wvz,
        )  # fmt: skip
        px = px + dt * (Fpx + f[0])
        py = py + dt * (Fpy + f[1])
        pz = pz + dt * (Fpz + f[2])
        qx = qx + dt * (Fqx + f[3])
        qy = qy + dt * (Fqy + f[4])
        qz = qz + dt * (Fqz + f[5])
        vx = vx + dt * f[6]
        vy = vy + dt * f[7]
        vz = vz + dt * f[8]
        # sum m w.f about the centre of mass, over pairs as T is
        power = (
            k01 * (wpx * f[0] + wpy * f[1] + wpz * f[2])
            + k12 * (wqx * f[3] + wqy * f[4] + wqz * f[5])
            + k02 * ((wpx + wqx) * (f[0] + f[3]) + (wpy + wqy) * (f[1] + f[4]) + (wpz + wqz) * (f[2] + f[5]))
        )
        work = work - 2.0 * dt * power
        f = force_three(
            terms, inverse_c, m0, m1, m2, inverse_total, neara, ga, nax, nay, naz, nearb, gb, nbx, nby, nbz, nearc, gc, ncx, ncy,
            ncz, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], px, py, pz, qx, qy, qz, vx, vy, vz,
        )  # fmt: skip
        wpx = wpx + half * (Fpx + f[0])
        wpy = wpy + half * (Fpy + f[1])
        wpz = wpz + half * (Fpz + f[2])
        wqx = wqx + half * (Fqx + f[3])
        wqy = wqy + half * (Fqy + f[4])
        wqz = wqz + half * (Fqz + f[5])
        wvx = wvx + half * f[6]
        wvy = wvy + half * f[7]
        wvz = wvz + half * f[8]
    ux = px + qx
    uy = py + qy
    uz = pz + qz
    kinetic = (
        k01 * (px * px + py * py + pz * pz) + k12 * (qx * qx + qy * qy + qz * qz) + k02 * (ux * ux + uy * uy + uz * uz)
    )
    dt = 0.5 * h / (kinetic + binding + work)
    return (
        t + dt, ax + dt * px, ay + dt * py, az + dt * pz, bx + dt * qx, by + dt * qy, bz + dt * qz, px, py, pz, qx, qy, qz, work,
        sx + dt * vx, sy + dt * vy, sz + dt * vz, vx, vy, vz,
    )  # fmt: skip
