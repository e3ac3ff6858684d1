"""How things move: propagators, step control, extrapolation, composition, the run loop."""

from .compensated import CompensatedSum, add_compensated
from .controllers import Controller, ErrorPerStep, Fixed, Whole
from .energy import EnergyLedger
from .events import RecordOnly, Resolution, Resolver, Row
from .interaction import Evaluation, Interaction, SumInteraction, require
from .loop import RunReport, Simulation
from .observers import Checkpoints, EnergySeries, Observer, Progress, Records, Schedule, Snapshots, Writer
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
    "Checkpoints",
    "CompensatedSum",
    "Controller",
    "EnergyLedger",
    "EnergySeries",
    "ErrorPerStep",
    "Evaluation",
    "Event",
    "Fixed",
    "Interaction",
    "Observer",
    "Outcome",
    "Progress",
    "Propagator",
    "PropagatorEntry",
    "RecordOnly",
    "Records",
    "Resolution",
    "Resolver",
    "Row",
    "RunReport",
    "Schedule",
    "Simulation",
    "Snapshots",
    "Step",
    "SumInteraction",
    "Whole",
    "Writer",
    "add_compensated",
    "propagator_entry",
    "register_propagator",
    "require",
]
