"""Atoms joined by springs, and files and recipes of small trainings on them."""

import numpy as np
from askel.md.training.recipe import TrainingRecipe
from askel.particles.io_segments import Segment, SegmentWriter

EV = 9.648533e-3  # eV/(Angstrom amu) in Angstrom/fs^2
SMALL = {
    "channels": 8, "layers": 1, "l_max": 1, "radial_hidden": (8,), "speed_hidden": (8,), "radial_functions": 4,
    "speed_functions": 6, "log_every": 5, "validate_every": 10, "warm_up": 5, "learning_rate": 0.01, "dtype": "float64",
}  # fmt: skip


def harmonic(seed, frames=30, interval=1.0, spring=2.0, substeps=20, cell=None):
    """Four atoms joined by springs, by velocity Verlet."""
    rng = np.random.default_rng(seed)
    species = np.array([1, 8, 1, 8])
    mass = np.where(species == 1, 1.008, 15.999)
    rest = np.array([[0.0, 0, 0], [1.3, 0.2, 0], [0.1, 1.5, 0.3], [1.2, 1.1, 1.4]])
    length = np.linalg.norm(rest[:, None] - rest[None], axis=2) + np.eye(4)

    def forces(x):
        apart = x[:, None] - x[None]
        r = np.linalg.norm(apart, axis=2) + np.eye(4)
        stretch = r - length
        return -spring * ((stretch / r)[:, :, None] * apart).sum(1), 0.25 * spring * (stretch**2).sum()

    x = rest + 0.05 * rng.normal(size=(4, 3))
    v = 0.01 * rng.normal(size=(4, 3)) / np.sqrt(mass)[:, None]
    v -= mass @ v / mass.sum()
    f, energy = forces(x)
    rows, dt = [], interval / substeps
    for _ in range(frames):
        rows.append((x, v, f, energy))
        for _ in range(substeps):
            v = v + 0.5 * dt * EV * f / mass[:, None]
            x = x + dt * v
            f, energy = forces(x)
            v = v + 0.5 * dt * EV * f / mass[:, None]
    position, velocity, force, energies = (np.array(column) for column in zip(*rows, strict=True))
    periodic = np.full(3, cell is not None)
    return Segment(species, mass, cell, periodic, 300.0, interval, position, velocity, force, energies)


def write(path, segments):
    writer = SegmentWriter.create(path, reference="springs", step=0.05, interval=segments[0].interval, overwrite=True)
    with writer:
        for segment in segments:
            writer.append(segment)
    return str(path)


def recipe(data, **more):
    values = {"data": (data,), "strides": (4.0,), "batch": 4, "steps": 20} | SMALL | more
    if values.get("head") == "energy":
        values["strides"] = ()
    return TrainingRecipe(**values)
