"""Stopping and going on: signals, limits, kill -9 at any moment; the resumed run equals the unbroken one bit for bit."""

from __future__ import annotations

import random
import shutil
import signal
import time
import tomllib
from pathlib import Path

import pytest
from askel.particles.io_checkpoint import read_checkpoint
from askel.particles.io_h5md import Trajectory
from trajectories import frames, same_content

import askel

JOB = Path(__file__).with_name("job.toml").read_text()
#: a run of some seconds that writes all the time
LONG = JOB.replace("t_end = 1.0", "t_end = 40.0").replace("every = 0.1", 'every = 0.1\ncheckpoint_every = "0.05 s"')
CHAIN = LONG.replace('"leapfrog"', '"chain"').replace("step = 0.01", "")
JOBS = {"leapfrog": LONG, "chain": CHAIN}


def unbroken(folder, job: str) -> Path:
    folder.write(job.replace("run.h5md", "whole.h5md"), "whole.toml")
    answer = folder.askel("run", "whole.toml", "--quiet")
    assert answer.code == 0, answer.err
    return folder.path / "whole.h5md"


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the trajectories of the long jobs, run without a break."""
    paths = {}
    for kind, job in JOBS.items():
        tables = tomllib.loads(job)
        tables["output"]["file"] = str(tmp_path_factory.mktemp(kind) / "whole.h5md")
        paths[kind] = askel.run(tables).trajectory
    return paths


def wait_for(condition, process, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the run did not get going"
        time.sleep(0.01)


def grown(path: Path, size: int = 30_000) -> bool:
    return path.exists() and path.stat().st_size > size


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("chain", signal.SIGINT),
        ("leapfrog", signal.SIGTERM),
        pytest.param("leapfrog", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("chain", signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_a_signal_writes_a_checkpoint_and_the_resumed_run_is_bit_equal(folder, wholes, kind: str, number) -> None:
    whole = wholes[kind]
    folder.write(JOBS[kind])
    process = folder.start("run", "job.toml")
    wait_for(lambda: grown(folder.path / "run.h5md"), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert signal.Signals(number).name in err and "--resume" in err
    assert not same_content(whole, folder.path / "run.h5md")
    answer = folder.askel("run", "job.toml", "--resume", "--quiet")
    assert answer.code == 0, answer.err
    assert same_content(whole, folder.path / "run.h5md")


def test_the_time_limit_stops_and_the_run_goes_on_in_pieces(folder, wholes) -> None:
    whole = wholes["leapfrog"]
    folder.write(LONG)
    codes = []
    for _ in range(200):
        codes.append(folder.askel("run", "job.toml", "--quiet", "--resume", "--max-hours", str(0.3 / 3600)).code)
        if codes[-1] == 0:
            break
    assert set(codes) == {0, 75}
    assert same_content(whole, folder.path / "run.h5md")


SPINNING = """
[units]
system = "nbody"
speed_of_light = 6.0
[[particles.body]]
mass = 0.5
position = [0.5, 0.0, 0.0]
velocity = [0.0, 0.35, 0.0]
dimensionless_spin = [0.1, 0.2, 0.5]
[[particles.body]]
mass = 0.5
position = [-0.5, 0.0, 0.0]
velocity = [0.0, -0.35, 0.0]
[[particles.body]]
mass = 0.2
position = [5.0, 1.0, 2.0]
velocity = [0.0, 0.3, 0.2]
[post_newtonian]
terms = ["1", "1cross", "2", "2.5", "SO", "SS"]
[mergers]
distance = 5.0
[integrator]
kind = "chain"
[run]
t_end = 10.0
[output]
file = "run.h5md"
every = 0.05
"""


@pytest.mark.slow
def test_pieces_of_a_relativistic_run_with_a_merger_are_bit_equal(folder) -> None:
    whole = unbroken(folder, SPINNING)
    with Trajectory(whole) as file:
        assert len(file.table("events/merger")["time"]) == 1
        assert (file[0].n, file[-1].n) == (3, 2)
    folder.write(SPINNING)
    codes = []
    for _ in range(300):
        codes.append(folder.askel("run", "job.toml", "--quiet", "--resume", "--max-hours", str(0.1 / 3600)).code)
        if codes[-1] == 0:
            break
    assert codes[-1] == 0
    assert codes.count(75) >= 2
    assert same_content(whole, folder.path / "run.h5md")


def killed_and_resumed(folder, whole: Path, job: str, delay: float) -> bool:
    """Kill a run after a delay from its first file on, resume it, and return whether it was killed in time."""
    for path in folder.path.glob("run.*"):
        path.unlink()
    for path in folder.path.glob(".run.*"):
        path.unlink()
    folder.write(job)
    process = folder.start("run", "job.toml", "--quiet")
    wait_for(lambda: (folder.path / "run.used.toml").exists(), process)
    time.sleep(delay)
    process.kill()
    process.communicate()
    killed = process.returncode == -signal.SIGKILL
    if (folder.path / "run.h5md").exists():
        assert folder.askel("info", "run.h5md").code == 0
    answer = folder.askel("run", "job.toml", "--resume", "--quiet")
    assert answer.code == 0, (delay, answer.err)
    assert same_content(whole, folder.path / "run.h5md"), delay
    return killed


def test_kill_9_during_output(folder, wholes) -> None:
    whole = wholes["leapfrog"]
    rng = random.Random(1)
    assert sum(killed_and_resumed(folder, whole, LONG, delay) for delay in (0.0, rng.uniform(0.1, 0.6))) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", JOBS)
def test_kill_9_at_random_moments(folder, wholes, kind: str) -> None:
    whole = wholes[kind]
    rng = random.Random(20261124)
    killed = [killed_and_resumed(folder, whole, JOBS[kind], rng.uniform(0.0, 1.0)) for _ in range(15)]
    assert sum(killed) >= 4  # the others had finished before


def test_the_second_interrupt_ends_at_once(folder) -> None:
    folder.write(LONG.replace("t_end = 40.0", "t_end = 100000.0").replace("every = 0.1", "every = 10.0"))
    process = folder.start("run", "job.toml", "-s", "integrator.step=1e-3")
    wait_for(lambda: (folder.path / "run.h5md").exists(), process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (75, -signal.SIGINT)  # the first may have been enough
    assert folder.askel("info", "run.h5md").code == 0


def test_a_finished_run_is_not_touched(folder) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    before = folder.files()
    answer = folder.askel("run", "job.toml", "--resume")
    assert answer.code == 0
    assert "finished already" in answer.err
    assert "run.checkpoint, at t = 1" in folder.askel("run", "job.toml", "--resume", "--dry-run").out
    assert folder.files() == before


def test_a_later_end_goes_on(folder) -> None:
    whole = unbroken(folder, JOB.replace("t_end = 1.0", "t_end = 2.0"))
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    answer = folder.askel("run", "job.toml", "--resume", "--quiet", "-s", "run.t_end=2.0")
    assert answer.code == 0, answer.err
    pairs = list(zip(frames(whole), frames(folder.path / "run.h5md"), strict=True))
    assert len(pairs) == 21
    for one, other in pairs:  # the first run landed on its end, which may move the time, not the bodies, by a last bit
        assert abs(one.time - other.time) <= 2.3e-16
        assert (one.position == other.position).all()


@pytest.mark.parametrize(
    "change",
    ["integrator.step=0.02", "integrator.kind=yoshida4", "run.seed=7", "output.every=0.2", "gravity.softening=0.1"],
)
def test_a_resumed_run_cannot_change_what_was_computed(folder, change: str) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    before = folder.files()
    answer = folder.askel("run", "job.toml", "--resume", "-s", change, "-s", "run.t_end=2.0")
    assert answer.code == 2
    assert change.split("=")[0] in answer.line()
    assert folder.files() == before


@pytest.mark.parametrize("left_over", ["nothing.txt", "run.used.toml", ".run.h5md.new", ".run.checkpoint.new"])
def test_resume_without_a_checkpoint_starts(folder, left_over: str) -> None:
    folder.write()
    folder.write("# a run that was killed before its first checkpoint", left_over)
    assert folder.askel("run", "job.toml", "--resume", "--quiet").code == 0
    assert folder.askel("info", "run.h5md").code == 0


def test_a_damaged_checkpoint_falls_back_and_says_so(folder, wholes) -> None:
    whole = wholes["leapfrog"]
    folder.write(LONG)
    assert folder.askel("run", "job.toml", "--quiet").code == 0
    path = folder.path / "run.checkpoint"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    answer = folder.askel("run", "job.toml", "--resume", "--quiet")
    assert answer.code == 0
    assert "going on from the checkpoint before it" in answer.err
    assert same_content(whole, folder.path / "run.h5md")
    shutil.copy(path, folder.path / "run.checkpoint.previous")
    for name in ("run.checkpoint", "run.checkpoint.previous"):
        (folder.path / name).write_bytes(b"ASKELCHK" + bytes(100))
    assert folder.askel("run", "job.toml", "--resume").code == 2


def test_the_trajectory_of_another_run_is_refused(folder) -> None:
    folder.write(LONG)
    folder.askel("run", "job.toml", "--quiet")
    folder.write()
    folder.askel("run", "job.toml", "--quiet", "-s", "output.file=short.h5md")
    shutil.copy(folder.path / "short.h5md", folder.path / "run.h5md")
    folder.write(LONG)
    before = (folder.path / "run.h5md").read_bytes()
    answer = folder.askel("run", "job.toml", "--resume", "-s", "run.t_end=50.0")
    assert answer.code == 2
    assert (folder.path / "run.h5md").read_bytes() == before


def test_two_runs_do_not_write_the_same_files(folder) -> None:
    folder.write(LONG.replace("t_end = 40.0", "t_end = 100000.0").replace("every = 0.1", "every = 10.0"))
    process = folder.start("run", "job.toml", "--quiet")
    wait_for(lambda: (folder.path / "run.h5md").exists(), process)
    try:
        answer = folder.askel("run", "job.toml", "--resume")
        assert answer.code == 2
        assert "another run" in answer.line()
    finally:
        process.kill()
        process.communicate()


def test_the_checkpoint_holds_the_job(folder) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    saved = read_checkpoint(folder.path / "run.checkpoint")
    assert saved["used"] == (folder.path / "run.used.toml").read_text()
    assert saved["simulation"]["step"] == 100
