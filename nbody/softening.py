"""Softening laws by name: how gravity is weakened at short distances, and how far that reaches.

A mass m with the law of radius h pulls like a sphere: a = m w(r) r, phi = -m g(r), with w = 1/r^3 and g = 1/r (Newton) from
r = h on, where the law is compact; u = r / h.

| name | law | h / eps | source |
|---|---|---|---|
| "plummer" | w = s^-3, g = 1/s, s^2 = r^2 + eps^2; never quite Newton | 1 | Plummer 1911, doi:10.1093/mnras/71.5.460 |
| "spline" | the cubic spline M_4 | 2.8 | Springel et al. 2021, doi:10.1093/mnras/stab1855 (GADGET-4) |
| "wendland" | Wendland's C2, a polynomial | 3 | Schaller et al. 2024, doi:10.1093/mnras/stae922 (SWIFT) |

The gradient of the acceleration, the tide, is m (v r (x) r - w 1) with v = -w'/r, 3/r^5 outside of h. Its trace is -4 pi
times the density of the sphere: zero outside.

eps is the Plummer-equivalent length that users give: the potential at r = 0 is -m / eps in all three. The formulas are in
`nbody/_kernels/softening_reference.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from ..particles import InputError


class Law(NamedTuple):
    """A row of the table: what kernels call it, and its radius in units of the Plummer-equivalent length."""

    number: int
    radius: float


#: name -> number in kernels, radius over Plummer-equivalent length
LAWS: dict[str, Law] = {"plummer": Law(0, 1.0), "spline": Law(1, 2.8), "wendland": Law(2, 3.0)}


def law(name: str) -> Law:
    """Return a law by name.

    Raises
    ------
    InputError : unknown name

    """
    if name not in LAWS:
        raise InputError(f"softening kernel {name!r} is unknown; known: {', '.join(LAWS)}")
    return LAWS[name]
