"""The tables of a job file, as models: names, types, defaults and one sentence for each key (see ``askel schema``).

Numbers with a unit are bare numbers in the units of the job, or strings such as ``"10 kpc"``; they stay as written here
and are converted in ``build``.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, Strict, WithJsonSchema

from .particles import KINDS
from .particles.units import (
    ANGULAR_MOMENTUM,
    DIMENSIONLESS,
    LENGTH,
    MASS,
    TIME,
    VELOCITY,
    Dimension,
    describe,
    parse_quantity,
)


def _quantity(dimension: Dimension, example: str) -> Any:
    """Return the type of a number in the units of the job, or of a string with a unit of the given dimension."""
    expected = f"a finite number, or {describe(dimension)} such as {example!r}"

    def check(value: object) -> float | str:
        if isinstance(value, str):
            found = parse_quantity(value)[1]
            if found not in (dimension, DIMENSIONLESS):
                raise ValueError(f"{describe(found)}; expected {expected}")
            return value if found == dimension else float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"expected {expected}")
        return float(value)

    schema = {"anyOf": [{"type": "number"}, {"type": "string"}], "examples": [1.0, example]}
    return Annotated[float | str, PlainValidator(check), WithJsonSchema(schema)]


Length: Any = _quantity(LENGTH, "10 kpc")
Mass: Any = _quantity(MASS, "1e6 Msun")
Time: Any = _quantity(TIME, "2 Myr")
WallTime: Any = _quantity(TIME, "10 min")
Velocity: Any = _quantity(VELOCITY, "200 km/s")
Spin: Any = _quantity(ANGULAR_MOMENTUM, "1 Msun pc km/s")
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[str, ...], Strict(False)]


def _kelvin(value: object) -> float:
    text = value.strip().removesuffix("K") if isinstance(value, str) else value
    try:
        number = math.nan if isinstance(text, bool) else float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError("expected a temperature in kelvin, such as 300.0")
    return number


Temperature: Any = Annotated[float, PlainValidator(_kelvin), WithJsonSchema({"type": "number", "minimum": 0})]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _vector(element: Any) -> Any:
    return Annotated[tuple[element, element, element], Strict(False)]


Position: Any = _vector(Length)
VelocityVector: Any = _vector(Velocity)
SpinVector: Any = _vector(Spin)
Vector: Any = _vector(Number)
Kind = Annotated[str, WithJsonSchema({"enum": sorted(KINDS)})]


class Table(BaseModel):
    """A table of a job file: frozen, strict about types, and without keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Units(Table):
    """[units]: what a bare number means."""

    system: Literal["nbody", "galactic", "pc-msun-kms", "au-msun-yr", "geometric", "ase", "si"] | None = Field(
        default=None,
        description="a unit system by name; nbody has G = 1 and no physical scale unless length and mass are given",
    )
    length: str | None = Field(default=None, description="unit of length, such as '1 pc'")
    mass: str | None = Field(default=None, description="unit of mass, such as '1e6 Msun'")
    time: str | None = Field(default=None, description="unit of time, such as '1 Myr'")
    speed_of_light: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="for scale-free nbody units alone: the speed of light, for post-Newtonian terms"
    )


class Body(Table):
    """[[particles.body]]: one particle."""

    mass: Mass
    position: Position
    velocity: VelocityVector
    spin: SpinVector | None = Field(default=None, description="spin angular momentum S")
    dimensionless_spin: Vector | None = Field(
        default=None, description="c S / (G m^2), instead of spin; its length is below 1 for a black hole"
    )
    radius: Length | None = Field(default=None, description="radius at which bodies touch")
    softening: Length | None = Field(default=None, description="Plummer-equivalent gravitational softening length")
    kind: Kind | None = Field(default=None, description="what the particle is")
    identity: int | None = Field(
        default=None, ge=0, description="number of the particle; 0, 1, 2, ... when none is given"
    )


class GalaxyComponent(Table):
    """[[particles.galaxy.component]]: particles of one spherical model, in equilibrium with the whole galaxy."""

    model: Name = Field(description="plummer, hernquist, dehnen, nfw or king")
    n: Count = Field(description="number of particles")
    mass: Mass = Field(description="of the whole model")
    scale_radius: Length = Field(
        description="the model's length: b of Plummer, a of Hernquist and Dehnen, r_s of NFW, King's r_0"
    )
    truncation_radius: Length | None = Field(default=None, description="nfw: where the density begins to end, smoothly")
    central_potential: Number | None = Field(default=None, description="king: W_0, 0.1 to 15")
    inner_slope: Number | None = Field(default=None, description="dehnen: gamma of the cusp r^-gamma, 0 to 2.5")
    cut_radius: Length | None = Field(
        default=None,
        description="no particle is farther out; at 99 % of the mass when not given (nfw, king: at all of it)",
    )
    anisotropy_radius: Length | None = Field(
        default=None, description="of Osipkov and Merritt: orbits are radial beyond it; isotropic when not given"
    )
    softening: Length | None = Field(default=None, description="of these particles; [gravity] softening overrides it")
    kind: Kind = Field(default="star", description="what the particles are")
    mass_function: Literal["equal", "kroupa"] = Field(
        default="equal", description="masses of the particles: equal, or as Kroupa's (2001) stars, scaled to mass"
    )


class CentralBlackHole(Table):
    """[particles.galaxy.black_hole]: in the centre and in equilibrium; with semi_major_axis, two of them on an orbit."""

    mass: Mass = Field(description="of one, or of both together")
    dimensionless_spin: Vector | None = Field(default=None, description="c S / (G m^2) of a single one")
    semi_major_axis: Length | None = Field(default=None, description="makes a binary of it")
    eccentricity: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="of a binary; 0 if not given"
    )
    mass_ratio: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="m2/m1 of a binary; 1 if not given"
    )
    inclination: Number | None = Field(default=None, description="of a binary, radian")


class Galaxy(Table):
    """[[particles.galaxy]]: spherical components about one centre."""

    component: Annotated[tuple[GalaxyComponent, ...], Strict(False)] = Field(
        default=(), description="what it is made of"
    )
    black_hole: CentralBlackHole | None = None
    sampling: Literal["random", "stratified", "quiet"] = Field(
        default="random", description="stratified: radii evenly over the mass; quiet: that, in mirrored pairs"
    )
    position: Position | None = Field(default=None, description="of its centre of mass; the origin when not given")
    velocity: VelocityVector | None = Field(default=None, description="of its centre of mass; at rest when not given")


class Orbit(Table):
    """[particles.orbit]: two galaxies coming together on a Kepler orbit of their total masses, in the plane z = 0."""

    pericentre: Length
    eccentricity: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(default=1.0, description="1: a parabola")
    separation: Length = Field(description="at the start")


class ParticleSource(Table):
    """[particles]: where the particles come from: a file, [[particles.galaxy]] or [[particles.body]] tables."""

    file: Name | None = Field(
        default=None, description="any file `askel info` knows, relative to the folder of the job file"
    )
    frame: int = Field(default=-1, description="which frame of a trajectory; -1 is the last")
    body: Annotated[tuple[Body, ...], Strict(False)] = Field(default=(), description="particles given one by one")
    galaxy: Annotated[tuple[Galaxy, ...], Strict(False)] = Field(
        default=(), description="galaxies to sample with run.seed; bodies may be added"
    )
    orbit: Orbit | None = None
    kind: Kind | None = Field(
        default=None,
        description="kind of bodies that have none; black-hole with [post_newtonian] or [mergers], else atom or star",
    )
    temperature: Temperature | None = Field(
        default=None,
        description="K; velocities are drawn at it (from run.seed, centre of mass at rest) in place of the file's",
    )


class Gravity(Table):
    """[gravity]: how the particles pull."""

    kind: Name = Field(
        default="direct", description="direct: every pair; fmm: fast multipoles, from thousands of particles on"
    )
    softening: Length = Field(
        default=0.0, description="Plummer-equivalent softening length; black holes are never softened by the chain"
    )
    kernel: Literal["plummer", "spline", "wendland"] = Field(
        default="plummer", description="how softening weakens forces; spline as in GADGET, wendland as in SWIFT"
    )
    relative_error: Annotated[float, Field(ge=1e-6, le=0.1)] = Field(
        default=1e-3, description="fmm: asked root-mean-square relative error of the forces"
    )
    star_star: Literal["normal", "none", "softened"] = Field(
        default="normal", description="the force between two stars"
    )
    backend: Literal["cpu", "cuda"] = Field(default="cpu", description="what computes it; cuda: a GPU")
    precision: Literal["double", "mixed"] = Field(
        default="double", description="direct on cuda: mixed has pairs in float32, with errors of 1e-7"
    )


class PostNewtonian(Table):
    """[post_newtonian]: relativistic corrections by name."""

    terms: Names = Field(description='of "1", "1cross", "2", "2.5", "3", "3.5", "SO", "SS", "Q"')
    pairs: Literal["black-hole", "all"] = Field(
        default="black-hole", description="between black holes alone, or between any two bodies"
    )


class Mergers(Table):
    """[mergers]: when two bodies become one."""

    distance: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=12.0, description="black holes merge closer than this, in 2 G (m1 + m2) / c^2"
    )
    fit: Name = Field(default="zlochower-lousto-2015", description="gives mass, spin and recoil of a remnant")
    accreted_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="share of a tidally disrupted star that the black hole takes"
    )
    collisions: bool = Field(default=False, description="bodies with radii collide, and black holes disrupt stars")


class Forces(Table):
    """[forces]: where the energy of atoms comes from; for a stride, what its energy is watched with."""

    reference: Name | None = Field(default=None, description="a calculator by name, such as copper-emt; askel models")
    model: Name | None = Field(default=None, description="an energy model: a name or a file")
    backend: Literal["cpu", "torch"] = Field(
        default="cpu", description="what computes the model: fused kernels, or the network as it is trained"
    )


class Thermostat(Table):
    """[thermostat]: half of it before and half of it after every step."""

    kind: Name = Field(default="langevin", description="langevin, bussi or nose-hoover")
    temperature: Temperature = Field(description="K")
    time: Time | None = Field(
        default=None, description="its time constant; 10 strides, or 100 steps of other methods, when not given"
    )
    groups: Literal["all", "species", "molecules"] | None = Field(
        default=None,
        description="bussi, nose-hoover: one thermostat; one for each element; one each for translation, rotation and vibration "
        "of molecules",
    )
    conserved: Literal["nothing", "momentum", "momentum and rotation"] | None = Field(
        default=None, description="what the thermostat leaves alone"
    )
    length: Count | None = Field(default=None, description="nose-hoover: thermostats in the chain")
    substeps: Count | None = Field(default=None, description="nose-hoover: parts of a half step")


class Barostat(Table):
    """[barostat]: constant pressure by stochastic cell rescaling; needs [thermostat], and [forces] with a stress."""

    pressure: Number = Field(default=1.0, description="bar")
    compressibility: Positive = Field(
        description="1/bar, an estimate, sets the speed alone; water 4.6e-5, quartz 2.7e-6"
    )
    time: Time | None = Field(default=None, description="time constant; 100 strides when not given")
    coupling: Literal["isotropic", "axes"] = Field(default="isotropic", description="all axes alike, or each alone")
    every: Count = Field(default=10, description="steps from one rescaling to the next")


#: The name of [forces] where a fall-back is named.
OWN_FORCES = "forces"


class ErrorControl(Table):
    """[error_control]: strides are judged atom by atom; what is not good enough is redone by finer means."""

    estimators: Names | None = Field(
        default=None,
        description="of range, reversibility, doubling, energy, ensemble, cheap ones first; when not given, range where limits "
        "are known, and doubling (or reversibility where no stride is half of another)",
    )
    tolerance: Positive = Field(default=3.0, description="largest defect, in multiples of a typical one")
    drift: bool | None = Field(
        default=None,
        description="add up the energy defects of all strides and take the sum out, for one energy a stride, by [forces] or the "
        "fallback; when not given, where there is one of them",
    )
    temperature: Temperature | None = Field(default=None, description="K; that of the thermostat when not given")
    fallback: Name | None = Field(
        default=None, description="what takes over: a calculator by name, or 'forces' for that of [forces]"
    )
    fallback_step: Time | None = Field(default=None, description="longest step of the fall-back; that of its recipe")
    region: Length | None = Field(default=None, description="radius around offenders that is redone; all atoms if none")
    buffer: Length | None = Field(
        default=None, description="the calculator is shown the region and so much around it; all atoms if none"
    )
    retry_above: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.25, description="share of offenders above which shorter strides are tried first"
    )
    shortest_pair: Length | None = Field(default=None, description="range: no pair may be closer")
    largest_displacement: Length | None = Field(default=None, description="range: no atom may move farther in a stride")
    largest_speed: Velocity | None = Field(default=None, description="range: no atom may be faster")
    ensemble: Names = Field(default=(), description="ensemble: the other models, names or files")


class Integrator(BaseModel):
    """[integrator]: how the particles move; further keys are options of the kind."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    kind: Name = Field(default="chain", description="a method by name")
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="relative error allowed per step, for methods that choose their own steps"
    )
    step: Time | None = Field(
        default=None,
        description="the time step of fixed-step methods; with tolerance instead, step doubling chooses it; of a stride: one "
        "that its model was trained for, the longest when not given",
    )
    model: Name | None = Field(default=None, description="kind = 'stride': name of a shipped model, or a file")


class Run(Table):
    """[run]: how far."""

    t_end: Time = Field(description="the time to reach; resuming a run that is there does nothing")
    seed: int = Field(default=0, ge=0, description="number that all random numbers of the run derive from")
    max_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="wall-clock hours after which the run writes a checkpoint and stops with exit code 75"
    )


class Output(Table):
    """[output]: what is written, in the current folder."""

    file: Name = Field(
        default="run.h5md", description="the trajectory (*.h5md), relative to the output folder, and inside it"
    )
    files: Literal["one", "per-rank"] = Field(
        default="one",
        description="per-rank: each rank writes a part of the trajectory, *.part-0.h5md, ..., and file shows them as one",
    )
    every: Time | None = Field(default=None, description="time between frames; t_end / 500 when not given")
    series_every: Time | None = Field(
        default=None, description="time between rows of the energy series; as every, if not given"
    )
    checkpoint_every: WallTime = Field(
        default="10 min", description="wall-clock time between checkpoints; bare numbers: s"
    )


class Config(Table):
    """A whole job."""

    units: Units = Units()
    particles: ParticleSource
    gravity: Gravity = Gravity()
    post_newtonian: PostNewtonian | None = None
    mergers: Mergers | None = None
    forces: Forces | None = None
    thermostat: Thermostat | None = None
    barostat: Barostat | None = None
    error_control: ErrorControl | None = None
    integrator: Integrator = Integrator()
    run: Run
    output: Output = Output()
