"""Training data from trajectories that exist already: ASE's, H5MD, LAMMPS dumps."""

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from askel.md.ase_data import segments_from_trajectory
from askel.md.segment_measures import kinetic_temperature
from askel.particles import InputError
from askel.particles.io_ase import particles_from_atoms
from askel.particles.io_h5md import TrajectoryWriter
from askel.particles.io_segments import SegmentFile


@pytest.fixture
def trajectory():
    """Eleven frames of NVE, 8 fs apart, wrapped into the cell, with forces and energies."""
    atoms = bulk("Cu", cubic=True, a=3.59) * (2, 2, 1)
    atoms.calc = EMT()
    rng = np.random.default_rng(0)
    atoms.set_velocities(rng.normal(size=(16, 3)) * 0.03 + [0.3, 0.0, 0.0])  # it flies through the boundary
    dynamics, images = VelocityVerlet(atoms, 2.0 * units.fs), []
    for k in range(11):
        if k:
            dynamics.run(4)
        image = atoms.copy()
        image.wrap()
        image.calc = EMT()
        image.get_forces()
        image.info["time"] = 8.0 * k * units.fs
        images.append(image)
    return images


def expected(trajectory):
    x = np.array([image.positions for image in trajectory])
    v = np.array([image.get_velocities() for image in trajectory]) * units.fs
    return x, v


def _write_h5md(path, images):
    states = [particles_from_atoms(image) for image in images]
    with TrajectoryWriter.create(path, states[0]) as writer:
        for k, state in enumerate(states):
            writer.append(state, k)


def dump(path, images):
    """Write a LAMMPS dump in metal units (velocities in Angstrom/ps)."""
    with path.open("w") as file:
        for k, image in enumerate(images):
            file.write(f"ITEM: TIMESTEP\n{4 * k}\nITEM: NUMBER OF ATOMS\n{len(image)}\nITEM: BOX BOUNDS pp pp pp\n")
            file.writelines(f"0.0 {edge:.17g}\n" for edge in image.cell.lengths())
            file.write("ITEM: ATOMS id type element x y z vx vy vz\n")
            velocities = image.get_velocities() * 1000.0 * units.fs
            for i, (x, v) in enumerate(zip(image.positions, velocities, strict=True)):
                file.write(f"{i + 1} 1 Cu {' '.join(f'{c:.17g}' for c in (*x, *v))}\n")


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.h5md", "a.lammpstrj"])
def test_trajectories_of_all_kinds(tmp_path, trajectory, name):
    source = tmp_path / name
    if name == "a.h5md":
        _write_h5md(source, trajectory)
    elif name == "a.lammpstrj":
        dump(source, trajectory)
    else:
        ase.io.write(source, trajectory)
    options = {"format": "lammps-dump-text"} if name == "a.lammpstrj" else None
    count = segments_from_trajectory(
        source, tmp_path / "out.h5", interval=8.0, step=2.0, frames_per_segment=5, options=options
    )
    assert count == 2
    x, v = expected(trajectory)
    digits = 2e-6 if name == "a.xyz" else 1e-9  # ASE's extended XYZ has eight digits
    with SegmentFile(tmp_path / "out.h5") as file:
        segments = list(file)
    for k, segment in enumerate(segments):
        part = slice(5 * k, 5 * k + 5)
        assert np.abs(segment.velocity - v[part]).max() < digits
        gone = segment.position - x[part]
        assert np.abs(gone - np.round(gone @ np.linalg.inv(segment.cell)) @ segment.cell).max() < 5 * digits
        assert np.abs(np.diff(segment.position, axis=0)).max() < 0.5  # unwrapped
        assert segment.temperature == pytest.approx(kinetic_temperature(segment).mean())
        if name in ("a.xyz", "a.traj"):
            assert segment.energy[0] == pytest.approx(trajectory[5 * k].get_potential_energy(), abs=1e-6)
            assert np.abs(segment.forces[0] - trajectory[5 * k].get_forces()).max() < 1e-6
    assert np.abs(np.diff(x, axis=0)).max() > 5.0  # the source was not


def test_trajectories_that_do_not_fit(tmp_path, trajectory):
    still = [image.copy() for image in trajectory]
    for image in still:
        image.set_momenta(np.zeros((16, 3)))
    timeless = [image.copy() for image in trajectory]
    for image in timeless:
        del image.info["time"]
    mixed = [*trajectory[:2], trajectory[2] * (1, 1, 2)]
    stretched = [image.copy() for image in trajectory]
    stretched[1].set_cell(stretched[1].cell.array * 1.01)
    cases = (
        (still, 8.0, "no velocities"),
        (trajectory, 4.0, "8 fs apart, not 4 fs"),
        (timeless, 4.0, "check the interval"),
        (timeless, 8e3, "check the interval"),
        (mixed, 8.0, "changes its atoms"),
        (stretched, 8.0, "changes its cell"),
        (trajectory[:3], 8.0, "fewer than 5 frames"),
    )
    for images, interval, message in cases:
        ase.io.write(tmp_path / "bad.traj", images)
        with pytest.raises(InputError, match=message) as caught:
            segments_from_trajectory(
                tmp_path / "bad.traj", tmp_path / "out.h5", interval=interval, frames_per_segment=5
            )
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.h5").exists()
    (tmp_path / "no.xyz").write_text("3\nhm\nCu 0 0\n")
    with pytest.raises(InputError):
        segments_from_trajectory(tmp_path / "no.xyz", tmp_path / "out.h5", interval=1.0)
