"""What all CUDA kernels of the network share: arrays of the device, launches, and the refusal where there is no device.

Arrays may be NumPy (copied there and back), or of the device: numba's, or anything with ``__cuda_array_interface__`` such as
torch's tensors, whose memory is then used as it is. All run on the default stream, as torch does.
"""

import math
import warnings

import numpy as np
from numba import cuda
from numba.core import config

from ...particles import InputError

LANES, WARPS = 32, 8  # threads of a block: channels along the first, tasks along the second
SHARED = 48 * 1024  # bytes of shared memory that every device gives a block without being asked


def require_device():
    """Raise InputError where there is no device."""
    if not cuda.is_available():
        raise InputError('backend "cuda" found no CUDA device; use backend = "cpu"')


def network_device():
    """Return torch's name of where the arrays of these kernels are; raise InputError where there is no device."""
    require_device()
    return "cpu" if config.ENABLE_CUDASIM else "cuda"  # type: ignore[attr-defined]  # the simulator's are NumPy's


def there(array):
    """Return an array as kernels take it: of the device, the same memory; NumPy's are copied by the launch."""
    if hasattr(array, "__cuda_ndarray__") or not hasattr(array, "__cuda_array_interface__"):
        return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array
    return cuda.as_cuda_array(array)


def as_rows(array, width):
    """Return an array as rows of so many numbers."""
    return there(array.reshape(math.prod(array.shape) // width, width))


def run(kernel, blocks, threads, *arguments, shared=0):
    """Launch over a grid of two axes, unless it is empty, with so many bytes of dynamic shared memory."""
    if not all(blocks):
        return
    with (
        warnings.catch_warnings()
    ):  # numba's, that a small grid leaves the device idle, and that NumPy's arrays are copied
        warnings.simplefilter("ignore")
        kernel[blocks, threads, 0, shared](*(there(a) for a in arguments))
