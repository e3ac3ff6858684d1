"""From [[particles.galaxy]] and [particles.orbit] to particles: names and units to ``nbody.initial_conditions``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .nbody import initial_conditions as ic
from .particles import InputError, Particles, UnitSystem, join
from .particles.units import LENGTH, MASS, VELOCITY
from .tables import CentralBlackHole, Galaxy, GalaxyComponent, ParticleSource

#: model -> (its class, key of the job -> parameter of the class)
MODELS: dict[str, tuple[type[ic.Profile], dict[str, str]]] = {
    "plummer": (ic.Plummer, {"scale_radius": "scale_radius"}),
    "hernquist": (ic.Hernquist, {"scale_radius": "scale_radius"}),
    "dehnen": (ic.Dehnen, {"scale_radius": "scale_radius", "inner_slope": "inner_slope"}),
    "nfw": (ic.NFW, {"scale_radius": "scale_radius", "truncation_radius": "truncation_radius"}),
    "king": (ic.King, {"scale_radius": "core_radius", "central_potential": "central_potential"}),
}
#: Keys of a component that belong to some models only.
_OF_SOME = ("truncation_radius", "central_potential", "inner_slope")
#: Those that are plain numbers.
_NUMBERS = ("central_potential", "inner_slope")
_OF_BINARIES = ("eccentricity", "mass_ratio", "inclination")
#: Bytes that sampling needs for a particle, at most.
_BYTES = 1200


def sampled(source: ParticleSource, units: UnitSystem, seed: int) -> Particles:
    """Return the particles of all galaxies.

    Raises
    ------
    InputError : values that cannot be used, with the key; more particles than fit into memory

    """
    _refuse_too_many(source)
    states: list[Particles] = []
    for i, table in enumerate(source.galaxy):
        key = f"particles.galaxy.{i}"
        if source.orbit is not None and (table.position is not None or table.velocity is not None):
            raise InputError(f"{key}: [particles.orbit] puts the galaxies; remove position and velocity")
        galaxy = _galaxy(table, units, key)
        with _named(key):
            first = sum(s.n for s in states)
            state = galaxy.sample(seed=seed, units=units, sampling=table.sampling, first_identity=first)
        if table.position is not None:
            state.position += [units.read(x, LENGTH) for x in table.position]
        if table.velocity is not None:
            state.velocity += [units.read(v, VELOCITY) for v in table.velocity]
        states.append(state)
    if source.orbit is None:
        return join(states)
    orbit = source.orbit
    with _named("particles.orbit"):
        return ic.merge_orbit(
            *states,
            pericentre=units.read(orbit.pericentre, LENGTH),
            eccentricity=orbit.eccentricity,
            separation=units.read(orbit.separation, LENGTH),
        )


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Put the key before the message of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _refuse_too_many(source: ParticleSource) -> None:
    from .checks import available_memory

    n = sum(component.n for galaxy in source.galaxy for component in galaxy.component)
    if n * _BYTES > available_memory():
        raise InputError(f"particles.galaxy: {n:.3g} particles do not fit into memory; use fewer")


def _galaxy(table: Galaxy, units: UnitSystem, key: str) -> ic.Galaxy:
    components = [_component(c, units, f"{key}.component.{i}") for i, c in enumerate(table.component)]
    hole = None if table.black_hole is None else _black_hole(table.black_hole, units, f"{key}.black_hole")
    with _named(key):
        return ic.Galaxy(components, hole)


def _component(table: GalaxyComponent, units: UnitSystem, key: str) -> ic.Component:
    profile = _profile(table, units, key)
    lengths = {
        name: None if getattr(table, name) is None else units.read(getattr(table, name), LENGTH)
        for name in ("cut_radius", "softening")
    }
    far = math.inf if table.anisotropy_radius is None else units.read(table.anisotropy_radius, LENGTH)
    masses = ic.kroupa() if table.mass_function == "kroupa" else None
    with _named(key):
        return ic.Component(profile, table.n, kind=table.kind, anisotropy_radius=far, mass_function=masses, **lengths)


def _profile(table: GalaxyComponent, units: UnitSystem, key: str) -> ic.Profile:
    if table.model not in MODELS:
        near = difflib.get_close_matches(table.model, MODELS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(MODELS)}"
        raise InputError(f"{key}.model = {table.model!r}: no such model; {hint}")
    make, parameters = MODELS[table.model]
    for name in _OF_SOME:
        if (getattr(table, name) is not None) != (name in parameters):
            what = "is missing; this model needs it" if name in parameters else "is for another model; remove it"
            raise InputError(f"{key}.{name} {what} (model = {table.model!r})")
    values: dict[str, Any] = {
        parameter: getattr(table, name) if name in _NUMBERS else units.read(getattr(table, name), LENGTH)
        for name, parameter in parameters.items()
    }
    with _named(key):
        return make(mass=units.read(table.mass, MASS), **values)  # type: ignore[call-arg]


def _black_hole(table: CentralBlackHole, units: UnitSystem, key: str) -> ic.BlackHole | ic.BlackHoleBinary:
    mass = units.read(table.mass, MASS)
    given = {name: getattr(table, name) for name in _OF_BINARIES if getattr(table, name) is not None}
    if table.semi_major_axis is None:
        if given:
            raise InputError(f"{key}.{next(iter(given))} is for a binary; give semi_major_axis too, or remove it")
        with _named(key):
            return ic.BlackHole(mass, spin=_spin(table, mass, units, key))
    if table.dimensionless_spin is not None:
        raise InputError(f"{key}.dimensionless_spin is for a single black hole; remove it, or semi_major_axis")
    with _named(key):
        return ic.BlackHoleBinary(mass, units.read(table.semi_major_axis, LENGTH), **given)


def _spin(table: CentralBlackHole, mass: float, units: UnitSystem, key: str) -> tuple[float, float, float] | None:
    if table.dimensionless_spin is None:
        return None
    if units.speed_of_light is None:
        raise InputError(f"{key}.dimensionless_spin needs a speed of light; give one in [units]")
    spin = np.array(table.dimensionless_spin) * (units.gravitational_constant * mass**2 / units.speed_of_light)
    return float(spin[0]), float(spin[1]), float(spin[2])
