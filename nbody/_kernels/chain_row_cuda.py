"""One row of the extrapolation table of a large chain on a CUDA device; `chain_row_reference` is the readable twin.

The leapfrog of `chain_row` without perturbations: the state stays on the device for all m substeps of a row, which are a sequence
of launches that the host never waits for; it gets the row, whether the time step stayed positive, and the first event. A substep
has three launches: `pull_bulk`, all pairs, in blocks, tiles and segments like `direct_cuda`; `settle`, one thread for each body,
adds segments and takes near pairs from the tree; and `move`, one block, sums T and U, kicks and drifts. Sums have one order: a
row is the same to the last bit on every run. It is another order than on the CPU, which leaves differences of rounding.

Positions and velocities of bodies are sums of edges along the tree. Here they are formed by doubling: after round k every body
holds the sum of the 2^k edges above it and knows the body above those (``jump``), so a tree of depth 200 takes eight rounds.

Coordinates are double-double. Products that enter a compensated sum are kept apart from it (``product``): fused, they
would not be the numbers whose error the sum catches.

Legend
    y          (2, size) the state, high and low, as in chain_row
    jump       (rounds, n) body 2^k steps towards the root
    of_body    listed pairs of each body, from ``body_start``; a body's own thread does them all
    note       (status, substep of the first event, its pair)
    work       (2, 3n) for doubling; x, v are one of its halves
"""

import math

import numpy as np
from numba import boolean, cuda, float64, int64, njit
from numba.core import config

from ...particles import InputError
from ...particles._kernels.device_cuda import require_device, run
from . import chain_row_cpu
from . import double_double as compensated
from .chain_few import BAD_TIME, HEAD, OK
from .device_cuda import Resident, calling, on_device
from .direct_cuda import launch, rsqrt

THREADS = 128  # of a block of the bulk sum, and sources of a tile
TARGETS = 2  # of a thread there
WIDTH = 512  # threads of the block that moves

_NO_REACH = np.array([-np.inf])
_kept = Resident()
dd_add_double = on_device(compensated.dd_add_double)

if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]  # the simulator has no device library

    def product(a, b):
        """Return a b, rounded."""
        return a * b

else:
    from numba.cuda.libdevice import dmul_rn as product


@cuda.jit(device=True)
def _bulk_pair(dx, dy, dz, both, e2, m, seen):
    """Return m r / s^3 and m / s; nothing at distance zero, where the body itself is, or one that the tree tells apart."""
    r2 = dx * dx + (dy * dy + dz * dz)
    inverse = rsqrt(r2 + (e2 if both else 0.0))
    phi = (seen if both else m) * (inverse if r2 > 0.0 else 0.0)
    g = phi * (inverse * inverse) if r2 > 0.0 else 0.0
    return g * dx, g * dy, g * dz, phi


def pull_bulk(x, mass, star, weight, eps2, length, part):
    """Overwrite part (segments, 4, n): acceleration without G, and sum m / s; stars see stars with a weight and softened."""
    tile = cuda.shared.array((4, THREADS), float64)
    sort = cuda.shared.array(THREADS, boolean)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    a = cuda.blockIdx.x * (TARGETS * THREADS) + t  # type: ignore[operator]
    b = a + THREADS
    i, k = min(a, n - 1), min(b, n - 1)  # threads without a target repeat the last one and store nothing
    xi, yi, zi, star_i = x[i], x[n + i], x[2 * n + i], star[i]
    xk, yk, zk, star_k = x[k], x[n + k], x[2 * n + k], star[k]
    axi = ayi = azi = phii = axk = ayk = azk = phik = 0.0
    start = cuda.blockIdx.y * length
    stop = min(start + length, n)
    for first in range(start, stop, THREADS):
        count = min(THREADS, stop - first)
        cuda.syncthreads()  # type: ignore[call-arg]
        if t < count:
            for d in range(3):
                tile[d, t] = x[d * n + first + t]
            tile[3, t] = mass[first + t]
            sort[t] = star[first + t]
        cuda.syncthreads()
        for j in range(count):
            px, py, pz, m = tile[0, j], tile[1, j], tile[2, j], tile[3, j]
            seen = weight * m
            gx, gy, gz, phi = _bulk_pair(px - xi, py - yi, pz - zi, star_i and sort[j], eps2, m, seen)
            axi, ayi, azi, phii = axi + gx, ayi + gy, azi + gz, phii + phi
            gx, gy, gz, phi = _bulk_pair(px - xk, py - yk, pz - zk, star_k and sort[j], eps2, m, seen)
            axk, ayk, azk, phik = axk + gx, ayk + gy, azk + gz, phik + phi
    s = cuda.blockIdx.y
    if a < n:
        part[s, 0, a], part[s, 1, a], part[s, 2, a], part[s, 3, a] = axi, ayi, azi, phii
    if b < n:
        part[s, 0, b], part[s, 1, b], part[s, 2, b], part[s, 3, b] = axk, ayk, azk, phik


def settle(
    all_listed, y, x, mass, part, body_start, of_body, first, second, start, edge, sign, corrected, pair_weight, pair_eps2,
    r2_pairs, acceleration, share,
):  # fmt: skip
    """Overwrite accelerations (3n, without G), each body's share of U / G, and the squared separations of listed pairs."""
    n = mass.shape[0]
    i = cuda.grid(1)  # type: ignore[call-arg, var-annotated]
    if i >= n:
        return
    ax = ay = az = u = 0.0
    if not all_listed:
        for s in range(part.shape[0]):
            ax += part[s, 0, i]
            ay += part[s, 1, i]
            az += part[s, 2, i]
            u += part[s, 3, i]
    u *= 0.5 * mass[i]
    for q in range(body_start[i], body_start[i + 1]):
        p = of_body[q]
        a, b = first[p], second[p]
        dx = dy = dz = 0.0
        for e in range(start[p], start[p + 1]):
            k = HEAD + edge[e]
            dx += sign[e] * y[0, k]
            dy += sign[e] * y[0, n + k]
            dz += sign[e] * y[0, 2 * n + k]
        r2 = dx * dx + (dy * dy + dz * dz)
        if a == i:
            r2_pairs[p] = r2
        if not corrected[p]:
            continue
        root = rsqrt(r2 + pair_eps2[p])
        inverse = pair_weight[p] * root
        cube = inverse * (root * root)
        fx, fy, fz = cube * dx, cube * dy, cube * dz
        if not all_listed:  # the same term as in the bulk sum is taken out again
            cx, cy, cz = x[b] - x[a], x[n + b] - x[n + a], x[2 * n + b] - x[2 * n + a]
            r2 = cx * cx + (cy * cy + cz * cz)
            if r2 > 0.0:
                root = rsqrt(r2 + pair_eps2[p])
                cube = pair_weight[p] * root
                inverse -= cube
                cube *= root * root
                fx -= cube * cx
                fy -= cube * cy
                fz -= cube * cz
        m = mass[b] if a == i else -mass[a]
        ax += m * fx
        ay += m * fy
        az += m * fz
        if a == i:
            u += mass[a] * mass[b] * inverse
    acceleration[i], acceleration[n + i], acceleration[2 * n + i] = ax, ay, az
    share[i] = u


@cuda.jit(device=True)
def _total(value, shared):
    """Return the sum over the block, in one order."""
    t = cuda.threadIdx.x
    shared[t] = value
    half = WIDTH // 2
    cuda.syncthreads()  # type: ignore[call-arg]
    while half > 0:
        if t < half:
            shared[t] += shared[t + half]
        half //= 2
        cuda.syncthreads()
    total = shared[0]
    cuda.syncthreads()
    return total


@cuda.jit(device=True)
def _along_tree(n, y, at, jump, work):
    """Sum edge vectors from place ``at`` of the state along the tree; return the half of ``work`` that has the sums."""
    here = 0
    for i in range(cuda.threadIdx.x, 3 * n, WIDTH):  # type: ignore[call-overload]
        work[0, i] = 0.0 if i % n == 0 else y[0, at + i - 1]
    cuda.syncthreads()  # type: ignore[call-arg]
    for k in range(jump.shape[0]):
        for i in range(cuda.threadIdx.x, 3 * n, WIDTH):
            body = i % n
            work[1 - here, i] = work[here, i] + work[here, i - body + jump[k, body]]
        here = 1 - here
        cuda.syncthreads()
    return here


@cuda.jit(device=True)
def _kinetic(n, y, mass, total, jump, work, shared):
    """Return T in the frame of the centre of mass."""
    t = cuda.threadIdx.x
    here = _along_tree(n, y, HEAD + 3 * n, jump, work)
    px = py = pz = kinetic = 0.0
    for i in range(t, n, WIDTH):  # type: ignore[call-overload]
        px += mass[i] * work[here, i]
        py += mass[i] * work[here, n + i]
        pz += mass[i] * work[here, 2 * n + i]
    px, py, pz = _total(px, shared) / total, _total(py, shared) / total, _total(pz, shared) / total
    for i in range(t, n, WIDTH):  # type: ignore[call-overload]
        u, v, w = work[here, i] - px, work[here, n + i] - py, work[here, 2 * n + i] - pz
        kinetic += mass[i] * (u * u + v * v + w * w)
    return 0.5 * _total(kinetic, shared)


@cuda.jit(device=True)
def _place(n, y, jump, work, x):
    """Overwrite positions x (3n) relative to the root."""
    here = _along_tree(n, y, HEAD, jump, work)
    for i in range(cuda.threadIdx.x, 3 * n, WIDTH):  # type: ignore[call-overload]
        x[i] = work[here, i]


def place(y, jump, work, x):
    """Overwrite positions; one block."""
    _place(x.shape[0] // 3, y, jump, work, x)


def move(s, h, drift, G, total, y, mass, lo, jump, reach2, r2_pairs, share, acceleration, work, x, note):
    """Kick by h with the forces of substep s (s < 0: no kick), then drift and place the bodies; one block."""
    shared = cuda.shared.array(WIDTH, float64)
    found = cuda.shared.array(1, int64)
    n = mass.shape[0]
    t = cuda.threadIdx.x
    if note[0] != OK:
        return
    V = HEAD + 3 * n
    if s >= 0:
        u = 0.0
        for i in range(t, n, WIDTH):  # type: ignore[call-overload]
            u += share[i]
        u = G * _total(u, shared)
        if not (u > 0.0 and u < np.inf):
            cuda.syncthreads()  # type: ignore[call-arg]
            if t == 0:
                note[0] = BAD_TIME
            return
        kick = h / u * G
        for k in range(t, 3 * (n - 1), WIDTH):  # type: ignore[call-overload]
            c, e = n * (k // (n - 1)), k % (n - 1)
            q = V + c + e
            change = product(kick, acceleration[c + e + 1] - acceleration[c + lo[e]])
            y[0, q], y[1, q] = dd_add_double(y[0, q], y[1, q], change)
        if t == 0:
            found[0] = reach2.shape[0]
        cuda.syncthreads()  # type: ignore[call-arg]
        if note[1] < 0:
            for p in range(t, reach2.shape[0], WIDTH):
                if r2_pairs[p] < reach2[p]:
                    cuda.atomic.min(found, 0, p)
        cuda.syncthreads()
        if t == 0 and found[0] < reach2.shape[0]:
            note[1], note[2] = s + 1, found[0]
    rate = _kinetic(n, y, mass, total, jump, work, shared) + (y[0, 1] + y[1, 1])
    if not (rate > 0.0 and rate < np.inf):
        if t == 0:
            note[0] = BAD_TIME
        return
    dt = drift / rate
    for k in range(t, 3 * n, WIDTH):  # type: ignore[call-overload]
        q = HEAD + k
        y[0, q], y[1, q] = dd_add_double(y[0, q], y[1, q], product(dt, y[0, V + k]))
    if t == 0:
        y[0, 0], y[1, 0] = dd_add_double(y[0, 0], y[1, 0], dt)
    cuda.syncthreads()  # type: ignore[call-arg]
    _place(n, y, jump, work, x)


_pull_bulk, _settle, _place_all, _move = cuda.jit(pull_bulk), cuda.jit(settle), cuda.jit(place), cuda.jit(move)


@njit(cache=True, error_model="numpy")
def jumps(lo):
    """Return (rounds, n): the body 2^k steps towards the root from each."""
    n = lo.shape[0] + 1
    depth = np.zeros(n, np.int64)
    for e in range(n - 1):
        depth[e + 1] = depth[lo[e]] + 1
    rounds = math.ceil(math.log2(max(depth.max(), 1)))
    jump = np.zeros((max(rounds, 1), n), np.int64)
    jump[0, 1:] = lo
    for k in range(1, rounds):
        for i in range(n):
            jump[k, i] = jump[k - 1, jump[k - 1, i]]
    return jump


@njit(cache=True, error_model="numpy")
def by_body(n, n_pairs, first, second):
    """Return (start, pairs): the listed pairs of each body."""
    start, place = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    for p in range(n_pairs):
        start[first[p] + 1] += 1
        start[second[p] + 1] += 1
    start = start.cumsum()
    pairs = np.zeros(max(start[n], 1), np.int64)
    for p in range(n_pairs):
        for i in (first[p], second[p]):
            pairs[start[i] + place[i]] = p
            place[i] += 1
    return start, pairs


class _Chain:
    """A chain as the device holds it; what has not changed since the last call is not copied."""

    def __init__(self, system, tree, pairs, reach2):
        self.G, self.total, mass, kind, seen, eps2 = system
        lo, self.n_pairs, self.all_listed = tree
        self.n = n = mass.shape[0]
        stars = kind == 0
        star = int(np.argmax(stars * mass))
        self.weight, self.eps2 = (
            (seen[star] / mass[star], eps2[star]) if stars[star] and mass[star] > 0.0 else (1.0, 0.0)  # type: ignore[var-annotated]
        )
        first, second, start, edge, sign, corrected, pair_weight, pair_eps2 = pairs
        p, used = max(self.n_pairs, 1), max(int(start[self.n_pairs]), 1)
        body_start, of_body = by_body(n, self.n_pairs, first, second)
        arrays = {
            "mass": mass, "star": stars, "lo": lo, "jump": jumps(lo), "reach2": reach2 if reach2.size else _NO_REACH,
            "body_start": body_start, "of_body": of_body, "first": first[:p], "second": second[:p], "start": start[: p + 1],
            "edge": edge[:used], "sign": sign[:used], "corrected": corrected[:p], "pair_weight": pair_weight[:p],
            "pair_eps2": pair_eps2[:p],
        }  # fmt: skip
        self.there = {name: _kept.kept(name, array) for name, array in arrays.items()}
        self.blocks, self.segments, self.length = launch(n, TARGETS)
        shapes = {
            "part": (self.segments, 4, n), "x": (3 * n,), "work": (2, 3 * n), "acceleration": (3 * n,), "share": (n,), "r2": (p,),
        }  # fmt: skip
        self.there.update({name: _kept.room(name, shape) for name, shape in shapes.items()})

    def _of(self, *names):
        return (self.there[name] for name in names)

    def place(self, y):
        run(_place_all, 1, WIDTH, y, *self._of("jump", "work", "x"))

    def forces(self, y):
        """Accelerations, shares of U, and separations of listed pairs."""
        if not self.all_listed:
            run(
                _pull_bulk, (self.blocks, self.segments), THREADS, *self._of("x", "mass", "star"), self.weight, self.eps2,
                self.length, self.there["part"],
            )  # fmt: skip
        names = (
            "x", "mass", "part", "body_start", "of_body", "first", "second", "start", "edge", "sign", "corrected", "pair_weight",
            "pair_eps2", "r2", "acceleration", "share",
        )  # fmt: skip
        run(_settle, -(-self.n // THREADS), THREADS, self.all_listed, y, *self._of(*names))

    def move(self, s, h, drift, y, note):
        names = ("mass", "lo", "jump", "reach2", "r2", "share", "acceleration", "work", "x")
        run(_move, 1, WIDTH, s, h, drift, self.G, self.total, y, *self._of(*names), note)


def forces(
    n, n_pairs, all_listed, X, lo, mass, kind, seen_by_star, eps2_star, pairs, x, r2_pairs, weight, acceleration
):
    """Overwrite squared separations of listed pairs and return U without G; parameters as in chain_forces.

    Positions ``x`` are those that belong to X already, and accelerations stay on the device.
    """
    chain = _Chain((1.0, mass.sum(), mass, kind, seen_by_star, eps2_star), (lo, n_pairs, all_listed), pairs, _NO_REACH)
    y = np.zeros((2, HEAD + 3 * n))
    y[0, HEAD:] = X
    there = _kept.moved("edges", y)
    chain.place(there)
    chain.forces(there)
    r2_pairs[:n_pairs] = chain.there["r2"].copy_to_host()[:n_pairs]
    return float(chain.there["share"].copy_to_host().sum())


def row(H, m, system, tree, pairs, reach2, y0h, y0l, yh, yl, buffers, perturbation, transform):
    """Overwrite (yh, yl) by the state after m substeps of H / m; parameters and results as in chain_row.

    Raises
    ------
    InputError : no device, or perturbations or a transform, which the device does not have

    """
    require_device()
    if transform is not None or (perturbation is not None and (perturbation[0][0] != 0 or perturbation[1][0])):
        raise InputError("chains on a device are Newtonian, with the logarithmic Hamiltonian; use backend = 'cpu'")
    chain = _Chain(system, tree, pairs, reach2)
    begin = _kept.kept("begin", np.stack([y0h, y0l]))
    y = _kept.room("y", begin.shape)
    y.copy_to_device(begin)
    note = _kept.moved("note", np.array([OK, -1, -1]))
    h = H / m
    chain.move(-1, h, 0.5 * h, y, note)
    for s in range(m):
        chain.forces(y)
        chain.move(s, h, h if s < m - 1 else 0.5 * h, y, note)
    yh[:], yl[:] = y.copy_to_host()
    return tuple(int(k) for k in note.copy_to_host())


#: Cartesian, for tests and benchmarks: `chain_row_cpu.row` with the row of the device
cartesian_row = calling(chain_row_cpu.row, chain_row=row)
