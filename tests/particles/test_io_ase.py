import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from askel.particles import UNIT_SYSTEMS, InputError, Particles, nbody_units
from askel.particles.files import convert, info, read, write
from askel.particles.io_ase import atoms_from_particles, particles_from_atoms
from hypothesis import given, settings
from hypothesis import strategies as st


def water(seed=0, **info):
    atoms = molecule("H2O", cell=[9, 10, 11], pbc=[True, False, True])
    atoms.set_velocities(np.random.default_rng(seed).normal(size=(3, 3)) * 0.1)
    atoms.info.update(info)
    return atoms


def close(a, b, rtol=0.0):
    assert [f.name for f in a.present()] == [f.name for f in b.present()]
    for name, value in a.to_dict().items():
        np.testing.assert_allclose(getattr(b, name), value, rtol=rtol, atol=0, err_msg=name)


def test_positions_are_a_view():
    atoms = water()
    state = Particles.from_ase(atoms)
    state.position += 1.0
    np.testing.assert_array_equal(atoms.positions, state.position)
    state.velocity += 1.0
    assert np.abs(atoms.get_velocities() - state.velocity).min() > 0.9
    assert state.units == UNIT_SYSTEMS["ase"] and state.species.tolist() == [8, 1, 1]
    assert state.kinetic_energy() != pytest.approx(atoms.get_kinetic_energy())
    state.velocity -= 1.0
    assert state.kinetic_energy() == pytest.approx(atoms.get_kinetic_energy(), rel=1e-14)


def test_atoms_and_back():
    atoms = water(time=3.0)
    back = Particles.from_ase(atoms).to_ase()
    np.testing.assert_array_equal(back.positions, atoms.positions)
    np.testing.assert_allclose(back.get_momenta(), atoms.get_momenta(), rtol=1e-15)
    np.testing.assert_array_equal(back.cell.array, atoms.cell.array)
    assert back.pbc.tolist() == [True, False, True]
    assert str(back.symbols) == str(atoms.symbols) and back.info["time"] == 3.0


def test_free_molecules_have_no_cell():
    state = Particles.from_ase(molecule("CH4"))
    assert state.cell is None and state.periodic is None and not state.to_ase().pbc.any()


def test_stars_become_x():
    state = Particles(
        [1.0, 2.0], np.eye(2, 3), np.ones((2, 3)), spin=np.ones((2, 3)), kind=[1, 0], units=UNIT_SYSTEMS["au-msun-yr"]
    )
    atoms = state.to_ase()
    assert str(atoms.symbols) == "X2" and atoms.positions[0, 0] == pytest.approx(1.495978707e21, rel=1e-12)
    close(particles_from_atoms(atoms).in_units(state.units), state, rtol=1e-13)
    kept = atoms_from_particles(state, keep_units=True)
    assert kept.positions[0, 0] == 1.0 and kept.info["units"] == "au-msun-yr"
    assert particles_from_atoms(kept).units == state.units
    light = Particles([1.0], np.zeros((1, 3)), np.ones((1, 3)), units=nbody_units(speed_of_light=7.0))
    assert particles_from_atoms(light.to_ase()).units == light.units


def test_momentum_without_mass():
    atoms = Atoms("X", positions=[[0, 0, 0]], masses=[0.0])
    assert Particles.from_ase(atoms).velocity.tolist() == [[0, 0, 0]]
    atoms.set_momenta([[1, 0, 0]])
    with pytest.raises(InputError, match="no mass"):
        Particles.from_ase(atoms)


@settings(max_examples=15, deadline=None)
@given(
    scale=st.sampled_from([1e-12, 1.0, 1e12]),
    units=st.sampled_from(["ase", "galactic", "nbody", "si"]),
    n=st.integers(1, 4),
)
def test_extended_xyz_keeps_all_digits(tmp_path_factory, scale, units, n):
    rng = np.random.default_rng(n)
    state = Particles(
        rng.random(n), scale * rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), time=0.1, units=UNIT_SYSTEMS[units],
        spin=rng.normal(size=(n, 3)), identity=np.arange(n) + 3, kind=np.ones(n),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("xyz") / "t.xyz"
    write(path, state)
    found = read(path)
    assert found.units == state.units
    close(state, found, rtol=4e-16 if units == "ase" else 0.0)
    assert len(ase.io.read(path)) == n


@pytest.mark.parametrize("name", ["t.xyz", "t.extxyz", "t.traj", "t.h5md", "t.json", "t.db"])
def test_formats_of_ase(tmp_path, name):
    images = [water(seed, time=float(seed)) for seed in range(3)]
    ase.io.write(tmp_path / "source.traj", images)
    if name == "t.db":
        with pytest.raises(InputError):
            convert(tmp_path / "source.traj", tmp_path / "t.nothing-known")
        return
    assert convert(tmp_path / "source.traj", tmp_path / name) == 3
    found = ase.io.read(tmp_path / name, ":")
    assert len(found) == 3
    for frame in (3, -4):
        with pytest.raises(InputError, match=f"has 3 frames; there is no frame {frame}"):
            read(tmp_path / name, frame)
    np.testing.assert_allclose(found[1].get_velocities(), images[1].get_velocities(), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(read(tmp_path / name, 2).position, images[2].positions, rtol=1e-15)


def test_single_frame_formats_take_the_last(tmp_path):
    ase.io.write(tmp_path / "s.traj", [bulk("Cu"), bulk("Au")])
    convert(tmp_path / "s.traj", tmp_path / "s.cif", frame=-1)
    assert str(ase.io.read(tmp_path / "s.cif").symbols) == "Au"
    assert info(tmp_path / "s.cif")["ase_format"] == "cif"


# ---------------------------------------------------------------------- the entry point


def test_ase_reads_and_writes_our_files(tmp_path):
    path, images = tmp_path / "t.h5md", [water(seed, time=float(seed)) for seed in range(4)]
    ase.io.write(path, images)
    assert ase.io.formats.filetype(str(path)) == "askel-h5md"
    every = ase.io.read(path, ":")
    assert len(every) == 4 and len(ase.io.read(path, "1:3")) == 2
    for a, b in zip(images, every, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_allclose(a.get_velocities(), b.get_velocities(), rtol=1e-15)
        np.testing.assert_array_equal(a.cell.array, b.cell.array)
        assert b.pbc.tolist() == [True, False, True] and b.info["time"] == pytest.approx(a.info["time"], rel=1e-15)
    np.testing.assert_array_equal(ase.io.read(path).positions, images[-1].positions)
    np.testing.assert_array_equal(ase.io.read(path, 1).positions, images[1].positions)
    assert ase.io.read(path, "7:") == []
    ase.io.write(path, molecule("CH4"))
    assert len(ase.io.read(path)) == 5


def test_importing_ase_io_stays_light():
    code = "import sys, askel.md.ase_io; print([m for m in ('h5py', 'numba', 'torch', 'scipy.optimize') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
