"""The regularised chain on the CPU: one call does all micro-steps of an advance.

Here the integrator and its forces are fused, because a call through Python costs as much as hundreds of substeps of two
bodies. The readable twin of its rows is chain_row_reference.

The loop, per micro-step: rebuild the tree, propose H (fictitious time), extrapolate (chain_extrapolation), then look
for events and for the asked time. An overshoot is redone with an H from the cubic through t and dt/ds at both ends, and
short Newton steps H = (dt - t) ds/dt finish the landing, in either direction of time.
"""

import math

import numpy as np
from numba import njit

from .chain_coordinates import rebuild
from .chain_events import locate, pair_reach, suspect
from .chain_extrapolation import coefficients, extrapolate, finish, next_order
from .chain_forces import forces
from .chain_row import BAD_TIME, HEAD, OK, body_velocities
from .chain_tree import ALL_LISTED, list_pairs

COMPLETED = 0
PARTIAL = 1
EVENT = 2
STEP_LIMIT = 3
STEP_TOO_SMALL = 4
NOT_FINITE = 5

LANDING = 2.3e-16  # relative distance from the asked time that counts as there: one unit of round-off
MAX_TRIALS = 60  # of one micro-step; each rejection shortens it at least by half

# places in ``statistics``
STEPS, REJECTED, EVALUATIONS, REBUILDS, MAX_V, MAX_COMPACTNESS, LANDINGS = range(7)


@njit(cache=True, error_model="numpy")
def initial_step(n, x, mass, G, u):
    """Return H = 0.1 U min sqrt(r^3 / (G (m_i + m_j))), a tenth of the shortest two-body time."""
    shortest = np.inf
    for i in range(n):
        for j in range(i):
            dx = x[i] - x[j]
            dy = x[n + i] - x[n + j]
            dz = x[2 * n + i] - x[2 * n + j]
            r2 = dx * dx + dy * dy + dz * dz
            shortest = min(shortest, r2 * math.sqrt(r2) / (G * (mass[i] + mass[j])))
    return 0.1 * u * math.sqrt(shortest)


@njit(cache=True, error_model="numpy")
def _cubic_landing(t0, t1, r0, r1, wanted, H):
    """Return s in (0, H) at which the cubic with values t0, t1 and slopes r0, r1 reaches ``wanted``, by bisection."""
    low = 0.0
    high = 1.0
    for _ in range(60):
        z = 0.5 * (low + high)
        value = (
            t0 * (1.0 + 2.0 * z) * (1.0 - z) ** 2
            + H * r0 * z * (1.0 - z) ** 2
            + t1 * z * z * (3.0 - 2.0 * z)
            + H * r1 * z * z * (z - 1.0)
        )
        if (value < wanted) == (t1 > t0):
            low = z
        else:
            high = z
    return 0.5 * (low + high) * H


@njit(cache=True, error_model="numpy")
def advance(
    dt, step, order, lo, yh, yl, mass0, kind0, horizon0, radius0, G, star_weight, star_softening, tolerance, rows,
    max_steps, max_evaluations, slot0, light, perturbation, transform, statistics, found,
):  # fmt: skip
    """Advance a chain by dt, in place.

    Parameters
    ----------
    dt : asked time, of either sign
    step : (2,) proposed H (0: none yet) and target row; updated
    order, lo, yh, yl : the chain, see chain_tree and chain_row; updated; yh[0] = time done since dt was asked
    mass0, kind0, horizon0, radius0, slot0 : (n) in the caller's order: mass, 1 for black holes, merger distance of the
        hole alone, radius of stars, place among the post-Newtonian bodies or -1
    star_weight, star_softening : strength (0 or 1) and softening length of star-star forces
    tolerance, rows : error per step, and the most rows
    max_steps, max_evaluations : limits of micro-steps and of evaluations in this call
    light : speed of light, or 0
    perturbation, transform : see chain_row.row
    statistics : (7,) updated; found : (2,) int, rows of the event's pair in the caller's order

    Returns
    -------
    (status, T, U): how it ended, and kinetic (centre-of-mass frame) and minus potential energy at the end

    """
    n = mass0.shape[0]
    size = yh.shape[0]
    perturbed = perturbation is not None
    value, error = coefficients(rows)
    table_h = np.empty((rows + 1, size))
    table_l = np.empty((rows + 1, size))
    y = np.empty(size)
    change = np.empty(size)
    factor = np.empty(rows + 1)
    y0h = np.empty(size)
    y0l = np.empty(size)
    mass = np.empty(n)
    kind = np.empty(n, np.int64)
    seen = np.empty(n)
    eps2 = np.empty(n)
    horizon = np.empty(n)
    radius = np.empty(n)
    eventful = np.empty(n)
    special = np.zeros(n, np.bool_)
    total = mass0.sum()
    capacity = 8 * n + 16
    links = 32 * n + 64
    first = np.empty(capacity, np.int64)
    second = np.empty(capacity, np.int64)
    start = np.empty(capacity + 1, np.int64)
    edge = np.empty(links, np.int64)
    sign = np.empty(links)
    corrected = np.empty(capacity, np.bool_)
    pair_weight = np.empty(capacity)
    pair_eps2 = np.empty(capacity)
    reach2_all = np.empty(capacity)
    x = np.empty(3 * n)
    acceleration = np.empty(3 * n)
    r2 = np.empty(capacity)
    buffers = (x, acceleration, np.empty(n), r2, np.empty(9 * n), np.empty(3 * n), np.empty(3 * n), np.empty(3 * n))
    v = np.empty(3 * n)
    status = COMPLETED
    kinetic = 0.0
    u = 0.0
    n_pairs = 0
    steps = 0
    evaluations = 0
    landing = False
    direction = 1.0 if dt >= 0.0 else -1.0
    first_pass = True
    while True:
        # ---- coordinates -------------------------------------------------------------------------------------
        if n > 2:
            rebuild(n, mass0, order, lo, yh, yl, perturbed)
        X = yh[HEAD : HEAD + 3 * n]
        V = yh[HEAD + 3 * n : HEAD + 6 * n]
        any_reach = _in_tree_order(
            order, lo, X, mass0, kind0, horizon0, radius0, slot0, star_weight, star_softening, mass, kind, horizon, radius,
            seen, eps2, eventful, special, x,
        )  # fmt: skip
        while True:
            n_pairs, used = list_pairs(
                n, x, lo, kind, special, eventful, capacity, first, second, start, edge, sign, corrected
            )
            if n_pairs >= 0:
                break
            capacity *= 2
            links *= 4
            first = np.empty(capacity, np.int64)
            second = np.empty(capacity, np.int64)
            start = np.empty(capacity + 1, np.int64)
            edge = np.empty(links, np.int64)
            sign = np.empty(links)
            corrected = np.empty(capacity, np.bool_)
            pair_weight = np.empty(capacity)
            pair_eps2 = np.empty(capacity)
            reach2_all = np.empty(capacity)
            r2 = np.empty(capacity)
            buffers = (x, acceleration, buffers[2], r2, buffers[4], buffers[5], buffers[6], buffers[7])
        _laws_of_pairs(
            n_pairs,
            first,
            second,
            mass,
            kind,
            horizon,
            radius,
            star_weight,
            star_softening,
            pair_weight,
            pair_eps2,
            reach2_all,
        )
        reach2 = reach2_all[:n_pairs] if any_reach else reach2_all[:0]
        if perturbation is not None:
            map_special(n, order, slot0, n_pairs, first, second, perturbation[0])
        pairs = (first, second, start, edge, sign, corrected, pair_weight, pair_eps2)
        system = (G, total, mass, kind, seen, eps2)
        tree = (lo, n_pairs, n <= ALL_LISTED)
        problem = (system, tree, pairs, reach2, buffers, perturbation, transform)
        method = (value, error, table_h, table_l, y, change)
        u = G * forces(
            n, n_pairs, n <= ALL_LISTED, X, lo, mass, kind, seen, eps2, pairs, x, r2, buffers[2], acceleration
        )
        evaluations += 1
        kinetic = body_velocities(n, V, lo, mass, total, v)
        if not (kinetic < np.inf and u < np.inf):
            status = NOT_FINITE
            break
        if light > 0.0:
            _record_validity(n, n_pairs, order, slot0, first, second, r2, mass, kind, v, G, light, statistics)
        if first_pass:
            first_pass = False
            touching = _touching(r2, reach2)
            if touching >= 0:
                found[0] = order[first[touching]]
                found[1] = order[second[touching]]
                status = EVENT
                break
        # ---- where we are ------------------------------------------------------------------------------------
        remaining = (dt - yh[0]) - yl[0]
        if abs(remaining) <= LANDING * abs(dt):
            break
        if steps >= max_steps:
            status = STEP_LIMIT
            break
        if evaluations >= max_evaluations and not landing:
            status = PARTIAL
            break
        rate = kinetic + (yh[1] + yl[1])
        if transform is not None:
            rate = transform[0] * rate + transform[1] * (yh[2] + yl[2]) + transform[2]
        if step[0] == 0.0:
            step[0] = initial_step(n, x, mass, G, u)
            step[1] = 6.0
        target = int(step[1])
        H = direction * step[0]
        if landing:
            H = remaining * rate
            if abs(H) > step[0]:
                H = math.copysign(step[0], H)
        scales = (u, math.sqrt(r2_largest(n, x)), math.sqrt(2.0 * kinetic / total))
        y0h[:] = yh
        y0l[:] = yl
        # ---- one micro-step ----------------------------------------------------------------------------------
        rejected = False
        accepted = False
        k = 0
        fraction = -1.0
        pair = -1
        for _ in range(MAX_TRIALS):
            outcome, k, done, relative, fraction, pair = extrapolate(
                H, target, landing, rows, tolerance, y0h, y0l, scales, factor, method, problem
            )
            evaluations += done
            if outcome == OK:
                accepted = True
                break
            statistics[REJECTED] += 1
            rejected = True
            if outcome == BAD_TIME:
                H *= 0.2
            else:
                shrink = 0.5
                for q in range(2, rows + 1):
                    if factor[q] > 0.0:
                        shrink = min(0.9, factor[q])  # of the last row whose error is known
                H *= shrink
        if not accepted:
            status = STEP_TOO_SMALL
            break
        finish(n, k, y0h, table_h, table_l, change, yh, yl, perturbed)
        if not landing:
            best, grow = next_order(k, target, rows, factor, rejected)
            step[0] = abs(H) * grow
            step[1] = best
        # ---- did it go past the asked time? ------------------------------------------------------------------
        if not landing and direction * ((yh[0] - dt) + yl[0]) > LANDING * abs(dt):
            landing = True
            statistics[LANDINGS] += 1
            after = body_velocities(n, yh[HEAD + 3 * n : HEAD + 6 * n], lo, mass, total, v) + (yh[1] + yl[1])
            if transform is not None:
                after = transform[0] * after + transform[1] * (yh[2] + yl[2]) + transform[2]
            H = _cubic_landing(y0h[0], yh[0], 1.0 / rate, 1.0 / after, dt, H)
            outcome, k, done, relative, fraction, pair = extrapolate(
                H, target, True, rows, tolerance, y0h, y0l, scales, factor, method, problem
            )
            evaluations += done
            if outcome != OK:  # cannot be: a shorter step than one that converged; go on with small steps
                yh[:] = y0h
                yl[:] = y0l
                fraction = -1.0
            else:
                finish(n, k, y0h, table_h, table_l, change, yh, yl, perturbed)
        steps += 1
        # ---- did something happen on the way? ----------------------------------------------------------------
        earliest = 2.0
        event_pair = -1
        p = _next_suspect(-1, pair, fraction, n, G, mass, y0h, yh, pairs, reach2, direction)
        while p >= 0:
            seen_here = fraction if p == pair else -1.0
            z, done = locate(p, seen_here, H, target, rows, tolerance, y0h, y0l, yh, scales, factor, method, problem)
            evaluations += done
            if z >= 0.0 and z < earliest:
                earliest = z
                event_pair = p
            p = _next_suspect(p, pair, fraction, n, G, mass, y0h, yh, pairs, reach2, direction)
        if event_pair >= 0:
            outcome, k, done, relative, fraction, pair = extrapolate(
                H * earliest, target, True, rows, tolerance, y0h, y0l, scales, factor, method, problem
            )
            evaluations += done
            finish(n, k, y0h, table_h, table_l, change, yh, yl, perturbed)
            found[0] = order[first[event_pair]]
            found[1] = order[second[event_pair]]
            u = G * forces(
                n, n_pairs, n <= ALL_LISTED, yh[HEAD : HEAD + 3 * n], lo, mass, kind, seen, eps2, pairs, x, r2,
                buffers[2], acceleration,
            )  # fmt: skip
            kinetic = body_velocities(n, yh[HEAD + 3 * n : HEAD + 6 * n], lo, mass, total, v)
            status = EVENT
            break
    statistics[STEPS] += steps
    statistics[EVALUATIONS] += evaluations
    return status, kinetic, u


@njit(cache=True, error_model="numpy")
def _in_tree_order(
    order, lo, X, mass0, kind0, horizon0, radius0, slot0, star_weight, star_softening, mass, kind, horizon, radius, seen, eps2,
    eventful, special, x,
):  # fmt: skip
    """Overwrite what is known of the bodies, and their positions x, in tree order; return whether any can be in an event."""
    n = mass.shape[0]
    any_reach = False
    for i in range(n):
        k = order[i]
        mass[i] = mass0[k]
        kind[i] = kind0[k]
        horizon[i] = horizon0[k]
        radius[i] = radius0[k]
        hole = kind[i] == 1
        seen[i] = mass[i] if hole else star_weight * mass[i]
        eps2[i] = 0.0 if hole else star_softening * star_softening
        eventful[i] = 0.0 if horizon[i] > 0.0 or radius[i] > 0.0 else -1.0
        any_reach = any_reach or eventful[i] == 0.0
        special[i] = slot0[k] >= 0
    for d in range(0, 3 * n, n):
        x[d] = 0.0
        for e in range(n - 1):
            x[d + e + 1] = x[d + lo[e]] + X[d + e]
    return any_reach


@njit(cache=True, error_model="numpy")
def _laws_of_pairs(
    n_pairs, first, second, mass, kind, horizon, radius, star_weight, star_softening, pair_weight, pair_eps2, reach2
):
    """Overwrite weight, squared softening and squared reach of the listed pairs."""
    for p in range(n_pairs):
        i = first[p]
        j = second[p]
        stars = kind[i] == 0 and kind[j] == 0
        pair_weight[p] = star_weight if stars else 1.0
        pair_eps2[p] = star_softening * star_softening if stars else 0.0
        reach2[p] = pair_reach(i, j, mass, kind, horizon, radius) ** 2


@njit(cache=True, error_model="numpy")
def _touching(r2, reach2):
    """Return the last listed pair within its reach, or -1."""
    for p in range(reach2.shape[0] - 1, -1, -1):
        if r2[p] < reach2[p]:
            return p
    return -1


@njit(cache=True, error_model="numpy")
def _next_suspect(after, pair, fraction, n, G, mass, y0h, yh, pairs, reach2, direction):
    """Return the next listed pair to which something may have happened in a step, or -1; ``pair`` if a substep saw it."""
    first, second = pairs[0], pairs[1]
    for p in range(after + 1, reach2.shape[0]):
        if reach2[p] == 0.0:
            continue
        mu = G * (mass[first[p]] + mass[second[p]])
        if (p == pair and fraction >= 0.0) or suspect(p, n, y0h, yh, pairs, reach2, mu, direction):
            return p
    return -1


@njit(cache=True, error_model="numpy")
def r2_largest(n, x):
    """Return the largest squared distance from the root."""
    worst = 0.0
    for i in range(n):
        worst = max(worst, x[i] * x[i] + x[n + i] * x[n + i] + x[2 * n + i] * x[2 * n + i])
    return worst


@njit(cache=True, error_model="numpy")
def map_special(n, order, slot0, n_pairs, first, second, post):
    """Tell the post-Newtonian bundle where its bodies and their pairs are in tree order."""
    who = post[2]
    pair_of = post[4]
    for i in range(n):
        s = slot0[order[i]]
        if s >= 0:
            who[s] = i
    pair_of[:] = -1
    for p in range(n_pairs):
        a = slot0[order[first[p]]]
        b = slot0[order[second[p]]]
        if a >= 0 and b >= 0:
            pair_of[a, b] = p
            pair_of[b, a] = p


@njit(cache=True, error_model="numpy")
def _record_validity(n, n_pairs, order, slot0, first, second, r2, mass, kind, v, G, light, statistics):
    """Keep the largest v/c and G M / (r c^2) met by pairs that post-Newtonian terms act on."""
    for p in range(n_pairs):
        i = first[p]
        j = second[p]
        if slot0[order[i]] < 0 or slot0[order[j]] < 0 or (kind[i] == 0 and kind[j] == 0):
            continue
        compact = G * (mass[i] + mass[j]) / (math.sqrt(r2[p]) * light * light)
        dx = v[i] - v[j]
        dy = v[n + i] - v[n + j]
        dz = v[2 * n + i] - v[2 * n + j]
        speed = math.sqrt(dx * dx + dy * dy + dz * dz) / light
        statistics[MAX_COMPACTNESS] = max(statistics[MAX_COMPACTNESS], compact)
        statistics[MAX_V] = max(statistics[MAX_V], speed)
