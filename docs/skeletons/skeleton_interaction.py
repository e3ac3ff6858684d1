"""Skeleton of an interaction: a logarithmic halo. Copy to ``nbody/<force>.py`` and make it yours.

Inside the package imports are relative (``from ..integrators import ...``, ``from ..particles import ...``).
"""

from __future__ import annotations

import numpy as np
from askel.integrators import Evaluation, require
from askel.particles import InputError, Particles


class LogarithmicHalo:
    r"""External field of a galactic halo with a flat rotation curve, at rest at the origin.

    phi = v0^2/2 ln(1 + |x|^2/rc^2),  a = -v0^2 x / s^2,  da/dt = -v0^2 [v / s^2 - 2 (x.v) x / s^4],  s^2 = |x|^2 + rc^2

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64 | length, length/time |
    | a, da/dt | ``out.acceleration``, ``out.jerk`` | (n, 3) float64, overwritten | length/time^2, length/time^3 |
    | sum m phi | ``out.potential_energy`` | float, overwritten | energy |

    Parameters
    ----------
    speed : v0, circular velocity far out, length/time
    core : rc, core radius, length

    Raises
    ------
    InputError : a core radius that is not positive

    References
    ----------
    Binney & Tremaine, Galactic Dynamics (2008), section 2.3.2, ISBN 978-0-691-13027-9

    """

    provides = frozenset({"acceleration", "jerk", "potential_energy"})
    velocity_dependent = False

    def __init__(self, speed: float, core: float) -> None:
        if not core > 0.0:
            raise InputError(f"core is {core}; the core radius must be positive")
        self.speed, self.core = speed, core

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants; never add to it, and accept no particles at all."""
        require(self, *out.wants)
        x, v = particles.position, particles.velocity
        squared = np.einsum("ij,ij->i", x, x) + self.core**2
        strength = -((self.speed**2) / squared)[:, None]
        out.acceleration[...] = strength * x
        out.potential_energy = 0.5 * self.speed**2 * float(particles.mass @ np.log(squared / self.core**2))
        if out.jerk is not None:
            along = 2.0 * np.einsum("ij,ij->i", x, v) / squared
            out.jerk[...] = strength * (v - along[:, None] * x)
