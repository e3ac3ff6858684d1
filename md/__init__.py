"""ASE in both directions: calculators, interactions, dynamics, file formats; long strides and what goes around them."""

from __future__ import annotations

from ..integrators import PropagatorEntry, register_propagator
from ..particles.lazy import lazily

register_propagator(
    PropagatorEntry(
        "stride",
        "askel.md.model_library:stride_of",
        takes="model",
        fixed_step=True,
        summary="a network's long stride, no forces; step: one of those it was trained for",
    )
)

#: public name -> module; imported when used, so that ``import askel.md`` imports neither ASE nor torch
_PUBLIC = {
    "AseInteraction": "ase_interaction",
    "Barostatted": "barostat",
    "Bussi": "bussi",
    "Calibration": "calibration",
    "CellRescaling": "barostat",
    "DoublingDefect": "estimators",
    "EnergyCorrected": "energy_correction",
    "EnergyDefect": "estimators",
    "EnergyDrift": "energy_drift",
    "EnergyModel": "energy_model",
    "EnergyModelCalculator": "ase_energy_model",
    "EnsembleSpread": "estimators",
    "ErrorControlled": "error_control",
    "Fallback": "fallback",
    "GravityCalculator": "ase_calculator",
    "Langevin": "langevin",
    "LearnedStride": "stride",
    "LocalEnergyDefect": "estimators",
    "LongStride": "ase_long_stride",
    "MomentumConserving": "conservation",
    "NoseHoover": "nose_hoover",
    "RandomlyRotated": "random_rotation",
    "Replicas": "replicas",
    "ReversibilityDefect": "estimators",
    "StrideReport": "stride_report",
    "TemperatureMonitor": "temperature",
    "Thermostatted": "thermostats",
    "TrainingRange": "estimators",
    "find_model": "model_library",
    "models": "model_library",
    "open_model": "model_library",
}

__all__ = [
    "AseInteraction",
    "Barostatted",
    "Bussi",
    "Calibration",
    "CellRescaling",
    "DoublingDefect",
    "EnergyCorrected",
    "EnergyDefect",
    "EnergyDrift",
    "EnergyModel",
    "EnergyModelCalculator",
    "EnsembleSpread",
    "ErrorControlled",
    "Fallback",
    "GravityCalculator",
    "Langevin",
    "LearnedStride",
    "LocalEnergyDefect",
    "LongStride",
    "MomentumConserving",
    "NoseHoover",
    "RandomlyRotated",
    "Replicas",
    "ReversibilityDefect",
    "StrideReport",
    "TemperatureMonitor",
    "Thermostatted",
    "TrainingRange",
    "find_model",
    "models",
    "open_model",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
