"""The CUDA kernel of ensembles without a GPU: simulated, compiled and assembled; with one, against the CPU."""

import numpy as np
import pytest
from askel.nbody import evolve_batch
from askel.particles import InputError

_START = """
import numpy as np
from askel.nbody import evolve_batch
from askel.nbody.scattering import Approach, Body, Orbit, Part, Scattering
from askel.nbody.scattering_distributions import Distribution, fixed

star = Body(fixed(1.0))
pair = Part((star, star), (Orbit(fixed(1.0), fixed(0.3)),))
s = Scattering((pair, Part((star,))), Approach(fixed(0.8), fixed(4.0), separation=12.0), seed=3).sample(np.arange(3))


def both(t_end, **options):
    return [evolve_batch(s.mass, s.position, s.velocity, t_end, tolerance=1e-9, backend=b, **options) for b in ("cpu", "cuda")]
"""

_RELATIVITY = (
    _START
    + """
options = {"post_newtonian": ["1", "1cross", "2", "2.5"], "speed_of_light": 30.0, "merger_distance": 3.0}
for bodies in (2, 3):
    m, x, v = s.mass[:, :bodies], s.position[:, :bodies], s.velocity[:, :bodies]
    cpu, cuda = (evolve_batch(m, x, v, 2.0, tolerance=1e-8, backend=b, **options) for b in ("cpu", "cuda"))
    assert np.abs(cpu.position - cuda.position).max() < 1e-9, np.abs(cpu.position - cuda.position).max()
    assert np.array_equal(cpu.steps, cuda.steps) and np.array_equal(cpu.reason, cuda.reason)
    assert np.allclose(cpu.closest, cuda.closest, rtol=1e-5) and np.array_equal(cpu.closest_pair, cuda.closest_pair)
    assert 0.0 < np.abs(cuda.energy_error).max() < 1e-6
hit = [evolve_batch(m, x, v, 2.0, tolerance=1e-8, backend=b, **options | {"merger_distance": 190.0}) for b in ("cpu", "cuda")]
assert hit[0].steps.max() > 1 and "merger" in hit[0].outcome and hit[0].outcome == hit[1].outcome
assert np.allclose(hit[0].time, hit[1].time, rtol=1e-8)
print("the same")
"""
)

_SIMULATED = (
    _START
    + """
cpu, cuda = both(8.0)
assert np.abs(cpu.position - cuda.position).max() < 1e-7, np.abs(cpu.position - cuda.position).max()
assert np.array_equal(cpu.steps, cuda.steps) and np.array_equal(cpu.reason, cuda.reason) and (cuda.time == 8.0).all()
assert np.allclose(cpu.closest, cuda.closest, rtol=1e-6) and np.array_equal(cpu.closest_pair, cuda.closest_pair)
assert 1e-13 < np.abs(cuda.energy_error).max() < 1e-6
alone = evolve_batch(s.mass[1:2], s.position[1:2], s.velocity[1:2], 8.0, tolerance=1e-9, backend="cuda")
assert np.array_equal(alone.position, cuda.position[1:2])
print("the same")
"""
)


@pytest.mark.slow
def test_the_simulator_gives_what_the_cpu_gives(simulated):
    assert simulated(_SIMULATED) == ["the", "same"]


@pytest.mark.slow
def test_the_simulator_gives_what_the_cpu_gives_with_terms(simulated):
    assert simulated(_RELATIVITY) == ["the", "same"]


@pytest.fixture(scope="module")
def machine(assembled):
    return assembled("ensemble_cuda", "slice_of_steps i i1 f2 f2 i2 f2 f2 f2 f2 i2 i1 f2 f1 f i f2 f2 i1 i b")


_SLICE = "i i1 f i f2 f2 i2 f2 f2 f2 f2 i2 i1 i2 f2 f1 f i f2 f2 i1 i"


@pytest.mark.parametrize("bodies", ["two", pytest.param("three", marks=pytest.mark.slow)])
def test_terms_fit_a_device(assembled, bodies):
    from askel.nbody._kernels.ensemble_cuda import THREADS

    for needs in assembled("ensemble_relativity_cuda", f"slice_of_{bodies} {_SLICE}").values():
        assert 64 <= needs.registers <= 255 and needs.shared == 0
        assert needs.resident(THREADS) >= 256 and needs.ptx.count(".f64") > 1000


def _has_device():
    from numba import cuda

    return cuda.is_available()


@pytest.mark.skipif(_has_device(), reason="there is a device")
def test_without_a_device_it_is_one_line():
    mass, x, v = np.ones((1, 3)), np.array([[[0.5, 0, 0], [-0.5, 0, 0], [9.0, 0, 0]]]), np.zeros((1, 3, 3))
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        evolve_batch(mass, x, v, 1.0, backend="cuda")


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (2, {}),
        (4, {}),
        (4, {"post_newtonian": ["1"], "speed_of_light": 9.0}),
        (3, {"post_newtonian": ["1", "SO"], "speed_of_light": 9.0}),
        (3, {"merger_distance": 5, "speed_of_light": 9.0}),
    ],
)
def test_what_a_device_does_not_have_is_one_line(n, options):
    x = np.random.default_rng(n).normal(size=(1, n, 3))
    with pytest.raises(InputError, match=f"three Newtonian points .* these {n} bodies need backend = 'cpu'"):
        evolve_batch(np.ones(n), x, 0.0 * x, 1.0, backend="cuda", **options)


@pytest.mark.skipif(not _has_device(), reason="there is no device")
def test_a_device_gives_what_the_cpu_gives():
    space: dict = {}
    exec(_START, space)
    cpu, cuda = space["both"](20.0)
    assert np.abs(cpu.position - cuda.position).max() < 1e-6 and np.array_equal(cpu.reason, cuda.reason)
