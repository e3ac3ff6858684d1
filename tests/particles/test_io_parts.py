"""Trajectories in parts: as the gathered file, frame by frame, whoever owns what; other readers; resuming; what is missing."""

import shutil

import h5py
import numpy as np
import pytest
from askel.particles import AskelError, InputError, Particles
from askel.particles.files import convert, info
from askel.particles.io_h5md import Trajectory, TrajectoryWriter
from askel.particles.io_h5md_ranks import GatheredWriter, PartsWriter
from askel.particles.io_journal import JournaledFile

N, FRAMES = 23, 6
LENGTHS = {"particles/trajectory": FRAMES, "series/x": 1}


def whole(frame):
    """Return the state of a frame: a particle moves by one length a frame, some have merged, two are born at the end."""
    rng = np.random.default_rng(3)
    identity = rng.permutation(3 * N)[:N]
    x = rng.random((N, 3))
    state = Particles(
        rng.random(N) + 0.5, x + frame, x * 0.1, identity=identity, time=0.5 * frame, kind=np.arange(N) % 6
    )
    if frame > 2:
        state = state.select(np.flatnonzero(np.arange(N) % 5 > 0))
    if frame > 4:
        born = Particles(np.ones(2), np.ones((2, 3)), np.ones((2, 3)), identity=[3 * N + 4, 3 * N], kind=[1, 1])
        values = {f.name: np.concatenate([getattr(state, f.name), getattr(born, f.name)]) for f in born.present()[1:]}
        state = Particles.from_dict({**values, "time": state.time}, state.units)
    if frame > 3:
        state.spin = np.full((state.n, 3), 0.25)
    return state


def mine(exchange, frame):
    """Return a share of it that changes from frame to frame; the last rank has nothing at first."""
    state = whole(frame)
    owner = (state.identity * 7 + frame) % max(exchange.size - (frame == 0), 1)
    return state.select(owner == exchange.rank)


def write(exchange, path, frames=range(FRAMES)):
    with PartsWriter.create(exchange, path, mine(exchange, 0), {"seed": 4}) as writer:
        for k in frames:
            writer.append(mine(exchange, k), 10 * k)
        writer.append_row("series/x", {"a": 1.5})
        writer.set_report({"outcome": "finished"})
        return writer.lengths()


def gathered(exchange, path):
    first = TrajectoryWriter.create(path, mine(exchange, 0), capacity=N) if exchange.rank == 0 else None
    with GatheredWriter(exchange, first) as writer:
        for k in range(FRAMES):
            writer.append(mine(exchange, k), 10 * k)
        writer.append_row("series/x", {"a": 1.5})


def assert_states(trajectory, frames=range(FRAMES)):
    assert len(trajectory) == len(frames)
    for state, k in zip(trajectory, frames, strict=True):
        wanted = whole(k)
        wanted = wanted.select(np.argsort(wanted.identity))
        assert state.time == wanted.time
        for field in wanted.present():
            assert np.array_equal(getattr(state, field.name), getattr(wanted, field.name)), field.name


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_as_the_gathered_file(run_ranks, tmp_path, size):
    lengths = run_ranks(size, lambda exchange: write(exchange, tmp_path / "run.h5md"))
    run_ranks(max(size, 2), lambda exchange: gathered(exchange, tmp_path / "one.h5md"))
    assert lengths[0] == LENGTHS and not any(lengths[1:])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "one.h5md", "run.h5md", *(f"run.part-{k}.h5md" for k in range(size))
    ]  # fmt: skip
    with Trajectory(tmp_path / "run.h5md") as parts, Trajectory(tmp_path / "one.h5md") as one:
        assert_states(parts)
        assert parts.rows == one.rows and parts.lengths() == one.lengths() and parts.fields == one.fields
        assert parts.table("series/x")["a"].tolist() == [1.5] and parts.report["seed"] == 4
        assert np.array_equal(parts.times, one.times)
    with h5py.File(tmp_path / "run.h5md") as parts, h5py.File(tmp_path / "one.h5md") as one:  # as others see it
        for name in ("id", "position", "velocity", "mass", "kind", "spin"):
            for part in ("value", "step", "time"):
                a, b = (h5[f"particles/trajectory/{name}/{part}"] for h5 in (parts, one))
                np.testing.assert_array_equal(a[:], b[:])
                assert a.dtype == b.dtype and dict(a.attrs) == dict(b.attrs)
        assert all("/" not in s.file_name for s in parts["particles/trajectory/position/value"].virtual_sources())


def test_a_part_is_a_stretch_of_rows(run_ranks, tmp_path):
    run_ranks(3, lambda exchange: write(exchange, tmp_path / "run.h5md"))
    counts, last = [], -1
    for k in range(3):
        with Trajectory(tmp_path / f"run.part-{k}.h5md") as part:
            states = list(part)
            counts.append(states[0].n)
            assert states[0].identity[0] > last and part.run
            last = states[0].identity[-1]
    assert sum(counts) == N and max(counts) - min(counts) <= 1


def test_one_file_of_it(run_ranks, tmp_path):
    path, target = tmp_path / "run.h5md", tmp_path / "whole.h5md"
    run_ranks(3, lambda exchange: write(exchange, path))
    assert info(path)["parts"] == 3 and info(path)["bytes"] > 3 * 4096
    assert info(path)["part_files"] == [f"run.part-{k}.h5md" for k in range(3)]
    assert convert(path, target) == FRAMES
    for part in tmp_path.glob("run*"):
        part.unlink()
    with Trajectory(target) as trajectory:
        assert trajectory.parts == [] and trajectory.run == ""
        assert_states(trajectory)
        assert trajectory.table("series/x")["a"].tolist() == [1.5]
    assert "parts" not in info(target)


def test_it_can_be_moved(run_ranks, tmp_path):
    run_ranks(2, lambda exchange: write(exchange, tmp_path / "run.h5md"))
    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("*.h5md"):
        path.rename(tmp_path / "elsewhere" / path.name)
    (tmp_path / "elsewhere" / "run.h5md").rename(tmp_path / "elsewhere" / "näme.h5md")
    with Trajectory(tmp_path / "elsewhere" / "näme.h5md") as trajectory:
        assert_states(trajectory)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3), (3, 1), (1, 2)])
def test_going_on(run_ranks, tmp_path, before, after):
    path = tmp_path / "run.h5md"
    run_ranks(before, lambda exchange: write(exchange, path))

    def go_on(exchange):
        lengths = {"particles/trajectory": 4, "series/x": 1} if exchange.rank == 0 else {}
        with PartsWriter.resume(exchange, path, lengths, mine(exchange, 3)) as writer:
            with Trajectory(path) as cut:
                assert len(cut) == 4
            exchange.barrier()
            for k in (4, 5):
                writer.append(mine(exchange, k), 10 * k)
            return writer.lengths()

    assert run_ranks(after, go_on)[0] == LENGTHS
    with Trajectory(path) as trajectory:
        assert_states(trajectory)
        assert len(trajectory.parts) == before if before == after else before + after
    run_ranks(2, lambda exchange: gathered(exchange, tmp_path / "one.h5md"))
    with h5py.File(path) as h5, h5py.File(tmp_path / "one.h5md") as one:  # a particle keeps its row
        for name in ("id", "position", "spin"):
            np.testing.assert_array_equal(*(f[f"particles/trajectory/{name}/value"][:] for f in (h5, one)))


def test_going_back_behind_the_last_set_of_parts(run_ranks, tmp_path):
    path = tmp_path / "run.h5md"
    run_ranks(2, lambda exchange: write(exchange, path))

    def go_on(first, frames):
        def act(exchange):
            lengths = {"particles/trajectory": first} if exchange.rank == 0 else {}
            with PartsWriter.resume(exchange, path, lengths, mine(exchange, first)) as writer:
                for k in frames:
                    writer.append(mine(exchange, k), 10 * k)

        return act

    run_ranks(3, go_on(4, [4, 5]))
    assert len(list(tmp_path.glob("run.part-*"))) == 5
    run_ranks(2, go_on(3, [3]))
    assert sorted(p.name for p in tmp_path.glob("run.part-*")) == ["run.part-0.h5md", "run.part-1.h5md"]
    run_ranks(3, go_on(4, [4, 5]))
    with Trajectory(path) as trajectory:
        assert_states(trajectory)


def one_line(path, *words):
    with pytest.raises(InputError) as caught, Trajectory(path) as trajectory:
        list(trajectory)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    for word in words:
        assert word in str(caught.value)


def test_what_is_missing_or_wrong_is_said(run_ranks, tmp_path):
    path, part = tmp_path / "run.h5md", tmp_path / "run.part-1.h5md"
    run_ranks(3, lambda exchange: write(exchange, path))
    kept = part.read_bytes()
    part.rename(tmp_path / "away")
    one_line(path, "shows run.part-1.h5md, which is not beside it")
    (tmp_path / "away").rename(part)
    with h5py.File(part, "a") as h5:
        h5["h5md/modules/askel"].attrs["run"] = "another"
    one_line(path, "run.part-1.h5md is a part of another run")
    part.write_bytes(kept[: len(kept) // 2])
    one_line(path, "run.part-1.h5md", "truncated")
    part.write_bytes(kept)
    with TrajectoryWriter.resume(part, {"particles/trajectory": FRAMES - 2}):
        pass
    one_line(path, "shows more of run.part-1.h5md than is in it")
    assert not info(path)["valid"]
    lengths = {"particles/trajectory": FRAMES}
    with pytest.raises(InputError, match=r"run.part-1.h5md holds 4 entries"):
        run_ranks(3, lambda exchange: PartsWriter.resume(exchange, path, lengths, mine(exchange, 0)))


def test_an_ordinary_writer_does_not_go_on_with_parts_nor_the_other_way_round(run_ranks, tmp_path):
    path, target = tmp_path / "run.h5md", tmp_path / "whole.h5md"
    run_ranks(2, lambda exchange: write(exchange, path))
    convert(path, target)
    with pytest.raises(InputError, match=r"shows 2 parts; go on with output.files = 'per-rank'"):
        TrajectoryWriter.resume(path, {"particles/trajectory": 1})
    with pytest.raises(InputError, match=r"has no parts; go on with output.files = 'one'"):
        run_ranks(1, lambda exchange: PartsWriter.resume(exchange, target, {"particles/trajectory": 1}, whole(0)))


def test_a_disk_that_fills_up_on_one_rank(run_ranks, tmp_path, monkeypatch):
    """All ranks raise one error; the frames before it are there, and the run goes on when there is room again."""
    path, commit = tmp_path / "run.h5md", JournaledFile.commit

    def full(self, *, sync=False):
        if self.path.name == "run.part-1.h5md" and h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL) and full.after == 0:
            self.failure = OSError(28, "No space left on device")
        full.after -= self.path.name == "run.part-1.h5md"
        commit(self, sync=sync)

    full.after = 3
    monkeypatch.setattr(JournaledFile, "commit", full)
    with pytest.raises(AskelError, match=r"cannot write .*run.part-1.h5md: No space left on device") as caught:
        run_ranks(3, lambda exchange: write(exchange, path))
    assert caught.value.everywhere
    monkeypatch.setattr(JournaledFile, "commit", commit)
    with Trajectory(path) as trajectory:
        count = len(trajectory)
        assert 0 < count < FRAMES
        assert_states(trajectory, range(count))

    def go_on(exchange):
        with PartsWriter.resume(exchange, path, {"particles/trajectory": count}, mine(exchange, 0)) as writer:
            for k in range(count, FRAMES):
                writer.append(mine(exchange, k), 10 * k)

    run_ranks(3, go_on)
    with Trajectory(path) as trajectory:
        assert_states(trajectory)


def test_a_folder_that_takes_no_files(run_ranks, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*nowhere/run.part-0.h5md: No such file"):
        run_ranks(2, lambda exchange: write(exchange, tmp_path / "nowhere" / "run.h5md"))


def test_nothing_is_left_of_a_run_without_frames(run_ranks, tmp_path):
    def act(exchange):
        PartsWriter.create(exchange, tmp_path / "run.h5md", mine(exchange, 0), {}).close()

    run_ranks(2, act)
    assert not list(tmp_path.iterdir())


def test_virtual_data_of_other_programs(tmp_path):
    """Any H5MD file whose data sets show boxes of others can be read, if these lie beside it."""
    x = np.arange(24.0).reshape(2, 4, 3)
    for k in range(2):
        with h5py.File(tmp_path / f"x{k}.h5", "w") as h5:
            h5["x"] = x[:, 2 * k : 2 * k + 2]
    with h5py.File(tmp_path / "all.h5md", "w") as h5:
        h5.create_group("h5md").attrs["version"] = [1, 1]
        layout = h5py.VirtualLayout((2, 4, 3), "f8")
        for k in range(2):
            layout[:, 2 * k : 2 * k + 2] = h5py.VirtualSource(f"x{k}.h5", "x", (2, 2, 3))
        h5.create_virtual_dataset("particles/all/position/value", layout)
        h5["particles/all/position/time"] = [0.0, 1.0]
    with Trajectory(tmp_path / "all.h5md") as trajectory:
        assert [np.array_equal(s.position, x[k]) for k, s in enumerate(trajectory)] == [True, True]
    shutil.move(tmp_path / "x1.h5", tmp_path / "y.h5")
    one_line(tmp_path / "all.h5md", "shows x1.h5, which is not beside it")
