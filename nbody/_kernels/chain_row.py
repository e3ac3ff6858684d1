"""One row of the extrapolation table: m substeps of the logarithmic-Hamiltonian leapfrog over a fictitious interval H.

    drift   dt = h / (a (T + B) + b W + g),   x += dt v,  t += dt
    kick    dt = h / (a U + b Omega + g),     v += dt (F + f),  dB/dt = -sum m v.f,  dW/dt = sum v.dOmega/dx

(Mikkola & Tanikawa 1999, doi:10.1046/j.1365-8711.1999.02982.x; Mikkola & Merritt 2006, doi:10.1111/j.1365-2966.2006.10854.x).
The logarithmic Hamiltonian is (a, b, g) = (1, 0, 0), and then the orbit of two bodies is exact but for its phase.

Velocity-dependent perturbations f use the auxiliary velocity w, which starts as v at every row (Hellstrom & Mikkola
2010, doi:10.1007/s10569-009-9248-8): w += dt/2 (F + f(v)); v += dt (F + f(w)); w += dt/2 (F + f(v)). Spins turn alike, by exact
rotations, with an auxiliary spin.

The state is one flat vector in two parts, high and low (double-double), so that sums of small increments do not lose
digits: [t, B, W | X (3n) | V (3n) | S (3n, only with perturbations)].
"""

import math

import numpy as np
from numba import njit

from .chain_few import BAD_TIME, HEAD, OK, three_body_row, two_body_row
from .chain_forces import forces_inlined
from .double_double import dd_add_double
from .post_newtonian_cpu import accelerations as post_newtonian


@njit(cache=True, error_model="numpy")
def body_velocities(n, V, lo, mass, total, v):
    """Overwrite v (3n) by velocities relative to the centre of mass and return T = sum m v^2 / 2 in that frame."""
    m = 2 * n
    v[0] = 0.0
    v[n] = 0.0
    v[m] = 0.0
    px = 0.0
    py = 0.0
    pz = 0.0
    for e in range(n - 1):
        b = lo[e]
        vx = v[b] + V[e]
        vy = v[n + b] + V[n + e]
        vz = v[m + b] + V[m + e]
        v[e + 1] = vx
        v[n + e + 1] = vy
        v[m + e + 1] = vz
        px += mass[e + 1] * vx
        py += mass[e + 1] * vy
        pz += mass[e + 1] * vz
    px /= total
    py /= total
    pz /= total
    kinetic = 0.0
    for i in range(n):
        vx = v[i] - px
        vy = v[n + i] - py
        vz = v[m + i] - pz
        v[i] = vx
        v[n + i] = vy
        v[m + i] = vz
        kinetic += mass[i] * (vx * vx + vy * vy + vz * vz)
    return 0.5 * kinetic


@njit(cache=True, error_model="numpy", forceinline=True)
def kinetic_energy(n, V, lo, mass, total, v):
    """Return T in the frame of the centre of mass, with v (3n) as workspace."""
    if n == 2:
        return 0.5 * mass[0] * mass[1] / total * (V[0] * V[0] + V[2] * V[2] + V[4] * V[4])
    return body_velocities(n, V, lo, mass, total, v)


@njit(cache=True, error_model="numpy")
def perturb(n, G, t, X, V, S, lo, mass, total, x, pairs, perturbation, v, f, turn):
    """Overwrite f (3n, accelerations) and turn (3n, angular velocities of the spins); return -sum m v.f.

    ``v`` (3n) is overwritten by velocities relative to the centre of mass, which enter the returned power.
    """
    post, external = perturbation
    body_velocities(n, V, lo, mass, total, v)
    for k in range(3 * n):
        f[k] = 0.0
        turn[k] = 0.0
    terms, c, who, acts, pair_of, frame, p_mass, p_sep, p_vel, p_spin, p_acc, p_turn = post
    b = who.shape[0]
    if terms != 0 and b > 1:
        first, second, start, edge, sign, corrected, pair_weight, pair_eps2 = pairs
        for i in range(b):
            k = who[i]
            p_mass[i] = mass[k]
            for d in range(3):
                p_vel[i, d] = v[d * n + k] + V[d * n + n - 1] - frame[d]
                p_spin[i, d] = S[d * n + k]
        for i in range(b):
            for j in range(i):
                p = pair_of[i, j]
                for d in range(3):
                    if p >= 0:
                        r = 0.0
                        for q in range(start[p], start[p + 1]):
                            r += sign[q] * X[d * n + edge[q]]
                        if first[p] == who[i]:  # the list holds x_second - x_first
                            r = -r
                    else:
                        r = x[d * n + who[i]] - x[d * n + who[j]]
                    p_sep[i, j, d] = r
                    p_sep[j, i, d] = -r
        post_newtonian(terms, G, c, p_mass, acts, p_sep, p_vel, p_spin, p_acc, p_turn)
        for i in range(b):
            k = who[i]
            for d in range(3):
                f[d * n + k] = p_acc[i, d]
                turn[d * n + k] = p_turn[i, d]
    active, origin, pull, pull_rate, tide, tide_rate = external
    if active:
        for d in range(3):
            mean = 0.0
            for i in range(n):
                mean += mass[i] * x[d * n + i]
            p_head = mean / total
            v_shift = X[d * n + n - 1] - p_head  # position of the root
            for i in range(n):
                r = x[d * n + i] + v_shift - origin[d]
                for g in range(3):
                    f[g * n + i] += (tide[g, d] + t * tide_rate[g, d]) * r
        for g in range(3):
            a = pull[g] + t * pull_rate[g]
            for i in range(n):
                f[g * n + i] += a
    power = 0.0
    for d in range(0, 3 * n, n):
        for i in range(n):
            power -= mass[i] * v[d + i] * f[d + i]
    return power


@njit(cache=True, error_model="numpy")
def omega(n, x, weights, gradient):
    """Overwrite gradient (3n) of Omega = sum_{i<j} Omega_ij / r_ij and return Omega."""
    for k in range(3 * n):
        gradient[k] = 0.0
    value = 0.0
    for i in range(n):
        for j in range(i):
            q = weights[i, j]
            if q == 0.0:
                continue
            dx = x[j] - x[i]
            dy = x[n + j] - x[n + i]
            dz = x[2 * n + j] - x[2 * n + i]
            r2 = dx * dx + dy * dy + dz * dz
            inverse = q / math.sqrt(r2)
            cube = inverse / r2
            value += inverse
            gradient[i] += cube * dx
            gradient[n + i] += cube * dy
            gradient[2 * n + i] += cube * dz
            gradient[j] -= cube * dx
            gradient[n + j] -= cube * dy
            gradient[2 * n + j] -= cube * dz
    return value


@njit(cache=True, error_model="numpy")
def rotate(n, S, turn, dt):
    """Turn every spin (3n, in place) by the angle |Omega| dt about Omega (Rodrigues' formula)."""
    for i in range(n):
        ox = turn[i]
        oy = turn[n + i]
        oz = turn[2 * n + i]
        rate = math.sqrt(ox * ox + oy * oy + oz * oz)
        angle = rate * dt
        if angle == 0.0:
            continue
        ox /= rate
        oy /= rate
        oz /= rate
        s = math.sin(angle)
        half = math.sin(0.5 * angle)
        k = 2.0 * half * half
        sx = S[i]
        sy = S[n + i]
        sz = S[2 * n + i]
        cx = oy * sz - oz * sy
        cy = oz * sx - ox * sz
        cz = ox * sy - oy * sx
        S[i] = sx + s * cx + k * (oy * cz - oz * cy)
        S[n + i] = sy + s * cy + k * (oz * cx - ox * cz)
        S[2 * n + i] = sz + s * cz + k * (ox * cy - oy * cx)


@njit(cache=True, error_model="numpy")
def _add_kick(n, dt, G, total, mass, lo, acceleration, f, Vh, Vl):
    """Add dt (G acceleration + f), as edge differences and centre of mass, to double-double velocities."""
    for c in range(0, 3 * n, n):
        centre = 0.0
        for e in range(n - 1):
            a = c + e + 1
            b = c + lo[e]
            Vh[c + e], Vl[c + e] = dd_add_double(
                Vh[c + e], Vl[c + e], dt * (G * (acceleration[a] - acceleration[b]) + (f[a] - f[b]))
            )
        for i in range(n):
            centre += mass[i] * f[c + i]
        Vh[c + n - 1], Vl[c + n - 1] = dd_add_double(Vh[c + n - 1], Vl[c + n - 1], dt * centre / total)


@njit(cache=True, error_model="numpy")
def _kick_perturbed(n, h, G, yh, yl, lo, mass, total, x, acceleration, dt, pairs, perturbation, work, W, WL, spin):
    """Kick with velocity-dependent perturbations; W, WL (3n) are the auxiliary velocity, spin (3n) the auxiliary spin."""
    Xh = yh[HEAD : HEAD + 3 * n]
    Vh = yh[HEAD + 3 * n : HEAD + 6 * n]
    Vl = yl[HEAD + 3 * n : HEAD + 6 * n]
    Sh = yh[HEAD + 6 * n : HEAD + 9 * n]
    v = work[: 3 * n]
    f = work[3 * n : 6 * n]
    turn = work[6 * n : 9 * n]
    t = yh[0]
    perturb(n, G, t, Xh, Vh, Sh, lo, mass, total, x, pairs, perturbation, v, f, turn)
    _add_kick(n, 0.5 * dt, G, total, mass, lo, acceleration, f, W, WL)
    rotate(n, spin, turn, 0.5 * dt)
    power = perturb(n, G, t, Xh, W, spin, lo, mass, total, x, pairs, perturbation, v, f, turn)
    _add_kick(n, dt, G, total, mass, lo, acceleration, f, Vh, Vl)
    rotate(n, Sh, turn, dt)
    yh[1], yl[1] = dd_add_double(yh[1], yl[1], dt * power)
    perturb(n, G, t, Xh, Vh, Sh, lo, mass, total, x, pairs, perturbation, v, f, turn)
    _add_kick(n, 0.5 * dt, G, total, mass, lo, acceleration, f, W, WL)
    rotate(n, spin, turn, 0.5 * dt)


@njit(cache=True, error_model="numpy")
def row(H, m, system, tree, pairs, reach2, y0h, y0l, yh, yl, buffers, perturbation, transform):
    """Overwrite (yh, yl) by the state after m substeps of H / m from (y0h, y0l).

    Parameters
    ----------
    system : (G, total mass, mass, kind, mass seen by stars, squared softening seen by stars), in tree order
    tree : (lo, number of listed pairs, all listed)
    pairs : see chain_forces.forces
    reach2 : squared distance at which a listed pair is an event; empty when there are none
    perturbation : None, or (post-Newtonian bundle, external bundle)
    transform : None for the logarithmic Hamiltonian, or (a, b, g, weights (n, n), gradient (3n))

    Returns
    -------
    (status, substep after which the first event was seen, its pair)

    """
    G, total, mass, kind, seen, eps2 = system
    lo, n_pairs, all_listed = tree
    x, acceleration, weight, r2, work, W, WL, spin = buffers
    n = mass.shape[0]
    if perturbation is None and transform is None:
        if n == 2 and pairs[6][0] == 1.0 and pairs[7][0] == 0.0:
            reach = reach2[0] if reach2.shape[0] > 0 else -1.0
            return two_body_row(H, m, mass[0] * mass[1] / total, reach, y0h, y0l, yh, yl)
        if n == 3 and pairs[6][:3].min() == 1.0 and pairs[7][:3].max() == 0.0:
            return three_body_row(H, m, G, mass[0], mass[1], mass[2], lo[1] == 1, reach2, y0h, y0l, yh, yl)
    for k in range(y0h.shape[0]):
        yh[k] = y0h[k]
        yl[k] = y0l[k]
    Xh = yh[HEAD : HEAD + 3 * n]
    Xl = yl[HEAD : HEAD + 3 * n]
    Vh = yh[HEAD + 3 * n : HEAD + 6 * n]
    Vl = yl[HEAD + 3 * n : HEAD + 6 * n]
    if perturbation is not None:
        for k in range(3 * n):
            W[k] = Vh[k]
            WL[k] = Vl[k]
            spin[k] = yh[HEAD + 6 * n + k]
    h = H / m
    seen_at = -1
    seen_pair = -1
    for s in range(m + 1):
        step = 0.5 * h if s == 0 or s == m else h
        rate = kinetic_energy(n, Vh, lo, mass, total, work) + (yh[1] + yl[1])
        if transform is not None:
            rate = transform[0] * rate + transform[1] * (yh[2] + yl[2]) + transform[2]
        if not rate > 0.0 or rate == np.inf:
            return BAD_TIME, seen_at, seen_pair
        dt = step / rate
        yh[0], yl[0] = dd_add_double(yh[0], yl[0], dt)
        for k in range(3 * n):
            Xh[k], Xl[k] = dd_add_double(Xh[k], Xl[k], dt * Vh[k])
        if s == m:
            break
        u = G * forces_inlined(
            n, n_pairs, all_listed, Xh, lo, mass, kind, seen, eps2, pairs, x, r2, weight, acceleration
        )
        rate = u
        if transform is not None:
            rate = transform[0] * u + transform[1] * omega(n, x, transform[3], transform[4]) + transform[2]
        if not rate > 0.0 or rate == np.inf:
            return BAD_TIME, seen_at, seen_pair
        dt = h / rate
        if transform is not None:
            change = _omega_rate(n, Vh, lo, mass, total, work, transform[4])
        if perturbation is not None:
            _kick_perturbed(
                n, h, G, yh, yl, lo, mass, total, x, acceleration, dt, pairs, perturbation, work, W, WL, spin
            )
        else:
            kick = dt * G
            for e in range(n - 1):
                b = lo[e]
                for c in (0, n, 2 * n):
                    Vh[c + e], Vl[c + e] = dd_add_double(
                        Vh[c + e], Vl[c + e], kick * (acceleration[c + e + 1] - acceleration[c + b])
                    )
        if transform is not None:
            change = 0.5 * dt * (change + _omega_rate(n, Vh, lo, mass, total, work, transform[4]))
            yh[2], yl[2] = dd_add_double(yh[2], yl[2], change)
        if seen_at < 0:
            for p in range(reach2.shape[0]):
                if r2[p] < reach2[p]:
                    seen_at = s + 1
                    seen_pair = p
                    break
    return OK, seen_at, seen_pair


@njit(cache=True, error_model="numpy")
def _omega_rate(n, V, lo, mass, total, v, gradient):
    """Return sum v . dOmega/dx."""
    body_velocities(n, V, lo, mass, total, v)
    rate = 0.0
    for k in range(3 * n):
        rate += v[k] * gradient[k]
    return rate
