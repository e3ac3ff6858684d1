"""Ensembles of three bodies on a CUDA device: one encounter for each thread, a slice of trial steps at a time.

The leapfrog and the functions of the chain's state are those of ensemble_row and ensemble_state, compiled for the device. What an
encounter needs is in its thread's own memory during a slice, and in arrays (quantity, encounter) between slices. Then the host
drops encounters that have ended and asks the stopping rules (ensemble_rules): an end is seen up to CHECK_EVERY trial steps late.
Every result depends on the encounter alone. Kernels compile when they are first launched: no device is touched at import.
"""

import numpy as np
from numba import cuda, float64, int64, njit

from ...particles._kernels.device_cuda import require_device, run
from . import ensemble_state as state_functions
from .chain_extrapolation import SEQUENCE, coefficients
from .device_cuda import on_device
from .ensemble_cpu import LANDING, LARGEST_GROWTH, MAX_REJECTED, SAFETY
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
from .ensemble_state import energies, put_in, read_out, worth_a_look

THREADS = 128  # of a block
CHECK_EVERY = 32  # trial steps of a slice

# places in ``clock``: time done, landing steps (0: not landing), rejections in a row, step proposed by the last error
T, LANDINGS, FAILURES, PROPOSAL = range(4)
# places in ``near``
CLOSE, HARD = range(2)


row = on_device(substeps)
norm2 = on_device(state_functions.norm2)
energies_there = on_device(state_functions.energies)
relative_error = on_device(state_functions.relative_error)
landing_step = on_device(state_functions.landing_step)
passed = on_device(state_functions.passed)
squared_size = on_device(state_functions.squared_size)
breathe = on_device(state_functions.breathe)
chain_again = on_device(state_functions.chain_again, norm2=norm2)


@cuda.jit(device=True)
def _trial(state, weight, H, rows, value, error, sequence, y, err):
    """Overwrite y and err (13, 1) by the increments over H and their errors."""
    for q in range(13):
        y[q, 0] = 0.0
        err[q, 0] = 0.0
    for k in range(1, rows + 1):
        m = sequence[k]
        new = row(
            H[0, 0] / m, m, weight[0, 0], weight[1, 0], weight[2, 0], weight[3, 0], weight[4, 0],
            state[0, 0], state[1, 0], state[2, 0], state[3, 0], state[4, 0], state[5, 0],
            state[6, 0], state[7, 0], state[8, 0], state[9, 0], state[10, 0], state[11, 0],
        )  # fmt: skip
        c = value[rows, k]
        d = error[rows, k]
        y[0, 0] += c * new[0]
        err[0, 0] += d * new[0]
        for q in range(12):
            difference = new[q + 1] - state[q, 0]
            y[q + 1, 0] += c * difference
            err[q + 1, 0] += d * difference


@cuda.jit(device=True)
def _radial(state, q):
    return (
        state[3 * q, 0] * state[6 + 3 * q, 0]
        + state[3 * q + 1, 0] * state[7 + 3 * q, 0]
        + state[3 * q + 2, 0] * state[8 + 3 * q, 0]
    )


@cuda.jit(device=True)
def _settle(
    state, weight, who, H, y, err, clock, size, near, k, counts, radius, t_end, tolerance, exponent, max_steps, touching
):
    """Accept or reject a trial step and set the next one, as ensemble_cpu does; return why the encounter ends, or GOING_ON."""
    wrong = relative_error(0, state, y, err) / tolerance
    landing = clock[LANDINGS, 0] > 0.0
    if landing and wrong < np.inf:
        wrong = min(wrong, 1.0)
    if not wrong <= 1.0 or (not y[0, 0] > 0.0 and not landing):
        counts[k, REJECTED] += 1
        clock[FAILURES, 0] += 1.0
        factor = 0.2
        if wrong < np.inf:
            factor = max(0.1, 0.9 * SAFETY * wrong**-exponent)
        H[0, 0] *= factor
        if clock[FAILURES, 0] < MAX_REJECTED:
            return GOING_ON
        return STEP_TOO_SMALL if wrong < np.inf else NOT_FINITE
    remaining = t_end - clock[T, 0]
    past = not landing and y[0, 0] > remaining
    if past:
        kinetic, u = energies_there(0, state, weight)
        before = kinetic + weight[3, 0]
        for q in range(12):
            state[q, 0] += y[q + 1, 0]
        kinetic, u = energies_there(0, state, weight)
        for q in range(12):
            state[q, 0] -= y[q + 1, 0]
        clock[LANDINGS, 0] = 1.0
        H[0, 0] = landing_step(y[0, 0], H[0, 0], before, kinetic + weight[3, 0], remaining)
        return GOING_ON
    if not landing:
        grow = SAFETY * max(wrong, 1e-30) ** -exponent
        clock[PROPOSAL, 0] = H[0, 0] * min(LARGEST_GROWTH if clock[FAILURES, 0] == 0.0 else 1.0, grow)
    clock[FAILURES, 0] = 0.0
    before_a = _radial(state, 0)
    before_b = _radial(state, 1)
    for q in range(12):
        state[q, 0] += y[q + 1, 0]
    clock[T, 0] += y[0, 0]
    counts[k, STEPS] += 1
    reason = GOING_ON
    for q in range(2):
        i = who[q, 0]
        j = who[q + 1, 0]
        mu = weight[q, 0] + weight[q + 1, 0]
        r = passed(
            norm2(0, state, 3 * q), norm2(0, state, 6 + 3 * q), before_a if q == 0 else before_b, _radial(state, q), mu
        )
        near[HARD, 0] = max(near[HARD, 0], mu / r)
        touch = touching and r < radius[k, i] + radius[k, j]
        if touch or (r < near[CLOSE, 0] and reason == GOING_ON):
            near[CLOSE, 0] = r
            counts[k, PAIR] = 1 << i | 1 << j
        if touch:
            reason = COLLISION
    breathe(0, squared_size(0, state), size)
    chain_again(0, state, weight, who)
    if reason != GOING_ON:
        return reason
    if not landing:
        H[0, 0] = clock[PROPOSAL, 0]
        return STEP_LIMIT if counts[k, STEPS] >= max_steps else GOING_ON
    clock[LANDINGS, 0] += 1.0
    remaining = t_end - clock[T, 0]
    if abs(remaining) <= LANDING * t_end or clock[LANDINGS, 0] > 8.0:
        clock[T, 0] = t_end
        return TIME_LIMIT
    kinetic, u = energies_there(0, state, weight)
    H[0, 0] = remaining * (kinetic + weight[3, 0])
    return GOING_ON


def slice_of_steps(
    budget, active, states, weights, whos, Hs, clocks, sizes, nears, counts, reasons, radius, t_end, tolerance, rows, value,
    error, sequence, max_steps, touching,
):  # fmt: skip
    """Do ``budget`` trial steps of each active encounter; arrays (quantity, encounter) are updated."""
    thread = cuda.grid(1)  # type: ignore[call-arg, var-annotated]
    if thread >= active.shape[0]:
        return
    k = active[thread]
    state = cuda.local.array((12, 1), float64)
    weight = cuda.local.array((5, 1), float64)
    who = cuda.local.array((3, 1), int64)
    H = cuda.local.array((1, 1), float64)
    clock = cuda.local.array((4, 1), float64)
    size = cuda.local.array((3, 1), float64)
    near = cuda.local.array((2, 1), float64)
    y = cuda.local.array((13, 1), float64)
    err = cuda.local.array((13, 1), float64)
    for q in range(12):
        state[q, 0] = states[q, k]
    for q in range(5):
        weight[q, 0] = weights[q, k]
    for q in range(4):
        clock[q, 0] = clocks[q, k]
    for q in range(3):
        who[q, 0] = whos[q, k]
        size[q, 0] = sizes[q, k]
    for q in range(2):
        near[q, 0] = nears[q, k]
    H[0, 0] = Hs[0, k]
    exponent = 1.0 / (2 * rows - 1)
    reason = GOING_ON
    for _ in range(budget):
        _trial(state, weight, H, rows, value, error, sequence, y, err)
        reason = _settle(
            state,
            weight,
            who,
            H,
            y,
            err,
            clock,
            size,
            near,
            k,
            counts,
            radius,
            t_end[k],
            tolerance,
            exponent,
            max_steps,
            touching,
        )
        if reason != GOING_ON:
            break
    for q in range(12):
        states[q, k] = state[q, 0]
    for q in range(5):
        weights[q, k] = weight[q, 0]
    for q in range(4):
        clocks[q, k] = clock[q, 0]
    for q in range(3):
        whos[q, k] = who[q, 0]
        sizes[q, k] = size[q, 0]
    for q in range(2):
        nears[q, k] = near[q, 0]
    Hs[0, k] = H[0, 0]
    reasons[k] = reason


kernel = cuda.jit(slice_of_steps)


@njit(cache=True, error_model="numpy")
def _load(G, mass, position, velocity, states, weights, whos, Hs, energy):
    for k in range(mass.shape[0]):
        energy[k] = put_in(k, k, G, mass, position, velocity, states, weights, whos, Hs)


@njit(cache=True, error_model="numpy")
def _look(active, G, mass, position, velocity, rules, states, whos, clocks, reasons, orbits, members):
    """Ask the rules about each active encounter and overwrite its reason."""
    x = np.empty((3, 3))
    v = np.empty((3, 3))
    node = np.empty((3, NODE))
    label = np.zeros(3, np.int64)
    for k in active:
        if reasons[k] == GOING_ON and clocks[LANDINGS, k] == 0.0 and worth_a_look(k, states):
            read_out(k, k, clocks[T, k], mass, position, velocity, states, whos, x, v)
            reasons[k] = decide(3, G, mass[k], x, v, rules, node, label, orbits[k], members[k])


@njit(cache=True, error_model="numpy")
def _unload(
    G, mass, position, velocity, rules, states, weights, whos, clocks, sizes, nears, energy, reasons, end_position, end_velocity,
    results, counts, orbits, members, labels,
):  # fmt: skip
    node = np.empty((3, NODE))
    for k in range(mass.shape[0]):
        kinetic, u = energies(k, states, weights)
        read_out(k, k, clocks[T, k], mass, position, velocity, states, whos, end_position[k], end_velocity[k])
        results[k, TIME] = clocks[T, k]
        results[k, ENERGY_ERROR] = ((kinetic - u) - energy[k]) / abs(energy[k])
        results[k, CLOSEST] = nears[CLOSE, k]
        results[k, HARDEST] = nears[HARD, k]
        tops, found, clear = hierarchy(
            3,
            G,
            mass[k],
            end_position[k],
            end_velocity[k],
            max(1, int(rules[CRITERION])),
            node,
            labels[k],
            orbits[k],
            members[k],
        )
        counts[k, CLEAR] = clear + (clear and tops > 1 and parted(3, G, np.inf, node, labels[k]))
        counts[k, REASON] = reasons[k]
        counts[k, MINIMA] = int(sizes[2, k])


def advance(
    block, G, mass, position, velocity, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of three bodies; parameters as in ensemble_cpu.advance (``block`` is not used here).

    Raises
    ------
    InputError : no CUDA device

    """
    require_device()
    k = mass.shape[0]
    states, weights, whos, Hs = np.empty((12, k)), np.ones((5, k)), np.zeros((3, k), np.int64), np.zeros((1, k))
    clocks, sizes, nears, energy = np.zeros((4, k)), np.zeros((3, k)), np.zeros((2, k)), np.zeros(k)
    _load(G, mass, position, velocity, states, weights, whos, Hs, energy)
    clocks[PROPOSAL], sizes[0], sizes[1], nears[CLOSE] = Hs[0], np.inf, 1.0, np.inf
    counts[:] = 0
    value, error = coefficients(rows)
    there = [cuda.to_device(a) for a in (states, weights, whos, Hs, clocks, sizes, nears, counts)]
    fixed = [cuda.to_device(a) for a in (radius, t_end)]
    tables = [cuda.to_device(a) for a in (value, error, SEQUENCE)]
    reasons, seen = np.full(k, GOING_ON, np.int64), np.full(k, GOING_ON, np.int64)
    reasons_there = cuda.to_device(reasons)
    active = np.arange(k)
    following = track.shape[0] > 0
    budget, trials = 1 if following else CHECK_EVERY, 0
    watched = rules[ESCAPES] > 0.0 or rules[CRITERION] > 0.0
    while active.size:
        run(
            kernel, -(-active.size // THREADS), THREADS, budget, cuda.to_device(active), *there, reasons_there, *fixed,
            tolerance, rows, *tables, max_steps, rules[COLLISIONS] > 0.0,
        )  # fmt: skip
        trials += budget
        reasons_there.copy_to_host(seen)
        reasons[active] = seen[active]
        if following:
            done = clocks[T, 0]
            for mine, device in zip((states, whos, clocks), (there[0], there[2], there[4]), strict=True):
                device.copy_to_host(mine)
            if clocks[T, 0] != done and tracked[0] < len(track):
                x, v = np.empty((3, 3)), np.empty((3, 3))
                read_out(0, 0, clocks[T, 0], mass, position, velocity, states, whos, x, v)
                track[tracked[0]] = np.concatenate([[clocks[T, 0]], x.ravel(), v.ravel()])
                tracked[0] += 1
        if watched and trials % CHECK_EVERY == 0:
            for mine, device in zip((states, whos, clocks), (there[0], there[2], there[4]), strict=True):
                device.copy_to_host(mine)
            _look(active, G, mass, position, velocity, rules, states, whos, clocks, reasons, orbits, members)
        active = active[reasons[active] == GOING_ON]
    for mine, device in zip((states, weights, whos, Hs, clocks, sizes, nears, counts), there, strict=True):
        device.copy_to_host(mine)
    _unload(
        G, mass, position, velocity, rules, states, weights, whos, clocks, sizes, nears, energy, reasons, end_position,
        end_velocity, results, counts, orbits, members, labels,
    )  # fmt: skip
    return 0
