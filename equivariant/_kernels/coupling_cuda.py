"""The channelwise product and its derivatives on a CUDA device; `coupling_reference` has the equations and the legend.

A warp has one path (a group of rows in `couple_x`) of one atom, two channels a lane, and keeps its sums in registers; the
warps of a block share the matrices M of a tile of edges. Every number is written by one thread that adds in one order: no
atomics, no stored messages, and the same bits on every run. `coupling_plan` has the legend of the tables.
"""

from functools import cache

import numpy as np
from numba import cuda

from ...particles._kernels.device_cuda import require_device, run
from .coupling_plan import Plan, make_plan
from .coupling_reference import STATUS_OK
from .device_cuda import LANES, SHARED, WARPS, as_rows

MOST, SUMS = 7, 14  # rows of the highest degree, and sums for two channels
TILE = 16  # edges of a tile, where shared memory allows
EDGES = 4  # edges of a block in `couple_w`
KEPT = 64  # plans that stay on the device


# ---------------------------------------------------------------------- shared pieces


@cuda.jit(device=True)
def _mix(mixing, z, y, e, first, harmonic, values):
    """Overwrite mixing[z ...] with the matrices M of edge e; one entry a lane."""
    for m in range(cuda.threadIdx.x, first.shape[0] - 1, LANES):
        total = y.dtype.type(0)
        for r in range(first[m], first[m + 1]):
            total += values[r] * y[e, harmonic[r]]
        mixing[z + m] = total


def _adder(size):
    """Return what adds to ``size`` rows of sums, of two channels each."""

    @cuda.jit(device=True)
    def add(sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v):
        """sums_k += sum_j M_kj a_j: M at m + j step_in + k step_out, a_j at row + j jump, times u and v for the two channels."""
        for j in range(count):
            left, right = u * a[row + j * jump, c], v * a[row + j * jump, d]
            for k in range(size):
                element = mixing[m + j * step_in + k * step_out]
                sums[k] += element * left
                sums[MOST + k] += element * right

    return add


_add_1, _add_3, _add_5, _add_7 = (_adder(size) for size in (1, 3, 5, 7))


@cuda.jit(device=True)
def _add(size, sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v):
    if size == 1:
        _add_1(sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v)
    elif size == 3:
        _add_3(sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v)
    elif size == 5:
        _add_5(sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v)
    else:
        _add_7(sums, mixing, m, step_in, step_out, count, a, row, jump, c, d, u, v)


@cuda.jit(device=True)
def _store(sums, size, out, row, jump, c, d, channels):
    for k in range(MOST):
        if k < size:
            if c < channels:
                out[row + k * jump, c] = sums[k]
            if d < channels:
                out[row + k * jump, d] = sums[MOST + k]


@cuda.jit(device=True)
def _given(w, place, b, e, p, paths, c):
    return w[e * paths + p, c]


@cuda.jit(device=True)
def _from_table(w, place, b, e, p, paths, c):
    row = place[e] * paths + p
    total = b[e, 0] * w[row, c] + b[e, 1] * w[row + paths, c]
    return total + (b[e, 2] * w[row + 2 * paths, c] + b[e, 3] * w[row + 3 * paths, c])


# ---------------------------------------------------------------------- kernels


def _messages_with(weight):
    """Return the kernel of messages whose weights come from the function ``weight``."""

    def messages(x, y, place, b, w, sender, start, layout, first, harmonic, values, dim, tile, out):
        """Overwrite out (rows, C); grid (receivers, tasks), a task is a path and 2 LANES channels."""
        mixing = cuda.shared.array(0, x.dtype)
        sums = cuda.local.array(SUMS, x.dtype)
        i, n, channels = cuda.blockIdx.x, start.shape[0] - 1, x.shape[1]
        paths, size = layout.shape[0], first.shape[0] - 1
        task = cuda.blockIdx.y * WARPS + cuda.threadIdx.y
        p = task % paths
        c = task // paths * (2 * LANES) + cuda.threadIdx.x
        d = c + LANES
        left, right = min(c, channels - 1), min(d, channels - 1)  # lanes without a channel repeat the last one
        row_in, size_in, size_out, m = layout[p, 0], layout[p, 1], layout[p, 2], layout[p, 7]
        for k in range(SUMS):
            sums[k] = 0
        for begin in range(start[i], start[i + 1], tile):
            count = min(tile, start[i + 1] - begin)
            cuda.syncthreads()
            for q in range(cuda.threadIdx.y, count, WARPS):
                _mix(mixing, q * size, y, begin + q, first, harmonic, values)
            cuda.syncthreads()
            for q in range(count):
                e = begin + q
                u = weight(w, place, b, e, p, paths, left)
                v = weight(w, place, b, e, p, paths, right)
                _add(
                    size_out,
                    sums,
                    mixing,
                    q * size + m,
                    1,
                    size_in,
                    size_in,
                    x,
                    sender[e] * dim + row_in,
                    1,
                    left,
                    right,
                    u,
                    v,
                )
        row = layout[p, 3] * n + i * layout[p, 4] + layout[p, 6]
        _store(sums, size_out, out, row, layout[p, 5], c, d, channels)

    return messages


def pull_features(
    g, y, w, receiver, order, start, layout, first, harmonic, values, groups, members, receivers, dim, tile, out
):
    """Overwrite out (n D, C), the gradient of features; grid (senders, tasks), a task is a group of rows and 2 LANES channels."""
    mixing = cuda.shared.array(0, g.dtype)
    sums = cuda.local.array(SUMS, g.dtype)
    i, channels = cuda.blockIdx.x, g.shape[1]
    paths, size = layout.shape[0], first.shape[0] - 1
    task = cuda.blockIdx.y * WARPS + cuda.threadIdx.y
    group = task % groups.shape[0]
    c = task // groups.shape[0] * (2 * LANES) + cuda.threadIdx.x
    d = c + LANES
    left, right = min(c, channels - 1), min(d, channels - 1)
    size_in = groups[group, 1]
    for k in range(SUMS):
        sums[k] = 0
    for begin in range(start[i], start[i + 1], tile):
        count = min(tile, start[i + 1] - begin)
        cuda.syncthreads()
        for q in range(cuda.threadIdx.y, count, WARPS):
            _mix(mixing, q * size, y, order[begin + q], first, harmonic, values)
        cuda.syncthreads()
        for q in range(count):
            e = order[begin + q]
            for r in range(groups[group, 2], groups[group, 3]):
                p = members[r]
                row = layout[p, 3] * receivers + receiver[e] * layout[p, 4] + layout[p, 6]
                u, v = w[e * paths + p, left], w[e * paths + p, right]
                m = q * size + layout[p, 7]
                _add(size_in, sums, mixing, m, size_in, 1, layout[p, 2], g, row, layout[p, 5], left, right, u, v)
    _store(sums, size_in, out, i * dim + groups[group, 0], 1, c, d, channels)


def pull_weights(x, y, g, sender, receiver, layout, first, harmonic, values, receivers, dim, out):
    """Overwrite out (E P, C), the gradient of weights; a block has EDGES edges."""
    mixing = cuda.shared.array(0, x.dtype)
    edges, channels = sender.shape[0], x.shape[1]
    paths, size = layout.shape[0], first.shape[0] - 1
    begin = cuda.blockIdx.x * EDGES
    count = min(EDGES, edges - begin)
    for q in range(cuda.threadIdx.y, count, WARPS):
        _mix(mixing, q * size, y, begin + q, first, harmonic, values)
    cuda.syncthreads()
    for task in range(cuda.threadIdx.y, count * paths, WARPS):
        q, p = task // paths, task % paths
        e = begin + q
        row = layout[p, 3] * receivers + receiver[e] * layout[p, 4] + layout[p, 6]
        m, size_in, row_in = q * size + layout[p, 7], layout[p, 1], sender[e] * dim + layout[p, 0]
        for c in range(cuda.threadIdx.x, channels, LANES):
            total = x.dtype.type(0)
            for k in range(layout[p, 2]):
                moved = x[row_in, c] * mixing[m + k * size_in]
                for a in range(1, size_in):
                    moved += x[row_in + a, c] * mixing[m + k * size_in + a]
                total += g[row + k * layout[p, 5], c] * moved
            out[e * paths + p, c] = total


def pull_harmonics(x, w, g, sender, receiver, layout, met, pulled, ends, source, factor, receivers, dim, chunk, out):
    """Overwrite out (E, B), the gradient of harmonics; a block has one edge and brings ``chunk`` channels at a time.

    Shared memory: rows of x, w and g, and then the sums over channels of the products ``met``. A thread starts at a channel
    of its own, so that those of a warp read from different banks.
    """
    shared = cuda.shared.array(0, x.dtype)
    e, channels, paths = cuda.blockIdx.x, x.shape[1], layout.shape[0]
    lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
    thread, threads = warp * LANES + lane, LANES * WARPS
    weights, pulls = dim * chunk, (dim + paths) * chunk
    sums = pulls + pulled.shape[0] * chunk
    for z in range(thread, met.shape[0], threads):
        shared[sums + z] = 0
    for begin in range(0, channels, chunk):
        count = min(chunk, channels - begin)
        cuda.syncthreads()
        for r in range(warp, dim, WARPS):
            for c in range(lane, count, LANES):
                shared[r * chunk + c] = x[sender[e] * dim + r, begin + c]
        for p in range(warp, paths, WARPS):
            for c in range(lane, count, LANES):
                shared[weights + p * chunk + c] = w[e * paths + p, begin + c]
        for r in range(warp, pulled.shape[0], WARPS):
            p, k = pulled[r, 0], pulled[r, 1]
            row = layout[p, 3] * receivers + receiver[e] * layout[p, 4] + layout[p, 6] + k * layout[p, 5]
            for c in range(lane, count, LANES):
                shared[pulls + r * chunk + c] = g[row, begin + c]
        cuda.syncthreads()
        for z in range(thread, met.shape[0], threads):
            rx, rw, rg = met[z, 0] * chunk, weights + met[z, 1] * chunk, pulls + met[z, 2] * chunk
            total = shared[sums + z]
            for c in range(count):
                k = (c + lane) % count
                total += shared[rx + k] * shared[rw + k] * shared[rg + k]
            shared[sums + z] = total
    cuda.syncthreads()
    for h in range(thread, out.shape[1], threads):
        total = x.dtype.type(0)
        for r in range(ends[h], ends[h + 1]):
            total += factor[r] * shared[sums + source[r]]
        out[e, h] = total


messages, messages_from_table = _messages_with(_given), _messages_with(_from_table)
_messages, _messages_from_table = cuda.jit(messages), cuda.jit(messages_from_table)
_pull_features, _pull_weights, _pull_harmonics = (cuda.jit(f) for f in (pull_features, pull_weights, pull_harmonics))


# ---------------------------------------------------------------------- launches


def tile_of(size, itemsize):
    """Return how many edges a tile has, and its bytes of shared memory, for matrices of so many numbers."""
    tile = max(1, min(TILE, SHARED // 2 // max(size * itemsize, 1)))  # half: two blocks of a multiprocessor at least
    return tile, tile * size * itemsize


def chunk_of(rows, met, itemsize):
    """Return how many channels `couple_y` brings at a time, a power of two, and its bytes of shared memory."""
    chunk = LANES
    while chunk > 1 and (rows * chunk + met) * itemsize > SHARED:
        chunk //= 2
    return chunk, (rows * chunk + met) * itemsize


def tasks_of(parts, channels):
    """Return blocks along the second axis of a grid for so many paths (or groups) and channels."""
    return -(-parts * -(-channels // (2 * LANES)) // WARPS)


@cache
def _planned(table, entries, values, rows, dim, harmonics, dtype):
    table, entries = (np.frombuffer(a, np.int64).reshape(-1, w) for a, w in ((table, 8), (entries, 2)))
    plan = make_plan(table, entries, np.frombuffer(values, dtype), dim, harmonics)
    return Plan(**{name: cuda.to_device(array) for name, array in vars(plan).items()})


def _plan(table, entries, values, dim, harmonics):
    """Return the plan on the device; made once for the same tables."""
    if _planned.cache_info().currsize > KEPT:
        _planned.cache_clear()
    values = np.ascontiguousarray(values)
    return _planned(table.tobytes(), entries.tobytes(), values.tobytes(), len(table), dim, harmonics, values.dtype.str)


def couple(x, y, w, sender, receiver, start, table, entries, values, out):
    """Overwrite ``out`` with the messages; raise InputError where there is no device."""
    return summed(_messages, x, y, sender, y, w, sender, start, table, entries, values, out)


def couple_from_table(x, y, place, b, w, sender, start, table, entries, values, out):
    """Overwrite ``out`` with messages whose weights come from the table ``w``; see ``tabulated_reference``."""
    return summed(_messages_from_table, x, y, place, b, w, sender, start, table, entries, values, out)


def summed(kernel, x, y, place, b, w, sender, start, table, entries, values, out):
    """Launch a kernel of messages."""
    require_device()
    _, dim, channels = x.shape
    plan = _plan(table, entries, values, dim, y.shape[1])
    tile, shared = tile_of(plan.first.shape[0] - 1, x.dtype.itemsize)
    run(
        kernel, (start.shape[0] - 1, tasks_of(len(table), channels)), (LANES, WARPS), as_rows(x, channels), y, place, b,
        as_rows(w, channels), sender, start, plan.layout, plan.first, plan.harmonic, plan.values, dim, tile,
        as_rows(out, channels), shared=shared,
    )  # fmt: skip
    return STATUS_OK


def couple_x(g, y, w, sender, receiver, order, start, table, entries, values, out):
    """Overwrite ``out`` (n, D, C); ``order`` sorts the edges by sender, ``start`` counts them."""
    require_device()
    n, dim, channels = out.shape
    plan = _plan(table, entries, values, dim, y.shape[1])
    tile, shared = tile_of(plan.first.shape[0] - 1, g.dtype.itemsize)
    run(
        _pull_features, (n, tasks_of(plan.groups.shape[0], channels)), (LANES, WARPS), as_rows(g, channels), y,
        as_rows(w, channels), receiver, order, start, plan.layout, plan.first, plan.harmonic, plan.values, plan.groups,
        plan.members, _receivers(g, table, channels), dim, tile, as_rows(out, channels), shared=shared,
    )  # fmt: skip
    return STATUS_OK


def couple_w(x, y, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, P, C)."""
    require_device()
    _, dim, channels = x.shape
    plan = _plan(table, entries, values, dim, y.shape[1])
    run(
        _pull_weights, (-(-out.shape[0] // EDGES), 1), (LANES, WARPS), as_rows(x, channels), y, as_rows(g, channels), sender,
        receiver, plan.layout, plan.first, plan.harmonic, plan.values, _receivers(g, table, channels), dim,
        as_rows(out, channels), shared=EDGES * (plan.first.shape[0] - 1) * x.dtype.itemsize,
    )  # fmt: skip
    return STATUS_OK


def couple_y(x, w, g, sender, receiver, table, entries, values, out):
    """Overwrite ``out`` (E, B)."""
    require_device()
    _, dim, channels = x.shape
    plan = _plan(table, entries, values, dim, out.shape[1])
    chunk, shared = chunk_of(dim + len(table) + plan.pulled.shape[0], plan.met.shape[0], x.dtype.itemsize)
    run(
        _pull_harmonics, (out.shape[0], 1), (LANES, WARPS), as_rows(x, channels), as_rows(w, channels), as_rows(g, channels),
        sender, receiver, plan.layout, plan.met, plan.pulled, plan.ends, plan.source, plan.factor,
        _receivers(g, table, channels), dim, chunk, out, shared=shared,
    )  # fmt: skip
    return STATUS_OK


def _receivers(g, table, channels):
    """Return the number of atoms that get messages."""
    return g.shape[0] // (channels * int((table[:, 3] + table[:, 4]).max()))
