"""Skeleton of a kernel, numba on the CPU: same name, same signature as `skeleton_kernel_reference`, which has the legend.

Fast mathematics is on only where nothing is compensated, and without "nnan" and "ninf", so that a NaN stays one.
"""

import math

from numba import njit


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def acceleration(position, speed, core, acceleration, potential):
    """Overwrite accelerations and potentials."""
    total = 0.0
    for i in range(len(position)):
        x, y, z = position[i, 0], position[i, 1], position[i, 2]
        squared = x * x + y * y + z * z + core * core
        strength = -speed * speed / squared
        acceleration[i, 0] = strength * x
        acceleration[i, 1] = strength * y
        acceleration[i, 2] = strength * z
        potential[i] = 0.5 * speed * speed * math.log(squared / (core * core))
        total += 0.0 * (strength + potential[i])
    return 0 if total == 0.0 else 1
