"""How things move: the propagator protocol, the step it returns, and the table of all propagators."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles

#: a row of a table: numbers and words by column
Row = dict[str, float | int | str]


class Outcome(Enum):
    """How an advance ended. The value is the sentence a user reads."""

    COMPLETED = "the asked time was reached"
    PARTIAL = "the work budget of one call was used up; the state is consistent at the time reached"
    EVENT = "an event ended the advance early"
    STEP_LIMIT = "the step limit was reached before the asked time"
    STEP_TOO_SMALL = "the step size fell below the resolution of the time"
    NOT_CONVERGED = "an iteration did not converge"
    NOT_FINITE = "a value became infinite or not a number"
    OUT_OF_RANGE = "the state left the range that the method was made for"

    @property
    def failed(self) -> bool:
        """Whether the advance cannot go on."""
        return self not in (Outcome.COMPLETED, Outcome.PARTIAL, Outcome.EVENT)


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left to do of an event that a propagator carried out itself.

    Attributes
    ----------
    gone : identities of particles that are still rows of the state and no longer exist
    stop : the run ends after this event

    """

    gone: tuple[int, ...]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during an advance and that a resolver decides upon.

    Attributes
    ----------
    kind : "merger", "collision", "tidal-disruption", "capture", ...
    time : float, when
    identities : identities of the particles concerned
    data : numbers and words worth a column in the event log, by name
    settled : None: a resolver decides; else the propagator has carried it out, and this is left

    """

    kind: str
    time: float
    identities: tuple[int, ...]
    data: Mapping[str, float | int | str] = field(default_factory=dict)
    settled: Settled | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What an advance did.

    Attributes
    ----------
    elapsed : float, time done; equals the asked dt exactly when the outcome is COMPLETED
    outcome : Outcome
    error : float or None, estimated local error relative to the tolerance's norm
    next_dt : float or None, suggested next step
    work : float, energy given to the particles by non-conservative parts (post-Newtonian terms, thermostats); the
        quantity that stays constant is kinetic + potential energy - accumulated work
    energy : float or None, kinetic + potential energy, where the propagator knows it better than a sum over the
        particles would give
    events : what was detected, in order of time
    rows : (table, row) of what happened at times of its own during the step, for series in files
    identities : particles concerned by a failure
    statistics : counts and measures by name (micro_steps, evaluations, rejected, max_v_over_c, ...)

    """

    elapsed: float
    outcome: Outcome = Outcome.COMPLETED
    error: float | None = None
    next_dt: float | None = None
    work: float = 0.0
    energy: float | None = None
    events: tuple[Event, ...] = ()
    rows: tuple[tuple[str, Row], ...] = ()
    identities: tuple[int, ...] = ()
    statistics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a propagator promises; the conformance tests hold it to that.

    Attributes
    ----------
    order : int or None, global order in dt; None when the error is set by a tolerance
    symplectic, reversible : bool
    adaptive : bool, chooses its own micro-steps inside ``advance`` and lands on any asked dt
    strides : None (any dt), or the tuple of admissible dt
    largest_group : int or None, the most particles it is meant for

    """

    order: int | None
    symplectic: bool = False
    reversible: bool = False
    adaptive: bool = False
    strides: tuple[float, ...] | None = None
    largest_group: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of membership: rows of the old state that stay, in their new order; rows beyond them are new or altered.

    Attributes
    ----------
    kept : (k,) int, row in the old state of each of the first k rows of the new state
    altered : identities whose mass, position, velocity or spin was changed

    """

    kept: NDArray[np.int64]
    altered: tuple[int, ...] = ()


class Propagator(Protocol):
    """A method that moves particles in time.

    All memory between steps is in the carry, a dataclass of arrays, numbers and strings (so that a checkpoint can store
    it without knowing it), and nowhere else. The particles are changed in place. ``dt`` may be negative.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this propagator promises."""
        ...

    def start(self, particles: Particles) -> Any:
        """Return the carry for these particles."""
        ...

    def advance(self, particles: Particles, carry: Any, dt: float) -> Step:
        """Move the particles by dt (or less, see ``Step.outcome``) and add the time done to ``particles.time``."""
        ...

    def synchronise(self, particles: Particles, carry: Any) -> None:
        """Bring all fields of the particles to ``particles.time``; cheap and idempotent."""
        ...

    def membership_changed(self, particles: Particles, carry: Any, change: Change) -> Any:
        """Return the carry for particles whose membership changed."""
        ...


@dataclass(frozen=True, slots=True)
class PropagatorEntry:
    """A row of the propagator table.

    Attributes
    ----------
    kind : name in configuration files
    path : "module:factory", imported when used
    takes : "interaction" (factory(interaction, **options)); "system" (factory(**options): it brings its own forces); "model"
        (factory(model, **options): a network's name or file)
    fixed_step : needs ``step``; otherwise ``tolerance``
    summary : one line for lists and help

    """

    kind: str
    path: str
    takes: Literal["interaction", "system", "model"]
    fixed_step: bool
    summary: str

    def factory(self) -> Callable[..., Propagator]:
        """Import and return the factory."""
        module, _, name = self.path.partition(":")
        function: Callable[..., Propagator] = getattr(importlib.import_module(module), name)
        return function


#: kind -> entry, filled by the packages that own propagators, at import, with strings alone.
PROPAGATORS: dict[str, PropagatorEntry] = {}


def register_propagator(entry: PropagatorEntry) -> None:
    """Add a row to the propagator table."""
    assert PROPAGATORS.setdefault(entry.kind, entry) == entry, f"propagator {entry.kind} registered twice"


def propagator_entry(kind: str) -> PropagatorEntry:
    """Return a row of the table; raises InputError that lists the known kinds."""
    if kind not in PROPAGATORS:
        raise InputError(f"unknown integrator {kind!r}; known: {', '.join(sorted(PROPAGATORS))}")
    return PROPAGATORS[kind]
