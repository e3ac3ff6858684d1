"""The recipe of ``askel data`` as a model: names, types and one sentence for each key (see ``askel schema data``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from .tables import Count, Name, Names, Number, Positive, Table, Temperature

Temperatures = Annotated[tuple[Positive, ...], Strict(False)]


class Trajectories(Table):
    """[trajectories]: data from trajectories of plain dynamics that exist already, instead of a calculator."""

    files: Names = Field(description="extended XYZ, ASE's, H5MD, LAMMPS dumps, with velocities; beside the recipe")
    interval: Positive = Field(description="fs between two frames")
    step: Positive | None = Field(default=None, description="fs, of the dynamics that made them")
    frames: Annotated[int, Field(ge=2)] = Field(default=17, description="of each segment")
    temperature: Temperature | None = Field(default=None, description="K; the mean of each segment when not given")
    name: Name = Field(default="trajectory", description="what made the forces")


class TestSet(Table):
    """[test]: what ``--test`` makes instead: segments of the same kind from another seed, never trained on."""

    __test__ = False  # no test of pytest's

    segments: Count = Field(default=30, description="number of segments")
    temperature: Positive = Field(default=300.0, description="K")


class DataRecipeTable(Table):
    """A recipe of ``askel data``: NVE segments of a reference calculator; times in fs."""

    reference: Name | None = Field(
        default=None, description="a calculator by name, with its system and its recipe: askel models"
    )
    structure: Name | None = Field(
        default=None,
        description="a file with other atoms to start from, beside the recipe; the reference's when not given",
    )
    step: Positive | None = Field(default=None, description="fs, of the reference's dynamics")
    interval: Positive | None = Field(default=None, description="fs between frames")
    frames: Annotated[int, Field(ge=2)] | None = Field(default=None, description="of each segment")
    segments: Count | None = Field(default=None, description="number of segments")
    temperatures: Temperatures | None = Field(default=None, description="K, of the ensembles that segments start from")
    shares: Temperatures | None = Field(default=None, description="part of the segments that each temperature gets")
    decorrelation: Positive | None = Field(default=None, description="fs of Langevin dynamics between two starts")
    equilibration: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="fs before the first start of each temperature"
    )
    friction: Positive | None = Field(default=None, description="1/fs, of the Langevin dynamics")
    drift_bound: Positive | None = Field(default=None, description="meV/atom, how far a segment's energy may stray")
    thermostat: Positive | None = Field(
        default=None,
        description="fs, time constant of the bath that acts in segments; none for NVE, which training needs",
    )
    bath: Literal["csvr", "langevin"] | None = Field(
        default=None, description="csvr disturbs motion least, langevin draws every motion of a small molecule"
    )
    seed: Annotated[int, Field(ge=0)] | None = Field(default=None, description="of all noise")
    test: TestSet = TestSet()
    trajectories: Trajectories | None = None
