"""How things move: propagators, step control, extrapolation, composition, the run loop."""

from .compensated import CompensatedSum, add_compensated
from .controllers import Controller, ErrorPerStep, Fixed, Whole
from .energy import EnergyLedger
from .events import RecordOnly, Resolution, Resolver
from .interaction import Evaluation, Interaction, SumInteraction, require
from .loop import Simulation
from .observers import Checkpoints, EnergySeries, Observer, Progress, Records, Snapshots, Writer
from .propagator import (
    PROPAGATORS,
    Capabilities,
    Change,
    Event,
    Outcome,
    Propagator,
    PropagatorEntry,
    Row,
    Settled,
    Step,
    propagator_entry,
    register_propagator,
)
from .report import RunReport
from .schedule import Schedule

_METHODS = "askel.integrators"
for _entry in (
    ("leapfrog", "composition:leapfrog", True, "kick-drift-kick (velocity Verlet), 2nd order, symplectic"),
    ("leapfrog-dkd", "composition:leapfrog_dkd", True, "drift-kick-drift, 2nd order, symplectic"),
    ("yoshida4", "composition:yoshida4", True, "4th order, symplectic, 3 forces a step"),
    ("yoshida6", "composition:yoshida6", True, "6th order, symplectic, 7 forces a step"),
    ("yoshida8", "composition:yoshida8", True, "8th order, symplectic, 15 forces a step"),
    ("mclachlan4", "composition:mclachlan4", True, "4th order, symplectic, 5 forces a step"),
    ("blanes-moan4", "composition:blanes_moan4", True, "4th order, symplectic, 6 forces a step, small error"),
    ("blanes-moan6", "composition:blanes_moan6", True, "6th order, symplectic, 11 forces a step, small error"),
    ("kahan-li6", "composition:kahan_li6", True, "6th order, symplectic, 9 forces a step"),
    ("kahan-li8", "composition:kahan_li8", True, "8th order, symplectic, 17 forces a step"),
    ("hermite4", "hermite:Hermite", True, "4th order predictor-corrector with the jerk of the acceleration"),
    ("radau15", "gauss_radau:GaussRadau", False, "15th order, adaptive, accurate to rounding; forces of any kind"),
    (
        "gbs",
        "gragg_bulirsch_stoer:GraggBulirschStoer",
        False,
        "extrapolation, adaptive order and step; forces of any kind",
    ),
):
    register_propagator(
        PropagatorEntry(
            _entry[0], f"{_METHODS}.{_entry[1]}", takes="interaction", fixed_step=_entry[2], summary=_entry[3]
        )
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
    "Settled",
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
