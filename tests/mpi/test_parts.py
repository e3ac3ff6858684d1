"""A trajectory in parts: ranks killed in the middle of a frame, whole jobs, and going on with more and fewer ranks."""

import os
import random
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from askel.particles import Particles
from askel.particles.files import info, write
from askel.particles.io_checkpoint import read_checkpoint
from askel.particles.io_h5md import Trajectory

from askel.commands import example

PROGRAM = Path(__file__).resolve().parent / "programs" / "parts.py"


def written_until(process, frames):
    """Return (process ids, frames announced) when so many are there."""
    _, *pids = process.stdout.readline().split()
    count = 0
    while count < frames:
        count = int(process.stdout.readline().removeprefix("frames "))
    return [int(p) for p in pids], count


def check(path, announced):
    """Return the number of frames, after looking at all of them."""
    with Trajectory(path) as trajectory:
        assert announced <= len(trajectory) <= announced + 1 and trajectory.parts
        for k, state in enumerate(trajectory):
            wanted = np.array([i for i in range(40) if i != 7 or k < 5])
            assert state.time == k and np.array_equal(state.identity, wanted)
            assert (state.position[:, 0] == k).all() and np.array_equal(state.position[:, 1], wanted)
        assert trajectory.table("series/x")["frame"].tolist() == list(range(len(trajectory)))
        return len(trajectory)


def test_kills_in_the_middle_of_frames(ranks, tmp_path):
    rng, counts = random.Random(2), []
    for k in range(4):
        path = tmp_path / f"{k}.h5md"
        process = ranks.start(3, PROGRAM, path, 0, 0)
        pids, count = written_until(process, rng.randrange(2, 40))
        time.sleep(rng.random() * 0.004)
        os.kill(pids[k % 3], signal.SIGKILL)
        said = re.findall(r"^frames (\d+)$", ranks.finish(process).stdout, re.MULTILINE)
        counts.append(check(path, max([count, *map(int, said)])))
        assert info(path)["valid"] and info(path)["parts"] == 3
        done = ranks.run(2 + k % 2, PROGRAM, path, counts[-1] - 1, 4)
        assert done.returncode == 0, done.stderr
        assert check(path, counts[-1] + 3) == counts[-1] + 3
        with Trajectory(path) as trajectory:
            assert len(trajectory.parts) == (5 if k % 2 == 0 else 3)
    assert len(set(counts)) > 2  # the kills came at different moments


@pytest.fixture
def quartz(tmp_path, monkeypatch):
    """Return the function that runs the job of quartz in a folder of its own, and gives the frames."""

    class Options:
        name = "quartz"

    monkeypatch.chdir(tmp_path)
    assert example(Options()) == 0

    def run(ranks, count, name, strides, *more, files="per-rank"):
        words = (
            "-s",
            f"run.t_end='{30 * strides} fs'",
            "-s",
            f"output.file={name}.h5md",
            "-s",
            f"output.files={files}",
        )
        done = ranks.askel(count, "run", "quartz.toml", *words, "--quiet", *more)
        assert (done.returncode, done.stderr) == (0, "")
        with Trajectory(f"{name}.h5md") as trajectory:
            return list(trajectory)

    return run


def assert_equal(one, other, bound=0.0):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        i, j = np.argsort(a.identity), np.argsort(b.identity)
        assert np.array_equal(a.identity[i], b.identity[j]) and abs(a.time - b.time) <= 1e-14 * max(b.time, 1.0)
        for field in ("position", "velocity", "mass", "kind"):
            x, y = getattr(a, field)[i], getattr(b, field)[j]
            assert np.abs(x - y).max() <= bound * np.abs(y).max(), field


def test_a_job_in_parts_is_the_job_in_one_file_and_goes_on_with_any_number_of_ranks(ranks, quartz):
    whole = quartz(ranks, 2, "whole", 5, files="one")
    assert_equal(quartz(ranks, 2, "run", 2), whole[:3])
    assert_equal(quartz(ranks, 2, "run", 4, "--resume"), whole[:5])  # to the last bit
    assert info("run.h5md")["parts"] == 2
    assert_equal(quartz(ranks, 3, "run", 5, "--resume"), whole, 1e-5)
    assert info("run.h5md")["parts"] == 5


SPHERE = """
[units]
system = "nbody"
[particles]
file = "{file}"
[gravity]
softening = 0.05
star_star = "softened"
[integrator]
kind = "leapfrog"
step = 0.01
[run]
t_end = 0.04
[output]
every = 0.01
"""


def sphere(n=400):
    rng = np.random.default_rng(5)
    identity = rng.permutation(2 * n)[:n]
    return Particles(np.full(n, 1 / n), rng.normal(size=(n, 3)), 0.1 * rng.normal(size=(n, 3)), identity=identity)


@pytest.fixture
def stars(tmp_path, monkeypatch):
    """Return the function that runs a job of stars from a file, and gives the frames and what was said."""
    monkeypatch.chdir(tmp_path)
    for name in ("stars.h5md", "stars.csv"):
        write(name, sphere())

    def run(ranks, count, name, *more, file="stars.h5md", files="per-rank"):
        Path("stars.toml").write_text(SPHERE.format(file=file))
        words = ("-s", f"output.file={name}.h5md", "-s", f"output.files={files}", "--quiet")
        done = ranks.askel(count, "run", "stars.toml", *words, *more)
        assert done.returncode == 0, done.stderr
        with Trajectory(f"{name}.h5md") as trajectory:
            return list(trajectory), done.stderr

    return run


def test_a_state_read_by_stretches_and_checkpoints_in_shares(ranks, stars):
    whole, _ = stars(ranks, 3, "whole", file="stars.csv", files="one")
    run, _ = stars(ranks, 3, "run", "-s", "run.t_end=0.02")
    assert np.array_equal(run[0].identity, np.sort(sphere().identity))
    assert_equal(run, whole[:3], 1e-12)
    shares = read_checkpoint("run.checkpoint")["shares"]
    assert [Path(share["file"]).is_file() for share in shares] == [True] * 3
    assert sum(share["n"] for share in shares) == 400 and max(share["n"] for share in shares) < 150
    Path(shares[1]["file"]).write_bytes(b"damaged")
    assert read_checkpoint("run.checkpoint.previous")["simulation"]["step"] == 0
    run, said = stars(ranks, 2, "run", "--resume")
    assert said.count("\n") == 1 and "going on from the checkpoint before it" in said and shares[1]["file"] in said
    assert_equal(run, whole, 1e-12)
    assert sorted(p.name for p in Path().glob("run.part-*")) == ["run.part-0.h5md", "run.part-1.h5md"]
    for share in read_checkpoint("run.checkpoint")["shares"]:
        Path(share["file"]).unlink()
    for share in read_checkpoint("run.checkpoint.previous")["shares"]:
        Path(share["file"]).unlink()
    done = ranks.askel(2, "run", "stars.toml", "-s", "output.file=run.h5md", "-s", "output.files=per-rank", "--resume")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "start anew" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.identity.__setitem__(7, s.identity[300]), "is used twice"),
        (lambda s: s.position.__setitem__(7, s.position[300]), "are at the same position"),
        (lambda s: s.mass.__setitem__(7, -1.0), "masses must be"),
        (lambda s: s.velocity.__setitem__((7, 0), np.nan), "is not finite"),
    ],
)
def test_mistakes_in_a_state_read_by_stretches_are_told_once(ranks, stars, change, message):
    state = sphere()
    change(state)
    write("stars.h5md", state, overwrite=True)
    Path("stars.toml").write_text(SPHERE.format(file="stars.h5md"))
    done = ranks.askel(3, "run", "stars.toml")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
    assert not Path("run.h5md").exists()


@pytest.mark.slow
def test_rank_0_needs_memory_for_its_share_alone(ranks, stars):
    """A million particles are read, written as a frame and as a checkpoint; what small states need is taken off."""

    def peak(count, n):
        write("stars.h5md", sphere(n), overwrite=True)
        Path("stars.toml").write_text(SPHERE.format(file="stars.h5md") + 'files = "per-rank"\n')
        done = ranks.run(count, PROGRAM.with_name("shares.py"), "stars.toml")
        assert done.returncode == 0, done.stderr
        return float(done.stdout.split()[5])

    one, four = (peak(count, 10**6) - peak(count, 1000) for count in (1, 4))
    assert 0.15 * one < four < 0.35 * one
