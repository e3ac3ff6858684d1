"""Molecular dynamics with a network's energy in ``askel run`` on several ranks: as on one, and what needs one says so."""

import pytest

pytest.importorskip("torch")
JOB = """
[particles]
file = "copper.xyz"
temperature = 300.0
[forces]
model = "copper-energy"
[integrator]
kind = "stride"
model = "copper-16-32fs"
[error_control]
fallback = "forces"
fallback_step = "4 fs"
[run]
t_end = "96 fs"
"""


def test_jobs_are_as_on_one_rank(ranks, tmp_path):
    done = ranks.program(3, "energy_job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 7 and all(line.startswith("ok ") for line in said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("forces.reference=copper-emt", "forces.reference = 'copper-emt': a calculator of ASE runs on one rank, and 2"),
        ("error_control.region='5 Angstrom'", "error_control.region: a region that is redone among the paths"),
        ("error_control.fallback=copper-emt", "error_control.fallback = 'copper-emt': a calculator of ASE runs on one"),
    ],
)
def test_what_needs_one_rank_says_so(ranks, tmp_path, change, message):
    (tmp_path / "job.toml").write_text(JOB)
    done = ranks.askel(2, "run", "job.toml", "-s", change, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
