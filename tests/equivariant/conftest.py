"""Small networks and systems that the tests of this folder share."""

import numpy as np
import pytest

MASSES = {1: 1.008, 6: 12.011, 8: 15.999}


@pytest.fixture(scope="session")
def make_architecture():
    """Return a maker of small architectures of hydrogen, carbon and oxygen; without a baseline, residuals of order one."""

    def make(head="stride", strides=(7.0,), **changes):
        from askel.equivariant import Architecture

        table = tuple((1.0, 0.8, 1.2) for _ in strides)
        zero = tuple((0.0, 0.0, 0.0) for _ in strides)
        own = (
            {"strides": strides, "velocity_scale": (0.02, 0.005, 0.004), "drift": zero, "memory": zero,
             "displacement_scale": table, "velocity_change_scale": table}
            if head == "stride"
            else {"atom_energy": (-1.0, -2.0, -3.0), "energy_scale": 0.7}
        )  # fmt: skip
        defaults = {
            "species": tuple(MASSES), "masses": tuple(MASSES.values()), "cutoff": 3.0, "average_neighbours": 7.0,
            "channels": 4, "layers": 2, "l_max": 2, "radial_functions": 4, "radial_hidden": (8,), "speed_functions": 5,
            "speed_hidden": (6,),
        }  # fmt: skip
        return Architecture(head=head, **(defaults | own | changes))

    return make


@pytest.fixture(scope="session")
def make_network():
    """Return a maker of networks whose output is not small, as that of untrained ones otherwise is."""

    def make(architecture, seed=0, **options):
        import torch
        from askel.equivariant import Network

        network = Network(architecture, seed=seed, **options)
        with torch.no_grad():
            network.weights["readout"] *= 10.0
        return network

    return make


@pytest.fixture(scope="session")
def make_system():
    """Return a maker of systems: atoms on a perturbed grid of 1.5 Angstrom, open or in a cell."""

    def make(n=8, seed=0, periodic=False, stride=7.0):
        rng = np.random.default_rng(seed)
        side = int(np.ceil(n ** (1 / 3) - 1e-9))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n]
        species = rng.permutation(np.resize([1, 8, 6, 1], n))
        fields = {
            "species": species,
            "mass": np.array([MASSES[z] for z in species.tolist()]),
            "position": 1.5 * grid + rng.uniform(-0.25, 0.25, (n, 3)),
            "velocity": rng.normal(0.0, 0.01, (n, 3)),
            "stride": stride,
        }
        if periodic:
            fields |= {"cell": 1.5 * side * np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)), "periodic": (True, True, True)}
        return fields

    return make


@pytest.fixture(scope="session")
def make_batch():
    """Return a maker of batches of systems."""

    def make(architecture, *systems):
        from askel.equivariant.batch import Batch, System

        return Batch.of([System(**s) for s in systems], architecture)

    return make
