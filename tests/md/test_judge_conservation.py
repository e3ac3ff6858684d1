"""Temperatures with the true degrees of freedom, drift, momenta."""

import numpy as np
import pytest
from ase.build import molecule
from askel.md.judging.conservation import (
    degrees_of_freedom,
    energy_drift,
    internal_velocity,
    mean_temperatures,
    momentum_change,
    temperatures,
)
from askel.md.judging.frames import make_frames
from askel.md.model_units import BOLTZMANN, KINETIC
from askel.particles import InputError


def thermal(name="CH3CH2OH", kelvin=300.0, frames=4000, seed=0, spin=0.0, drift=0.0, periodic=False):
    """A rigid arrangement with Maxwell velocities less the motion of the whole, and then some of it."""
    atoms = molecule(name)
    mass = atoms.get_masses()
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(frames, len(atoms), 3)) * np.sqrt(BOLTZMANN * kelvin / (mass * KINETIC))[:, None]
    x = np.repeat(atoms.positions[None], frames, axis=0)
    cell = 20 * np.eye(3) if periodic else None
    frames_ = make_frames(x, atoms.numbers, 1.0, velocity=v, mass=mass, cell=cell)
    v = internal_velocity(frames_) + drift + spin * np.cross([0.0, 0.0, 1.0], x)
    return make_frames(x, atoms.numbers, 1.0, velocity=v, mass=mass, cell=cell)


@pytest.mark.parametrize("periodic", [False, True])
def test_every_element_has_the_temperature_whatever_its_mass(periodic):
    frames = thermal(periodic=periodic)
    (total, error), each = mean_temperatures([frames])
    assert abs(total - 300.0) < 4 * error
    assert 0.2 < error < 5.0
    for mean, spread in each.values():
        assert abs(mean - 300.0) < 4 * spread
    naive = KINETIC * (frames.mass * np.sum(frames.velocity**2, axis=2)).sum(axis=1).mean() / (3 * frames.n * BOLTZMANN)
    assert naive < 300.0 - 20 * error  # counting 3 n would be visibly wrong


def test_motion_of_the_whole_is_no_heat():
    plain, moved = thermal(frames=50), thermal(frames=50, spin=0.01, drift=0.02)
    assert np.abs(temperatures(plain)[0] - temperatures(moved)[0]).max() < 1e-9
    assert np.abs(plain.velocity - moved.velocity).max() > 0.01


def test_degrees_of_freedom_add_up():
    total, share = degrees_of_freedom(thermal(frames=2))
    assert total == 3 * 9 - 6
    assert sum(share.values()) == pytest.approx(total)
    assert degrees_of_freedom(thermal("CO2", frames=2))[0] == 3 * 3 - 5
    total, share = degrees_of_freedom(thermal(frames=2, periodic=True))
    assert total == 3 * 9 - 3
    assert sum(share.values()) == pytest.approx(total)


def test_same_temperatures_as_the_monitor_of_runs():
    md = pytest.importorskip("askel.md.temperature")
    from askel.md.judging.run import starting_states

    frames = thermal(frames=3, spin=0.01)
    (state,) = starting_states([frames.part(slice(1, 2))], 1)
    total, each = temperatures(frames)
    expected = md.temperatures(state)
    assert total[1] == pytest.approx(expected[0], rel=1e-7)
    assert {z: t[1] for z, t in each.items()} == pytest.approx({z: t for z, t in expected.items() if z}, rel=1e-7)


def test_drift_of_the_energy():
    frames = thermal(frames=1000)
    kinetic = 0.5 * KINETIC * np.einsum("n,fni,fni->f", frames.mass, frames.velocity, frames.velocity)
    rng = np.random.default_rng(1)
    time = np.arange(1000) * 1e-3
    potential = -kinetic + 9 * 1e-3 * (5.0 * time + 0.1 * rng.normal(size=1000))
    drifting = make_frames(
        frames.position, frames.species, 1.0, velocity=frames.velocity, mass=frames.mass, potential_energy=potential
    )
    drift = energy_drift([drifting])
    assert drift.slope == pytest.approx(5.0, abs=0.1)
    assert drift.scatter == pytest.approx(0.1, rel=0.1)
    assert 0.001 < drift.slope_error < 0.5
    with pytest.raises(InputError, match="no potential energies"):
        energy_drift([frames])


def test_momenta():
    still = thermal(frames=20)
    linear, angular = momentum_change(still)
    assert linear < 1e-12
    assert angular < 1e-12
    v = np.array(still.velocity)
    v[10:, 0] += 0.01
    pushed = make_frames(still.position, still.species, 1.0, velocity=v, mass=still.mass)
    linear, angular = momentum_change(pushed)
    assert 1e-3 < linear < 1.0
    assert 1e-3 < angular < 1.0
    assert momentum_change(thermal(frames=3, periodic=True))[1] is None
