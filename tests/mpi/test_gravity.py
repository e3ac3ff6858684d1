"""Fast multipoles over several ranks: the error asked for, whoever owns what; momentum to rounding; failures told by all."""

import json

import pytest


@pytest.fixture(scope="module")
def found(ranks, tmp_path_factory):
    """Return what the program found on some number of ranks; each number is run once."""
    known = {}

    def run(count):
        if count not in known:
            file = tmp_path_factory.mktemp("gravity") / "facts.json"
            done = ranks.program(count, "gravity", file, timeout=300.0)
            assert done.returncode == 0, done.stderr
            known[count] = json.loads(file.read_text())
        return known[count]

    return run


COUNTS = [1, 2, 3, 4, pytest.param(8, marks=pytest.mark.slow)]
ASKED = {"slabs": 1e-3, "fine": 1e-5, "one empty": 1e-2, "mixed": 1e-3, "one few": 1e-3, "spline": 1e-3}


@pytest.mark.parametrize("count", COUNTS)
def test_few_particles_are_summed_exactly(found, count):
    for name in ("few", "few, spline", "direct"):
        facts = found(count)[name]
        assert facts["worst"] < 1e-12 and (facts["worst"] > 0.0) == (name != "direct" or count > 1)
        assert abs(facts["energy"]) < 1e-13 and facts["virial"] < 1e-13


@pytest.mark.parametrize("count", COUNTS)
def test_error_is_what_was_asked(found, count):
    for name, asked in ASKED.items():
        facts = found(count)[name]
        assert 0.05 * asked < facts["rms"] < 1.2 * asked, name
        assert 0.0 < abs(facts["energy"]) < 0.1 * asked and 0.0 < facts["virial"] < asked, name


@pytest.mark.parametrize("count", COUNTS)
def test_tides_come_to_all_ranks(found, count):
    facts = found(count)
    assert 0.0 < facts["few"]["tide"] < 1e-12 and facts["direct"]["tide"] < 1e-12
    for name in ("mixed", "one few", "spline"):
        assert 2.0 * ASKED[name] < facts[name]["tide"] < 12.0 * ASKED[name], name


@pytest.mark.parametrize("count", COUNTS)
def test_momentum_is_conserved_to_rounding(found, count):
    assert all(found(count)[name]["momentum"] < 1e-15 for name in ASKED)


@pytest.mark.parametrize("count", COUNTS)
def test_all_ranks_name_particles_in_one_place(found, count):
    assert found(count)["failing"] == [[11, 23], [11, 23]]


@pytest.mark.parametrize("count", [3, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_ranks_share_the_work_and_not_the_number(found, count):
    by_number, _, by_work = found(count)["balance"]
    assert 1.2 < by_number < 2.0 and 1.0 <= by_work < 1.1


def test_the_reference_is_for_one_rank(found):
    assert found(1)["reference"] == ""
    assert found(2)["reference"] == "no 'reference' kernel for 'fmm_part'; backends that have it: cpu"


def test_what_is_sent_is_counted(found):
    assert found(1)["bytes"].keys() == {"reduce"}
    assert 1e5 < found(2)["bytes"]["alltoall"] < 1e8
