"""Where an encounter of three bodies is in its lane: in and out of chain coordinates, energies, errors, closest approaches.

Legend
    l       lane;  k: encounter
    state   (12, LANES) edges a, b and their velocities;  weight (5, LANES) G m_0, G m_1, G m_2 in chain order, G b, G g
    who     (3, LANES) body at each place of the chain
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def relative_error(l, state, y, err):
    """Return the largest relative error of lane l: of the time done, and of each edge and velocity by its norm."""
    worst = abs(err[0, l] / y[0, l])
    for q in range(0, 12, 3):
        size = 0.0
        moved = 0.0
        wrong = 0.0
        new = 0.0
        for d in range(3):
            s = state[q + d, l]
            dy = y[q + d + 1, l]
            e = err[q + d + 1, l]
            size += s * s
            moved += dy * dy
            new += (s + dy) * (s + dy)
            wrong += e * e
        scale = max(size, new)
        if q >= 6:
            scale = max(scale, moved)
        worst = max(worst, math.sqrt(wrong / scale))
    return worst


@njit(cache=True, error_model="numpy")
def energies(l, state, weight):
    """Return (G T, G U) of lane l."""
    m0 = weight[0, l]
    m1 = weight[1, l]
    m2 = weight[2, l]
    a2 = 0.0
    b2 = 0.0
    c2 = 0.0
    p2 = 0.0
    q2 = 0.0
    u2 = 0.0
    for d in range(3):
        a = state[d, l]
        b = state[3 + d, l]
        p = state[6 + d, l]
        q = state[9 + d, l]
        a2 += a * a
        b2 += b * b
        c2 += (a + b) ** 2
        p2 += p * p
        q2 += q * q
        u2 += (p + q) ** 2
    kinetic = 0.5 * (m0 * m1 * p2 + m1 * m2 * q2 + m0 * m2 * u2) / (m0 + m1 + m2)
    return kinetic, m0 * m1 / math.sqrt(a2) + m1 * m2 / math.sqrt(b2) + m0 * m2 / math.sqrt(c2)


@njit(cache=True, error_model="numpy")
def norm2(l, state, q):
    return state[q, l] ** 2 + state[q + 1, l] ** 2 + state[q + 2, l] ** 2


@njit(cache=True, error_model="numpy")
def chain_again(l, state, weight, who):
    """Keep the two shortest separations as edges; return whether the chain changed."""
    a2 = norm2(l, state, 0)
    b2 = norm2(l, state, 3)
    c2 = 0.0
    for d in range(3):
        c2 += (state[d, l] + state[3 + d, l]) ** 2
    if c2 >= max(a2, b2):
        return False
    first = 0 if a2 > b2 else 1  # the bodies that change places: 0 1 2 -> 1 0 2, or 0 1 2 -> 0 2 1
    for q in (0, 6):
        for d in range(3):
            a = state[q + d, l]
            b = state[q + 3 + d, l]
            state[q + d, l] = -a if first == 1 else a + b
            state[q + 3 + d, l] = a + b if first == 1 else -b
    # dropping a (longest): 0 2 1 with edges c, -b; dropping b: 1 0 2 with edges -a, c
    place = 1 if first == 0 else 0
    weight[place, l], weight[place + 1, l] = weight[place + 1, l], weight[place, l]
    who[place, l], who[place + 1, l] = who[place + 1, l], who[place, l]
    return True


@njit(cache=True, error_model="numpy")
def put_in(l, k, G, mass, position, velocity, state, weight, who, H):
    """Fill lane l with encounter k and propose its first step."""
    for i in range(3):
        who[i, l] = i
        weight[i, l] = G * mass[k, i]
    for d in range(3):
        state[d, l] = position[k, 1, d] - position[k, 0, d]
        state[3 + d, l] = position[k, 2, d] - position[k, 1, d]
        state[6 + d, l] = velocity[k, 1, d] - velocity[k, 0, d]
        state[9 + d, l] = velocity[k, 2, d] - velocity[k, 1, d]
    while chain_again(l, state, weight, who):
        pass
    kinetic, u = energies(l, state, weight)
    weight[3, l] = max(u - kinetic, 0.0)
    weight[4, l] = max(kinetic - u, 0.0)
    shortest = np.inf
    for q in range(2):
        r2 = norm2(l, state, 3 * q)
        shortest = min(shortest, r2 * math.sqrt(r2) / (weight[q, l] + weight[q + 1, l]))
    H[0, l] = 0.1 * (u + weight[4, l]) * math.sqrt(shortest)
    return kinetic - u


@njit(cache=True, error_model="numpy")
def read_out(l, k, t, mass, position, velocity, state, who, x, v):
    """Overwrite x, v (3, 3) by the Cartesian state of lane l, which began as encounter k, t ago."""
    total = mass[k, 0] + mass[k, 1] + mass[k, 2]
    for d in range(3):
        centre = 0.0
        drift = 0.0
        for i in range(3):
            centre += mass[k, i] * position[k, i, d]
            drift += mass[k, i] * velocity[k, i, d]
        centre = (centre + t * drift) / total
        drift /= total
        m0 = mass[k, who[0, l]]
        m2 = mass[k, who[2, l]]
        middle = centre + (m0 * state[d, l] - m2 * state[3 + d, l]) / total
        speed = drift + (m0 * state[6 + d, l] - m2 * state[9 + d, l]) / total
        x[who[0, l], d] = middle - state[d, l]
        x[who[1, l], d] = middle
        x[who[2, l], d] = middle + state[3 + d, l]
        v[who[0, l], d] = speed - state[6 + d, l]
        v[who[1, l], d] = speed
        v[who[2, l], d] = speed + state[9 + d, l]


@njit(cache=True, error_model="numpy")
def landing_step(dt, H, rate0, rate1, wanted):
    """Return s in (0, H) at which the cubic t(s) with t(0) = 0, t(H) = dt and slopes 1/rate reaches ``wanted``."""
    low = 0.0
    high = 1.0
    for _ in range(50):
        z = 0.5 * (low + high)
        reached = dt * z * z * (3.0 - 2.0 * z) + H * z * (1.0 - z) * ((1.0 - z) / rate0 - z / rate1)
        if reached < wanted:
            low = z
        else:
            high = z
    return 0.5 * (low + high) * H


@njit(cache=True, error_model="numpy")
def passed(r2, v2, radial_before, radial, mu):
    """Return the least distance of a pair since the step before: r, or its osculating periastron if it has passed that."""
    r = math.sqrt(r2)
    if radial_before < 0.0 and radial >= 0.0:
        h2 = max(0.0, r2 * v2 - radial * radial)
        energy2 = v2 - 2.0 * mu / r
        return min(r, h2 / (mu + math.sqrt(max(0.0, mu * mu + energy2 * h2))))
    return r


@njit(cache=True, error_model="numpy")
def worth_a_look(l, state):
    """Return whether one edge of the chain is three times as long as the other: a cheap test before the full one."""
    a2 = norm2(l, state, 0)
    b2 = norm2(l, state, 3)
    return max(a2, b2) > 9.0 * min(a2, b2)


@njit(cache=True, error_model="numpy")
def squared_size(l, state):
    s2 = 0.0
    for d in range(3):
        a = state[d, l]
        b = state[3 + d, l]
        s2 += a * a + b * b + (a + b) ** 2
    return s2


@njit(cache=True, error_model="numpy")
def breathe(l, s2, size):
    """Count minima of s^2 = sum r_ij^2 between maxima at least twice as large (McMillan & Hut 1996, doi:10.1086/177610)."""
    if size[1, l] > 0.0:  # going down
        if s2 < size[0, l]:
            size[0, l] = s2
        elif s2 > 2.0 * size[0, l]:
            size[1, l] = 0.0
            size[2, l] += 1.0
            size[0, l] = s2
    elif s2 > size[0, l]:
        size[0, l] = s2
    elif s2 < 0.5 * size[0, l]:
        size[1, l] = 1.0
        size[0, l] = s2
