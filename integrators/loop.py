"""The run loop: propose a step, advance, resolve events, let the observers look, until the asked time is reached."""

from __future__ import annotations

import copy
import math
import time as clock
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..particles import SERIAL, Exchange, InputError, NumericalFailure, Particles
from ..particles.collective import agreed_failure, gather, spread
from .carry import pack, state_from_tree, state_to_tree, unpack
from .compensated import CompensatedSum
from .controllers import Controller
from .energy import EnergyLedger
from .events import RecordOnly, Resolution, Resolver, settle
from .interaction import Evaluation, Interaction, require
from .observers import Observer
from .propagator import Change, Event, Outcome, Propagator, Row, Step
from .refusals import check_target, failed, not_finite
from .report import RunReport, combine_statistics

#: advances in a row that may do no time at all before the run is declared stuck
_MOST_EMPTY_ADVANCES = 100


def never() -> bool:
    """Return False: the run is not asked to stop."""
    return False


class Simulation:
    """Particles, the method that moves them, and all that happens around it.

    Parameters
    ----------
    particles : Particles, changed in place
    propagator : Propagator
    controller : Controller; ``Whole()`` for adaptive propagators, ``Fixed(step)`` for the others
    observers : read-only, called on synchronised, finite states
    resolver : decides what events do; without one they are only recorded
    exchange : communication between ranks; every rank makes the same calls
    potential : interaction that gives the potential energy where the propagator does not report the energy
    seed : int, of all noise of the run

    Attributes
    ----------
    particles, propagator, controller, observers, seed : as given
    carry : the propagator's memory
    time : float, summed with compensation; ``particles.time`` is the same number
    t_end : float, the time asked for by the present or last ``run``
    step : int, advances done
    work : float, accumulated ``Step.work``
    energy_error, max_energy_error : float, as measured last; ``energy()`` measures
    rows : the rows of tables that the last step brought (``Step.rows``)
    stopped : bool, whether ``stop()`` ended the last run
    wall_time : float, seconds since ``run`` was called

    Raises
    ------
    InputError : a controller or a potential that does not fit

    """

    def __init__(
        self,
        particles: Particles,
        propagator: Propagator,
        controller: Controller,
        *,
        observers: Sequence[Observer] = (),
        resolver: Resolver | None = None,
        exchange: Exchange | None = None,
        potential: Interaction | None = None,
        seed: int = 0,
    ) -> None:
        if potential is not None:
            require(potential, "potential_energy")
        self.particles, self.propagator, self.controller = particles, propagator, controller
        self.observers = tuple(sorted(observers, key=lambda o: o.order))
        self.seed = int(seed)
        self.step = 0
        self.stopped = False
        self.t_end = particles.time
        self.statistics: dict[str, float] = {}
        self.rows: tuple[tuple[str, Row], ...] = ()
        self._settled_change = 0.0
        self._exchange: Exchange = SERIAL if exchange is None else exchange
        self._resolver: Resolver = RecordOnly() if resolver is None else resolver
        self._potential = potential
        self._clock = CompensatedSum(particles.time)
        self._ledger = EnergyLedger()
        self._energy: float | None = None
        self._started = 0.0
        self._empty_advances = 0
        self.carry: Any = propagator.start(particles)
        self._opened = False

    # ------------------------------------------------------------------ what can be asked

    @property
    def time(self) -> float:
        """Time reached."""
        return self._clock.value

    @property
    def work(self) -> float:
        """Energy given to the particles by non-conservative parts so far."""
        return self._ledger.work.value

    @property
    def energy_error(self) -> float:
        """(E - work - event jumps - E_0)/|E_0| as measured last."""
        return self._ledger.error

    @property
    def max_energy_error(self) -> float:
        """Largest absolute energy error measured so far."""
        return self._ledger.max_error

    @property
    def wall_time(self) -> float:
        """Seconds since ``run`` was called."""
        return clock.monotonic() - self._started

    def energy(self) -> float:
        """Return kinetic + potential energy now and take note of its error; NaN where nothing gives it."""
        self._open()
        if self._energy is None:
            self.propagator.synchronise(self.particles, self.carry)
            self._energy = self._measure()
            self._ledger.record(self._energy)
        return self._energy

    # ------------------------------------------------------------------ running

    def run(self, t_end: float, *, stop: Callable[[], bool] = never) -> RunReport:
        """Go to ``t_end``, a state to reach: a run that is there already does nothing.

        Parameters
        ----------
        t_end : float, in the time unit of the particles; may lie before the present time
        stop : asked between two advances; when true, the state is synchronised, checkpoints are written, the run ends

        Raises
        ------
        InputError : ``t_end`` is not finite or not a whole number of admissible strides away
        NumericalFailure : the propagator cannot go on, or a value became infinite or not a number; the observers have
            not seen that state

        """
        self._started, self.stopped, self.t_end = clock.monotonic(), False, float(t_end)
        distance = self._clock.distance(self.t_end)
        check_target(self.t_end, self.time, distance, self.propagator.capabilities.strides)
        if self._clock.distance(self.t_end) == 0.0:
            return self._report(Outcome.COMPLETED)
        direction = 1 if self._clock.distance(self.t_end) > 0.0 else -1
        self._open()
        for observer in self.observers:
            observer.start(self.time, direction)
        self._observe()
        outcome = self._loop(direction, stop)
        self.propagator.synchronise(self.particles, self.carry)
        self.energy()
        for observer in self.observers:
            observer.finish(self)
        return self._report(outcome)

    def _loop(self, direction: int, stop: Callable[[], bool]) -> Outcome:
        while self._clock.distance(self.t_end) != 0.0:
            if self._any(stop()):
                self.stopped = True
                return Outcome.PARTIAL
            step = self._advance(direction)
            ended = self._resolve(step)
            self._migrate()
            self._observe()
            if ended:
                return Outcome.EVENT
        return Outcome.COMPLETED

    def _advance(self, direction: int) -> Step:
        target = self._target(direction)
        remaining = self._clock.distance(target)
        dt, lands = self._propose(remaining, target)
        before = (self.particles.clone(), copy.deepcopy(self.carry)) if self.controller.rejects else None
        step = self.propagator.advance(self.particles, self.carry, dt)
        while not self.controller.accept(step, dt):
            assert before is not None, "a controller that never rejects did"
            self.particles.copy_from(before[0])
            self.carry = copy.deepcopy(before[1])
            dt, lands = self._propose(remaining, target)
            step = self.propagator.advance(self.particles, self.carry, dt)
        agreed_failure(self._exchange, failed(step, self.time, self.step))
        self._account(step, target if lands and step.outcome is Outcome.COMPLETED else None)
        agreed_failure(self._exchange, not_finite(self.particles, self.time, self.step))
        return step

    def _target(self, direction: int) -> float:
        """Return the time to land on: the end, or for adaptive propagators the first due time before it."""
        if not self.propagator.capabilities.adaptive:
            return self.t_end
        dues = [o.next_due(self.time) for o in self.observers]
        ahead = [t for t in dues if (t - self.time) * direction > 0.0]
        return min((self.t_end, *ahead), key=lambda t: (t - self.time) * direction)

    def _propose(self, remaining: float, target: float) -> tuple[float, bool]:
        """Return dt and whether it ends at the target, which spares slivers of a few units in the last place."""
        dt = math.copysign(self._exchange.reduce(abs(self.controller.propose(remaining)), "min"), remaining)
        resolution = math.ulp(max(abs(self.time), abs(target)))
        if abs(abs(remaining) - abs(dt)) <= 4.0 * resolution:
            return (remaining if self.propagator.capabilities.adaptive else dt), True
        if abs(dt) > abs(remaining):
            return remaining, True
        if not abs(dt) >= resolution:
            raise NumericalFailure(Outcome.STEP_TOO_SMALL.value, time=self.time, step=self.step)
        return dt, False

    def _account(self, step: Step, landed: float | None) -> None:
        """Add a finished step to time, work, energy and statistics."""
        self.step += 1
        if landed is None:
            self._clock.add(step.elapsed)
        else:
            self._clock.set(landed)
        self.particles.time = self.time
        self._empty_advances = 0 if step.elapsed != 0.0 else self._empty_advances + 1
        if self._empty_advances > _MOST_EMPTY_ADVANCES:
            raise NumericalFailure(
                f"{self._empty_advances} advances in a row did nothing", time=self.time, step=self.step
            )
        self._ledger.work.add(step.work)
        self._settled_change = self._change_by_settled(step)
        self._ledger.jumps.add(self._settled_change)
        self._energy, self.rows = step.energy, step.rows
        if step.energy is not None:
            self._ledger.record(step.energy)
        combine_statistics(self.statistics, step.statistics)

    def _change_by_settled(self, step: Step) -> float:
        """Return the energy change of a step that carried out events itself: all of it is put down to these."""
        if step.energy is None or self._energy is None or not any(event.settled for event in step.events):
            return 0.0
        return step.energy - step.work - self._energy

    # ------------------------------------------------------------------ events and observers

    def _resolve(self, step: Step) -> bool:
        """Carry out the events of a step; return whether one of them ends the run."""
        if not step.events:
            return False
        self.propagator.synchronise(self.particles, self.carry)
        ended = [self._carry_out(event) for event in step.events]  # all of them
        return any(ended)

    def _carry_out(self, event: Event) -> bool:
        here = np.isin(event.identities, self.particles.identity).astype(np.int64)
        if not self._exchange.reduce(here, "max").all():
            return False  # an event before this one took a particle away
        if event.settled is None:
            before = self.energy()
            resolution, change = self._resolver.resolve(self.particles, event), 0.0
            if resolution.particles is not None:
                self._replace(resolution)
                self._energy = self._measure()
                change = self._energy - before
                self._ledger.jumps.add(change if math.isfinite(change) else 0.0)
                self._ledger.record(self._energy)
        else:
            resolution, change = settle(self.particles, event), self._settled_change
            self._replace(resolution)
        head: Row = {"kind": event.kind, "step": self.step, "time": event.time}
        for observer in self.observers:
            observer.event({**head, **resolution.row, "energy_change": change})
        return resolution.stop

    def _replace(self, resolution: Resolution) -> None:
        assert resolution.particles is not None and resolution.change is not None, "new particles come with a change"
        self.particles.replace_with(resolution.particles)
        self.particles.time = self.time
        self.carry = self.propagator.membership_changed(self.particles, self.carry, resolution.change)

    def _migrate(self) -> None:
        """Let particles move to their owners: a change of membership like any other."""
        if self._exchange.size == 1:
            return
        self.propagator.synchronise(self.particles, self.carry)
        mine, kept = self._exchange.migrate(self.particles)
        if mine is not self.particles:
            self._replace(Resolution(particles=mine, change=Change(kept)))

    def _observe(self) -> None:
        due = self._exchange.reduce(np.array([int(o.due(self.time)) for o in self.observers]), "max")
        for observer, wanted in zip(self.observers, due, strict=True):
            if wanted:
                self.propagator.synchronise(self.particles, self.carry)
                observer.observe(self)

    # ------------------------------------------------------------------ energy

    def _open(self) -> None:
        """Measure the energy at the start, once in the life of a run."""
        if not self._opened:
            self._opened = True
            self._energy = self._measure()
            self._ledger.open(self._energy)

    def _measure(self) -> float:
        """Return the energy of the state: by an advance of no time where the propagator knows it, else by the sums."""
        energy = self.propagator.advance(self.particles, self.carry, 0.0).energy
        if energy is not None:
            return energy
        if self._potential is None:
            return math.nan
        out = Evaluation(self.particles.n, ("potential_energy",))
        self._potential.evaluate(self.particles, out)
        total: float = self._exchange.reduce(self.particles.kinetic_energy() + out.potential_energy, "sum")
        return total

    # ------------------------------------------------------------------ restart

    def state_dict(self, *, in_shares: bool = False) -> dict:
        """Return all that a restart needs, as a tree (nested dict) of arrays, numbers, strings and None.

        Of several ranks: the tree of rank 0 has all particles, in the order of their identities, those of the others none;
        ``in_shares``, each has those that it owns.
        """
        self.propagator.synchronise(self.particles, self.carry)
        return {
            "kind": "askel-simulation",
            "propagator": type(self.propagator).__name__,
            "seed": self.seed,
            "step": self.step,
            "clock": self._clock.state_dict(),
            "opened": self._opened,
            "ledger": self._ledger.state_dict(),
            "energy": math.nan if self._energy is None else self._energy,
            "energy_known": self._energy is not None,
            "statistics": dict(self.statistics),
            "particles": state_to_tree(self.particles if in_shares else gather(self._exchange, self.particles)),
            "exchange": self._exchange.state_dict(None if in_shares else self.particles),
            "carry": pack(self.carry),
            "controller": self.controller.state_dict(),
            "observers": {f"{i} {type(o).__name__}": o.state_dict() for i, o in enumerate(self.observers)},
        }

    def load_state_dict(self, tree: dict) -> None:
        """Become the simulation of a checkpoint; propagator, controller and observers are those of this one.

        Raises
        ------
        InputError : the tree is not of a simulation, or of one with another propagator

        """
        if tree.get("kind") != "askel-simulation":
            raise InputError("this checkpoint does not hold a simulation; give the checkpoint of an askel run")
        if tree["propagator"] != type(self.propagator).__name__:
            raise InputError(
                f"the checkpoint was made with {tree['propagator']}, this run uses {type(self.propagator).__name__}; "
                "resume with the integrator of the checkpoint, or start anew from its particles"
            )
        mine = spread(self._exchange, state_from_tree(tree["particles"]), tree.get("exchange"))
        self.particles.replace_with(mine)
        self.carry = unpack(tree["carry"], self.propagator.start(self.particles))
        self._clock.load_state_dict(tree["clock"])
        self._ledger.load_state_dict(tree["ledger"])
        self.step, self.seed, self._opened = int(tree["step"]), int(tree["seed"]), bool(tree["opened"])
        self._energy = float(tree["energy"]) if tree["energy_known"] else None
        self.statistics = {name: float(value) for name, value in tree["statistics"].items()}
        self.t_end = self.time
        self.controller.load_state_dict(tree["controller"])
        for i, observer in enumerate(self.observers):
            known = tree["observers"].get(f"{i} {type(observer).__name__}")
            if known is not None:
                observer.load_state_dict(known)

    # ------------------------------------------------------------------ small print

    def _any(self, flag: bool) -> bool:
        """Return whether the flag is up on any rank."""
        return bool(self._exchange.reduce(int(flag), "max"))

    def _report(self, outcome: Outcome) -> RunReport:
        return RunReport(
            outcome=outcome,
            time=self.time,
            steps=self.step,
            wall_time=self.wall_time,
            energy_error=self.energy_error,
            max_energy_error=self.max_energy_error,
            stopped=self.stopped,
            statistics=dict(self.statistics),
        )
