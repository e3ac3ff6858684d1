"""From the tables of a scattering job to the experiment: units, distributions, parts, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .nbody.scattering import Approach, Body, Orbit, Part, Scattering
from .nbody.scattering_distributions import Distribution, fixed
from .nbody.scattering_run import Settings
from .particles import InputError, UnitSystem
from .particles.units import DIMENSIONLESS, LENGTH, MASS, TIME, VELOCITY, Dimension
from .scatter_tables import BinaryTable, BodyTable, EncounterTable, OrbitTable, ScatterJob, TripleTable
from .sources import units_of


def scattering_of(job: ScatterJob) -> Scattering:
    """Return the experiment of a job; raises InputError for parts and encounters that do not belong together."""
    units = units_of(job.units)
    if units is None:
        raise InputError(
            '[units] is missing; give [units] system = "nbody", "au-msun-yr", ..., or length, mass and time'
        )
    make = _Make(units, holes=job.post_newtonian is not None or job.stop.merger_distance is not None)
    parts = (
        *(make.triple(table) for table in job.triple),
        *(make.binary(table) for table in job.binary),
        *(Part((make.body(table),)) for table in job.single),
    )
    if len(parts) not in (1, 2):
        raise InputError(
            f"{len(parts)} of [[single]], [[binary]] and [[triple]]; expected two, or one that is left alone"
        )
    if (len(parts) == 2) != (job.encounter is not None):
        wanted = "two parts need [encounter]" if len(parts) == 2 else "[encounter] needs a second part"
        raise InputError(f"{wanted}; give velocity and impact_parameter, or leave it away with one part")
    approach = make.approach(job.encounter) if job.encounter is not None else None
    return Scattering(
        parts, approach, job.sampling.seed, units.gravitational_constant, units.speed_of_light,
    )  # fmt: skip


def settings_of(job: ScatterJob, scattering: Scattering) -> Settings:
    """Return how a job is integrated."""
    units = units_of(job.units)
    assert units is not None
    return Settings(
        t_end=units.read(job.stop.t_end, TIME),
        stop=job.stop.rules,
        tolerance=job.integrator.tolerance,
        backend=job.integrator.backend,
        post_newtonian=job.post_newtonian.terms if job.post_newtonian else (),
        tide=job.stop.tide,
        merger_distance=job.stop.merger_distance,
        max_steps=job.integrator.max_steps,
    )


def even_area(job: ScatterJob) -> bool:
    """Return whether impact parameters are even over an area that begins at zero, as cross sections need."""
    if job.encounter is None:
        return False
    if job.encounter.impact_parameter is None:
        return True
    b = job.encounter.impact_parameter
    return isinstance(b, Mapping) and b["kind"] == "disk" and not float(b.get("low", 0.0))


class _Make:
    """Turns tables into parts."""

    def __init__(self, units: UnitSystem, *, holes: bool) -> None:
        self.units, self.holes = units, holes

    def drawn(self, value: Any, dimension: Dimension) -> Distribution:
        if not isinstance(value, Mapping):
            return fixed(self.units.read(value, dimension))
        numbers: dict[str, Any] = {}
        for name, part in value.items():
            if name == "values":
                numbers[name] = tuple(self.units.read(v, dimension) for v in part)
            elif name != "kind":
                numbers[name] = self.units.read(part, DIMENSIONLESS if name == "slope" else dimension)
        if value["kind"] == "kroupa":
            unit = self.units.read("1 Msun", MASS) if self.units.physical else 1.0
            numbers = {"low": 0.08 * unit, "high": 150.0 * unit, "unit": unit, **numbers}
        return Distribution(value["kind"], numbers)

    def body(self, table: BodyTable) -> Body:
        hole = self.holes if table.kind is None else table.kind == "black-hole"
        return Body(
            self.drawn(table.mass, MASS), self.drawn(table.radius, LENGTH), self.drawn(table.spin, DIMENSIONLESS), hole
        )

    def bodies(self, tables: tuple[BodyTable, ...], wanted: int, what: str) -> tuple[Body, ...]:
        if len(tables) != wanted:
            raise InputError(f"{what}.bodies has {len(tables)} tables; expected {wanted}")
        return tuple(self.body(table) for table in tables)

    def orbit(self, table: OrbitTable | BinaryTable) -> Orbit:
        tilt = getattr(table, "inclination", None)
        inclination = Distribution("sine") if tilt is None else self.drawn(tilt, DIMENSIONLESS)
        return Orbit(
            self.drawn(table.semi_major_axis, LENGTH), self.drawn(table.eccentricity, DIMENSIONLESS), inclination
        )

    def binary(self, table: BinaryTable) -> Part:
        return Part(self.bodies(table.bodies, 2, "binary"), (self.orbit(table),))

    def triple(self, table: TripleTable) -> Part:
        return Part(self.bodies(table.bodies, 3, "triple"), (self.orbit(table.inner), self.orbit(table.outer)))

    def approach(self, table: EncounterTable) -> Approach:
        def length(value: Any) -> float | None:
            return None if value is None else self.units.read(value, LENGTH)

        b = table.impact_parameter
        return Approach(
            self.drawn(table.velocity, VELOCITY),
            None if b is None else self.drawn(b, LENGTH),
            length(table.periastron),
            length(table.separation),
            table.scaled,
        )
