"""The near field of fast multipoles on a CUDA device: simulated, compiled and assembled; lists hold every pair once."""

import re

import numba
import numpy as np
import pytest
from askel.nbody import Fmm
from askel.nbody.fmm import SETTINGS
from askel.particles import InputError, Particles

_SIMULATED = """
import numpy as np
from askel.nbody._kernels import direct_compact_cuda, direct_cuda, fmm_cpu, fmm_cuda, fmm_reference

np.seterr(all="ignore")
direct_cuda.THREADS = direct_compact_cuda.THREADS = fmm_cuda.THREADS = 4  # several groups and tiles of a leaf
rng = np.random.default_rng(2)
n = 60
mass, position = rng.uniform(0.1, 1.0, n), 5.0 * rng.normal(size=(n, 3)) ** 3
for softening, law, leaf_size in (
    (rng.uniform(0.0, 0.1, n), 0, 5), (np.full(n, 2.0), 1, 5), (np.zeros(n), 0, n), (np.full(n, 2.0), 2, n)
):
    out = [(np.full((n, 3), np.nan), np.full(n, np.nan)) for _ in range(3)]
    for fmm, o in zip((fmm_cuda.fmm, fmm_cpu.fmm, fmm_reference.fmm), out):
        assert fmm(mass, position, softening, law, 4, leaf_size, 1e-2, 0.1, 0.7, *o) == 0
    for cuda, cpu, reference in zip(*out):
        size = np.abs(reference).max()
        assert np.abs(cuda - cpu).max() <= 4e-14 * size, (law, leaf_size)
        assert np.abs(cuda - reference).max() <= 1e-12 * size, (law, leaf_size)
position[7, 1] = np.inf
assert fmm_cuda.fmm(mass, position, softening, 0, 4, 5, 1e-2, 0.1, 0.7, *out[0]) != 0
print("the same")
"""


def _has_device():
    from numba import cuda

    return cuda.is_available()


def test_the_simulator_gives_what_the_reference_gives(simulated):
    assert simulated(_SIMULATED) == ["the", "same"]


@pytest.mark.parametrize("threads", [1, 2])
def test_lists_and_the_far_field_are_the_walk_of_the_cpu(threads):
    """Near pairs summed by their lists, and the far field, give the walk's sums, whatever the number of threads."""
    from askel.nbody._kernels.expansion_tables import tables
    from askel.nbody._kernels.fmm_cpu import walk
    from askel.nbody._kernels.fmm_leaf_cpu import scale_of
    from askel.nbody._kernels.fmm_lists_cpu import add_groups, walk_and_list
    from askel.nbody._kernels.fmm_trees_cpu import empty_tree, grow, plant
    from askel.particles.kernels import kernel_threads

    if threads > int(numba.config.NUMBA_NUM_THREADS):
        pytest.skip("needs a second thread")
    n, order, leaf_size, group = 5000, 4, 30, 16
    rng = np.random.default_rng(1)
    position, softening = rng.normal(size=(n, 3)) ** 3, np.full(n, 1e-3)
    scale, T = scale_of(position, softening), tables(order)
    accuracy = SETTINGS[order].tolerance * 1e-3, SETTINGS[order].coherence * 1e-3
    _, tree = plant(np.full(n, 1.0 / n), position, softening, scale, False, leaf_size)
    tree = grow(tree, empty_tree(0, 0, order), np.zeros(0, np.int64), False, T, order, accuracy[0])
    expected, total = np.zeros((n, 4)), np.zeros((n, 4))
    with kernel_threads(threads):
        walk(tree, tree, np.zeros(1, np.int64), True, 0, T, order, accuracy[1], 0, leaf_size, expected)
        work, ranges = walk_and_list(tree, T, order, accuracy[1], leaf_size, group, total)
    x, m, s = np.stack([tree.x, tree.y, tree.z], 1), tree.m, tree.s
    sums = np.zeros((4, len(work), group))
    for w, (first, stop, begin, end) in enumerate(work):
        assert 0 < stop - first <= group and begin < end <= len(ranges)
        sources = np.concatenate([np.arange(*ranges[r]) for r in range(begin, end)])
        assert len(set(sources)) == len(sources)
        d = x[sources] - x[first:stop, None]
        own = sources == np.arange(first, stop)[:, None]
        inverse = np.where(own, 0.0, 1.0 / np.sqrt((d * d).sum(-1) + np.maximum(s[sources], s[first:stop, None])))
        g = m[sources] * inverse
        sums[:3, w, : stop - first] = np.einsum("ij,ijd->di", g * inverse**2, d)
        sums[3, w, : stop - first] = g.sum(1)
    assert np.abs(total[:, 3]).max() < np.abs(expected[:, 3]).max()  # both fields have a part
    add_groups(work, sums, total)
    for d in range(4):
        assert np.abs(total[:, d] - expected[:, d]).max() <= 1e-13 * np.abs(expected[:, d]).max()


@pytest.fixture(scope="module")
def machine(assembled):
    return assembled("fmm_cuda", "near_field i i2 i2 f1 f1 f1 f1 f1 f3")


@pytest.mark.parametrize("capability", ["80", "90"])
def test_launches_fit_a_device(machine, capability):
    from askel.nbody._kernels.fmm_cuda import THREADS

    needs = machine["near_field", capability]
    assert not needs.spills and 16 <= needs.registers <= 128 and 0 < needs.shared <= 4096
    assert needs.resident(THREADS) >= 512
    assert not re.search(r"\.f32\b|\.local\b", needs.ptx)


@pytest.mark.skipif(_has_device(), reason="there is a device")
def test_without_a_device_it_is_one_line():
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        Fmm(backend="cuda")


@pytest.mark.skipif(not _has_device(), reason="there is no device")
@pytest.mark.parametrize(("n", "kernel"), [(5000, "plummer"), (100_000, "plummer"), (100_000, "wendland")])
def test_a_device_gives_what_the_cpu_gives(n, kernel):
    rng = np.random.default_rng(n)
    particles = Particles(np.full(n, 1.0 / n), rng.normal(size=(n, 3)), np.zeros((n, 3)))
    out = {backend: (np.empty((n, 3)), np.empty(n)) for backend in ("cpu", "cuda")}
    for backend, arrays in out.items():
        Fmm(softening=0.01, kernel=kernel, leaf_size=48, backend=backend).field(particles, *arrays)
    assert np.abs(out["cpu"][0] - out["cuda"][0]).max() <= 1e-12 * np.abs(out["cpu"][0]).max()
