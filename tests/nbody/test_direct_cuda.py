"""The CUDA kernels of direct gravity: run by the simulator, compiled to PTX and machine code; with a GPU, at real size."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from askel.integrators import Evaluation
from askel.nbody import DirectGravity
from askel.particles import KINDS, InputError, Particles, resolve

CAPABILITIES = ("80", "90")
NAMES = ("pull", "pull_jerk", "gather")

#: of a multiprocessor: registers, threads, bytes of shared memory; A100 and H100, from the CUDA programming guide
LIMITS = {"80": (65536, 2048, 164 * 1024), "90": (65536, 2048, 228 * 1024)}

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

_COMPILED = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numba.cuda.dispatcher
from numba import cuda, types
from askel.nbody._kernels import direct_cuda

f, i, b1 = types.float64, types.int64, types.boolean[::1]
f1, f2, f3 = f[::1], f[:, ::1], f[:, :, ::1]
arguments = {
    "pull": (f1, f2, f1, b1, f, i, f3),
    "pull_jerk": (f1, f2, f2, f1, b1, f, i, f3),
    "gather": (f3, i, f, f2, types.int64[::1]),
}
for version in sys.argv[2:]:
    capability = tuple(int(c) for c in version)
    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)  # there is none
    for name, types_ in arguments.items():
        ptx, _ = cuda.compile_ptx(getattr(direct_cuda, name), types_, cc=capability)
        Path(sys.argv[1], f"{name}_{version}.ptx").write_text(ptx)
"""


def _python(code, *arguments, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.split()


def _has_device():
    from numba import cuda

    return cuda.is_available()


def _assembler():
    """Return the path of ptxas, from the toolchain of PyPI or of the system, or None."""
    try:
        package = importlib.util.find_spec("nvidia.cuda_nvcc")
    except ModuleNotFoundError:
        package = None
    for folder in (package.submodule_search_locations or []) if package else []:
        if Path(folder, "bin", "ptxas").exists():
            return str(Path(folder, "bin", "ptxas"))
    return shutil.which("ptxas")


without_device = pytest.mark.skipif(_has_device(), reason="there is a device")
with_device = pytest.mark.skipif(not _has_device(), reason="there is no device")


def test_the_simulator_gives_what_the_reference_gives():
    assert _python(_SIMULATED, NUMBA_ENABLE_CUDASIM="1") == ["the", "same"]


@pytest.fixture(scope="module")
def ptx(tmp_path_factory):
    """Return (name, capability) -> file with the PTX of a kernel."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda[cu12], which the test extra has on Linux")
    folder = tmp_path_factory.mktemp("ptx")
    _python(_COMPILED, str(folder), *CAPABILITIES)
    return {(name, c): folder / f"{name}_{c}.ptx" for name in NAMES for c in CAPABILITIES}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("name", "fused"), [("pull", 6), ("pull_jerk", 11)])
def test_a_pair_is_float64_and_mostly_fused(ptx, name, fused, capability):
    text = ptx[name, capability].read_text()
    assert f".target sm_{capability}" in text
    pairs = text.count("rsqrt.approx.f64")  # the loop is unrolled
    assert pairs >= 1 and text.count("fma.rn.f64") == fused * pairs
    assert not re.search(r"\b(div|sqrt)\.rn\.f64|\.f32\b|\.local\b|\bcall\b", text)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("name", NAMES)
def test_launches_fit_a_device(ptx, name, capability, tmp_path):
    if _assembler() is None:
        pytest.skip("needs ptxas")
    from askel.nbody._kernels.direct_cuda import THREADS

    command = [_assembler(), "-v", f"-arch=sm_{capability}", str(ptx[name, capability]), "-o", str(tmp_path / "code")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in told
    registers = int(re.search(r"Used (\d+) registers", told)[1])
    shared = re.search(r"(\d+) bytes smem", told)
    used = int(shared[1]) if shared else 0
    assert (used > 0) == (name != "gather") and used <= 48 * 1024  # static shared memory of a block
    of_registers, of_threads, of_shared = LIMITS[capability]
    blocks = min(of_registers // (-(-registers // 8) * 8 * THREADS), of_threads // THREADS, of_shared // (used + 1024))
    assert 16 <= registers <= 128
    assert blocks * THREADS >= of_threads // 4  # sixteen warps hide the latency of float64


@pytest.mark.parametrize("n", [1, 127, 128, 1000, 16384, 262_144, 10_000_000])
@pytest.mark.parametrize("targets", [1, 2])
def test_segments_hold_every_source_once(n, targets):
    from askel.nbody._kernels.direct_cuda import BLOCKS, THREADS, launch

    blocks, segments, length = launch(n, targets)
    assert (blocks - 1) * targets * THREADS < n <= blocks * targets * THREADS
    assert (segments - 1) * length < n <= segments * length and length % THREADS == 0
    assert segments <= 65535 and blocks < 2**31
    assert blocks * segments <= max(BLOCKS, blocks)


def test_small_launches_do_not_warn():
    from askel.nbody._kernels import direct_cuda
    from askel.nbody._kernels.launch import over

    with pytest.warns(Warning, match="low occupancy"):
        direct_cuda._gather[1, direct_cuda.THREADS]
    over(direct_cuda._gather, 1, direct_cuda.THREADS)  # a warning would be an error


@without_device
def test_without_a_device_it_is_one_line():
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        DirectGravity(backend="cuda")
    with pytest.raises(InputError, match="no 'cuda' kernel for 'acceleration_compact'"):
        DirectGravity(backend="cuda", kernel="spline", softening=0.1)


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
