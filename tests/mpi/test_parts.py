"""A trajectory in parts: ranks killed in the middle of a frame, whole jobs, and going on with more and fewer ranks."""

import os
import random
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from askel.particles.files import info
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
        for field in ("position", "velocity", "mass", "species"):
            x, y = getattr(a, field)[i], getattr(b, field)[j]
            assert np.abs(x - y).max() <= bound * np.abs(y).max(), field


def test_a_job_in_parts_is_the_job_in_one_file_and_goes_on_with_any_number_of_ranks(ranks, quartz):
    whole = quartz(ranks, 2, "whole", 5, files="one")
    assert_equal(quartz(ranks, 2, "run", 2), whole[:3])
    assert_equal(quartz(ranks, 2, "run", 4, "--resume"), whole[:5])  # to the last bit
    assert info("run.h5md")["parts"] == 2
    assert_equal(quartz(ranks, 3, "run", 5, "--resume"), whole, 1e-5)
    assert info("run.h5md")["parts"] == 5
