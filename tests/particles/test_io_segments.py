"""Files of segments: what goes in comes out, kills leave whole segments, bad files get one line."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from askel.particles import InputError
from askel.particles.io_segments import Segment, SegmentFile, SegmentWriter


def make_segment(seed=0, n=5, frames=4, *, cell=None, extras=True):
    rng = np.random.default_rng(seed)
    x, v, f = rng.normal(size=(3, frames, n, 3))
    return Segment(
        species=rng.integers(1, 30, n).astype(np.int32),
        mass=rng.uniform(1.0, 60.0, n),
        cell=cell,
        periodic=np.full(3, cell is not None),
        temperature=300.0 + seed,
        interval=3.5,
        position=x,
        velocity=v,
        forces=f if extras else None,
        energy=rng.normal(size=frames) if extras else None,
    )


def create(path, **options):
    return SegmentWriter.create(path, reference="test", step=0.5, interval=3.5, seed=9, recipe={"a": [1, 2]}, **options)


def same(a, b):
    return all(
        (x is None and y is None) or np.array_equal(x, y)
        for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in fields(Segment))
    )


@pytest.fixture
def mixed():
    """Segments of three systems, of other sizes and lengths."""
    first = make_segment(0)
    cell = np.array([[9.0, 0.0, 0.0], [1.0, 8.0, 0.0], [0.0, 2.0, 7.0]])
    return [
        first,
        make_segment(1, 3, 6, cell=cell),
        replace(make_segment(2, 5, 2), species=first.species, mass=first.mass),
    ]


@pytest.fixture
def written(tmp_path, mixed):
    with create(tmp_path / "a.h5") as writer:
        for segment in mixed:
            writer.append(segment)
    return tmp_path / "a.h5"


def test_what_goes_in_comes_out(written, mixed):
    with SegmentFile(written) as file:
        assert len(file) == len(list(file)) == 3
        assert all(same(a, b) for a, b in zip(file, mixed, strict=True))
        assert same(file[-1], mixed[2])
        assert file[1].species.dtype == np.int32
        assert (file.reference, file.step, file.interval, file.seed) == ("test", 0.5, 3.5, 9)
        assert file.recipe == {"a": [1, 2]}
        assert file.system.tolist() == [0, 1, 0]  # the third is the first one's system
        assert file.frames.tolist() == [4, 6, 2]
        assert file.temperatures.tolist() == [300.0, 301.0, 302.0]
        assert file.has_forces and file.has_energy
        with pytest.raises(IndexError):
            file[3]


def test_a_difference_would_be_seen(mixed):
    assert not same(mixed[0], replace(mixed[0], velocity=mixed[0].velocity * (1.0 + 1e-15)))


def test_without_forces_and_energies(tmp_path):
    segment = make_segment(3, extras=False)
    with create(tmp_path / "b.h5", forces=False, energy=False) as writer:
        writer.append(segment)
        with pytest.raises(InputError, match="without forces"):
            writer.append(make_segment(3))
    with SegmentFile(tmp_path / "b.h5") as file:
        assert same(file[0], segment) and not file.has_forces


def test_other_programs_read_it(written):
    with h5py.File(written) as h5:
        assert h5["position"].shape == (5 * 4 + 3 * 6 + 5 * 2, 3)
        assert h5.attrs["units"] == "Angstrom, fs, amu, eV"


def test_readable_while_it_grows_and_resumed(tmp_path, mixed):
    path = tmp_path / "c.h5"
    with create(path) as writer:
        assert not path.exists()  # nothing is replaced before the first segment is there
        for k, segment in enumerate(mixed[:2]):
            writer.append(segment)
            with SegmentFile(path) as file:
                assert len(file) == k + 1 and same(file[k], segment)
    with SegmentWriter.resume(path) as writer:
        assert len(writer) == 2
        writer.append(mixed[2])
    with SegmentFile(path) as file:
        assert all(same(a, b) for a, b in zip(file, mixed, strict=True))
        assert len(set(file.system.tolist())) == 2


def test_existing_files_are_kept(written, tmp_path):
    with pytest.raises(InputError, match="exists"):
        create(written)
    create(written, overwrite=True).close()
    with SegmentFile(written) as file:
        assert len(file) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from test_io_segments import create, make_segment
with create({path!r}) as writer:
    for seed in range(100000):
        writer.append(make_segment(seed, 50, 9))
        print(seed, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_killed_writer_leaves_whole_segments(tmp_path, after):
    path = tmp_path / "killed.h5"
    code = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= after:
                process.send_signal(signal.SIGKILL)
                break
    with SegmentFile(path) as file:
        count = len(file)
        assert count > after
        assert all(same(segment, make_segment(seed, 50, 9)) for seed, segment in enumerate(file))
    with SegmentWriter.resume(path) as writer:
        writer.append(make_segment(count, 50, 9))
    with SegmentFile(path) as file:
        assert len(file) == count + 1
        assert all(same(segment, make_segment(seed, 50, 9)) for seed, segment in enumerate(file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"velocity": np.zeros((4, 4, 3))}, "velocity has shape"),
        ({"position": np.full((4, 5, 3), np.nan)}, "not finite"),
        ({"energy": np.array([0.0, np.inf, 0.0, 0.0])}, "not finite"),
        ({"mass": np.zeros(5)}, "not positive"),
        ({"interval": 7.0}, "every 7 fs"),
        ({"periodic": np.ones(3, bool)}, "has no cell"),
        ({"forces": None}, "was made with forces"),
    ],
)
def test_bad_segments(tmp_path, change, message):
    with create(tmp_path / "d.h5") as writer, pytest.raises(InputError, match=message) as caught:
        writer.append(replace(make_segment(), **change))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_bad_headers(tmp_path):
    with pytest.raises(InputError, match="positive"):
        SegmentWriter.create(tmp_path / "e.h5", reference="x", step=0.0, interval=1.0)
    with pytest.raises(InputError, match="folder"):
        create(tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        create(tmp_path / "absent" / "e.h5")


def _newer(h5):
    h5.attrs["askel_segments"] = 2


def _foreign(h5):
    del h5.attrs["askel_segments"]


def _no_interval(h5):
    h5.attrs["interval"] = -1.0


def _no_json(h5):
    h5.attrs["recipe"] = "{"


def _short(h5):
    h5["velocity"].resize(40, axis=0)


def _no_system(h5):
    del h5["systems/1"]


def _no_column(h5):
    del h5["segments/frame"]


def _link(h5):
    del h5["position"]
    h5["position"] = h5py.ExternalLink("/etc/other.h5", "/position")


def _soft(h5):
    h5["segments/other"] = h5["segments/row"][()]
    del h5["segments/row"]
    h5["segments/row"] = h5py.SoftLink("/segments/other")


def _huge(h5):
    h5["segments/frames"][0] = 2**40


def _negative(h5):
    h5["segments/row"][1] = -3


def _claims(h5):
    h5["position"].resize(2**45, axis=0)


def _text(h5):
    del h5["energy"]
    h5["energy"] = np.array([b"a", b"b"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_newer, "update Askel"),
        (_foreign, "holds no segments"),
        (_no_interval, "interval -1"),
        (_no_json, "recipe"),
        (_short, "truncated"),
        (_no_system, "systems/1"),
        (_no_column, "segments/frame"),
        (_link, "link"),
        (_soft, "link"),
        (_huge, "claims"),
        (_negative, "cannot be"),
        (_claims, "claims"),
        (_text, "expected numbers"),
    ],
)
def test_bad_files(written, damage, message):
    with h5py.File(written, "r+") as h5:
        damage(h5)
    with pytest.raises(InputError, match=message) as caught:
        SegmentFile(written)
    assert "\n" not in str(caught.value)


def test_other_bad_files(tmp_path, written):
    (tmp_path / "text.h5").write_text("no")
    (tmp_path / "cut.h5").write_bytes(written.read_bytes()[:-3000])
    for name, message in (("text.h5", "not an HDF5 file"), ("absent.h5", "cannot read"), ("cut.h5", "truncated")):
        with pytest.raises(InputError, match=message):
            SegmentFile(tmp_path / name)
    with pytest.raises(InputError):
        SegmentWriter.resume(tmp_path / "text.h5")
