"""Pair, angle, bond and dihedral distributions with known answers."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from askel.md.judging.ase_bonds import bond_reach, bonds, minimum_image
from askel.md.judging.frames import blocks, make_frames
from askel.md.judging.structure import (
    Distribution,
    angle_distributions,
    default_reach,
    difference_of_peak,
    dihedral_angles,
    hellinger,
    hellinger_within,
    internal_distributions,
    pair_distributions,
    rotatable,
)

SKEWED = np.array([[9.0, 0.0, 0.0], [4.0, 8.0, 0.0], [-3.0, 2.0, 7.0]])


def gas(frames=60, n=40, seed=0, cell=SKEWED):
    rng = np.random.default_rng(seed)
    return make_frames(rng.random((frames, n, 3)) @ cell, [1] * (n // 2) + [8] * (n - n // 2), 1.0, cell=cell)


def still(atoms, frames=20, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = atoms.positions + noise * rng.normal(size=(frames, len(atoms), 3))
    cell = atoms.cell.array if atoms.pbc.any() else None
    return make_frames(x, atoms.numbers, 1.0, cell=cell, periodic=atoms.pbc)


def test_ideal_gas_has_g_of_one_beyond_half_the_cell():
    result = pair_distributions(blocks([gas()], 10), 6.0, 0.5)
    assert set(result) == {(1, 1), (1, 8), (8, 8)}
    for g in result.values():
        far = g.x > 1.5
        pull = (g.mean[far] - 1.0) / g.error[far]
        assert np.abs(g.mean[far] - 1.0).max() < 0.1
        assert 0.3 < np.sqrt(np.mean(pull**2)) < 2.5  # the error bars are the right size


def test_neighbours_of_a_crystal_are_counted_exactly():
    cell = 4.0 * np.eye(3)
    frames = make_frames(np.zeros((2, 1, 3)) + 0.1, [29], 1.0, cell=cell)
    pairs = pair_distributions([make_frames(np.repeat(_cubic(), 2, 0), [29] * 8, 1.0, cell=8 * np.eye(3))], 4.5, 0.1)
    g = pairs[29, 29]
    shell = 4 / 3 * np.pi * np.diff(np.linspace(0, 4.5, 46) ** 3)
    counted = g.mean * shell * 7 / 8**3  # 8 atoms: each has 7 others in the volume
    assert counted.sum() == pytest.approx(6.0)
    assert np.flatnonzero(counted > 0).tolist() == [40]
    assert pair_distributions([frames], 3.0) == {}  # one atom has no pairs to normalise by


def _cubic():
    return np.array([[[i, j, k] for i in (0, 4) for j in (0, 4) for k in (0, 4)]], float) + 0.05


def test_difference_is_relative_to_the_peak_and_starts_at_the_first_pair():
    x = np.arange(4.0)
    one = Distribution(x, np.array([[0.0, 0.0, 2.0, 1.0]]), np.ones(1))
    other = Distribution(x, np.array([[0.0, 0.0, 4.0, 1.0]]), np.ones(1))
    assert difference_of_peak(one, other) == pytest.approx(0.25)
    assert difference_of_peak(other, other) == 0.0


def test_reach_follows_the_cell():
    assert default_reach(gas()) == pytest.approx(5.0)
    assert default_reach(gas(cell=3 * SKEWED)) == pytest.approx(10.0)
    assert 5.0 < default_reach(gas(cell=1.9 * SKEWED)) < 10.0


def test_molecule_has_a_density_of_distances():
    h = pair_distributions([still(molecule("H2"))], 3.0, 0.1)[1, 1]
    assert (h.mean * 0.1).sum() == pytest.approx(1.0)
    assert h.x[np.argmax(h.mean)] == pytest.approx(0.737, abs=0.05)


def test_angles_of_water_and_methane():
    water = angle_distributions([still(molecule("H2O"))], bond_reach)
    assert set(water) == {(1, 8, 1)}
    assert water[1, 8, 1].x[np.argmax(water[1, 8, 1].mean)] == pytest.approx(103.9, abs=1.0)
    methane = angle_distributions([still(molecule("CH4"))], bond_reach)[1, 6, 1]
    assert (methane.mean * 2.0)[np.argmin(np.abs(methane.x - 109.47))] == pytest.approx(1.0)


def test_angles_are_seen_through_the_boundary():
    atoms = molecule("H2O", cell=[6, 6, 6], pbc=True)
    moved = atoms.copy()
    moved.positions += [0.0, 3.0, 6.0 - 0.1]
    moved.wrap()
    one, other = (angle_distributions([still(a)], bond_reach)[1, 8, 1] for a in (atoms, moved))
    assert np.array_equal(one.mean, other.mean)


def test_bonds_and_dihedrals_of_ethanol():
    atoms = molecule("CH3CH2OH")
    frames = still(atoms)
    found = bonds(frames)
    assert len(found) == 8
    turns = rotatable(frames, found)
    assert sorted({tuple(sorted(atoms.numbers[q[1:3]])) for q in turns}) == [(6, 6), (6, 8)]
    assert len(turns) == 2
    for quadruple, angle in zip(turns, dihedral_angles(frames, turns)[0], strict=True):
        assert angle % 360 == pytest.approx(atoms.get_dihedral(*quadruple), abs=1e-6)


def test_rings_and_extended_solids_have_no_rotatable_bonds():
    frames = still(molecule("C6H6"))
    assert len(rotatable(frames, bonds(frames))) == 0
    chain = Atoms("Si4", [[2.3 * k, 0, 0] for k in range(4)], cell=[9.2, 9, 9], pbc=True)
    frames = still(chain)
    assert len(bonds(frames)) == 4  # through the boundary too
    assert len(rotatable(frames, bonds(frames))) == 0


def test_metals_have_neighbours_and_no_bonds():
    assert len(bonds(still(Atoms("Cu2", [[0, 0, 0], [2.5, 0, 0]])))) == 0
    assert len(bonds(still(Atoms("CuO", [[0, 0, 0], [1.8, 0, 0]])))) == 1


def test_minimum_image_in_a_skewed_cell():
    frames = gas(2)
    rng = np.random.default_rng(3)
    short = rng.normal(size=(2, 50, 3))
    moved = short + rng.integers(-2, 3, (2, 50, 3)) @ SKEWED
    assert np.abs(moved).max() > 10.0
    assert np.abs(minimum_image(moved, frames) - short).max() < 1e-9


def test_rigid_distributions_are_equal_and_stretched_ones_are_not():
    atoms = molecule("CH3CH2OH")
    one = internal_distributions(blocks([still(atoms, 200, 0.02)], 10), still(atoms))
    other = internal_distributions(blocks([still(atoms, 200, 0.02, seed=1)], 10), still(atoms))
    wide = internal_distributions(blocks([still(atoms, 200, 0.05, seed=2)], 10), still(atoms))
    assert [k for k in one if k.startswith("bond")] == ["bond C-C", "bond C-H", "bond C-O", "bond H-O"]
    assert sum(k.startswith("dihedral") for k in one) == 2
    for label in one:
        _, most = hellinger_within(one[label], 200)
        assert hellinger(one[label].mean, one[label].mean) == pytest.approx(0.0, abs=1e-7)
        assert hellinger(other[label].mean, one[label].mean) < most
        if label.startswith("bond"):
            assert hellinger(wide[label].mean, one[label].mean) > most


def test_hellinger_of_known_distributions():
    assert hellinger(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 1.0
    assert hellinger(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(np.sqrt(1 - np.sqrt(0.5)))
    assert hellinger(np.zeros(2), np.zeros(2)) == 0.0


def test_sampling_bound_predicts_the_distance_of_two_samples():
    rng = np.random.default_rng(4)
    edges, frames, distances, expected, above = np.linspace(-3, 3, 31), 500, [], [], 0
    for _ in range(40):
        samples = np.stack([np.histogram(rng.normal(size=100), edges)[0] for _ in range(10)]).astype(float)
        reference = Distribution(edges[1:], samples, np.full(10, 100.0))
        distances.append(hellinger(np.histogram(rng.normal(size=frames), edges)[0].astype(float), reference.mean))
        mean, most = hellinger_within(reference, frames)
        expected.append(mean)
        above += distances[-1] > most
    assert np.mean(distances) == pytest.approx(np.mean(expected), rel=0.15)
    assert above <= 2
