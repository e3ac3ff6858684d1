"""A tiny stride model of random weights, written without torch, and files to run it on.

Its atoms creep at a twentieth of their speed, so that no forces are needed to keep them apart for a while.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

COPPER = 63.546


def tiny_model(path: Path, *, strides=(4.0, 8.0), species=(29,), masses=(COPPER,), cutoff=3.2, **card) -> Path:
    """Write a model of head "stride" and return its path."""
    from askel.equivariant import Architecture, Model, save_model
    from askel.equivariant.parameters import parameters

    def rows(value: float) -> tuple:
        return tuple(tuple(value for _ in species) for _ in strides)

    architecture = Architecture(
        species=species, masses=masses, cutoff=cutoff, average_neighbours=10.0, strides=strides, l_max=1, channels=4,
        layers=1, radial_functions=4, radial_hidden=(8,), speed_functions=4, speed_hidden=(8,),
        velocity_scale=tuple(0.002 for _ in species), drift=rows(0.05), memory=rows(0.995), displacement_scale=rows(1e-4),
        velocity_change_scale=rows(1e-5),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    weights = {
        name: (p.scale * rng.normal(size=p.shape)).astype(np.float32) if p.scale else np.linspace(1.0, 4.0, p.shape[0])
        for name, p in parameters(architecture).items()
    }
    save_model(path, Model(architecture, weights, {"name": path.stem, **card}))
    return path


def copper_file(path: Path, cells: int = 2) -> Path:
    """Write a cube of copper at rest as extended XYZ."""
    from ase.build import bulk
    from ase.io import write

    write(path, bulk("Cu", cubic=True, a=3.6) * (cells, cells, cells))
    return path


JOB = """
[units]
system = "ase"
[particles]
file = "copper.xyz"
temperature = 300.0
[integrator]
kind = "stride"
model = "tiny.safetensors"
[thermostat]
kind = "langevin"
temperature = 300.0
[run]
t_end = "400 fs"
seed = 3
[output]
every = "16 fs"
series_every = "8 fs"
"""
