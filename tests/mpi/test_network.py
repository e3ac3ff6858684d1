"""The network on several ranks gives the displacements and velocities of one: to rounding, in both precisions."""

import pytest


@pytest.mark.parametrize(
    "count", [2, 3, pytest.param(1, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)]
)
def test_equals_one_rank(ranks, count):
    done = ranks.program(count, "network")
    assert done.returncode == 0, done.stderr
    said = [line.split()[1] for line in done.stdout.splitlines()]
    assert said == ["quartz-30fs"] * 2 + ["paracetamol-7fs"] * 2 + ["refusal"]
