"""Ensembles of two and of three bodies with post-Newtonian terms on a CUDA device: one encounter for each thread.

As ensemble_cuda, a slice of trial steps at a time: the substeps of ensemble_relativity, the state of ensemble_bodies and the
decisions of ensemble_settle are compiled for the device from the source that the lanes of ensemble_relativity_cpu have.
"""

import numpy as np
from numba import cuda, float64, int64, njit

from ...particles._kernels.device_cuda import require_device, run
from . import ensemble_bodies, ensemble_relativity, ensemble_settle
from .chain_extrapolation import SEQUENCE, coefficients
from .device_cuda import calling, on_device
from .ensemble_bodies import put_in, read_out, worth_a_look
from .ensemble_cuda import CHECK_EVERY, THREADS, breathe, chain_again, landing_step, passed
from .ensemble_relativity_cpu import finish, reaches
from .ensemble_rules import CAPTURES, CRITERION, ESCAPES, GOING_ON, NODE, decide
from .ensemble_settle import CLOCK, LANDINGS, T, begin
from .post_newtonian_cuda import pair_coefficients

_pair = on_device(ensemble_relativity._pair, pair_coefficients=pair_coefficients)
_cross = on_device(ensemble_relativity._cross)
force_two = on_device(ensemble_relativity.force_two, _pair=_pair)
force_three = on_device(ensemble_relativity.force_three, _pair=_pair)
cross_three = on_device(ensemble_relativity.cross_three, _cross=_cross)
substeps_two = on_device(ensemble_relativity.substeps_two, force_two=force_two)
substeps_three = on_device(ensemble_relativity.substeps_three, force_three=force_three, cross_three=cross_three)

between = on_device(ensemble_bodies.between)
square_between = on_device(ensemble_bodies.square_between, between=between)
radial = on_device(ensemble_bodies.radial, between=between)
energies = on_device(ensemble_bodies.energies, square_between=square_between)
rate = on_device(ensemble_bodies.rate, energies=energies)
size_of = on_device(ensemble_bodies.size_of, square_between=square_between)
relative_error = on_device(ensemble_bodies.relative_error, energies=energies, size_of=size_of)
place_terms = on_device(ensemble_bodies.place_terms)

pair_of = on_device(ensemble_settle.pair_of)
pair_before = on_device(ensemble_settle.pair_before, between=between)
pair_after = on_device(ensemble_settle.pair_after, between=between)
next_guess = on_device(ensemble_settle.next_guess)
start_search = on_device(
    ensemble_settle.start_search, pair_of=pair_of, pair_before=pair_before, pair_after=pair_after,
    periastron=on_device(ensemble_settle.periastron), next_guess=next_guess,
)  # fmt: skip
search = on_device(ensemble_settle.search, pair_of=pair_of, pair_after=pair_after, next_guess=next_guess)
settle = on_device(
    ensemble_settle.settle, relative_error=relative_error, rate=rate, landing_step=landing_step, search=search,
    start_search=start_search, pair_after=pair_after, passed=passed, radial=radial, size_of=size_of, breathe=breathe,
    chain_again=chain_again, place_terms=place_terms,
)  # fmt: skip


@cuda.jit(device=True)
def row_of_two(h, m, terms, light, w, s):
    return substeps_two(
        h, m, terms, light, w[0, 0], w[1, 0], w[2, 0], w[3, 0], w[4, 0], s[0, 0], s[1, 0], s[2, 0], s[3, 0], s[4, 0], s[5, 0],
        s[6, 0], s[7, 0], s[8, 0], s[9, 0], s[10, 0], s[11, 0], s[12, 0],
    )  # fmt: skip


@cuda.jit(device=True)
def row_of_three(h, m, terms, light, w, s):
    return substeps_three(
        h, m, terms, light, w[0, 0], w[1, 0], w[2, 0], w[3, 0], w[4, 0], w[5, 0], w[6, 0], w[7, 0], s[0, 0], s[1, 0], s[2, 0],
        s[3, 0], s[4, 0], s[5, 0], s[6, 0], s[7, 0], s[8, 0], s[9, 0], s[10, 0], s[11, 0], s[12, 0], s[13, 0], s[14, 0],
        s[15, 0], s[16, 0], s[17, 0], s[18, 0],
    )  # fmt: skip


# sizes of local arrays, which have to be constants; those of two bodies are put in below
BODIES, QUANTITIES, INCREMENTS, WEIGHTS = 3, 19, 20, 8
row = row_of_three


def slice_of_three(
    budget, active, light, terms, states, weights, whos, Hs, clocks, sizes, nears, counts, reasons, hole, reach, t_end, tolerance,
    rows, value, error, sequence, max_steps,
):  # fmt: skip
    """Do ``budget`` trial steps of each active encounter; arrays (quantity, encounter) are updated."""
    thread = cuda.grid(1)  # type: ignore[call-arg, var-annotated]
    if thread >= active.shape[0]:
        return
    k = active[thread]
    state = cuda.local.array((QUANTITIES, 1), float64)
    weight = cuda.local.array((WEIGHTS, 1), float64)
    who = cuda.local.array((BODIES, 1), int64)
    H = cuda.local.array((1, 1), float64)
    clock = cuda.local.array((CLOCK, 1), float64)
    size = cuda.local.array((3, 1), float64)
    near = cuda.local.array((2, 1), float64)
    y = cuda.local.array((INCREMENTS, 1), float64)
    err = cuda.local.array((INCREMENTS, 1), float64)
    for q in range(QUANTITIES):
        state[q, 0] = states[q, k]
    for q in range(WEIGHTS):
        weight[q, 0] = weights[q, k]
    for q in range(CLOCK):
        clock[q, 0] = clocks[q, k]
    for q in range(BODIES):
        who[q, 0] = whos[q, k]
    for q in range(3):
        size[q, 0] = sizes[q, k]
    for q in range(2):
        near[q, 0] = nears[q, k]
    H[0, 0] = Hs[0, k]
    exponent = 1.0 / (2 * rows - 1)
    reason = GOING_ON
    for _ in range(budget):
        for q in range(INCREMENTS):
            y[q, 0] = 0.0
            err[q, 0] = 0.0
        for r in range(1, rows + 1):
            new = row(H[0, 0] / sequence[r], sequence[r], terms, light, weight, state)
            c = value[rows, r]
            d = error[rows, r]
            y[0, 0] += c * new[0]
            err[0, 0] += d * new[0]
            for q in range(QUANTITIES):
                difference = new[q + 1] - state[q, 0]
                y[q + 1, 0] += c * difference
                err[q + 1, 0] += d * difference
        reason = settle(
            0, BODIES, state, weight, who, H, y, err, clock, size, near, counts[k], hole[k], reach[k], t_end[k], tolerance,
            exponent, max_steps,
        )  # fmt: skip
        if reason != GOING_ON:
            break
    for q in range(QUANTITIES):
        states[q, k] = state[q, 0]
    for q in range(WEIGHTS):
        weights[q, k] = weight[q, 0]
    for q in range(CLOCK):
        clocks[q, k] = clock[q, 0]
    for q in range(BODIES):
        whos[q, k] = who[q, 0]
    for q in range(3):
        sizes[q, k] = size[q, 0]
    for q in range(2):
        nears[q, k] = near[q, 0]
    Hs[0, k] = H[0, 0]
    reasons[k] = reason


slice_of_two = calling(slice_of_three, BODIES=2, QUANTITIES=13, INCREMENTS=14, WEIGHTS=5, row=row_of_two)
kernel_two, kernel_three = cuda.jit(slice_of_two), cuda.jit(slice_of_three)


@njit(cache=True, error_model="numpy")
def _load(
    G, mass, position, velocity, hole, horizon, radius, reach, states, weights, whos, Hs, clocks, sizes, nears, counts, energy,
    reasons,
):  # fmt: skip
    n = mass.shape[1]
    for k in range(mass.shape[0]):
        energy[k] = put_in(k, k, n, G, mass, position, velocity, hole, states, weights, whos, Hs)
        reaches(n, mass[k], hole[k], horizon[k], radius[k], reach[k])
        reasons[k] = begin(k, n, hole[k], reach[k], states, weights, whos, Hs, clocks, sizes, nears, counts[k])


@njit(cache=True, error_model="numpy")
def _look(active, G, mass, position, velocity, rules, states, whos, clocks, reasons, orbits, members):
    """Ask the rules about each active encounter and overwrite its reason."""
    n = mass.shape[1]
    x = np.empty((n, 3))
    v = np.empty((n, 3))
    node = np.empty((n, NODE))
    label = np.zeros(n, np.int64)
    for k in active:
        going = reasons[k] == GOING_ON and clocks[LANDINGS, k] == 0.0
        if going and (rules[CAPTURES] > 0.0 or worth_a_look(k, n, states)):
            read_out(k, k, n, clocks[T, k], mass, position, velocity, states, whos, x, v)
            reasons[k] = decide(n, G, mass[k], x, v, rules, node, label, orbits[k], members[k])


@njit(cache=True, error_model="numpy")
def _unload(
    G, mass, position, velocity, rules, states, weights, whos, clocks, sizes, nears, energy, reasons, end_position, end_velocity,
    results, counts, orbits, members, labels,
):  # fmt: skip
    n = mass.shape[1]
    node = np.empty((n, NODE))
    for k in range(mass.shape[0]):
        finish(
            k, k, n, reasons[k], G, mass, position, velocity, rules, states, weights, whos, clocks, sizes, nears, energy[k], node,
            end_position, end_velocity, results, counts, orbits, members, labels,
        )  # fmt: skip


def _advance(
    kernel, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    require_device()
    k, n = mass.shape
    pairs = n * (n - 1) // 2
    states, weights, whos, Hs = (
        np.empty((6 * n + 1, k)), np.ones((n + 2 + pairs, k)), np.zeros((n, k), np.int64), np.zeros((1, k)),
    )  # fmt: skip
    clocks, sizes, nears, energy = np.zeros((CLOCK, k)), np.zeros((3, k)), np.zeros((2, k)), np.zeros(k)
    reach, reasons, seen = np.zeros((k, pairs)), np.full(k, GOING_ON, np.int64), np.full(k, GOING_ON, np.int64)
    _load(
        G, mass, position, velocity, hole, horizon, radius, reach, states, weights, whos, Hs, clocks, sizes, nears, counts,
        energy, reasons,
    )  # fmt: skip
    mine = (states, weights, whos, Hs, clocks, sizes, nears, counts)
    there = [cuda.to_device(a) for a in mine]
    reasons_there = cuda.to_device(reasons)
    fixed = [cuda.to_device(a) for a in (hole, reach, t_end)]
    tables = [cuda.to_device(a) for a in (*coefficients(rows), SEQUENCE)]
    active = np.flatnonzero(reasons == GOING_ON)
    following = track.shape[0] > 0
    budget, trials = 1 if following else CHECK_EVERY, 0
    watched = rules[ESCAPES] > 0.0 or rules[CRITERION] > 0.0 or rules[CAPTURES] > 0.0
    while active.size:
        run(
            kernel, -(-active.size // THREADS), THREADS, budget, active, light, terms, *there, reasons_there, *fixed, tolerance,
            rows, *tables, max_steps,
        )  # fmt: skip
        trials += budget
        reasons_there.copy_to_host(seen)
        reasons[active] = seen[active]
        if following or (watched and trials % CHECK_EVERY == 0):
            done = clocks[T, 0]
            for a, device in ((states, there[0]), (whos, there[2]), (clocks, there[4])):
                device.copy_to_host(a)
            if following and clocks[T, 0] != done and tracked[0] < len(track):
                x, v = np.empty((n, 3)), np.empty((n, 3))
                read_out(0, 0, n, clocks[T, 0], mass, position, velocity, states, whos, x, v)
                track[tracked[0]] = np.concatenate([[clocks[T, 0]], x.ravel(), v.ravel()])
                tracked[0] += 1
            if watched and trials % CHECK_EVERY == 0:
                _look(active, G, mass, position, velocity, rules, states, whos, clocks, reasons, orbits, members)
        active = active[reasons[active] == GOING_ON]
    for a, device in zip(mine, there, strict=True):
        device.copy_to_host(a)
    _unload(
        G, mass, position, velocity, rules, states, weights, whos, clocks, sizes, nears, energy, reasons, end_position,
        end_velocity, results, counts, orbits, members, labels,
    )  # fmt: skip
    return 0


def advance_two(
    block, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of two bodies; parameters as in ensemble_relativity_cpu.advance_three (``block`` is not used here).

    Raises
    ------
    InputError : no CUDA device

    """
    return _advance(
        kernel_two, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
        end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
    )  # fmt: skip


def advance_three(
    block, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
    end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
):  # fmt: skip
    """Run k encounters of three bodies; as ``advance_two``."""
    return _advance(
        kernel_three, G, light, terms, mass, position, velocity, hole, horizon, radius, t_end, tolerance, rows, max_steps, rules,
        end_position, end_velocity, results, counts, orbits, members, labels, track, tracked,
    )  # fmt: skip
