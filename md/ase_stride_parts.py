"""From the options of ``LongStride`` to a propagator: the stride, error control, thermostat, barostat, in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from ..equivariant.model_file import Model
from ..integrators import Propagator
from ..particles import InputError
from .ase_baths import DEFAULT, bath, target_of
from .ase_interaction import AseInteraction
from .barostat import Barostatted, CellRescaling
from .calibration import Calibration
from .energy_drift import drift_of
from .error_control import TOLERANCE, ErrorControlled
from .estimator import Estimator, is_known
from .estimators import DoublingDefect, ReversibilityDefect, TrainingRange
from .fallback import Fallback
from .layers import Layer
from .model_library import stride_of
from .stride import LearnedStride, StrideEngine
from .thermostats import Thermostatted

#: Time constant of the barostat, in strides, where none is given: slow against a thermostat of 10 strides.
STRIDES_PER_PRESSURE_TIME = 100.0
#: Strides from one rescaling of the cell to the next; each costs the forces once and the energy once.
PRESSURE_INTERVAL = 10
#: (lightest mass in amu, longest step in fs) of the fall-back, the first that fits: half a fs with hydrogen, 1 with deuterium.
_FALLBACK_STEPS = ((10.0, 2.0), (1.9, 1.0), (0.0, 0.5))
#: The name of Langevin with a barostat.
CONSTANT_PRESSURE = "npt"
#: A timestep is a stride of the model when it differs by less than this share (definitions of the fs differ by 2e-9).
_SAME = 1e-6


@dataclass(frozen=True)
class StrideOptions:
    """What a ``LongStride`` was asked for; names, units and defaults as there.

    Attributes
    ----------
    stride, timestep : LearnedStride, and its dt in ASE's unit of time
    thermostat, temperature_K, thermostat_options : see ``ase_baths.bath``
    pressure : pressure_au, taup, compressibility_au, coupling, pressure_interval, None where not given
    fallback, tolerance, estimators : of the error control; all None: none

    """

    stride: LearnedStride
    timestep: float
    thermostat: str | Layer | None = None
    temperature_K: float | None = None  # noqa: N815 - ASE's name
    thermostat_options: Mapping[str, Any] = field(default_factory=dict)
    pressure: Mapping[str, Any] = field(default_factory=dict)
    fallback: BaseCalculator | Fallback | None = None
    tolerance: float | None = None
    estimators: Sequence[Estimator] | None = None

    @classmethod
    def of(
        cls,
        model: str | Path | Model | StrideEngine | LearnedStride,
        timestep: float | None,
        precision: str,
        backend: str,
        **others: Any,
    ) -> StrideOptions:
        """Return the options with the stride of a model; raises InputError for what ``stride_of``, ``chosen_stride`` refuse."""
        stride = stride_of(model, precision, backend)
        return cls(stride, chosen_stride(stride, timestep), **others)

    def assemble(self, atoms: Atoms, seed: int) -> tuple[Propagator, Layer | None]:
        """Return the propagator, and its thermostat; raises InputError for options that do not fit together."""
        propagator = self._controlled(atoms)
        kind = self.thermostat
        if kind == CONSTANT_PRESSURE:
            kind = DEFAULT
            if self.pressure.get("pressure_au") is None:
                raise InputError(
                    f"thermostat = {CONSTANT_PRESSURE!r} came without pressure_au; give it in eV/Angstrom^3"
                )
        layer = bath(kind, self.temperature_K, self.timestep, seed, self.thermostat_options)
        if layer is not None:
            propagator = Thermostatted(propagator, layer)
        barostat = self._barostat(atoms, target_of(layer), seed)
        return (propagator if barostat is None else Barostatted(propagator, barostat)), layer

    def _controlled(self, atoms: Atoms) -> Propagator:
        if self.fallback is None and self.tolerance is None and self.estimators is None:
            return self.stride
        calibration, fallback = calibration_of(self.stride), self._fallback(atoms)
        return ErrorControlled(
            self.stride,
            estimators=self._default_estimators(calibration) if self.estimators is None else self.estimators,
            drift=None if fallback is None else drift_of(fallback.method.interaction),
            fallback=fallback,
            tolerance=TOLERANCE if self.tolerance is None else self.tolerance,
            calibration=calibration,
            temperature=self.temperature_K,
        )

    def _default_estimators(self, calibration: Calibration | None) -> list[Estimator]:
        """Return the range of the training data where it is known, and the cheapest defect that these strides allow."""
        strides = self.stride.capabilities.strides or ()
        doubles = any(is_known(0.5 * h, strides) for h in strides if h <= self.timestep * (1.0 + _SAME))
        defect: Estimator = DoublingDefect() if doubles else ReversibilityDefect()
        return [defect] if calibration is None else [TrainingRange(**calibration.limits()), defect]

    def _fallback(self, atoms: Atoms) -> Fallback | None:
        if self.fallback is None or isinstance(self.fallback, Fallback):
            return self.fallback
        step = next(step for lightest, step in _FALLBACK_STEPS if atoms.get_masses().min(initial=np.inf) >= lightest)
        return Fallback(AseInteraction(self.fallback, atoms), step * units.fs)

    def _barostat(self, atoms: Atoms, temperature: float | None, seed: int) -> CellRescaling | None:
        given = {name: value for name, value in self.pressure.items() if value is not None}
        if "pressure_au" not in given:
            if given:
                raise InputError(f"{next(iter(given))} is an option of constant pressure; it came without pressure_au")
            return None
        if temperature is None:
            raise InputError("constant pressure needs a thermostat: give temperature_K too")
        if "compressibility_au" not in given:
            raise InputError(
                "constant pressure needs compressibility_au in Angstrom^3/eV, an estimate (water: 73, quartz: 4.3): it "
                "sets how fast the cell follows"
            )
        calculator = self.fallback if atoms.calc is None else atoms.calc
        if calculator is None or isinstance(calculator, Fallback):
            raise InputError(
                "constant pressure needs a stress, which a stride does not give: attach a calculator that has one"
            )
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise InputError("constant pressure needs atoms that are periodic in all three directions")
        return CellRescaling(
            AseInteraction(calculator, atoms),
            given["pressure_au"],
            temperature,
            given.get("taup", STRIDES_PER_PRESSURE_TIME * self.timestep),
            compressibility=given["compressibility_au"],
            coupling=given.get("coupling", "isotropic"),
            every=given.get("pressure_interval", PRESSURE_INTERVAL),
            seed=seed,
        )


def calibration_of(stride: LearnedStride) -> Calibration | None:
    """Return the calibration in the card of the stride's model, None where there is none."""
    from ..equivariant.engine import Engine

    known = stride.engine.card.get("calibration") if isinstance(stride.engine, Engine) else None
    return None if known is None else Calibration.from_json(known)


def chosen_stride(stride: LearnedStride, timestep: float | None) -> float:
    """Return the model's stride, in ASE's unit of time, that a timestep means; its longest for None.

    Raises
    ------
    InputError : a timestep that is none of them

    """
    admissible = stride.capabilities.strides or ()
    if timestep is None:
        return max(admissible)
    for known in admissible:
        if abs(timestep - known) <= _SAME * known:
            return known
    names = ", ".join(f"{h / units.fs:g}" for h in admissible)
    plain = (
        " (is it in fs? multiply by ase.units.fs)"
        if any(abs(timestep * units.fs - h) < 1e-3 * h for h in admissible)
        else ""
    )
    raise InputError(f"timestep is {timestep / units.fs:g} fs; {stride.name} was trained for {names} fs{plain}")


def seed_of(rng: Any) -> int:
    """Return the seed that ``rng`` stands for: an int, a NumPy generator to draw one from, or None for a fresh one."""
    if rng is None:
        return int(np.random.default_rng().integers(2**63))
    if isinstance(rng, int | np.integer) and rng >= 0:
        return int(rng)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if isinstance(rng, np.random.RandomState) or rng is np.random:
        return int(rng.randint(2**31))
    raise InputError(f"rng is {rng!r}; expected a seed (a whole number, 0 or more), a NumPy generator, or None")
