"""Softening laws, plain NumPy: the readable twin of `softening_cpu`; `nbody/softening.py` has the names and sources.

a = m w r,  phi = -m g;  u = r / h. Inside of h (outside it is w = 1/r^3, g = 1/r):

spline      h^3 w = 32/3 - 192/5 u^2 + 32 u^3                                    u < 1/2
            h^3 w = 64/3 - 48 u + 192/5 u^2 - 32/3 u^3 - 1/(15 u^3)              u >= 1/2
            h g = 14/5 - 16/3 u^2 + 48/5 u^4 - 32/5 u^5                          u < 1/2
            h g = 16/5 - 32/3 u^2 + 16 u^3 - 48/5 u^4 + 32/15 u^5 - 1/(15 u)     u >= 1/2
wendland    h^3 w = 14 - 84 u^2 + 140 u^3 - 90 u^4 + 21 u^5
            h g = 3 - 7 u^2 + 21 u^4 - 28 u^5 + 15 u^6 - 3 u^7

Legend
    law      1 spline, 2 wendland
    r2, h    squared distances and radii of the law (0: Newton), arrays of one shape
"""

import numpy as np
from numpy.polynomial.polynomial import polyval

SPLINE, WENDLAND = 1, 2


def factors(law, r2, h):
    """Return w and g."""
    r = np.sqrt(r2)
    inside = r < h
    radius = np.where(inside, h, 1.0)
    u = np.where(inside, r / radius, 1.0)
    if law == WENDLAND:
        w = polyval(u, [14, 0, -84, 140, -90, 21])
        g = polyval(u, [3, 0, -7, 0, 21, -28, 15, -3])
    else:
        inner, outer = u < 0.5, np.maximum(u, 0.5)
        w = np.where(
            inner,
            polyval(u, [32 / 3, 0, -192 / 5, 32]),
            polyval(outer, [64 / 3, -48, 192 / 5, -32 / 3]) - 1 / (15 * outer**3),
        )
        g = np.where(
            inner,
            polyval(u, [14 / 5, 0, -16 / 3, 0, 48 / 5, -32 / 5]),
            polyval(outer, [16 / 5, 0, -32 / 3, 16, -48 / 5, 32 / 15]) - 1 / (15 * outer),
        )
    return np.where(inside, w / radius**3, 1.0 / (r2 * r)), np.where(inside, g / radius, 1.0 / r)
