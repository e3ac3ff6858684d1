"""A writer is killed at random moments: the file opens, holds every frame that was announced, and is continued."""

import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from askel.particles.io_h5md import Trajectory, TrajectoryWriter

WRITER = textwrap.dedent("""
    import os, signal, sys, time
    import numpy as np
    from askel.particles import Particles
    from askel.particles.io_h5md import TrajectoryWriter
    def write(seed, path):
        state = Particles(np.ones(5), np.zeros((5, 3)), np.zeros((5, 3)))
        writer = TrajectoryWriter.create(path, state, overwrite=True)
        for k in range(10**6):
            state.time, state.position[:] = float(k), k
            writer.append(state, k)
            writer.append_row("series/energy", {"step": k, "energy": 0.5 * k})
            os.write(1, b"%d\\n" % k)
    for line in sys.stdin:  # one fork a line: importing takes longer than writing
        seed, path = line.split()
        child = os.fork()
        if child == 0:
            write(int(seed), path)
        os.write(1, b"pid %d\\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"dead\\n")
""")


def test_thirty_kills(tmp_path):
    rng, replayed, lengths = random.Random(5), 0, []
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as mother:
        for k in range(30):
            path = tmp_path / f"{k}.h5md"
            print(k, path, file=mother.stdin, flush=True)
            announced = kill_after(mother, rng.randrange(1, 60), rng.random() * 0.004)
            replayed += path.with_name(path.name + ".journal").exists()
            lengths.append(check(path, announced))
        mother.stdin.close()
    assert len(set(lengths)) > 5  # the kills came at different moments


def kill_after(mother, frames, delay):
    """Let the child announce some frames, kill it a random moment later; return the last frame it announced."""
    import os
    import time

    child, last, pending = None, -1, []
    while child is None or last < frames:
        word, *rest = mother.stdout.readline().split()
        if word == "pid":
            child = int(rest[0])
        else:
            last = int(word)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    for line in mother.stdout:
        if line.strip() == "dead":
            break
        pending.append(line)
    return max([last, *(int(line) for line in pending if line.strip().isdigit())])


def check(path, announced):
    with Trajectory(path) as t:
        assert announced + 1 <= len(t) <= announced + 2
        for k, state in enumerate(t):
            assert state.time == k and (state.position == k).all() and state.identity.tolist() == [0, 1, 2, 3, 4]
        rows = t.lengths()["series/energy"]
        assert rows >= announced and t.table("series/energy")["energy"].tolist() == [0.5 * k for k in range(rows)]
        state, frames = t[-1], len(t)
    with TrajectoryWriter.resume(path, {"particles/trajectory": frames - 1, "series/energy": rows - 1}) as writer:
        state.time = -1.0
        writer.append(state, 7)
    with Trajectory(path) as t:
        assert len(t) == frames and t[-1].time == -1.0 and t.lengths()["series/energy"] == rows - 1
    return frames


@pytest.mark.parametrize("size", [64, 100])
def test_a_small_disk_fills_up(tmp_path, size):
    """On a real file system of a few hundred kilobytes, where one can be mounted."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size * 4}k", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here; test_io_h5md.test_a_full_disk simulates it")
    try:
        from askel.particles import AskelError, Particles

        state = Particles(np.ones(50), np.zeros((50, 3)), np.zeros((50, 3)))
        writer, frames = TrajectoryWriter.create(where / "t.h5md", state), 0
        with pytest.raises(AskelError, match="No space left"):
            for frames in range(10**4):
                state.time = float(frames)
                writer.append(state, frames)
        writer.close()
        assert frames > 2
        with Trajectory(where / "t.h5md") as t:
            assert [s.time for s in t] == list(range(frames))
    finally:
        subprocess.run(["umount", where], check=True)
