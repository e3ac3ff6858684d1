"""Gravity of all pairs with a softening law of finite radius, plain NumPy: the readable twin of `direct_compact_cpu`.

a_i = G sum_j w_ij m_j w(r_ij) r_ij,  phi_i = -G sum_j w_ij m_j g(r_ij), with w and g of `softening_reference`; the legend of
`direct_reference` holds, where ``softening`` means the radius of the law.
"""

import numpy as np

from .direct_reference import _status
from .softening_reference import factors


def acceleration_compact(mass, position, softening, special, weight, law, G, acceleration, potential):
    """Overwrite accelerations and potentials."""
    for i in range(len(mass)):
        r = np.delete(position, i, axis=0) - position[i]
        ordinary = ~(np.delete(special, i) | special[i])
        h = np.where(ordinary, np.maximum(np.delete(softening, i), softening[i]), 0.0)
        m = np.where(ordinary, weight, 1.0) * np.delete(mass, i)
        w, g = factors(law, (r * r).sum(axis=1), h)
        acceleration[i] = G * ((m * w) @ r)
        potential[i] = -G * (m @ g)
    return _status(acceleration, potential)
