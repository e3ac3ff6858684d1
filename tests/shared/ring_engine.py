"""A test double with neighbours: carbon atoms on a ring of sites, springs between neighbours, moved exactly over any stride.

U = sum_i k |u_i - u_(i+1)|^2 / 2 + pin sum_i |u_i|^2 / 2, u_i the distance of atom i from its site. Atom i has the identity i,
and the box repeats along the ring. ``spoil`` makes the engine wrong on purpose.
"""

import harmonic_engine as double
import numpy as np
from askel.md.temperature import boltzmann
from askel.particles import Particles

ASE, FS = double.ASE, double.FS

SPACING, MASS, STIFFNESS = 2.0, 12.011, 2.0


def sites(n):
    return np.outer(np.arange(n), [SPACING, 0.0, 0.0])


def ring(n=200, temperature=300.0, seed=1):
    """Return atoms at their sites, displaced and moving as at a temperature, without total momentum."""
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(n, 3)) * np.sqrt(boltzmann(ASE) * temperature / MASS)
    u = rng.normal(size=(n, 3)) * np.sqrt(boltzmann(ASE) * temperature / (2.0 * STIFFNESS))
    box = np.diag([n * SPACING, 40.0, 40.0])
    return Particles(
        np.full(n, MASS),
        sites(n) + u - u.mean(0),
        v - v.mean(0),
        units=ASE,
        species=np.full(n, 6),
        cell=box,
        periodic=[True, False, False],
    )


class RingInteraction:
    """The springs; atoms that are absent pull nothing, so that clusters are wrong at their ends."""

    provides = frozenset({"acceleration", "potential_energy"})
    velocity_dependent = False

    def __init__(self, n, pin=0.0):
        self.n, self.pin, self.calls, self.atoms = n, pin, 0, 0

    def evaluate(self, particles, out):
        self.calls += 1
        self.atoms += particles.n
        who = particles.identity
        u = particles.position - sites(self.n)[who]
        row = np.full(self.n, -1)
        row[who] = np.arange(len(who))
        right = row[(who + 1) % self.n]
        there = right >= 0
        stretch = np.where(there[:, None], u[right] - u, 0.0)
        force = STIFFNESS * stretch - self.pin * u
        np.subtract.at(force, right[there], STIFFNESS * stretch[there])
        out.acceleration[...] = force / particles.mass[:, None]
        out.potential_energy = 0.5 * float(STIFFNESS * np.sum(stretch**2) + self.pin * np.sum(u**2))

    def atomic_energies(self, particles):
        u = particles.position - sites(self.n)[particles.identity]
        stretch = np.sum((np.roll(u, -1, 0) - u) ** 2, axis=1)
        return 0.25 * STIFFNESS * (stretch + np.roll(stretch, 1)) + 0.5 * self.pin * np.sum(u**2, axis=1)


class RingEngine(double.HarmonicEngine):
    """The exact motion of the ring; ``spoil(u, v, h, d, w) -> (d, w)`` may change displacement and new velocity."""

    def __init__(self, n, strides=(2.0, 4.0, 8.0), pin=0.0, spoil=None, **options):
        super().__init__(strides=strides, **options)
        k = 2.0 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0)
        squared, self.modes = np.linalg.eigh((STIFFNESS * k + pin * np.eye(n)) * FS**2 / MASS)
        self.omega = np.sqrt(np.maximum(squared, 0.0))
        self.omega[self.omega < 1e-7] = 0.0
        self.sites, self.spoil = sites(n), spoil

    def _alone(self, species, mass, x, v, h):
        u = x - self.sites
        q, p, omega = self.modes.T @ u, self.modes.T @ v, self.omega[:, None]
        over = h * np.sinc(omega * h / np.pi)
        d = self.modes @ ((np.cos(omega * h) - 1.0) * q + over * p)
        w = self.modes @ (-omega * np.sin(omega * h) * q + np.cos(omega * h) * p)
        return (d, w) if self.spoil is None else self.spoil(u, v, h, d, w)


def kick(rows, amount, power=2):
    """Return a spoiler that pushes marked atoms away from their sites: w += amount h^power u, d += amount h^(power+1) u/2."""

    def spoil(u, v, h, d, w):
        d, w = d.copy(), w.copy()
        push = amount * h**power * u[rows]
        w[rows] += push
        d[rows] += 0.5 * h * push
        return d, w

    return spoil


def far(limit, amount, power=2):
    """Return a spoiler that pushes atoms further than ``limit`` from their sites, the more the further."""

    def spoil(u, v, h, d, w):
        size = np.linalg.norm(u, axis=1, keepdims=True)
        push = amount * h**power * np.where(size > limit, size - limit, 0.0) * u / size
        return d + 0.5 * h * push, w + push

    return spoil
