"""Twelve atoms that never meet, an engine that moves them exactly, and what else the tests of LongStride share."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from askel.equivariant.architecture import Architecture
from askel.equivariant.model_file import Model
from askel.md import LongStride
from harmonic_engine import HarmonicEngine, springs


class RestingEngine(HarmonicEngine):
    """Springs between the displacements of atoms from their places, so that they never meet."""

    def __init__(self, rest, **options):
        super().__init__(**options)
        self.rest = rest

    def stride(self, species, mass, position, velocity, cell, periodic, stride, starts=None):
        return super().stride(species, mass, position - self.rest, velocity, cell, periodic, stride, starts)


def solid(temperature=300.0, seed=1):
    """Twelve atoms far apart, with thermal momenta and none in total; periodic."""
    atoms = Atoms("H4C4O4", pbc=True, cell=[8.0, 8.0, 6.0])
    atoms.positions = 2.0 * np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(3)]) + 1.0
    warm(atoms, temperature, seed)
    return atoms


def warm(atoms, temperature=300.0, seed=1):
    m = np.asarray(atoms.get_masses())[:, None]
    v = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * np.sqrt(units.kB * temperature / m)
    atoms.set_velocities(v - (m * v).sum(axis=0) / m.sum())


def engine(**options):
    return RestingEngine(solid().positions.copy(), **{"stiffness": 0.05} | options)


def dynamics(atoms, **options):
    return LongStride(atoms, model=options.pop("model", None) or engine(), **options)


class Resting(LennardJones):
    """The forces of the resting engine, as an ASE calculator."""

    implemented_properties = ("energy", "free_energy", "forces")
    asked = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        type(self).asked += 1
        u = atoms.positions - engine().rest
        forces = -springs(atoms.numbers, 0.05, 0.0) @ u
        energy = -0.5 * float(np.sum(u * forces))
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def small_model(**others):
    """A small network with random weights for H, C, O and strides of 2 and 4 fs."""
    torch = pytest.importorskip("torch")
    del torch
    from askel.equivariant.network import Network

    facts = {
        "strides": (2.0, 4.0),
        "velocity_scale": (0.016, 0.005, 0.004),
        "drift": ((1.0,) * 3,) * 2,
        "memory": ((0.9,) * 3,) * 2,
        "displacement_scale": ((0.01,) * 3,) * 2,
        "velocity_change_scale": ((0.001,) * 3,) * 2,
    } | others
    architecture = Architecture(
        species=(1, 6, 8), masses=(1.008, 12.011, 15.999), cutoff=3.0, average_neighbours=6.0, l_max=1, channels=4,
        layers=1, radial_hidden=(8,), speed_hidden=(8,), **facts,
    )  # fmt: skip
    return architecture, Model(architecture, Network(architecture).arrays(), {"name": "small"})
