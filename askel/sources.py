"""The initial state of a job: its unit system, and its particles from a file, or from tables of bodies and galaxies."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checks import SPIN_TERMS
from .particles import (
    KINDS,
    UNIT_SYSTEMS,
    InputError,
    Particles,
    UnitSystem,
    custom_units,
    geometric_units,
    join,
    nbody_units,
)
from .particles.units import ANGULAR_MOMENTUM, LENGTH, MASS, VELOCITY, Dimension
from .tables import Body, Config, Units


def units_of(table: Units) -> UnitSystem | None:
    """Return the unit system of [units], or None when the table names none.

    Raises
    ------
    InputError : scales that do not belong to the system, or a speed of light beside them

    """
    scales = {"length": table.length, "mass": table.mass, "time": table.time}
    given = [name for name, value in scales.items() if value is not None]
    if table.system == "nbody":
        if table.time is not None:
            raise InputError("units.time: N-body units follow from length and mass; remove it")
        return nbody_units(speed_of_light=table.speed_of_light, length=table.length, mass=table.mass)
    if table.speed_of_light is not None:
        raise InputError("units.speed_of_light is for system = 'nbody'; elsewhere it follows from the units: remove it")
    if table.system == "geometric":
        if table.length is not None or table.time is not None:
            raise InputError("units: geometric units follow from mass alone; remove length and time")
        return geometric_units(table.mass or "1 Msun")
    if table.system is not None:
        if given:
            raise InputError(
                f"units.{given[0]}: system = {table.system!r} has its own scales; give it or the three scales"
            )
        return UNIT_SYSTEMS[table.system]
    if not given:
        return None
    if table.length is None or table.mass is None or table.time is None:
        missing = [name for name in scales if name not in given]
        raise InputError(f"units.{missing[0]} is missing; give length, mass and time, or system = a name")
    return custom_units(table.length, table.mass, table.time)


def particles_of(config: Config, folder: Path) -> Particles:
    """Return the initial state of a job.

    Raises
    ------
    InputError : no particles, both a file and bodies, no units, a file that cannot be used

    """
    source, units = config.particles, units_of(config.units)
    if (source.file is None) == (not source.body and not source.galaxy):
        came = "neither" if source.file is None else "both"
        what = "[[particles.galaxy]]" if source.galaxy and not source.body else "[[particles.body]]"
        raise InputError(f"[particles] has {came} of file and {what}; give one of them")
    if source.orbit is not None and len(source.galaxy) != 2:
        raise InputError(f"particles.orbit is for two galaxies; there are {len(source.galaxy)} [[particles.galaxy]]")
    if source.file is not None:
        particles = _from_file(folder / source.file, source.frame, units)
    elif units is None:
        raise InputError(
            '[units] is missing; give [units] system = "nbody", "au-msun-yr", ..., or length, mass and time'
        )
    elif source.galaxy:
        from .galaxies import sampled

        particles = sampled(source, units, config.run.seed)
        if source.body:
            particles = _with_bodies(particles, source.body, units)
    else:
        particles = _from_bodies(source.body, units)
    return completed(config, particles)


def share_of(config: Config, folder: Path, k: int, of: int) -> Particles | None:
    """Return the k-th of so many parts of the initial state, not ``completed``; None where it must be made as a whole.

    Raises
    ------
    InputError : as ``particles_of``

    """
    source = config.particles
    if source.file is None or source.body or source.galaxy or source.temperature is not None:
        return None
    from .particles.files import read_stretch

    return read_stretch(folder / source.file, k, of, source.frame, units=units_of(config.units))


def _from_file(path: Path, frame: int, units: UnitSystem | None) -> Particles:
    from .particles.files import read

    return read(path, frame=frame, units=units)


def _with_bodies(galaxies: Particles, bodies: Sequence[Body], units: UnitSystem) -> Particles:
    """Return galaxies with bodies behind them."""
    if any(body.identity is not None for body in bodies):
        raise InputError("particles.body: beside [[particles.galaxy]] bodies are numbered behind them; remove identity")
    added = _from_bodies(bodies, units)
    added.identity += galaxies.n
    if added.kind is None:
        added.kind = np.full(added.n, -1, np.int8)
    return join([galaxies, added])


def _from_bodies(bodies: Sequence[Body], units: UnitSystem) -> Particles:
    numbers = [body.identity for body in bodies]
    if any(n is not None for n in numbers) and any(n is None for n in numbers):
        raise InputError("particles.body: some bodies have an identity and some have none; give it to all or to none")
    fields: dict[str, Any] = {
        "identity": None if numbers[0] is None else np.array(numbers, np.int64),
        "spin": _spins(bodies, units),
        "radius": _column(bodies, "radius", LENGTH, units),
        "softening": _column(bodies, "softening", LENGTH, units),
    }
    kinds = [body.kind for body in bodies]
    if any(k is not None for k in kinds):
        fields["kind"] = np.array([-1 if k is None else kind_code(k) for k in kinds], np.int8)
    return Particles(
        np.array([units.read(b.mass, MASS) for b in bodies]),
        np.array([[units.read(x, LENGTH) for x in b.position] for b in bodies]),
        np.array([[units.read(v, VELOCITY) for v in b.velocity] for b in bodies]),
        units=units,
        **{name: value for name, value in fields.items() if value is not None},
    )


def _column(bodies: Sequence[Body], name: str, dimension: Dimension, units: UnitSystem) -> Any:
    values = [getattr(body, name) for body in bodies]
    if all(v is None for v in values):
        return None
    return np.array([0.0 if v is None else units.read(v, dimension) for v in values])


def _spins(bodies: Sequence[Body], units: UnitSystem) -> Any:
    """S = chi G m^2 / c where a dimensionless spin chi is given."""
    rows = np.zeros((len(bodies), 3))
    given = False
    for i, body in enumerate(bodies):
        if body.spin is not None and body.dimensionless_spin is not None:
            raise InputError(f"particles.body.{i} has both spin and dimensionless_spin; give one of them")
        if body.spin is not None:
            rows[i], given = [units.read(s, ANGULAR_MOMENTUM) for s in body.spin], True
        if body.dimensionless_spin is not None:
            light = units.speed_of_light
            if light is None:
                raise InputError(f"particles.body.{i}.dimensionless_spin needs a speed of light; give one in [units]")
            scale = units.gravitational_constant * units.read(body.mass, MASS) ** 2 / light
            rows[i], given = np.array(body.dimensionless_spin) * scale, True
    return rows if given else None


def kind_code(name: str) -> int:
    """Return the code of a kind of particle; raises InputError that names the nearest known one."""
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
        raise InputError(f"kind {name!r} is unknown; {hint}")
    return KINDS[name]


def completed(config: Config, particles: Particles) -> Particles:
    """Give bodies without a kind the default one, and spins of zero where something will act on or make spins."""
    relativistic = config.post_newtonian is not None or config.mergers is not None
    usual = "black-hole" if relativistic else "star" if particles.species is None else "atom"
    default = kind_code(config.particles.kind or usual)
    if particles.kind is None:
        particles.kind = np.full(particles.n, default, np.int8)
    particles.kind[particles.kind < 0] = default
    terms = () if config.post_newtonian is None else config.post_newtonian.terms
    if particles.spin is None and (config.mergers is not None or set(terms) & set(SPIN_TERMS)):
        particles.spin = np.zeros((particles.n, 3))
    if config.particles.temperature is not None:
        draw_velocities(particles, config.particles.temperature, config.run.seed)
    return particles


def draw_velocities(particles: Particles, temperature: float, seed: int) -> None:
    r"""Overwrite the velocities by thermal ones, at rest as a whole, and scale them to the temperature.

    v_i = sqrt(k T / m_i) xi_i, less the motion of the centre of mass and, in open systems, the rotation about it

    xi is counter-based noise of (seed, INITIAL_CONDITIONS, identity): the same for any order of the particles.
    """
    from .md.temperature import ALL, boltzmann, conserved_in, conserved_velocity, temperatures
    from .particles.noise import Purpose, normal

    particles.check(coincident=False)
    width = np.sqrt(boltzmann(particles.units) * temperature / particles.mass)[:, None]
    particles.velocity[...] = width * normal(seed, Purpose.INITIAL_CONDITIONS, 0, particles.identity, 3)
    particles.velocity -= conserved_velocity(particles, conserved_in(particles))
    if temperature == 0.0:
        return
    now = temperatures(particles)[ALL]
    if not now > 0.0:
        raise InputError(
            f"particles.temperature = {temperature:g}: these particles have no thermal motion of their own"
        )
    particles.velocity *= np.sqrt(temperature / now)
