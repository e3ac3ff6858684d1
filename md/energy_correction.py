"""Guarded energy correction: a stride's energy defect removed together with that of the momenta, or an honest failure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..integrators import Change, Evaluation, Interaction, Outcome, Propagator, Step, require
from ..particles import InputError, Particles
from .conservation import Motion, at_rest
from .layers import Layered
from .rigid import FloatArray
from .temperature import Conserved, check_conserved, conserved_in, conserved_velocity


@dataclass(slots=True)
class EnergyMemory:
    """Memory between steps.

    Attributes
    ----------
    potential : float, potential energy at ``known_at``
    known_at : (n, 3), positions (NaN: nowhere)
    known_cell : (3, 3), the cell (zeros without one)
    energy : float, kinetic + potential energy before the advance
    motion : Motion before the advance

    """

    potential: float
    known_at: FloatArray
    known_cell: FloatArray
    energy: float
    motion: Motion


class CorrectEnergy:
    r"""The layer of ``EnergyCorrected``.

    v = V + omega x r + s w,  I omega = L,  s^2 = (E + W - U' - K_rigid) / K_w

    | symbol | meaning |
    |---|---|
    | E, V, L | energy, velocity of the centre of mass, angular momentum (open systems), before the advance |
    | W | energy given inside (``Step.work``) |
    | U', I, r | potential energy, tensor of inertia and positions after the advance |
    | w | velocities after the advance less their rigid motion; K_w their kinetic energy |
    | K_rigid | kinetic energy of V and omega |

    Rigid and internal motion are orthogonal in the metric of the masses, so the constraints are met together: one 3x3 solve
    gives omega, a square root gives s. It exists where the energy left for w is positive; and a defect above ``limit`` of
    K_w is no small error to hide. In both cases the velocities are left alone and the outcome is NOT_CONVERGED, never NaN.

    The correction removes an error and is not counted as work. Statistics: "max_energy_defect", |dE| / K_w before the
    correction; "energy_correction", the sum of dE; "energy_evaluations".

    Parameters
    ----------
    interaction : gives potential_energy
    limit : largest defect relative to the internal kinetic energy that is corrected
    conserved : what the correction keeps besides the energy; None: what the boundaries say

    Raises
    ------
    InputError : an interaction without energy, a limit outside (0, 1]

    """

    reversible = False
    changes_cell = False

    def __init__(self, interaction: Interaction, *, limit: float = 0.2, conserved: Conserved | None = None) -> None:
        require(interaction, "potential_energy")
        check_conserved(conserved)
        if not 0.0 < limit <= 1.0:
            raise InputError(
                f"limit of the energy correction is {limit:g}; expected a share of the kinetic energy, 0 to 1"
            )
        self.interaction, self.limit, self.conserved = interaction, float(limit), conserved

    def start(self, particles: Particles) -> EnergyMemory:
        """Return the memory."""
        return EnergyMemory(0.0, np.full((particles.n, 3), np.nan), np.zeros((3, 3)), 0.0, at_rest())

    def before(self, particles: Particles, memory: EnergyMemory, dt: float) -> float:
        """Take note of energy and motion; the potential energy is that of the last step where no atom has moved since."""
        self._potential(particles, memory)
        memory.energy = particles.kinetic_energy() + memory.potential
        memory.motion.take(particles)
        return 0.0

    def after(self, particles: Particles, memory: EnergyMemory, dt: float, step: Step) -> Step:
        """Correct the velocities, or report that it cannot be done."""
        if step.outcome.failed:
            return step
        evaluations = self._potential(particles, memory)
        kept, v = conserved_in(particles, self.conserved), particles.velocity
        internal = v - conserved_velocity(particles, kept)
        kinetic = _kinetic(particles, internal)
        defect = particles.kinetic_energy() + memory.potential - memory.energy - step.work
        corrected = v.copy()
        v[...] = 0.0
        if kept != "nothing":
            memory.motion.impose(particles, kept)
        left = memory.energy + step.work - memory.potential - particles.kinetic_energy()
        possible = kinetic > 0.0 and abs(left - kinetic) <= self.limit * kinetic and left > 0.0
        if possible:
            v += math.sqrt(left / kinetic) * internal
        else:
            v[...] = corrected
        statistics = {
            **step.statistics,
            "max_energy_defect": abs(defect) / kinetic if kinetic > 0.0 else math.inf,
            "energy_correction": -defect if possible else 0.0,
            "energy_evaluations": evaluations,
        }
        if not possible and not _nothing_to_correct(defect, kinetic, memory.energy):
            return replace(step, outcome=Outcome.NOT_CONVERGED, statistics=statistics)
        return replace(step, energy=particles.kinetic_energy() + memory.potential, statistics=statistics)

    def membership_changed(self, particles: Particles, memory: EnergyMemory, change: Change) -> EnergyMemory:
        """Start anew."""
        return self.start(particles)

    def _potential(self, particles: Particles, memory: EnergyMemory) -> int:
        """Bring ``memory.potential`` up to date; return the number of evaluations."""
        cell = np.zeros((3, 3)) if particles.cell is None else particles.cell
        if np.array_equal(memory.known_at, particles.position) and np.array_equal(memory.known_cell, cell):
            return 0
        out = Evaluation(particles.n, ("potential_energy",))
        self.interaction.evaluate(particles, out)
        memory.potential = float(out.potential_energy)
        memory.known_at, memory.known_cell = particles.position.copy(), cell.copy()
        return 1


class EnergyCorrected(Layered):
    """A propagator whose energy is kept by scaling internal velocities, or that reports failure: ``CorrectEnergy``.

    One energy evaluation a step, no forces. Thermostats go outside of it.

    Parameters
    ----------
    inner : Propagator, with fixed steps
    interaction : gives potential_energy
    limit : largest defect relative to the internal kinetic energy that is corrected
    conserved : what is kept besides the energy; None: what the boundaries say

    """

    def __init__(
        self, inner: Propagator, interaction: Interaction, *, limit: float = 0.2, conserved: Conserved | None = None
    ) -> None:
        super().__init__(inner, CorrectEnergy(interaction, limit=limit, conserved=conserved))


def _kinetic(particles: Particles, velocity: FloatArray) -> float:
    return 0.5 * float(particles.mass @ np.einsum("ij,ij->i", velocity, velocity))


def _nothing_to_correct(defect: float, kinetic: float, energy: float) -> bool:
    """Return whether a system without internal motion has its energy within rounding: one atom, all at rest."""
    return kinetic == 0.0 and abs(defect) <= 1e-12 * abs(energy)
