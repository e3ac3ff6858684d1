"""Training from files of segments: it learns, resumes bit by bit, averages, refuses, and says what it did."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from askel.equivariant.batch import Batch, System
from askel.equivariant.model_file import load_model
from askel.equivariant.network import Network
from askel.md.training import TrainingRecipe, train
from askel.md.training_batches import Frames
from askel.md.training_data import pairs_of, stride_architecture
from askel.md.training_loss import StrideObjective
from askel.md.training_schedule import SCHEDULES, Budget, warmed
from askel.md.training_state import TrainingState
from askel.particles import InputError, Interrupted, NumericalFailure
from askel.particles.io_segments import Segment, SegmentWriter

EV = 9.648533e-3  # eV/(Angstrom amu) in Angstrom/fs^2
SMALL = {
    "channels": 8, "layers": 1, "l_max": 1, "radial_hidden": (8,), "speed_hidden": (8,), "radial_functions": 4,
    "speed_functions": 6, "log_every": 5, "validate_every": 10, "warm_up": 5, "learning_rate": 0.01, "dtype": "float64",
}  # fmt: skip


def harmonic(seed, frames=30, interval=1.0, spring=2.0, substeps=20, cell=None):
    """Four atoms joined by springs, by velocity Verlet."""
    rng = np.random.default_rng(seed)
    species = np.array([1, 8, 1, 8])
    mass = np.where(species == 1, 1.008, 15.999)
    rest = np.array([[0.0, 0, 0], [1.3, 0.2, 0], [0.1, 1.5, 0.3], [1.2, 1.1, 1.4]])
    length = np.linalg.norm(rest[:, None] - rest[None], axis=2) + np.eye(4)

    def forces(x):
        apart = x[:, None] - x[None]
        r = np.linalg.norm(apart, axis=2) + np.eye(4)
        stretch = r - length
        return -spring * ((stretch / r)[:, :, None] * apart).sum(1), 0.25 * spring * (stretch**2).sum()

    x = rest + 0.05 * rng.normal(size=(4, 3))
    v = 0.01 * rng.normal(size=(4, 3)) / np.sqrt(mass)[:, None]
    v -= mass @ v / mass.sum()
    f, energy = forces(x)
    rows, dt = [], interval / substeps
    for _ in range(frames):
        rows.append((x, v, f, energy))
        for _ in range(substeps):
            v = v + 0.5 * dt * EV * f / mass[:, None]
            x = x + dt * v
            f, energy = forces(x)
            v = v + 0.5 * dt * EV * f / mass[:, None]
    position, velocity, force, energies = (np.array(column) for column in zip(*rows, strict=True))
    periodic = np.full(3, cell is not None)
    return Segment(species, mass, cell, periodic, 300.0, interval, position, velocity, force, energies)


def write(path, segments):
    writer = SegmentWriter.create(path, reference="springs", step=0.05, interval=segments[0].interval, overwrite=True)
    with writer:
        for segment in segments:
            writer.append(segment)
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "springs.h5", [harmonic(k) for k in range(4)])


def recipe(data, **more):
    values = {"data": (data,), "strides": (4.0,), "batch": 4, "steps": 20} | SMALL | more
    if values.get("head") == "energy":
        values["strides"] = ()
    return TrainingRecipe(**values)


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


# ---------------------------------------------------------------------- parts


def objective_of(segments, **more):
    r = recipe("x", **more)
    pairs = pairs_of(segments, r.strides)
    a = stride_architecture(segments, pairs, r)
    return r, a, StrideObjective(Frames(segments, a, cache=1e6, device="cpu"), pairs, r)


def test_the_loss_by_hand():
    segment = harmonic(0, frames=9)
    r, a, objective = objective_of([segment], displacement_weight=2.0, velocity_weight=0.5)
    network = Network(a, seed=3)
    with torch.no_grad():
        loss = float(objective.loss(network, np.array([1, 4]), np.ones(2), 1))
        by_hand = 0.0
        for row in (1, 4):
            d, u = network(Batch.of([System(segment.species, segment.mass, segment.position[row], segment.velocity[row],
                                            stride=4.0)], a))  # fmt: skip
            k = a.species_index(segment.species)
            wrong = (d.numpy() - (segment.position[row + 4] - segment.position[row])) / np.array(a.displacement_scale)[
                0, k, None
            ]
            by_hand += 2.0 * np.mean(wrong**2) / 2
            wrong = (u.numpy() - segment.velocity[row + 4]) / np.array(a.velocity_change_scale)[0, k, None]
            by_hand += 0.5 * np.mean(wrong**2) / 2
    assert loss == pytest.approx(by_hand, rel=1e-12)
    assert r.displacement_weight == 2.0


def test_the_baseline_alone_has_a_loss_of_two():
    segments = [harmonic(k) for k in range(4)]
    for reversal in (True, False):
        _, a, objective = objective_of(segments, time_reversal=reversal)
        network = Network(a)
        with torch.no_grad():
            network.weights["readout"].zero_()
            both = [
                float(objective.loss(network, objective.rows(1), np.full(len(objective), s), 1)) for s in (1.0, -1.0)
            ]
        seen = np.mean(both) if reversal else both[0]
        assert seen == pytest.approx(2.0, rel=0.02)  # momentum layers improve it a little


def test_pairs_seen_backwards():
    segment = harmonic(0, frames=9)
    _, _, objective = objective_of([segment])
    given, rows = {}, np.array([2])

    class Spy(torch.nn.Module):
        def forward(self, batch):
            given["x"], given["v"] = batch.position.numpy().copy(), batch.velocity.numpy().copy()
            return given["answer"]

    given["answer"] = (
        torch.from_numpy(segment.position[2] - segment.position[6]),
        torch.from_numpy(-segment.velocity[2]),
    )
    assert float(objective.loss(Spy(), rows, np.array([-1.0]), 1)) == 0.0
    assert np.array_equal(given["x"], segment.position[6]) and np.array_equal(given["v"], -segment.velocity[6])
    assert float(objective.loss(Spy(), rows, np.array([1.0]), 1)) > 1.0


def test_several_strides_on_own_states(tmp_path):
    cell = np.diag([6.0, 6.0, 6.0])
    segment = harmonic(0, frames=16, cell=cell)
    _, a, objective = objective_of([segment])
    network = Network(a, seed=3)
    with torch.no_grad():
        network.weights["readout"] *= 3.0
    loss = objective.loss(network, np.array([2]), np.ones(1), 3)
    x, v, by_hand = segment.position[2], segment.velocity[2], 0.0
    k = a.species_index(segment.species)
    for step in range(1, 4):
        with torch.no_grad():
            d, u = network(Batch.of([System(segment.species, segment.mass, x, v, cell, segment.periodic, 4.0)], a))
        x, v = x + d.numpy(), u.numpy()
        wrong = (x - segment.position[2 + 4 * step]) / np.array(a.displacement_scale)[0, k, None]
        by_hand += np.mean(wrong**2) / 3
        wrong = (v - segment.velocity[2 + 4 * step]) / np.array(a.velocity_change_scale)[0, k, None]
        by_hand += np.mean(wrong**2) / 3
    assert float(loss.detach()) == pytest.approx(by_hand, rel=1e-10)
    (slope,) = torch.autograd.grad(loss, network.weights["readout"])
    step = 1e-6
    values = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            network.weights["readout"][0, 0, 0] += sign * step
            values.append(float(objective.loss(network, np.array([2]), np.ones(1), 3)))
            network.weights["readout"][0, 0, 0] -= sign * step
    assert float(slope[0, 0, 0]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
    assert abs(float(slope[0, 0, 0])) > 1e-3


def test_own_states_have_neighbours_of_their_own():
    cell = np.diag([6.0, 7.0, 8.0])
    segment = harmonic(0, frames=6, cell=cell)
    a = stride_architecture([segment], pairs_of([segment], (4.0,)), recipe("x", cutoff=2.0))
    frames = Frames([segment], a, cache=1e6, device="cpu")
    old = frames.batch(np.zeros(2, int), np.array([0, 3]), np.full(2, 4.0), np.ones(2))
    moved = old.position.clone().requires_grad_()
    position = moved + 3.0 * torch.tensor(np.random.default_rng(1).normal(size=moved.shape))
    new = frames.rebuilt(old, np.zeros(2, int), position, -old.velocity)
    x = position.detach().numpy()
    wanted = Batch.of([System(segment.species, segment.mass, x[k : k + 4], None, cell, segment.periodic, 4.0)
                       for k in (0, 4)], a)  # fmt: skip
    for name in ("sender", "receiver", "shift", "frame", "stride", "open", "species", "mass"):
        assert torch.equal(getattr(new, name), getattr(wanted, name)), name
    assert torch.equal(new.velocity, -old.velocity)
    assert not torch.equal(new.sender, old.sender) and len(new.sender) > 4
    (slope,) = torch.autograd.grad(new.vectors().square().sum(), moved)
    assert slope.abs().max() > 0.1


def test_kept_graphs_are_the_graphs():
    cell = np.array([[3.0, 0.2, 0.0], [0.0, 3.5, 0.1], [0.3, 0.0, 4.0]])
    segment = harmonic(0, frames=6, cell=cell)
    r = recipe("x")
    a = stride_architecture([segment], pairs_of([segment], (4.0,)), r)
    where = np.zeros(2, int), np.array([1, 3]), np.array([4.0, 4.0]), np.ones(2)
    kept, made = (Frames([segment], a, cache=room, device="cpu") for room in (1e6, 0.0))
    wanted = Batch.of([System(segment.species, segment.mass, segment.position[f], segment.velocity[f], cell,
                              segment.periodic, 4.0) for f in (1, 3)], a)  # fmt: skip
    for frames in (kept, kept, made):
        found = frames.batch(*where)
        for name in ("position", "velocity", "mass", "species", "frame", "stride", "open", "sender", "receiver"):
            assert torch.equal(getattr(found, name), getattr(wanted, name)), name
        assert torch.allclose(found.shift, wanted.shift, atol=1e-12, rtol=0.0)
    assert len(wanted.sender) > 100 and wanted.shift.abs().max() > 3.0
    assert len(kept._graphs) == 2 and not made._graphs


def test_the_average_of_weights():
    segments = [harmonic(0)]
    r, a, objective = objective_of(segments, decay=0.5)
    state = TrainingState(r, a)
    by_hand = {k: v.copy() for k, v in state.network.arrays().items()}
    for step in range(6):
        loss = objective.loss(state.network, np.array([step]), np.ones(1), 1)
        state.optimiser.zero_grad()
        loss.backward()
        state.update(0.1)
        decay = min(0.5, (1 + step) / (10 + step))
        by_hand = {k: decay * by_hand[k] + (1 - decay) * v for k, v in state.network.arrays().items()}
    average, last = state.average.arrays(), state.network.arrays()
    assert all(np.allclose(average[k], by_hand[k], rtol=1e-12, atol=1e-14) for k in by_hand)
    assert any(not np.allclose(average[k], last[k], rtol=1e-4) for k in by_hand)


def test_schedules():
    r = recipe("x", learning_rate=1.0, final_learning_rate=0.1, plateau_patience=2, plateau_factor=0.5)
    cosine, plateau, constant = (SCHEDULES[name](r) for name in ("cosine", "plateau", "constant"))
    assert [cosine.rate(f) for f in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([1.0, 0.55, 0.1, 0.1])
    for loss in (1.0, 2.0):
        plateau.validated(loss)
    assert plateau.rate(0.9) == 1.0
    plateau.validated(1.5)
    assert plateau.rate(0.9) == 0.5
    again = SCHEDULES["plateau"](r)
    again.restore(json.loads(json.dumps(plateau.state())))
    for one in (plateau, again):
        for _ in range(20):
            one.validated(3.0)
        assert one.rate(0.0) == 0.1
    assert constant.rate(0.99) == 1.0
    assert [warmed(1.0, k, 4) for k in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0] and warmed(1.0, 0, 0) == 1.0
    both = Budget.of(replace(r, steps=100, epochs=3, max_minutes=2.0), batches=20)
    assert both.steps == 60 and both.done(30, 12.0) == 0.5 and both.done(30, 90.0) == 0.75


def test_a_wall_clock_budget_and_an_early_stop(data, tmp_path):
    timed = train(recipe(data, steps=0, max_minutes=0.01), tmp_path / "timed")
    assert timed.card["training"]["ended"] == "budget" and timed.card["training"]["steps"] >= 1
    assert 0.01 <= timed.card["training"]["minutes"] < 0.2
    stopped = train(recipe(data, steps=500, learning_rate=1e-12, validate_every=2, early_stop=3), tmp_path / "early")
    assert stopped.card["training"]["ended"] == "early stop" and 6 <= stopped.card["training"]["steps"] < 100


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
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        train(recipe(data), tmp_path / "file")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chanels": 3}, "no key 'chanels'; did you mean 'channels'"),
        ({"steps": 1.5}, "steps is 1.5; expected a whole number"),
        ({"time_reversal": 1}, "time_reversal is 1; expected true or false"),
        ({"strides": ["a"]}, "strides is 'a'; expected a number"),
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"cutoff": 0.0}, "cutoff is 0.0; expected more than 0"),
        ({"steps": 0}, "needs a budget: give steps, epochs or max_minutes"),
        ({"strides": []}, r"needs strides = \[...\] in fs"),
        ({"strides": [4, 2]}, "expected different positive times in fs, ascending"),
        ({"head": "forces"}, "head is 'forces'; expected 'stride' or 'energy'"),
        ({"validation": 1.0}, "validation is 1.0; expected a fraction below 1"),
        ({"betas": [0.9]}, "expected two numbers"),
        ({"early_stop": 3, "validation": 0.0}, "early_stop needs a validation fraction"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"data": []}, "needs data"),
    ],
)
def test_recipes_that_cannot_be(values, message):
    with pytest.raises(InputError, match=message) as caught:
        TrainingRecipe.from_mapping({"data": "x.h5", "strides": 4, "steps": 10} | values)
    assert "\n" not in str(caught.value)


def test_a_recipe_comes_back():
    one = TrainingRecipe.from_mapping({"data": "x.h5", "strides": 4, "steps": 10, "radial_hidden": [8, 8]})
    assert one.data == ("x.h5",) and one.strides == (4.0,) and one.radial_hidden == (8, 8)
    assert TrainingRecipe.from_mapping(json.loads(json.dumps(one.to_json()))) == one


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
from askel.md.training import TrainingRecipe, train
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
