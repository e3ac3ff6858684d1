"""``askel run`` of several ranks: the same numbers, one message, one end, and restart on any number of ranks."""

import os
import signal
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from askel.particles.io_checkpoint import read_checkpoint
from askel.particles.io_h5md import Trajectory

from askel.commands import example

PROGRAM = Path(__file__).resolve().parent / "programs" / "one_fails.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the job of quartz."""

    class Options:
        name = "quartz"

    monkeypatch.chdir(tmp_path)
    assert example(Options()) == 0
    return tmp_path


def arguments(name, strides, *more):
    end = f"run.t_end='{30 * strides} fs'"
    return ("run", "quartz.toml", "-s", end, "-s", f"output.file={name}.h5md", "--quiet", *more)


def states(path):
    with Trajectory(path) as trajectory:
        return [trajectory[k] for k in range(len(trajectory))]


def assert_same(name, other, bound):
    for one, two in zip(states(f"{name}.h5md"), states(f"{other}.h5md"), strict=True):
        i, j = np.argsort(one.identity), np.argsort(two.identity)
        assert np.array_equal(one.identity[i], two.identity[j])
        assert abs(one.time - two.time) <= 1e-14 * max(two.time, 1.0)  # the end of the first part is a sum of its own
        for field in ("position", "velocity"):
            a, b = getattr(one, field)[i], getattr(two, field)[j]
            assert np.abs(a - b).max() <= bound * np.abs(b).max(), field


def ranks_of(token):
    """Return rank -> process id of the processes started with a token in their environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = dict(w.split("=", 1) for w in (entry / "environ").read_text().split("\0") if "=" in w)
            command = (entry / "cmdline").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if words.get("ASKEL_TEST_TOKEN") == token and "PMI_RANK" in words and "askel" in command:
            found[int(words["PMI_RANK"])] = int(entry.name)
    return found


def wait_for(condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.1)


def frames(name):
    try:
        with Trajectory(f"{name}.h5md") as trajectory:
            return len(trajectory)
    except ValueError:
        return 0


@pytest.mark.parametrize("kind", ["langevin", pytest.param("bussi", marks=pytest.mark.slow)])
def test_any_number_of_ranks_gives_the_same_run(ranks, folder, kind):
    more = ("-s", f"thermostat.kind={kind}", "-s", "thermostat.groups=species") if kind == "bussi" else ()
    for count in (1, 2, 3):
        done = ranks.askel(count, *arguments(f"on{count}", 4, *more))
        assert (done.returncode, done.stderr) == (0, "")
    for count in (2, 3):
        assert_same(f"on{count}", "on1", 1e-5)
    one, two = (Trajectory(f"on{n}.h5md").table("series/temperature") for n in (1, 3))
    assert len(one["temperature_O"]) == 5 and np.allclose(one["temperature_O"], two["temperature_O"], rtol=1e-5)


def test_restart_is_bit_equal_on_as_many_ranks_and_possible_on_others(ranks, folder):
    for count, name in ((2, "whole"), (2, "same"), (2, "other")):
        strides = 8 if name == "whole" else 4
        assert ranks.askel(count, *arguments(name, strides)).returncode == 0
    saved = read_checkpoint("other.checkpoint")["simulation"]["particles"]["fields"]["identity"]
    assert np.array_equal(saved, np.arange(162))  # all of them, in order
    assert ranks.askel(2, *arguments("same", 8, "--resume")).returncode == 0
    assert_same("same", "whole", 0.0)
    assert ranks.askel(3, *arguments("other", 6, "--resume")).returncode == 0
    assert ranks.askel(1, *arguments("other", 8, "--resume")).returncode == 0
    assert_same("other", "whole", 1e-5)
    again = ranks.askel(2, *arguments("other", 8, "--resume"))
    assert again.returncode == 0 and frames("other") == 9


def test_more_ranks_than_atoms(ranks, folder):
    Path("pair.xyz").write_text('2\npbc="F F F"\nSi 0.0 0.0 0.0\nO 2.5 0.5 0.0\n')
    job = Path("quartz.toml").read_text().replace("quartz.xyz", "pair.xyz")
    Path("quartz.toml").write_text(job)
    assert ranks.askel(4, *arguments("on4", 3)).returncode == 0
    assert ranks.askel(1, *arguments("on1", 3)).returncode == 0
    assert_same("on4", "on1", 1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("nosuch.toml",), "cannot read the job file nosuch.toml"),
        (("quartz.toml", "-s", "integrator.model=quartz-3fs"), "did you mean 'quartz-30fs'?"),
        (("quartz.toml", "-s", "integrator.stepp=1"), "integrator.stepp"),
        (("quartz.toml", "-s", "forces.reference=quartz-bks"), "runs on one rank, and 3 were started"),
    ],
)
def test_a_bad_job_is_told_once(ranks, folder, change, message):
    done = ranks.askel(3, "run", *change)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""
    assert not list(folder.glob("*.h5md"))


def test_a_dry_run_is_told_once(ranks, folder):
    done = ranks.askel(2, "run", "quartz.toml", "--dry-run")
    assert done.returncode == 0 and done.stdout.count("nothing was written") == 1


@pytest.mark.parametrize(
    ("who", "way", "code", "message"),
    [
        ("1", "bug", 1, "ZeroDivisionError"),
        pytest.param("1", "exit", 3, "asked to exit (3)", marks=pytest.mark.slow),
        pytest.param("2", "input", 2, "does not like its input", marks=pytest.mark.slow),
        pytest.param("0,1,2", "system", 2, "some.file: Permission denied", marks=pytest.mark.slow),
        pytest.param("0,2", "bug", 1, "ZeroDivisionError", marks=pytest.mark.slow),
    ],
)
def test_one_rank_that_fails_ends_all(ranks, folder, who, way, code, message):
    done = ranks.run(3, PROGRAM, who, way, *arguments("run", 1000))
    assert time.time() - Path("failed").stat().st_mtime < 10.0
    assert done.returncode == code or (code == 1 and done.returncode != 0), done.stderr  # the launcher may give its own
    assert done.stderr.count(message) == 1 and done.stderr.count("Traceback") == (way == "bug")
    assert frames("run") >= 3
    assert ranks.askel(2, *arguments("run", 5, "--resume")).returncode == 0
    assert frames("run") == 6


def test_a_killed_rank_ends_all_and_the_run_goes_on_with_another_number(ranks, folder):
    token = uuid.uuid4().hex
    process = ranks.start(3, "-m", "askel", *arguments("run", 100000), variables={"ASKEL_TEST_TOKEN": token})
    wait_for(lambda: frames("run") >= 3)
    before = ranks_of(token)
    assert sorted(before) == [0, 1, 2]
    os.kill(before[1], signal.SIGKILL)
    killed = time.monotonic()
    assert ranks.finish(process).returncode != 0
    assert time.monotonic() - killed < 10.0
    wait_for(lambda: not ranks_of(token), 10.0)
    count = frames("run")
    assert count >= 3
    done = ranks.askel(2, *arguments("run", 6, "--resume"))
    assert done.returncode == 0, done.stderr
    assert frames("run") == 7
    assert ranks.askel(1, *arguments("whole", 6)).returncode == 0
    assert_same("run", "whole", 1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)])
def test_signals_write_a_checkpoint_and_return_75(ranks, folder, number):
    process = ranks.start(2, "-m", "askel", *arguments("run", 100000))
    wait_for(lambda: frames("run") >= 3)
    process.send_signal(number)
    done = ranks.finish(process)
    assert done.returncode == 75 and done.stderr.count("stopped by") == 1, done.stderr
    strides = read_checkpoint("run.checkpoint")["simulation"]["step"]
    assert strides >= 2
    assert ranks.askel(3, *arguments("run", strides + 2, "--resume")).returncode == 0
    assert frames("run") == strides + 3


def test_a_limit_of_time_is_everybodys(ranks, folder):
    done = ranks.askel(2, *arguments("run", 100000, "--max-hours", "0.0003"))
    assert done.returncode == 75 and "stopped by the limit of 0.0003 h" in done.stderr
