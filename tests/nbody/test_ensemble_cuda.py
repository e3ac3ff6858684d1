"""The CUDA kernel of ensembles without a GPU: run by the simulator, and compiled to PTX; with one, against the CPU."""

import importlib.util
import os
import subprocess
import sys

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

_COMPILED = """
import sys
from types import SimpleNamespace
import numba.cuda.dispatcher
from numba import cuda, types
from askel.nbody._kernels.ensemble_cuda import slice_of_steps

capability = tuple(int(c) for c in sys.argv[1])
numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)  # there is none
f1, f2, i1, i2 = types.float64[::1], types.float64[:, ::1], types.int64[::1], types.int64[:, ::1]
i, f = types.int64, types.float64
arguments = (i, i1, f2, f2, i2, f2, f2, f2, f2, i2, i1, f2, f1, f, i, f2, f2, i1, i, types.boolean)
ptx, _ = cuda.compile_ptx(slice_of_steps, arguments, cc=capability)
print(f"sm_{sys.argv[1]}" in ptx, ptx.count(".f64"))
"""


def _python(code, *arguments, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.split()


@pytest.mark.slow
def test_the_simulator_gives_what_the_cpu_gives():
    assert _python(_SIMULATED, NUMBA_ENABLE_CUDASIM="1") == ["the", "same"]


@pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="needs numba-cuda[cu12], which the test extra has on Linux"
)
@pytest.mark.parametrize("capability", ["80", "90"])
def test_it_compiles_for_devices(capability):
    named, operations = _python(_COMPILED, capability)
    assert named == "True" and int(operations) > 500


def _has_device():
    from numba import cuda

    return cuda.is_available()


@pytest.mark.skipif(_has_device(), reason="there is a device")
def test_without_a_device_it_is_one_line():
    mass, x, v = np.ones((1, 3)), np.array([[[0.5, 0, 0], [-0.5, 0, 0], [9.0, 0, 0]]]), np.zeros((1, 3, 3))
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        evolve_batch(mass, x, v, 1.0, backend="cuda")
    with pytest.raises(InputError, match="no 'cuda' kernel for 'ensemble_chain'"):
        evolve_batch(mass[:, :2], x[:, :2], v[:, :2], 1.0, backend="cuda")


@pytest.mark.skipif(not _has_device(), reason="there is no device")
def test_a_device_gives_what_the_cpu_gives():
    space: dict = {}
    exec(_START, space)
    cpu, cuda = space["both"](20.0)
    assert np.abs(cpu.position - cuda.position).max() < 1e-6 and np.array_equal(cpu.reason, cuda.reason)
