"""Softening laws, plain NumPy: the readable twin of `softening_cpu`; `nbody/softening.py` has the names and sources.

a = m w r,  phi = -m g,  da_k/dx_l = m (v r_k r_l - w delta_kl) with v = -w'/r;  u = r / h. Inside of h (outside it is
w = 1/r^3, g = 1/r, v = 3/r^5):

spline      h^3 w = 32/3 - 192/5 u^2 + 32 u^3                                    u < 1/2
            h^3 w = 64/3 - 48 u + 192/5 u^2 - 32/3 u^3 - 1/(15 u^3)              u >= 1/2
            h g = 14/5 - 16/3 u^2 + 48/5 u^4 - 32/5 u^5                          u < 1/2
            h g = 16/5 - 32/3 u^2 + 16 u^3 - 48/5 u^4 + 32/15 u^5 - 1/(15 u)     u >= 1/2
            h^5 v = 384/5 - 96 u                                             u < 1/2
            h^5 v = 48/u - 384/5 + 32 u - 1/(5 u^5)                          u >= 1/2
wendland    h^3 w = 14 - 84 u^2 + 140 u^3 - 90 u^4 + 21 u^5
            h g = 3 - 7 u^2 + 21 u^4 - 28 u^5 + 15 u^6 - 3 u^7
            h^5 v = 168 - 420 u + 360 u^2 - 105 u^3
plummer     w = s^-3, g = 1/s, v = 3 s^-5, s^2 = r^2 + h^2, at all distances

Legend
    law      0 plummer, 1 spline, 2 wendland
    r2, h    squared distances and radii of the law (0: Newton), arrays of one shape
"""

import numpy as np
from numpy.polynomial.polynomial import polyval

PLUMMER, SPLINE, WENDLAND = 0, 1, 2


def factors(law, r2, h):
    """Return w and g."""
    if law == PLUMMER:
        return (r2 + h**2) ** -1.5, (r2 + h**2) ** -0.5
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


def slope(law, r2, h):
    """Return v = -w'/r."""
    if law == PLUMMER:
        return 3.0 * (r2 + h**2) ** -2.5
    r = np.sqrt(r2)
    inside = r < h
    radius = np.where(inside, h, 1.0)
    u = np.where(inside, r / radius, 1.0)
    if law == WENDLAND:
        v = polyval(u, [168, -420, 360, -105])
    else:
        outer = np.maximum(u, 0.5)
        v = np.where(
            u < 0.5, polyval(u, [384 / 5, -96]), polyval(outer, [-384 / 5, 32]) + 48 / outer - 1 / (5 * outer**5)
        )
    return np.where(inside, v / radius**5, 3.0 / (r2 * r2 * r))
