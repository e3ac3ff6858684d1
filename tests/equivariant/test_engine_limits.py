"""The engine at its limits: no atoms, empty replicas, one atom, and momenta in single precision; the spline's basis."""

import numpy as np
import pytest
from askel.equivariant import Engine, Model
from askel.equivariant.tables import basis
from askel.particles import InputError


def call(engine, system, **changes):
    s = {"cell": None, "periodic": (False,) * 3, "starts": None} | system | changes
    return engine.stride(
        s["species"], s["mass"], s["position"], s["velocity"], s["cell"], s["periodic"], s["stride"], s["starts"]
    )


@pytest.fixture(scope="module")
def model(make_architecture, make_network):
    network = make_network(make_architecture())
    return Model(network.architecture, network.arrays())


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model, dtype="float64")


def difference(mine, expected):
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(mine, expected, strict=True))


@pytest.mark.parametrize("starts", [[0, 8, 8], [0, 0, 8], [0, 3, 3, 8]])
def test_empty_replicas(engine, make_system, starts):
    system = make_system(8, 1)
    expected = call(engine, system, starts=sorted(set(starts)))
    assert difference(call(engine, system, starts=starts), expected) == 0.0


@pytest.mark.parametrize("starts", [None, [0, 0]])
def test_no_atoms(engine, make_system, starts):
    none = {k: v[:0] if isinstance(v, np.ndarray) else v for k, v in make_system(8, 1).items()}
    assert [out.shape for out in call(engine, none, starts=starts)] == [(0, 3), (0, 3)]


def test_an_atom_alone_moves_on(engine):
    alone = {
        "species": [6],
        "mass": [12.0],
        "position": np.zeros((1, 3)),
        "velocity": np.full((1, 3), 0.01),
        "stride": 7.0,
    }
    d, v = call(engine, alone)
    assert d == pytest.approx(0.07, rel=1e-14) and v == pytest.approx(0.01, rel=1e-14)


def test_inputs_stay_as_they_are_and_results_repeat(engine, make_system):
    system = make_system(8, 1, periodic=True)
    kept = {key: np.array(value) for key, value in system.items()}
    first, second = call(engine, system), call(engine, system)
    assert all(np.array_equal(system[key], value) for key, value in kept.items())
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_coincident_atoms(engine, make_system):
    system = make_system(8, 1)
    system["position"][5] = system["position"][2]
    with pytest.raises(InputError, match=r"atoms 2 and 5 are 0 Angstrom apart"):
        call(engine, system)


def test_momenta_in_single_precision(model, make_system):
    system = make_system(8, 1)
    d, v = call(Engine(model), system)
    m, before = system["mass"][:, None], system["velocity"]
    assert np.abs((m * (v - before)).sum(0)).max() < 1e-12 * np.abs(m * before).sum()
    centre, drift = (m * system["position"]).sum(0) / m.sum(), (m * before).sum(0) / m.sum()
    old = np.cross(system["position"] - centre, m * (before - drift)).sum(0)
    moved = system["position"] + d
    new = np.cross(moved - (m * moved).sum(0) / m.sum(), m * (v - drift)).sum(0)
    assert np.abs(new - old).max() < 1e-10 * np.linalg.norm(old)


def test_basis():
    """Its values sum to one, join smoothly, and coefficients on a line give a line."""
    u = np.linspace(0.0, 1.0, 11)
    assert basis(u).sum(axis=1) == pytest.approx(1.0, abs=1e-15)
    assert basis(u) @ np.arange(4.0) == pytest.approx(u + 1.0, abs=1e-15)
    assert basis(np.ones(1))[0, 1:] == pytest.approx(basis(np.zeros(1))[0, :3], abs=1e-16)
