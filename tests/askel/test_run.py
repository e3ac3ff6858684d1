"""Runs from the job file to the files: what is written, what is said, and the same again from used.toml and Python."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from askel.particles.io_h5md import Trajectory
from trajectories import frames, same_content

import askel

JOB = Path(__file__).with_name("job.toml").read_text()
EXAMPLES = sorted(p.stem for p in (Path(askel.particles.__file__).parents[1] / "examples").glob("*.toml"))
#: jobs and recipes of atoms, which test_data_train_evaluate.py runs
OF_ATOMS = ("copper", "copper_data", "copper_train", "paracetamol", "quartz", "water")
#: example -> override that makes it short
SHORT = {
    "black_hole_triple": "run.t_end='0.3 kyr'",
    "eccentric_binary": "run.t_end=10.0",
    "figure_eight": "run.t_end=2.0",
    "galaxy_merger": "run.t_end=1.0",
    "planets": "run.t_end='20 yr'",
    "plummer": "run.t_end=1.0",
    "pythagorean": "run.t_end=2.0",
    "smbh_stars": "run.t_end=0.02",
}
#: example -> largest energy error; 1e-6 where none is named
ERRORS = {"galaxy_merger": 1e-3, "plummer": 1e-3}
#: examples of other commands than run
OF_OTHERS = ("binary_single",)


def test_a_run_writes_a_trajectory_a_checkpoint_and_used_toml(folder) -> None:
    folder.write()
    answer = folder.askel("run", "job.toml")
    assert answer.code == 0, answer
    assert "run.h5md: 11 frames, 2 particles, t = 1" in answer.out
    assert set(folder.files()) == {
        "job.toml", "run.h5md", "run.checkpoint", "run.checkpoint.previous", "run.used.toml",
    }  # fmt: skip
    states = frames(Path("run.h5md"))
    assert [round(s.time, 10) for s in states] == [round(0.1 * k, 10) for k in range(11)]
    # two unit masses at distance 2 with speed 0.4: E = 0.16 - 0.5
    x, v = states[-1].position, states[-1].velocity
    energy = 0.5 * float(np.sum(v**2)) - 1.0 / float(np.linalg.norm(x[0] - x[1]))
    assert 0.0 < abs(energy + 0.34) < 1e-4


def test_dry_run_writes_nothing_and_says_what_would_be(folder) -> None:
    folder.write()
    before = folder.files()
    answer = folder.askel("run", "job.toml", "--dry-run")
    assert answer.code == 0
    for words in ("2 (2 star)", "leapfrog", "100 steps", "10 frames", "G = 1, c = none", "direct_cpu", "memory"):
        assert words in answer.out, words
    assert folder.files() == before


def test_quiet_says_nothing(folder) -> None:
    folder.write()
    answer = folder.askel("run", "job.toml", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_used_toml_repeats_the_run(folder) -> None:
    (folder.path / "sub").mkdir()
    folder.write("# units: nbody\n1 0 0 0 0 0 0\n1e-3 1 0 0 0 1 0\n", "bodies.txt")
    job = JOB[: JOB.index("[[particles")] + '[particles]\nfile = "bodies.txt"\n' + JOB[JOB.index("[integrator]") :]
    folder.write(job.replace("every = 0.1", ""))
    assert folder.askel("run", "job.toml", "--quiet", "--folder", "sub").code == 0
    (folder.path / "sub" / "first.h5md").write_bytes((folder.path / "sub" / "run.h5md").read_bytes())
    again = ("run", "sub/run.used.toml", "--folder", "sub", "--quiet")
    assert folder.askel(*again).code == 2  # it says that the output is there
    assert folder.askel(*again, "--overwrite").code == 0
    assert same_content(folder.path / "sub" / "first.h5md", folder.path / "sub" / "run.h5md")
    used = tomllib.loads((folder.path / "sub" / "run.used.toml").read_text())
    assert used["output"]["every"] == pytest.approx(1.0 / 500, abs=1e-15)
    assert used["particles"]["file"] == "../bodies.txt"


def test_overrides_change_the_run_and_are_in_used_toml(folder) -> None:
    folder.write()
    answer = folder.askel("run", "job.toml", "--quiet", "-s", "integrator.step=0.02", "-s", "integrator.kind=yoshida4")
    assert answer.code == 0
    used = tomllib.loads(Path("run.used.toml").read_text())
    assert used["integrator"] == {"kind": "yoshida4", "step": 0.02}


def test_info_json_has_the_keys_of_the_contract(folder) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    facts = json.loads(folder.askel("info", "run.h5md", "--json").out)
    assert facts["frames"] == 11
    assert facts["particles"] == 2
    assert facts["time"] == {"first": 0.0, "last": pytest.approx(1.0, abs=1e-12)}
    assert facts["units"] == "nbody"
    assert 1e-9 < facts["energy_error"]["max"] < 1e-4
    assert facts["energy_error"]["max"] >= abs(facts["energy_error"]["final"])
    assert facts["post_newtonian"]["terms"] == []
    assert facts["mergers"] == 0
    assert 0.0 < facts["wall_time"] < 600.0
    assert facts["outcome"] == "finished"
    assert facts["configuration"] == Path("run.used.toml").read_text()
    text = folder.askel("info", "run.h5md").out
    assert "energy_error" in text and "frames" in text


def test_error_control_of_a_fixed_step_method(folder) -> None:
    folder.write(JOB.replace("step = 0.01", "tolerance = 1e-8").replace("leapfrog", "yoshida4"))
    assert folder.askel("run", "job.toml", "--quiet").code == 0
    facts = json.loads(folder.askel("info", "run.h5md", "--json").out)
    assert 1e-13 < facts["energy_error"]["max"] < 1e-6


def test_relativity_is_reported(folder) -> None:
    job = (
        JOB.replace('"nbody"', '"nbody"\nspeed_of_light = 30.0')
        .replace('"leapfrog"', '"chain"')
        .replace("step = 0.01", "")
    )
    folder.write(job + '[post_newtonian]\nterms = ["1", "2.5"]\n')
    answer = folder.askel("run", "job.toml")
    assert answer.code == 0, answer.err
    assert "nothing lets them merge" in answer.err
    facts = json.loads(folder.askel("info", "run.h5md", "--json").out)["post_newtonian"]
    assert facts["terms"] == ["1", "2.5"]
    assert facts["pairs"] == "black-hole"
    assert 0.4 / 30 < facts["max_v_over_c"] < 4 / 30
    assert 0.5 / 900 < facts["max_compactness"] < 4 / 900


def test_a_small_merger_distance_warns(folder) -> None:
    job = (
        JOB.replace('"nbody"', '"nbody"\nspeed_of_light = 100.0')
        .replace('"leapfrog"', '"chain"')
        .replace("step = 0.01", "")
    )
    folder.write(job + "[mergers]\ndistance = 3.0\n")
    answer = folder.askel("run", "job.toml")
    assert answer.code == 0
    assert "mergers.distance = 3: below 5" in answer.err


def test_a_merger_goes_into_the_event_log_and_the_report(folder) -> None:
    job = (
        JOB.replace('"nbody"', '"nbody"\nspeed_of_light = 5.0')
        .replace('"leapfrog"', '"chain"')
        .replace("step = 0.01", "")
    )
    job = job.replace("velocity = [0.0, 0.4, 0.0]", "velocity = [0.0, 0.0, 0.0]").replace("-0.4", "0.0")
    folder.write(job + "[mergers]\ndistance = 5.0\n")
    assert folder.askel("run", "job.toml", "--quiet", "-s", "run.t_end=2.0").code == 0
    with Trajectory("run.h5md") as file:
        events = file.table("events/merger")
        assert file[0].n == 2
        assert file[-1].n == 1
    assert len(events["time"]) == 1
    # from rest at distance 2 to 5 x 2 (m1 + m2)/c^2 = 0.8: t = sqrt(d^3/(2 G m)) (acos sqrt x + sqrt(x(1 - x))), x = 0.4
    exact = math.sqrt(8.0 / 4.0) * (math.acos(math.sqrt(0.4)) + math.sqrt(0.24))
    assert 0.0 <= abs(events["time"][0] - exact) < 1e-9
    assert json.loads(folder.askel("info", "run.h5md", "--json").out)["mergers"] == 1


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in (*OF_ATOMS, *OF_OTHERS)])
def test_every_example_runs(folder, name: str) -> None:
    assert name in folder.askel("example").out
    assert folder.askel("example", name).code == 0
    again = folder.askel("example", name)
    assert again.code == 2 and "is there already" in again.line()
    answer = folder.askel("run", f"{name}.toml", "-s", SHORT[name], "--quiet")
    assert answer.code == 0, answer.err
    facts = json.loads(folder.askel("info", f"{name}.h5md", "--json").out)
    assert facts["frames"] > 2
    assert facts["energy_error"]["max"] < ERRORS.get(name, 1e-6)
    assert folder.askel("plot", f"{name}.h5md").code == 0
    assert Path(f"{name}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_triple_merges(folder) -> None:
    folder.askel("example", "black_hole_triple")
    assert folder.askel("run", "black_hole_triple.toml", "--quiet", "-s", "output.every='0.5 kyr'").code == 0
    facts = json.loads(folder.askel("info", "black_hole_triple.h5md", "--json").out)
    assert facts["mergers"] == 1
    assert facts["particles"] == 2
    assert 0.1 < facts["post_newtonian"]["max_v_over_c"] < 0.5
    assert 1e-14 < facts["energy_error"]["max"] < 1e-6
    with Trajectory("black_hole_triple.h5md") as file:
        event = file.table("events/merger")
    assert {int(event["identity_1"][0]), int(event["identity_2"][0])} == {0, 1}
    assert 20.0 < event["time"][0] < 40.0
    assert 0.9e9 < event["mass"][0] < 1.1e9


def test_a_run_from_python(folder) -> None:
    tables = tomllib.loads(JOB)
    tables["output"]["file"] = str(folder.path / "deep" / "run.h5md")
    result = askel.run(tables)
    assert result.trajectory == folder.path / "deep" / "run.h5md"
    assert result.report is not None
    assert result.report.steps == 100
    assert result.particles.time == pytest.approx(1.0, abs=1e-12)
    last = askel.read(result.trajectory)
    assert np.array_equal(last.position, result.particles.position)
    with pytest.raises(askel.particles.InputError, match="is there already"):
        askel.run(tables)
    assert askel.run(tables, resume=True).report is None
    askel.write("copy.csv", last)
    assert np.array_equal(askel.read("copy.csv").position, last.position)


@pytest.mark.parametrize("options", [{}, {"tides": "all", "tidal_accuracy": 0.1}])
def test_block_steps_without_softening(folder, options) -> None:
    tables = tomllib.loads(JOB)
    tables["integrator"] = {"kind": "block-leapfrog", "step": 0.5, **options}
    tables["output"]["file"] = str(folder.path / "run.h5md")
    report = askel.run(tables).report
    assert report is not None
    assert report.statistics["max_level"] >= 1.0
    assert 1e-12 < report.max_energy_error < 1e-2


def test_convert_and_its_mistakes(folder) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    assert folder.askel("convert", "run.h5md", "last.csv", "--frame", "-1").code == 0
    assert np.array_equal(askel.read("last.csv").position, askel.read("run.h5md").position)
    assert folder.askel("convert", "run.h5md", "last.csv").code == 2
    assert folder.askel("convert", "run.h5md", "last.csv", "--frame", "-1", "--overwrite").code == 0
    assert folder.askel("convert", "run.h5md", "x.csv", "--frame", "99").code == 2


def test_a_run_starts_from_a_trajectory_and_takes_its_units(folder) -> None:
    folder.write()
    folder.askel("run", "job.toml", "--quiet")
    job = '[particles]\nfile = "run.h5md"\nframe = 5\n' + JOB[JOB.index("[integrator]") :].replace(
        '"run.h5md"', '"b.h5md"'
    )
    folder.write(job, "b.toml")
    assert folder.askel("run", "b.toml", "--quiet").code == 0
    assert frames(Path("b.h5md"))[0].time == pytest.approx(0.5, abs=1e-12)
    assert askel.read("b.h5md").time == pytest.approx(1.0, abs=1e-12)


def test_a_numerical_failure_is_code_3_and_keeps_what_there_is(folder) -> None:
    # two bodies fall onto each other under leapfrog: the accelerations become infinite at the moment they meet
    job = JOB.replace("0.5, 0.0]", "0.0, 0.0]").replace("-0.0", "0.0")
    folder.write(job.replace("every = 0.1", "every = 0.25").replace("step = 0.01", "step = 0.25"))
    answer = folder.askel(
        "run", "job.toml", "--quiet", "-s", "integrator.kind=chain", "-s", "integrator.step=1", "--dry-run"
    )
    assert answer.code == 2
    job = job.replace('"leapfrog"', '"chain"').replace("step = 0.01", "max_steps = 3")
    folder.write(job.replace("t_end = 1.0", "t_end = 100.0").replace("every = 0.1", "every = 30.0"))
    answer = folder.askel("run", "job.toml", "--quiet")
    assert answer.code == 3
    assert "step limit" in answer.line()
    facts = json.loads(folder.askel("info", "run.h5md", "--json").out)
    assert facts["frames"] >= 1
    assert facts["outcome"].startswith("failed")


def test_warnings_of_a_doubtful_output(folder) -> None:
    folder.write()
    answer = folder.askel("run", "job.toml", "-s", "output.every=0.001")
    assert answer.code == 0
    assert "shorter than integrator.step" in answer.err


@pytest.mark.slow
def test_the_first_run_says_that_it_compiles_and_the_second_does_not_compile(folder, monkeypatch) -> None:
    monkeypatch.setenv("ASKEL_CACHE_DIR", str(folder.path / "cache"))
    folder.write()
    heard = []
    for _ in range(2):
        process = folder.start("run", "job.toml", "--overwrite")
        heard.append(process.communicate(timeout=300)[1])
        assert process.returncode == 0
    assert "compiling kernels" in heard[0]
    assert "compiling kernels" not in heard[1]
