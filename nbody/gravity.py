"""Gravity of given masses at given places: a plain function over all methods of computing it."""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import InputError, Particles
from .direct import DirectGravity
from .fmm import Fmm

FloatArray = NDArray[np.float64]

#: kind -> "module:class"; instances have ``field(particles, acceleration, potential)``, as ``DirectGravity`` has
GRAVITY: dict[str, str] = {"direct": "askel.nbody.direct:DirectGravity", "fmm": "askel.nbody.fmm:Fmm"}


def accelerations(
    position: ArrayLike,
    mass: ArrayLike,
    *,
    softening: ArrayLike = 0.0,
    kind: str = "fmm",
    kernel: str = "plummer",
    relative_error: float = 1e-3,
    potential: bool = False,
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Return the gravitational accelerations of point masses, with G = 1.

    a_i = sum_j m_j r_ij / (|r_ij|^2 + eps_ij^2)^(3/2),  phi_i = -sum_j m_j / (|r_ij|^2 + eps_ij^2)^(1/2)

    Parameters
    ----------
    position : (n, 3) float64, length
    mass : (n,) float64, zero or positive
    softening : length, one number or (n,); the larger one of a pair counts
    kind : "fmm", fast multipoles, exact up to four thousand particles; or "direct", exact always
    kernel : how forces are softened, "plummer" (the equations above), "spline" or "wendland"; see ``nbody/softening.py``
    relative_error : asked rms relative error of "fmm", 1e-6 to 0.1; "direct" is exact to rounding and does not need it
    potential : also return the potentials

    Returns
    -------
    (n, 3) float64 accelerations, in mass/length^2 (times your G); with ``potential`` also (n,) float64 potentials

    Raises
    ------
    InputError : wrong shapes, values that are not finite, negative masses or softenings, unknown kind, or two particles
        in one place without softening

    """
    if kind not in GRAVITY:
        raise InputError(f"gravity kind {kind!r} is unknown; known: {', '.join(sorted(GRAVITY))}")
    if not 0.0 < relative_error < 1.0:
        raise InputError(f"relative_error is {relative_error}; expected a number between 0 and 1, such as 1e-3")
    particles = _particles(position, mass, softening)
    where, phi = np.empty((particles.n, 3)), np.empty(particles.n)
    _method(kind, kernel, relative_error).field(particles, where, phi)
    return (where, phi) if potential else where


def _method(kind: str, kernel: str, relative_error: float) -> DirectGravity | Fmm:
    options = {"kernel": kernel} if kind == "direct" else {"kernel": kernel, "relative_error": relative_error}
    module, _, name = GRAVITY[kind].partition(":")
    made: DirectGravity | Fmm = getattr(importlib.import_module(module), name)(**options)
    return made


def _particles(position: ArrayLike, mass: ArrayLike, softening: ArrayLike) -> Particles:
    where = np.asarray(position, dtype=np.float64)
    if where.ndim != 2 or where.shape[1] != 3:
        raise InputError(f"position has shape {where.shape}; expected (n, 3)")
    lengths = np.asarray(softening, dtype=np.float64)
    if lengths.ndim == 0:
        lengths = np.full(len(where), lengths)
    particles = Particles(mass, where, np.zeros_like(where), softening=lengths)
    particles.check(massless=True, coincident=bool((lengths == 0.0).any()))
    if (lengths < 0.0).any():
        raise InputError(f"softening is {lengths.min():g}; it must be zero or positive")
    return particles
