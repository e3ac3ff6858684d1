"""Molecular dynamics by a network's forces in ``askel run`` on several ranks: as on one, and it resumes."""

from pathlib import Path

import numpy as np
import pytest
from askel.particles.io_h5md import Trajectory

pytest.importorskip("torch")
JOB = """
[units]
system = "ase"
[particles]
file = "copper.xyz"
temperature = 300.0
[forces]
model = "copper-energy"
[integrator]
kind = "leapfrog"
step = "2 fs"
{more}
[run]
t_end = "{end} fs"
[output]
file = "copper.h5md"
every = "4 fs"
series_every = "4 fs"
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Write a crystal of copper and return the function that writes a job and runs it."""
    monkeypatch.chdir(tmp_path)
    corner = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    place = 3.6 * (corner + 0.5 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])).reshape(-1, 3)
    rows = "\n".join("Cu " + " ".join(map(repr, row)) for row in place.tolist())
    Path("copper.xyz").write_text(f'32\nLattice="7.2 0 0 0 7.2 0 0 0 7.2" pbc="T T T"\n{rows}\n')

    def run(ranks, count, name, end=16, more="", arguments=()):
        Path("job.toml").write_text(JOB.format(end=end, more=more))
        done = ranks.askel(count, "run", "job.toml", "-s", f"output.file={name}.h5md", "--quiet", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        with Trajectory(f"{name}.h5md") as trajectory:
            return [trajectory[k] for k in range(len(trajectory))], trajectory.table("series/energy")

    return run


def assert_same(one, other, bound):
    (frames, energy), (frames2, energy2) = one, other
    assert len(frames) == len(frames2) > 2
    for a, b in zip(frames, frames2, strict=True):
        i, j = np.argsort(a.identity), np.argsort(b.identity)
        for field in ("position", "velocity"):
            x, y = getattr(a, field)[i], getattr(b, field)[j]
            assert np.abs(x - y).max() <= bound * np.abs(x).max(), field
        assert np.abs(a.cell - b.cell).max() <= bound * np.abs(a.cell).max()
    for name in ("energy", "work"):
        assert np.abs(energy[name] - energy2[name]).max() <= bound * np.abs(energy["energy"]).max()


def test_forces_move_atoms_alike(ranks, job):
    one = job(ranks, 1, "one")
    assert np.abs(one[1]["energy_error"]).max() < 1e-3 and np.abs(one[1]["energy_error"]).max() > 1e-8
    assert_same(one, job(ranks, 2, "two"), 1e-10)
    job(ranks, 2, "parts", end=8)
    assert_same(one, job(ranks, 2, "parts", arguments=("--resume",)), 1e-10)
    assert_same(job(ranks, 2, "two", arguments=("--overwrite",)), job(ranks, 2, "parts", arguments=("--resume",)), 0.0)
