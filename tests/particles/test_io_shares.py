"""Checkpoints in shares, and initial states read by stretches: nothing lost, nothing twice, whoever reads."""

import numpy as np
import pytest
from askel.particles import AskelError, InputError, Particles, join
from askel.particles.collective import refuse_repeated, with_common_fields
from askel.particles.files import convert, info, read, read_stretch, write
from askel.particles.io_checkpoint import DamagedCheckpoint, read_checkpoint, write_checkpoint
from askel.particles.io_checkpoint_shares import read_shares, remove_unnamed, share_paths, write_shares
from askel.particles.io_h5md import TrajectoryWriter
from askel.particles.io_h5md_ranks import PartsWriter

N = 29
UNITS = {"name": "nbody", "length": None, "mass": None, "time": None, "light": None}


def whole(step=0):
    rng = np.random.default_rng(step)
    return Particles(
        rng.random(N), rng.random((N, 3)), rng.random((N, 3)), identity=rng.permutation(N) * 3, time=1.0 * step
    )


def save(exchange, path, step, order=1):
    """Write what this rank owns, in an order of its own, and the checkpoint."""
    state = whole(step)
    mine = state.select(np.flatnonzero(np.arange(N) % exchange.size == exchange.rank)[::order])
    tree = {"fields": mine.to_dict(), "units": UNITS}
    shares = write_shares(exchange, path, tree)
    if exchange.rank == 0:
        empty = mine.select(np.zeros(0, int)).to_dict()
        write_checkpoint(path, {"step": step, "shares": shares, "particles": {"fields": empty, "units": UNITS}})
        remove_unnamed(path)
    return mine


def load(exchange, path):
    return Particles.from_dict(
        read_shares(exchange, path, read_checkpoint(path)["shares"])["fields"], whole().units
    )  # fmt: skip


def same(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in b.present())


@pytest.mark.parametrize(("before", "after"), [(1, 1), (3, 3), (3, 2), (2, 5), (1, 3), (4, 1)])
def test_any_number_of_ranks_reads_them(run_ranks, tmp_path, before, after):
    path = tmp_path / "run.checkpoint"
    written = run_ranks(before, lambda exchange: save(exchange, path, 1, order=-1))
    found = run_ranks(after, lambda exchange: load(exchange, path))
    assert same(join(found), join(written))  # in their order, to the last bit
    if before == after:
        assert all(same(a, b) for a, b in zip(found, written, strict=True))
    else:
        assert max(s.n for s in found) - min(s.n for s in found) <= 1
    state = read(path)
    assert same(state, whole(1).select(np.argsort(whole(1).identity)))
    assert info(path)["shares"] == before and info(path)["particles"] == N
    assert convert(path, tmp_path / "state.csv") == 1


def test_more_ranks_than_particles(run_ranks, tmp_path):
    path = tmp_path / "run.checkpoint"
    run_ranks(2, lambda exchange: save(exchange, path, 1))
    assert sum(s.n for s in run_ranks(N + 3, lambda exchange: load(exchange, path))) == N


def test_two_generations_are_there_at_all_times(run_ranks, tmp_path):
    path = tmp_path / "run.checkpoint"
    for step, ranks in enumerate([2, 2, 3, 1, 2, 2]):
        run_ranks(ranks, lambda exchange, step=step: save(exchange, path, step))
        generations = [path, tmp_path / "run.checkpoint.previous"][: step + 1]
        for generation, expected in zip(generations, (step, step - 1), strict=False):
            shares = read_checkpoint(generation)["shares"]
            (found,) = run_ranks(1, lambda exchange, shares=shares: read_shares(exchange, path, shares))
            assert found["fields"]["time"] == expected
        named = [share["file"] for generation in generations for share in read_checkpoint(generation)["shares"]]
        assert sorted(named) == sorted(share.name for share in share_paths(path))


def test_a_kill_before_the_checkpoint_is_written_leaves_the_last_one(run_ranks, tmp_path):
    path = tmp_path / "run.checkpoint"
    for step in range(3):
        run_ranks(2, lambda exchange, step=step: save(exchange, path, step))
    tree = {"fields": whole(7).to_dict(), "units": UNITS}
    run_ranks(3, lambda exchange: write_shares(exchange, path, tree))  # and no more
    assert sum(s.n for s in run_ranks(2, lambda exchange: load(exchange, path))) == N
    run_ranks(2, lambda exchange: save(exchange, path, 8))
    assert run_ranks(2, lambda exchange: load(exchange, path))[0].time == 8.0
    assert len(share_paths(path)) == 4


def test_a_damaged_share_is_seen_by_all(run_ranks, tmp_path):
    path = tmp_path / "run.checkpoint"
    run_ranks(3, lambda exchange: save(exchange, path, 1))
    share = share_paths(path)[2]
    good = share.read_bytes()
    for bad, message in (
        (good[:200] + b"?" + good[201:], "checksum"),
        (good[:-50], "checksum"),
        (None, "No such file"),
    ):
        share.unlink() if bad is None else share.write_bytes(bad)
        for ranks in (1, 2, 3):
            with pytest.raises(DamagedCheckpoint, match=message) as caught:
                run_ranks(ranks, lambda exchange: load(exchange, path))
            assert share.name in str(caught.value)
        with pytest.raises(InputError, match=message):
            read(path)


def test_a_disk_that_fills_up_on_one_rank(run_ranks, tmp_path, monkeypatch):
    from askel.particles import io_checkpoint_shares as module

    path, write_tree = tmp_path / "run.checkpoint", module.write_tree
    run_ranks(2, lambda exchange: save(exchange, path, 1))

    def full(share, tree):
        if "part-1" in share.name:
            raise OSError(28, "No space left on device")
        return write_tree(share, tree)

    monkeypatch.setattr(module, "write_tree", full)
    with pytest.raises(AskelError, match=r"part-1.checkpoint: No space left on device; the last checkpoint is intact"):
        run_ranks(2, lambda exchange: save(exchange, path, 2))
    assert run_ranks(2, lambda exchange: load(exchange, path))[0].time == 1.0
    assert not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------- stretches of initial states


@pytest.mark.parametrize("of", [1, 2, 3, 40])
@pytest.mark.parametrize("kind", ["one file", "parts", "gadget"])
def test_stretches_make_the_whole(run_ranks, tmp_path, kind, of):
    from askel.particles import UNIT_SYSTEMS

    state = whole(2)
    state.kind = (np.arange(N) % 3).astype(np.int8)
    state.units = UNIT_SYSTEMS["pc-msun-kms"]
    path = tmp_path / ("s.hdf5" if kind == "gadget" else "s.h5md")
    if kind == "gadget":
        write(path, state)
    elif kind == "parts":

        def act(exchange):
            mine = state.select(np.arange(exchange.rank, N, exchange.size))
            with PartsWriter.create(exchange, path, mine, {}) as writer:
                writer.append(mine, 0)

        run_ranks(2, act)
    else:
        with TrajectoryWriter.create(path, state, capacity=N + 11) as writer:
            writer.append(state, 0)
            writer.append(state.select(np.arange(1, N)), 1)
    frame = 0 if kind == "one file" else -1
    found = [read_stretch(path, k, of, frame) for k in range(of)]
    together = join(found)
    whole_state = read(path, frame)
    assert same(together.select(np.argsort(together.identity)), whole_state.select(np.argsort(whole_state.identity)))
    assert max(part.n for part in found) <= (N + 11) // of + 1


def test_files_without_stretches_say_so(tmp_path):
    write(tmp_path / "s.csv", whole())
    assert read_stretch(tmp_path / "s.csv", 0, 2) is None


def test_fields_and_identities_of_all_ranks(run_ranks):
    def act(exchange):
        mine = whole().select(np.arange(exchange.rank, N, exchange.size))
        if exchange.rank == 1:
            mine.spin = np.ones((mine.n, 3))
        with_common_fields(exchange, mine)
        refuse_repeated(exchange, mine.identity)
        return mine

    spins = [state.spin for state in run_ranks(3, act)]
    assert (spins[1] == 1.0).all() and (spins[0] == 0.0).all() and (spins[2] == 0.0).all()

    def twice(exchange):
        refuse_repeated(exchange, np.array([[3, 9], [5, 7], [9, 1]][exchange.rank]))

    with pytest.raises(InputError, match="identity 9 is used twice") as caught:
        run_ranks(3, twice)
    assert caught.value.everywhere
