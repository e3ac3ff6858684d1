"""Where an encounter of n bodies with post-Newtonian terms is in its lane: in and out of chain coordinates, energies, errors.

What ensemble_state is to three Newtonian bodies. Edges of the chain lead from each place to the next one, E = n - 1 of them.

Legend
    l       lane;  k: encounter;  n: bodies;  p: pair of places, (0, 1), (0, 2) ... (1, 2) ...
    state   (6 n + 1, LANES) edges, their velocities, G d (see ensemble_relativity), shift of the centre of mass, its velocity
    weight  (n + 2 + pairs, LANES) G m in chain order, G b, G g, and for every pair 1 where terms act, else 0
    who     (n, LANES) body at each place of the chain
"""

import math

import numpy as np
from numba import njit

from .ensemble_state import chain_again


@njit(cache=True, error_model="numpy")
def between(l, at, i, j, state):
    """Return the sum of edges (or of their velocities, from row ``at`` on) from place i to place j > i."""
    x = 0.0
    y = 0.0
    z = 0.0
    for e in range(i, j):
        x += state[at + 3 * e, l]
        y += state[at + 3 * e + 1, l]
        z += state[at + 3 * e + 2, l]
    return x, y, z


@njit(cache=True, error_model="numpy")
def square_between(l, at, i, j, state):
    x, y, z = between(l, at, i, j, state)
    return x * x + y * y + z * z


@njit(cache=True, error_model="numpy")
def radial(l, n, i, j, state):
    """Return r . v of a pair of places."""
    x, y, z = between(l, 0, i, j, state)
    u, v, w = between(l, 3 * n - 3, i, j, state)
    return x * u + y * v + z * w


@njit(cache=True, error_model="numpy")
def energies(l, n, state, weight):
    """Return (G T, G U) of lane l."""
    total = 0.0
    kinetic = 0.0
    u = 0.0
    for i in range(n):
        total += weight[i, l]
        for j in range(i + 1, n):
            product = weight[i, l] * weight[j, l]
            kinetic += product * square_between(l, 3 * n - 3, i, j, state)
            u += product / math.sqrt(square_between(l, 0, i, j, state))
    return 0.5 * kinetic / total, u


@njit(cache=True, error_model="numpy")
def rate(l, n, state, weight):
    """Return T + b + d, the fictitious time that passes in a unit of time."""
    kinetic, u = energies(l, n, state, weight)
    return kinetic + weight[n, l] + state[6 * n - 6, l]


@njit(cache=True, error_model="numpy")
def size_of(l, n, state):
    """Return (sum r_ij^2, the longest separation)."""
    s2 = 0.0
    longest = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            r2 = square_between(l, 0, i, j, state)
            s2 += r2
            longest = max(longest, r2)
    return s2, math.sqrt(longest)


@njit(cache=True, error_model="numpy")
def relative_error(l, n, state, weight, y, err):
    """Return the largest relative error of a step of lane l: of the time, of each vector by its norm, of the work by U.

    The centre of mass and its velocity are measured by the size of the system and its mean velocity.
    """
    worst = abs(err[0, l] / y[0, l])
    kinetic, u = energies(l, n, state, weight)
    total = 0.0
    for i in range(n):
        total += weight[i, l]
    s2, longest = size_of(l, n, state)
    for q in range(2 * n):
        at = 3 * q + (q >= 2 * n - 2)
        size = 0.0
        moved = 0.0
        wrong = 0.0
        new = 0.0
        for d in range(3):
            s = state[at + d, l]
            dy = y[at + d + 1, l]
            e = err[at + d + 1, l]
            size += s * s
            moved += dy * dy
            new += (s + dy) * (s + dy)
            wrong += e * e
        scale = max(size, new)
        if q >= n - 1:
            scale = max(scale, moved)
        if q == 2 * n - 2:
            scale = max(scale, longest * longest)
        elif q == 2 * n - 1:
            scale = max(scale, 2.0 * kinetic / total)
        worst = max(worst, math.sqrt(wrong / scale))
    return max(worst, abs(err[6 * n - 5, l]) / u)


@njit(cache=True, error_model="numpy")
def place_terms(l, n, weight, who, hole):
    """Say between which places terms act: where one body is a black hole (hole (n): 1)."""
    p = n + 2
    for i in range(n):
        for j in range(i + 1, n):
            weight[p, l] = max(hole[who[i, l]], hole[who[j, l]])
            p += 1


@njit(cache=True, error_model="numpy")
def put_in(l, k, n, G, mass, position, velocity, hole, state, weight, who, H):
    """Fill lane l with encounter k, propose its first step, and return G (T - U)."""
    edges = 3 * n - 3
    state[:, l] = 0.0
    for i in range(n):
        who[i, l] = i
        weight[i, l] = G * mass[k, i]
    for e in range(n - 1):
        for d in range(3):
            state[3 * e + d, l] = position[k, e + 1, d] - position[k, e, d]
            state[edges + 3 * e + d, l] = velocity[k, e + 1, d] - velocity[k, e, d]
    if n == 3:
        while chain_again(l, state, weight, who):
            pass
    place_terms(l, n, weight, who, hole[k])
    kinetic, u = energies(l, n, state, weight)
    weight[n, l] = max(u - kinetic, 0.0)
    weight[n + 1, l] = max(kinetic - u, 0.0)
    shortest = np.inf
    for e in range(n - 1):
        r2 = square_between(l, 0, e, e + 1, state)
        shortest = min(shortest, r2 * math.sqrt(r2) / (weight[e, l] + weight[e + 1, l]))
    H[0, l] = 0.1 * (u + weight[n + 1, l]) * math.sqrt(shortest)
    return kinetic - u


@njit(cache=True, error_model="numpy")
def read_out(l, k, n, t, mass, position, velocity, state, who, x, v):
    """Overwrite x, v (n, 3) by the Cartesian state of lane l, which began as encounter k, t ago."""
    edges = 3 * n - 3
    total = mass[k].sum()
    for d in range(3):
        centre = 0.0
        drift = 0.0
        for i in range(n):
            centre += mass[k, i] * position[k, i, d]
            drift += mass[k, i] * velocity[k, i, d]
        centre += t * drift
        place = 0.0
        speed = 0.0
        for i in range(n):  # from the first place of the chain
            x[who[i, l], d] = place
            v[who[i, l], d] = speed
            centre -= mass[k, who[i, l]] * place
            drift -= mass[k, who[i, l]] * speed
            if i < n - 1:
                place += state[3 * i + d, l]
                speed += state[edges + 3 * i + d, l]
        for i in range(n):
            x[i, d] += centre / total + state[2 * edges + 1 + d, l]
            v[i, d] += drift / total + state[2 * edges + 4 + d, l]


@njit(cache=True, error_model="numpy")
def worth_a_look(l, n, state):
    """Return whether an edge of the chain is three times as long as another: a cheap test before the full one."""
    if n == 2:
        return True
    shortest = np.inf
    longest = 0.0
    for e in range(n - 1):
        r2 = square_between(l, 0, e, e + 1, state)
        shortest = min(shortest, r2)
        longest = max(longest, r2)
    return longest > 9.0 * shortest
