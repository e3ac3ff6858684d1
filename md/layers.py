"""Layers around a propagator: something done before and after every advance, such as a thermostat's two halves.

A layer is one object for one system. ``Layered`` puts layers around any fixed-step propagator, and
``md/replicas.py`` puts different ones around the replicas of one batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..integrators import Capabilities, Change, Propagator, Step
from ..particles import InputError, Particles


class Layer(Protocol):
    """What is done to the particles before and after an advance.

    All memory between steps is in what ``start`` returns: a dataclass of arrays, numbers and strings, changed in place.
    """

    @property
    def reversible(self) -> bool:
        """Whether a step of dt and one of -dt cancel, when the propagator inside is reversible."""
        ...

    @property
    def changes_cell(self) -> bool:
        """Whether it changes the cell, which replicas share."""
        ...

    def start(self, particles: Particles) -> Any:
        """Return the memory for these particles."""
        ...

    def before(self, particles: Particles, memory: Any, dt: float) -> float:
        """Change the particles before an advance by dt; return the energy given to them."""
        ...

    def after(self, particles: Particles, memory: Any, dt: float, step: Step) -> Step:
        """Change the particles after the advance ``step``, also a failed one; return the step with what this adds.

        ``step.work`` is the energy given inside this layer since ``before``, which itself is not in it.
        """
        ...

    def membership_changed(self, particles: Particles, memory: Any, change: Change) -> Any:
        """Return the memory for particles whose membership changed."""
        ...


class TwoHalves(ABC):
    """A layer that does the same thing before an advance and after one that did not fail, each time for half of it."""

    changes_cell = False

    @abstractmethod
    def half(self, particles: Particles, memory: Any, dt: float) -> float:
        """Change the particles as half a step of dt does; return the energy given to them."""

    def before(self, particles: Particles, memory: Any, dt: float) -> float:
        """Do the first half; return the energy given."""
        return self.half(particles, memory, dt)

    def after(self, particles: Particles, memory: Any, dt: float, step: Step) -> Step:
        """Do the second half."""
        return step if step.outcome.failed else with_work(step, self.half(particles, memory, step.elapsed))


@dataclass(slots=True)
class LayeredCarry:
    """Memory between steps.

    Attributes
    ----------
    inner : carry of the wrapped propagator
    layers : memories of the layers

    """

    inner: Any
    layers: tuple[Any, ...]


class Layered:
    """A fixed-step propagator with layers around it; the wrappers of ``md`` are this class with a layer of their own.

    The first layer is the outermost: first before the advance, last after it. A step of size 0 does nothing at all.

    Parameters
    ----------
    inner : Propagator that takes the steps it is asked for
    layers : Layer

    Raises
    ------
    InputError : an inner propagator that chooses its own steps

    """

    def __init__(self, inner: Propagator, *layers: Layer) -> None:
        self.inner, self.layers = inner, layers
        self.capabilities = wrapped_capabilities(inner, layers)

    def start(self, particles: Particles) -> LayeredCarry:
        """Return the carry."""
        return LayeredCarry(self.inner.start(particles), tuple(layer.start(particles) for layer in self.layers))

    def advance(self, particles: Particles, carry: LayeredCarry, dt: float) -> Step:
        """Do the layers' first parts, the advance, and the layers' second parts in opposite order."""
        if dt == 0.0:
            return Step(elapsed=0.0)
        work = before_all(self.layers, particles, carry.layers, dt)
        step = self.inner.advance(particles, carry.inner, dt)
        self.inner.synchronise(particles, carry.inner)
        return after_all(self.layers, particles, carry.layers, dt, step, work)

    def synchronise(self, particles: Particles, carry: LayeredCarry) -> None:
        """Bring all fields to one time."""
        self.inner.synchronise(particles, carry.inner)

    def membership_changed(self, particles: Particles, carry: LayeredCarry, change: Change) -> LayeredCarry:
        """Pass the change on."""
        layers = (
            layer.membership_changed(particles, memory, change)
            for layer, memory in zip(self.layers, carry.layers, strict=True)
        )
        return LayeredCarry(self.inner.membership_changed(particles, carry.inner, change), tuple(layers))


def wrapped_capabilities(inner: Propagator, layers: Sequence[Layer]) -> Capabilities:
    """Return what a propagator with layers around it promises; raises InputError for one that chooses its own steps."""
    able = inner.capabilities
    if able.adaptive:
        raise InputError(
            f"{type(inner).__name__} chooses its own steps; thermostats and other layers go around fixed-step methods"
        )
    return Capabilities(
        order=able.order if able.order is None else min(able.order, 2),
        reversible=able.reversible and all(layer.reversible for layer in layers),
        strides=able.strides,
        largest_group=able.largest_group,
    )


def before_all(layers: Sequence[Layer], particles: Particles, memories: Sequence[Any], dt: float) -> list[float]:
    """Do the first parts of all layers; return the energy each has given."""
    return [layer.before(particles, memory, dt) for layer, memory in zip(layers, memories, strict=True)]


def after_all(
    layers: Sequence[Layer], particles: Particles, memories: Sequence[Any], dt: float, step: Step, work: Sequence[float]
) -> Step:
    """Do the second parts of all layers, the innermost first; return the step with their work."""
    for layer, memory, given in reversed(list(zip(layers, memories, work, strict=True))):
        step = layer.after(particles, memory, dt, step)
        step = replace(step, work=step.work + given)
    return step


def with_work(step: Step, work: float) -> Step:
    """Return the step with energy that was given to the particles after it."""
    return replace(step, work=step.work + work, energy=None if step.energy is None else step.energy + work)
