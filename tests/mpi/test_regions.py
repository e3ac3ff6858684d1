"""Block steps and regions on several ranks: the run of one rank, merger included, to rounding that a few orbits let grow."""

import json

import numpy as np
import pytest


def facts(ranks, count, folder, t_end):
    done = ranks.program(count, "regions", folder / f"{count}.json", t_end, timeout=300.0)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / f"{count}.json").read_text())


def test_a_run_does_not_depend_on_the_number_of_ranks(ranks, tmp_path):
    one = facts(ranks, 1, tmp_path, 0.5)
    (merger,) = one["events"]
    assert merger["kind"] == "merger" and len(one["identity"]) == 151
    assert 0.0 < one["energy_error"] < 1e-2  # few stars, not softened
    for count in (2, 3):
        several = facts(ranks, count, tmp_path, 0.5)
        assert several["identity"] == one["identity"]
        (same,) = several["events"]
        assert same["time"] == pytest.approx(merger["time"], rel=1e-7)
        assert same["identity_1"] == merger["identity_1"]
        assert several["members"] == one["members"] or several["members"] >= 2
        np.testing.assert_allclose(several["mass"], one["mass"], rtol=1e-10)
        error = np.abs(np.array(several["position"]) - np.array(one["position"])).max()
        assert 0.0 < error < 1e-6
        assert several["energy_error"] == pytest.approx(one["energy_error"], rel=1e-2)
