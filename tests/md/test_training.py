"""Training from files of segments: it learns, resumes bit by bit, refuses, and says what it did."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import springs
import torch
from askel.equivariant.batch import Batch, System
from askel.equivariant.model_file import load_model
from askel.equivariant.network import Network
from askel.md.training.loss import StrideObjective
from askel.md.training.trainer import train
from askel.particles import InputError, Interrupted, NumericalFailure

harmonic, recipe, write = springs.harmonic, springs.recipe, springs.write


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "springs.h5", [harmonic(k) for k in range(4)])


def rows_of(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------- it learns


def test_a_tiny_set_is_learned_by_heart(tmp_path):
    data = write(tmp_path / "one.h5", [harmonic(0, frames=8)])
    one = recipe(data, validation=0.0, steps=150, channels=16, decay=0.9, time_reversal=False, learning_rate=0.03)
    model = train(one, tmp_path / "out")
    losses = [float(row["train_loss"]) for row in rows_of(tmp_path / "out")]
    assert 1e-6 < losses[-1] < losses[0] / 10.0
    assert model.card["training"]["steps"] == 150 and model.card["training"]["finished"]


def test_what_a_training_leaves(data, tmp_path):
    seen = []
    model = train(recipe(data, test=(data,), strides=(2.0, 4.0)), tmp_path / "out", progress=seen.append)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"model.safetensors", "card.json", "checkpoint.askel", "log.csv", "loss.png"}
    again = load_model(tmp_path / "out" / "model.safetensors")
    assert again.card == model.card == json.loads((tmp_path / "out" / "card.json").read_text())
    assert again.architecture == model.architecture
    assert [row["step"] for row in seen] == [5, 10, 15, 20]
    rows = rows_of(tmp_path / "out")
    assert [int(r["step"]) for r in rows] == [5, 10, 15, 20] and rows[0]["validation_loss"] == ""
    assert 0.0 < float(rows[-1]["displacement_4fs_1"]) < 2.0
    card = model.card
    assert card["data"][0]["file"] == "springs.h5" and len(card["data"][0]["sha256"]) == 64
    assert card["data"][0]["reference"] == "springs" and card["recipe"]["data"] == ["springs.h5"]
    for part in ("validation", "test"):
        errors = card["metrics"][part]
        assert errors["zero"]["4 fs"]["displacement_relative"] == 1.0
        assert 0.0 < errors["velocity-scaled"]["2 fs"]["displacement_relative"] < 1.0
        assert set(errors["model"]["4 fs"]["species"]) == {"1", "8"}


def test_the_errors_of_the_card_against_direct_computation(data, tmp_path):
    model = train(recipe(data, steps=3, validation=0.25, validation_pairs=1000), tmp_path / "out")
    held = np.random.default_rng([1, 0x5E6]).permutation(4)[0]
    segment = harmonic(held)
    d, u = segment.position[4:] - segment.position[:-4], segment.velocity[4:]
    ballistic = model.card["metrics"]["validation"]["ballistic"]["4 fs"]
    assert ballistic["displacement_mae_1e-5_A"] == pytest.approx(1e5 * np.abs(d - 4.0 * segment.velocity[:-4]).mean())
    hydrogen = segment.species == 1
    wrong = np.abs(u - segment.velocity[:-4])[:, hydrogen].sum() / np.abs(u[:, hydrogen]).sum()
    assert ballistic["species"]["1"]["velocity_relative"] == pytest.approx(wrong)
    network = Network(model.architecture).load(model.weights)
    systems = [System(segment.species, segment.mass, x, v, stride=4.0)
               for x, v in zip(segment.position[:-4], segment.velocity[:-4], strict=True)]  # fmt: skip
    with torch.no_grad():
        found, _ = network(Batch.of(systems, model.architecture))
    mae = 1e5 * np.abs(found.numpy() - d.reshape(-1, 3)).mean()
    assert model.card["metrics"]["validation"]["model"]["4 fs"]["displacement_mae_1e-5_A"] == pytest.approx(mae)


def test_energies_and_forces_are_learned(tmp_path):
    data = write(tmp_path / "one.h5", [harmonic(0, frames=8)])
    model = train(
        recipe(data, head="energy", validation=0.25, steps=120, layers=2, channels=16, batch=3, decay=0.9),
        tmp_path / "out",
    )
    losses = [float(row["train_loss"]) for row in rows_of(tmp_path / "out")]
    assert 0.0 < losses[-1] < losses[0] / 5.0
    assert 0.0 < model.card["metrics"]["validation"]["force_relative"] < 1.0
    assert model.architecture.head == "energy" and model.architecture.strides == ()


# ---------------------------------------------------------------------- resumption


VARIANTS = (
    {},
    {"rollout": 2, "rollout_from": 0.4, "dtype": "float32"},
    {"schedule": "plateau", "plateau_patience": 1},
    {"optimiser": "muon"},
    {"strides": (4.0, 8.0), "semigroup": 0.5},
)


@pytest.mark.parametrize("more", VARIANTS)
def test_a_resumed_training_is_the_same_bit_by_bit(data, tmp_path, more):
    whole = train(recipe(data, **more), tmp_path / "whole")
    asked = iter(range(1000))
    with pytest.raises(Interrupted, match="step 13"):
        train(recipe(data, **more), tmp_path / "parts", stop=lambda: next(asked) >= 13)
    resumed = train(recipe(data, **more), tmp_path / "parts", resume=True)
    assert all(np.array_equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    same = ("step", "epoch", "learning_rate", "train_loss", "validation_loss", "displacement_4fs_1")
    first, second = rows_of(tmp_path / "whole"), rows_of(tmp_path / "parts")
    assert [[r[k] for k in same] for r in first] == [[r[k] for k in same] for r in second]
    assert len(first) == 4
    done = train(recipe(data, **more), tmp_path / "parts", resume=True)  # nothing is left to do
    assert all(np.array_equal(done.weights[name], resumed.weights[name]) for name in done.weights)
    assert rows_of(tmp_path / "parts") == second


def test_rows_after_the_checkpoint_are_dropped(data, tmp_path):
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        train(recipe(data), tmp_path / "out", stop=lambda: next(asked) >= 7)
    with (tmp_path / "out" / "log.csv").open("a") as file:
        file.write("9,0,0.1,5.0,,1,1.0,1.0\n10,0,0.")  # of a session that was killed later
    train(recipe(data), tmp_path / "out", resume=True)
    assert [int(r["step"]) for r in rows_of(tmp_path / "out")] == [5, 10, 15, 20]


def test_a_resumed_training_keeps_its_recipe(data, tmp_path):
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        train(recipe(data), tmp_path / "out", stop=lambda: next(asked) >= 3)
    with pytest.raises(InputError, match="batch was 4 and is 3: a resumed training keeps its recipe"):
        train(recipe(data, batch=3), tmp_path / "out", resume=True)
    longer = train(recipe(data, steps=25), tmp_path / "out", resume=True)  # the budget may change
    assert longer.card["training"]["steps"] == 25


def test_a_wall_clock_budget_and_an_early_stop(data, tmp_path):
    timed = train(recipe(data, steps=0, max_minutes=0.01), tmp_path / "timed")
    assert timed.card["training"]["ended"] == "budget" and timed.card["training"]["steps"] >= 1
    assert 0.01 <= timed.card["training"]["minutes"] < 0.2
    stopped = train(recipe(data, steps=500, learning_rate=1e-12, validate_every=2, early_stop=3), tmp_path / "early")
    assert stopped.card["training"]["ended"] == "early stop" and 6 <= stopped.card["training"]["steps"] < 100


def test_a_model_learns_a_further_stride_without_forgetting_its_own(data, tmp_path):
    segment = harmonic(7)

    def moved(model, stride):
        network = Network(model.architecture, dtype=torch.float64).load(model.weights)
        system = System(segment.species, segment.mass, segment.position[3], segment.velocity[3], stride=stride)
        with torch.no_grad():
            d, v = network(Batch.of([system], model.architecture))
        return np.concatenate([d.numpy(), 10.0 * v.numpy()])

    def further(start, strides, folder, **more):
        more = {"steps": 1, "learning_rate": 1e-15, "warm_up": 0, "decay": 0.0} | more
        path = str(tmp_path / start / "model.safetensors")
        return train(recipe(data, strides=strides, start_from=path, **more), tmp_path / folder)

    first = train(recipe(data, strides=(4.0,)), tmp_path / "first")
    still = further("first", (4.0, 8.0), "still")
    assert still.architecture.strides == (4.0, 8.0)
    scales = first.architecture.displacement_scale, still.architecture.displacement_scale
    assert scales[1][0] == scales[0][0] and scales[1][1] != scales[0][0]
    assert np.allclose(moved(still, 4.0), moved(first, 4.0), rtol=1e-9, atol=1e-12)
    taught = further("first", (4.0, 8.0), "taught", steps=10, learning_rate=1e-2)
    assert not np.allclose(moved(taught, 8.0), moved(still, 8.0), rtol=1e-2)
    more = further("taught", (2.0, 4.0, 8.0), "more")
    for stride in (4.0, 8.0):
        assert np.allclose(moved(more, stride), moved(taught, stride), rtol=1e-9, atol=1e-12)
    assert not np.allclose(moved(more, 2.0), moved(more, 4.0), rtol=0.1)


def test_fine_tuning_keeps_the_scales(data, tmp_path):
    first = train(recipe(data), tmp_path / "first")
    other = write(tmp_path / "stiff.h5", [harmonic(k, spring=3.0) for k in range(4)])
    path = str(tmp_path / "first" / "model.safetensors")
    second = train(recipe(other, start_from=path, channels=32, steps=2, learning_rate=1e-5), tmp_path / "second")
    assert second.architecture == first.architecture
    change = max(np.abs(second.weights[k] - first.weights[k]).max() for k in first.weights)
    assert 0.0 < change < 1e-3
    assert second.card["recipe"]["start_from"] == "model.safetensors"
    with pytest.raises(InputError, match=r"model of strides \[4.0\] fs; the recipe has \[2.0\]"):
        train(recipe(other, start_from=path, strides=(2.0,)), tmp_path / "third")
    with pytest.raises(InputError, match="head 'stride', the recipe asks for 'energy'"):
        train(recipe(other, start_from=path, head="energy"), tmp_path / "third")


# ---------------------------------------------------------------------- refusals


def test_a_loss_that_is_not_finite(data, tmp_path, monkeypatch):
    true = StrideObjective.loss

    def wrong(self, network, rows, backwards, steps):
        calls.append(1)
        return true(self, network, rows, backwards, steps) * (np.nan if len(calls) == 12 else 1.0)

    calls = []
    monkeypatch.setattr(StrideObjective, "loss", wrong)
    with pytest.raises(NumericalFailure, match=r"the loss is nan.*resume from the last checkpoint.*step 11") as caught:
        train(recipe(data, checkpoint_minutes=0.0), tmp_path / "out")
    assert caught.value.step == 11
    monkeypatch.undo()
    model = train(recipe(data, checkpoint_minutes=0.0), tmp_path / "out", resume=True)
    whole = train(recipe(data), tmp_path / "whole")
    assert all(np.array_equal(whole.weights[name], model.weights[name]) for name in whole.weights)


def test_folders_that_hold_a_training(data, tmp_path):
    with pytest.raises(InputError, match="holds no training to resume"):
        train(recipe(data), tmp_path / "out", resume=True)
    train(recipe(data, steps=1), tmp_path / "out")
    with pytest.raises(InputError, match=r"holds a training already \(checkpoint.askel\)"):
        train(recipe(data), tmp_path / "out")
    assert train(recipe(data, steps=2), tmp_path / "out", overwrite=True).card["training"]["steps"] == 2
    with pytest.raises(InputError, match="no multiple"):
        train(recipe(data, strides=(0.3,)), tmp_path / "out", overwrite=True)
    assert load_model(tmp_path / "out" / "model.safetensors").card["training"]["steps"] == 2  # the old one is kept
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        train(recipe(data), tmp_path / "file")


def test_data_that_cannot_be_used(data, tmp_path):
    with pytest.raises(InputError, match=r"there.h5"):
        train(recipe(str(tmp_path / "there.h5")), tmp_path / "out")
    with pytest.raises(InputError, match="no segment of the training data goes on for rollout = 8 strides"):
        train(recipe(data, rollout=8, validation=0.0), tmp_path / "out")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="torch finds no GPU"):
            train(recipe(data, device="cuda"), tmp_path / "out")


# ---------------------------------------------------------------------- several processes

SHARED = """
import sys, json, torch
from askel.md.training.trainer import TrainingRecipe, train
torch.manual_seed(1)
train(TrainingRecipe.from_mapping(json.loads(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.slow
def test_two_processes_train_the_same_model(data, tmp_path):
    one = recipe(data, validation=0.25)
    alone = train(one, tmp_path / "alone")
    (tmp_path / "shared.py").write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", tmp_path / "shared.py",
               json.dumps(one.to_json()), tmp_path / "shared"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    shared = load_model(tmp_path / "shared" / "model.safetensors")
    for name, weight in alone.weights.items():
        assert np.allclose(shared.weights[name], weight, rtol=1e-8, atol=1e-10), name
    columns = ("step", "train_loss", "validation_loss")
    for a, b in zip(rows_of(tmp_path / "alone"), rows_of(tmp_path / "shared"), strict=True):
        assert [float(a[k] or 0) for k in columns] == pytest.approx([float(b[k] or 0) for k in columns], rel=1e-7)


def test_processes_share_a_batch_evenly(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="a batch of 4 frames on 3 processes; give a multiple of 3"):
        train(recipe(data), tmp_path / "out")
