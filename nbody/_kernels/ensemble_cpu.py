"""Ensembles of three bodies on the CPU: LANES encounters side by side, each with its own step, refilled as they end.

One micro-step extrapolates ``rows`` rows of the leapfrog of ensemble_row with 2, 4, 6, 8, 12, 16, 24, 32, ... substeps: the
chain's method (chain_extrapolation) with a fixed order, so that all lanes stay in step. Result and error are sums of rows,

    y = y_0 + sum_k c_k (T_k - y_0),     err = sum_k d_k (T_k - y_0),

which are accumulated row by row: no table is kept. Encounters do not depend on their lane and company, to the last bit, so that
any of them repeats alone; ``track`` then receives every micro-step.

Legend
    state   (12, LANES) edges a, b and their velocities;  weight (5, LANES) G m_0, G m_1, G m_2 in chain order, G b, G g
    who     (3, LANES) body at each place of the chain
"""

import numpy as np
from numba import njit, prange

from .chain_extrapolation import SEQUENCE, coefficients
from .ensemble_lanes import LANES, lanes_load, lanes_store
from .ensemble_row import substeps
from .ensemble_rules import (
    CLEAR,
    CLOSEST,
    COLLISION,
    COLLISIONS,
    CRITERION,
    ENERGY_ERROR,
    ESCAPES,
    GOING_ON,
    HARDEST,
    MINIMA,
    NODE,
    NOT_FINITE,
    PAIR,
    REASON,
    REJECTED,
    STEP_LIMIT,
    STEP_TOO_SMALL,
    STEPS,
    TIME,
    TIME_LIMIT,
    decide,
    hierarchy,
    parted,
)
from .ensemble_state import (
    breathe,
    chain_again,
    energies,
    landing_step,
    norm2,
    passed,
    put_in,
    read_out,
    relative_error,
    squared_size,
    worth_a_look,
)

row_of_lanes = njit(cache=True, error_model="numpy")(substeps)

SAFETY = 0.9
CHECK_EVERY = 4  # micro-steps from one look at the stopping rules to the next
LARGEST_GROWTH = 3.0
LANDING = 4.5e-16  # relative distance from the asked time that counts as there
MAX_REJECTED = 60


@njit(cache=True, error_model="numpy")
def micro_step(state, weight, H, rows, value, error, y, err):
    """Overwrite y (13, LANES) by the increments of time, edges and velocities over H (1, LANES), and err by their errors."""
    h = lanes_load(H, 0)
    m0 = lanes_load(weight, 0)
    m1 = lanes_load(weight, 1)
    m2 = lanes_load(weight, 2)
    binding = lanes_load(weight, 3)
    shift = lanes_load(weight, 4)
    y[:] = 0.0
    err[:] = 0.0
    for k in range(1, rows + 1):
        m = SEQUENCE[k]
        c = value[rows, k]
        d = error[rows, k]
        new = row_of_lanes(
            h * (1.0 / m), m, m0, m1, m2, binding, shift,
            lanes_load(state, 0), lanes_load(state, 1), lanes_load(state, 2), lanes_load(state, 3),
            lanes_load(state, 4), lanes_load(state, 5), lanes_load(state, 6), lanes_load(state, 7),
            lanes_load(state, 8), lanes_load(state, 9), lanes_load(state, 10), lanes_load(state, 11),
        )  # fmt: skip
        lanes_store(y, 0, lanes_load(y, 0) + c * new[0])
        lanes_store(err, 0, lanes_load(err, 0) + d * new[0])
        _gather(y, err, state, 0, c, d, new[1])
        _gather(y, err, state, 1, c, d, new[2])
        _gather(y, err, state, 2, c, d, new[3])
        _gather(y, err, state, 3, c, d, new[4])
        _gather(y, err, state, 4, c, d, new[5])
        _gather(y, err, state, 5, c, d, new[6])
        _gather(y, err, state, 6, c, d, new[7])
        _gather(y, err, state, 7, c, d, new[8])
        _gather(y, err, state, 8, c, d, new[9])
        _gather(y, err, state, 9, c, d, new[10])
        _gather(y, err, state, 10, c, d, new[11])
        _gather(y, err, state, 11, c, d, new[12])


@njit(cache=True, error_model="numpy", forceinline=True)
def _gather(y, err, state, q, c, d, new):
    difference = new - lanes_load(state, q)
    lanes_store(y, q + 1, lanes_load(y, q + 1) + c * difference)
    lanes_store(err, q + 1, lanes_load(err, q + 1) + d * difference)


@njit(cache=True, error_model="numpy")
def _block(
    first, last, G, mass, position, velocity, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run encounters first ... last - 1 through LANES lanes."""
    value, error = coefficients(rows)
    exponent = 1.0 / (2 * rows - 1)
    state = np.empty((12, LANES))
    weight = np.ones((5, LANES))
    who = np.zeros((3, LANES), np.int64)
    H = np.zeros((1, LANES))
    y = np.empty((13, LANES))
    err = np.empty((13, LANES))
    encounter = np.full(LANES, -1)
    t = np.zeros(LANES)
    landing = np.zeros(LANES, np.int64)
    failures = np.zeros(LANES, np.int64)
    energy = np.zeros(LANES)
    proposal = np.zeros(LANES)
    size = np.zeros((3, LANES))  # last extremum of s^2 = sum r_ij^2, whether it is going down, number of minima
    nearest = np.full(LANES, np.inf)
    hardest = np.zeros(LANES)
    x = np.empty((3, 3))
    v = np.empty((3, 3))
    node = np.empty((3, NODE))
    label = np.zeros(3, np.int64)
    before = np.empty(2)
    watched = rules[ESCAPES] > 0.0 or rules[CRITERION] > 0.0
    touching = rules[COLLISIONS] > 0.0
    following = first
    busy = 0
    for l in range(LANES):  # idle lanes hold a copy of the first encounter and do not move
        put_in(l, first, G, mass, position, velocity, state, weight, who, H)
        H[0, l] = 0.0
    while True:
        for l in range(LANES):
            if encounter[l] < 0 and following < last:
                k = following
                encounter[l] = k
                following += 1
                busy += 1
                energy[l] = put_in(l, k, G, mass, position, velocity, state, weight, who, H)
                proposal[l] = H[0, l]
                t[l] = 0.0
                landing[l] = 0
                failures[l] = 0
                size[0, l] = np.inf
                size[1, l] = 1.0
                size[2, l] = 0.0
                nearest[l] = np.inf
                hardest[l] = 0.0
                counts[k, :] = 0
        if busy == 0:
            return
        micro_step(state, weight, H, rows, value, error, y, err)
        for l in range(LANES):
            k = encounter[l]
            if k < 0:
                continue
            wrong = relative_error(l, state, y, err) / tolerance
            reason = GOING_ON
            if landing[l] > 0 and wrong < np.inf:
                wrong = min(
                    wrong, 1.0
                )  # shorter than a step that converged; relative to so short a time it means nothing
            if not wrong <= 1.0 or (not y[0, l] > 0.0 and landing[l] == 0):
                counts[k, REJECTED] += 1
                failures[l] += 1
                factor = 0.2
                if wrong < np.inf:
                    factor = max(0.1, 0.9 * SAFETY * wrong**-exponent)
                H[0, l] *= factor
                if failures[l] < MAX_REJECTED:
                    continue
                reason = STEP_TOO_SMALL if wrong < np.inf else NOT_FINITE
            else:
                remaining = t_end[k] - t[l]
                if landing[l] == 0:
                    grow = SAFETY * max(wrong, 1e-30) ** -exponent
                    grow = min(LARGEST_GROWTH if failures[l] == 0 else 1.0, grow)
                    if y[0, l] > remaining:  # past the asked time: again, and shorter
                        landing[l] = 1
                        kinetic, u = energies(l, state, weight)
                        rate0 = kinetic + weight[3, l]
                        for q in range(12):
                            state[q, l] += y[q + 1, l]
                        kinetic, u = energies(l, state, weight)
                        for q in range(12):
                            state[q, l] -= y[q + 1, l]
                        H[0, l] = landing_step(y[0, l], H[0, l], rate0, kinetic + weight[3, l], remaining)
                        continue
                    proposal[l] = H[0, l] * grow
                failures[l] = 0
                for q in range(2):
                    before[q] = 0.0
                    for d in range(3):
                        before[q] += state[3 * q + d, l] * state[6 + 3 * q + d, l]
                for q in range(12):
                    state[q, l] += y[q + 1, l]
                t[l] += y[0, l]
                counts[k, STEPS] += 1
                for q in range(2):
                    i = who[q, l]
                    j = who[q + 1, l]
                    r2 = norm2(l, state, 3 * q)
                    radial = 0.0
                    for d in range(3):
                        radial += state[3 * q + d, l] * state[6 + 3 * q + d, l]
                    mu = weight[q, l] + weight[q + 1, l]
                    r = passed(r2, norm2(l, state, 6 + 3 * q), before[q], radial, mu)
                    hardest[l] = max(hardest[l], mu / r)
                    touch = touching and r < radius[k, i] + radius[k, j]
                    if touch or (r < nearest[l] and reason == GOING_ON):
                        nearest[l] = r
                        counts[k, PAIR] = 1 << i | 1 << j
                    if touch:
                        reason = COLLISION
                breathe(l, squared_size(l, state), size)
                if tracked.shape[0] > 0 and tracked[0] < track.shape[0]:
                    read_out(l, k, t[l], mass, position, velocity, state, who, x, v)
                    track[tracked[0], 0] = t[l]
                    for i in range(3):
                        for d in range(3):
                            track[tracked[0], 1 + 3 * i + d] = x[i, d]
                            track[tracked[0], 10 + 3 * i + d] = v[i, d]
                    tracked[0] += 1
                chain_again(l, state, weight, who)
                remaining = t_end[k] - t[l]
                if reason == GOING_ON:
                    if landing[l] > 0:
                        landing[l] += 1
                        if abs(remaining) <= LANDING * t_end[k] or landing[l] > 8:
                            t[l] = t_end[k]
                            reason = TIME_LIMIT
                        else:
                            kinetic, u = energies(l, state, weight)
                            H[0, l] = remaining * (kinetic + weight[3, l])
                    else:
                        H[0, l] = proposal[l]
                        if counts[k, STEPS] >= max_steps:
                            reason = STEP_LIMIT
                        elif watched and counts[k, STEPS] % CHECK_EVERY == 0 and worth_a_look(l, state):
                            read_out(l, k, t[l], mass, position, velocity, state, who, x, v)
                            reason = decide(3, G, mass[k], x, v, rules, node, label, orbits[k], members[k])
            if reason == GOING_ON:
                continue
            # ---- the encounter has ended ---------------------------------------------------------------------
            kinetic, u = energies(l, state, weight)
            read_out(l, k, t[l], mass, position, velocity, state, who, end_position[k], end_velocity[k])
            results[k, TIME] = t[l]
            results[k, ENERGY_ERROR] = ((kinetic - u) - energy[l]) / abs(energy[l])
            results[k, CLOSEST] = nearest[l]
            results[k, HARDEST] = hardest[l]
            tops, found, clear = hierarchy(
                3, G, mass[k], end_position[k], end_velocity[k], max(1, int(rules[CRITERION])), node, labels[k], orbits[k],
                members[k],
            )  # fmt: skip
            counts[k, CLEAR] = clear + (clear and tops > 1 and parted(3, G, np.inf, node, labels[k]))
            counts[k, REASON] = reason
            counts[k, MINIMA] = int(size[2, l])
            encounter[l] = -1
            H[0, l] = 0.0
            busy -= 1


@njit(cache=True, parallel=True, error_model="numpy")
def advance(
    block, G, mass, position, velocity, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of three bodies.

    Parameters
    ----------
    block : encounters that one thread takes at a time; results do not depend on it
    mass, position, velocity, radius : (k, 3), (k, 3, 3), (k, 3, 3), (k, 3)
    t_end : (k,)
    tolerance, rows, max_steps : relative error of a micro-step, rows of its extrapolation, most micro-steps
    rules : (RULES,) see ensemble_rules
    end_position, end_velocity : (k, 3, 3) overwritten
    results, counts : (k, RESULTS), (k, COUNTS) overwritten
    orbits, members, labels : (k, 2, ORBIT), (k, 2, 2), (k, 3) overwritten by the hierarchy at the end
    track, tracked : (m, 19) time, positions, velocities of every micro-step, and (1,) how many; empty arrays for none. One
        encounter at a time can be tracked

    Returns
    -------
    0

    """
    k = mass.shape[0]
    for b in prange((k + block - 1) // block):
        _block(
            b * block, min(k, (b + 1) * block), G, mass, position, velocity, radius, t_end, tolerance, rows, max_steps, rules,
            end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
        )  # fmt: skip
    return 0
