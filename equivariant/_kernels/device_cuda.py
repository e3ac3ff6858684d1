"""What CUDA kernels of the network share beside `particles/_kernels`: the shape of a block, rows of channels, torch's device."""

import math

from numba.core import config

from ...particles._kernels.device_cuda import require_device, there

LANES, WARPS = 32, 8  # threads of a block: channels along the first, tasks along the second
SHARED = 48 * 1024  # bytes of shared memory that every device gives a block without being asked


def network_device():
    """Return torch's name of where the arrays of these kernels are; raise InputError where there is no device."""
    require_device()
    return "cpu" if config.ENABLE_CUDASIM else "cuda"  # type: ignore[attr-defined]  # the simulator's are NumPy's


def as_rows(array, width):
    """Return an array as rows of so many numbers."""
    return there(array.reshape(math.prod(array.shape) // width, width))
