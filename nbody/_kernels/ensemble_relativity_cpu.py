"""Ensembles of two and of three bodies with post-Newtonian terms on the CPU: LANES encounters side by side.

The method of ensemble_cpu (fixed order, each lane with its own step, refilled as encounters end) with the substeps of
ensemble_relativity, the state of ensemble_bodies and the decisions of ensemble_settle. Two and three bodies are two kernels, so
that each is compiled when it is first asked for. Encounters do not depend on their lane and company, to the last bit.

Legend
    duo, trio   2 and None for two bodies, None and 3 for three: types, by which only one of the rows is compiled
    the rest as in ensemble_bodies and ensemble_settle
"""

import numpy as np
from numba import njit, prange

from .chain_events import pair_reach
from .chain_extrapolation import SEQUENCE, coefficients
from .ensemble_bodies import energies, put_in, read_out, worth_a_look
from .ensemble_lanes import LANES, lanes_load, lanes_store
from .ensemble_relativity import substeps_three, substeps_two
from .ensemble_rules import (
    CAPTURES,
    CLEAR,
    CLOSEST,
    CRITERION,
    ENERGY_ERROR,
    ESCAPES,
    GOING_ON,
    HARDEST,
    MINIMA,
    NODE,
    REASON,
    STEPS,
    TIME,
    decide,
    hierarchy,
    parted,
)
from .ensemble_settle import CLOCK, CLOSE, HARD, LANDINGS, T, begin, pair_of, settle

CHECK_EVERY = 4  # micro-steps from one look at the stopping rules to the next


@njit(cache=True, error_model="numpy")
def row_of_two(h, m, terms, light, state, weight):
    """Return time and state of all lanes after m substeps; h: fictitious time of one."""
    return substeps_two(
        h, m, terms, light, lanes_load(weight, 0), lanes_load(weight, 1), lanes_load(weight, 2), lanes_load(weight, 3),
        lanes_load(weight, 4),
        lanes_load(state, 0), lanes_load(state, 1), lanes_load(state, 2), lanes_load(state, 3), lanes_load(state, 4),
        lanes_load(state, 5), lanes_load(state, 6), lanes_load(state, 7), lanes_load(state, 8), lanes_load(state, 9),
        lanes_load(state, 10), lanes_load(state, 11), lanes_load(state, 12),
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def row_of_three(h, m, terms, light, state, weight):
    """Return time and state of all lanes after m substeps."""
    return substeps_three(
        h, m, terms, light, lanes_load(weight, 0), lanes_load(weight, 1), lanes_load(weight, 2), lanes_load(weight, 3),
        lanes_load(weight, 4), lanes_load(weight, 5), lanes_load(weight, 6), lanes_load(weight, 7),
        lanes_load(state, 0), lanes_load(state, 1), lanes_load(state, 2), lanes_load(state, 3), lanes_load(state, 4),
        lanes_load(state, 5), lanes_load(state, 6), lanes_load(state, 7), lanes_load(state, 8), lanes_load(state, 9),
        lanes_load(state, 10), lanes_load(state, 11), lanes_load(state, 12), lanes_load(state, 13), lanes_load(state, 14),
        lanes_load(state, 15), lanes_load(state, 16), lanes_load(state, 17), lanes_load(state, 18),
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def micro_step(duo, trio, terms, light, state, weight, H, rows, value, error, y, err):
    """Overwrite y (6 n + 2, LANES) by the increments of time and state over H (1, LANES), and err by their errors."""
    h = lanes_load(H, 0)
    y[:] = 0.0
    err[:] = 0.0
    for k in range(1, rows + 1):
        m = SEQUENCE[k]
        c = value[rows, k]
        d = error[rows, k]
        if duo is not None:
            _gather(y, err, state, c, d, row_of_two(h * (1.0 / m), m, terms, light, state, weight))
        if trio is not None:
            _gather(y, err, state, c, d, row_of_three(h * (1.0 / m), m, terms, light, state, weight))


@njit(cache=True, error_model="numpy")
def _gather(y, err, state, c, d, new):
    lanes_store(y, 0, lanes_load(y, 0) + c * new[0])
    lanes_store(err, 0, lanes_load(err, 0) + d * new[0])
    for q in range(1, len(new)):
        difference = new[q] - lanes_load(state, q - 1)
        lanes_store(y, q, lanes_load(y, q) + c * difference)
        lanes_store(err, q, lanes_load(err, q) + d * difference)


@njit(cache=True, error_model="numpy")
def _row(
    duo, trio, H, m, G, light, terms, mass, position, velocity, hole, out_position, out_velocity, out_work, out_time
):
    k, n = mass.shape
    state = np.empty((6 * n + 1, LANES))
    weight = np.ones((n + 2 + n * (n - 1) // 2, LANES))
    who = np.zeros((n, LANES), np.int64)
    h = np.zeros((1, LANES))
    t = np.empty((1, LANES))
    for first in range(0, k, LANES):
        for l in range(LANES):
            put_in(l, min(first + l, k - 1), n, G, mass, position, velocity, hole, state, weight, who, h)
            h[0, l] = H[min(first + l, k - 1)] / m * G  # in units in which the lanes' masses are G m
        if duo is not None:
            _keep(t, state, row_of_two(lanes_load(h, 0), m, terms, light, state, weight))
        if trio is not None:
            _keep(t, state, row_of_three(lanes_load(h, 0), m, terms, light, state, weight))
        for l in range(min(LANES, k - first)):
            e = first + l
            out_time[e] = t[0, l]
            out_work[e] = state[6 * n - 6, l] / G
            read_out(l, e, n, t[0, l], mass, position, velocity, state, who, out_position[e], out_velocity[e])
    return 0


@njit(cache=True, error_model="numpy")
def _keep(t, state, new):
    lanes_store(t, 0, new[0])
    for q in range(1, len(new)):
        lanes_store(state, q - 1, new[q])


def row(H, m, G, light, terms, mass, position, velocity, hole, out_position, out_velocity, out_work, out_time):
    """Overwrite the outputs by the state after m substeps of H / m; parameters as in ensemble_relativity_reference."""
    duo, trio = (2, None) if mass.shape[1] == 2 else (None, 3)
    return _row(
        duo, trio, H, m, G, light, terms, mass, position, velocity, hole, out_position, out_velocity, out_work, out_time
    )


@njit(cache=True, error_model="numpy")
def reaches(n, mass, hole, horizon, radius, reach):
    """Overwrite reach (pairs) by the distance at which each pair of bodies is an event."""
    for i in range(n):
        for j in range(i + 1, n):
            reach[pair_of(n, i, j)] = pair_reach(i, j, mass, hole, horizon, radius)


@njit(cache=True, error_model="numpy")
def finish(
    l, k, n, reason, G, mass, position, velocity, rules, state, weight, who, clock, size, near, energy, node, end_position,
    end_velocity, results, counts, orbits, members, labels,
):  # fmt: skip
    """Write down how encounter k ended in lane l."""
    kinetic, u = energies(l, n, state, weight)
    read_out(l, k, n, clock[T, l], mass, position, velocity, state, who, end_position[k], end_velocity[k])
    results[k, TIME] = clock[T, l]
    results[k, ENERGY_ERROR] = ((kinetic - u) - energy + state[6 * n - 6, l]) / abs(energy)
    results[k, CLOSEST] = near[CLOSE, l]
    results[k, HARDEST] = near[HARD, l]
    tops, found, clear = hierarchy(
        n, G, mass[k], end_position[k], end_velocity[k], max(1, int(rules[CRITERION])), node, labels[k], orbits[k], members[k]
    )  # fmt: skip
    counts[k, CLEAR] = clear + (clear and tops > 1 and parted(n, G, np.inf, node, labels[k]))
    counts[k, REASON] = reason
    counts[k, MINIMA] = int(size[2, l])


@njit(cache=True, error_model="numpy")
def _block(
    duo, trio, first, last, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps,
    rules, end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run encounters first ... last - 1 through LANES lanes."""
    n = mass.shape[1]
    value, error = coefficients(rows)
    exponent = 1.0 / (2 * rows - 1)
    pairs = n * (n - 1) // 2
    state = np.empty((6 * n + 1, LANES))
    weight = np.ones((n + 2 + pairs, LANES))
    who = np.zeros((n, LANES), np.int64)
    H = np.zeros((1, LANES))
    y = np.empty((6 * n + 2, LANES))
    err = np.empty((6 * n + 2, LANES))
    encounter = np.full(LANES, -1)
    clock = np.zeros((CLOCK, LANES))
    size = np.zeros((3, LANES))
    near = np.zeros((2, LANES))
    reach = np.zeros((LANES, pairs))
    energy = np.zeros(LANES)
    x = np.empty((n, 3))
    v = np.empty((n, 3))
    node = np.empty((n, NODE))
    label = np.zeros(n, np.int64)
    watched = rules[ESCAPES] > 0.0 or rules[CRITERION] > 0.0 or rules[CAPTURES] > 0.0
    following = first
    busy = 0
    for l in range(LANES):  # idle lanes hold a copy of the first encounter and do not move
        put_in(l, first, n, G, mass, position, velocity, hole, state, weight, who, H)
        H[0, l] = 0.0
    while True:
        for l in range(LANES):
            while encounter[l] < 0 and following < last:
                k = following
                following += 1
                energy[l] = put_in(l, k, n, G, mass, position, velocity, hole, state, weight, who, H)
                reaches(n, mass[k], hole[k], horizon[k], radius[k], reach[l])
                reason = begin(l, n, hole[k], reach[l], state, weight, who, H, clock, size, near, counts[k])
                if reason == GOING_ON:
                    encounter[l] = k
                    busy += 1
                    continue
                H[0, l] = 0.0
                finish(
                    l, k, n, reason, G, mass, position, velocity, rules, state, weight, who, clock, size, near, energy[l], node,
                    end_position, end_velocity, results, counts, orbits, members, labels,
                )  # fmt: skip
        if busy == 0:
            return
        micro_step(duo, trio, terms, light, state, weight, H, rows, value, error, y, err)
        for l in range(LANES):
            k = encounter[l]
            if k < 0:
                continue
            done = counts[k, STEPS]
            reason = settle(
                l, n, state, weight, who, H, y, err, clock, size, near, counts[k], hole[k], reach[l], t_end[k], tolerance,
                exponent, max_steps,
            )  # fmt: skip
            if counts[k, STEPS] > done:
                if tracked.shape[0] > 0 and tracked[0] < track.shape[0]:
                    read_out(l, k, n, clock[T, l], mass, position, velocity, state, who, x, v)
                    track[tracked[0], 0] = clock[T, l]
                    for i in range(n):
                        for d in range(3):
                            track[tracked[0], 1 + 3 * i + d] = x[i, d]
                            track[tracked[0], 1 + 3 * n + 3 * i + d] = v[i, d]
                    tracked[0] += 1
                look = reason == GOING_ON and watched and counts[k, STEPS] % CHECK_EVERY == 0
                if look and clock[LANDINGS, l] == 0.0 and (rules[CAPTURES] > 0.0 or worth_a_look(l, n, state)):
                    read_out(l, k, n, clock[T, l], mass, position, velocity, state, who, x, v)
                    reason = decide(n, G, mass[k], x, v, rules, node, label, orbits[k], members[k])
            if reason == GOING_ON:
                continue
            finish(
                l, k, n, reason, G, mass, position, velocity, rules, state, weight, who, clock, size, near, energy[l], node,
                end_position, end_velocity, results, counts, orbits, members, labels,
            )  # fmt: skip
            encounter[l] = -1
            H[0, l] = 0.0
            busy -= 1


@njit(cache=True, parallel=True, error_model="numpy")
def advance_two(
    block, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of two bodies; parameters as in ``advance_three``."""
    k = mass.shape[0]
    for b in prange((k + block - 1) // block):
        _block(
            2, None, b * block, min(k, (b + 1) * block), G, light, terms, mass, position, velocity, hole, horizon, radius, t_end,
            tolerance, rows, max_steps, rules, end_position, end_velocity, results, counts, orbits, members, labels, track,
            tracked,
        )  # fmt: skip
    return 0


@njit(cache=True, parallel=True, error_model="numpy")
def advance_three(
    block, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of three bodies with post-Newtonian terms between black holes and other bodies, without spins.

    Parameters
    ----------
    light, terms : speed of light, bits of the terms (post_newtonian_terms)
    hole, horizon, radius : (k, 3) 1 for black holes, their merger distance each, radius of the others
    the rest as in ensemble_cpu.advance

    Returns
    -------
    0

    """
    k = mass.shape[0]
    for b in prange((k + block - 1) // block):
        _block(
            None, 3, b * block, min(k, (b + 1) * block), G, light, terms, mass, position, velocity, hole, horizon, radius, t_end,
            tolerance, rows, max_steps, rules, end_position, end_velocity, results, counts, orbits, members, labels, track,
            tracked,
        )  # fmt: skip
    return 0
