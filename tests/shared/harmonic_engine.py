"""A test double of the network's engine: atoms joined by springs of no length, moved exactly over any stride.

U = sum_{i<j} k(Z_i, Z_j) |x_i - x_j|^2 / 2 + pin sum_i |x_i|^2 / 2 conserves what an isolated system does (without ``pin``),
and its motion over h is one matrix: x' = A x + B v, v' = -C x + D v.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from askel.md.model_units import MODEL_UNITS
from askel.particles import UNIT_SYSTEMS, InputError, Particles
from askel.particles.units import TIME

ASE = UNIT_SYSTEMS["ase"]
FS = MODEL_UNITS.conversion(ASE, TIME)  # one fs in ASE's unit of time
MASSES = {1: 1.008, 6: 12.011, 8: 15.999}


def springs(species, stiffness, pin):
    """Return the matrix K (n, n) of U = x^T K x / 2, eV/Angstrom^2; stiffness is that of two hydrogens."""
    z = np.sqrt(np.asarray(species, float))
    k = -stiffness * np.outer(z, z)
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(k, pin - k.sum(axis=1))
    return k


class HarmonicEngine:
    """The interface of ``equivariant.Engine``, with the exact motion of springs."""

    def __init__(self, strides=(2.0, 4.0, 8.0), stiffness=0.05, pin=0.0, broken=None, refuse_after=None):
        self.architecture = SimpleNamespace(
            species=tuple(sorted(MASSES)), masses=tuple(MASSES[z] for z in sorted(MASSES)), strides=strides
        )
        self.stiffness, self.pin = stiffness, pin
        self.broken, self.refuse_after = broken, refuse_after  # row that becomes NaN; calls before it refuses
        self.calls = 0
        self._modes = {}

    def stride(self, species, mass, position, velocity, cell, periodic, stride, starts=None):
        self.calls += 1
        if self.refuse_after is not None and self.calls > self.refuse_after:
            raise InputError("atoms 0 and 1 are 0.1 Angstrom apart")
        assert stride in self.architecture.strides
        bounds = [0, len(mass)] if starts is None else starts
        d, v = np.empty_like(position), np.empty_like(velocity)
        for a, b in pairwise(bounds):
            own = (np.array(f[a:b]) for f in (species, mass, position, velocity))
            d[a:b], v[a:b] = self._alone(*own, stride)
        if self.broken is not None:
            d[self.broken] = np.nan
        return d, v

    def _alone(self, species, mass, x, v, h):
        root = np.sqrt(mass)
        key = species.tobytes() + mass.tobytes()
        if key not in self._modes:
            k = springs(species, self.stiffness, self.pin) * FS**2  # amu/fs^2
            squared, modes = np.linalg.eigh(k / np.outer(root, root))
            omega = np.sqrt(np.maximum(squared, 0.0))
            omega[omega < 1e-7 * max(omega.max(), 1e-30)] = 0.0
            self._modes[key] = omega, modes
        omega, modes = self._modes[key]
        q, p = modes.T @ (root[:, None] * x), modes.T @ (root[:, None] * v)
        c, s = np.cos(omega * h)[:, None], np.sin(omega * h)[:, None]
        over = h * np.sinc(omega * h / np.pi)[:, None]
        dq, p_new = (c - 1.0) * q + over * p, -omega[:, None] * s * q + c * p
        return modes @ dq / root[:, None], modes @ p_new / root[:, None]


class HarmonicInteraction:
    """The same springs as an interaction."""

    provides = frozenset({"acceleration", "potential_energy", "virial"})
    velocity_dependent = False

    def __init__(self, stiffness=0.05, pin=0.0):
        self.stiffness, self.pin, self.calls = stiffness, pin, 0

    def evaluate(self, particles, out):
        self.calls += 1
        k = springs(particles.species, self.stiffness, self.pin)
        force = -k @ particles.position
        out.acceleration[...] = force / particles.mass[:, None]
        out.potential_energy = -0.5 * float(np.sum(particles.position * force))
        if out.virial is not None:
            out.virial[...] = particles.position.T @ force


def molecule(species=(1, 1, 6, 8, 1, 6), temperature=300.0, seed=1, **fields):
    """Return atoms near each other with thermal velocities, at rest and without rotation, in ASE units."""
    from askel.md.rigid import angular_momentum, mean, rotation_field
    from askel.md.temperature import boltzmann

    rng = np.random.default_rng(seed)
    mass = np.array([MASSES[z] for z in species])
    x = rng.normal(size=(len(mass), 3))
    v = rng.normal(size=x.shape) * np.sqrt(boltzmann(ASE) * temperature / mass)[:, None]
    v -= mean(mass, v)
    x -= mean(mass, x)
    if len(mass) > 2:
        v -= rotation_field(mass, x, angular_momentum(mass, x, v))
    return Particles(mass, x, v, units=ASE, species=np.array(species, np.int32), **fields)
