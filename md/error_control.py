"""Error control of a learned stride: try it, judge it atom by atom, and redo with finer means what is not good enough."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integrators import Capabilities, Change, ErrorPerStep, Outcome, Propagator, Step
from ..integrators.report import combine_statistics
from ..particles import SERIAL, Exchange, InputError, Particles
from .calibration import Calibration, kinetic_temperature
from .energy_drift import EnergyDrift
from .estimator import SAME_STRIDE, Context, Estimator, FloatArray, Unscored
from .fallback import Fallback
from .stride import LearnedStride
from .temperature import boltzmann

#: Multiples of the typical defect that are tolerated where the user says nothing.
TOLERANCE = 3.0
#: Order put into the step controller: nobody knows that of a network; 1 is the most cautious.
_ORDER = 1


@dataclass(slots=True)
class ErrorControlCarry:
    """Memory between steps.

    Attributes
    ----------
    inner : carry of the stride
    allowed : the stride that the controller would take, between the shortest and the longest
    previous_error : worst score of the last accepted stride, for the controller
    memory : what estimators keep
    problem : what went wrong last, in words

    """

    inner: Any
    allowed: float
    previous_error: float = 1.0
    memory: dict[str, FloatArray] = field(default_factory=dict)
    problem: str = ""


@dataclass(slots=True)
class _Trouble:
    """Why a step could not be done."""

    outcome: Outcome
    identities: tuple[int, ...]


@dataclass(slots=True)
class _Verdict:
    """A judged stride: who offends, the worst score of all and of those that stand, among scores that steer."""

    offenders: NDArray[np.bool_]
    worst: float
    worst_standing: float


class ErrorControlled:
    r"""A learned stride under error control: an ordinary propagator that always completes the stride it is asked for.

    1. The stride is tried, and every estimator scores every atom; an atom with a score above 1 offends.
    2. Nobody offends: the stride stands, and is the bare stride to the last bit.
    3. The offenders' region is small (at most ``retry_above`` of all atoms): it is redone by force steps; the others'
       strides stand.
    4. Otherwise a shorter stride that the model was trained for is tried, as often as needed, by the same rules.
    5. There is none: the fall-back does the region, or all atoms.
    6. With ``drift``: the energy defects of all that stands are added up, and a sum that would shift the temperature is taken
       out of the velocities, for the price of one energy and no force (``EnergyDrift``).

    Which stride is tried first next time follows the proportional-integral law of ``ErrorPerStep`` with the worst score of
    the atoms that stand. When the fall-back fails too, the last good state is restored, and the step reports its outcome
    and the offenders' identities. ``Step.work`` counts nothing for a stride: its energy defect is the error to be seen.

    What stays biased: steps that depend on the state break symplecticity, reversibility and detailed balance (the more
    rarely they are taken, the less). ``docs/error_control.md`` says more.

    Parameters
    ----------
    stride : LearnedStride, or another propagator with a set of strides
    estimators : Estimator, in the order of asking; the cheap ones first
    drift : EnergyDrift, or None: errors that point the same way in every stride go on adding up
    fallback : Fallback, or None: a stride that is rejected at its shortest fails
    tolerance : in multiples of typical defects; the dial between cost and accuracy
    calibration : Calibration, typical defects; without one, those of the estimators
    temperature : K, for the scale of thermal motion; that of the calibration, else of each state, where not given
    retry_above : share of atoms in the offenders' region above which shorter strides are tried before force steps; 0: they
        always are, for calculators that are dear
    exchange : Exchange, that of the stride and the fall-back; each rank scores its own atoms, and the ranks agree on the rest

    Raises
    ------
    InputError : a propagator without a set of strides, or of replicas, no estimators, a tolerance that is not positive,
        estimators that these strides make useless; in ``advance``: another stride

    """

    def __init__(
        self,
        stride: Propagator,
        *,
        estimators: Sequence[Estimator],
        drift: EnergyDrift | None = None,
        fallback: Fallback | None = None,
        tolerance: float = TOLERANCE,
        calibration: Calibration | None = None,
        temperature: float | None = None,
        retry_above: float = 0.25,
        exchange: Exchange = SERIAL,
    ) -> None:
        able = stride.capabilities
        if not able.strides:
            raise InputError(
                f"{type(stride).__name__} has no set of strides; error control of this kind is for learned strides"
            )
        if isinstance(stride, LearnedStride) and stride.starts is not None:
            raise InputError("error control is for one system, and this stride moves replicas; run them one by one")
        if not estimators:
            raise InputError("error control got no estimators; give at least one, such as ReversibilityDefect()")
        if not tolerance > 0.0:
            raise InputError(f"error control got tolerance = {tolerance:g}; expected a positive number")
        if temperature is not None and not temperature > 0.0:
            raise InputError(f"error control got temperature = {temperature:g} K; expected a positive number")
        for estimator in estimators:
            estimator.check(able.strides)
        self.stride, self.estimators, self.fallback, self.exchange = stride, tuple(estimators), fallback, exchange
        self.drift = drift
        self.tolerance, self.calibration, self.retry_above = float(tolerance), calibration, float(retry_above)
        self.temperature = calibration.temperature if temperature is None and calibration is not None else temperature
        self.capabilities = Capabilities(order=None, strides=able.strides, largest_group=able.largest_group)
        self._strides = sorted(able.strides, reverse=True)

    def start(self, particles: Particles) -> ErrorControlCarry:
        """Return the carry."""
        return ErrorControlCarry(self.stride.start(particles), allowed=self._strides[0])

    def advance(self, particles: Particles, carry: ErrorControlCarry, dt: float) -> Step:
        """Do one admissible stride, by whatever it takes."""
        if dt == 0.0:
            return Step(elapsed=0.0)
        first = self._first(carry, dt)
        good, good_carry = particles.clone(), copy.deepcopy(carry)
        run = _Run(self, particles, carry)
        trouble = run.refused_start() or run.cover(dt, first)
        if trouble is not None:
            particles.copy_from(good)
            for name in ("inner", "allowed", "previous_error", "memory"):
                setattr(carry, name, getattr(good_carry, name))
            return Step(elapsed=0.0, outcome=trouble.outcome, identities=trouble.identities, statistics=run.statistics)
        particles.time = good.time + dt
        return Step(elapsed=dt, error=run.error, work=run.work, statistics=run.statistics)

    def synchronise(self, particles: Particles, carry: ErrorControlCarry) -> None:
        """Do nothing: every step ends synchronised."""

    def membership_changed(self, particles: Particles, carry: ErrorControlCarry, change: Change) -> ErrorControlCarry:
        """Pass the change on; what estimators remember is forgotten."""
        inner = self.stride.membership_changed(particles, carry.inner, change)
        return ErrorControlCarry(inner, carry.allowed, carry.previous_error)

    def finer(self, span: float) -> float | None:
        """Return the longest trained stride of which two or more make up ``span`` (with its sign), or None."""
        for h in self._strides:
            times = abs(span) / h
            if times > 1.5 and abs(times - round(times)) <= SAME_STRIDE * times:
                return math.copysign(h, span)
        return None

    def _first(self, carry: ErrorControlCarry, dt: float) -> float:
        """Return the longest stride allowed that divides dt."""
        tried = next((h for h in self._strides if abs(abs(dt) - h) <= SAME_STRIDE * h), None)
        if tried is None:
            known = ", ".join(f"{h:g}" for h in self._strides)
            raise InputError(f"error control was asked for a stride of {dt:g}; expected one of {known} (time units)")
        first: float = dt
        while abs(first) > carry.allowed * (1.0 + SAME_STRIDE):
            shorter = self.finer(first)
            if shorter is None:
                break
            first = shorter
        return first


class _Run:
    """One advance in the making: what it has counted, and the rules."""

    def __init__(self, method: ErrorControlled, particles: Particles, carry: ErrorControlCarry) -> None:
        self.method, self.particles, self.carry = method, particles, carry
        self.statistics: dict[str, float] = {"atom_time": 0.0, "fallback_atom_time": 0.0}
        self.work, self.error = 0.0, 0.0

    def refused_start(self) -> _Trouble | None:
        """Refuse a state that is not finite before anything is asked of it."""
        bad = ~_finite(self.particles)
        return _Trouble(Outcome.NOT_FINITE, self._identities(bad)) if self._any(bad) else None

    def cover(self, span: float, piece: float) -> _Trouble | None:
        """Do a time of ``span`` in strides of ``piece``."""
        times = round(span / piece)
        for _ in range(times):
            trouble = self._stride(span if times == 1 else piece)
            if trouble is not None:
                return trouble
        return None

    def _stride(self, span: float) -> _Trouble | None:
        """Do one stride, and what its verdict asks for."""
        before, memory = self.particles.clone(), copy.deepcopy(self.carry.inner)
        step = self._try(span)
        verdict = self._judge(before, memory, step, span)
        self._count(strides_tried=1.0)
        if not self._any(verdict.offenders):
            self._accept(verdict, step, span, "strides_accepted")
            self._settle(before, memory, step, span)
            return None
        fallback = self.method.fallback
        rows = None if fallback is None else fallback.rows(before, verdict.offenders)
        finer = self.method.finer(span)
        if finer is not None and (rows is None or self._sum(rows) > self.method.retry_above * self._sum(before.n)):
            self._reject(verdict, span)
            self._restore(before, memory)
            self._count(strides_retried=1.0)
            return self.cover(span, finer)
        if fallback is None or rows is None:
            self._reject(verdict, span)
            outcome = step.outcome if step.outcome.failed else Outcome.OUT_OF_RANGE
            outcome = Outcome.NOT_FINITE if self._any(~_finite(self.particles)) else outcome
            self.carry.problem = "a stride was rejected at its shortest, and there is no fall-back"
            return _Trouble(outcome, self._identities(verdict.offenders))
        return self._fall_back(fallback, before, memory, rows, verdict, step, span)

    def _try(self, span: float) -> Step:
        """Do the bare stride; what the model refuses in a state that ``start`` has passed is out of its range."""
        carry = self.carry
        try:
            step = self.method.stride.advance(self.particles, carry.inner, span)
        except InputError as error:
            if self.method.fallback is None:
                raise
            carry.problem = str(error)
            step = Step(elapsed=0.0, outcome=Outcome.OUT_OF_RANGE)
        self.method.stride.synchronise(self.particles, carry.inner)
        combine_statistics(self.statistics, step.statistics)
        return step

    def _fall_back(
        self,
        fallback: Fallback,
        before: Particles,
        memory: Any,
        rows: NDArray[np.bool_],
        verdict: _Verdict,
        step: Step,
        span: float,
    ) -> _Trouble | None:
        if rows.all():
            self._reject(verdict, span)
            self._restore(before, memory)
        redone, problem = fallback.redo(before, self.particles, rows, span)
        steps, evaluations = (redone.statistics.get(k, 0.0) for k in ("force_steps", "evaluations"))
        self._count(fallback_steps=steps, fallback_evaluations=evaluations)
        if redone.outcome is not Outcome.COMPLETED:
            self.carry.problem = problem or redone.outcome.value
            return _Trouble(redone.outcome, redone.identities or self._identities(verdict.offenders))
        self._count(fallback_atom_time=self._sum(rows) * abs(span))
        if rows.all():
            self._count(strides_replaced=1.0, atom_time=self._sum(before.n) * abs(span))
        else:
            self._accept(verdict, step, span, "strides_repaired")
            self._settle(before, memory, step, span)
        return None

    def _settle(self, before: Particles, memory: Any, step: Step, span: float) -> None:
        """Let the energy drift see, and put right, what stands; a calculator that fails is a word in the carry."""
        if self.method.drift is None:
            return
        context = self._context(before, memory, step, span)
        try:
            self.method.drift.settle(before, self.particles, context)
        except Unscored as problem:
            self.carry.problem = f"{self.method.drift.name}: {problem}"
        self.carry.memory = context.memory
        combine_statistics(self.statistics, context.counts)

    # ------------------------------------------------------------------ judging

    def _judge(self, before: Particles, memory: Any, step: Step, span: float) -> _Verdict:
        """Score a stride with all estimators."""
        n = before.n
        everybody = np.ones(n, bool)
        if step.outcome is not Outcome.COMPLETED or self._any(~_finite(self.particles)):
            self._count(strides_failed=1.0)
            return _Verdict(everybody, math.inf, 0.0)
        offenders, steering, silent = np.zeros(n, bool), np.zeros(n), False
        context = self._context(before, memory, step, span)
        for estimator in self.method.estimators:
            try:
                score = estimator.score(before, self.particles, context)
            except Unscored as problem:
                self.carry.problem, silent = f"{estimator.name}: {problem}", True
                continue
            known = self._worst(score[np.isfinite(score)])
            self._count(**{"max_score": known, f"max_score_{estimator.name.replace('-', '_')}": known})
            offenders |= ~(score <= 1.0)
            if estimator.steers:
                steering = np.maximum(steering, score)
            if self._hopeless(before, offenders, span):
                break
        self.carry.memory = context.memory
        combine_statistics(self.statistics, context.counts)
        if silent and not self._any(offenders):
            return _Verdict(everybody, math.inf, 0.0)  # nothing else explains why an estimator could not be asked
        return _Verdict(offenders, self._worst(steering), self._worst(steering[~offenders]))

    def _hopeless(self, before: Particles, offenders: NDArray[np.bool_], span: float) -> bool:
        """Return whether all atoms will be done by forces whatever else is found: further checks would cost for nothing."""
        method = self.method
        if method.fallback is None or method.finer(span) is not None or not self._any(offenders):
            return False
        everybody = method.fallback.rows(before, offenders).all()
        return not self._any(np.array([not everybody]))

    def _context(self, before: Particles, memory: Any, step: Step, span: float) -> Context:
        m = self.method
        kelvin = kinetic_temperature(before, m.exchange) if m.temperature is None else m.temperature
        return Context(
            m.stride,
            memory,
            self.carry.inner,
            span,
            step,
            tolerance=m.tolerance,
            thermal_energy=boltzmann(before.units) * kelvin,
            calibration=m.calibration,
            memory=self.carry.memory,
            exchange=m.exchange,
        )

    # ------------------------------------------------------------------ steering and counting

    def _accept(self, verdict: _Verdict, step: Step, span: float, name: str) -> None:
        self._count(**{name: 1.0, "atom_time": self._sum(self.particles.n) * abs(span), "min_stride": abs(span)})
        self.work += step.work
        self.error = max(self.error, verdict.worst_standing)
        self._steer(Step(elapsed=span, error=verdict.worst_standing), self.carry.allowed)

    def _reject(self, verdict: _Verdict, span: float) -> None:
        self._count(strides_rejected=1.0)
        # a limit of a range says nothing about how much shorter a stride would have to be: then the least cut
        self._steer(Step(elapsed=span, error=max(verdict.worst, 1.0 + SAME_STRIDE)), abs(span))

    def _steer(self, step: Step, tried: float) -> None:
        """Let the controller of integrators decide on the stride allowed next; its memory is in the carry."""
        carry, strides = self.carry, self.method._strides
        control = ErrorPerStep(_ORDER, carry.allowed)
        control.load_state_dict({"dt": carry.allowed, "previous_error": carry.previous_error})
        control.accept(step, tried)
        after = control.state_dict()
        carry.allowed = min(max(after["dt"], strides[-1]), strides[0])
        carry.previous_error = after["previous_error"]

    def _restore(self, before: Particles, memory: Any) -> None:
        self.particles.copy_from(before)
        self.carry.inner = memory

    def _any(self, rows: NDArray[np.bool_]) -> bool:
        """Return whether there is a row on any rank."""
        return bool(self.method.exchange.reduce(int(rows.any()), "max"))

    def _sum(self, counted: NDArray[np.bool_] | int) -> float:
        """Return a number, or that of the rows of a mask, added up over all ranks."""
        return float(self.method.exchange.reduce(int(np.sum(counted)), "sum"))

    def _worst(self, scores: FloatArray) -> float:
        """Return the largest score of all ranks."""
        return float(self.method.exchange.reduce(float(scores.max(initial=0.0)), "max"))

    def _count(self, **counts: float) -> None:
        combine_statistics(self.statistics, {name: float(value) for name, value in counts.items()})

    def _identities(self, rows: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(int(i) for i in self.particles.identity[rows])


def _finite(particles: Particles) -> NDArray[np.bool_]:
    return np.asarray((np.isfinite(particles.position) & np.isfinite(particles.velocity)).all(axis=1))
