"""The logarithmic-Hamiltonian leapfrog of three bodies in a chain, as one function of numbers.

    drift  dt = h / (T + b),  X += dt V,  t += dt          T = sum_{i<j} m_i m_j v_ij^2 / (2 M)
    kick   dt = h / (U + g),  V += dt A                    U = G sum_{i<j} m_i m_j / r_ij

Chain coordinates: bodies 0, 1, 2 with edges a = x_1 - x_0 and b = x_2 - x_1, which are the two shortest separations, so that the
third, c = a + b, is never a small difference (Mikkola & Aarseth 1993, doi:10.1007/BF00695714; Mikkola & Tanikawa 1999,
doi:10.1046/j.1365-8711.1999.02982.x). B = U - T at the start is constant, the energy is -B. Where B > 0, b = B and g = 0, and two
bodies move on their exact orbit. Else b = 0 and g = -B, because T + B becomes a small difference when all bodies fly apart.

It is plain Python without a decorator: ensemble_cpu compiles it for vectors of encounters, and a CUDA kernel can compile the same
source for threads. Nothing in it branches.

Legend
    h                   fictitious time of a substep;  m: number of substeps (an integer, the same for all lanes)
    m0, m1, m2          masses times G, in chain order;  binding, shift: G b, G g
    a*, b*              edges;  p*, q*: their velocities
"""

import math


def substeps(h, m, m0, m1, m2, binding, shift, ax, ay, az, bx, by, bz, px, py, pz, qx, qy, qz):
    """Return (t, edges, velocities), 13 numbers, after m substeps."""
    total = m0 + m1 + m2
    w01 = m0 * m1
    w02 = m0 * m2
    w12 = m1 * m2
    k01 = 0.5 * w01 / total
    k02 = 0.5 * w02 / total
    k12 = 0.5 * w12 / total
    sum01 = m0 + m1
    sum12 = m1 + m2
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
        dt = step / (kinetic + binding)
        step = h
        t = t + dt
        ax = ax + dt * px
        ay = ay + dt * py
        az = az + dt * pz
        bx = bx + dt * qx
        by = by + dt * qy
        bz = bz + dt * qz
        cx = ax + bx
        cy = ay + by
        cz = az + bz
        ra2 = ax * ax + ay * ay + az * az
        rb2 = bx * bx + by * by + bz * bz
        rc2 = cx * cx + cy * cy + cz * cz
        ra = math.sqrt(ra2)
        rb = math.sqrt(rb2)
        rc = math.sqrt(rc2)
        # one division for the three inverse distances, one for h / U
        inverse = 1.0 / (ra * rb * rc)
        ia = rb * rc * inverse
        ib = ra * rc * inverse
        ic = ra * rb * inverse
        kick = h / (w01 * ia + w12 * ib + w02 * ic + shift)
        fa = kick * ia * ia * ia
        fb = kick * ib * ib * ib
        fc = kick * ic * ic * ic
        aa = -sum01 * fa
        ab = m2 * fb
        ac = m2 * fc
        bb = -sum12 * fb
        ba = m0 * fa
        bc = m0 * fc
        px = px + (aa * ax + ab * bx - ac * cx)
        py = py + (aa * ay + ab * by - ac * cy)
        pz = pz + (aa * az + ab * bz - ac * cz)
        qx = qx + (bb * bx + ba * ax - bc * cx)
        qy = qy + (bb * by + ba * ay - bc * cy)
        qz = qz + (bb * bz + ba * az - bc * cz)
    ux = px + qx
    uy = py + qy
    uz = pz + qz
    kinetic = (
        k01 * (px * px + py * py + pz * pz) + k12 * (qx * qx + qy * qy + qz * qz) + k02 * (ux * ux + uy * uy + uz * uz)
    )
    dt = 0.5 * h / (kinetic + binding)
    t = t + dt
    return (
        t,
        ax + dt * px,
        ay + dt * py,
        az + dt * pz,
        bx + dt * qx,
        by + dt * qy,
        bz + dt * qz,
        px,
        py,
        pz,
        qx,
        qy,
        qz,
    )
