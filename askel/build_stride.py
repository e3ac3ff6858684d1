"""From a job file to molecular dynamics: forces, the learned stride, error control, thermostat, barostat; used by ``build``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .integrators import Evaluation, Interaction, Propagator
from .particles import SERIAL, UNIT_SYSTEMS, Exchange, InputError, Particles
from .particles.units import ENERGY, LENGTH, TIME, VELOCITY
from .tables import OWN_FORCES, Config, ErrorControl, Gravity

if TYPE_CHECKING:
    from .md.error_control import ErrorControlled

#: Steps in a thermostat's time constant, for methods with short steps, where the job gives none.
_STEPS_PER_TIME_CONSTANT = 100.0
#: Strides agree when they differ by less than this share (definitions of the fs differ by 2e-9).
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a method that moves atoms.

    Attributes
    ----------
    propagator : the method with its layers
    thermostat : Layer or None
    estimators : names of those of the error control
    warnings : lines a user should read

    """

    propagator: Propagator
    thermostat: Any = None
    estimators: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def is_molecular(config: Config, takes: str) -> bool:
    """Return whether a job moves atoms by a network or by forces of atoms."""
    return takes == "model" or config.forces is not None


def refuse_gravity(config: Config, kind: str) -> None:
    """Refuse tables of bodies in a job of atoms."""
    present = {"gravity": config.gravity != Gravity(), "post_newtonian": config.post_newtonian is not None}
    present["mergers"] = config.mergers is not None
    for name, there in present.items():
        if there:
            raise InputError(f"{name}: this job moves atoms by {kind!r}, which knows no gravity; remove [{name}]")


def refuse_atoms_tables(config: Config, kind: str) -> None:
    """Refuse tables of atoms in a job of bodies."""
    for name in ("barostat", "error_control"):
        if getattr(config, name) is not None:
            need = "[integrator] kind = 'stride'" if name == "error_control" else "[forces]"
            raise InputError(f"{name}: needs {need}; {kind!r} as it stands here has none")


# ---------------------------------------------------------------------- models and forces


def model_path(name: str, folder: Path) -> str | Path:
    """Return the file of a model that a job names, when there is one beside the job, else the name of a shipped model."""
    path = folder / Path(name).expanduser()
    return path if path.is_file() else name


def forces_of(config: Config, folder: Path, particles: Particles, exchange: Exchange) -> Interaction | None:
    """Return the interaction of [forces], tried once on the particles, or None without the table."""
    table = config.forces
    if table is None:
        return None
    if (table.reference is None) == (table.model is None):
        came = "neither" if table.reference is None else "both"
        raise InputError(f"[forces] has {came} of reference and model; give one of them")
    if table.reference is not None:
        return _reference(table.reference, particles, "forces.reference")
    from .md.energy_model import EnergyModel

    interaction: Interaction = EnergyModel(
        model_path(str(table.model), folder), backend=table.backend, exchange=exchange
    )
    _try_forces(interaction, particles, f"forces.model = {table.model!r}", exchange)
    return interaction


def _reference(name: str, particles: Particles, key: str) -> Interaction:
    """Return the forces of a calculator by name, after trying them."""
    from .md.ase_interaction import AseInteraction
    from .md.ase_references import find_reference
    from .particles.io_ase import atoms_from_particles

    _atoms_in_ase_units(particles, f"{key} = {name!r}")
    calculator = find_reference(name).calculator()
    interaction: Interaction = AseInteraction(calculator, atoms_from_particles(particles))
    _try_forces(interaction, particles, f"{key} = {name!r}")
    return interaction


def _try_forces(interaction: Interaction, particles: Particles, what: str, exchange: Exchange = SERIAL) -> None:
    """Evaluate once; what a calculator cannot do becomes one line."""
    _atoms_in_ase_units(particles, what)
    out = Evaluation(particles.n, ("acceleration", "potential_energy"))
    try:
        interaction.evaluate(particles, out)
    except (NotImplementedError, KeyError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{what} cannot do these atoms: {reason}") from None
    finite = np.isfinite(out.acceleration).all() and math.isfinite(out.potential_energy)
    if not exchange.reduce(int(finite), "min"):
        raise InputError(f"{what} gives forces that are not finite here; do atoms overlap?")


def _atoms_in_ase_units(particles: Particles, what: str) -> None:
    if particles.units != UNIT_SYSTEMS["ase"]:
        raise InputError(f"{what} needs [units] system = 'ase', not {particles.units.name!r}")
    if particles.species is None:
        raise InputError(f"{what} needs atoms, and the particles have no species; give a file with chemical symbols")


# ---------------------------------------------------------------------- the stride


def stride_and_step(
    config: Config, factory: Any, options: Mapping[str, Any], folder: Path, particles: Particles, exchange: Exchange
) -> tuple[Propagator, float]:
    """Return the learned stride of [integrator], tried once on the particles, and its step."""
    settings = config.integrator
    if settings.model is None:
        raise InputError(f"integrator.model is missing; {settings.kind!r} needs the name or the file of a model")
    if settings.tolerance is not None:
        raise InputError("integrator.tolerance: a stride has no order; put tolerance into [error_control]")
    _atoms_in_ase_units(particles, f"integrator.kind = {settings.kind!r}")
    stride: Propagator = factory(model_path(settings.model, folder), **options, exchange=exchange)
    known = stride.capabilities.strides or ()
    if settings.step is None:
        step = max(known)
    else:
        asked = particles.units.read(settings.step, TIME)
        step = min(known, key=lambda h: abs(h - asked))
        if not abs(step - asked) <= _SAME * step:
            fs = particles.units.factor(TIME) / 1e-15
            raise InputError(
                f"integrator.step = {asked * fs:g} fs; {settings.model} was trained for "
                f"{', '.join(f'{h * fs:g}' for h in known)} fs"
            )
    if config.error_control is None or config.error_control.fallback is None:
        # what the very first stride refuses is found before anything is written
        stride.advance(particles.clone(), stride.start(particles), step)
    return stride, step


def whole_strides(span: float, step: float) -> tuple[float, bool]:
    """Return a time as the nearest whole number of steps, and whether that changes it by more than rounding."""
    count = round(span / step)
    return count * step, abs(count * step - span) > _SAME * step


# ---------------------------------------------------------------------- what goes around


def surround(
    config: Config,
    propagator: Propagator,
    forces: Interaction | None,
    step: float,
    particles: Particles,
    folder: Path,
    exchange: Exchange,
) -> Surroundings:
    """Return a method with error control, thermostat and barostat around it, in that order."""
    notes: list[str] = []
    names: tuple[str, ...] = ()
    if config.error_control is not None:
        controlled, notes = _controlled(config, propagator, forces, particles, folder, exchange)
        propagator, names = controlled, tuple(e.name for e in controlled.estimators)
    layer = _thermostat(config, step, particles, exchange)
    if layer is not None:
        from .md.thermostats import Thermostatted

        propagator = Thermostatted(propagator, layer)
    if config.barostat is not None:
        propagator = _barostatted(config, propagator, forces, step, particles, exchange)
    propagator.start(particles)
    return Surroundings(propagator, layer, names, tuple(notes))


def _thermostat(config: Config, step: float, particles: Particles, exchange: Exchange) -> Any:
    table = config.thermostat
    if table is None:
        return None
    from .md.thermostats import STRIDES_PER_TIME_CONSTANT, THERMOSTATS, thermostat_class

    if table.kind not in THERMOSTATS:
        raise InputError(f"thermostat.kind = {table.kind!r}: no such thermostat; known: {', '.join(THERMOSTATS)}")
    many = STRIDES_PER_TIME_CONSTANT if config.integrator.model is not None else _STEPS_PER_TIME_CONSTANT
    time = many * step if table.time is None else particles.units.read(table.time, TIME)
    given = {name: getattr(table, name) for name in ("groups", "conserved", "length", "substeps")}
    options = {name: value for name, value in given.items() if value is not None}
    bath = thermostat_class(table.kind)
    known = inspect.signature(bath).parameters
    for name in options:
        if name not in known:
            raise InputError(f"thermostat.{name}: {table.kind!r} has no such option; remove it, or take another kind")
    return bath(table.temperature, time, seed=config.run.seed, exchange=exchange, **options)


def _barostatted(
    config: Config, inner: Propagator, forces: Interaction | None, step: float, particles: Particles, exchange: Exchange
) -> Propagator:
    table, bath = config.barostat, config.thermostat
    assert table is not None, "asked for"
    if forces is None:
        raise InputError("barostat: needs a stress, which a stride does not give; add [forces] reference = ...")
    if bath is None:
        raise InputError("barostat: constant pressure needs a temperature; add [thermostat]")
    from .md.barostat import Barostatted, CellRescaling

    units = particles.units
    bar = 1e5 / (units.factor(ENERGY) / units.factor(LENGTH) ** 3)
    barostat = CellRescaling(
        forces,
        table.pressure * bar,
        bath.temperature,
        100.0 * step if table.time is None else units.read(table.time, TIME),
        compressibility=table.compressibility / bar,
        coupling=table.coupling,
        every=table.every,
        seed=config.run.seed,
        conserved="nothing" if bath.conserved == "nothing" else "momentum",
        exchange=exchange,
    )
    return Barostatted(inner, barostat)


# ---------------------------------------------------------------------- error control


def _controlled(
    config: Config,
    stride: Propagator,
    forces: Interaction | None,
    particles: Particles,
    folder: Path,
    exchange: Exchange,
) -> tuple[ErrorControlled, list[str]]:
    from .md.energy_drift import drift_of
    from .md.error_control import ErrorControlled

    table = config.error_control
    assert table is not None, "asked for"
    bath, notes = config.thermostat, []
    calibration = _calibration(stride)
    if calibration is None:
        notes.append("error_control: the model has no calibration in its card; estimators use their general scales")
    names = _usual_estimators(stride, table, calibration) if table.estimators is None else table.estimators
    estimators = [
        _estimator(name, table, particles, forces, calibration, folder, exchange) for name in dict.fromkeys(names)
    ]
    fallback = None if table.fallback is None else _fallback(table, particles, forces, exchange)
    if fallback is None:
        notes.append("error_control: there is no fallback; a stride that is rejected at its shortest ends the run")
    drift = None if table.drift is False else drift_of(forces if fallback is None else fallback.method.interaction)
    if table.drift and drift is None:
        raise InputError("error_control.drift = true needs energies: add [forces] or a fallback that has them")
    temperature = table.temperature or (None if bath is None else bath.temperature) or None
    controlled = ErrorControlled(
        stride,
        estimators=estimators,
        drift=drift,
        fallback=fallback,
        tolerance=table.tolerance,
        calibration=calibration,
        temperature=temperature,
        retry_above=table.retry_above,
        exchange=exchange,
    )
    return controlled, notes


def _usual_estimators(stride: Propagator, table: ErrorControl, calibration: Any) -> list[str]:
    """Return the range where limits are known, and the cheapest defect that these strides allow."""
    from .md.estimator import is_known

    strides = stride.capabilities.strides or ()
    doubles = any(is_known(0.5 * h, strides) for h in strides)
    limits = (table.shortest_pair, table.largest_displacement, table.largest_speed)
    ranged = calibration is not None or any(value is not None for value in limits)
    return [*(["range"] if ranged else []), "doubling" if doubles else "reversibility"]


def _calibration(stride: Any) -> Any:
    """Return the calibration in the card of the stride's model, or None."""
    from .md.calibration import Calibration

    tree = stride.engine.card.get("calibration")
    return None if tree is None else Calibration.from_json(tree)


def _estimator(
    name: str,
    table: ErrorControl,
    particles: Particles,
    forces: Interaction | None,
    calibration: Any,
    folder: Path,
    exchange: Exchange,
) -> Any:
    from .md.estimators import ESTIMATORS

    made: dict[str, Callable[[], dict[str, Any]]] = {
        "range": lambda: _range(table, particles, calibration),
        "energy": lambda: _energy(forces),
        "ensemble": lambda: _ensemble(table, folder, exchange),
    }
    if name not in ESTIMATORS or name == "local-energy":  # no force of a job file gives energies of atoms
        known = ", ".join(n for n in ESTIMATORS if n != "local-energy")
        raise InputError(f"error_control.estimators: no estimator {name!r}; known: {known}")
    options = made[name]() if name in made else {}
    return ESTIMATORS[name](**options)


def _range(table: ErrorControl, particles: Particles, calibration: Any) -> dict[str, Any]:
    units = particles.units
    given = {
        "shortest_pair": (table.shortest_pair, LENGTH),
        "largest_displacement": (table.largest_displacement, LENGTH),
        "largest_speed": (table.largest_speed, VELOCITY),
    }
    limits = {} if calibration is None else calibration.limits()
    limits |= {name: units.read(value, d) for name, (value, d) in given.items() if value is not None}
    if not limits:
        raise InputError(
            "error_control.estimators: 'range' needs limits, and this model's card has none; give shortest_pair, "
            "largest_displacement or largest_speed"
        )
    return limits


def _energy(forces: Interaction | None) -> dict[str, Any]:
    if forces is None:
        raise InputError("error_control.estimators: 'energy' needs [forces], for the energy that it watches")
    return {"interaction": forces}


def _ensemble(table: ErrorControl, folder: Path, exchange: Exchange) -> dict[str, Any]:
    from .md.model_library import stride_of

    if not table.ensemble:
        raise InputError("error_control.estimators: 'ensemble' needs other models; give error_control.ensemble = [...]")
    return {"others": [stride_of(model_path(name, folder), exchange=exchange) for name in table.ensemble]}


def _fallback(table: ErrorControl, particles: Particles, forces: Interaction | None, exchange: Exchange) -> Any:
    from .md.fallback import Fallback

    units, name = particles.units, str(table.fallback)
    recipe_step = None
    if name == OWN_FORCES:
        if forces is None:
            raise InputError("error_control.fallback = 'forces': there is no [forces]; add it, or name a calculator")
        interaction = forces
    else:
        from .md.ase_references import find_reference

        interaction = _reference(name, particles, "error_control.fallback")
        recipe_step = f"{find_reference(name).recipe.step} fs"
    step = recipe_step if table.fallback_step is None else table.fallback_step
    if step is None:
        raise InputError("error_control.fallback_step is missing; give the time step of the forces, such as '1 fs'")
    radius = None if table.region is None else units.read(table.region, LENGTH)
    buffer = None if table.buffer is None else units.read(table.buffer, LENGTH)
    return Fallback(interaction, units.read(step, TIME), radius=radius, buffer=buffer, exchange=exchange)
