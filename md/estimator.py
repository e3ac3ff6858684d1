r"""What an estimator is: something that says how doubtful each atom's stride is, in multiples of what is tolerated.

Each gives a *defect* per atom, without dimension; score = defect / (tolerance * scale), so that 1 is the limit. The scale is
the typical defect on held-out data where a ``Calibration`` knows it, else the estimator's own. Defects are intensive: an atom's
does not change when more atoms are added far away (exception: ``EnergyDefect``, see there).

Two states of an atom, such as a whole stride and two halves, differ by

delta_i = sqrt((|dx_i|^2/h^2 + |dv_i|^2)/2) / sqrt(3 k T/m_i)

| symbol | variable | shape | unit |
|---|---|---|---|
| dx, dv | differences of position and velocity | (n, 3) | length, velocity |
| h | ``context.dt`` | | time |
| k T | ``context.thermal_energy`` | | energy |
| m | ``particles.mass`` | (n,) | mass |
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..integrators import Outcome, Propagator, Step
from ..integrators.report import combine_statistics
from ..particles import SERIAL, Exchange, InputError, Particles

FloatArray = NDArray[np.float64]

#: Strides agree when they differ by less than this share (fs of CODATA 2014 and 2018 differ by 2e-9).
SAME_STRIDE = 1e-6
#: What a good model's defects are like, where no calibration says it: 2 % of thermal motion, 1 % of k T per atom.
TYPICAL_MISMATCH, TYPICAL_ENERGY_DEFECT = 0.02, 0.01


class Unscored(Exception):
    """An estimator's own calls failed: it cannot tell anything about this stride."""


class Scales(Protocol):
    """What a calibration offers to estimators."""

    def scale(self, name: str, dt: float, particles: Particles) -> FloatArray | None:
        """Return the typical defect (n,) of an estimator at a stride, or None where it is not known."""
        ...


@dataclass(slots=True)
class Context:
    """What an estimator may use besides the two states.

    Attributes
    ----------
    stride : Propagator, the learned stride
    carry_before, carry_after : its carry before and after the stride; ``apply`` copies them
    dt : the stride, with its sign
    step : Step, of the stride
    tolerance : dimensionless
    thermal_energy : k T in the energy unit of the particles
    calibration : Scales or None
    memory : name -> array, what estimators keep between strides; part of the carry
    counts : name -> number, goes to the statistics
    exchange : Exchange; each rank has its own atoms, and scores those

    """

    stride: Propagator
    carry_before: Any
    carry_after: Any
    dt: float
    step: Step
    tolerance: float = 1.0
    thermal_energy: float = 1.0
    calibration: Scales | None = None
    memory: dict[str, FloatArray] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    exchange: Exchange = SERIAL

    def apply(self, particles: Particles, carry: Any, dt: float, *, times: int = 1) -> Particles:
        """Return a copy of the particles after further strides; raises Unscored when one fails."""
        return self.apply_other(self.stride, particles, copy.deepcopy(carry), dt, times=times)

    def apply_other(
        self, stride: Propagator, particles: Particles, carry: Any, dt: float, *, times: int = 1
    ) -> Particles:
        """Return a copy of the particles after strides of any model; ``carry`` is changed."""
        state = particles.clone()
        for _ in range(times):
            self.count("estimator_strides")
            try:
                step = stride.advance(state, carry, dt)
            except InputError as error:
                raise Unscored(str(error)) from None
            stride.synchronise(state, carry)
            if step.outcome is not Outcome.COMPLETED:
                raise Unscored(step.outcome.value)
        return state

    def count(self, name: str) -> None:
        """Count one call."""
        combine_statistics(self.counts, {name: 1.0})


class Estimator(ABC):
    """Says how doubtful each atom's stride is."""

    #: name in statistics, calibrations and job files
    name: ClassVar[str]
    #: whether a small score means that a longer stride may be tried; False for limits of a range
    steers: ClassVar[bool] = True
    #: typical defect where no calibration says it
    typical: float

    @abstractmethod
    def defect(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the defect (n,) >= 0, without dimension; raises Unscored where it cannot be told."""

    def score(self, before: Particles, after: Particles, context: Context) -> FloatArray:
        """Return the score (n,): 1 is at the tolerance."""
        found = None if context.calibration is None else context.calibration.scale(self.name, context.dt, before)
        scale = np.full(before.n, self.typical) if found is None else found
        return ratio(self.defect(before, after, context), context.tolerance * scale)

    def check(self, strides: Sequence[float]) -> None:  # noqa: B027 - most have nothing to check
        """Refuse strides with which the estimator could never tell anything."""


def ratio(value: FloatArray, limit: FloatArray) -> FloatArray:
    """Return value/limit, with 0/0 = 0, x/0 = inf, and inf for what is not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.where(value == 0.0, 0.0, value / limit)
    return np.where(np.isnan(out), np.inf, out)


def mismatch(dx: FloatArray, dv: FloatArray, mass: FloatArray, context: Context) -> FloatArray:
    """Return delta (n,) of two states of atoms with differences dx, dv (n, 3); see the module."""
    squared = 0.5 * (np.sum(dx**2, axis=1) / context.dt**2 + np.sum(dv**2, axis=1))
    return ratio(np.sqrt(squared), np.sqrt(3.0 * context.thermal_energy / mass))


def species_of(particles: Particles) -> NDArray[np.integer]:
    """Return the atomic numbers (n,); 0 where there are none."""
    return np.zeros(particles.n, int) if particles.species is None else particles.species


def is_known(stride: float, strides: Sequence[float]) -> bool:
    """Return whether a stride is one of several, up to the differences of fs between tables of constants."""
    return any(abs(abs(stride) - h) <= SAME_STRIDE * h for h in strides)


class Potentials(Protocol):
    """What has potential energies to remember."""

    name: ClassVar[str]

    def potentials(self, particles: Particles) -> FloatArray:
        """Return energies of a state, of all or of each atom."""
        ...


def remembered(estimator: Potentials, particles: Particles, context: Context) -> FloatArray:
    """Return what ``potentials`` gives, from memory when it is known for these positions; two states are remembered."""
    cell = np.zeros((3, 3)) if particles.cell is None else particles.cell
    key, memory, name = np.concatenate([particles.position, cell]), context.memory, estimator.name
    for place in ("new", "old"):
        known = np.array_equal(memory.get(f"{name} {place} at", ()), key)
        if context.exchange.reduce(int(known), "min"):
            return memory[f"{name} {place}"]
    context.count("estimator_energies")
    try:
        found = estimator.potentials(particles)
    except NotImplementedError:
        raise
    except (ArithmeticError, RuntimeError) as error:  # a calculator that fails where a bad stride led
        if context.exchange.size > 1:  # the others are waiting in the middle of it
            raise
        raise Unscored(f"{type(error).__name__}: {error}") from None
    if f"{name} new" in memory:
        memory[f"{name} old"], memory[f"{name} old at"] = memory[f"{name} new"], memory[f"{name} new at"]
    memory[f"{name} new"], memory[f"{name} new at"] = found, key
    return memory[f"{name} new"]
