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
