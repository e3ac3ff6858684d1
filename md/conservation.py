"""Momentum as a hard constraint: what any propagator changed of linear and angular momentum is taken back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..integrators import Change, Propagator, Step
from ..particles import SERIAL, Exchange, Particles
from .layers import Layered
from .rigid import FloatArray, angular_momentum, mean, rotation_field
from .temperature import Conserved, check_conserved, conserved_in


@dataclass(slots=True)
class Motion:
    """What an isolated system keeps, taken before an advance.

    Attributes
    ----------
    centre, drift : (3,), position and velocity of the centre of mass
    spin : (3,), angular momentum about it

    """

    centre: FloatArray
    drift: FloatArray
    spin: FloatArray

    def take(self, particles: Particles, exchange: Exchange = SERIAL) -> None:
        """Overwrite all with those of a state."""
        mass, x, v = particles.mass, particles.position, particles.velocity
        self.centre[...], self.drift[...] = mean(mass, x, exchange), mean(mass, v, exchange)
        self.spin[...] = angular_momentum(mass, x, v, exchange)

    def impose(self, particles: Particles, conserved: Conserved, exchange: Exchange = SERIAL) -> None:
        """Give the particles this drift, and with rotation conserved this angular momentum, at their positions."""
        mass, x, v = particles.mass, particles.position, particles.velocity
        v += self.drift - mean(mass, v, exchange)
        if conserved == "momentum and rotation":
            v += rotation_field(mass, x, self.spin - angular_momentum(mass, x, v, exchange), exchange)


def at_rest() -> Motion:
    """Return a motion of zeros."""
    return Motion(np.zeros(3), np.zeros(3), np.zeros(3))


class ConserveMomentum:
    r"""The layer of ``MomentumConserving``.

    x_i -= X' - X - V h,  v_i -= V' - V,  v_i += omega x r_i with I omega = L - L' (open systems)

    | symbol | meaning |
    |---|---|
    | X, V, L | centre of mass, its velocity, angular momentum about it, before; primed: after |
    | I, r | tensor of inertia and positions about the new centre of mass |

    The corrections are the smallest in the metric of the masses. Exact to rounding, except that a linear molecule cannot
    turn about its line: the part of L along the new line is then lost.

    Parameters
    ----------
    conserved : "momentum", "momentum and rotation"; None: what the boundaries say
    exchange : Exchange; each rank has its own particles, sums are over all

    """

    reversible = False
    changes_cell = False

    def __init__(self, conserved: Conserved | None = None, *, exchange: Exchange = SERIAL) -> None:
        check_conserved(conserved)
        self.conserved, self.exchange = conserved, exchange

    def start(self, particles: Particles) -> Motion:
        """Return the memory."""
        return at_rest()

    def before(self, particles: Particles, memory: Motion, dt: float) -> float:
        """Take note of the motion."""
        memory.take(particles, self.exchange)
        return 0.0

    def after(self, particles: Particles, memory: Motion, dt: float, step: Step) -> Step:
        """Take back what changed of it."""
        kept = conserved_in(particles, self.conserved)
        if step.outcome.failed or kept == "nothing":
            return step
        centre = mean(particles.mass, particles.position, self.exchange)
        particles.position += memory.centre + step.elapsed * memory.drift - centre
        memory.impose(particles, kept, self.exchange)
        return step if step.energy is None else replace(step, energy=None)

    def membership_changed(self, particles: Particles, memory: Motion, change: Change) -> Motion:
        """Keep the memory."""
        return memory


class MomentumConserving(Layered):
    """A propagator whose total momentum, and in open systems angular momentum, stay as they are: ``ConserveMomentum``.

    Parameters
    ----------
    inner : Propagator, with fixed steps
    conserved : "momentum", "momentum and rotation"; None: what the boundaries say
    exchange : Exchange; each rank has its own particles, sums are over all

    """

    def __init__(self, inner: Propagator, *, conserved: Conserved | None = None, exchange: Exchange = SERIAL) -> None:
        super().__init__(inner, ConserveMomentum(conserved, exchange=exchange))
