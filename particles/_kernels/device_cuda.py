"""What CUDA kernels of all packages need from the host: a device, arrays as kernels take them, and launches.

Arrays may be NumPy (a launch copies them there and back) or of the device: numba's, or anything with
``__cuda_array_interface__`` such as torch's tensors, whose memory is then used as it is. All run on the default stream, as torch
does. Kernels compile when they are first launched: no device is touched at import.
"""

import math
import warnings

import numpy as np
from numba import cuda

from ..errors import InputError


def require_device():
    """Raise InputError where there is no device."""
    if not cuda.is_available():
        raise InputError('backend "cuda" found no CUDA device; use backend = "cpu"')


def stays(array):
    """Return whether an array is one of a device (numba's, torch's, cupy's)."""
    return hasattr(array, "__cuda_ndarray__") or hasattr(array, "__cuda_array_interface__")


def there(array):
    """Return an array as kernels take it: of the device, the same memory; NumPy's contiguous; numbers as they are."""
    if stays(array):
        return array if hasattr(array, "__cuda_ndarray__") else cuda.as_cuda_array(array)
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array


def run(kernel, blocks, threads, *arguments, shared=0):
    """Launch over a grid of one axis (numbers) or several (tuples), unless it is empty.

    ``shared`` counts bytes of dynamic shared memory. numba's warnings are left out: that a small grid leaves much of a device
    idle, and that arrays of the host are copied.
    """
    if math.prod(np.atleast_1d(blocks)) == 0:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel[blocks, threads, 0, shared](*(there(a) for a in arguments))
