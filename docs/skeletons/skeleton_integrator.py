"""Skeleton of an integrator: symplectic Euler, order 1. Copy to ``integrators/<method>.py`` and make it yours.

Inside the package imports are relative (``from ..particles import ...``, ``from .interaction import ...``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from askel.integrators import Capabilities, Change, Evaluation, Interaction, Outcome, PropagatorEntry, Step
from askel.particles import InputError, Particles
from numpy.typing import NDArray


@dataclass(slots=True)
class EulerCarry:
    """All memory between steps: arrays, numbers and strings alone, so that a checkpoint can store it.

    Attributes
    ----------
    acceleration : (n, 3), of the last kick; a diagnostic here, what a multistep method would need in earnest

    """

    acceleration: NDArray[np.float64]


class SymplecticEuler:
    r"""Kick, then drift; what it is not: the explicit Euler method, which gains energy without bound.

    v <- v + dt a(x),  x <- x + dt v

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | a | ``Evaluation.acceleration`` | (n, 3) float64 | length/time^2 |

    The global error falls as dt; the energy error stays bounded.

    Parameters
    ----------
    interaction : accelerations that depend on positions alone

    Raises
    ------
    InputError : the interaction depends on velocities

    References
    ----------
    Hairer, Lubich & Wanner, Geometric Numerical Integration, section I.1.2, doi:10.1007/3-540-30666-8

    """

    def __init__(self, interaction: Interaction) -> None:
        if interaction.velocity_dependent:
            raise InputError("symplectic-euler needs forces that depend on positions alone; use radau15")
        self.interaction = interaction
        self.capabilities = Capabilities(order=1, symplectic=True)

    def start(self, particles: Particles) -> EulerCarry:
        """Return the carry."""
        return EulerCarry(np.zeros((particles.n, 3)))

    def advance(self, particles: Particles, carry: EulerCarry, dt: float) -> Step:
        """Do one step of size dt, which may be negative or zero."""
        out = Evaluation(particles.n)
        self.interaction.evaluate(particles, out)
        carry.acceleration[...] = out.acceleration
        particles.velocity += dt * out.acceleration
        particles.position += dt * particles.velocity
        particles.time += dt
        outcome = Outcome.COMPLETED if np.isfinite(particles.position).all() else Outcome.NOT_FINITE
        return Step(elapsed=dt, outcome=outcome, statistics={"micro_steps": 1, "evaluations": 1})

    def synchronise(self, particles: Particles, carry: EulerCarry) -> None:
        """Do nothing: positions and velocities are reported at the same time."""

    def membership_changed(self, particles: Particles, carry: EulerCarry, change: Change) -> EulerCarry:
        """Start anew, because nothing of the past is needed."""
        return self.start(particles)


#: The row for ``integrators/__init__.py``; being registered, it is tested, and is a ``kind`` in job files.
ENTRY = PropagatorEntry(
    "symplectic-euler",
    "skeleton_integrator:SymplecticEuler",
    takes="interaction",
    fixed_step=True,
    summary="kick-drift, 1st order, symplectic",
)
