"""How CUDA kernels are launched: without numba's warning that a small grid leaves much of the device idle."""

import warnings


def over(kernel, blocks, threads):
    """Return the kernel over so many blocks of so many threads, to be called with its arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kernel[blocks, threads]
