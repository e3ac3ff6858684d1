"""Replicas: R independent systems advanced as one graph, each with layers (a thermostat, ...) of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..integrators import Change, Propagator, Step
from ..particles import InputError, Particles, join
from .layers import Layer, after_all, before_all, wrapped_capabilities


@dataclass(slots=True)
class ReplicasCarry:
    """Memory between steps.

    Attributes
    ----------
    inner : carry of the propagator that moves all replicas
    layers : per replica, memories of its layers

    """

    inner: Any
    layers: tuple[tuple[Any, ...], ...]


class Replicas:
    """One state that holds R replicas one after the other, moved together, each inside its own layers.

    A replica's rows follow bit for bit the run of that replica alone (with the same identities, layers and seeds), when
    the engine treats each part of a batch as it treats it alone.

    Parameters
    ----------
    inner : Propagator that moves all rows and knows where replicas start: ``LearnedStride(engine, starts=starts)``
    layers : (R,) sequences of layers, the outermost first; thermostats with temperatures of their own
    starts : (R + 1,) int, row offsets; ``replicate`` gives them

    Raises
    ------
    InputError : offsets that do not ascend from 0, not as many sets of layers as replicas, layers that change the cell, which
        all replicas share

    """

    def __init__(self, inner: Propagator, layers: Sequence[Sequence[Layer]], starts: Sequence[int]) -> None:
        self.inner, self.layers = inner, tuple(tuple(own) for own in layers)
        self.starts = np.array(starts, dtype=np.int64)
        if len(self.starts) < 2 or self.starts[0] != 0 or (np.diff(self.starts) <= 0).any():
            raise InputError(f"replicas start at rows {list(starts)}; expected ascending numbers from 0 on")
        if len(self.layers) != len(self.starts) - 1:
            raise InputError(f"{len(self.layers)} sets of layers for {len(self.starts) - 1} replicas; give one each")
        every = [layer for own in self.layers for layer in own]
        if any(layer.changes_cell for layer in every):
            raise InputError("replicas share one cell; a barostat or a random rotation changes it: run them one by one")
        self.capabilities = wrapped_capabilities(inner, every)

    def start(self, particles: Particles) -> ReplicasCarry:
        """Return the carry."""
        parts = self.parts(particles)
        return ReplicasCarry(
            self.inner.start(particles),
            tuple(tuple(layer.start(part) for layer in own) for own, part in zip(self.layers, parts, strict=True)),
        )

    def advance(self, particles: Particles, carry: ReplicasCarry, dt: float) -> Step:
        """Do every replica's first parts, one advance of all, every replica's second parts."""
        if dt == 0.0:
            return Step(elapsed=0.0)
        parts = self.parts(particles)
        ours = list(zip(self.layers, parts, carry.layers, strict=True))
        given = [before_all(own, part, memories, dt) for own, part, memories in ours]
        moved = self.inner.advance(particles, carry.inner, dt)
        self.inner.synchronise(particles, carry.inner)
        bare = replace(moved, work=0.0, energy=None, statistics={})
        steps = []
        for (own, part, memories), work in zip(ours, given, strict=True):
            part.time = particles.time
            steps.append(after_all(own, part, memories, dt, bare, work))
        failed = [k for k, step in enumerate(steps) if step.outcome.failed]
        return replace(
            moved,
            outcome=steps[failed[0]].outcome if failed else moved.outcome,
            work=moved.work + sum(step.work for step in steps),
            energy=None,
            identities=moved.identities or _identities([parts[k] for k in failed]),
            statistics=moved.statistics | {"failed_replicas": len(failed)} if failed else moved.statistics,
        )

    def synchronise(self, particles: Particles, carry: ReplicasCarry) -> None:
        """Bring all fields to one time."""
        self.inner.synchronise(particles, carry.inner)

    def membership_changed(self, particles: Particles, carry: ReplicasCarry, change: Change) -> ReplicasCarry:
        """Refuse: which replica a row belongs to would be lost.

        Raises
        ------
        InputError : always

        """
        raise InputError("replicas keep their atoms; run a system whose membership changes on its own")

    def parts(self, particles: Particles) -> list[Particles]:
        """Return the replicas as states that view the rows of ``particles``."""
        fields = particles.present()
        if particles.n != self.starts[-1]:
            raise InputError(f"replicas end at row {self.starts[-1]}; the state has {particles.n} particles")
        out = []
        for first, last in zip(self.starts[:-1], self.starts[1:], strict=True):
            values = {
                f.name: getattr(particles, f.name)[first:last] if f.scope == "particle" else getattr(particles, f.name)
                for f in fields
            }
            out.append(Particles.from_dict(values, particles.units))
        return out


def replicate(states: Sequence[Particles]) -> tuple[Particles, tuple[int, ...]]:
    """Return one state of several replicas, renumbered so that identities are unique, and their row offsets.

    Identities ascend from 0 over all replicas: that gives every replica its own noise.

    Raises
    ------
    InputError : states of different units, times, cells or boundaries

    """
    for state in states:
        for name in ("cell", "periodic"):
            if not np.array_equal(getattr(state, name), getattr(states[0], name)):
                raise InputError(f"replicas must share one {name}; run systems with different ones on their own")
    whole = join(states)
    whole.identity = np.arange(whole.n, dtype=np.int64)
    return whole, tuple(int(k) for k in np.cumsum([0, *(s.n for s in states)]))


def _identities(parts: Sequence[Particles]) -> tuple[int, ...]:
    return tuple(int(i) for part in parts for i in part.identity)
