"""``askel data``, ``train``, ``evaluate``, ``models``, ``schema``, and the examples of atoms."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_model as tiny

import askel

DATA = """
reference = "copper-emt"
structure = "copper.xyz"
segments = 6
frames = 5
interval = 8.0
temperatures = [300.0, 450.0]
equilibration = 20.0
decorrelation = 20.0
friction = 0.05
[test]
segments = 2
temperature = 450.0
"""
TRAIN = """
data = ["copper.h5"]
strides = [8.0, 16.0]
cutoff = 3.2
channels = 4
layers = 1
l_max = 1
radial_functions = 4
radial_hidden = [8]
speed_functions = 4
speed_hidden = [8]
batch = 2
steps = 12
validation = 0.34
warm_up = 2
validate_every = 6
log_every = 2
checkpoint_minutes = 0.0001
"""


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file of segments and its test set."""
    from askel.__main__ import main

    path = tmp_path_factory.mktemp("data")
    tiny.copper_file(path / "copper.xyz")
    (path / "data.toml").write_text(DATA)
    recipe = str(path / "data.toml")
    assert main(["data", recipe, str(path / "copper.h5"), "--quiet"]) == 0
    assert main(["data", recipe, str(path / "test.h5"), "--test", "--quiet"]) == 0
    return path


@pytest.fixture
def learning(folder, segments: Path):
    for name in ("copper.h5", "test.h5", "copper.xyz", "data.toml"):
        (folder.path / name).write_bytes((segments / name).read_bytes())
    folder.write(TRAIN, "train.toml")
    return folder


# ---------------------------------------------------------------------- data


def test_data_of_a_reference(learning) -> None:
    facts = json.loads(learning.askel("info", "copper.h5", "--json").out)
    assert facts["format"] == "segments" and facts["reference"] == "copper-emt"
    assert (facts["segments"], facts["frames"], facts["atoms"]) == (6, 30, 32)
    assert facts["temperatures_K"] == {"300": 3, "450": 3}
    test = json.loads(learning.askel("info", "test.h5", "--json").out)
    assert test["temperatures_K"] == {"450": 2} and test["seed"] != facts["seed"]


def test_data_stops_and_goes_on_to_the_same_file(learning, monkeypatch) -> None:
    from askel.signals import StopRequest

    asked = []

    def stop(self) -> bool:
        asked.append(1)
        self.reason = "SIGTERM"
        return len(asked) == 2

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__call__", stop)
        stopped = learning.askel("data", "data.toml", "again.h5", "--quiet")
    assert stopped.code == 75
    assert "after 2 of 6 segments; go on with --resume" in stopped.line()
    assert learning.askel("data", "data.toml", "again.h5", "--resume", "--quiet").code == 0
    from askel.particles.io_segments import SegmentFile

    with SegmentFile(learning.path / "copper.h5") as one, SegmentFile(learning.path / "again.h5") as other:
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.position, b.position) and np.array_equal(a.velocity, b.velocity)


def test_data_of_a_trajectory(learning) -> None:
    job = tiny.JOB.replace("[thermostat]", "[output]").split("[output]")[0]
    job = job.replace('kind = "stride"\nmodel = "tiny.safetensors"', 'kind = "leapfrog"\nstep = "2 fs"')
    job += '[forces]\nreference = "copper-emt"\n[run]\nt_end = "80 fs"\n[output]\nevery = "4 fs"\n'
    learning.write(job)
    assert learning.askel("run", "job.toml", "--quiet").code == 0
    learning.write(
        '[trajectories]\nfiles = ["run.h5md"]\ninterval = 4.0\nstep = 2.0\nframes = 7\nname = "emt"\n', "cut.toml"
    )
    answer = learning.askel("data", "cut.toml", "cut.h5")
    assert answer.code == 0, answer.err
    facts = json.loads(learning.askel("info", "cut.h5", "--json").out)
    assert (facts["reference"], facts["segments"], facts["interval_fs"], facts["step_fs"]) == ("emt", 3, 4.0, 2.0)


# ---------------------------------------------------------------------- training and judging


def test_training_writes_a_model_that_a_job_and_evaluate_take(learning) -> None:
    pytest.importorskip("torch")
    answer = learning.askel("train", "train.toml", "copper.safetensors")
    assert answer.code == 0, answer.err
    assert "12 steps" in answer.out and "validation loss" in answer.out
    assert {"log.csv", "loss.png", "card.json"} <= {p.name for p in (learning.path / "copper").iterdir()}
    card = json.loads(learning.askel("models", "copper.safetensors", "--json").out)
    assert card["strides_fs"] == [8.0, 16.0] and card["data"][0]["file"] == "copper.h5"

    learning.write(tiny.JOB.replace("tiny.safetensors", "copper.safetensors").replace('"400 fs"', '"64 fs"'))
    assert learning.askel("run", "job.toml", "--quiet").code == 0

    judged = learning.askel("evaluate", "copper.safetensors", "--data", "test.h5", "-o", "judged")
    assert judged.code == 0, judged.err
    assert "displacement (ballistic)" in judged.out
    facts = json.loads((learning.path / "judged" / "judgement.json").read_text())
    assert {"rows", "notes", "facts"} <= set(facts)
    assert "| quantity |" in (learning.path / "judged" / "judgement.md").read_text()
    assert (learning.path / "judged" / "judgement.png").read_bytes()[:4] == b"\x89PNG"
    again = learning.askel("evaluate", "copper.safetensors", "--data", "test.h5", "-o", "judged")
    assert again.code == 2 and "is there already" in again.line()


def test_a_stopped_training_resumes_to_the_same_weights(learning, monkeypatch) -> None:
    pytest.importorskip("torch")
    from askel.equivariant.model_file import load_model

    from askel.signals import StopRequest

    assert learning.askel("train", "train.toml", "whole", "--quiet").code == 0
    asked = []

    def stop(self) -> bool:
        asked.append(1)
        return len(asked) == 8

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__call__", stop)
        stopped = learning.askel("train", "train.toml", "pieces", "--quiet")
    assert stopped.code == 75 and "resume" in stopped.line()
    refused = learning.askel("train", "train.toml", "pieces", "--quiet")
    assert refused.code == 2 and "holds a training already" in refused.line()
    assert learning.askel("train", "train.toml", "pieces", "--resume", "--quiet").code == 0
    one, other = (load_model(learning.path / name / "model.safetensors").weights for name in ("whole", "pieces"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_runs_against_a_reference(learning) -> None:
    tiny.tiny_model(learning.path / "tiny.safetensors")
    answer = learning.askel(
        "evaluate",
        "tiny.safetensors",
        "--reference",
        "test.h5",
        "--seeds",
        "2",
        "--time",
        "160 fs",
        "--json",
        "--quiet",
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["facts"]["seeds"] == 2 and found["facts"]["temperature_K"] == 450.0
    sections = {row["section"] for row in found["rows"]}
    assert {"one step", "stability", "temperature", "speed"} <= sections


def test_models_lists_models_and_references(folder) -> None:
    said = folder.askel("models")
    assert "copper-emt" in said.out and said.code == 0
    assert set(json.loads(folder.askel("models", "--json").out)) == {"models", "references"}


@pytest.mark.parametrize(("of", "key"), [("job", "thermostat"), ("data", "temperatures"), ("train", "learning_rate")])
def test_schemas(folder, of: str, key: str) -> None:
    schema = json.loads(folder.askel("schema", of).out)
    assert key in schema["properties"]


def test_work_shows_what_is_left(capsys, monkeypatch) -> None:
    from askel import progress

    now = [0.0]
    monkeypatch.setattr(progress.clock, "monotonic", lambda: now[0])
    with progress.Work(quiet=False) as work:
        for second in range(0, 25, 5):
            now[0] = float(second)
            work.show(second / 100.0, f"step {second}")
    said = capsys.readouterr().err.splitlines()
    assert said == ["0 % | step 0", "10 % | step 10 | 1 min 30 s left", "20 % | step 20 | 1 min 20 s left"]
    with progress.Work(quiet=True) as work:
        work.show(0.5, "nothing")
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------------- examples

FOLDER = Path(askel.particles.__file__).parents[1] / "examples"
JOBS = ("copper", "paracetamol", "quartz", "water")
RECIPES = ("copper_data", "copper_train")


@pytest.mark.parametrize("name", JOBS)
def test_the_examples_of_atoms_run(folder, name: str) -> None:
    import tomllib

    from askel.md.model_library import models

    wanted = tomllib.loads((FOLDER / f"{name}.toml").read_text())["integrator"]["model"]
    if wanted not in models():
        pytest.skip(f"{wanted} is not among the models of this installation")
    assert folder.askel("example", name).code == 0
    answer = folder.askel("run", f"{name}.toml", "-s", "run.t_end='0.5 ps'", "--quiet")
    assert answer.code == 0, answer.err
    facts = json.loads(folder.askel("info", f"{name}.h5md", "--json").out)
    said = folder.askel("info", f"{name}.h5md").out
    assert " ps" in said.split("time\n")[1].split("units")[0] and "post_newtonian" not in said
    assert facts["frames"] > 10 and math.isfinite(facts["temperature"]["all"])
    assert 150.0 < facts["temperature"]["all"] < 600.0


def test_the_recipes_are_sound(folder) -> None:
    from askel.md.training.recipe import TrainingRecipe

    from askel.config import checked, read_toml
    from askel.learning_tables import DataRecipeTable

    for name in RECIPES:
        said = folder.askel("example", name)
        assert f"next: askel {name.split('_')[1]}" in said.out
    checked(read_toml("copper_data.toml"), DataRecipeTable, "recipe")
    assert TrainingRecipe.from_mapping(read_toml("copper_train.toml")).strides == (16.0,)


@pytest.mark.parametrize("command", [("train", "--help"), ("evaluate", "--help"), ("data", "--help")])
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    script = (
        "import sys\nfrom askel.__main__ import main\n"
        f"try: main({list(command)!r})\nexcept SystemExit: pass\n"
        "print('HEAVY', sorted({'numpy', 'torch', 'pydantic', 'ase', 'numba', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
