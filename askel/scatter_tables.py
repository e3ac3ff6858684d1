"""The job of ``askel scatter`` as models: names, types, defaults and one sentence for each key (see ``askel schema scatter``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, Strict, WithJsonSchema

from .particles.units import DIMENSIONLESS, LENGTH, MASS, VELOCITY, Dimension, describe, parse_quantity
from .tables import Count, Length, Name, Names, Positive, PostNewtonian, Table, Time, Units

_NUMBERS = ("value", "low", "high", "mean", "sigma", "slope")


def _drawn(dimension: Dimension, example: str) -> Any:
    """Return the type of a number, a string with a unit, or a distribution of them."""
    table = "{ kind = 'uniform', low = ..., high = ... }"
    expected = f"a number, {describe(dimension)} such as {example!r}, or a table such as {table}"

    def quantity(value: object) -> float | str:
        if isinstance(value, str):
            found = parse_quantity(value)[1]
            if found not in (dimension, DIMENSIONLESS):
                raise ValueError(f"{describe(found)}; expected {expected}")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"expected {expected}")
        return float(value)

    def check(value: object) -> Any:
        if not isinstance(value, Mapping):
            return quantity(value)
        if not isinstance(value.get("kind"), str):
            raise ValueError("a distribution needs kind = '...'; known: askel.nbody.scattering_distributions")
        checked: dict[str, Any] = {"kind": value["kind"]}
        for name, part in value.items():
            if name == "values" and isinstance(part, list | tuple):
                checked[name] = [quantity(v) for v in part]
            elif name in _NUMBERS:
                checked[name] = quantity(part)
            elif name != "kind":
                raise ValueError(f"unknown key {name!r} of a distribution; known: kind, values, {', '.join(_NUMBERS)}")
        return checked

    schema = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "object"}], "examples": [1.0, example]}
    return Annotated[Any, PlainValidator(check), WithJsonSchema(schema)]


DrawnMass: Any = _drawn(MASS, "10 Msun")
DrawnLength: Any = _drawn(LENGTH, "1 au")
DrawnVelocity: Any = _drawn(VELOCITY, "10 km/s")
DrawnNumber: Any = _drawn(DIMENSIONLESS, "0.5")


class BodyTable(Table):
    """One body, as a distribution of bodies."""

    mass: DrawnMass = Field(description="mass")
    radius: DrawnLength = Field(default=0.0, description="radius, for the rule 'collision'")
    spin: DrawnNumber = Field(default=0.0, description="dimensionless, 0 to 1; spins point anywhere")
    kind: Literal["star", "black-hole"] | None = Field(
        default=None, description="black-hole with [post_newtonian] or stop.merger_distance, else star, when not given"
    )


Bodies = Annotated[tuple[BodyTable, ...], Strict(False)]


class OrbitTable(Table):
    """An orbit of a triple."""

    semi_major_axis: DrawnLength = Field(description="semi-major axis")
    eccentricity: DrawnNumber = Field(default=0.0, description="0 to 1; { kind = 'thermal' } is 2 e de")
    inclination: DrawnNumber | None = Field(
        default=None, description="outer orbit: radian, to the inner one; isotropic"
    )


class BinaryTable(Table):
    """[[binary]]: two bodies on an orbit of any orientation and phase."""

    bodies: Bodies = Field(description="two tables")
    semi_major_axis: DrawnLength = Field(description="semi-major axis")
    eccentricity: DrawnNumber = Field(default=0.0, description="0 to 1; { kind = 'thermal' } is 2 e de")


class TripleTable(Table):
    """[[triple]]: three bodies, the third about the first two."""

    bodies: Bodies = Field(description="three tables")
    inner: OrbitTable
    outer: OrbitTable


class EncounterTable(Table):
    """[encounter]: how the second part comes to the first."""

    velocity: DrawnVelocity = Field(description="at infinity")
    impact_parameter: DrawnLength | None = Field(
        default=None, description="{ kind = 'disk', high = ... } is even over an area, for cross sections"
    )
    periastron: Length | None = Field(
        default=None, description="instead: the largest periastron; b is even over the area inside"
    )
    separation: Length | None = Field(default=None, description="at the start; where tides are 1e-5, if not given")
    scaled: bool = Field(
        default=False, description="velocity in critical velocities, lengths here in (sums of) semi-major axes"
    )


class StopTable(Table):
    """[stop]: when an encounter ends."""

    t_end: Time = Field(description="the latest end")
    rules: Names = Field(
        default=("escape",),
        description="of escape, collision, capture, and one of mardling-aarseth, eggleton-kiseleva, vynatheya",
    )
    tide: Positive = Field(default=1e-4, description="escape: largest tide, relative to binding forces")
    merger_distance: Positive | None = Field(
        default=None, description="black holes merge closer than this, in 2 G (m1 + m2) / c^2"
    )


class SamplingTable(Table):
    """[sampling]: how many."""

    encounters: Count = Field(description="number of encounters; --resume may ask for more")
    seed: int = Field(default=0, ge=0, description="all random numbers derive from it and from the encounter's number")
    block: Count = Field(default=4096, description="encounters that are computed and written together")


class IntegratorTable(Table):
    """[integrator]: how exactly."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(default=1e-12, description="relative error of a micro-step")
    max_steps: Count = Field(default=10_000_000, description="most micro-steps of an encounter")
    backend: Name = Field(default="cpu", description="what computes it")


class OutputTable(Table):
    """[output]: what is written."""

    file: Name = Field(default="encounters.h5", description="the table, *.h5, one row for each encounter")
    parquet: bool = Field(default=False, description="also write it as *.parquet (needs pyarrow)")


def _several(model: Any) -> Any:
    return Annotated[tuple[model, ...], Strict(False)]


class ScatterJob(Table):
    """A whole job of ``askel scatter``: the parts in the order triple, binary, single; the first is the target."""

    units: Units = Units()
    triple: _several(TripleTable) = ()  # type: ignore[valid-type]
    binary: _several(BinaryTable) = ()  # type: ignore[valid-type]
    single: _several(BodyTable) = ()  # type: ignore[valid-type]
    encounter: EncounterTable | None = None
    post_newtonian: PostNewtonian | None = None
    stop: StopTable
    integrator: IntegratorTable = IntegratorTable()
    sampling: SamplingTable
    output: OutputTable = OutputTable()
