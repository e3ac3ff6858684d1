"""The CUDA kernels of direct gravity: run by the simulator, compiled to PTX and machine code; with a GPU, at real size."""

import re

import numpy as np
import pytest
from askel.integrators import Evaluation
from askel.nbody import DirectGravity
from askel.particles import KINDS, InputError, Particles, resolve

KERNELS = {
    "direct_cuda": ("pull f1 f2 f1 b1 f i f3", "pull_jerk f1 f2 f2 f1 b1 f i f3", "gather f3 i f f2 i1"),
    "direct_compact_cuda": ("pull_compact f1 f2 f1 b1 f i i f3",),
    "direct_mixed_cuda": ("pull_mixed f1 f2 f1 b1 f f f i f3",),
}

_SIMULATED = """
import sys
import numpy as np
from numba import cuda
from askel.nbody import DirectGravity
from askel.nbody._kernels import direct_cuda, direct_reference
from askel.integrators import Evaluation
from askel.particles import KINDS, Particles

np.seterr(all="ignore")
direct_cuda.THREADS, direct_cuda.SHORTEST = 4, 1  # several blocks, tiles and segments at small n


def sample(n, weight, softened):
    rng = np.random.default_rng(n)
    mass, softening, special = rng.uniform(0.1, 1.0, n), rng.uniform(0.0, 0.5, n) * (rng.random(n) < 0.7), rng.random(n) < 0.3
    mass[n // 2] = 0.0
    return (mass, rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), softening * softened, special, weight, 0.7)


def outputs(n):
    return np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.full(n, np.nan)


def pairs(given):
    n = len(given[0])
    mine, expected = outputs(n), outputs(n)
    assert direct_cuda.acceleration_jerk(*given, *mine) == direct_reference.acceleration_jerk(*given, *expected) == 0
    yield from zip(mine, expected)
    mine = outputs(n)
    assert direct_cuda.acceleration(*given[:2], *given[3:], mine[0], mine[2]) == 0
    yield from zip((mine[0], mine[2]), (expected[0], expected[2]))


for n, weight, softened in ((1, 1.0, 1.0), (2, 0.0, 1.0), (8, 1.0, 0.0), (19, 1.0, 1.0), (19, 0.0, 1.0)):
    given = sample(n, weight, softened)
    kept = [np.array(a) for a in given]
    for mine, reference in pairs(given):
        assert np.isfinite(reference).all() and (n < 3 or np.abs(reference).max() > 1e-2)
        assert np.abs(mine - reference).max() <= 2e-14 * max(1.0, np.abs(reference).max()), (n, weight, softened)
    assert all(np.array_equal(a, b) for a, b in zip(given, kept))
assert direct_cuda.launch(19, 2)[:2] == (3, 5)

given = sample(19, 1.0, 0.0)
given[1][3] = given[1][11]
out = outputs(19)
assert direct_cuda.acceleration(*given[:2], *given[3:], out[0], out[2]) != 0
assert (~np.isfinite(out[2])).nonzero()[0].tolist() == [3, 11]
given = sample(19, 1.0, 1.0)
there = [cuda.to_device(a) for a in (given[0], given[1], given[3], given[4])]
results, host = (cuda.device_array((19, 3)), cuda.device_array(19)), outputs(19)
assert direct_cuda.acceleration(*there, *given[5:], *results) == 0
assert direct_cuda.acceleration(*given[:2], *given[3:], host[0], host[2]) == 0
assert np.array_equal(results[0].copy_to_host(), host[0]) and np.array_equal(results[1].copy_to_host(), host[2])
assert direct_cuda.acceleration(np.empty(0), np.empty((0, 3)), np.empty(0), np.empty(0, bool), 1.0, 1.0, *outputs(0)[1:]) == 0

rng = np.random.default_rng(3)
for star_star in ("normal", "softened", "none"):
    kind = np.full(11, KINDS["star"], np.int8)
    kind[4] = KINDS["black-hole"]
    particles = Particles(rng.random(11), rng.normal(size=(11, 3)), rng.normal(size=(11, 3)), kind=kind)
    out = [Evaluation(11, ("acceleration", "jerk", "potential_energy", "virial")) for _ in range(2)]
    for backend, o in zip(("cuda", "reference"), out):
        gravity = DirectGravity(softening=0.0 if star_star == "none" else 0.4, star_star=star_star, backend=backend)
        gravity.evaluate(particles, o)
    assert np.allclose(out[0].acceleration, out[1].acceleration, rtol=1e-12, atol=1e-13)
    assert np.allclose(out[0].jerk, out[1].jerk, rtol=1e-12, atol=1e-12)
    assert abs(out[0].potential_energy / out[1].potential_energy - 1.0) < 1e-13
print("the same")
"""
_COMPACT = """
import numpy as np
from askel.integrators import Evaluation
from askel.nbody import DirectGravity
from askel.nbody._kernels import direct_compact_cuda, direct_compact_reference, direct_cuda
from askel.particles import KINDS, Particles

np.seterr(all="ignore")
direct_cuda.THREADS = direct_compact_cuda.THREADS = 4
direct_cuda.SHORTEST = 1
rng = np.random.default_rng(5)
for law in (1, 2):
    for n, weight in ((1, 1.0), (19, 1.0), (18, 0.0)):
        special = rng.random(n) < 0.3
        position = rng.normal(size=(n, 3))
        if n > 1:
            special[[2, 3]] = False
            position[2] = position[3]  # in one place, softened
        given = (rng.uniform(0.1, 1.0, n), position, rng.uniform(0.3, 3.0, n), special, weight, law, 0.7)
        out = [(np.full((n, 3), np.nan), np.full(n, np.nan)) for _ in range(2)]
        assert direct_compact_cuda.acceleration_compact(*given, *out[0]) == 0
        assert direct_compact_reference.acceleration_compact(*given, *out[1]) == 0
        for mine, reference in zip(*out):
            assert np.abs(mine - reference).max() <= 2e-14 * max(1.0, np.abs(reference).max()), (law, n)
kind = np.where(np.arange(11) == 4, KINDS["black-hole"], KINDS["star"]).astype(np.int8)
particles = Particles(rng.random(11), rng.normal(size=(11, 3)), np.zeros((11, 3)), kind=kind)
out = [Evaluation(11, ("acceleration", "potential_energy")) for _ in range(2)]
for backend, o in zip(("cuda", "reference"), out):
    DirectGravity(softening=0.4, star_star="softened", kernel="wendland", backend=backend).evaluate(particles, o)
assert np.allclose(out[0].acceleration, out[1].acceleration, rtol=1e-12, atol=1e-13)
print("the same")
"""

_MIXED = """
import numpy as np
from askel.nbody._kernels import direct_cuda, direct_mixed_cuda, direct_reference

np.seterr(all="ignore")
direct_cuda.THREADS = direct_mixed_cuda.THREADS = 4
direct_cuda.SHORTEST = 1
n, rng = 23, np.random.default_rng(7)
mass, position, special = rng.uniform(0.1, 1.0, n), 1e5 * rng.normal(size=(n, 3)), rng.random(n) < 0.3


def error(position, weight=1.0):
    given = (mass, position, np.full(n, 2e3), special, weight, 0.7)
    out = [(np.full((n, 3), np.nan), np.full(n, np.nan)) for _ in range(2)]
    assert direct_mixed_cuda.acceleration_mixed(*given, *out[0]) == direct_reference.acceleration(*given, *out[1]) == 0
    far = max(np.abs(out[0][1] / out[1][1] - 1.0).max(), 1e-9)
    size = np.linalg.norm(out[1][0], axis=1)
    return max(far, (np.linalg.norm(out[0][0] - out[1][0], axis=1) / size).max()), out[0][0], size


mixture = special.copy()
special[:] = False
plain = error(position)[0]
special[:] = mixture
plain = max(plain, error(position)[0], error(position, 0.0)[0])
special[[3, 9]] = True
position[3] = position[9] + 0.02 * rng.normal(size=3)  # 1e-7 of the size: float32 would see one place
close, acceleration, size = error(position)
print(plain, close, np.linalg.norm(mass @ acceleration) / (mass @ size))
position[3] = position[9]
out = np.empty((n, 3)), np.empty(n)
assert direct_mixed_cuda.acceleration_mixed(mass, position, np.zeros(n), special, 1.0, 0.7, *out) != 0
assert (~np.isfinite(out[1])).nonzero()[0].tolist() == [3, 9]
"""

_RESIDENT = """
import numpy as np
from askel.nbody._kernels.device_cuda import Resident
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

copied = []
copy = FakeCUDAArray.copy_to_device
FakeCUDAArray.copy_to_device = lambda self, array, **options: copied.append(array.size) or copy(self, array, **options)
kept, mass, position = Resident(), np.arange(5.0), np.arange(15.0).reshape(5, 3)
for _ in range(3):
    m, x = kept.kept("mass", mass), kept.moved("position", position)
    position += 1.0
assert copied == [5, 15, 15, 15] and np.array_equal(x.copy_to_host(), position - 1.0)
mass[3] = 7.0
assert np.array_equal(kept.kept("mass", mass).copy_to_host(), mass) and copied[-1] == 5
part = kept.kept("mass", mass[:2])
assert part.shape == (2,) and np.array_equal(part.copy_to_host(), mass[:2])
before = kept.room("part", (4, 3))
before.copy_to_device(np.ones((4, 3)))
assert (kept.room("part", (2, 3)).copy_to_host() == 1.0).all() and kept.room("part", (5, 3)).shape == (5, 3)
assert kept.moved("position", before) is before
print("kept")
"""


def _has_device():
    from numba import cuda

    return cuda.is_available()


without_device = pytest.mark.skipif(_has_device(), reason="there is a device")
with_device = pytest.mark.skipif(not _has_device(), reason="there is no device")


def test_the_simulator_gives_what_the_reference_gives(simulated):
    assert simulated(_SIMULATED) == ["the", "same"]


def test_the_simulator_gives_compact_laws(simulated):
    assert simulated(_COMPACT) == ["the", "same"]


def test_the_simulator_gives_mixed_precision(simulated):
    """Errors as the docstring says them, and no smaller: separations of neighbours are right, not their float32 values."""
    plain, close, momentum = (float(word) for word in simulated(_MIXED))
    assert 1e-8 < plain < 6e-7 and 1e-8 < close < 6e-7 and momentum < 1e-7


def test_what_stays_on_a_device_is_copied_where_it_changed(simulated):
    assert simulated(_RESIDENT) == ["kept"]


@pytest.fixture(scope="module")
def machine(assembled):
    """Return (name, capability) -> what an assembled kernel needs."""
    return {key: built for module, kernels in KERNELS.items() for key, built in assembled(module, *kernels).items()}


@pytest.mark.parametrize("capability", ["80", "90"])
@pytest.mark.parametrize(("name", "fused"), [("pull", 6), ("pull_jerk", 11)])
def test_a_pair_is_float64_and_mostly_fused(machine, name, fused, capability):
    text = machine[name, capability].ptx
    pairs = text.count("rsqrt.approx.f64")  # the loop is unrolled
    assert pairs >= 1 and text.count("fma.rn.f64") == fused * pairs
    assert not re.search(r"\b(div|sqrt)\.rn\.f64|\.f32\b|\.local\b|\bcall\b", text)


@pytest.mark.parametrize("capability", ["80", "90"])
def test_a_mixed_pair_is_float32(machine, capability):
    text = machine["pull_mixed", capability].ptx
    pairs = len(re.findall(r"rsqrt\.approx(?:\.ftz)?\.f32", text))
    assert pairs >= 4 and text.count("fma.rn.f32") == 6 * pairs
    wide = re.findall(r"\b(?:add|sub|mul|fma)\S*\.f64", text)
    assert 8 <= len(wide) <= 40 and not re.search(r"\.local\b|\bcall\b|rsqrt\.approx\.f64", text)


@pytest.mark.parametrize("capability", ["80", "90"])
@pytest.mark.parametrize("name", [kernel.split()[0] for kernels in KERNELS.values() for kernel in kernels])
def test_launches_fit_a_device(machine, name, capability):
    from askel.nbody._kernels.direct_cuda import THREADS

    needs = machine[name, capability]
    assert not needs.spills and 16 <= needs.registers <= 128
    assert (needs.shared > 0) == (name != "gather") and needs.shared <= 48 * 1024  # static shared memory of a block
    assert needs.resident(THREADS) >= 512  # sixteen warps hide the latency of float64


@pytest.mark.parametrize("n", [1, 127, 128, 1000, 16384, 262_144, 10_000_000])
@pytest.mark.parametrize("targets", [1, 2])
def test_segments_hold_every_source_once(n, targets):
    from askel.nbody._kernels.direct_cuda import BLOCKS, THREADS, launch

    blocks, segments, length = launch(n, targets)
    assert (blocks - 1) * targets * THREADS < n <= blocks * targets * THREADS
    assert (segments - 1) * length < n <= segments * length and length % THREADS == 0
    assert segments <= 65535 and blocks < 2**31
    assert blocks * segments <= max(BLOCKS, blocks)


@without_device
def test_without_a_device_it_is_one_line():
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        DirectGravity(backend="cuda")
    with pytest.raises(InputError, match="found no CUDA device"):
        DirectGravity(backend="cuda", kernel="spline", softening=0.1)


def test_mixed_precision_is_a_choice_of_the_device():
    with pytest.raises(InputError, match="precision is 'mixed'; expected 'double', or 'mixed' with backend = 'cuda'"):
        DirectGravity(precision="mixed")
    with pytest.raises(InputError, match="precision is 'half'"):
        DirectGravity(precision="half", backend="cuda")


@with_device
@pytest.mark.parametrize("n", [1, 1000, 20_000])
def test_a_device_gives_what_the_cpu_gives(n):
    rng = np.random.default_rng(n)
    kind = np.full(n, KINDS["star"], np.int8)
    kind[: n // 100] = KINDS["black-hole"]
    particles = Particles(rng.random(n) / n, rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), kind=kind)
    out = {}
    for backend in ("cpu", "cuda", "again"):
        out[backend] = Evaluation(n, ("acceleration", "jerk", "potential_energy"))
        gravity = DirectGravity(softening=0.05, star_star="softened", backend=backend.replace("again", "cuda"))
        gravity.evaluate(particles, out[backend])
    for name in ("acceleration", "jerk"):
        cpu, cuda, again = (getattr(out[b], name) for b in ("cpu", "cuda", "again"))
        assert np.abs(cuda - cpu).max() <= 1e-12 * np.abs(cpu).max()
        assert np.array_equal(cuda, again)
    assert out["cuda"].potential_energy == pytest.approx(out["cpu"].potential_energy, rel=1e-12)


@with_device
def test_arrays_of_the_device_stay_there():
    from numba import cuda

    n, rng = 1000, np.random.default_rng(1)
    given = np.full(n, 1.0 / n), rng.normal(size=(n, 3)), np.full(n, 0.1), np.zeros(n, bool)
    there = cuda.device_array((n, 3)), cuda.device_array(n)
    here = np.empty((n, 3)), np.empty(n)
    kernel = resolve("acceleration", "cuda")
    assert kernel(*(cuda.to_device(a) for a in given), 1.0, 1.0, *there) == kernel(*given, 1.0, 1.0, *here) == 0
    assert np.array_equal(there[0].copy_to_host(), here[0]) and np.array_equal(there[1].copy_to_host(), here[1])


@with_device
def test_a_device_gives_compact_laws_and_mixed_precision():
    n, rng = 3000, np.random.default_rng(4)
    particles = Particles(rng.random(n) / n, rng.normal(size=(n, 3)), np.zeros((n, 3)))
    for options, bound in (
        ({"kernel": "spline"}, 1e-12),
        ({"kernel": "wendland"}, 1e-12),
        ({"precision": "mixed"}, 1e-6),
    ):
        cpu, cuda = (Evaluation(n, ("acceleration", "potential_energy")) for _ in range(2))
        kernel = {key: value for key, value in options.items() if key == "kernel"}
        DirectGravity(softening=0.1, **kernel).evaluate(particles, cpu)
        DirectGravity(softening=0.1, backend="cuda", **options).evaluate(particles, cuda)
        error = np.linalg.norm(cuda.acceleration - cpu.acceleration, axis=1) / np.linalg.norm(cpu.acceleration, axis=1)
        assert error.max() < bound
        assert cuda.potential_energy == pytest.approx(cpu.potential_energy, rel=bound)
