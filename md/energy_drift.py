"""The sum of the energy defects of strides, and its removal: what no tolerance of a single stride bounds."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ..integrators import Evaluation, Interaction, require
from ..particles import InputError, Particles
from .estimator import Context, FloatArray, remembered
from .temperature import Conserved, check_conserved, conserved_in, conserved_velocity

#: Predicted relative error of the temperature that a tolerance of 1 leaves.
TYPICAL_DRIFT = 0.001
#: k: heat capacity of an atom that vibrates, kinetic and potential.
_HEAT_CAPACITY = 3.0
#: Largest share of the internal kinetic energy that one stride may be given or lose.
_LARGEST_SHARE = 0.1
#: Place of the sum in the memory of estimators.
_SUM = "drift sum"


class EnergyDrift:
    r"""Adds up the energy defects of strides that stand, and takes the sum out of the velocities before it heats the system.

    s <- s e^(-h/tau) + (K' + U' - K - U - W)/(n k T),  dT/T = s/3

    A thermostat takes an excess of energy away in its relaxation time tau, so s is the excess that is there now, and s/3 the
    relative error of the temperature (3 k an atom: equipartition of a solid; a liquid has less, and errs by more). A constant
    defect d of every stride ends at s = d tau/h: below the tolerance of each stride, and yet 7 % of T for d = 0.02, tau = 10 h.
    Where |dT/T| exceeds ``tolerance * typical``, the internal velocities w of all atoms are scaled,

    w <- w sqrt(1 - s n k T/K_w),  s <- 0

    with K_w their kinetic energy; the motion that is conserved (momentum; rotation of open systems) stays. At most a tenth of
    K_w is given or taken in one stride, so there always is a root, and the rest stays in s. Energy, not equipartition: what
    the strides pump from some motions into others is left to the thermostat.

    | symbol | meaning |
    |---|---|
    | K, U; K', U' | kinetic and potential energy before and after the stride |
    | W | energy given inside (``Step.work``) |
    | T | ``Context.thermal_energy`` / k |

    Cost: one energy a stride, that of the state before being remembered. A repaired region counts with its forces. Statistics:
    "drift_corrections", "max_drift" (largest |dT/T| before a correction), "drift_energy" (all that was added).

    Parameters
    ----------
    interaction : gives potential_energy, that which made the training data
    relaxation : tau, time in which the thermostat takes half of a kinetic excess, the time constant of Langevin dynamics; None:
        nothing is forgotten, right without a thermostat and cautious with one
    typical : dT/T that a tolerance of 1 allows
    conserved : what the correction keeps; None: what the boundaries say

    Raises
    ------
    InputError : an interaction without energy, numbers that are not positive

    """

    name: ClassVar[str] = "drift"

    def __init__(
        self,
        interaction: Interaction,
        *,
        relaxation: float | None = None,
        typical: float = TYPICAL_DRIFT,
        conserved: Conserved | None = None,
    ) -> None:
        require(interaction, "potential_energy")
        check_conserved(conserved)
        if relaxation is not None and not relaxation > 0.0:
            raise InputError(f"the relaxation time of the energy drift is {relaxation:g}; expected a positive time")
        if not typical > 0.0:
            raise InputError(f"the typical energy drift is {typical:g}; expected a positive share of the temperature")
        self.interaction, self.typical, self.conserved = interaction, float(typical), conserved
        self.relaxation = math.inf if relaxation is None else float(relaxation)

    def settle(self, before: Particles, after: Particles, context: Context) -> None:
        """Add the defect of a stride that stands, and scale the velocities of ``after`` where the sum is too large.

        Raises
        ------
        Unscored : the interaction fails

        """
        exchange, memory = context.exchange, context.memory
        potential = [remembered(self, state, context) for state in (before, after)]
        own = after.kinetic_energy() - before.kinetic_energy() + float(potential[1][0] - potential[0][0])
        change, count = exchange.reduce(np.array([own, float(before.n)]), "sum")
        heat = float(count) * context.thermal_energy
        kept = float(memory.get(_SUM, np.zeros(1))[0]) * math.exp(-abs(context.dt) / self.relaxation)
        excess = kept + (float(change) - context.step.work) / heat
        drift = abs(excess) / _HEAT_CAPACITY
        context.counts["max_drift"] = max(drift, context.counts.get("max_drift", 0.0))
        if drift > context.tolerance * self.typical:
            removed = self._remove(after, excess * heat, context)
            context.counts["drift_energy"] = context.counts.get("drift_energy", 0.0) - removed
            context.count("drift_corrections")
            excess -= removed / heat
        memory[_SUM] = np.array([excess])

    def potentials(self, particles: Particles) -> FloatArray:
        """Return the potential energy, (1,); of several ranks, this one's share."""
        out = Evaluation(particles.n, ("potential_energy",))
        self.interaction.evaluate(particles, out)
        return np.array([out.potential_energy])

    def _remove(self, particles: Particles, energy: float, context: Context) -> float:
        """Take energy from the internal motion; return how much it was."""
        motion = conserved_velocity(particles, conserved_in(particles, self.conserved), context.exchange)
        internal = particles.velocity - motion
        own = 0.5 * float(particles.mass @ np.einsum("ij,ij->i", internal, internal))
        kinetic = float(context.exchange.reduce(own, "sum"))
        share = min(max(energy / kinetic, -_LARGEST_SHARE), _LARGEST_SHARE) if kinetic > 0.0 else 0.0
        particles.velocity += (math.sqrt(1.0 - share) - 1.0) * internal
        return share * kinetic


def drift_of(interaction: Interaction | None) -> EnergyDrift | None:
    """Return what watches the energy of an interaction, or None where it has none."""
    able = interaction is not None and "potential_energy" in interaction.provides
    return EnergyDrift(interaction) if interaction is not None and able else None
