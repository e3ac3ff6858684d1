"""Ensembles of any small number of bodies on the CPU: every encounter is a regularised chain (chain_cpu), one for each thread.

This is the general engine: post-Newtonian terms, spins, horizons, two bodies or more than three. Between micro-steps the stopping
rules of ensemble_rules are asked. What vector lanes do for three Newtonian bodies is in ensemble_cpu.
"""

import numpy as np
from numba import njit, prange

from .chain_coordinates import energies, read_in, read_out
from .chain_cpu import COMPLETED, EVENT, MAX_COMPACTNESS, PARTIAL
from .chain_cpu import REJECTED as CHAIN_REJECTED
from .chain_cpu import STEP_LIMIT as CHAIN_STEP_LIMIT
from .chain_cpu import STEP_TOO_SMALL as CHAIN_STEP_TOO_SMALL
from .chain_cpu import STEPS as CHAIN_STEPS
from .chain_cpu import advance as advance_chain
from .chain_row import HEAD
from .ensemble_rules import (
    CAPTURES,
    CLEAR,
    CLOSEST,
    COLLISION,
    CRITERION,
    ENERGY_ERROR,
    ESCAPES,
    GOING_ON,
    HARDEST,
    MERGER,
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
from .ensemble_state import breathe, passed

CHECK_EVERY = 4
ROWS = 9
LAST_STEPS = 200  # micro-steps of the call that lands on the asked time


@njit(cache=True, error_model="numpy")
def _watch_pairs(n, G, mass, radius, x, v, radial, result, count):
    """Update the closest pair, the hardest one and r.v of all pairs; return the sum of squared separations."""
    s2 = 0.0
    p = 0
    for i in range(n):
        for j in range(i):
            r2 = 0.0
            v2 = 0.0
            rv = 0.0
            for d in range(3):
                dx = x[i, d] - x[j, d]
                dv = v[i, d] - v[j, d]
                r2 += dx * dx
                v2 += dv * dv
                rv += dx * dv
            mu = G * (mass[i] + mass[j])
            r = passed(r2, v2, radial[p], rv, mu)
            if r < result[CLOSEST]:
                result[CLOSEST] = r
                count[PAIR] = 1 << i | 1 << j
            result[HARDEST] = max(result[HARDEST], mu / r)
            radial[p] = rv
            p += 1
            s2 += r2
    return s2


@njit(cache=True, error_model="numpy")
def _one(
    G, light, terms, mass, position, velocity, spin, hole, horizon, radius, t_end, tolerance, max_steps, rules, perturbation,
    slot, x, v, w, result, count, orbits, members, label, track, tracked,
):  # fmt: skip
    """Run one encounter; x, v, w (n, 3): position, velocity and spin at the end."""
    n = mass.shape[0]
    perturbed = perturbation is not None
    length = HEAD + (9 if perturbed else 6) * n
    order = np.zeros(n, np.int64)
    lo = np.zeros(n - 1, np.int64)
    yh = np.zeros(length)
    yl = np.zeros(length)
    step = np.zeros(2)
    statistics = np.zeros(7)
    pair = np.zeros(2, np.int64)
    node = np.empty((n, NODE))
    radial = np.zeros(n * (n - 1) // 2)
    size = np.zeros((3, 1))
    size[0, 0] = np.inf
    size[1, 0] = 1.0
    read_in(position, velocity, spin, mass, order, lo, yh, yl, perturbed)
    kinetic, u = energies(order, lo, yh, mass, hole, G, 1.0, 0.0)
    yh[1] = u - kinetic
    start = kinetic - u
    watched = rules[ESCAPES] > 0.0 or rules[CRITERION] > 0.0 or rules[CAPTURES] > 0.0
    count[:] = 0
    result[:] = 0.0
    result[CLOSEST] = np.inf
    t = 0.0
    t_low = 0.0
    last = 0.0
    reason = GOING_ON
    while reason == GOING_ON:
        remaining = (t_end - t) - t_low
        yh[0] = 0.0
        yl[0] = 0.0
        most = 1 if remaining > 4.0 * last else LAST_STEPS
        status, kinetic, u = advance_chain(
            remaining, step, order, lo, yh, yl, mass, hole, horizon, radius, G, 1.0, 0.0, tolerance, ROWS, most, 1 << 60, slot,
            light, perturbation, None, statistics, pair,
        )  # fmt: skip
        last = yh[0]
        total = t + yh[0]
        t_low += (yh[0] - (total - t)) + yl[0]
        t = total
        read_out(x, v, w, mass, order, lo, yh, yl, perturbed)
        s2 = _watch_pairs(n, G, mass, radius, x, v, radial, result, count)
        breathe(0, s2, size)
        if tracked.shape[0] > 0 and tracked[0] < track.shape[0]:
            track[tracked[0], 0] = t
            for i in range(n):
                for d in range(3):
                    track[tracked[0], 1 + 3 * i + d] = x[i, d]
                    track[tracked[0], 1 + 3 * n + 3 * i + d] = v[i, d]
            tracked[0] += 1
        if status == COMPLETED:
            t = t_end
            reason = TIME_LIMIT
        elif status == EVENT:
            count[PAIR] = 1 << pair[0] | 1 << pair[1]
            reason = MERGER if hole[pair[0]] == 1 and hole[pair[1]] == 1 else COLLISION
        elif status == CHAIN_STEP_TOO_SMALL:
            reason = STEP_TOO_SMALL
        elif status != CHAIN_STEP_LIMIT and status != PARTIAL:
            reason = NOT_FINITE
        elif statistics[CHAIN_STEPS] >= max_steps:
            reason = STEP_LIMIT
        elif watched and int(statistics[CHAIN_STEPS]) % CHECK_EVERY == 0:
            reason = decide(n, G, mass, x, v, rules, node, label, orbits, members)
    kinetic, u = energies(order, lo, yh, mass, hole, G, 1.0, 0.0)
    result[TIME] = t
    result[ENERGY_ERROR] = ((kinetic - u) + (yh[1] + yl[1])) / abs(start)
    if light > 0.0:
        result[HARDEST] = max(result[HARDEST], statistics[MAX_COMPACTNESS] * light * light)
    tops, found, clear = hierarchy(n, G, mass, x, v, max(1, int(rules[CRITERION])), node, label, orbits, members)
    count[CLEAR] = clear + (clear and tops > 1 and parted(n, G, np.inf, node, label))
    count[REASON] = reason
    count[STEPS] = int(statistics[CHAIN_STEPS])
    count[REJECTED] = int(statistics[CHAIN_REJECTED])
    count[MINIMA] = int(size[2, 0])


@njit(cache=True, parallel=True, error_model="numpy")
def advance(
    G, light, terms, mass, position, velocity, spin, hole, horizon, radius, t_end, tolerance, max_steps, rules,
    end_position, end_velocity, end_spin, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of n bodies without post-Newtonian terms.

    Parameters
    ----------
    light, terms : speed of light (0: none), bits of the terms (not used here)
    mass, position, velocity, spin : (k, n), (k, n, 3) ...
    hole, horizon, radius : (k, n) 1 for black holes, their merger distance each, radius of the others
    the rest as in ensemble_cpu.advance, for n bodies

    """
    for k in prange(mass.shape[0]):
        _one(
            G, light, terms, mass[k], position[k], velocity[k], spin[k], hole[k], horizon[k], radius[k], t_end[k], tolerance,
            max_steps, rules, None, np.full(mass.shape[1], -1), end_position[k], end_velocity[k], end_spin[k], results[k],
            counts[k], orbits[k], members[k], labels[k], track, tracked,
        )  # fmt: skip
    return 0


@njit(cache=True, error_model="numpy")
def _perturbed(
    G, light, terms, mass, position, velocity, spin, hole, horizon, radius, t_end, tolerance, max_steps, rules,
    x, v, w, result, count, orbits, members, label, track, tracked,
):  # fmt: skip
    n = mass.shape[0]
    frame = np.zeros(3)
    for d in range(3):
        for i in range(n):
            frame[d] += mass[i] * velocity[i, d] / mass.sum()
    acts = np.empty((n, n), np.bool_)
    for i in range(n):
        for j in range(n):
            acts[i, j] = i != j and (hole[i] == 1 or hole[j] == 1)
    post = (
        terms, light, np.zeros(n, np.int64), acts, np.full((n, n), -1), frame, np.zeros(n), np.zeros((n, n, 3)),
        np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3)),
    )  # fmt: skip
    external = (False, np.zeros(3), np.zeros(3), np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3)))
    _one(
        G, light, terms, mass, position, velocity, spin, hole, horizon, radius, t_end, tolerance, max_steps, rules,
        (post, external), np.arange(n), x, v, w, result, count, orbits, members, label, track, tracked,
    )  # fmt: skip


@njit(cache=True, parallel=True, error_model="numpy")
def advance_post_newtonian(
    G, light, terms, mass, position, velocity, spin, hole, horizon, radius, t_end, tolerance, max_steps, rules,
    end_position, end_velocity, end_spin, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of n bodies with post-Newtonian terms between each black hole and the other bodies; as ``advance``."""
    for k in prange(mass.shape[0]):
        _perturbed(
            G, light, terms, mass[k], position[k], velocity[k], spin[k], hole[k], horizon[k], radius[k], t_end[k], tolerance,
            max_steps, rules, end_position[k], end_velocity[k], end_spin[k], results[k], counts[k], orbits[k], members[k],
            labels[k], track, tracked,
        )  # fmt: skip
    return 0
