"""What a few bodies have become: their hierarchy, whether it is stable, and whether its parts have parted for good.

The tightest bound pair is replaced by its centre of mass, again and again (Fregeau et al. 2004,
doi:10.1111/j.1365-2966.2004.07914.x). What is left are the *tops*.

Stability of a triple, in terms of q_out = m_3 / (m_1 + m_2), i the mutual inclination, r_p the outer periastron:

    MARDLING_AARSETH    r_p / a_in > 2.8 [(1 + q_out) (1 + e_out) / sqrt(1 - e_out)]^(2/5) (1 - 0.3 i / pi)
    EGGLETON_KISELEVA   r_p / [a_in (1 + e_in)] > 1 + 3.7 / Q - 2.2 / (1 + Q) + (1.4 / P) (Q - 1) / (Q + 1),
                        Q = q_out^(-1/3), P = (m_1 / m_2)^(1/3) >= 1
    VYNATHEYA           r_p / [a_in (1 + f)] > 2.4 [(1 + q_out) / ((1 + f) sqrt(1 - e_out))]^(2/5)
                        [1 + (1 - 0.2 f + e_out) (cos i - 1) / 8],   f = max(e_in, (1 - 5/3 cos^2 i) / 2)

Mardling & Aarseth 2001, doi:10.1046/j.1365-8711.2001.03974.x, with the factor for inclinations of Aarseth 2003, Gravitational
N-body Simulations; Eggleton & Kiseleva 1995, doi:10.1086/176611; Vynatheya et al. 2022, doi:10.1093/mnras/stac2540. A hierarchy
is stable when each of its orbits that holds another one is; two binaries about each other are judged by the wider one.

Legend
    node       (n, NODE) mass, x, v, apastron, h of what is left;  label (n): bits of its bodies, 0 once it is gone
    results    time reached, energy error, least distance of a pair, largest G (m_i + m_j) / r
    counts     why it ended, micro-steps, rejected ones, minima of the size, bits of the pair that came closest (or met), and
               0: no clear hierarchy, 1: a clear one, 2: its tops recede on hyperbolas
    orbits     (n - 1, ORBIT) a, e, inclination to the wider inner orbit, stability margin; members (n - 1, 2): bits of its sides
"""

import math

import numpy as np
from numba import njit

NODE = 13
ORBIT = 4

# why an encounter ended
TIME_LIMIT, ESCAPE, STABLE, COLLISION, MERGER, CAPTURE, STEP_LIMIT, STEP_TOO_SMALL, NOT_FINITE = range(9)
GOING_ON = -1

# places in ``rules``
ESCAPES, TIDE, CRITERION, CAPTURES, COLLISIONS, LIGHT = range(6)
RULES = 6

NO_CRITERION, MARDLING_AARSETH, EGGLETON_KISELEVA, VYNATHEYA = range(4)

# places in ``results`` (floats) and ``counts`` (integers) of an encounter
TIME, ENERGY_ERROR, CLOSEST, HARDEST = range(4)
RESULTS = 4
REASON, STEPS, REJECTED, MINIMA, PAIR, CLEAR = range(6)
COUNTS = 6

# places in a node
M, X, V, APASTRON, H, INNER_A, INNER_E = 0, 1, 4, 7, 8, 11, 12


@njit(cache=True, error_model="numpy")
def inverse_axis(G, node, i, j):
    """Return 1 / a of two nodes, negative where they are not bound."""
    r2 = 0.0
    v2 = 0.0
    for d in range(3):
        r2 += (node[i, X + d] - node[j, X + d]) ** 2
        v2 += (node[i, V + d] - node[j, V + d]) ** 2
    return 2.0 / math.sqrt(r2) - v2 / (G * (node[i, M] + node[j, M]))


@njit(cache=True, error_model="numpy")
def required_ratio(criterion, m_heavy, m_light, m_out, e_in, e_out, inclination):
    """Return the least stable r_p / a_in of a triple; 0 without a criterion."""
    if criterion == MARDLING_AARSETH:
        q = m_out / (m_heavy + m_light)
        return 2.8 * ((1.0 + q) * (1.0 + e_out) / math.sqrt(1.0 - e_out)) ** 0.4 * (1.0 - 0.3 * inclination / math.pi)
    if criterion == EGGLETON_KISELEVA:
        Q = ((m_heavy + m_light) / m_out) ** (1.0 / 3.0)
        P = (m_heavy / m_light) ** (1.0 / 3.0)
        return (1.0 + 3.7 / Q - 2.2 / (1.0 + Q) + 1.4 / P * (Q - 1.0) / (Q + 1.0)) * (1.0 + e_in)
    if criterion == VYNATHEYA:
        q = m_out / (m_heavy + m_light)
        f = max(e_in, 0.5 * (1.0 - 5.0 / 3.0 * math.cos(inclination) ** 2))  # the mean of a Kozai-Lidov cycle
        tilt = 1.0 + 0.125 * (1.0 - 0.2 * f + e_out) * (math.cos(inclination) - 1.0)
        return 2.4 * ((1.0 + q) / ((1.0 + f) * math.sqrt(1.0 - e_out))) ** 0.4 * tilt * (1.0 + f)
    return 0.0


@njit(cache=True, error_model="numpy")
def hierarchy(n, G, mass, position, velocity, criterion, node, label, orbits, members):
    """Overwrite node, label, orbits, members; return (tops, orbits found, whether every bound pair is a clear hierarchy).

    position, velocity : (n, 3)
    """
    pair = np.zeros((n, 2))  # masses of the two sides of a node's own orbit, the heavier one first
    for i in range(n):
        node[i, M] = mass[i]
        label[i] = 1 << i
        for d in range(3):
            node[i, X + d] = position[i, d]
            node[i, V + d] = velocity[i, d]
            node[i, H + d] = 0.0
        node[i, APASTRON] = 0.0
        node[i, INNER_A] = 0.0
        node[i, INNER_E] = 0.0
    tops = n
    found = 0
    while tops > 1:
        best = 0.0
        p = -1
        q = -1
        for i in range(n):
            if label[i] == 0:
                continue
            for j in range(i):
                if label[j] == 0:
                    continue
                inverse = inverse_axis(G, node, i, j)
                if inverse > best:
                    best = inverse
                    p = j
                    q = i
        if p < 0:
            break
        total = node[p, M] + node[q, M]
        mu = G * total
        a = 1.0 / best
        r = np.empty(3)
        w = np.empty(3)
        for d in range(3):
            r[d] = node[p, X + d] - node[q, X + d]
            w[d] = node[p, V + d] - node[q, V + d]
        hx = r[1] * w[2] - r[2] * w[1]
        hy = r[2] * w[0] - r[0] * w[2]
        hz = r[0] * w[1] - r[1] * w[0]
        h2 = hx * hx + hy * hy + hz * hz
        e = math.sqrt(max(0.0, 1.0 - h2 / (mu * a)))
        periastron = a * (1.0 - e)
        if periastron <= max(node[p, APASTRON], node[q, APASTRON]):
            return tops, found, False
        inner = p if node[p, INNER_A] >= node[q, INNER_A] else q
        outer = q if inner == p else p
        inclination = 0.0
        margin = np.inf
        if node[inner, INNER_A] > 0.0:
            ix = node[inner, H]
            iy = node[inner, H + 1]
            iz = node[inner, H + 2]
            cosine = (ix * hx + iy * hy + iz * hz) / math.sqrt((ix * ix + iy * iy + iz * iz) * h2)
            inclination = math.acos(min(1.0, max(-1.0, cosine)))
            need = required_ratio(
                criterion, pair[inner, 0], pair[inner, 1], node[outer, M], node[inner, INNER_E], e, inclination
            )
            margin = periastron / node[inner, INNER_A] / need if need > 0.0 else 0.0
        orbits[found, 0] = a
        orbits[found, 1] = e
        orbits[found, 2] = inclination
        orbits[found, 3] = margin
        members[found, 0] = label[p]
        members[found, 1] = label[q]
        found += 1
        pair[p, 0] = max(node[p, M], node[q, M])
        pair[p, 1] = min(node[p, M], node[q, M])
        for d in range(3):
            node[p, X + d] = (node[p, M] * node[p, X + d] + node[q, M] * node[q, X + d]) / total
            node[p, V + d] = (node[p, M] * node[p, V + d] + node[q, M] * node[q, V + d]) / total
        node[p, H] = hx
        node[p, H + 1] = hy
        node[p, H + 2] = hz
        node[p, APASTRON] = a * (1.0 + e)
        node[p, INNER_A] = a
        node[p, INNER_E] = e
        node[p, M] = total
        label[p] |= label[q]
        label[q] = 0
        tops -= 1
    return tops, found, True


@njit(cache=True, error_model="numpy")
def parted(n, G, tide, node, label):
    """Return whether all tops recede on hyperbolas and feel each other's tides less than ``tide``.

    The tide on a top of mass m and apastron Q by another of mass M at r is 2 (M / m) (Q / r)^3, relative to its own force.
    Three tops or more must have enough energy to part all: near each other they can be unbound pair by pair without.
    """
    total = 0.0
    energy = 0.0  # of the motion of the tops about their centre of mass, times the total mass
    for i in range(n):
        if label[i] != 0:
            total += node[i, M]
    for i in range(n):
        if label[i] == 0:
            continue
        for j in range(n):
            if label[j] == 0 or j == i:
                continue
            r2 = 0.0
            v2 = 0.0
            out = 0.0
            for d in range(3):
                r = node[i, X + d] - node[j, X + d]
                w = node[i, V + d] - node[j, V + d]
                r2 += r * r
                v2 += w * w
                out += r * w
            r = math.sqrt(r2)
            if out <= 0.0 or v2 * r <= 2.0 * G * (node[i, M] + node[j, M]):
                return False
            if 2.0 * node[j, M] / node[i, M] * (node[i, APASTRON] / r) ** 3 > tide:
                return False
            energy += node[i, M] * node[j, M] * (0.5 * v2 - G * total / r)
    return energy > 0.0


@njit(cache=True, error_model="numpy")
def decide(n, G, mass, position, velocity, rules, node, label, orbits, members):
    """Return why an encounter may end now, or GOING_ON: one bound hierarchy must be stable, several tops must have parted."""
    tops, found, clear = hierarchy(n, G, mass, position, velocity, int(rules[CRITERION]), node, label, orbits, members)
    if rules[CAPTURES] > 0.0 and found > 0:
        if captured(n, G, mass, rules[LIGHT], orbits, members, tops):
            return CAPTURE
    if not clear:
        return GOING_ON
    if tops > 1:
        if rules[ESCAPES] > 0.0 and stable(found, orbits) and parted(n, G, rules[TIDE], node, label):
            return ESCAPE
        return GOING_ON
    if rules[CRITERION] > 0.0 and n > 2 and stable(found, orbits):
        return STABLE
    return GOING_ON


@njit(cache=True, error_model="numpy")
def stable(found, orbits):
    """Return whether every orbit that holds another one exceeds its criterion (without one: a triple never does)."""
    least = np.inf
    for k in range(found):
        least = min(least, orbits[k, 3])
    return least > 1.0


@njit(cache=True, error_model="numpy")
def captured(n, G, mass, c, orbits, members, tops):
    """Return whether the tightest pair will merge within a period (two bodies: whether they are bound at all).

    Time of merger at high eccentricity, (3/85) a^4 (1 - e^2)^(7/2) c^5 / (G^3 m1 m2 (m1 + m2)): Peters 1964,
    doi:10.1103/PhysRev.136.B1224.
    """
    if n == 2:
        return tops == 1
    first = 0.0
    second = 0.0
    for i in range(n):
        if members[0, 0] >> i & 1:
            first += mass[i]
        if members[0, 1] >> i & 1:
            second += mass[i]
    a = orbits[0, 0]
    e = orbits[0, 1]
    total = first + second
    time = 3.0 / 85.0 * a**4 * (1.0 - e * e) ** 3.5 * c**5 / (G**3 * first * second * total)
    return time < 2.0 * math.pi * math.sqrt(a**3 / (G * total))
