"""What CUDA kernels need from the host, in numba's simulator; where there is no device, one line says so."""

from importlib.util import find_spec

import pytest
from askel.particles import InputError, resolve

pytestmark = pytest.mark.skipif(
    find_spec("numba_cuda") is None, reason="needs numba-cuda[cu12], which the test extra has on Linux"
)

_LAUNCHED = """
import numpy as np
from numba import cuda
from askel.particles import resolve
from askel.particles._kernels.device_cuda import run, stays, there

@cuda.jit
def double(x, factor):
    i = cuda.grid(1)
    if i < x.shape[0]:
        x[i] *= factor

@cuda.jit
def mark(x):
    i, j = cuda.grid(2)
    x[i, j] = 1.0

resolve("require_device", "cuda")()  # the simulator has one
here, device = np.arange(12.0)[::2], cuda.to_device(np.arange(6.0))
assert stays(device) and not stays(here) and there(device) is device and there(2.0) == 2.0
assert there(here).flags.c_contiguous and np.array_equal(there(here), here)
run(double, 2, 4, device, 3.0)
assert np.array_equal(device.copy_to_host(), 3.0 * np.arange(6.0))
field = cuda.to_device(np.zeros((4, 6)))
run(mark, (2, 3), (2, 2), field)
assert field.copy_to_host().all()
for empty in (0, (0, 3), (2, 0)):
    run(None, empty, 4)  # nothing is launched
print("done")
"""


def test_kernels_are_launched_over_grids_of_one_or_two_axes(simulated):
    assert simulated(_LAUNCHED) == ["done"]


def test_small_launches_do_not_warn(monkeypatch):
    import warnings

    from askel.particles._kernels.device_cuda import run

    class Kernel:
        def __getitem__(self, grid):
            warnings.warn("low occupancy", UserWarning, stacklevel=1)
            launched.append(grid)
            return lambda *arguments: launched.append(arguments)

    launched = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Kernel(), 3, 32, 1.5, shared=64)
    assert launched == [(3, 32, 0, 64), (1.5,)]


def test_without_a_device_it_is_one_line():
    from numba import cuda

    if cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(InputError, match="found no CUDA device") as caught:
        resolve("require_device", "cuda")()
    assert "\n" not in str(caught.value)
