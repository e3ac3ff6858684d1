"""The programs of both communities really open what we write."""

import gc
import warnings

import numpy as np
import pytest
from ase import units as ase_units
from ase.build import bulk, molecule
from askel.particles import KINDS, UNIT_SYSTEMS, Particles
from askel.particles.files import info, read, write
from askel.particles.io_h5md import TrajectoryWriter
from askel.particles.io_h5md_ranks import PartsWriter

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def quiet_import(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.fixture(scope="module")
def mda():
    return quiet_import("MDAnalysis")


def images(kind):
    rng = np.random.default_rng(4)
    for k in range(3):
        atoms = molecule("CH3OH") if kind == "molecule" else bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.set_velocities(rng.normal(size=(len(atoms), 3)) * 0.01)
        atoms.positions += 0.1 * k
        atoms.info["time"] = 2.0 * k * ase_units.fs
        yield atoms


@pytest.fixture(params=["molecule", "crystal", "crystal in parts"])
def molecular(request, tmp_path, run_ranks):
    atoms = list(images(request.param.split()[0]))
    states = [Particles.from_ase(a) for a in atoms]

    def write(exchange):
        own = [state.select(np.arange(exchange.rank, state.n, exchange.size)) for state in states]
        if exchange.size > 1:
            writer = PartsWriter.create(exchange, tmp_path / "run.h5md", own[0], {})
        else:
            writer = TrajectoryWriter.create(tmp_path / "run.h5md", own[0])
        with writer:
            for k, state in enumerate(own):
                writer.append(state, 10 * k)
                writer.append_row("series/energy", {"time": state.time, "energy": 1.0})
                writer.append_row("series/energy", {"time": state.time, "energy": 1.0})

    run_ranks(3 if request.param.endswith("parts") else 1, write)
    return tmp_path / "run.h5md", atoms


def test_mdanalysis(mda, molecular):
    path, atoms = molecular
    universe = mda.Universe(str(path))
    assert universe.trajectory.n_frames == 3 and len(universe.atoms) == len(atoms[0])
    for k, frame in enumerate(universe.trajectory):
        np.testing.assert_allclose(frame.positions, atoms[k].positions, atol=2e-6)
        speed = atoms[k].get_velocities() * ase_units.fs * 1e3  # MDAnalysis: Angstrom/ps
        np.testing.assert_allclose(frame.velocities, speed, rtol=1e-5, atol=1e-6)
        assert frame.time == pytest.approx(0.002 * k, rel=1e-7)
        if atoms[0].pbc.all():
            np.testing.assert_allclose(frame.dimensions, atoms[0].cell.cellpar(), rtol=1e-6)
        else:
            assert frame.dimensions is None


def test_to_mdanalysis_adds_what_is_left_out(mda, molecular, tmp_path):
    from askel.particles.io_mdanalysis import to_mdanalysis

    path, atoms = molecular
    universe = to_mdanalysis(path)
    np.testing.assert_allclose(universe.atoms.masses, atoms[0].get_masses(), rtol=1e-6)
    assert list(universe.atoms.elements) == atoms[0].get_chemical_symbols() and universe.trajectory.n_frames == 3
    np.testing.assert_allclose(universe.atoms.center_of_mass(), atoms[0].get_center_of_mass(), atol=1e-5)
    stars = Particles([1.0, 2.0], np.eye(2, 3), np.zeros((2, 3)), identity=[5, 6])
    write(tmp_path / "stars.h5md", stars)
    universe = to_mdanalysis(tmp_path / "stars.h5md")
    assert universe.atoms.ids.tolist() == [5, 6] and universe.atoms.masses.tolist() == [1.0, 2.0]


def test_znh5md(molecular):
    znh5md = quiet_import("znh5md")
    path, atoms = molecular
    found = znh5md.IO(str(path))
    assert len(found) == 3
    for k in range(3):
        np.testing.assert_array_equal(found[k].positions, atoms[k].positions)
        assert str(found[k].symbols) == str(atoms[k].symbols)
        np.testing.assert_array_equal(found[k].pbc, atoms[k].pbc)


def test_we_read_znh5md(tmp_path):
    znh5md = quiet_import("znh5md")
    atoms = list(images("crystal"))
    znh5md.IO(str(tmp_path / "z.h5md")).extend(atoms)
    state = read(tmp_path / "z.h5md", 1)
    np.testing.assert_allclose(state.position, atoms[1].positions, rtol=1e-15)
    np.testing.assert_allclose(state.velocity, atoms[1].get_velocities(), rtol=1e-13)
    np.testing.assert_allclose(state.mass, atoms[1].get_masses(), rtol=1e-13)
    assert state.units == UNIT_SYSTEMS["ase"] and state.periodic.all()
    assert info(tmp_path / "z.h5md")["written_by"] == "another H5MD program"


def test_we_read_mdanalysis(mda, molecular, tmp_path):
    path, atoms = molecular
    universe = mda.Universe(str(path))
    out = tmp_path / "m.h5md"
    with mda.Writer(str(out), n_atoms=len(atoms[0]), velocities=True, author="me") as writer:
        for _ in universe.trajectory:
            writer.write(universe.atoms)
    del writer
    gc.collect()  # MDAnalysis leaves the file open
    state = read(out, 2)
    np.testing.assert_allclose(state.position, atoms[2].positions, atol=2e-6)
    np.testing.assert_allclose(state.velocity, atoms[2].get_velocities(), rtol=1e-4, atol=1e-8)
    assert state.units == UNIT_SYSTEMS["ase"] and state.time == pytest.approx(4.0 * ase_units.fs, rel=1e-6)


@pytest.mark.parametrize("units", ["nbody", "galactic", "geometric"])
def test_mdanalysis_takes_stars_without_converting(mda, tmp_path, units):
    rng = np.random.default_rng(0)
    full = Particles(np.ones(4), rng.normal(size=(4, 3)), np.zeros((4, 3)), units=UNIT_SYSTEMS[units])
    with TrajectoryWriter.create(tmp_path / "run.h5md", full) as writer:
        writer.append(full, 0)
        writer.append(full.select([0, 2, 3]), 1)
    universe = mda.Universe.empty(4, trajectory=True).load_new(str(tmp_path / "run.h5md"), convert_units=False)
    np.testing.assert_allclose(universe.trajectory[0].positions, full.position, rtol=1e-6)
    after = universe.trajectory[1].positions
    assert np.isnan(after[1]).all() and np.isfinite(after[[0, 2, 3]]).all()


@pytest.fixture
def galaxy():
    rng = np.random.default_rng(1)
    kinds = np.repeat([KINDS["star"], KINDS["black-hole"], KINDS["dark-matter"]], [30, 2, 50])
    return Particles(
        1e4 * (1 + rng.random(82)), rng.normal(size=(82, 3)), 50 * rng.normal(size=(82, 3)), kind=kinds, time=0.5,
        units=UNIT_SYSTEMS["galactic"],
    )  # fmt: skip


@pytest.fixture(params=["view.h5md", "snapshot.hdf5"])
def snapshot(request, galaxy, tmp_path):
    path = tmp_path / request.param
    write(path, galaxy.in_units(UNIT_SYSTEMS["pc-msun-kms"]), gadget_view=path.suffix == ".h5md")
    return path


def test_pynbody(snapshot, galaxy):
    pynbody = quiet_import("pynbody")
    found = pynbody.load(str(snapshot))
    assert (len(found.s), len(found.bh), len(found.dm)) == (30, 2, 50)
    order = np.concatenate([np.flatnonzero(galaxy.kind == KINDS[k]) for k in ("star", "black-hole", "dark-matter")])
    for family, rows in ((found.s, order[:30]), (found.bh, order[30:32]), (found.dm, order[32:])):
        np.testing.assert_allclose(family["pos"].in_units("kpc"), galaxy.position[rows], rtol=1e-6)
        np.testing.assert_allclose(family["vel"].in_units("km s**-1"), galaxy.velocity[rows], rtol=1e-6)
        np.testing.assert_allclose(family["mass"].in_units("Msol"), galaxy.mass[rows], rtol=1e-4)
    age = galaxy.time * UNIT_SYSTEMS["galactic"].time / (1e9 * 365.25 * 86400)
    assert found.properties["time"].in_units("Gyr") == pytest.approx(age, rel=1e-3)


def test_yt(snapshot, galaxy):
    yt = quiet_import("yt")
    yt.set_log_level(50)
    data = yt.load(str(snapshot)).all_data()
    rows = np.flatnonzero(galaxy.kind == KINDS["star"])
    index = np.argsort(data["PartType4", "particle_index"])
    np.testing.assert_allclose(
        data["PartType4", "particle_position"].to("kpc")[index], galaxy.position[rows], rtol=1e-6
    )
    np.testing.assert_allclose(
        data["PartType4", "particle_velocity"].to("km/s")[index], galaxy.velocity[rows], rtol=1e-6
    )
    np.testing.assert_allclose(data["PartType4", "particle_mass"].to("Msun")[index], galaxy.mass[rows], rtol=1e-3)
    assert len(data["PartType5", "particle_mass"]) == 2


def test_one_file_for_all_of_them(mda, tmp_path):
    """MDAnalysis, ZnH5MD, pynbody, yt and ASE on one and the same file."""
    import ase.io

    state = Particles.from_ase(next(images("molecule")))
    path = tmp_path / "run.h5md"
    write(path, state, gadget_view=True)
    assert len(mda.Universe(str(path)).atoms) == 6
    assert len(quiet_import("znh5md").IO(str(path))[0]) == 6
    assert len(quiet_import("pynbody").load(str(path))) == 6
    assert len(ase.io.read(path)) == 6
    yt = quiet_import("yt")
    yt.set_log_level(50)
    assert len(yt.load(str(path)).all_data()["PartType4", "particle_mass"]) == 6
