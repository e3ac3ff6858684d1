"""``askel scatter``: blocks, resuming, ranks, replay, what it prints and draws, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from askel.particles import InputError, Interrupted
from askel.particles.files import read
from askel.particles.io_ensemble import read_columns, read_facts

from askel.scatter import read_plan, run

JOB = """
[units]
system = "nbody"

[[binary]]
bodies = [{ mass = 1.0 }, { mass = 1.0 }]
semi_major_axis = 1.0
eccentricity = { kind = "thermal", high = 0.99 }

[[single]]
mass = { kind = "uniform", low = 0.5, high = 2.0 }

[encounter]
velocity = 0.5
impact_parameter = { kind = "disk", high = 6.0 }
separation = 40.0

[stop]
t_end = 300.0
rules = ["escape"]

[integrator]
tolerance = 1e-10

[sampling]
encounters = 50
seed = 3
block = 20

[output]
file = "out.h5"
"""


def columns(path="out.h5"):
    return read_columns(Path(path))


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert np.array_equal(value, b[name], equal_nan=value.dtype.kind == "f"), name


def test_a_job_makes_a_table(folder):
    folder.write(JOB)
    answer = folder.askel("scatter", "job.toml")
    assert answer.code == 0 and "out.h5: 50 encounters (binary-single)" in answer.out
    assert re.search(r"flyby +\d+ +0\.\d+ \+- 0\.\d+", answer.out) and "cross section" in answer.out
    rows = columns()
    assert (rows["encounter"] == np.arange(50)).all() and rows["position"].shape == (50, 3, 3)
    assert np.abs(rows["energy_error"]).max() < 1e-6 and (rows["steps"] > 10).all()
    assert 0.5 <= rows["mass"][:, 2].min() < rows["mass"][:, 2].max() <= 2.0
    assert not Path("out.h5.parts").exists()
    assert "flyby" in str(read_facts(Path("out.h5"), "outcomes")["outcomes"])


def test_replay_is_bit_equal_and_has_the_whole_path(folder):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet")
    answer = folder.askel("scatter", "replay", "out.h5", "--encounter", "33")
    assert answer.code == 0 and "bit-equal to the table" in answer.out
    rows, end = columns(), read("out_33.h5md")
    assert np.abs(end.position - rows["position"][33]).max() < 1e-12 and end.time == rows["time"][33]
    assert folder.askel("info", "out_33.h5md").code == 0
    assert "exists" in folder.askel("scatter", "replay", "out.h5", "--encounter", "33").line()


def test_a_changed_table_is_not_bit_equal(folder):
    import h5py

    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet")
    with h5py.File("out.h5", "r+") as file:
        file["encounters/velocity"][7, 1, 2] += 1e-15
    answer = folder.askel("scatter", "replay", "out.h5", "--encounter", "7")
    assert answer.code == 1 and "not bit-equal to the table in velocity" in answer.out


def test_show_draws(folder):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet")
    answer = folder.askel("scatter", "show", "out.h5", "-o", "out.png")
    assert answer.code == 0 and Path("out.png").read_bytes().startswith(b"\x89PNG") and "50 encounters" in answer.out
    assert "is there already" in folder.askel("scatter", "show", "out.h5", "-o", "out.png").line()


def test_a_stopped_run_goes_on_at_the_first_missing_block(folder, monkeypatch):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet", "-s", "output.file=whole.h5")
    asked = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr("askel.signals.StopRequest.__call__", lambda self: next(asked, False))
        with pytest.raises(Interrupted, match="after 1 of 3 blocks"):
            run(read_plan("job.toml"), quiet=True)
    assert [p.name for p in sorted(Path("out.h5.parts").glob("*.h5"))] == ["0000000.h5"] and not Path("out.h5").exists()
    kept = Path("out.h5.parts/0000000.h5").stat().st_mtime_ns
    assert "go on with --resume" in folder.askel("scatter", "job.toml").line()
    with monkeypatch.context() as patch:
        patch.setattr("askel.scatter._finish", lambda plan: False)
        assert folder.askel("scatter", "job.toml", "--resume", "--quiet").code == 0
    assert Path("out.h5.parts/0000000.h5").stat().st_mtime_ns == kept
    assert folder.askel("scatter", "job.toml", "--resume", "--quiet").code == 0
    same(columns(), columns("whole.h5"))


def test_blocks_do_not_matter_and_more_can_be_asked_for(folder):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet", "-s", "output.file=whole.h5", "-s", "sampling.block=7")
    folder.askel("scatter", "job.toml", "--quiet", "-s", "sampling.encounters=30")
    assert len(columns()["encounter"]) == 30
    assert "use --resume" in folder.askel("scatter", "job.toml").line()
    assert folder.askel("scatter", "job.toml", "--quiet", "--resume").code == 0
    same(columns(), columns("whole.h5"))


def test_ranks_share_the_blocks_without_talking(folder):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet", "-s", "output.file=whole.h5")
    plan = read_plan("job.toml")
    assert run(plan, rank=1, size=2, quiet=True) is False
    assert [p.name for p in sorted(plan.folder.glob("*.h5"))] == ["0000001.h5"]
    assert run(plan, rank=0, size=2, quiet=True) is True
    same(columns(), columns("whole.h5"))


def test_a_run_killed_while_it_made_the_table_goes_on(folder):
    folder.write(JOB)
    plan = read_plan("job.toml")
    run(plan, rank=1, size=2, quiet=True)
    (plan.folder / "claim").touch()
    assert folder.askel("scatter", "job.toml", "--resume", "--quiet").code == 0
    made = Path("out.h5").stat().st_mtime_ns
    assert folder.askel("scatter", "job.toml", "--resume", "--quiet").code == 0
    assert run(plan, rank=1, size=2, quiet=True) and Path("out.h5").stat().st_mtime_ns == made
    with pytest.raises(InputError, match="ranks do not talk"):
        run(plan, rank=1, size=2, quiet=True, overwrite=True)


def test_another_job_does_not_go_on(folder):
    folder.write(JOB)
    folder.askel("scatter", "job.toml", "--quiet")
    line = folder.askel("scatter", "job.toml", "--resume", "-s", "sampling.seed=4").line()
    assert "belongs to another job" in line
    assert folder.askel("scatter", "job.toml", "--overwrite", "--quiet", "-s", "sampling.seed=4").code == 0


def test_parquet_holds_the_same(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder.write(JOB)
    assert folder.askel("scatter", "job.toml", "--quiet", "-s", "output.parquet=true").code == 0
    table, rows = parquet.read_table("out.parquet"), columns()
    assert table.num_rows == 50
    assert np.array_equal(table["position_2_1"].to_numpy(), rows["position"][:, 2, 1])
    assert np.array_equal(table["outcome"].to_numpy(), rows["outcome"])


def test_missing_pyarrow_is_said_before_the_run(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    folder.write(JOB)
    answer = folder.askel("scatter", "job.toml", "-s", "output.parquet=true")
    assert answer.code == 4 and "pip install 'askel[parquet]'" in answer.line() and not Path("out.h5.parts").exists()


def test_dry_run_writes_nothing(folder):
    folder.write(JOB)
    before = folder.files()
    answer = folder.askel("scatter", "job.toml", "--dry-run")
    assert answer.code == 0 and "3 of 20" in answer.out and folder.files() == before


def test_units_reach_the_bodies(folder):
    job = JOB.replace('system = "nbody"', 'system = "au-msun-yr"').replace("mass = 1.0 }, {", 'mass = "2 Msun" }, {')
    job = job.replace("semi_major_axis = 1.0", 'semi_major_axis = { kind = "list", values = ["1 au", "1 au"] }')
    job = job.replace("velocity = 0.5", 'velocity = "15 km/s"').replace(
        'kind = "uniform", low = 0.5, high = 2.0', 'kind = "kroupa"'
    )
    folder.write(job.replace("t_end = 300.0", 't_end = "50 yr"'))
    s = read_plan("job.toml").scattering.sample(np.arange(40))
    assert s.mass[:, 0] == pytest.approx(np.full(40, 2.0), rel=1e-9) and 0.08 <= s.mass[:, 2].min() < 0.3
    assert s.drawn["semi_major_axis_a"] == pytest.approx(np.ones(40), rel=1e-9)
    assert s.drawn["velocity"] == pytest.approx(np.full(40, 15.0 / 4.740470463), rel=1e-6)


def test_the_schema_is_printed(folder):
    schema = json.loads(folder.askel("schema", "scatter").out)
    assert {"binary", "single", "triple", "encounter", "stop", "sampling"} <= set(schema["properties"])


MISTAKES = {
    "unknown key": ("seed = 3", "sead = 3", r"sampling\.sead.*did you mean 'seed'"),
    "unknown distribution": ('"thermal"', '"thermel"', "did you mean 'thermal'"),
    "unknown key of one": ("high = 0.99", "hihg = 0.99", "unknown key 'hihg'"),
    "missing bound": ("low = 0.5, ", "", "'uniform' needs 'low'"),
    "unit of a wrong kind": ("velocity = 0.5", 'velocity = "3 kg"', r"encounter\.velocity.*a mass"),
    "three parts": ("[[single]]", "[[single]]\nmass = 1.0\n[[single]]", r"3 of \[\[single\]\]"),
    "no encounter": (JOB[JOB.index("[encounter]") : JOB.index("[stop]")], "", r"need \[encounter\]"),
    "bodies": ("[{ mass = 1.0 }, { mass = 1.0 }]", "[{ mass = 1.0 }]", "bodies has 1 tables; expected 2"),
    "no units": ('[units]\nsystem = "nbody"', "", r"\[units\] is missing"),
    "rule": ('["escape"]', '["escpe"]', "unknown stopping rule 'escpe'"),
    "no light": ('["escape"]', '["capture"]', "speed of light"),
    "zero mass": ("{ mass = 1.0 }, {", "{ mass = 0.0 }, {", "a mass of 0 was drawn"),
    "eccentricity": ('{ kind = "thermal", high = 0.99 }', "1.2", "eccentricity of 1.2"),
    "output": ('"out.h5"', '"out.txt"', "end in .h5"),
    "not TOML": ("[units]", "[units", "not valid TOML"),
    "backend": ("tolerance = 1e-10", 'backend = "abacus"', "no 'abacus' kernel"),
}


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line_and_write_nothing(folder, old, new, words):
    assert old in JOB
    folder.write(JOB.replace(old, new, 1))
    before = folder.files()
    answer = folder.askel("scatter", "job.toml")
    assert answer.code == 2 and re.search(words, answer.line()), answer.err
    assert folder.files() == before


def test_wrong_words_are_one_line(folder):
    folder.write(JOB)
    Path("no.h5").write_bytes(b"nothing")
    for words, expected in (
        (("replay", "no.h5", "--encounter", "1"), "not an HDF5 file"),
        (("show",), "takes one table"),
        (("job.toml", "other.toml"), "takes one job"),
        (("none.toml",), "cannot read"),
    ):
        answer = folder.askel("scatter", *words)
        assert answer.code == 2 and expected in answer.line()
    folder.askel("scatter", "job.toml", "--quiet")
    assert "0 to 49" in folder.askel("scatter", "replay", "out.h5", "--encounter", "50").line()
    assert "--encounter" in folder.askel("scatter", "replay", "out.h5").line()


def test_a_table_of_something_else_is_refused(folder):
    import h5py

    with h5py.File("else.h5", "w") as file:
        file["encounters/a"] = [1.0]
    with pytest.raises(InputError, match="holds no encounters"):
        read_columns(Path("else.h5"))
