"""What every interaction must do, as functions: the harness that tests of Askel and of packages beside it share.

Each function takes an interaction and particles, which it leaves as they were, and returns a number or a truth value;
nothing is asserted. Derivatives are central differences of sixth order, so that a good interaction gives errors of
1e-10 or so and a wrong sign gives 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..particles import Particles
from .interaction import QUANTITIES, Evaluation, Interaction

FloatArray = NDArray[np.float64]

#: Central first difference of sixth order: (offset in steps, weight); Fornberg 1988, doi:10.1090/S0025-5718-1988-0935077-0
DIFFERENCE = ((1, 3.0 / 4.0), (2, -3.0 / 20.0), (3, 1.0 / 60.0))


def evaluated(interaction: Interaction, particles: Particles, *wants: str) -> Evaluation:
    """Return what an interaction gives, all that it provides unless some quantities are named."""
    out = Evaluation(particles.n, wants or interaction.provides)
    interaction.evaluate(particles, out)
    return out


def gradient_error(interaction: Interaction, particles: Particles, step: float) -> float:
    """Return max |m a + dU/dx| / max |m a|: the force is minus the gradient of the potential energy."""
    force = particles.mass[:, None] * evaluated(interaction, particles).acceleration
    moved = particles.clone()
    gradient = np.zeros_like(force)
    for row in np.ndindex(*force.shape):

        def energy(shift: float, row: tuple[int, ...] = row) -> float:
            moved.position[...] = particles.position
            moved.position[row] += shift
            return evaluated(interaction, moved, "potential_energy").potential_energy

        gradient[row] = _derivative(energy, step)
    return _largest(force + gradient) / _largest(force)


def jerk_error(interaction: Interaction, particles: Particles, dt: float) -> float:
    """Return max |da/dt - difference| / max |da/dt| for particles moved along their velocities."""
    jerk = evaluated(interaction, particles, "acceleration", "jerk").jerk
    assert jerk is not None, "asked of an interaction without a jerk"
    moved = particles.clone()

    def acceleration(time: float) -> FloatArray:
        moved.position[...] = particles.position + time * particles.velocity
        return evaluated(interaction, moved, "acceleration").acceleration

    return _largest(jerk - _derivative(acceleration, dt)) / _largest(jerk)


def tide_error(interaction: Interaction, particles: Particles, step: float) -> float:
    """Return max |T - difference| / max |T|, the difference that of a particle's acceleration as it alone is moved."""
    tide = evaluated(interaction, particles, "acceleration", "tide").tide
    assert tide is not None, "asked of an interaction without a tide"
    moved, difference = particles.clone(), np.zeros_like(tide)
    for k, axis in np.ndindex(particles.n, 3):

        def acceleration(shift: float, k: int = k, axis: int = axis) -> FloatArray:
            moved.position[...] = particles.position
            moved.position[k, axis] += shift
            return evaluated(interaction, moved, "acceleration").acceleration[k]

        difference[k, :, axis] = _derivative(acceleration, step)
    return _largest(tide - difference) / _largest(tide)


def virial_error(interaction: Interaction, particles: Particles, strain: float) -> float:
    """Return max |W + dU/d(strain)| / max |W|, W = sum x (x) F, x (and the cell, if any) scaled by 1 + strain."""
    virial = evaluated(interaction, particles, "acceleration", "virial").virial
    assert virial is not None, "asked of an interaction without a virial"
    derivative = np.zeros((3, 3))
    for row in np.ndindex(3, 3):

        def energy(size: float, row: tuple[int, ...] = row) -> float:
            moved, deformation = particles.clone(), np.eye(3)
            deformation[row] += size
            moved.position[...] = particles.position @ deformation
            if moved.cell is not None and particles.cell is not None:
                moved.cell[...] = particles.cell @ deformation
            return evaluated(interaction, moved, "potential_energy").potential_energy

        derivative[row] = _derivative(energy, strain)

    return _largest(virial + derivative) / _largest(virial)


def net_force(interaction: Interaction, particles: Particles) -> float:
    """Return |sum m a| / sum |m a|: zero to rounding for forces in pairs."""
    force = particles.mass[:, None] * evaluated(interaction, particles).acceleration
    return _largest(force.sum(axis=0)) / float(np.abs(force).sum())


def net_torque(interaction: Interaction, particles: Particles) -> float:
    """Return |sum x cross m a| / sum |x||m a|: zero to rounding for central forces of an isolated system."""
    force = particles.mass[:, None] * evaluated(interaction, particles).acceleration
    lever = np.linalg.norm(particles.position, axis=1) @ np.linalg.norm(force, axis=1)
    return _largest(np.cross(particles.position, force).sum(axis=0)) / float(lever)


def permutation_error(interaction: Interaction, particles: Particles, order: NDArray[np.int64]) -> float:
    """Return the relative change of acceleration, jerk and tide when the rows of the particles are in another order."""
    here, there = evaluated(interaction, particles), evaluated(interaction, particles.select(order))
    change = _largest(there.acceleration - here.acceleration[order]) / _largest(here.acceleration)
    if here.jerk is not None and there.jerk is not None:
        change = max(change, _largest(there.jerk - here.jerk[order]) / _largest(here.jerk))
    if here.tide is not None and there.tide is not None:
        change = max(change, _largest(there.tide - here.tide[order]) / _largest(here.tide))
    return change


def overwrites(interaction: Interaction, particles: Particles) -> bool:
    """Return whether old contents of the buffers, infinite ones included, leave no trace."""
    clean, dirty = evaluated(interaction, particles), Evaluation(particles.n, interaction.provides)
    for name in QUANTITIES:
        buffer = getattr(dirty, name)
        if isinstance(buffer, np.ndarray):
            buffer.fill(np.nan)
    dirty.potential_energy = np.inf
    interaction.evaluate(particles, dirty)
    return all(
        np.array_equal(getattr(clean, name), getattr(dirty, name))
        for name in interaction.provides & dirty.wants | {"acceleration"}
    )


def leaves_particles_alone(interaction: Interaction, particles: Particles) -> bool:
    """Return whether an evaluation changes nothing in the particles."""
    before = particles.clone()
    evaluated(interaction, particles)
    after = particles.to_dict()
    return all(np.array_equal(value, after[name]) for name, value in before.to_dict().items())


def wants_do_not_matter(interaction: Interaction, particles: Particles, tolerance: float = 1e-13) -> bool:
    """Return whether accelerations are the same, to ``tolerance``, whatever else is asked for."""
    alone = evaluated(interaction, particles, "acceleration").acceleration
    every = evaluated(interaction, particles).acceleration
    return _largest(alone - every) <= tolerance * _largest(alone)


def accepts_no_particles(interaction: Interaction, particles: Particles) -> bool:
    """Return whether an empty state is evaluated: a rank without particles calls ``evaluate`` like the others."""
    out = evaluated(interaction, particles.select(np.zeros(particles.n, bool)))
    return out.potential_energy == 0.0 and out.acceleration.shape == (0, 3)


def _derivative(function: Callable[[float], FloatArray | float], step: float) -> FloatArray:
    terms = [np.asarray(w * (np.asarray(function(k * step)) - function(-k * step))) for k, w in DIFFERENCE]
    return np.asarray(sum(terms) / step)


def _largest(values: NDArray | None) -> float:
    return 0.0 if values is None or values.size == 0 else float(np.abs(values).max())
