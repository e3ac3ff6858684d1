"""The network on several ranks gives the displacements and velocities of one: to rounding, in both precisions."""

import pytest


@pytest.mark.parametrize(
    ("count", "cases"), [(2, 2), (3, 2), *(pytest.param(n, 4, marks=pytest.mark.slow) for n in (1, 4, 8))]
)
def test_equals_one_rank(ranks, count, cases):
    done = ranks.program(count, "network", *(["all"] if cases == 4 else []), timeout=300.0)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == cases + 1 and all(line.startswith("ok ") for line in said)
