import h5py
import numpy as np
import pytest
from askel.particles import UNIT_SYSTEMS, AskelError, InputError, Particles, UnitSystem, custom_units, nbody_units
from askel.particles.io_h5md import Trajectory, TrajectoryWriter
from hypothesis import given, settings
from hypothesis import strategies as st

SYSTEMS = [
    *UNIT_SYSTEMS.values(),
    nbody_units(speed_of_light=12.5),
    nbody_units(length="1 pc", mass="1e6 Msun"),
    custom_units("2 pc", "1 Msun", "1 Myr"),
]


def make(n=3, units=UNIT_SYSTEMS["nbody"], seed=0, **fields):
    rng = np.random.default_rng(seed)
    values = {"mass": rng.random(n) + 0.1, "position": rng.normal(size=(n, 3)), "velocity": rng.normal(size=(n, 3))}
    return Particles(units=units, **(values | fields))


def same(a, b, rtol=0.0):
    assert a.units == b.units
    assert [f.name for f in a.present()] == [f.name for f in b.present()]
    for name, value in a.to_dict().items():
        np.testing.assert_allclose(np.asarray(getattr(b, name)), np.asarray(value), rtol=rtol, atol=0, err_msg=name)


def save(path, states, **options):
    with TrajectoryWriter.create(path, states[0], **options) as writer:
        for step, state in enumerate(states):
            writer.append(state, step)
    return path


@pytest.mark.parametrize("units", SYSTEMS, ids=lambda u: f"{u.name}-{u.light}")
def test_every_field_comes_back_in_its_units(tmp_path, units):
    rng = np.random.default_rng(3)
    state = make(
        4, units, time=2.5, identity=[7, 3, 9, 4], spin=rng.normal(size=(4, 3)), radius=rng.random(4), kind=[1, 0, 2, 5],
        softening=rng.random(4), species=[1, 8, 79, 0], cell=np.eye(3) * 9, periodic=[True, False, True],
    )  # fmt: skip
    with Trajectory(save(tmp_path / "t.h5md", [state])) as t:
        same(state, t[0], rtol=4e-16 if units.name == "ase" else 0.0)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), compression=st.sampled_from([None, "gzip", "lzf"]), scale=st.sampled_from([1e-300, 1.0, 1e300]))
def test_changing_membership(tmp_path_factory, data, compression, scale):
    """Particles come, go and are reordered; each frame gives back what was written, in the order of rows."""
    path = tmp_path_factory.mktemp("h5md") / "t.h5md"
    sets = data.draw(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=6), min_size=1, max_size=6))
    states = [make(len(ids), identity=ids, seed=k, time=float(k), spin=None) for k, ids in enumerate(sets)]
    for state in states:
        state.position *= scale
    save(path, states, compression=compression)
    with Trajectory(path) as t, h5py.File(path, locking=False) as raw:
        assert len(t) == len(states) and t.times.tolist() == [s.time for s in states]
        rows = raw["particles/trajectory/id/value"][:]
        assert all(len(set(column[column >= 0])) <= 1 for column in rows.T)  # a row belongs to one particle for good
        assert np.isnan(raw["particles/trajectory/position/value"][:][rows < 0]).all()
        for state, found in zip(states, t, strict=True):
            assert sorted(found.identity) == sorted(state.identity)
            order = [state.identity.tolist().index(i) for i in found.identity]
            same(state.select(np.array(order, dtype=int)), found)


def test_fields_that_appear_later(tmp_path):
    states = [make(2, time=0.0), make(2, time=1.0, spin=np.ones((2, 3))), make(2, time=2.0)]
    with Trajectory(save(tmp_path / "t.h5md", states)) as t:
        assert t[0].spin.tolist() == [[0, 0, 0]] * 2 and (t[1].spin == 1).all() and not t[2].spin.any()


def test_other_units_are_converted_and_none_are_mixed(tmp_path):
    galactic = make(2, UNIT_SYSTEMS["galactic"])
    with TrajectoryWriter.create(tmp_path / "t.h5md", galactic) as writer:
        writer.append(galactic.in_units(UNIT_SYSTEMS["si"]), 0)
        with pytest.raises(InputError, match="no physical scale"):
            writer.append(make(2), 1)
        with pytest.raises(InputError, match="boundaries"):
            writer.append(make(2, UNIT_SYSTEMS["galactic"], cell=np.eye(3), periodic=[True] * 3), 1)
        writer.append(galactic, 1)
    with Trajectory(tmp_path / "t.h5md") as t:
        assert len(t) == 2
        same(galactic, t[0], rtol=1e-14)


def test_layout_that_other_programs_rely_on(tmp_path):
    state = make(2, UNIT_SYSTEMS["ase"], species=[1, 8])
    with h5py.File(save(tmp_path / "t.h5md", [state, state])) as h5:
        assert h5["h5md"].attrs["version"].tolist() == [1, 1]
        assert {"name", "version"} <= set(h5["h5md/creator"].attrs) and "name" in h5["h5md/author"].attrs
        assert list(h5["particles"]) == ["trajectory"]
        group = h5["particles/trajectory"]
        assert group["position/value"].attrs["unit"] == "Angstrom" and group["position/time"].attrs["unit"] == "fs"
        assert group["velocity/value"].attrs["unit"] == "Angstrom fs-1"
        assert isinstance(group["velocity/value"].attrs["unit"], str)
        assert h5py.h5o.get_info(group["velocity/step"].id).addr == h5py.h5o.get_info(group["position/step"].id).addr
        assert group["box"].attrs["dimension"] == 3 and list(group["box"].attrs["boundary"]) == ["none"] * 3
        assert group["position/value"].fletcher32 and group["species/value"].shape == (2, 2)
        module = h5["h5md/modules/askel"]
        assert module.attrs["unit_length_in_m"] == 1e-10 and module.attrs["unit_time_in_s"] == 1e-15


@pytest.mark.parametrize(("n", "frames_a_chunk"), [(3, 113), (100, 3), (5000, 1)])
def test_chunks(tmp_path, n, frames_a_chunk):
    with h5py.File(save(tmp_path / "t.h5md", [make(n)])) as h5:
        assert h5["particles/trajectory/position/value"].chunks == (frames_a_chunk, n, 3)


def test_units_are_always_said(tmp_path):
    with h5py.File(save(tmp_path / "t.h5md", [make(2, nbody_units(speed_of_light=10.0))])) as h5:
        assert h5["particles/trajectory/position/value"].attrs["askel_unit"] == "nbody"
        module = h5["h5md/modules/askel"].attrs
        assert module["units"] == "nbody" and module["c"] == 10.0 and module["G"] == 1.0
    for name, position, velocity in [
        ("galactic", "kpc", "km s-1"),
        ("au-msun-yr", "au", "au yr-1"),
        ("si", "m", "m s-1"),
    ]:
        with h5py.File(save(tmp_path / f"{name}.h5md", [make(2, UNIT_SYSTEMS[name])])) as h5:
            assert h5["particles/trajectory/position/value"].attrs["askel_unit"] == position
            assert h5["particles/trajectory/velocity/value"].attrs["askel_unit"] == velocity


# ---------------------------------------------------------------------- tables and the report


def test_tables(tmp_path):
    with TrajectoryWriter.create(tmp_path / "t.h5md", make()) as writer:
        for i in range(700):
            writer.append_row("series/energy", {"step": i, "energy": -0.5 + 1e-12 * i})
        writer.append_row("events/merger", {"kind": "merger", "first": 1, "time": 2.0, "spin": 0.5, "sure": True})
        writer.append_row("events/merger", {"kind": "fusión", "first": 2, "time": 3.0, "recoil": 4.0})
    with Trajectory(tmp_path / "t.h5md") as t:
        assert t.tables() == ["series/energy", "events/merger"] and len(t) == 0
        assert t.lengths() == {"particles/trajectory": 0, "series/energy": 700, "events/merger": 2}
        np.testing.assert_array_equal(t.table("series/energy")["energy"], -0.5 + 1e-12 * np.arange(700))
        merger = t.table("events/merger")
        assert merger["kind"].tolist() == ["merger", "fusión"] and merger["first"].tolist() == [1, 2]
        np.testing.assert_array_equal(merger["spin"], [0.5, np.nan])
        np.testing.assert_array_equal(merger["recoil"], [np.nan, 4.0])
        assert merger["sure"].tolist() == [1, -1]
        with pytest.raises(InputError, match="it has: series/energy, events/merger"):
            t.table("series/binaries")
    with h5py.File(tmp_path / "t.h5md") as h5:
        assert h5["series/energy/step"].dtype == np.int64 and h5["series/energy/step"].shape == (700,)


def test_integers_that_turn_out_to_be_numbers(tmp_path):
    with TrajectoryWriter.create(tmp_path / "t.h5md", make()) as writer:
        writer.append_row("series/x", {"error": 0})
        writer.flush()
        writer.append_row("series/x", {"error": 1.5})
    with Trajectory(tmp_path / "t.h5md") as t:
        assert t.table("series/x")["error"].tolist() == [0.0, 1.5]


@pytest.mark.parametrize("name", ["energy", "../x", "particles/x", "series//x", "h5md/x", "series/..", "/series/x", ""])
def test_names_of_tables(tmp_path, name):
    with TrajectoryWriter.create(tmp_path / "t.h5md", make()) as writer, pytest.raises(InputError, match="no name"):
        writer.append_row(name, {"a": 1})


def test_rows_reach_the_disk_without_frames(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("askel.particles.io_h5md_records.time.monotonic", lambda: now[0])
    writer = TrajectoryWriter.create(tmp_path / "t.h5md", make())
    writer.append_row("series/x", {"a": 1})
    assert not (tmp_path / "t.h5md").exists()
    now[0] = 1.5
    writer.append_row("series/x", {"a": 2})
    with Trajectory(tmp_path / "t.h5md") as t:
        assert t.table("series/x")["a"].tolist() == [1, 2]
    writer.close()


def test_report(tmp_path):
    with TrajectoryWriter.create(tmp_path / "t.h5md", make(), metadata={"seed": 3, "author": "A. B."}) as writer:
        writer.append(make(), 0)
        writer.set_report({"energy_error": {"max": 1.0, "final": None}, "wall_time": 1, "terms": [], "x": np.arange(2)})
        writer.set_report({"energy_error": {"max": 2e-13}, "configuration": "a = 1\n" * 20000, "ok": True})
        writer.set_report({"post_newtonian": {"terms": ["1", "2.5"]}, "statistics": {}, "x": np.arange(3)})
    with Trajectory(tmp_path / "t.h5md") as t:
        assert t.report == {
            "seed": 3, "author": "A. B.", "energy_error": {"max": 2e-13, "final": None}, "wall_time": 1, "terms": [],
            "configuration": "a = 1\n" * 20000, "ok": True, "post_newtonian": {"terms": ["1", "2.5"]}, "statistics": {},
            "x": [0, 1, 2],
        }  # fmt: skip
    with h5py.File(tmp_path / "t.h5md") as h5:
        assert h5["parameters/report/energy_error"].attrs["max"] == 2e-13
        assert h5["h5md/author"].attrs["name"] == "A. B."


# ---------------------------------------------------------------------- what exists, and resuming


def test_an_existing_file_lives_until_the_first_frame(tmp_path):
    path = save(tmp_path / "t.h5md", [make()])
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists; give another name, or overwrite"):
        TrajectoryWriter.create(path, make())
    TrajectoryWriter.create(path, make(5), overwrite=True).close()
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["t.h5md"]
    writer = TrajectoryWriter.create(path, make(5), overwrite=True)
    writer.set_report({"a": 1})
    assert writer.lengths() == {"particles/trajectory": 0} and path.read_bytes() == before
    writer.append(make(5), 0)
    with Trajectory(path) as t:
        assert t[0].n == 5
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5md"]


@pytest.mark.parametrize("where", ["no/such/folder/t.h5md", "/proc/t.h5md", "."])
def test_where_nothing_can_be_written(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*; give a name|is a folder") as caught:
        TrajectoryWriter.create(where, make())
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_read_only(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("askel.particles.io_journal.Path.open", refuse)
    with pytest.raises(InputError, match=r"cannot write .*: Permission denied"):
        TrajectoryWriter.create(tmp_path / "t.h5md", make())


def state_at(k):
    ids = [0, 1, 2] if k < 4 else [0, 2] if k < 6 else [2, 11]
    return make(len(ids), identity=ids, seed=k, time=0.5 * k, **({"spin": np.full((len(ids), 3), k)} if k > 2 else {}))


def run(writer, start, stop):
    for k in range(start, stop):
        writer.append(state_at(k), k)
        writer.append_row("series/energy", {"step": k, "energy": 1.0 / (k + 1)})
        if k == 5:
            writer.append_row("events/merger", {"kind": "merger", "time": 0.5 * k})


def content(path):
    with h5py.File(path) as h5:
        rows = {name: h5[f"particles/trajectory/{name}/value"][:] for name in ("id", "position", "spin")}
    with Trajectory(path) as t:
        return [s.to_dict() for s in t], {name: t.table(name) for name in t.tables()}, rows


@pytest.mark.parametrize("checkpoint", [1, 3, 5, 6, 8])
@pytest.mark.parametrize("lost_at", [0, 1, 4])
def test_a_resumed_file_equals_an_unbroken_one(tmp_path, checkpoint, lost_at):
    with TrajectoryWriter.create(tmp_path / "whole.h5md", state_at(0)) as writer:
        run(writer, 0, 9)
    writer = TrajectoryWriter.create(tmp_path / "broken.h5md", state_at(0))
    run(writer, 0, checkpoint)
    lengths = writer.lengths()
    run(writer, checkpoint, min(checkpoint + lost_at, 9))
    writer._file.failure = OSError("as a kill: what is not committed is lost")
    writer.close()
    with TrajectoryWriter.resume(tmp_path / "broken.h5md", lengths) as writer:
        assert writer.lengths() == lengths
        run(writer, checkpoint, 9)
    for a, b in zip(content(tmp_path / "whole.h5md"), content(tmp_path / "broken.h5md"), strict=True):
        np.testing.assert_equal(a, b)


def test_resume_refuses(tmp_path):
    path = save(tmp_path / "t.h5md", [make(), make()])
    with pytest.raises(InputError, match="holds 2 entries of particles/trajectory, the checkpoint knows 3"):
        TrajectoryWriter.resume(path, {"particles/trajectory": 3})
    with pytest.raises(InputError, match="holds 0 entries of series/x"):
        TrajectoryWriter.resume(path, {"particles/trajectory": 1, "series/x": 3})
    with pytest.raises(InputError, match="cannot read"):
        TrajectoryWriter.resume(tmp_path / "none.h5md", {})
    with h5py.File(path, "a") as h5:
        del h5["h5md/modules/askel"]
    with pytest.raises(InputError, match="was not written by Askel"):
        TrajectoryWriter.resume(path, {"particles/trajectory": 1})


def test_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "t.h5md"
    writer = TrajectoryWriter.create(path, make())
    for k in range(5):
        writer.append(make(seed=k), k)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("askel.particles.io_journal._write_all", full)
    with pytest.raises(AskelError, match="No space left on device; what it held before is intact"):
        writer.append(make(seed=5), 5)
    monkeypatch.undo()
    with pytest.raises(AskelError, match="an earlier write failed"):
        writer.append(make(seed=5), 5)
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5md"]
    with Trajectory(path) as t:
        assert len(t) == 5
        same(make(seed=4), t[4])
    with TrajectoryWriter.resume(path, {"particles/trajectory": 5}) as writer:
        writer.append(make(seed=5), 5)
    with Trajectory(path) as t:
        same(make(seed=5), t[5])


def test_a_run_is_seen_while_it_goes_on(tmp_path):
    with TrajectoryWriter.create(tmp_path / "t.h5md", make()) as writer:
        for k in range(4):
            writer.append(make(seed=k), k)
            with Trajectory(tmp_path / "t.h5md") as t:
                assert len(t) == k + 1
                same(make(seed=k), t[-1])
        held = Trajectory(tmp_path / "t.h5md")
        writer.append(make(seed=4), 4)
        with Trajectory(tmp_path / "t.h5md") as t:
            assert len(t) == 5 and len(held) == 4
        held.close()
    writer.close()
    with pytest.raises(InputError, match="is closed"):
        writer.append(make(), 9)


def test_indices(tmp_path):
    with Trajectory(save(tmp_path / "t.h5md", [make(seed=k, time=k) for k in range(3)])) as t:
        assert [t[-1].time, t[-3].time] == [2.0, 0.0] and [s.time for s in t] == [0.0, 1.0, 2.0]
        for bad in (3, -4):
            with pytest.raises(IndexError, match="3 frames"):
                t[bad]


def test_valid_length_is_the_shortest(tmp_path):
    path = save(tmp_path / "t.h5md", [make(seed=k) for k in range(3)])
    with h5py.File(path, "a") as h5:
        h5["particles/trajectory/velocity/value"].resize(2, axis=0)
    with Trajectory(path) as t:
        assert len(t) == 2
        same(make(seed=1), t[1])
    with TrajectoryWriter.resume(path, {"particles/trajectory": 2}) as writer:
        writer.append(make(seed=2), 2)
    with Trajectory(path) as t:
        same(make(seed=2), t[2])


def test_scales_are_those_of_the_file(tmp_path):
    """A file made with other constants keeps its own: nothing is looked up by name."""
    path = save(tmp_path / "t.h5md", [make(2, UNIT_SYSTEMS["galactic"])])
    with h5py.File(path, "a") as h5:
        h5["h5md/modules/askel"].attrs["unit_mass_in_kg"] = 2e30
    with Trajectory(path) as t:
        assert t[0].units == UnitSystem(
            "galactic", UNIT_SYSTEMS["galactic"].length, 2e30, UNIT_SYSTEMS["galactic"].time
        )
