"""What CUDA kernels of gravity share beside `particles/_kernels`: arrays that stay on the device, and functions of both.

A function of the host's kernels is compiled for the device from its own source, so a formula is written once.
"""

import types

import numpy as np
from numba import cuda

from ...particles._kernels.device_cuda import stays, there


def on_device(function, **inner):
    """Return a function of the host's kernels compiled for the device, with ``inner`` in place of what it calls."""
    return cuda.jit(device=True)(calling(function, **inner))


def calling(function, **inner):
    """Return the plain Python of a function of the host's kernels, with ``inner`` in place of what it calls."""
    plain = getattr(function, "py_func", function)
    return types.FunctionType(plain.__code__, {**plain.__globals__, **inner}, plain.__name__, plain.__defaults__)


class Resident:
    """Arrays of the device under names, kept between calls: memory is asked for when an array grows, and only then.

    Two kernels that use one name share its memory. What the device holds is freed with the object.
    """

    def __init__(self):
        self._there, self._here = {}, {}

    def room(self, name, shape, dtype=np.float64):
        """Return an array of the device, with any content."""
        size, dtype = int(np.prod(shape)), np.dtype(dtype)
        memory = self._there.get(name)
        if memory is None or memory.size < size or memory.dtype != dtype:
            self._there[name] = memory = cuda.device_array(max(size, 1), dtype)
        return memory[:size].reshape(shape)

    def moved(self, name, array):
        """Return an array of the host on the device; one of the device as it is."""
        if stays(array):
            return there(array)
        memory = self.room(name, array.shape, array.dtype)
        if array.size:
            memory.copy_to_device(np.ascontiguousarray(array))
        return memory

    def kept(self, name, array):
        """Return the same, copied only where its values are not those of the last call."""
        if stays(array):
            return self.moved(name, array)
        here = self._here.get(name)
        if here is not None and here.dtype == array.dtype and np.array_equal(here, array):
            return self.room(name, array.shape, array.dtype)
        self._here[name] = np.array(array)
        return self.moved(name, array)
