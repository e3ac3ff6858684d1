"""Gravity under ASE's own dynamics."""

import numpy as np
import pytest
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from askel.md import GravityCalculator
from askel.particles import UNIT_SYSTEMS, InputError

ECCENTRICITY, MASSES = 0.5, (3.0, 1.0)
G = 0.25  # with the total mass of 4 and a = 1: the period is 2 pi


def binary():
    """A bound pair at periastron, a = 1."""
    total, nearest = sum(MASSES), 1.0 - ECCENTRICITY
    speed = np.sqrt(G * total * (1 + ECCENTRICITY) / nearest)
    share = np.array([-MASSES[1], MASSES[0]]) / total
    atoms = Atoms("XX", positions=[[nearest * s, 0, 0] for s in share], masses=MASSES)
    atoms.set_velocities([[0, speed * s, 0] for s in share])
    atoms.calc = GravityCalculator(gravitational_constant=G)
    return atoms


def orbit(steps):
    """Largest relative energy error, and distance from the start after one period of ASE's velocity Verlet."""
    atoms = binary()
    start, energy = atoms.positions.copy(), atoms.get_total_energy()
    errors = []
    dynamics = VelocityVerlet(atoms, timestep=2 * np.pi / steps)
    dynamics.attach(lambda: errors.append(abs(atoms.get_total_energy() / energy - 1)))
    dynamics.run(steps)
    return max(errors), np.abs(atoms.positions - start).max()


def test_kepler_orbit_under_ase_velocity_verlet():
    coarse, fine = orbit(400), orbit(800)
    assert binary().get_total_energy() == pytest.approx(-G * MASSES[0] * MASSES[1] / 2, rel=1e-14)
    assert 1e-5 < fine[0] < 1e-3
    assert 3.8 < coarse[0] / fine[0] < 4.2  # second order: energy
    assert 1e-5 < fine[1] < 5e-3
    assert 3.7 < coarse[1] / fine[1] < 4.3  # second order: back at the start after Kepler's period


def test_values_of_two_bodies():
    atoms = Atoms("XX", positions=[[0, 0, 0], [3, 0, 0]], masses=[2.0, 5.0])
    atoms.calc = GravityCalculator(gravitational_constant=2.0, softening=4.0)
    assert atoms.get_potential_energy() == pytest.approx(-2.0 * 10.0 / 5.0, rel=1e-15)
    assert atoms.get_forces()[:, 0] == pytest.approx([2 * 10 * 3 / 125, -2 * 10 * 3 / 125], rel=1e-15)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_unit_systems_give_their_constant():
    assert GravityCalculator(gravitational_constant=UNIT_SYSTEMS["nbody"]).gravitational_constant == 1.0
    # G m_u^2/A in eV: 6.6743e-11 (1.66053907e-27)^2 / 1e-10 / 1.602176634e-19
    physical = GravityCalculator(gravitational_constant=UNIT_SYSTEMS["ase"]).gravitational_constant
    assert physical == pytest.approx(1.148665e-35, rel=1e-6)


def test_changed_masses_are_noticed():
    atoms = binary()
    before = atoms.get_potential_energy()
    atoms.set_masses([6.0, 1.0])
    assert atoms.get_potential_energy() == pytest.approx(2 * before, rel=1e-14)


def test_fast_multipoles_and_softening_laws():
    rng = np.random.default_rng(1)
    atoms = Atoms("He5000", positions=rng.normal(size=(5000, 3)))
    forces = []
    for options in ({"kind": "direct"}, {"kind": "fmm", "relative_error": 1e-4}, {"kernel": "wendland"}):
        atoms.calc = GravityCalculator(gravitational_constant=G, softening=0.05, **options)
        forces.append(atoms.get_forces())
    size = np.linalg.norm(forces[0])
    assert 1e-6 < np.linalg.norm(forces[1] - forces[0]) / size < 1e-3
    assert np.linalg.norm(forces[2] - forces[0]) / size > 1e-2


def test_nothing_is_computed_twice(monkeypatch):
    atoms = binary()
    atoms.get_forces()
    monkeypatch.setattr("askel.md.ase_calculator.accelerations", None)
    assert atoms.get_potential_energy() < 0


def test_user_mistakes():
    with pytest.raises(InputError, match="gravitational_constant is nan"):
        GravityCalculator(gravitational_constant=np.nan)
    with pytest.raises(TypeError, match="gravitational_constant"):
        GravityCalculator()
    atoms = binary()
    atoms.pbc = (True, False, False)
    with pytest.raises(InputError, match="periodic"):
        atoms.get_forces()
    atoms = binary()
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(InputError, match="same position"):
        atoms.get_forces()
    atoms = binary()
    atoms.calc = GravityCalculator(gravitational_constant=G, kind="magic")
    with pytest.raises(InputError, match="'magic' is unknown"):
        atoms.get_forces()
