"""Frames from arrays, particles, ASE and MDAnalysis; cutting, averaging, unwrapping."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.units import fs
from askel.md.judging.ase_bonds import frames_from_atoms
from askel.md.judging.files import frames_from_particles, frames_from_universe, read_frames
from askel.md.judging.frames import blocks, make_frames, mean_and_error, subsample, unwrap
from askel.md.model_units import ASE_TIME
from askel.particles import InputError, Particles

CELL = np.array([[5.0, 0.0, 0.0], [2.0, 4.5, 0.0], [-1.0, 1.0, 4.0]])


def images(count=4, interval=2.0):
    """Water that flies apart slowly, as ASE images with a time."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(count):
        atoms = Atoms("OH2", rng.normal(size=(3, 3)), cell=CELL, pbc=True)
        atoms.set_velocities(rng.normal(size=(3, 3)) * 0.01 / fs)
        atoms.info["time"] = k * interval * fs
        found.append(atoms)
    return found


def test_frames_of_ase_images_are_in_angstrom_and_femtoseconds():
    found = images()
    frames = frames_from_atoms(found)
    assert frames.interval == pytest.approx(2.0, rel=1e-7)
    assert frames.velocity == pytest.approx(np.stack([a.get_velocities() * fs for a in found]), rel=1e-7)
    assert frames.species.tolist() == [8, 1, 1]
    assert frames.periodic.all()
    assert frames.cell.shape == (4, 3, 3)
    assert frames.potential_energy is None


def test_file_gives_the_same_frames(tmp_path):
    write(tmp_path / "t.xyz", images(), format="extxyz")
    one, other = frames_from_atoms(images()), read_frames(tmp_path / "t.xyz")
    assert other.interval == pytest.approx(2.0, rel=1e-6)
    assert np.abs(one.position - other.position).max() < 1e-7
    assert np.abs(one.velocity - other.velocity).max() < 1e-7
    assert read_frames(tmp_path / "t.xyz", interval=7.0).interval == 7.0


def test_universe_of_mdanalysis():
    mda = pytest.importorskip("MDAnalysis")
    found = frames_from_atoms(images())
    universe = mda.Universe.empty(3, trajectory=True, velocities=True)
    universe.add_TopologyAttr("elements", ["O", "H", "H"])
    universe.add_TopologyAttr("masses", found.mass)
    universe.load_new(found.position, velocities=found.velocity * 1e3, dt=0.002)
    frames = frames_from_universe(universe)
    assert frames.interval == pytest.approx(2.0)
    assert np.abs(frames.velocity - found.velocity).max() < 1e-6
    assert frames.species.tolist() == [8, 1, 1]
    assert frames.open


def test_user_mistakes():
    x = np.zeros((3, 2, 3))
    with pytest.raises(InputError, match="interval between frames is 0"):
        make_frames(x, [1, 1], 0.0)
    with pytest.raises(InputError, match="expected \\(frames, atoms, 3\\)"):
        make_frames(x[0], [1, 1], 1.0)
    with pytest.raises(InputError, match="need a cell"):
        make_frames(x, [1, 1], 1.0, periodic=True)
    with pytest.raises(InputError, match="velocity has shape"):
        make_frames(x, [1, 1], 1.0, velocity=np.zeros((2, 2, 3)))
    states = [Particles([1.0], np.zeros((1, 3)), np.zeros((1, 3)), species=[1], time=t) for t in (0.0, 1.0, 5.0)]
    with pytest.raises(InputError, match="scale"):
        frames_from_particles(states)
    uneven = images()
    uneven[2].info["time"] = 40.0
    with pytest.raises(InputError, match="not evenly spaced; give interval="):
        frames_from_atoms(uneven)


def test_unwrapping_in_a_skewed_cell():
    rng = np.random.default_rng(1)
    path = np.cumsum(rng.normal(scale=0.4, size=(200, 5, 3)), axis=0)
    scaled = path @ np.linalg.inv(CELL)
    wrapped = (scaled - np.floor(scaled)) @ CELL
    frames = make_frames(wrapped, [1] * 5, 1.0, cell=CELL)
    assert np.abs(wrapped - path).max() > 5.0
    assert np.abs((unwrap(frames).position - wrapped[0]) - (path - path[0])).max() < 1e-9


def test_thinning_and_blocks():
    frames = make_frames(np.zeros((101, 1, 3)), [1], 0.5)
    assert subsample([frames], 2.0)[0].interval == 2.0
    assert len(subsample([frames], 2.0)[0]) == 26
    with pytest.raises(InputError, match="cannot be thinned"):
        subsample([frames], 0.7)
    pieces = blocks([frames, frames], 10)
    assert len(pieces) == 10
    assert sum(len(p) for p in pieces) == 202
    assert min(len(p) for p in blocks([frames], 10, shortest=40)) >= 40


def test_block_error_of_white_noise():
    x = np.random.default_rng(2).normal(size=(40, 50, 200))
    mean, error = mean_and_error(x[:, :, 0])
    assert error == pytest.approx(np.std(x[:, :, 0], axis=0, ddof=1) / np.sqrt(40))
    assert np.abs(mean / error).mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.3)
    _, unequal = mean_and_error(np.repeat([[0.0], [1.0]], 1, axis=1), [3.0, 1.0])
    assert 0.3 < unequal[0] < 0.8
    assert np.isnan(mean_and_error([[1.0]])[1]).all()


def test_time_unit():
    assert ASE_TIME * fs == pytest.approx(1.0, rel=1e-7)
