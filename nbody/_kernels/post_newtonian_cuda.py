"""Post-Newtonian accelerations and spin precession on a CUDA device; `post_newtonian_reference` is the readable twin.

The terms of a pair are the functions of `post_newtonian_cpu`, the same source compiled for the device. One thread has one body
and a segment of its partners, and writes for nobody else: partners are met in both directions, twice the work of the CPU, and
every sum has one order. Segments are added by `direct_cuda.gather`. Cross terms need the potential and field at every body
first: `fields`.

Legend
    field    rows (4) of phi = sum G m_k / r_jk and A = -sum G m_k n_jk / r_jk^2 at body j, of the bodies that act on it
    part     (segment, quantity, body) sums: acceleration, precession
    met      set to STATUS_COINCIDENT where two acting bodies are in one place
"""

import math

import numpy as np
from numba import cuda

from ...particles._kernels.device_cuda import require_device, run, stays
from . import post_newtonian_cpu as on_host
from .device_cuda import Resident, on_device
from .direct_cuda import gather_there
from .post_newtonian_terms import (
    ORBIT_TERMS,
    SPIN_TERMS,
    STATUS_COINCIDENT,
    STATUS_NOT_FINITE,
    STATUS_OK,
    TERM_1CROSS,
)

THREADS = 64  # of a block: small ones spread a few hundred bodies over a device
BLOCKS = 1024  # that fill it
SHORTEST = 16  # partners of a segment at least

_kept = Resident()
_orders = {f"_order_{k}": on_device(getattr(on_host, f"_order_{k}")) for k in ("1", "2", "25", "3", "35")}
pair_coefficients = on_device(on_host.pair_coefficients, **_orders)
_spin_acceleration = on_device(on_host.spin_acceleration)
_spin_precession = on_device(on_host.spin_precession)
_cross_coefficients = on_device(on_host.cross_coefficients)


@cuda.jit(device=True)
def orbit_acceleration(terms, G, c, m, M, r, n0, n1, n2, p0, p1, p2, q0, q1, q2):
    """Return the acceleration of body 1 by the terms without spins: m, p mass and velocity of 1, M, q of 2; n from 2 to 1."""
    inverse_c = 1.0 / c
    p0, p1, p2, q0, q1, q2 = (
        p0 * inverse_c,
        p1 * inverse_c,
        p2 * inverse_c,
        q0 * inverse_c,
        q1 * inverse_c,
        q2 * inverse_c,
    )
    u0, u1, u2 = p0 - q0, p1 - q1, p2 - q2
    g = G / r
    N, K = pair_coefficients(
        terms,
        g * M * inverse_c * inverse_c,
        g * m * inverse_c * inverse_c,
        n0 * p0 + n1 * p1 + n2 * p2,
        n0 * q0 + n1 * q1 + n2 * q2,
        n0 * u0 + n1 * u1 + n2 * u2,
        p0 * p0 + p1 * p1 + p2 * p2,
        q0 * q0 + q1 * q1 + q2 * q2,
        p0 * q0 + p1 * q1 + p2 * q2,
        u0 * u0 + u1 * u1 + u2 * u2,
    )
    g *= M / r
    return g * (N * n0 + K * u0), g * (N * n1 + K * u1), g * (N * n2 + K * u2)


@cuda.jit(device=True)
def cross_acceleration(G, c, m, M, d0, d1, d2, field, i, j):
    """Return what the cross terms of the pair (i, j), in both of its roles, do to i; d = x_i - x_j."""
    _, radial, direct, B0, B1, B2 = _cross_coefficients(
        G, c, m, M, field[0, j], field[1, j], field[2, j], field[3, j], d0, d1, d2
    )
    own = _cross_coefficients(G, c, M, m, field[0, i], field[1, i], field[2, i], field[3, i], -d0, -d1, -d2)[0]
    along = radial - own
    return along * d0 + direct * B0, along * d1 + direct * B1, along * d2 + direct * B2


def fields(G, mass, acts, separation, field):
    """Overwrite field (4, b)."""
    j = cuda.grid(1)  # type: ignore[call-arg, var-annotated]
    if j >= mass.shape[0]:
        return
    phi = A0 = A1 = A2 = 0.0
    for k in range(mass.shape[0]):
        if k == j or not acts[k, j]:
            continue
        d0, d1, d2 = separation[k, j, 0], separation[k, j, 1], separation[k, j, 2]  # neighbours in memory for threads
        r2 = d0 * d0 + d1 * d1 + d2 * d2
        if r2 == 0.0:  # `pairs` reports it
            continue
        inverse = 1.0 / math.sqrt(r2)
        g = G * mass[k] * inverse
        phi += g
        g *= inverse * inverse
        A0 += g * d0
        A1 += g * d1
        A2 += g * d2
    field[0, j], field[1, j], field[2, j], field[3, j] = phi, A0, A1, A2


def pairs(terms, G, c, mass, acts, separation, velocity, spin, field, length, part, met):
    """Overwrite part (segments, 6, b); grid (bodies, segments of ``length`` partners)."""
    b = mass.shape[0]
    i = cuda.blockIdx.x * THREADS + cuda.threadIdx.x  # type: ignore[operator]
    if i >= b:
        return
    m = mass[i]
    s0 = s1 = s2 = 0.0
    if terms & SPIN_TERMS and m > 0.0:  # a body without mass feels no force on its own spin
        s0, s1, s2 = spin[i, 0] / m, spin[i, 1] / m, spin[i, 2] / m
    p0, p1, p2 = velocity[i, 0], velocity[i, 1], velocity[i, 2]
    ax = ay = az = wx = wy = wz = 0.0
    start = cuda.blockIdx.y * length
    for j in range(start, min(start + length, b)):
        if j == i or not acts[j, i]:
            continue
        d0, d1, d2 = -separation[j, i, 0], -separation[j, i, 1], -separation[j, i, 2]
        r2 = d0 * d0 + d1 * d1 + d2 * d2
        if r2 == 0.0:
            met[0] = STATUS_COINCIDENT
            continue
        r = math.sqrt(r2)
        n0, n1, n2 = d0 / r, d1 / r, d2 / r
        M, q0, q1, q2 = mass[j], velocity[j, 0], velocity[j, 1], velocity[j, 2]
        if terms & ORBIT_TERMS:
            x, y, z = orbit_acceleration(terms, G, c, m, M, r, n0, n1, n2, p0, p1, p2, q0, q1, q2)
            ax += x
            ay += y
            az += z
        if terms & SPIN_TERMS:
            S0, S1, S2 = spin[j, 0], spin[j, 1], spin[j, 2]
            x, y, z = _spin_acceleration(
                terms, G, c, M, r, n0, n1, n2, p0 - q0, p1 - q1, p2 - q2, s0, s1, s2, S0, S1, S2
            )
            ax += x
            ay += y
            az += z
            x, y, z = _spin_precession(terms, G, c, M, r, n0, n1, n2, p0, p1, p2, q0, q1, q2, s0, s1, s2, S0, S1, S2)
            wx += x
            wy += y
            wz += z
        if terms & TERM_1CROSS and b > 2:
            x, y, z = cross_acceleration(G, c, m, M, d0, d1, d2, field, i, j)
            ax += x
            ay += y
            az += z
    s = cuda.blockIdx.y
    part[s, 0, i], part[s, 1, i], part[s, 2, i] = ax, ay, az
    part[s, 3, i], part[s, 4, i], part[s, 5, i] = wx, wy, wz


_fields, _pairs = cuda.jit(fields), cuda.jit(pairs)


def launch(b):
    """Return blocks over bodies, segments, and the partners of a segment."""
    blocks = -(-b // THREADS)
    segments = max(1, min(BLOCKS // blocks, b // SHORTEST))
    length = -(-b // segments)
    return blocks, -(-b // length), length


def accelerations(terms, G, c, mass, acts, separation, velocity, spin, acceleration, precession):
    """Overwrite accelerations and precessions; parameters as in `post_newtonian_cpu`; InputError where there is no device.

    Of b bodies the device holds 25 b^2 bytes of separations.
    """
    require_device()
    b = mass.shape[0]
    if b == 0:
        return STATUS_OK
    blocks, segments, length = launch(b)
    mass, acts = _kept.kept("mass", mass), _kept.kept("acts", acts)
    separation, velocity, spin = (
        _kept.moved(name, a) for name, a in (("separation", separation), ("velocity", velocity), ("spin", spin))
    )
    field, part = _kept.room("field", (4, b)), _kept.room("part", (segments, 6, b))
    met, bad = _kept.moved("met", np.zeros(1, np.int64)), _kept.moved("bad", np.zeros(1, np.int64))
    if terms & TERM_1CROSS and b > 2:
        run(_fields, blocks, THREADS, G, mass, acts, separation, field)
    run(
        _pairs, (blocks, segments), THREADS, terms, G, c, mass, acts, separation, velocity, spin, field, length, part, met
    )  # fmt: skip
    for quantity, name, array in ((0, "acceleration", acceleration), (3, "precession", precession)):
        there = _kept.moved("", array) if stays(array) else _kept.room(name, (b, 3))
        run(gather_there, blocks, THREADS, part, quantity, 1.0, there, bad)
        if not stays(array):
            array[...] = there.copy_to_host()
    if met.copy_to_host()[0]:
        return STATUS_COINCIDENT
    return STATUS_NOT_FINITE if bad.copy_to_host()[0] else STATUS_OK
