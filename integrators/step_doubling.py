"""Step doubling: any propagator with an error estimate, from one step of dt against two of dt/2."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..particles import InputError, Particles
from .extrapolation import vector_error
from .propagator import Capabilities, Change, Outcome, Propagator, Step


@dataclass(slots=True)
class StepDoublingCarry:
    """Memory between steps.

    Attributes
    ----------
    inner : carry of the wrapped propagator

    """

    inner: Any


class StepDoubling:
    r"""The result of two half steps, and their distance from one whole step as the error estimate.

    error = max_i (|dx_i|/s_i, |dv_i|/u_i) / ((2^p - 1) tolerance), with s_i = |x_i| + |dt v_i| and u_i = |v_i|
    relative to the centre of mass, p the order

    Under ``ErrorPerStep`` it makes a fixed-step method adaptive (and a symplectic one no longer symplectic). With an
    order-less propagator, a learned stride, p = 1 is used: the error is then the distance itself.

    Parameters
    ----------
    inner : Propagator; of one with admissible strides, those are admissible whose half is too
    tolerance : float > 0, relative error of one step

    Raises
    ------
    InputError : tolerance not positive, an inner propagator that is adaptive already, or one without a stride to halve

    References
    ----------
    Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.4

    """

    def __init__(self, inner: Propagator, *, tolerance: float) -> None:
        if not tolerance > 0.0:
            raise InputError(f"step doubling got tolerance = {tolerance:g}; expected a positive number")
        able = inner.capabilities
        if able.adaptive:
            raise InputError(f"{type(inner).__name__} chooses its own steps; step doubling is for fixed-step methods")
        self.inner, self.tolerance = inner, float(tolerance)
        strides = None if able.strides is None else tuple(2.0 * s for s in able.strides if 2.0 * s in able.strides)
        if strides == ():
            raise InputError(
                f"step doubling needs a stride and twice that stride; {type(inner).__name__} takes only "
                f"{', '.join(f'{s:g}' for s in able.strides or ())}"
            )
        self.capabilities = Capabilities(
            order=able.order,
            symplectic=able.symplectic,
            reversible=able.reversible,
            strides=strides,
            largest_group=able.largest_group,
        )

    def start(self, particles: Particles) -> StepDoublingCarry:
        """Return the carry."""
        return StepDoublingCarry(self.inner.start(particles))

    def advance(self, particles: Particles, carry: StepDoublingCarry, dt: float) -> Step:
        """Do two half steps, and a whole one on a copy."""
        coarse = particles.clone()
        coarse_carry = copy.deepcopy(carry.inner)
        whole = self.inner.advance(coarse, coarse_carry, dt)
        self.inner.synchronise(coarse, coarse_carry)
        first = self.inner.advance(particles, carry.inner, dt / 2.0)
        if first.outcome is not Outcome.COMPLETED:
            return first
        second = self.inner.advance(particles, carry.inner, dt / 2.0)
        return replace(
            second,
            elapsed=first.elapsed + second.elapsed,
            error=self._error(particles, coarse, dt) if whole.outcome is Outcome.COMPLETED else float("inf"),
            work=first.work + second.work,
            events=(*first.events, *second.events),
            statistics=_added(whole, first, second),
        )

    def synchronise(self, particles: Particles, carry: StepDoublingCarry) -> None:
        """Bring all fields to one time."""
        self.inner.synchronise(particles, carry.inner)

    def membership_changed(self, particles: Particles, carry: StepDoublingCarry, change: Change) -> StepDoublingCarry:
        """Pass the change on."""
        return StepDoublingCarry(self.inner.membership_changed(particles, carry.inner, change))

    def _error(self, fine: Particles, coarse: Particles, dt: float) -> float:
        centre, drift = fine.centre_of_mass()
        x = np.linalg.norm(fine.position - centre, axis=1)
        v = np.linalg.norm(fine.velocity - drift, axis=1)
        scale = np.array([x + abs(dt) * v, v])
        scale = np.maximum(scale, 1e-3 * scale.max(axis=1, keepdims=True, initial=0.0))
        difference = np.array([fine.position - coarse.position, fine.velocity - coarse.velocity])
        gain = 2.0 ** (self.capabilities.order or 1) - 1.0
        return vector_error(difference, np.where(scale > 0.0, scale, 1.0)) / (gain * self.tolerance)


def _added(*steps: Step) -> dict[str, float]:
    names = {name for step in steps for name in step.statistics}
    return {name: sum(step.statistics.get(name, 0.0) for step in steps) for name in sorted(names)}
