"""Rows of a chain on a CUDA device: run by the simulator against the readable twin, compiled and assembled."""

import re

import numpy as np
import pytest
from askel.nbody import RegularisedChain
from askel.particles import KINDS, InputError, Particles

_START = """
import numpy as np
from askel.nbody import RegularisedChain
from askel.nbody._kernels import chain_row_cuda, chain_row_cpu, chain_row_reference, direct_cuda
from askel.particles import KINDS, Particles

np.seterr(all="ignore")
direct_cuda.THREADS = chain_row_cuda.THREADS = 4  # several blocks, tiles and segments at small n
direct_cuda.SHORTEST, chain_row_cuda.WIDTH = 1, 8


def bodies(n, seed=1):
    rng = np.random.default_rng(seed)
    mass, x, v = rng.random(n) + 0.5, rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3))
    mass[0] = 4.0
    x[5 % n] = x[3 % n] + [0.0, 1e-9, 0.0] if n > 5 else x[5 % n]  # a pair that the bulk sum cannot resolve
    return mass, x, v
"""

_ROW = (
    _START
    + """
for n, m in ((3, 4), (11, 2), (22, 1)):
    mass, x, v = bodies(n)
    given = (0.3, m, 1.3, 1.0, 0, mass, x, v, np.zeros((n, 3)))
    out = {}
    kernels = {"cuda": chain_row_cuda.cartesian_row, "cpu": chain_row_cpu.row, "reference": chain_row_reference.row}
    for name, kernel in kernels.items():
        out[name] = [np.full((n, 3), np.nan) for _ in range(3)] + [np.full(1, np.nan)]
        assert kernel(*given, *out[name]) == 0
    for mine, cpu, reference in zip(out["cuda"], out["cpu"], out["reference"]):
        size = max(np.abs(reference).max(), 1e-300)
        assert np.abs(mine - reference).max() <= max(4e-15 * size, 2 * np.abs(cpu - reference).max()), (n, mine - reference)
assert direct_cuda.launch(22, 2)[1] > 1
print("the same")
"""
)

_CHAIN = (
    _START
    + """
from askel.nbody import regularised_chain
regularised_chain.FEWEST_ON_DEVICE, chain_row_cuda.WIDTH, n = 2, 2, 6
mass, x, v = bodies(n)
x[5] += 1.0
kind = np.where(np.arange(n) < 2, KINDS["black-hole"], KINDS["star"]).astype(np.int8)
ends = []
for backend in ("cpu", "cuda"):
    particles = Particles(mass, x.copy(), v.copy(), kind=kind)
    chain = RegularisedChain(tolerance=1e-3, backend=backend, star_star="softened", softening=0.2)
    step = chain.advance(particles, chain.start(particles), 1e-3)
    ends.append((particles, step))
(cpu, one), (cuda, two) = ends
assert one.statistics == two.statistics and two.statistics["evaluations"] > 10, (one, two)
assert np.abs(cpu.position - cuda.position).max() < 1e-14 and np.abs(cpu.velocity - cuda.velocity).max() < 1e-12
print(one.outcome.name, two.outcome.name)
"""
)


def test_the_simulator_gives_rows_of_the_reference(simulated):
    assert simulated(_ROW) == ["the", "same"]


@pytest.mark.slow
def test_the_simulator_gives_a_chain_of_the_cpu(simulated):
    assert simulated(_CHAIN) == ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("collisions", [False, True])
def test_control_by_python_is_control_by_the_kernel(collisions):
    """Steps, rejections, landings and events, with rows of the CPU in place of the device's."""
    from askel.nbody._kernels import chain_cpu, chain_events, chain_extrapolation
    from askel.nbody._kernels.device_cuda import calling

    extrapolate = calling(chain_extrapolation.extrapolate)
    locate = calling(chain_events.locate, extrapolate=extrapolate)
    by_python = calling(chain_cpu.advance, extrapolate=extrapolate, locate=locate)
    n, rng = 9, np.random.default_rng(1)
    mass, x, v = rng.random(n) + 0.5, rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3))
    if collisions:
        x[4], v[4] = x[2] + [0.02, 0.0, 0.0], v[2] - [30.0, 0.1, 0.0]
    kind, ends = np.full(n, KINDS["star"], np.int8), []
    for advance in (None, by_python):
        particles = Particles(mass, x.copy(), v.copy(), kind=kind, radius=np.full(n, 2e-3))
        chain = RegularisedChain(tolerance=1e-10, collisions=collisions)
        chain._advance = advance or chain._advance
        ends.append((particles, chain.advance(particles, chain.start(particles), 0.1)))
    (kernel, one), (python, two) = ends
    assert one.outcome.name == two.outcome.name == ("EVENT" if collisions else "COMPLETED")
    assert one.statistics == two.statistics and one.elapsed == two.elapsed > 0.0
    assert one.statistics["evaluations"] > 100
    assert np.array_equal(kernel.position, python.position) and np.array_equal(kernel.velocity, python.velocity)


@pytest.fixture(scope="module")
def machine(assembled):
    return assembled(
        "chain_row_cuda",
        "pull_bulk f1 f1 b1 f f i f3",
        "settle b f2 f1 f1 f3 i1 i1 i1 i1 i1 i1 f1 b1 f1 f1 f1 f1 f1",
        "place f2 i2 f2 f1",
        "move i f f f f f2 f1 i1 i2 f1 f1 f1 f1 f2 f1 i1",
    )


@pytest.mark.parametrize("capability", ["80", "90"])
@pytest.mark.parametrize("name", ["pull_bulk", "settle", "place", "move"])
def test_launches_fit_a_device(machine, name, capability):
    from askel.nbody._kernels.chain_row_cuda import THREADS, WIDTH

    needs, threads = machine[name, capability], WIDTH if name in ("place", "move") else THREADS
    assert not needs.spills and 16 <= needs.registers <= 128 and needs.shared <= 48 * 1024
    assert needs.resident(threads) >= 512
    assert not re.search(r"\.f32\b|\.local\b", needs.ptx)


@pytest.mark.parametrize("capability", ["80", "90"])
def test_products_stay_out_of_compensated_sums(machine, capability):
    """A drift and a kick round their products first; fused with the sum, its error would be that of another number."""
    text = machine["move", capability].ptx
    rounded = set(re.findall(r"mul\.rn\.f64\s+(%fd\d+)", text))
    assert len(rounded) >= 2
    taken = [
        set(re.findall(r"%fd\d+", line)[1:]) & rounded for line in text.splitlines() if "add" in line and "f64" in line
    ]
    assert sum(bool(t) for t in taken) >= 2
    assert not any(set(re.findall(r"%fd\d+", line)[1:]) & rounded for line in text.splitlines() if "fma" in line)


def _has_device():
    from numba import cuda

    return cuda.is_available()


@pytest.mark.skipif(_has_device(), reason="there is a device")
def test_without_a_device_it_is_one_line():
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        RegularisedChain(backend="cuda")


@pytest.mark.skipif(not _has_device(), reason="there is no device")
def test_a_device_gives_a_chain_of_the_cpu():
    n, rng = 700, np.random.default_rng(2)
    x, v = rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3))
    x[5] = x[3] + 1e-8
    ends = []
    for backend in ("cpu", "cuda"):
        particles = Particles(np.full(n, 1.0 / n), x.copy(), v.copy(), kind=np.full(n, KINDS["star"], np.int8))
        chain = RegularisedChain(tolerance=1e-10, backend=backend)
        chain.advance(particles, chain.start(particles), 1e-9)
        ends.append(particles)
    assert np.abs(ends[0].position - ends[1].position).max() < 1e-12
    with pytest.raises(InputError, match="without post-Newtonian terms"):
        RegularisedChain(backend="cuda", transform="ttl")
