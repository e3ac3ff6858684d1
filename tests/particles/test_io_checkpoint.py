import json
import struct
from pathlib import Path

import numpy as np
import pytest
from askel.particles import AskelError, InputError
from askel.particles.io_checkpoint import previous_path, read_checkpoint, write_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

ARRAYS = hnp.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "|i1", "|b1", "<c16", "<u4", "<U3"]), hnp.array_shapes(min_dims=0, min_side=0)
)
TREES = st.dictionaries(
    st.text(max_size=5).filter(lambda k: k != "__array__"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ARRAYS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)


def identical(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, float):
        return type(b) is float and (struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b))
    return type(a) is type(b) and a == b


@settings(max_examples=80, deadline=None)
@given(TREES)
def test_every_bit_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("checkpoint") / "c"
    write_checkpoint(path, tree)
    found = read_checkpoint(path)
    assert identical(tree, dict(found)) and found.note == ""


def test_numpy_numbers_and_layouts(tmp_path):
    array = np.arange(12.0).reshape(3, 4).T[::2]
    write_checkpoint(tmp_path / "c", {"a": array, "x": np.float64(0.1), "n": np.int32(3), "t": (1, 2)})
    found = read_checkpoint(tmp_path / "c")
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].flags.writeable and found["x"] == 0.1 and found["n"] == 3 and found["t"] == [1, 2]


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, np.array([object()]), {"__array__": 1}, b"bytes", np.zeros(2, "f8,i4")]
)
def test_what_no_checkpoint_holds(tmp_path, value):
    with pytest.raises(TypeError, match="checkpoint entry"):
        write_checkpoint(tmp_path / "c", {"a": [value]})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def two(tmp_path):
    path = tmp_path / "run.checkpoint"
    for i in (1, 2):
        write_checkpoint(path, {"i": i, "a": np.full(100, float(i))})
    return path


def test_two_generations(two):
    assert read_checkpoint(two)["i"] == 2
    assert read_checkpoint(previous_path(two))["i"] == 1
    assert sorted(p.name for p in two.parent.iterdir()) == ["run.checkpoint", "run.checkpoint.previous"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def empty(path):
    path.write_bytes(b"")


def flip(at):
    def change(path):
        raw = bytearray(path.read_bytes())
        raw[at] ^= 4
        path.write_bytes(raw)

    return change


DAMAGES = [cut, empty, Path.unlink, *(flip(at) for at in (0, 3, 8, 12, 30, 200, -1, -40))]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_replaced_by_the_older_and_said(two, damage):
    damage(two)
    found = read_checkpoint(two)
    assert found["i"] == 1 and "run.checkpoint.previous" in found.note


@pytest.mark.parametrize("damage", DAMAGES)
def test_both_damaged_is_one_line(two, damage):
    damage(two)
    cut(previous_path(two))
    with pytest.raises(InputError, match="start anew") as caught:
        read_checkpoint(two)
    assert "\n" not in str(caught.value)


def test_newer_version_and_other_files(two):
    import hashlib

    raw = bytearray(two.read_bytes())[:-32]
    raw[8] = 99
    two.write_bytes(raw + hashlib.sha256(raw).digest())
    with pytest.raises(InputError, match="version 99, this Askel knows 1; update"):
        read_checkpoint(two)
    other = two.with_name("x.toml")
    other.write_text(json.dumps({}))
    with pytest.raises(InputError, match="not a checkpoint"):
        read_checkpoint(other)
    with pytest.raises(InputError, match="cannot read"):
        read_checkpoint(two.parent)


def test_a_full_disk_leaves_both_generations(two, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("askel.particles.io_checkpoint.os.fsync", full)
    with pytest.raises(AskelError, match=r"No space left on device; the last one is intact"):
        write_checkpoint(two, {"i": 3})
    assert read_checkpoint(two)["i"] == 2 and read_checkpoint(previous_path(two))["i"] == 1
    assert len(list(two.parent.iterdir())) == 2


@pytest.mark.parametrize("stop", ["_keep_previous", "sync_folder"])
def test_a_kill_between_the_steps(two, monkeypatch, stop):
    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(f"askel.particles.io_checkpoint.{stop}", killed)
    with pytest.raises(SystemExit):
        write_checkpoint(two, {"i": 3})
    found = read_checkpoint(two)
    assert found["i"] in (2, 3) and found.note == ""


def test_file_systems_without_links(two, monkeypatch):
    def no_links(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr("askel.particles.io_checkpoint.os.link", no_links)
    write_checkpoint(two, {"i": 3})
    assert read_checkpoint(two)["i"] == 3 and read_checkpoint(previous_path(two))["i"] == 2
