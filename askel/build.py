"""From a job file to objects: units, particles, interactions, propagator, controller, resolver.

The one place that names everything; what only molecular dynamics needs is in ``build_stride``. Nothing here touches an
output file, so that every mistake is found before anything is written.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import build_stride, checks
from .config import as_tables, parse
from .initial_state import initial_state
from .integrators import (
    PROPAGATORS,
    Controller,
    ErrorPerStep,
    Fixed,
    Interaction,
    Observer,
    Propagator,
    PropagatorEntry,
    RecordOnly,
    Resolver,
    Simulation,
    Whole,
    propagator_entry,
)
from .integrators.step_doubling import StepDoubling
from .options import options_of
from .particles import SERIAL, Exchange, InputError, Particles, UnitSystem
from .particles.collective import lines_of_all
from .particles.units import LENGTH, TIME
from .tables import Config
from .times import times_of, whole_strides

#: The resolver that [mergers] stands for.
RESOLVER = "askel.nbody.mergers:Mergers"
#: Packages that register propagators and kernels when they are imported.
_PROVIDERS = ("askel.integrators", "askel.nbody", "askel.md")
#: First step tried under error control, of the whole run; the error decides whether it stands.
_FIRST_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class Job:
    """All that a run needs, checked, and nothing written yet.

    Attributes
    ----------
    config : the job with everything resolved that it left open
    particles : the initial state; of several ranks, what this one owns of it
    propagator, controller, resolver, potential : as ``Simulation`` takes them
    molecular : bool, whether it moves atoms: temperatures are watched then
    thermostat : the layer around the propagator, or None
    estimators : names of those of the error control
    exchange : Exchange between ranks
    t_end, every, series_every : float, in the time unit of the particles
    checkpoint_seconds : float, wall-clock time
    warnings : lines a user should read

    """

    config: Config
    particles: Particles
    propagator: Propagator
    controller: Controller
    resolver: Resolver
    potential: Interaction | None
    t_end: float
    every: float
    series_every: float
    checkpoint_seconds: float
    warnings: tuple[str, ...]
    molecular: bool = False
    thermostat: Any = None
    estimators: tuple[str, ...] = ()
    exchange: Exchange = SERIAL

    @property
    def in_shares(self) -> bool:
        """Whether each rank writes the particles that it owns, into trajectory and checkpoints."""
        return self.config.output.files == "per-rank"

    def simulation(self, observers: tuple[Observer, ...] = ()) -> Simulation:
        """Return the run loop over a copy of the initial state."""
        return Simulation(
            self.particles.clone(),
            self.propagator,
            self.controller,
            observers=observers,
            resolver=self.resolver,
            potential=self.potential,
            exchange=self.exchange,
            seed=self.config.run.seed,
        )


def build(
    config: Config,
    folder: Path,
    particles: Particles | None = None,
    exchange: Exchange = SERIAL,
    *,
    in_shares: bool = False,
) -> Job:
    """Make and check everything a job names.

    Parameters
    ----------
    config : the job
    folder : where the names of input files start from
    particles : the state of a checkpoint, instead of [particles]; of several ranks, rank 0 has it
    exchange : Exchange between ranks; each reads a share of the initial state where its file allows it, else rank 0 the whole
    in_shares : whether each rank has a share of ``particles``

    Raises
    ------
    InputError : values that cannot be used, alone or together

    """
    fresh = particles is None
    checks.ranks(config, exchange)
    particles = initial_state(config, folder, particles, exchange, in_shares)
    times = times_of(config, particles, int(exchange.reduce(particles.n, "sum")))
    resolver = _resolver(config)
    method = _method(config, particles, folder, times["t_end"] - particles.time, resolver, exchange)
    around = build_stride.Surroundings(method.propagator)
    if method.molecular or config.thermostat is not None:
        step = _fixed_step(config, method)
        around = build_stride.surround(config, method.propagator, method.potential, step, particles, folder, exchange)
    notes = list(around.warnings)
    if method.takes == "model":
        notes += [
            *lines_of_all(exchange, method.propagator.notes(particles)),
            *whole_strides(times, method.controller.step, particles, config),
        ]
    if fresh and not times["t_end"] > particles.time:
        raise InputError(
            f"run.t_end = {config.run.t_end}: is less than half a stride after the start; give a later time"
        )
    resolved = _resolved(config, times)
    checks.memory(particles)
    return Job(
        config=resolved,
        particles=particles,
        propagator=around.propagator,
        controller=method.controller,
        resolver=resolver,
        potential=method.potential,
        **times,
        warnings=(*checks.warnings(config, particles, around.propagator, times), *notes),
        molecular=method.molecular,
        thermostat=around.thermostat,
        estimators=around.estimators,
        exchange=exchange,
    )


def _resolved(config: Config, times: Mapping[str, float]) -> Config:
    """Return the job with what was left open written out, so that repeating it does not depend on defaults."""
    tables = as_tables(config)
    output = tables.setdefault("output", {})
    output.setdefault("every", times["every"])
    output.setdefault("series_every", output["every"])
    return parse(tables)


# ---------------------------------------------------------------------- propagators


def registered() -> dict[str, PropagatorEntry]:
    """Return the table of propagators, with all packages that add to it loaded."""
    for name in _PROVIDERS:
        importlib.import_module(name)
    return PROPAGATORS


@dataclass(frozen=True, slots=True)
class _Method:
    """A method with what it needs, before anything goes around it."""

    propagator: Any
    controller: Any
    potential: Interaction | None
    takes: str
    molecular: bool


def _method(
    config: Config, particles: Particles, folder: Path, span: float, resolver: Resolver, exchange: Exchange
) -> _Method:
    """Return the propagator, its controller, and the interaction that gives the potential energy where it does not."""
    known = registered()
    kind = config.integrator.kind
    if kind not in known:
        near = difflib.get_close_matches(kind, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"integrator.kind = {kind!r}: no such integrator; {hint}known: {', '.join(sorted(known))}")
    entry = propagator_entry(kind)
    factory = entry.factory()
    checks.shared_method(config, factory, exchange)
    options = options_of(config, entry, factory, particles.units)
    molecular = build_stride.is_molecular(config, entry.takes)
    if entry.takes == "model":
        build_stride.refuse_gravity(config, kind)
        stride, step = build_stride.stride_and_step(config, factory, options, folder, particles, exchange)
        forces = build_stride.forces_of(config, folder, particles, exchange)
        return _Method(stride, Fixed(step), forces, entry.takes, molecular)
    if config.integrator.model is not None:
        raise InputError(f"integrator.model: {kind!r} takes no model; use kind = 'stride', or [forces] model = ...")
    if not molecular:
        build_stride.refuse_atoms_tables(config, kind)
    if entry.takes == "system":
        if molecular:
            raise InputError(f"forces: {kind!r} brings its own forces; use [integrator] kind = 'stride' or 'leapfrog'")
        elsewhere = _elsewhere(config, entry, factory, particles.units, resolver)
        checks.newtonian_kind(config, entry, elsewhere)
        method, potential = factory(**options, **elsewhere), None
    else:
        elsewhere = _elsewhere(config, entry, factory, particles.units, resolver, exchange)
        potential = _potential(config, entry, particles, folder, elsewhere, exchange)
        method = factory(potential, **options, **elsewhere)
    method, controller = _stepping(
        config, method, particles.units, span, "tolerance" in inspect.signature(factory).parameters
    )
    if entry.takes == "interaction":
        method.start(particles)  # what it cannot start from is refused before anything is written
    return _Method(method, controller, potential, entry.takes, molecular)


def _potential(
    config: Config, entry: PropagatorEntry, particles: Particles, folder: Path, taken: Mapping[str, Any],
    exchange: Exchange,
) -> Interaction:  # fmt: skip
    """Return the interaction that the particles move by: [forces], or else [gravity]."""
    forces = build_stride.forces_of(config, folder, particles, exchange)
    if forces is None:
        checks.interaction_kind(config, entry, taken)
        return _interaction(config, particles.units, exchange)
    build_stride.refuse_gravity(config, entry.kind)
    if config.error_control is not None:
        raise InputError(f"error_control: is for strides of a network; {entry.kind!r} takes tolerance")
    return forces


def _fixed_step(config: Config, method: _Method) -> float:
    """Return the step of a method that layers may go around."""
    step = getattr(method.controller, "step", None)
    if step is None and (config.thermostat is not None or config.barostat is not None):
        raise InputError("thermostat: thermostats go around fixed steps; give [integrator] step, of a fixed-step kind")
    return 0.0 if step is None else float(step)


def _elsewhere(
    config: Config, entry: PropagatorEntry, factory: Any, units: UnitSystem, resolver: Resolver,
    exchange: Exchange = SERIAL,
) -> dict[str, Any]:  # fmt: skip
    """Return the arguments of a propagator that other tables than [integrator] give."""
    gravity, terms, mergers = config.gravity, config.post_newtonian, config.mergers
    given: dict[str, Any] = {
        "softening": units.read(gravity.softening, LENGTH),
        "star_star": gravity.star_star,
        "backend": gravity.backend,
        "post_newtonian": () if terms is None else terms.terms,
        "pairs": "black-hole" if terms is None else terms.pairs,
        "merger_distance": None if mergers is None else mergers.distance,
        "collisions": mergers is not None and mergers.collisions,
        "resolver": resolver,
        "exchange": exchange,
    }
    parameters = inspect.signature(factory).parameters
    return {name: value for name, value in given.items() if name in parameters}


def _interaction(config: Config, units: UnitSystem, exchange: Exchange) -> Interaction:
    from .nbody.gravity import GRAVITY

    table = config.gravity
    if table.kind not in GRAVITY:
        raise InputError(f"gravity.kind = {table.kind!r}: no such force; known: {', '.join(sorted(GRAVITY))}")
    factory = _load(GRAVITY[table.kind])
    parameters = inspect.signature(factory).parameters
    options = {}
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if name in parameters:
            options[name] = units.read(value, LENGTH) if name == "softening" else value
        elif name != "kind" and value != field.default:
            raise InputError(f"gravity.{name} = {value!r}: kind {table.kind!r} does not take it; remove it")
    interaction: Interaction = factory(**options, exchange=exchange)
    return interaction


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _stepping(
    config: Config, propagator: Propagator, units: UnitSystem, span: float, own: bool
) -> tuple[Propagator, Controller]:
    """Return the propagator and who chooses its steps: itself, a fixed step, or a tolerance (not its own) by doubling."""
    settings, kind = config.integrator, config.integrator.kind
    if not propagator_entry(kind).fixed_step:
        if settings.step is not None:
            raise InputError(f"integrator.step: {kind!r} chooses its own steps; give tolerance instead")
        return propagator, Whole()
    if own and settings.step is None:
        raise InputError(f"integrator.step is missing; {kind!r} needs its longest step")
    if not own and (settings.step is None) == (settings.tolerance is None):
        came = "neither" if settings.step is None else "both"
        raise InputError(
            f"[integrator] has {came} of step and tolerance; {kind!r} needs one: a fixed step, or an error"
        )
    if settings.tolerance is not None and not own:
        order = propagator.capabilities.order or 1
        return StepDoubling(propagator, tolerance=settings.tolerance), ErrorPerStep(order, _FIRST_STEP * span)
    step = units.read(settings.step or 0.0, TIME)
    if not step > 0.0:
        raise InputError(f"integrator.step = {step:g}: must be a positive time")
    return propagator, Fixed(step)


def _resolver(config: Config) -> Resolver:
    if config.mergers is None:
        return RecordOnly()
    table = config.mergers
    terms = () if config.post_newtonian is None else config.post_newtonian.terms
    resolver: Resolver = _load(RESOLVER)(fit=table.fit, post_newtonian=terms, accreted_fraction=table.accreted_fraction)
    return resolver
