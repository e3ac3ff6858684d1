"""Skeleton of a kernel, the readable twin. Copy to ``nbody/_kernels/<operation>_reference.py``, relative imports and all.

a_i = -v0^2 x_i / s_i^2,  phi_i = v0^2/2 ln(s_i^2/rc^2),  s_i^2 = |x_i|^2 + rc^2

Legend
    speed, core              v0, rc
    acceleration, potential  (n, 3) and (n), overwritten

Returns a status: 0, or 1 when a result is not finite.
"""

import numpy as np


def acceleration(position, speed, core, acceleration, potential):
    """Overwrite accelerations and potentials."""
    squared = (position * position).sum(axis=1) + core**2
    acceleration[...] = -(speed**2) * position / squared[:, None]
    potential[...] = 0.5 * speed**2 * np.log(squared / core**2)
    return 0 if np.isfinite(acceleration).all() and np.isfinite(potential).all() else 1


#: The rows for ``register`` in ``nbody/__init__.py``.
ROWS = {
    ("halo_acceleration", "reference"): "skeleton_kernel_reference:acceleration",
    ("halo_acceleration", "cpu"): "skeleton_kernel_cpu:acceleration",
}


def sample(rng):
    """Return (inputs, outputs): the sample arguments for ``tests/test_kernels.py``."""
    return (rng.normal(size=(37, 3)), 1.3, 0.2), (np.full((37, 3), np.nan), np.full(37, np.nan))
