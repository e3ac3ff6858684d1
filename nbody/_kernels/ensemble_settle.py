"""What becomes of a trial step of an encounter: accepted or not, past the asked time, through a horizon; and the next one.

One function for lanes of the CPU and threads of a device, for encounters with post-Newtonian terms, whose substeps cost so much
that a call does not matter. A step that ends within the reach of a pair, or may have been there at a periastron, is tried again
with other lengths until the pair is at its reach (r^2 is below reach^2 by 1e-9 at most), or its periastron is seen to be beyond.

Legend
    as in ensemble_bodies; y, err: increments of time and state by the trial step, and their errors;  H (1, LANES): its length
    clock   (CLOCK, LANES) see below;  size (3, LANES) see ensemble_state.breathe;  near (2, LANES) least r, largest G m / r
    hole (n), reach (pairs): of the encounter, by body
"""

import math

import numpy as np
from numba import njit

from .ensemble_bodies import between, place_terms, radial, rate, relative_error, size_of
from .ensemble_rules import (
    COLLISION,
    GOING_ON,
    MERGER,
    NOT_FINITE,
    PAIR,
    REJECTED,
    STEP_LIMIT,
    STEP_TOO_SMALL,
    STEPS,
    TIME_LIMIT,
)
from .ensemble_state import breathe, chain_again, landing_step, passed

SAFETY = 0.9
LARGEST_GROWTH = 3.0
LANDING = 4.5e-16  # relative distance from the asked time that counts as there
MAX_REJECTED = 60
PASSAGE = 1.5  # a periastron below this multiple of the reach, by its osculating orbit, is looked at
ENTRY = 1e-9  # how far r^2 / reach^2 may be below 1 at an event

# places in ``clock``: time, steps of landing (0: not landing), rejections in a row, step proposed by the last error;
# a search: 0 none, 1 for entry, 2 for a periastron, and its pair, bracket, r.v at both ends, full step, pairs done with (bits)
T, LANDINGS, FAILURES, PROPOSAL, SEARCH, SOUGHT, LOW, HIGH, AT_LOW, AT_HIGH, FULL, DONE = range(12)
CLOCK = 12
CLOSE, HARD = range(2)
NOTHING, ENTERING, PASSING = range(3)


@njit(cache=True, error_model="numpy")
def begin(l, n, hole, reach, state, weight, who, H, clock, size, near, counts):
    """Start the bookkeeping of an encounter; return what has happened if a pair is within its reach, else GOING_ON."""
    for q in range(CLOCK):
        clock[q, l] = 0.0
    clock[PROPOSAL, l] = H[0, l]
    size[0, l] = np.inf
    size[1, l] = 1.0
    size[2, l] = 0.0
    near[CLOSE, l] = np.inf
    near[HARD, l] = 0.0
    for q in range(counts.shape[0]):
        counts[q] = 0
    inside = GOING_ON
    for i in range(n):
        for j in range(i + 1, n):
            x, y, z = between(l, 0, i, j, state)
            r = math.sqrt(x * x + y * y + z * z)
            near[HARD, l] = max(near[HARD, l], (weight[i, l] + weight[j, l]) / r)
            if r < reach[pair_of(n, who[i, l], who[j, l])]:
                near[CLOSE, l] = min(r, near[CLOSE, l])
                counts[PAIR] = 1 << who[i, l] | 1 << who[j, l]
                inside = MERGER if hole[who[i, l]] == 1 and hole[who[j, l]] == 1 else COLLISION
    return inside


@njit(cache=True, error_model="numpy")
def pair_of(n, i, j):
    """Return the place of a pair of bodies in ``reach``."""
    first = min(i, j)
    return first * (2 * n - first - 1) // 2 + max(i, j) - first - 1


@njit(cache=True, error_model="numpy")
def periastron(r2, v2, rv, mu):
    """Return the periastron of the osculating Kepler orbit."""
    h2 = max(0.0, r2 * v2 - rv * rv)
    return h2 / (mu + math.sqrt(max(0.0, mu * mu + (v2 - 2.0 * mu / math.sqrt(r2)) * h2)))


@njit(cache=True, error_model="numpy")
def pair_after(l, n, i, j, state, y):
    """Return (r^2, v^2, r.v) of a pair of places after the trial step."""
    a, b, c = between(l, 0, i, j, state)
    da, db, dc = between(l, 1, i, j, y)
    p, q, s = between(l, 3 * n - 3, i, j, state)
    dp, dq, ds = between(l, 3 * n - 2, i, j, y)
    a += da
    b += db
    c += dc
    p += dp
    q += dq
    s += ds
    return a * a + b * b + c * c, p * p + q * q + s * s, a * p + b * q + c * s


@njit(cache=True, error_model="numpy")
def pair_before(l, n, i, j, state):
    a, b, c = between(l, 0, i, j, state)
    p, q, s = between(l, 3 * n - 3, i, j, state)
    return a * a + b * b + c * c, p * p + q * q + s * s, a * p + b * q + c * s


@njit(cache=True, error_model="numpy")
def start_search(l, n, state, weight, who, y, H, reach, clock):
    """Return whether something may have happened to a pair in the trial step; then the search for it has begun."""
    for i in range(n):
        for j in range(i + 1, n):
            p = pair_of(n, who[i, l], who[j, l])
            if reach[p] == 0.0 or int(clock[DONE, l]) >> p & 1:
                continue
            r2, v2, rv = pair_after(l, n, i, j, state, y)
            entered = r2 <= reach[p] * reach[p]
            s2, w2, sw = pair_before(l, n, i, j, state)
            if not entered:
                if sw >= 0.0 or rv <= 0.0:
                    continue
                mu = weight[i, l] + weight[j, l]
                if min(periastron(s2, w2, sw, mu), periastron(r2, v2, rv, mu)) >= PASSAGE * reach[p]:
                    continue
            clock[SEARCH, l] = ENTERING if entered else PASSING
            clock[SOUGHT, l] = 256.0 * i + j
            clock[LOW, l] = 0.0
            clock[HIGH, l] = 1.0
            clock[AT_LOW, l] = sw
            clock[AT_HIGH, l] = rv
            clock[FULL, l] = H[0, l]
            next_guess(l, clock, H)
            return True
    return False


@njit(cache=True, error_model="numpy")
def next_guess(l, clock, H):
    """Set the next trial step of a search: the middle of its bracket, or the secant of r.v."""
    low = clock[LOW, l]
    high = clock[HIGH, l]
    z = 0.5 * (low + high)
    if clock[SEARCH, l] == PASSING:
        z = (low * clock[AT_HIGH, l] - high * clock[AT_LOW, l]) / (clock[AT_HIGH, l] - clock[AT_LOW, l])
    elif high - low < 1e-14:
        z = high
    H[0, l] = z * clock[FULL, l]


@njit(cache=True, error_model="numpy")
def search(l, n, state, weight, who, y, H, reach, clock):
    """Look at a trial step of a search and set the next one; return whether this one ends at the event."""
    i = int(clock[SOUGHT, l]) // 256
    j = int(clock[SOUGHT, l]) % 256
    p = pair_of(n, who[i, l], who[j, l])
    z = H[0, l] / clock[FULL, l]
    r2, v2, rv = pair_after(l, n, i, j, state, y)
    gap = r2 / (reach[p] * reach[p]) - 1.0
    if gap <= 0.0:
        if gap > -ENTRY or (clock[SEARCH, l] == ENTERING and z > clock[HIGH, l] * (1.0 - 1e-15)):
            return True
        if clock[SEARCH, l] == PASSING:
            clock[SEARCH, l] = ENTERING
            clock[LOW, l] = 0.0
        clock[HIGH, l] = z
    elif clock[SEARCH, l] == ENTERING:
        clock[LOW, l] = z
    elif abs(rv) < 1e-7 * math.sqrt(r2 * v2) or clock[HIGH, l] - clock[LOW, l] < 1e-13:
        clock[DONE, l] += 1 << p  # its periastron is beyond
        clock[SEARCH, l] = NOTHING
        H[0, l] = clock[FULL, l]
        return False
    elif rv > 0.0:  # regula falsi, of the Illinois kind
        clock[AT_LOW, l] *= 0.5 if clock[HIGH, l] < 1.0 else 1.0
        clock[HIGH, l] = z
        clock[AT_HIGH, l] = rv
    else:
        clock[AT_HIGH, l] *= 0.5 if clock[LOW, l] > 0.0 else 1.0
        clock[LOW, l] = z
        clock[AT_LOW, l] = rv
    next_guess(l, clock, H)
    return False


@njit(cache=True, error_model="numpy")
def settle(
    l, n, state, weight, who, H, y, err, clock, size, near, counts, hole, reach, t_end, tolerance, exponent, max_steps
):
    """Accept or reject the trial step of lane l and set the next one; return why the encounter ends, or GOING_ON.

    counts (COUNTS) is the encounter's and updated, as all that belongs to the lane.
    """
    wrong = relative_error(l, n, state, weight, y, err) / tolerance
    landing = clock[LANDINGS, l] > 0.0
    free = not landing and clock[SEARCH, l] == NOTHING
    if not free and wrong < np.inf:
        wrong = min(wrong, 1.0)  # shorter than a step that converged; relative to so short a time it means nothing
    if not wrong <= 1.0 or (free and not y[0, l] > 0.0):
        counts[REJECTED] += 1
        clock[FAILURES, l] += 1.0
        factor = 0.2
        if wrong < np.inf:
            factor = max(0.1, 0.9 * SAFETY * wrong**-exponent)
        H[0, l] *= factor
        if clock[FAILURES, l] < MAX_REJECTED:
            return GOING_ON
        return STEP_TOO_SMALL if wrong < np.inf else NOT_FINITE
    remaining = t_end - clock[T, l]
    if free and y[0, l] > remaining:  # past the asked time: again, and shorter
        before = rate(l, n, state, weight)
        for q in range(6 * n + 1):
            state[q, l] += y[q + 1, l]
        after = rate(l, n, state, weight)
        for q in range(6 * n + 1):
            state[q, l] -= y[q + 1, l]
        clock[LANDINGS, l] = 1.0
        H[0, l] = landing_step(y[0, l], H[0, l], before, after, remaining)
        return GOING_ON
    ended = False
    if clock[SEARCH, l] != NOTHING:
        ended = search(l, n, state, weight, who, y, H, reach, clock)
        if not ended:
            return GOING_ON
    elif start_search(l, n, state, weight, who, y, H, reach, clock):
        return GOING_ON
    if free:
        grow = SAFETY * max(wrong, 1e-30) ** -exponent
        clock[PROPOSAL, l] = H[0, l] * min(LARGEST_GROWTH if clock[FAILURES, l] == 0.0 else 1.0, grow)
    clock[FAILURES, l] = 0.0
    clock[DONE, l] = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            r2, v2, rv = pair_after(l, n, i, j, state, y)
            mu = weight[i, l] + weight[j, l]
            r = passed(r2, v2, radial(l, n, i, j, state), rv, mu)
            near[HARD, l] = max(near[HARD, l], mu / r)
            if r < near[CLOSE, l]:
                near[CLOSE, l] = r
                counts[PAIR] = 1 << who[i, l] | 1 << who[j, l]
    for q in range(6 * n + 1):
        state[q, l] += y[q + 1, l]
    clock[T, l] += y[0, l]
    counts[STEPS] += 1
    s2, longest = size_of(l, n, state)
    breathe(l, s2, size)
    if ended:
        i = who[int(clock[SOUGHT, l]) // 256, l]
        j = who[int(clock[SOUGHT, l]) % 256, l]
        counts[PAIR] = 1 << i | 1 << j
        return MERGER if hole[i] == 1 and hole[j] == 1 else COLLISION
    if n == 3 and chain_again(l, state, weight, who):
        place_terms(l, n, weight, who, hole)
    if not landing:
        H[0, l] = clock[PROPOSAL, l]
        return STEP_LIMIT if counts[STEPS] >= max_steps else GOING_ON
    clock[LANDINGS, l] += 1.0
    remaining = t_end - clock[T, l]
    if abs(remaining) <= LANDING * t_end or clock[LANDINGS, l] > 8.0:
        clock[T, l] = t_end
        return TIME_LIMIT
    H[0, l] = remaining * rate(l, n, state, weight)
    return GOING_ON
