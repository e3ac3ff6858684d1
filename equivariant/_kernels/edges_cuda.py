"""Edges on a CUDA device: of the candidates that the host has found, those that are near now, measured; one thread each.

Candidates reach farther than the cutoff, so that they serve while nothing has moved far. Positions and lengths are float64.

Legend
    position   (m, 3);  near (n + 1,) first candidate of each receiver
    source, shift   (K,) int32 sender of a candidate, (K, 3) its lattice vector
    start      (n + 1,) first edge of each receiver; arrays of edges have room for all candidates
"""

import math

from numba import cuda

from ...particles._kernels.device_cuda import run

THREADS = 128


@cuda.jit(device=True)
def _vector(position, i, j, shift, k):
    """Return the components of the edge and its squared length."""
    x = position[j, 0] - position[i, 0] + shift[k, 0]
    y = position[j, 1] - position[i, 1] + shift[k, 1]
    z = position[j, 2] - position[i, 2] + shift[k, 2]
    return x, y, z, x * x + y * y + z * z


def count_near(position, near, source, shift, cutoff2, shortest, counts):
    """Overwrite counts and shortest (n,): how many candidates are near, and the squared length of the nearest."""
    i = cuda.grid(1)
    if i >= counts.shape[0]:
        return
    count, least = 0, math.inf
    for k in range(near[i], near[i + 1]):
        _, _, _, r2 = _vector(position, i, source[k], shift, k)
        least = min(least, r2)
        if r2 < cutoff2:
            count += 1
    counts[i], shortest[i] = count, least


def take_near(position, near, source, shift, cutoff2, start, receiver, taken):
    """Overwrite receiver and taken: the receiver and the candidate of every edge."""
    i = cuda.grid(1)
    if i >= start.shape[0] - 1:
        return
    e = start[i]
    for k in range(near[i], near[i + 1]):
        _, _, _, r2 = _vector(position, i, source[k], shift, k)
        if r2 < cutoff2:
            receiver[e], taken[e] = i, k
            e += 1


def measure(position, source, shift, start, receiver, taken, sender, length, y):
    """Overwrite sender, length and the harmonics y (E, B) of the edges; see ``harmonics.solid_harmonics``."""
    e = cuda.grid(1)
    if e >= start[start.shape[0] - 1]:
        return
    k = taken[e]
    sender[e] = source[k]
    x, v, z, r2 = _vector(position, receiver[e], source[k], shift, k)
    r = math.sqrt(r2)
    length[e] = r
    x, v, z = x / r, v / r, z / r
    y[e, 0] = 1.0
    y[e, 1], y[e, 2], y[e, 3] = math.sqrt(3.0) * x, math.sqrt(3.0) * v, math.sqrt(3.0) * z
    if y.shape[1] < 9:
        return
    x2, v2, z2 = x * x, v * v, z * z
    xz = x2 + z2
    a, b = math.sqrt(15.0) * x * z, 0.5 * math.sqrt(15.0) * (z2 - x2)
    y[e, 4], y[e, 5], y[e, 6] = a, math.sqrt(15.0) * x * v, math.sqrt(5.0) * (v2 - 0.5 * xz)
    y[e, 7], y[e, 8] = math.sqrt(15.0) * v * z, b
    if y.shape[1] < 16:
        return
    six, axial = math.sqrt(42.0) / 6.0, math.sqrt(168.0) / 8.0
    y[e, 9], y[e, 10] = six * (a * z + b * x), math.sqrt(7.0) * a * v
    y[e, 11], y[e, 12] = axial * (4.0 * v2 - xz) * x, 0.5 * math.sqrt(7.0) * v * (2.0 * v2 - 3.0 * xz)
    y[e, 13], y[e, 14] = axial * z * (4.0 * v2 - xz), math.sqrt(7.0) * b * v
    y[e, 15] = six * (b * z - a * x)


def find_places(start, length, shortest, spacing, last, place, b):
    """Overwrite place and b (E, 4): the first row of a radial table for each edge, and the values of the spline's basis."""
    e = cuda.grid(1)
    if e >= start[start.shape[0] - 1]:
        return
    scaled = (length[e] - shortest) / spacing
    row = min(max(int(scaled), 0), last)
    u = scaled - row
    v = 1.0 - u
    place[e] = row
    b[e, 0], b[e, 3] = v * v * v / 6.0, u * u * u / 6.0
    b[e, 1] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
    b[e, 2] = (3.0 * v * v * v - 6.0 * v * v + 4.0) / 6.0


_count_near, _take_near, _measure, _find_places = (cuda.jit(f) for f in (count_near, take_near, measure, find_places))


def near_counts(position, near, source, shift, cutoff, shortest, counts):
    """Launch ``count_near``."""
    _each(_count_near, counts.shape[0], position, near, source, shift, cutoff * cutoff, shortest, counts)


def near_edges(position, near, source, shift, cutoff, start, receiver, taken, sender, length, y):
    """Launch ``take_near`` and ``measure``."""
    _each(_take_near, start.shape[0] - 1, position, near, source, shift, cutoff * cutoff, start, receiver, taken)
    _each(_measure, length.shape[0], position, source, shift, start, receiver, taken, sender, length, y)


def table_places(start, length, shortest, spacing, rows, place, b):
    """Launch ``find_places`` for a table of so many rows."""
    _each(_find_places, length.shape[0], start, length, shortest, spacing, rows - 4, place, b)


def _each(kernel, count, *arguments):
    run(kernel, (-(-count // THREADS), 1), (THREADS, 1), *arguments)
