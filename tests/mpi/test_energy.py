"""Energy, forces and virial of a network on several ranks are those of one, and its dynamics conserves the same energy."""

import pytest


@pytest.mark.parametrize("count", [2, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
def test_equals_one_rank(ranks, count):
    done = ranks.program(count, "energy", timeout=300.0)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 10 and all(line.startswith("ok ") for line in said)
