"""What lengths and velocities become before a network sees them.

The same text serves NumPy and torch: ``xp`` is the module whose arrays come.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .architecture import Architecture
from .harmonics import solid_harmonics

#: Makes silu of a standard normal variable have a mean square of one.
SILU_GAIN = 1.6791767


def radial_basis(length: Any, frequencies: Any, a: Architecture, xp: ModuleType) -> Any:
    """Return sin(f_n r/r_c) sqrt(r_c/2)/r, (E, n), of lengths (E,) in Angstrom; f_n = n pi before training.

    Reference: Gasteiger et al. 2020, arXiv:2003.03123

    """
    return (a.cutoff / 2.0) ** 0.5 * xp.sin(length[:, None] * frequencies[None] / a.cutoff) / length[:, None]


def cutoff_function(length: Any, a: Architecture) -> Any:
    """Return 1 - (p+1)(p+2)/2 u^p + p(p+2) u^(p+1) - p(p+1)/2 u^(p+2), u = r/r_c: smooth to second order at the cutoff.

    Reference: Gasteiger et al. 2020, arXiv:2003.03123

    """
    p, u = a.cutoff_power, length / a.cutoff
    polynomial = 1.0 - u**p * ((p + 1) * (p + 2) / 2.0 - p * (p + 2) * u + p * (p + 1) / 2.0 * u * u)
    return polynomial * (u < 1.0)


def speed_basis(speed: Any, a: Architecture, xp: ModuleType) -> Any:
    """Return g(s - mu_k) + g(s + mu_k), (N, k), of reduced speeds s (N,): smooth at rest, where s has a kink.

    g(u) = exp(-u^2/(2 d^2)), mu_k = k d up to ``speed_limit``; g(s - mu_k) alone where ``speed_basis`` is "plain"
    """
    width = a.speed_limit / max(a.speed_functions - 1, 1)
    centres = width * xp.arange(a.speed_functions, dtype=speed.dtype, device=speed.device)
    gauss = xp.exp(-0.5 * ((speed[:, None] - centres) / width) ** 2)
    if a.speed_basis == "plain":
        return gauss
    return gauss + xp.exp(-0.5 * ((speed[:, None] + centres) / width) ** 2)


def velocity_harmonics(reduced: Any, l_max: int) -> list[Any]:
    """Return |u|^l Y_lm(u)/sqrt(3) / (1 + u^2/3)^((l-1)/2) of reduced velocities u, (N, 3), and 1 for l = 0.

    Smooth at u = 0, where the direction has no meaning, and linear in the speed when it is large.
    """
    x, y, z = reduced[:, 0], reduced[:, 1], reduced[:, 2]
    size = 1.0 + (x * x + y * y + z * z) / 3.0
    rows = solid_harmonics(x, y, z, l_max)
    for degree in range(1, l_max + 1):
        for k in range(degree**2, (degree + 1) ** 2):
            rows[k] = rows[k] / (3.0**0.5 * size ** ((degree - 1) / 2.0))
    return rows
