import os
import signal

import h5py
import numpy as np
import pytest
from askel.particles.io_journal import PAGE, JournaledFile, journal_path, read_journal, replay, uninterrupted
from hypothesis import given, settings
from hypothesis import strategies as st

WRITES = st.lists(st.tuples(st.integers(0, 5 * PAGE), st.binary(min_size=1, max_size=2 * PAGE)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(WRITES, min_size=1, max_size=4))
def test_it_is_a_file(tmp_path_factory, rounds):
    path = tmp_path_factory.mktemp("journal") / "f"
    file, expected = JournaledFile(path, "new"), bytearray()
    for writes in rounds:
        for at, data in writes:
            file.seek(at)
            file.write(data)
            expected.extend(bytes(max(0, at + len(data) - len(expected))))
            expected[at : at + len(data)] = data
            file.seek(0)
            assert file.read() == bytes(expected)
        file.commit()
        assert path.read_bytes() == bytes(expected)
    file.seek(0)
    file.write(b"never committed")
    file.close()
    assert path.read_bytes() == bytes(expected)
    assert not journal_path(path).exists()


def committed(path):
    """Return a file with two committed pages, with changes to both and a third page waiting."""
    file = JournaledFile(path, "new")
    file.write(b"a" * 2 * PAGE)
    file.commit()
    file.seek(10)
    file.write(b"b" * 2 * PAGE)
    return file


def test_a_kill_before_the_commit_leaves_the_old_state(tmp_path):
    committed(tmp_path / "f")
    assert (tmp_path / "f").read_bytes()[: 2 * PAGE] == b"a" * 2 * PAGE


@pytest.mark.parametrize("applied", [0, 1, 2, 3])
def test_a_kill_during_the_commit_is_finished_later(tmp_path, monkeypatch, applied):
    path = tmp_path / "f"
    file = committed(path)
    size = file.size
    monkeypatch.setattr("askel.particles.io_journal._apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        file.commit()
    monkeypatch.undo()
    expected = (b"a" * 10 + b"b" * 2 * PAGE).ljust(size, b"\0")
    with path.open("r+b") as raw:  # some of the pages got through
        for number in (2, 1, 0)[:applied]:
            raw.seek(number * PAGE)
            raw.write(expected[number * PAGE : (number + 1) * PAGE])
    seen = JournaledFile(path, "read")
    assert seen.read(size) == expected
    seen.close()
    if applied % 2:  # opening it for more finishes the commit too
        again = JournaledFile(path, "update")
        assert again.read(size) == expected and path.read_bytes() == expected
        again.close()
        return
    assert replay(path) and path.read_bytes() == expected
    assert not journal_path(path).exists() and not replay(path)


@pytest.mark.parametrize("damage", ["cut", "flip", "other file"])
def test_a_journal_that_does_not_fit_is_ignored(tmp_path, monkeypatch, damage):
    path = tmp_path / "f"
    file = committed(path)
    monkeypatch.setattr("askel.particles.io_journal._apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        file.commit()
    assert read_journal(path) is not None
    journal = journal_path(path)
    if damage == "cut":
        os.truncate(journal, journal.stat().st_size - 1)
    elif damage == "flip":
        raw = bytearray(journal.read_bytes())
        raw[-100] ^= 1
        journal.write_bytes(raw)
    else:
        path.write_bytes(b"something else")
    assert read_journal(path) is None


def test_a_full_disk_raises_at_the_commit_and_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "f.h5"
    file = JournaledFile(path, "new")
    h5 = h5py.File(file, "w")
    data = h5.create_dataset("a", (0, 1000), maxshape=(None, 1000), chunks=(1, 1000), dtype=float)
    data.resize(1, 0)
    data[0] = 1.0
    h5.flush()
    file.commit()
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("askel.particles.io_journal._write_all", full)
    data.resize(2, 0)
    data[1] = 2.0
    h5.flush()  # HDF5 is told nothing: h5py crashes when a file object fails
    with pytest.raises(OSError, match="No space left"):
        file.commit()
    monkeypatch.undo()
    h5.close()
    file.close()
    assert path.read_bytes() == before
    with h5py.File(path) as again:
        np.testing.assert_array_equal(again["a"][:], np.ones((1, 1000)))


def test_signals_wait():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            assert came == []
        assert came == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGINT)
                reached = True
        assert reached
    finally:
        signal.signal(signal.SIGINT, before)
