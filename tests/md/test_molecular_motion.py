"""Translation, rotation and vibration of molecules, and thermostats that keep the temperature of each."""

from types import SimpleNamespace

import numpy as np
import pytest
from askel.md.ase_molecules import molecules
from askel.md.ase_references import water
from askel.md.bussi import Bussi
from askel.md.groups import groups_of
from askel.md.molecular_motion import molecular_motion
from askel.md.nose_hoover import NoseHoover
from askel.md.temperature import boltzmann
from askel.particles import UNIT_SYSTEMS, InputError, Particles
from askel.particles.io_ase import particles_from_atoms

ASE = UNIT_SYSTEMS["ase"]
KT = boltzmann(ASE) * 300.0
BATHS = [Bussi, NoseHoover]


def liquid(count=8, seed=1):
    """Return molecules of water, wrapped into the cell and out of order, with random velocities and no momentum."""
    atoms, rng = water(count), np.random.default_rng(seed)
    atoms.positions += [5.0, 0.3, 0.1]
    atoms.wrap()
    atoms.set_velocities(rng.normal(size=(3 * count, 3)) * np.sqrt(KT / atoms.get_masses())[:, None])
    atoms.set_momenta(atoms.get_momenta() - atoms.get_momenta().mean(axis=0))
    return particles_from_atoms(atoms).select(rng.permutation(3 * count))


def mixture():
    """Return a bent molecule, a linear one and an atom in a cell through whose wall a bond goes."""
    species = np.array([8, 1, 1, 8, 6, 8, 18])
    mass = np.array([15.999, 1.008, 1.008, 15.999, 12.011, 15.999, 39.95])
    x = np.array([[0.1, 1, 1], [9.2, 1.3, 1], [0.4, 1.9, 1.1], [5, 5, 3.84], [5, 5, 5], [5, 5, 6.16], [1, 8, 8]], float)
    v = np.random.default_rng(2).normal(size=(7, 3))
    return Particles(mass, x, v, units=ASE, species=species, cell=np.eye(3) * 10.0, periodic=np.ones(3, bool))


def test_molecules_are_what_bonds_connect():
    assert molecules(mixture()).tolist() == [0, 0, 0, 1, 1, 1, 2]
    state = liquid()
    found = molecules(state)
    assert np.bincount(found).tolist() == [3] * 8
    assert all(sorted(state.species[found == m].tolist()) == [1, 1, 8] for m in range(8))


def test_the_parts_add_up_and_are_orthogonal():
    state = mixture()
    parts, degrees = molecular_motion(state, molecules(state))
    assert degrees == [9, 5, 7]
    assert sum(parts) == pytest.approx(state.velocity, abs=1e-14)
    products = np.einsum("i,aic,bic->ab", state.mass, parts, parts)
    assert np.abs(products - np.diag(np.diag(products))).max() < 1e-12 * products.max()
    assert np.linalg.matrix_rank(products) == 3
    assert np.abs(parts[1][6]).max() < 1e-14 and np.abs(parts[2][6]).max() < 1e-14  # an atom only moves
    assert np.abs(parts[1][3:6, 2]).max() < 1e-12  # a rod along z turns about x and y


def test_a_rigid_motion_has_no_vibration():
    state = mixture()
    place = state.position.copy()
    place[1, 0] -= 10.0  # the image beside its oxygen
    spin, drift = np.array([0.3, -0.2, 0.5]), np.array([1.0, 2.0, 3.0])
    state.velocity[:3] = drift + np.cross(spin, place[:3] - place[0])
    parts, _ = molecular_motion(state, molecules(state))
    assert np.abs(parts[2][:3]).max() < 1e-14
    assert parts[0][0] + parts[1][0] == pytest.approx(drift, abs=1e-14)
    state.velocity[:3] = place[:3] - place[:3].mean(axis=0)  # all bonds grow: neither rotation nor ...
    assert np.abs(molecular_motion(state, molecules(state))[0][1][:3]).max() < 1e-14


@pytest.mark.parametrize("bath", BATHS)
def test_each_kind_of_motion_is_only_scaled(bath):
    state = liquid()
    before, _ = molecular_motion(state, molecules(state))
    thermostat = bath(900.0, 1.0, groups="molecules", seed=3)
    memory = thermostat.start(state)
    given = sum(thermostat.half(state, memory, 0.5) for _ in range(3))
    after, _ = molecular_motion(state, molecules(state))
    factors = [np.vdot(a, b) / np.vdot(b, b) for a, b in zip(after, before, strict=True)]
    for a, b, factor in zip(after, before, factors, strict=True):
        assert a == pytest.approx(factor * b, abs=1e-12)
    assert len({round(f, 6) for f in factors}) == 3
    assert given > 0.0
    assert np.abs(state.mass @ state.velocity).max() < 1e-12


def test_energy_of_each_kind_of_motion_is_canonical():
    """From 30, 300 and 900 K; mean and variance of the gamma distribution of each, and no correlation between them."""
    state = liquid()
    parts, _ = molecular_motion(state, molecules(state))
    state.velocity[...] = np.sqrt(0.1) * parts[0] + parts[1] + np.sqrt(3.0) * parts[2]
    bath = Bussi(300.0, 1.0, groups="molecules", seed=5)
    memory, energies = bath.start(state), []
    for k in range(1500):
        bath.half(state, memory, 4.0)
        if k >= 10:
            found = groups_of(state, "molecules", "momentum")
            energies.append([g.doubled_kinetic(state) / KT for g in found])
    assert [g.degrees for g in found] == [21, 24, 24]
    assert len({g.key for g in found}) == 3
    mean, variance = np.mean(energies, axis=0), np.var(energies, axis=0)
    assert mean == pytest.approx([21, 24, 24], rel=0.03)
    assert variance == pytest.approx([42, 48, 48], rel=0.2)
    assert np.abs(np.corrcoef(np.transpose(energies)) - np.eye(3)).max() < 0.12


@pytest.mark.parametrize("bath", BATHS)
def test_order_of_the_atoms_does_not_matter(bath):
    one = liquid()
    order = np.random.default_rng(0).permutation(one.n)
    other = one.select(order)
    for state in (one, other):
        thermostat = bath(500.0, 1.0, groups="molecules", seed=3)
        thermostat.half(state, thermostat.start(state), 0.5)
    assert other.velocity == pytest.approx(one.velocity[order], rel=1e-12, abs=1e-15)


def test_refusals():
    state = liquid()
    with pytest.raises(InputError, match="one rank, not on 2"):
        groups_of(state, "molecules", "momentum", SimpleNamespace(size=2))
    with pytest.raises(InputError, match="for periodic systems"):
        groups_of(state, "molecules", "momentum and rotation")
    state.species = None
    with pytest.raises(InputError, match="needs atomic numbers"):
        groups_of(state, "molecules", "momentum")
