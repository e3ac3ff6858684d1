"""How things move: propagators, step control, extrapolation, composition, the run loop."""

from .interaction import Evaluation, Interaction, SumInteraction, require
from .propagator import (
    PROPAGATORS,
    Capabilities,
    Change,
    Event,
    Outcome,
    Propagator,
    PropagatorEntry,
    Step,
    propagator_entry,
    register_propagator,
)

__all__ = [
    "PROPAGATORS",
    "Capabilities",
    "Change",
    "Evaluation",
    "Event",
    "Interaction",
    "Outcome",
    "Propagator",
    "PropagatorEntry",
    "Step",
    "SumInteraction",
    "propagator_entry",
    "register_propagator",
    "require",
]
