"""The estimators: energy, reversibility, step doubling, ensemble, range. See ``estimator`` for what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..equivariant.graph import Graph, shared_graph
from ..integrators import Evaluation, Interaction, Propagator, require
from ..particles import Exchange, Halo, InputError, Particles
from .estimator import (
    TYPICAL_ENERGY_DEFECT,
    TYPICAL_MISMATCH,
    Context,
    Estimator,
    FloatArray,
    is_known,
    mismatch,
    ratio,
    remembered,
    species_of,
)


class EnergyDefect(Estimator):
    r"""The change of the total energy that no thermostat accounts for, per atom, over k T: the same score for all atoms.

    defect = |K' + U' - K - U - W| / (n k T),  W the work that ``Step.work`` of the stride reports

    A thermostat around the controller is outside the stride, and so outside the difference. Cost: one energy a stride (that of
    the state before is remembered while its positions stand). It cannot see energy that only changed hands: a wrong
    partition between species. It cannot say where: all atoms are rejected together, and one bad atom among many is diluted.

    Parameters
    ----------
    interaction : with potential energy; the one that made the training data
    typical : float, defect of one stride that a good model has

    """

    name = "energy"

    def __init__(self, interaction: Interaction, *, typical: float = TYPICAL_ENERGY_DEFECT) -> None:
        require(interaction, "potential_energy")
        self.interaction, self.typical = interaction, float(typical)

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,)."""
        potential = [remembered(self, state, context) for state in (before, after)]
        own = after.kinetic_energy() - before.kinetic_energy() + float(potential[1][0] - potential[0][0])
        change, count = context.exchange.reduce(np.array([own, before.n]), "sum")
        each = abs(change - context.step.work) / count
        return ratio(np.full(before.n, each), np.full(before.n, context.thermal_energy))

    def potentials(self, particles: Particles) -> FloatArray:
        """Return the potential energy, (1,); of several ranks, this one's share."""
        out = Evaluation(particles.n, ("potential_energy",))
        self.interaction.evaluate(particles, out)
        return np.array([out.potential_energy])


class AtomicEnergies(Protocol):
    """What splits the potential energy among atoms."""

    def atomic_energies(self, particles: Particles) -> FloatArray:
        """Return (n,), in the energy unit of the particles."""
        ...


class LocalEnergyDefect(Estimator):
    r"""The change of energy of an atom's neighbourhood, per atom in it, over k T.

    defect_i = |mean over j within ``radius`` of i of (m v'^2/2 + u' - m v^2/2 - u)_j| / k T

    Heat flows through the surface of a neighbourhood in exact dynamics too: take the scale from a calibration. Cost: one
    evaluation of atomic energies a stride, and a neighbour list.

    Parameters
    ----------
    energies : AtomicEnergies
    radius : length
    typical : float, defect of one stride that a good model has; dominated by the flow of heat

    """

    name = "local-energy"

    def __init__(self, energies: AtomicEnergies, radius: float, *, typical: float = 0.3) -> None:
        self.energies, self.radius, self.typical = energies, float(radius), float(typical)

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,)."""
        totals = [
            0.5 * state.mass * np.sum(state.velocity**2, axis=1) + remembered(self, state, context)
            for state in (before, after)
        ]
        change = totals[1] - totals[0] - context.step.work / context.exchange.reduce(before.n, "sum")
        halo, graph = _graph(before, self.radius, context.exchange)
        sent = np.concatenate([change, halo.forward(change)])[graph.sender]
        around = change + np.bincount(graph.receiver, weights=sent, minlength=before.n)
        size = 1.0 + np.diff(graph.start)
        return ratio(np.abs(around) / size, np.full(before.n, context.thermal_energy))

    def potentials(self, particles: Particles) -> FloatArray:
        """Return the potential energies, (n,)."""
        return self.energies.atomic_energies(particles)


# ---------------------------------------------------------------------- further strides


class ReversibilityDefect(Estimator):
    """How far a stride, flipped velocities and a stride miss the start: delta of both states.

    Exact dynamics gives 0; a small defect is necessary, not sufficient (a map can be reversible and wrong). Local up to the reach
    of the network. Cost: one stride.
    """

    name = "reversibility"

    def __init__(self, *, typical: float = TYPICAL_MISMATCH) -> None:
        self.typical = float(typical)

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,)."""
        flipped = after.clone()
        np.negative(flipped.velocity, out=flipped.velocity)
        back = context.apply(flipped, context.carry_after, context.dt)
        return mismatch(back.position - before.position, back.velocity + before.velocity, before.mass, context)


class DoublingDefect(Estimator):
    """The distance delta between one stride and two of half its length.

    Local up to the reach of the network. In chaotic systems it grows with the stride also for exact maps with rounding. It is
    blind (0) for a stride whose half the model was not trained for, as in step doubling of integrators, where the finer result
    is taken on trust. Cost: two strides.
    """

    name = "doubling"

    def __init__(self, *, typical: float = TYPICAL_MISMATCH) -> None:
        self.typical = float(typical)

    def check(self, strides: Sequence[float]) -> None:
        """Refuse strides of which none is twice another."""
        if not any(is_known(0.5 * h, strides) for h in strides):
            known = ", ".join(f"{h:g}" for h in strides)
            raise InputError(f"the doubling estimator needs a stride and its half; this model has {known} (time units)")

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,)."""
        if not is_known(0.5 * context.dt, context.stride.capabilities.strides or ()):
            return np.zeros(before.n)
        fine = context.apply(before, context.carry_before, 0.5 * context.dt, times=2)
        return mismatch(after.position - fine.position, after.velocity - fine.velocity, before.mass, context)


class EnsembleSpread(Estimator):
    r"""The spread of several models' strides around their mean: root mean square of delta over the models.

    Local up to the reach of the networks. It sees what the models disagree on, not what they have all learned wrongly. Cost: one
    stride of each other model.

    Parameters
    ----------
    others : Propagators that take the same strides; with the stride itself they are the ensemble
    typical : float, spread that is usual on data like the training data

    """

    name = "ensemble"

    def __init__(self, others: Sequence[Propagator], *, typical: float = TYPICAL_MISMATCH) -> None:
        if not others:
            raise InputError("the ensemble estimator got no other model; give at least one")
        self.others, self.typical = tuple(others), float(typical)

    def check(self, strides: Sequence[float]) -> None:
        """Refuse models that lack a stride."""
        for other in self.others:
            able = other.capabilities.strides
            lacking = [] if able is None else [h for h in strides if not is_known(h, able)]
            if lacking:
                raise InputError(f"a model of the ensemble was not trained for the stride {lacking[0]:g} (time units)")

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,)."""
        states = [after]
        states += [context.apply_other(m, before, m.start(before), context.dt) for m in self.others]
        x, v = np.stack([s.position for s in states]), np.stack([s.velocity for s in states])
        spread = [mismatch(a, b, before.mass, context) for a, b in zip(x - x.mean(0), v - v.mean(0), strict=True)]
        return np.sqrt(np.mean(np.square(spread), axis=0))


# ---------------------------------------------------------------------- ranges


class TrainingRange(Estimator):
    r"""Whether an atom is where the training data were: pair distances, displacement, speed. Free but for a neighbour list.

    score_i = max(d_min/d_ij, |x' - x|_i/d_max, |v|_i/v_max, |v'|_i/v_max)

    The limits are hard: the tolerance does not move them, and a score below 1 says nothing about accuracy. Pairs are looked
    for before and after the stride, and only those closer than the largest ``shortest_pair`` are found.

    Parameters
    ----------
    shortest_pair : length, for all pairs or {(Z, Z): length}; None: not looked at
    largest_displacement : length, in one stride; a good choice is half the cutoff
    largest_speed : for all atoms or {Z: speed}

    Raises
    ------
    InputError : no limit at all, or one that is not positive

    """

    name = "range"
    steers = False
    typical = 1.0

    def __init__(
        self,
        *,
        shortest_pair: float | Mapping[tuple[int, int], float] | None = None,
        largest_displacement: float | None = None,
        largest_speed: float | Mapping[int, float] | None = None,
    ) -> None:
        pairs = shortest_pair if isinstance(shortest_pair, Mapping) else {None: shortest_pair or 0.0}
        speeds = largest_speed if isinstance(largest_speed, Mapping) else {None: largest_speed or np.inf}
        if shortest_pair is None and largest_displacement is None and largest_speed is None:
            raise InputError(
                "the range estimator got no limit; give shortest_pair, largest_displacement or largest_speed"
            )
        if any(not d >= 0.0 for d in (*pairs.values(), *speeds.values(), largest_displacement or 0.0)):
            raise InputError("the limits of the range estimator must be positive numbers")
        self._pairs: dict[Any, float] = {k if k is None else tuple(sorted(k)): float(d) for k, d in pairs.items()}
        self._speeds: dict[Any, float] = {k: float(s) for k, s in speeds.items()}
        self._displacement = largest_displacement

    def score(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the score (n,): 1 at a limit."""
        return self.defect(before, after, context)

    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the largest of all ratios to a limit, (n,)."""
        worst = np.zeros(before.n)
        if self._displacement is not None:
            worst = np.linalg.norm(after.position - before.position, axis=1) / self._displacement
        for state in (before, after):
            fast = np.linalg.norm(state.velocity, axis=1) / self._limits(state)
            worst = np.maximum(worst, np.maximum(fast, self._closeness(state, context.exchange)))
        return worst

    def _limits(self, state: Particles) -> FloatArray:
        if None in self._speeds:
            return np.full(state.n, self._speeds[None])
        return np.array([self._speeds.get(int(z), np.inf) for z in species_of(state)])

    def _closeness(self, state: Particles, exchange: Exchange) -> FloatArray:
        reach, out = max(self._pairs.values()), np.zeros(state.n)
        if reach == 0.0:
            return out
        halo, graph = _graph(state, reach, exchange)
        place, z = (np.concatenate([rows, halo.forward(rows)]) for rows in (state.position, species_of(state)))
        length = np.linalg.norm(graph.vectors(place), axis=1)
        limit = self._pair_table(int(z.max(initial=0)))[z[graph.sender], z[graph.receiver]]
        np.maximum.at(out, graph.receiver, ratio(limit, length))
        return out

    def _pair_table(self, largest: int) -> FloatArray:
        """Return the shortest distance of every two species, (largest + 1, largest + 1); 0 where there is no limit."""
        table = np.full((largest + 1, largest + 1), self._pairs.get(None, 0.0))
        for pair, length in self._pairs.items():
            if pair is not None and max(pair) <= largest:
                table[pair], table[pair[::-1]] = length, length
        return table


def _graph(particles: Particles, cutoff: float, exchange: Exchange) -> tuple[Halo, Graph]:
    periodic = np.zeros(3, bool) if particles.periodic is None else particles.periodic
    cell = particles.cell if periodic.any() else None
    return shared_graph(particles.position, cell, periodic, cutoff, exchange)


#: name in job files -> estimator
ESTIMATORS: dict[str, type[Estimator]] = {
    kind.name: kind
    for kind in (EnergyDefect, LocalEnergyDefect, ReversibilityDefect, DoublingDefect, EnsembleSpread, TrainingRange)
}
