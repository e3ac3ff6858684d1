"""The CUDA kernels of post-Newtonian terms: run by the simulator, compiled and assembled; with a GPU, against the CPU."""

import re

import numpy as np
import pytest
from askel.particles import InputError, resolve

_SIMULATED = """
import numpy as np
from numba import cuda
from askel.nbody._kernels import post_newtonian_cuda, post_newtonian_reference
from askel.nbody._kernels.post_newtonian_terms import TERM_BITS

np.seterr(all="ignore")
post_newtonian_cuda.THREADS, post_newtonian_cuda.SHORTEST = 4, 3  # several blocks and segments at small b


def sample(b, seed, terms):
    rng = np.random.default_rng(seed)
    acts = (rng.random((b, b)) < 0.8) & ~np.eye(b, dtype=bool)
    acts |= acts.T
    mass, x = rng.random(b) + 0.1, rng.normal(size=(b, 3))
    mass[b // 2] = 0.0
    v, spin = 0.3 * rng.normal(size=(b, 3)), rng.normal(size=(b, 3))
    spin[b // 2] = 0.0
    return (terms, 1.3, 2.0, mass, acts, x[:, None] - x[None], v, spin)


def both(given):
    out = [(np.full((len(given[3]), 3), np.nan), np.full((len(given[3]), 3), np.nan)) for _ in range(2)]
    kernels = post_newtonian_cuda.accelerations, post_newtonian_reference.accelerations
    return [k(*given, *o) for k, o in zip(kernels, out)], out


for seed, (b, terms) in enumerate([(7, 511), (2, 511), (1, 511), (5, 2), *((3, bit) for bit in TERM_BITS.values())]):
    given = sample(b, seed, terms)
    kept = [np.array(a) for a in given]
    status, out = both(given)
    assert status == [0, 0]
    for mine, reference in zip(*out):
        assert np.abs(mine - reference).max() <= 2e-14 * max(np.abs(reference).max(), 1e-300), (b, terms)
    assert b == 1 or np.abs(out[1]).max() > 1e-5
    assert all(np.array_equal(a, k) for a, k in zip(given, kept))
assert post_newtonian_cuda.launch(7) == (2, 2, 4)

given = sample(7, 3, 511)
there = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in given]
results = cuda.device_array((7, 3)), cuda.device_array((7, 3))
assert post_newtonian_cuda.accelerations(*there, *results) == 0
assert np.array_equal(results[0].copy_to_host(), both(given)[1][0][0])

given[4][:] = ~np.eye(7, dtype=bool)
given[5][2, 5] = given[5][5, 2] = 0.0
assert both(given)[0][0] == post_newtonian_reference.STATUS_COINCIDENT == 1
given = sample(7, 3, 511)
given[6][1] = np.inf
assert both(given)[0][0] == 2
print("the same")
"""


def _has_device():
    from numba import cuda

    return cuda.is_available()


def test_the_simulator_gives_what_the_reference_gives(simulated):
    assert simulated(_SIMULATED) == ["the", "same"]


@pytest.fixture(scope="module")
def machine(assembled):
    return assembled("post_newtonian_cuda", "fields f f1 b2 f3 f2", "pairs i f f f1 b2 f3 f2 f2 f2 i f3 i1")


@pytest.mark.parametrize("capability", ["80", "90"])
def test_all_terms_fit_into_registers(machine, capability):
    from askel.nbody._kernels.post_newtonian_cuda import THREADS

    needs = machine["pairs", capability]
    assert not needs.spills and 64 <= needs.registers <= 168 and needs.shared == 0
    assert needs.resident(THREADS) >= 384
    assert not re.search(r"\.f32\b|\.local\b", needs.ptx) and needs.ptx.count("fma.rn.f64") > 200
    assert not machine["fields", capability].spills


@pytest.mark.parametrize("b", [1, 2, 63, 64, 1000, 5000])
def test_segments_hold_every_partner_once(b):
    from askel.nbody._kernels.post_newtonian_cuda import BLOCKS, THREADS, launch

    blocks, segments, length = launch(b)
    assert (blocks - 1) * THREADS < b <= blocks * THREADS
    assert (segments - 1) * length < b <= segments * length and blocks * segments <= max(BLOCKS, blocks)


@pytest.mark.skipif(_has_device(), reason="there is a device")
def test_without_a_device_it_is_one_line():
    given = np.ones(2), np.zeros((2, 2), bool), np.zeros((2, 2, 3)), np.zeros((2, 3)), np.zeros((2, 3))
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        resolve("post_newtonian", "cuda")(511, 1.0, 1.0, *given, np.empty((2, 3)), np.empty((2, 3)))


@pytest.mark.skipif(not _has_device(), reason="there is no device")
@pytest.mark.parametrize("b", [2, 5, 400])
def test_a_device_gives_what_the_cpu_gives(b):
    rng = np.random.default_rng(b)
    acts, x = ~np.eye(b, dtype=bool), rng.normal(size=(b, 3))
    vectors = x[:, None] - x[None], 0.1 * rng.normal(size=(b, 3)), rng.normal(size=(b, 3))
    out = {backend: (np.empty((b, 3)), np.empty((b, 3))) for backend in ("cpu", "cuda")}
    for backend, arrays in out.items():
        assert resolve("post_newtonian", backend)(511, 1.0, 3.0, np.ones(b), acts, *vectors, *arrays) == 0
    for cpu, cuda in zip(out["cpu"], out["cuda"], strict=True):
        assert np.abs(cpu - cuda).max() <= 1e-11 * np.abs(cpu).max()
