"""Random rotations around a stride: what a network is not equivariant to averages out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..integrators import Change, Propagator, Step
from ..particles import Particles
from ..particles.noise import Purpose, normal
from .groups import group_key
from .layers import Layered
from .rigid import FloatArray, mean, rotation


@dataclass(slots=True)
class RotationMemory:
    """Memory between steps.

    Attributes
    ----------
    draws : int, rotations drawn
    position, turned : (n, 3), positions before the advance, as they were and rotated
    cell : (3, 3), the cell before the advance (zeros without one)

    """

    draws: int
    position: FloatArray
    turned: FloatArray
    cell: FloatArray


class RotateRandomly:
    r"""The layer of ``RandomlyRotated``.

    (x, v, cell) -> R (x, v, cell), advance, then x + R^T d and R^T v', with R uniform over all rotations

    R comes from a quaternion of four normal numbers of counter-based noise. Positions are changed by the displacement d
    turned back, so that rotations add no rounding to them.

    Parameters
    ----------
    seed : int

    """

    reversible = False
    changes_cell = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def start(self, particles: Particles) -> RotationMemory:
        """Return the memory."""
        zeros = np.zeros((particles.n, 3))
        return RotationMemory(0, zeros, zeros.copy(), np.zeros((3, 3)))

    def before(self, particles: Particles, memory: RotationMemory, dt: float) -> float:
        """Rotate the system about its centre of mass."""
        matrix = self._matrix(particles, memory)
        centre = mean(particles.mass, particles.position)
        memory.position[...] = particles.position
        memory.turned[...] = (particles.position - centre) @ matrix.T + centre
        particles.position[...] = memory.turned
        particles.velocity[...] = particles.velocity @ matrix.T
        if particles.cell is not None:
            memory.cell[...] = particles.cell
            particles.cell[...] = particles.cell @ matrix.T
        return 0.0

    def after(self, particles: Particles, memory: RotationMemory, dt: float, step: Step) -> Step:
        """Rotate back, after a failed advance too."""
        matrix = self._matrix(particles, memory)
        particles.position[...] = memory.position + (particles.position - memory.turned) @ matrix
        particles.velocity[...] = particles.velocity @ matrix
        if particles.cell is not None:
            particles.cell[...] = memory.cell
        memory.draws += 1
        return step

    def membership_changed(self, particles: Particles, memory: RotationMemory, change: Change) -> RotationMemory:
        """Keep the count."""
        new = self.start(particles)
        new.draws = memory.draws
        return new

    def _matrix(self, particles: Particles, memory: RotationMemory) -> FloatArray:
        key = group_key(particles.identity)
        return rotation(normal(self.seed, Purpose.ROTATION, memory.draws, [key], 4)[0])


class RandomlyRotated(Layered):
    """A propagator that sees the system in a random orientation in every step: ``RotateRandomly``.

    The cell is turned with it and comes back unchanged, so a barostat must stay outside.

    Parameters
    ----------
    inner : Propagator, with fixed steps
    seed : int

    """

    def __init__(self, inner: Propagator, *, seed: int = 0) -> None:
        super().__init__(inner, RotateRandomly(seed))
