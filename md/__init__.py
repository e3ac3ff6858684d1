"""ASE in both directions: calculators, interactions, dynamics, file formats; long strides and what goes around them."""

from __future__ import annotations

from typing import Any

from ..integrators import PropagatorEntry, register_propagator

register_propagator(
    PropagatorEntry(
        "stride",
        "askel.md.model_stride:model_stride",
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


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
