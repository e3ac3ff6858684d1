"""Two systems on a Kepler orbit about each other."""

from __future__ import annotations

import math

import numpy as np

from ...particles import Particles, join
from ...particles.errors import InputError
from .profile import Array, positive


def merge_orbit(a: Particles, b: Particles, *, pericentre: float, eccentricity: float, separation: float) -> Particles:
    r"""Return both systems as one, on the two-body orbit of their total masses, coming together.

        p = r_p (1 + e),  v_t = sqrt(G M p)/r,  v^2 = G M (2/r - (1 - e)/r_p),  v_r = -sqrt(v^2 - v_t^2)

    The orbit lies in the plane z = 0, counterclockwise, with its pericentre on the positive x axis for b seen from a; the
    centre of mass rests in the origin. Systems that overlap at the start, and haloes larger than the separation, pull
    less than the points do: the true pericentre is then wider than asked.

    Parameters
    ----------
    a, b : systems in the same units and at the same time; identities of b are moved behind those of a
    pericentre : r_p, length
    eccentricity : e >= 0; 1 is a parabola
    separation : r at the start, between pericentre and apocentre

    Raises
    ------
    InputError : a separation that the orbit does not reach, or values out of range

    """
    positive(pericentre=pericentre, separation=separation)
    if not (math.isfinite(eccentricity) and eccentricity >= 0.0):
        raise InputError(f"eccentricity is {eccentricity:g}; it must be a finite number, zero or positive")
    _refuse_unreachable(pericentre, eccentricity, separation)
    masses = np.array([a.mass.sum(), b.mass.sum()])
    mu = a.units.gravitational_constant * float(masses.sum())
    x, v = _relative_state(mu, pericentre, eccentricity, separation)
    parts = []
    for system, share in ((a, -masses[1]), (b, masses[0])):
        moved = system.clone()
        centre, drift = moved.centre_of_mass()
        moved.position += x * (share / masses.sum()) - centre
        moved.velocity += v * (share / masses.sum()) - drift
        parts.append(moved)
    parts[1].identity += int(parts[0].identity.max()) + 1 - int(parts[1].identity.min())
    return join(parts)


def _refuse_unreachable(pericentre: float, e: float, separation: float) -> None:
    apocentre = pericentre * (1.0 + e) / (1.0 - e) if e < 1.0 else math.inf
    tolerance = 1.0 + 1e-12
    if not pericentre <= separation * tolerance or not separation <= apocentre * tolerance:
        raise InputError(
            f"separation is {separation:g}, which the orbit does not reach: it runs from {pericentre:g} to {apocentre:g}"
        )


def _relative_state(mu: float, pericentre: float, e: float, r: float) -> tuple[Array, Array]:
    """Return position (3,) and velocity (3,) of b seen from a, before the pericentre."""
    p = pericentre * (1.0 + e)
    cosine = min(1.0, max(-1.0, (p / r - 1.0) / e)) if e > 0.0 else 1.0
    sine = -math.sqrt(1.0 - cosine * cosine)
    speed = math.sqrt(mu / p)
    position = np.array([r * cosine, r * sine, 0.0])
    return position, np.array([-speed * sine, speed * (e + cosine), 0.0])
