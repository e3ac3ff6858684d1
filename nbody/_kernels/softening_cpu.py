"""Softening laws of finite radius for one pair, inlined, on a device too; `softening_reference` has the equations."""

import math

from numba import njit

from .softening_reference import WENDLAND


@njit(cache=True, error_model="numpy", inline="always")
def factors(law, r2, h):
    """Return w and g of a pair: a = m w r, phi = -m g."""
    r = math.sqrt(r2)
    if not r < h:
        inverse = 1.0 / r
        return inverse * inverse * inverse, inverse
    scale = 1.0 / h
    u = r * scale
    if law == WENDLAND:
        w = 14.0 + u * u * (-84.0 + u * (140.0 + u * (-90.0 + 21.0 * u)))
        g = 3.0 + u * u * (-7.0 + u * u * (21.0 + u * (-28.0 + u * (15.0 - 3.0 * u))))
    elif u < 0.5:
        w = 32.0 / 3.0 + u * u * (-38.4 + 32.0 * u)
        g = 2.8 + u * u * (-16.0 / 3.0 + u * u * (9.6 - 6.4 * u))
    else:
        w = 64.0 / 3.0 + u * (-48.0 + u * (38.4 - 32.0 / 3.0 * u)) - 1.0 / (15.0 * u * u * u)
        g = 3.2 + u * u * (-32.0 / 3.0 + u * (16.0 + u * (-9.6 + 32.0 / 15.0 * u))) - 1.0 / (15.0 * u)
    return w * scale * scale * scale, g * scale


@njit(cache=True, error_model="numpy", inline="always")
def slope(law, r2, h):
    """Return v = -w'/r of a pair: da_k/dx_l = m (v r_k r_l - w delta_kl)."""
    r = math.sqrt(r2)
    if not r < h:
        inverse2 = 1.0 / r2
        return 3.0 * inverse2 * inverse2 / r
    scale = 1.0 / h
    u = r * scale
    if law == WENDLAND:
        v = 168.0 + u * (-420.0 + u * (360.0 - 105.0 * u))
    elif u < 0.5:
        v = 76.8 - 96.0 * u
    else:
        v = 48.0 / u - 76.8 + 32.0 * u - 0.2 / (u * u * u * u * u)
    return v * scale * scale * scale * scale * scale
