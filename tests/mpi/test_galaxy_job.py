"""Galaxies in ``askel run`` on several ranks: as on one rank, one file, and restart on another number of ranks."""

from pathlib import Path

import numpy as np
import pytest
from askel.particles.io_h5md import Trajectory

JOB = """
[units]
system = "nbody"
speed_of_light = 15.0
[[particles.galaxy]]
black_hole = {{ mass = 0.1, mass_ratio = 0.6, semi_major_axis = 0.02, eccentricity = 0.3 }}
component = [{{ model = "hernquist", n = {n}, mass = 1.0, scale_radius = 0.5, cut_radius = 5.0 }}]
[gravity]
kind = "fmm"
kernel = "spline"
softening = 0.02
[integrator]
kind = "{kind}"
step = 0.02
{options}
[run]
t_end = {t_end}
[output]
file = "galaxy.h5md"
every = 0.02
series_every = 0.02
"""


MERGER = """
[units]
system = "nbody"
speed_of_light = 30.0
[[particles.galaxy]]
black_hole = { mass = 0.04, mass_ratio = 0.5, semi_major_axis = 0.0013, eccentricity = 0.1 }
component = [{ model = "hernquist", n = 150, mass = 1.0, scale_radius = 1.0, cut_radius = 10.0 }]
[gravity]
kind = "direct"
kernel = "spline"
softening = 0.001
[post_newtonian]
terms = ["1", "2", "2.5"]
[mergers]
distance = 12.0
[integrator]
kind = "regions"
step = 0.02
radius = 0.1
tolerance = 1e-12
[run]
t_end = 0.12
[output]
file = "galaxy.h5md"
every = 0.02
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Write a job file in a folder of its own and return the function that runs it."""
    monkeypatch.chdir(tmp_path)

    def write(n=300, t_end=0.08, kind="regions", options="radius = 0.06\ntolerance = 1e-9"):
        Path("galaxy.toml").write_text(JOB.format(n=n, t_end=t_end, kind=kind, options=options))

    return write


def run(ranks, count, name, *more):
    done = ranks.askel(count, "run", "galaxy.toml", "-s", f"output.file={name}.h5md", *more, timeout=600.0)
    assert done.returncode == 0, done.stderr
    with Trajectory(f"{name}.h5md") as trajectory:
        frames = [trajectory[k] for k in range(len(trajectory))]
        return frames, trajectory.table("series/black_holes"), trajectory.table("series/energy")


def assert_same(one, other, bound):
    (frames, holes, energy), (frames2, holes2, energy2) = one, other
    assert len(frames) == len(frames2) and len(holes["time"]) == len(holes2["time"]) > 1
    assert len(energy["time"]) == len(energy2["time"]) == len(frames)
    for a, b in zip(frames, frames2, strict=True):
        i, j = np.argsort(a.identity), np.argsort(b.identity)
        assert np.array_equal(a.identity[i], b.identity[j]) and a.time == pytest.approx(b.time, rel=1e-12)
        assert np.abs(a.position[i] - b.position[j]).max() < bound
    assert np.abs(frames[-1].position - frames2[-1].position).max() > 0.0  # another order of sums


def test_a_nucleus_is_the_same_on_three_ranks_and_resumes_on_two(ranks, job):
    job()
    one = run(ranks, 1, "one")
    assert_same(one, run(ranks, 3, "three"), 1e-6)
    run(ranks, 3, "parts", "-s", "run.t_end=0.04")
    assert_same(one, run(ranks, 2, "parts", "--resume"), 1e-6)


@pytest.mark.slow
def test_a_nucleus_of_many_stars(ranks, job):
    job(n=5000, t_end=0.04)
    one, three = run(ranks, 1, "one"), run(ranks, 3, "three")
    assert_same(one, three, 1e-4)  # forces agree within their tolerance


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_merger_is_the_same(ranks, job, count):
    """Two black holes become one in a region: time, masses, spin and kick of the event, and every frame."""
    Path("galaxy.toml").write_text(MERGER)
    one, many = run(ranks, 1, "one"), run(ranks, count, "many")
    assert_same(one, many, 1e-10)
    assert [frame.n for frame in many[0]] == [152, 152, 152, 151, 151, 151, 151]
    merger, same = (Trajectory(f"{name}.h5md").table("events/merger") for name in ("one", "many"))
    assert merger.keys() == same.keys() and len(merger["time"]) == len(same["time"]) == 1
    assert 0.04 < same["time"][0] < 0.06 and 0.95 * 0.04 < same["mass"][0] < 0.97 * 0.04 and same["kick"][0] > 0.01
    for name, value in merger.items():
        if value.dtype.kind in "iuSOU":
            assert value.tolist() == same[name].tolist(), name
        else:
            assert same[name] == pytest.approx(value, rel=1e-7), name
    for a, b in zip(one[0], many[0], strict=True):
        assert np.array_equal(a.mass[np.argsort(a.identity)], b.mass[np.argsort(b.identity)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("integrator.kind=hermite4", "integrator.kind = 'hermite4': runs on one rank, and 2 were started"),
        ("integrator.tolerance=1e-6", "integrator.tolerance: doubling of steps runs on one rank"),
    ],
)
def test_what_needs_one_rank_says_so(ranks, job, change, message):
    job(n=20, kind="block-leapfrog", options="")
    more = ("-s", change) + (("-s", "integrator.step=0.02") if "kind" in change else ())
    done = ranks.askel(2, "run", "galaxy.toml", *more)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
