"""Gravity of all pairs and its gradient, plain NumPy, any softening law: the readable twin of `direct_tide_cpu`.

a_i = G sum_j w_ij m_j w(r_ij) r_ij,  phi_i = -G sum_j w_ij m_j g(r_ij)
d a_i / d x_i = G sum_j w_ij m_j [v(r_ij) r_ij (x) r_ij - w(r_ij) 1],  v = -w'/r

with w, g and v of `softening_reference`; the legend of `direct_reference` holds, where ``softening`` means the radius of the
law, and ``tide``, (n, 3, 3), is overwritten too.
"""

import numpy as np

from .direct_reference import _status
from .softening_reference import factors, slope


def acceleration_tide(mass, position, softening, special, weight, law, G, acceleration, potential, tide):
    """Overwrite accelerations, potentials and tides."""
    for i in range(len(mass)):
        r = np.delete(position, i, axis=0) - position[i]
        ordinary = ~(np.delete(special, i) | special[i])
        h = np.where(ordinary, np.maximum(np.delete(softening, i), softening[i]), 0.0)
        m = G * np.where(ordinary, weight, 1.0) * np.delete(mass, i)
        r2 = (r * r).sum(axis=1)
        w, g = factors(law, r2, h)
        acceleration[i], potential[i] = (m * w) @ r, -(m @ g)
        tide[i] = (r.T * (m * slope(law, r2, h))) @ r - (m @ w) * np.eye(3)
    return _status(acceleration, potential)
