import h5py
import numpy as np
import pytest
from askel.particles import KINDS, UNIT_SYSTEMS, InputError, Particles, nbody_units
from askel.particles.files import info, read, write
from askel.particles.io_h5md import Trajectory
from hypothesis import given, settings
from hypothesis import strategies as st


def galaxy(units=UNIT_SYSTEMS["galactic"], n=40, **fields):
    rng = np.random.default_rng(2)
    kind = np.where(
        np.arange(n) < 3, KINDS["black-hole"], np.where(np.arange(n) < 20, KINDS["star"], KINDS["dark-matter"])
    )
    state = Particles(
        1e5 * (1 + rng.random(n)), rng.normal(size=(n, 3)), 100 * rng.normal(size=(n, 3)), identity=np.arange(n) * 2 + 1,
        kind=kind, spin=rng.normal(size=(n, 3)), softening=rng.random(n), time=0.25, units=UNIT_SYSTEMS["galactic"], **fields
    )  # fmt: skip
    return state.in_units(units)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["galactic", "pc-msun-kms", "au-msun-yr", "geometric", "si", "ase"]))
def test_there_and_back(tmp_path_factory, name):
    path, state = tmp_path_factory.mktemp("gadget") / "snapshot.hdf5", galaxy(UNIT_SYSTEMS[name])
    write(path, state)
    found = read(path)
    assert found.units == state.units
    for field, value in state.to_dict().items():
        np.testing.assert_allclose(getattr(found, field), value, rtol=1e-15 * 4, atol=0, err_msg=field)
    facts = info(path)
    assert facts["format"] == "gadget" and facts["kinds"] == {"star": 17, "black-hole": 3, "dark-matter": 20}


def test_scalings_that_pynbody_asks_for(tmp_path):
    write(tmp_path / "x.hdf5", galaxy())
    kpc, mass, speed = 3.0856775814913673e21, 1.98841e43, 1e5
    expected = {"Coordinates": (1, 0, 0), "Velocities": (0, 0, 1), "Masses": (0, 1, 0), "Spin": (1, 1, 1)}
    with h5py.File(tmp_path / "x.hdf5") as h5:
        for name, powers in expected.items():
            found = h5[f"PartType4/{name}"].attrs
            assert tuple(found[f"{k}_scaling"] for k in ("length", "mass", "velocity")) == powers
            assert (found["a_scaling"], found["h_scaling"]) == (0, 0)
            value = kpc ** powers[0] * mass ** powers[1] * speed ** powers[2]
            assert found["to_cgs"] == pytest.approx(value, rel=1e-5)


def foreign(path, *, units=True, **header):
    attributes = {"NumPart_ThisFile": [0, 2, 0, 0, 1, 0], "MassTable": [0, 7.0, 0, 0, 0, 0], "Time": 2.0} | header
    with h5py.File(path, "w") as h5:
        h5.create_group("Header").attrs.update(attributes)
        if units:
            h5.create_group("Parameters").attrs.update(
                {"UnitLength_in_cm": 3.085678e18, "UnitMass_in_g": 1.989e33, "UnitVelocity_in_cm_per_s": 1e5}
            )
        for k, n in ((1, 2), (4, 1)):
            group = h5.create_group(f"PartType{k}")
            group["Coordinates"] = np.arange(3.0 * n).reshape(n, 3).astype("f4")
            group["Velocities"] = np.ones((n, 3), "f4")
            group["ParticleIDs"] = np.arange(n, dtype="u4") + k
        group["Masses"] = [3.0]
    return path


def test_files_of_other_programs(tmp_path):
    state = read(foreign(tmp_path / "x.hdf5"))
    assert state.mass.tolist() == [7, 7, 3] and state.identity.tolist() == [1, 2, 4] and state.time == 2.0
    assert state.kind.tolist() == [KINDS["dark-matter"]] * 2 + [KINDS["star"]]
    in_pc = state.in_units(UNIT_SYSTEMS["pc-msun-kms"])
    np.testing.assert_allclose(in_pc.position, state.position, rtol=1e-6)
    default = read(foreign(tmp_path / "y.hdf5", units=False), units=UNIT_SYSTEMS["galactic"])
    np.testing.assert_allclose(default.mass, state.mass * 1e10, rtol=1e-13)
    np.testing.assert_allclose(default.velocity, 1.0, rtol=1e-13)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"HubbleParam": 0.7}, "is cosmological"),
        ({"Redshift": 2.0}, "is cosmological"),
        ({"NumFilesPerSnapshot": 4}, "one of 4 files of a snapshot; give one by its number"),
        ({"NumPart_Total": [0, 5, 0, 0, 1, 0]}, "a part is missing"),
        ({"MassTable": [0.0] * 6}, "has no Masses"),
    ],
)
def test_what_cannot_be_read(tmp_path, header, message):
    with pytest.raises(InputError, match=message):
        read(foreign(tmp_path / "x.hdf5", **header))


def several(folder, count=3):
    """Write a snapshot in several files: haloes by MassTable, stars with masses in the last one alone, an empty type."""
    for f in range(count):
        stars = 2 if f == count - 1 else 0
        with h5py.File(folder / f"snap_007.{f}.hdf5", "w") as h5:
            h5.create_group("Header").attrs.update({
                "NumPart_ThisFile": [0, 2, 0, 0, stars, 0], "NumPart_Total": np.array([0, 2 * count, 0, 0, 2, 0], "u4"),
                "NumPart_Total_HighWord": np.zeros(6, "u4"), "MassTable": [0, 7.0, 0, 0, 0, 0], "Time": 0.5,
                "NumFilesPerSnapshot": count, "Redshift": 0.0, "HubbleParam": 1.0,
            })  # fmt: skip
            for k, n in ((0, 0), (1, 2), (4, stars)):
                group = h5.create_group(f"PartType{k}")
                if k == 4 and not stars:
                    continue
                group["Coordinates"] = (10.0 * f + k + np.arange(3.0 * n)).reshape(n, 3)
                group["Velocities"] = np.full((n, 3), 100.0)
                group["ParticleIDs"] = 100 * k + 2 * f + np.arange(n, dtype="u4")
                if k == 4:
                    group["Masses"] = [3.0, 4.0]
    return folder / "snap_007.0.hdf5"


@pytest.mark.parametrize("named", [0, 2])
def test_a_snapshot_in_several_files(tmp_path, named):
    several(tmp_path)
    path = tmp_path / f"snap_007.{named}.hdf5"
    state = read(path)
    assert state.identity.tolist() == [100, 101, 102, 103, 104, 105, 404, 405]
    assert state.mass.tolist() == [7.0] * 6 + [3.0, 4.0] and (state.velocity == 100.0).all()  # no sqrt(a), a = Time
    assert state.kind.tolist() == [KINDS["dark-matter"]] * 6 + [KINDS["star"]] * 2 and state.softening is None
    assert info(path)["files"] == 3 and info(path)["particles"] == 8


def test_a_snapshot_of_which_a_file_is_missing(tmp_path):
    path = several(tmp_path)
    (tmp_path / "snap_007.1.hdf5").unlink()
    with pytest.raises(InputError, match=r"one of 3 files of a snapshot, and snap_007\.1\.hdf5 is not beside it"):
        read(path)


def test_scale_free_units_are_refused(tmp_path):
    state = Particles([1.0], np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(InputError, match="no physical scale, which GADGET files need"):
        write(tmp_path / "x.hdf5", state)
    assert list(tmp_path.iterdir()) == []
    state.units = nbody_units(length="1 pc", mass="1e6 Msun")
    write(tmp_path / "x.hdf5", state)
    with h5py.File(tmp_path / "x.hdf5") as h5:
        assert h5["PartType4/Masses"][0] == pytest.approx(1e-4, rel=1e-12)


def test_view_in_a_trajectory(tmp_path):
    path = tmp_path / "run.h5md"
    write(path, galaxy(), gadget_view=True)
    with Trajectory(path) as t:
        assert len(t) == 1 and t.tables() == []
    with h5py.File(path) as h5:
        assert h5["Header"].attrs["NumPart_ThisFile"].tolist() == [0, 20, 0, 0, 17, 3]
    assert info(path)["format"] == "h5md"
