"""What follows from an event: the resolver decides, the run loop carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..particles import Particles
from .propagator import Change, Event, Row


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a resolver decided.

    Attributes
    ----------
    particles : the new state, or None when nothing changes; rows of ``change.kept`` first, new ones after
    change : how its rows follow from the old ones; needed when there are new particles
    row : numbers and words for the event log, by column; the loop adds kind, step, time and energy_change
    stop : the run ends after this event

    """

    particles: Particles | None = None
    change: Change | None = None
    row: Row = field(default_factory=dict)
    stop: bool = False


class Resolver(Protocol):
    """Decides what an event does to the particles; it changes nothing itself."""

    def resolve(self, particles: Particles, event: Event) -> Resolution:
        """Return what becomes of the (synchronised) particles."""
        ...


class RecordOnly:
    """The resolver of runs without one: every event becomes a row of the log and nothing else happens."""

    def resolve(self, particles: Particles, event: Event) -> Resolution:
        """Return a row with the identities and the data of the event."""
        who: Row = {f"identity_{i}": identity for i, identity in enumerate(event.identities)}
        return Resolution(row={**who, **event.data})


def settle(particles: Particles, event: Event) -> Resolution:
    """Return what is left to do of an event that its propagator has carried out: the gone are taken away."""
    assert event.settled is not None, "the event was left to a resolver"
    gone = np.isin(particles.identity, event.settled.gone)
    altered = tuple(i for i in event.identities if i not in event.settled.gone)
    change = Change(np.flatnonzero(~gone), altered)
    return Resolution(particles.select(~gone), change, dict(event.data), stop=event.settled.stop)
