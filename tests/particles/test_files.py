import json

import h5py
import numpy as np
import pytest
from askel.particles import UNIT_SYSTEMS, InputError, Particles, nbody_units
from askel.particles.files import FORMATS, convert, info, read, write
from askel.particles.io_checkpoint import write_checkpoint
from askel.particles.io_h5md import Trajectory, TrajectoryWriter


def make(n=3, units=UNIT_SYSTEMS["galactic"], seed=0, **fields):
    rng = np.random.default_rng(seed)
    return Particles(rng.random(n) + 0.1, rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), units=units, **fields)


def run_file(path, frames=4, **options):
    with TrajectoryWriter.create(path, make(), **options) as writer:
        for k in range(frames):
            writer.append(make(seed=k, time=float(k)), k)
            writer.append_row(
                "series/energy", {"time": float(k), "energy_error": 1e-13 * (k + 1) / 4, "max_energy_error": 3e-13}
            )
        writer.append_row("events/merger", {"time": 2.5, "first": 0, "second": 1})
    return path


# ---------------------------------------------------------------------- info


def test_info_of_a_run(tmp_path):
    path = run_file(tmp_path / "run.h5md")
    facts = info(path)
    assert facts["format"] == "h5md" and facts["frames"] == 4 and facts["particles"] == 3
    assert facts["time"] == {"first": 0.0, "last": 3.0} and facts["units"] == "galactic"
    assert facts["energy_error"] == {"max": 3e-13, "final": 1e-13}
    assert facts["mergers"] == 1 and facts["valid"] and facts["damaged"] == [] and facts["wall_time"] is None
    assert facts["post_newtonian"] == {"terms": [], "max_v_over_c": None, "max_compactness": None}
    json.dumps(facts)
    with TrajectoryWriter.resume(path, {"particles/trajectory": 4}) as writer:
        writer.set_report(
            {
                "energy_error": {"max": 5e-12, "final": 1e-12},
                "post_newtonian": {"terms": ["1", "2.5"], "max_v_over_c": 0.1, "max_compactness": 0.01},
                "mergers": 2,
                "wall_time": 3.5,
                "integrator": "chain",
            }
        )
    facts = info(path)
    assert facts["energy_error"] == {"max": 5e-12, "final": 1e-12} and facts["mergers"] == 2
    assert facts["post_newtonian"] == {"terms": ["1", "2.5"], "max_v_over_c": 0.1, "max_compactness": 0.01}
    assert facts["wall_time"] == 3.5 and facts["integrator"] == "chain"


@pytest.mark.parametrize("name", ["b.txt", "b.csv", "b.hdf5", "b.xyz", "b.traj", "b.h5md"])
def test_info_has_the_same_keys_for_all(tmp_path, name):
    write(tmp_path / name, make(time=1.5))
    facts = info(tmp_path / name)
    assert {
        "path", "format", "bytes", "frames", "particles", "time", "units", "energy_error", "post_newtonian", "mergers",
        "wall_time", "valid", "damaged",
    } <= set(facts)  # fmt: skip
    assert (facts["frames"], facts["particles"]) == (1, 3) and facts["valid"]
    assert facts["units"] == "galactic"
    assert facts["time"]["first"] == facts["time"]["last"] == pytest.approx(1.5, rel=1e-14)
    json.dumps(facts)


def test_checkpoints_are_files_too(tmp_path):
    state = make()
    tree = {"fields": state.to_dict(), "units": {k: getattr(state.units, k) for k in state.units.__slots__}}
    path = tmp_path / "run.checkpoint"
    for _ in range(2):
        write_checkpoint(path, {"version": "0.1", "simulation": {"particles": tree, "carry": {}}})
    assert info(path)["format"] == "checkpoint" and info(path)["version"] == "0.1"
    np.testing.assert_array_equal(read(path).position, state.position)
    assert read(path).units == state.units
    with pytest.raises(InputError, match="written by runs"):
        write(tmp_path / "x.checkpoint", state)
    path.write_bytes(path.read_bytes()[:-1])
    assert not info(path)["valid"] and "truncated" in info(path)["damaged"][0]


# ---------------------------------------------------------------------- convert and write


@pytest.mark.parametrize("name", ["c.csv", "c.xyz", "c.traj", "c.h5md"])
def test_all_frames(tmp_path, name):
    path = run_file(tmp_path / "run.h5md")
    assert convert(path, tmp_path / name) == 4
    assert info(tmp_path / name)["frames"] == 4
    for frame in (0, 2, -1):
        a, b = read(path, frame), read(tmp_path / name, frame)
        assert a.units == b.units and a.time == b.time
        np.testing.assert_array_equal(a.position, b.position)
        rounded = 3e-16 if name == "c.traj" else 0.0  # ASE keeps momenta
        np.testing.assert_allclose(a.velocity, b.velocity, rtol=rounded)
    assert convert(path, tmp_path / name, frame=1, overwrite=True) == 1
    assert read(tmp_path / name).time == 1.0


@pytest.mark.parametrize("name", ["c.txt", "c.hdf5"])
def test_formats_of_one_frame_take_the_last(tmp_path, name):
    path = run_file(tmp_path / "run.h5md")
    assert convert(path, tmp_path / name) == 1 and read(tmp_path / name).time == 3.0
    assert convert(path, tmp_path / name, frame=0, overwrite=True) == 1 and read(tmp_path / name).time == 0.0


def test_tables_and_report_go_along(tmp_path):
    path = run_file(tmp_path / "run.h5md", metadata={"seed": 4})
    convert(path, tmp_path / "copy.h5md", gadget_view=True)
    with Trajectory(path) as a, Trajectory(tmp_path / "copy.h5md") as b:
        assert a.lengths() == b.lengths() and b.report == {"seed": 4}
        np.testing.assert_equal(b.table("events/merger"), a.table("events/merger"))


def test_units_on_the_way(tmp_path):
    path = run_file(tmp_path / "run.h5md")
    convert(path, tmp_path / "c.csv", units=UNIT_SYSTEMS["pc-msun-kms"])
    np.testing.assert_allclose(read(tmp_path / "c.csv").position, 1e3 * read(path).position, rtol=1e-15)
    np.testing.assert_allclose(
        read(path, units=UNIT_SYSTEMS["si"]).position, read(path).position * 3.0856775814913673e19
    )
    with pytest.raises(InputError, match="no physical scale"):
        read(path, units=nbody_units())


@pytest.mark.parametrize("name", ["x.h5md", "x.hdf5", "x.csv", "x.txt", "x.xyz"])
def test_nothing_is_written_over(tmp_path, monkeypatch, name):
    path = tmp_path / name
    write(path, make())
    before = path.read_bytes()
    for attempt in (lambda: write(path, make(4)), lambda: convert(run_file(tmp_path / f"{name}.h5md"), path)):
        with pytest.raises(InputError, match="exists; give another name"):
            attempt()
    bad = tmp_path / "bad.txt"
    bad.write_text("# units: galactic\n1 2 x 4 5 6 7\n")
    with pytest.raises(InputError, match="not a number"):
        convert(bad, path, overwrite=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("askel.particles.files.Path.replace", full)
    with pytest.raises(InputError, match="No space left on device; what was there is intact"):
        write(path, make(4), overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["bad.txt", name, f"{name}.h5md"])
    write(path, make(4), overwrite=True)
    assert read(path).n == 4


def test_where_nothing_can_be_written(tmp_path):
    for where in ("/proc/x.csv", "/proc/x.h5md", "/proc/x.hdf5", tmp_path / "no" / "x.txt", "/proc/x.xyz"):
        with pytest.raises(InputError, match="cannot write") as caught:
            write(where, make())
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is a folder"):
        write(tmp_path, make())
    path = run_file(tmp_path / "run.h5md")
    with pytest.raises(InputError, match="to itself"):
        convert(path, path, overwrite=True)
    with pytest.raises(InputError, match=r"goes into \.h5md files"):
        write(tmp_path / "x.csv", make(), gadget_view=True)


def test_frames_that_are_not_there(tmp_path):
    path = run_file(tmp_path / "run.h5md")
    for frame in (4, -5):
        with pytest.raises(InputError, match=f"has 4 frames; there is no frame {frame}"):
            read(path, frame)


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.name)
def test_every_format_has_what_the_table_promises(form):
    module = form.load()
    assert isinstance(module.MANY_FRAMES, bool) and form.summary and form.extensions
    for name in ("sniff", "states", "write_states", "describe"):
        assert callable(getattr(module, name))


# ---------------------------------------------------------------------- hostile and broken input


def one_line(path, match):
    """Both read and info refuse with one line, and allocate nothing big."""
    import tracemalloc

    for act in (read, info):
        tracemalloc.start()
        with pytest.raises(InputError, match=match) as caught:
            act(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


GROUP = "particles/trajectory"


def external_link(h5, secret):
    del h5[f"{GROUP}/position/value"]
    h5[f"{GROUP}/position/value"] = h5py.ExternalLink(str(secret), "/data")


def soft_link(h5, secret):
    h5["outside"] = h5py.ExternalLink(str(secret), "/")
    del h5[f"{GROUP}/velocity"]
    h5[f"{GROUP}/velocity"] = h5py.SoftLink("/outside/velocity")


def external_storage(h5, secret):
    del h5[f"{GROUP}/mass/value"]
    h5[f"{GROUP}/mass"].create_dataset("value", (4, 3), "f8", external=[(str(secret), 0, 96)])


def virtual(h5, secret):
    del h5[f"{GROUP}/mass/value"]
    layout = h5py.VirtualLayout((4, 3), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "data", (4, 3))
    h5[f"{GROUP}/mass"].create_virtual_dataset("value", layout)


def references(h5, secret):
    del h5[f"{GROUP}/mass/value"]
    h5[f"{GROUP}/mass"].create_dataset("value", (4, 3), h5py.ref_dtype)


def huge(h5, secret):
    for name in ("position", "velocity"):
        del h5[f"{GROUP}/{name}/value"]
        h5[f"{GROUP}/{name}"].create_dataset("value", (4, 10**12, 3), "f8", chunks=(1, 1000, 3))


def many_frames(h5, secret):
    for name in ("position", "velocity", "mass", "id"):
        h5[f"{GROUP}/{name}/value"].resize(10**12, axis=0)
    for name in ("step", "time"):
        h5[f"{GROUP}/position/{name}"].resize(10**12, axis=0)


def wrong_shape(h5, secret):
    del h5[f"{GROUP}/mass/value"]
    h5[f"{GROUP}/mass/value"] = np.ones((4, 7))


def newer(h5, secret):
    h5["h5md/modules/askel"].attrs["version"] = 9


def no_positions(h5, secret):
    del h5[f"{GROUP}/position"]


def table_link(h5, secret):
    h5[f"{GROUP}/position/value"].attrs["x"] = 1
    h5["particles"].move("trajectory", "other")
    h5["particles/trajectory"] = h5py.ExternalLink(str(secret), "/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "is a link to .*secret"),
        (soft_link, "is a link to '/outside/velocity'"),
        (external_storage, "keeps its data outside the file"),
        (virtual, "outside the file's folder"),
        (references, "expected numbers"),
        (huge, "claims|expected"),
        (many_frames, "claims"),
        (wrong_shape, "has shape"),
        (newer, "format version 9, this Askel knows 1; update Askel"),
        (no_positions, "without particle positions"),
        (table_link, "is a link to"),
    ],
    ids=lambda c: getattr(c, "__name__", ""),
)
def test_hostile_files(tmp_path, change, message):
    folder = tmp_path / "away"
    folder.mkdir()
    secret = folder / "secret.h5"
    with h5py.File(secret, "w") as h5:
        h5["data"] = np.ones((4, 3, 3))
    path = run_file(tmp_path / "run.h5md")
    with h5py.File(path, "a") as h5:
        change(h5, secret)
    one_line(path, message)


def test_tables_that_lead_elsewhere_are_not_seen(tmp_path):
    path = run_file(tmp_path / "run.h5md")
    with h5py.File(path, "a") as h5:
        h5["series/stolen"] = h5py.ExternalLink("/etc/passwd", "/")
        h5["events/loop"] = h5["events"]
    assert info(path)["tables"] == {"series/energy": 4, "events/merger": 1}


@pytest.mark.parametrize("name", ["run.h5md", "run.hdf5"])
def test_truncated_files(tmp_path, name):
    path = run_file(tmp_path / "run.h5md")
    if name == "run.hdf5":
        convert(path, tmp_path / name)
        path = tmp_path / name
    raw = path.read_bytes()
    for size in (len(raw) - 1, len(raw) // 2, 1000, 100, 9):
        path.write_bytes(raw[:size])
        one_line(path, "truncated|damaged")
    path.write_bytes(b"")
    one_line(path, "is empty")


def test_flipped_bits_are_noticed_and_the_rest_is_read(tmp_path):
    path = run_file(tmp_path / "run.h5md", frames=250)
    raw = bytearray(path.read_bytes())
    with h5py.File(path) as h5:
        chunk = h5[f"{GROUP}/position/value"].id.get_chunk_info(1)
    raw[chunk.byte_offset + 40] ^= 1
    path.write_bytes(raw)
    first, chunk_frames = chunk.chunk_offset[0], 113
    assert read(path, 0).n == 3 and read(path, -1).n == 3
    with pytest.raises(InputError, match="is damaged"):
        read(path, first)
    facts = info(path)
    assert not facts["valid"] and len(facts["damaged"]) == chunk_frames
    assert facts["damaged"][0].startswith(f"frame {first}: ")


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_never_gives_more_than_one_line(tmp_path, seed):
    path = run_file(tmp_path / "run.h5md")
    raw, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for _ in range(20):
        raw[rng.integers(8, len(raw))] ^= int(rng.integers(1, 256))
    path.write_bytes(raw)
    for act in (info, lambda p: read(p, 0), lambda p: TrajectoryWriter.resume(p, {"particles/trajectory": 2}).close()):
        try:
            act(path)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "cannot be opened"),
        (b"\x80\x04\x95pickle", "no format|content is something else"),
        (b"%PDF-1.4\n", "no format|content is something else"),
    ],
)
@pytest.mark.parametrize("name", ["x", "x.h5md", "x.hdf5"])
def test_other_files(tmp_path, content, message, name):
    (tmp_path / name).write_bytes(content)
    one_line(tmp_path / name, message)


def test_foreign_hdf5_and_missing_files(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as h5:
        h5["data"] = [1, 2]
    one_line(tmp_path / "x.h5", "neither H5MD nor GADGET")
    one_line(tmp_path / "none.h5md", "cannot read .*No such file")
    one_line(tmp_path, "cannot read .*directory")


def test_h5md_without_units_takes_those_given(tmp_path):
    with h5py.File(tmp_path / "x.h5md", "w") as h5:
        h5.create_group("h5md").attrs["version"] = [1, 1]
        group = h5.create_group("particles/all/position")
        group["value"] = np.arange(18.0).reshape(2, 3, 3)
        group["step"], group["time"] = 10, 0.5  # a fixed interval
    state = read(tmp_path / "x.h5md", units=UNIT_SYSTEMS["galactic"])
    assert state.units == UNIT_SYSTEMS["galactic"] and state.position[0, 0] == 9.0 and state.time == 0.5
    assert read(tmp_path / "x.h5md").units == nbody_units() and info(tmp_path / "x.h5md")["units"] is None
