"""Rows of two and of three bodies alone: the method of chain_row, written out in registers.

Binaries and triples are what most few-body work consists of; written out, a substep of three bodies costs a third of the general
row's. ``chain_row.row`` chooses, and tests hold the two equal.
"""

import math

from numba import njit

from .double_double import dd_add_double

HEAD = 3  # t, B, W

OK = 0
BAD_TIME = 1  # T + B is not positive, or something is not finite: the step was far too long


@njit(cache=True, error_model="numpy")
def two_body_row(H, m, reduced, reach, y0h, y0l, yh, yl):
    """The row of two bodies alone, in registers; reduced = m1 m2 / (m1 + m2).

    The same method as ``row``, with energies per reduced mass; G drops out of the kick, dt a = -h x / r^2.
    """
    for k in range(15):
        yh[k] = y0h[k]
        yl[k] = y0l[k]
    h = H / (m * reduced)
    binding = (y0h[1] + y0l[1]) / reduced
    t, tl = y0h[0], y0l[0]
    x, xl, y, yl_, z, zl = y0h[3], y0l[3], y0h[5], y0l[5], y0h[7], y0l[7]
    u, ul, v, vl, w, wl = y0h[9], y0l[9], y0h[11], y0l[11], y0h[13], y0l[13]
    seen_at = -1
    for s in range(m + 1):
        rate = 0.5 * (u * u + v * v + w * w) + binding
        if not rate > 0.0:
            return BAD_TIME, -1, -1
        dt = (0.5 * h if s == 0 or s == m else h) / rate
        t, tl = dd_add_double(t, tl, dt)
        x, xl = dd_add_double(x, xl, dt * u)
        y, yl_ = dd_add_double(y, yl_, dt * v)
        z, zl = dd_add_double(z, zl, dt * w)
        if s == m:
            break
        r2 = x * x + y * y + z * z
        kick = -h / r2  # dt G M / r^3 with dt = h r / (G M)
        u, ul = dd_add_double(u, ul, kick * x)
        v, vl = dd_add_double(v, vl, kick * y)
        w, wl = dd_add_double(w, wl, kick * z)
        if seen_at < 0 and r2 < reach:
            seen_at = s + 1
    yh[0], yl[0] = t, tl
    yh[3], yl[3], yh[5], yl[5], yh[7], yl[7] = x, xl, y, yl_, z, zl
    yh[9], yl[9], yh[11], yl[11], yh[13], yl[13] = u, ul, v, vl, w, wl
    if not (t - t == 0.0 and u - u == 0.0):
        return BAD_TIME, -1, -1
    dt = (t - y0h[0]) + (tl - y0l[0])
    for k in range(4, 9, 2):
        yh[k], yl[k] = dd_add_double(yh[k], yl[k], dt * yh[k + 6])
    return OK, seen_at, 0 if seen_at >= 0 else -1


@njit(cache=True, error_model="numpy")
def three_body_row(H, m, G, m0, m1, m2, linear, reach2, y0h, y0l, yh, yl):
    """The row of three bodies alone; ``linear``: the second edge starts at body 1, else at the root.

    State: t, B, W, then X and V with three entries (two edges, centre of mass) a component.
    """
    for k in range(21):
        yh[k] = y0h[k]
        yl[k] = y0l[k]
    h = H / m
    total = m0 + m1 + m2
    binding = y0h[1] + y0l[1]
    t, tl = y0h[0], y0l[0]
    ax, axl, ay, ayl, az, azl = y0h[3], y0l[3], y0h[6], y0l[6], y0h[9], y0l[9]
    bx, bxl, by, byl, bz, bzl = y0h[4], y0l[4], y0h[7], y0l[7], y0h[10], y0l[10]
    au, aul, av, avl, aw, awl = y0h[12], y0l[12], y0h[15], y0l[15], y0h[18], y0l[18]
    bu, bul, bv, bvl, bw, bwl = y0h[13], y0l[13], y0h[16], y0l[16], y0h[19], y0l[19]
    seen_at = -1
    seen_pair = -1
    for s in range(m + 1):
        # velocities relative to the root, and T in the frame of the centre of mass
        u2 = bu + au if linear else bu
        v2 = bv + av if linear else bv
        w2 = bw + aw if linear else bw
        pu = (m1 * au + m2 * u2) / total
        pv = (m1 * av + m2 * v2) / total
        pw = (m1 * aw + m2 * w2) / total
        kinetic = 0.5 * (
            m0 * (pu * pu + pv * pv + pw * pw)
            + m1 * ((au - pu) ** 2 + (av - pv) ** 2 + (aw - pw) ** 2)
            + m2 * ((u2 - pu) ** 2 + (v2 - pv) ** 2 + (w2 - pw) ** 2)
        )
        rate = kinetic + binding
        if not rate > 0.0 or rate == math.inf:
            return BAD_TIME, -1, -1
        dt = (0.5 * h if s == 0 or s == m else h) / rate
        t, tl = dd_add_double(t, tl, dt)
        ax, axl = dd_add_double(ax, axl, dt * au)
        ay, ayl = dd_add_double(ay, ayl, dt * av)
        az, azl = dd_add_double(az, azl, dt * aw)
        bx, bxl = dd_add_double(bx, bxl, dt * bu)
        by, byl = dd_add_double(by, byl, dt * bv)
        bz, bzl = dd_add_double(bz, bzl, dt * bw)
        if s == m:
            break
        # separations 0 -> 1 (a), 0 -> 2 (c), 1 -> 2 (d)
        cx = ax + bx if linear else bx
        cy = ay + by if linear else by
        cz = az + bz if linear else bz
        dx = bx if linear else bx - ax
        dy = by if linear else by - ay
        dz = bz if linear else bz - az
        ra2 = ax * ax + ay * ay + az * az
        rc2 = cx * cx + cy * cy + cz * cz
        rd2 = dx * dx + dy * dy + dz * dz
        ia = 1.0 / math.sqrt(ra2)
        ic = 1.0 / math.sqrt(rc2)
        id_ = 1.0 / math.sqrt(rd2)
        u = m0 * m1 * ia + m0 * m2 * ic + m1 * m2 * id_
        if not u > 0.0 or u == math.inf:
            return BAD_TIME, -1, -1
        kick = h / u  # dt G, with dt = h / (G u)
        fa = ia * ia * ia * kick
        fc = ic * ic * ic * kick
        fd = id_ * id_ * id_ * kick
        # accelerations times dt: of body 1 relative to the root, and of body 2 relative to its end of the edge
        p0x = m1 * fa * ax + m2 * fc * cx
        p0y = m1 * fa * ay + m2 * fc * cy
        p0z = m1 * fa * az + m2 * fc * cz
        p1x = m2 * fd * dx - m0 * fa * ax
        p1y = m2 * fd * dy - m0 * fa * ay
        p1z = m2 * fd * dz - m0 * fa * az
        p2x = -m0 * fc * cx - m1 * fd * dx
        p2y = -m0 * fc * cy - m1 * fd * dy
        p2z = -m0 * fc * cz - m1 * fd * dz
        au, aul = dd_add_double(au, aul, p1x - p0x)
        av, avl = dd_add_double(av, avl, p1y - p0y)
        aw, awl = dd_add_double(aw, awl, p1z - p0z)
        bu, bul = dd_add_double(bu, bul, p2x - (p1x if linear else p0x))
        bv, bvl = dd_add_double(bv, bvl, p2y - (p1y if linear else p0y))
        bw, bwl = dd_add_double(bw, bwl, p2z - (p1z if linear else p0z))
        if seen_at < 0 and reach2.shape[0] > 0:
            if ra2 < reach2[0]:
                seen_at, seen_pair = s + 1, 0
            elif rc2 < reach2[1]:
                seen_at, seen_pair = s + 1, 1
            elif rd2 < reach2[2]:
                seen_at, seen_pair = s + 1, 2
    yh[0], yl[0] = t, tl
    yh[3], yl[3], yh[6], yl[6], yh[9], yl[9] = ax, axl, ay, ayl, az, azl
    yh[4], yl[4], yh[7], yl[7], yh[10], yl[10] = bx, bxl, by, byl, bz, bzl
    yh[12], yl[12], yh[15], yl[15], yh[18], yl[18] = au, aul, av, avl, aw, awl
    yh[13], yl[13], yh[16], yl[16], yh[19], yl[19] = bu, bul, bv, bvl, bw, bwl
    if not (t - t == 0.0 and au - au == 0.0 and bu - bu == 0.0):
        return BAD_TIME, -1, -1
    dt = (t - y0h[0]) + (tl - y0l[0])
    for k in range(5, 12, 3):
        yh[k], yl[k] = dd_add_double(yh[k], yl[k], dt * yh[k + 9])
    return OK, seen_at, seen_pair
