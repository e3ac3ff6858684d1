"""Strides stretched by what least squares leave out."""

import numpy as np
import pytest
import torch
from askel.equivariant.architecture import Architecture
from askel.md.training.metrics import Errors
from askel.md.training.stretch import stretched, stretches
from askel.md.training.trainer import train
from springs import harmonic, recipe, write

TWO = Architecture(
    species=(1, 8), masses=(1.0, 16.0), cutoff=4.0, average_neighbours=3.0, strides=(4.0,), velocity_scale=(1.0, 1.0),
    drift=((0.5, 0.25),), memory=((-0.5, 0.1),), displacement_scale=((1.0, 2.0),), velocity_change_scale=((3.0, 4.0),),
)  # fmt: skip


def test_predictions_that_lack_their_error_get_their_size_back():
    rng = np.random.default_rng(3)
    species = np.repeat([0, 1], 20000)
    spread = np.where(species == 0, 0.2, 0.1)[:, None]
    u = rng.normal(size=(40000, 3))  # distance from a resting place, before and after: a stationary motion
    foreseen = -0.3 * u
    after = foreseen + np.sqrt(1.0 - 0.3**2 - spread**2) * rng.normal(size=u.shape)
    truth = after + spread * rng.normal(size=u.shape)
    found, zero = Errors(TWO), torch.zeros(40000, dtype=torch.int64)
    for quantity, (predicted, wanted) in enumerate(((after - u, truth - u), (after, truth))):
        found.add(zero, torch.from_numpy(species), quantity, torch.from_numpy(predicted), torch.from_numpy(wanted))
    by = stretches(found)
    for s in (0, 1):
        own = species == s
        missing = 1.0 - (after[own] ** 2).mean() / (truth[own] ** 2).mean()
        assert missing == pytest.approx(spread[own][0, 0] ** 2, rel=0.3)
        velocity = after[own] * (1.0 + by["velocity"][0][s])
        assert abs((velocity**2).mean() / (truth[own] ** 2).mean() - 1.0) < 0.3 * missing
        place = u[own] + (after - u)[own] * (1.0 + by["displacement"][0][s])
        assert abs((place**2).mean() / (truth[own] ** 2).mean() - 1.0) < 0.3 * missing


def test_every_table_of_a_stride_grows():
    by = {"displacement": [[0.1, 0.2]], "velocity": [[0.3, 0.4]]}
    new = stretched(TWO, by)
    assert new.drift == ((pytest.approx(0.55), pytest.approx(0.3)),)
    assert new.displacement_scale == ((pytest.approx(1.1), pytest.approx(2.4)),)
    assert new.memory == ((pytest.approx(-0.65), pytest.approx(0.14)),)
    assert new.velocity_change_scale == ((pytest.approx(3.9), pytest.approx(5.6)),)
    assert new.velocity_scale == TWO.velocity_scale


def test_a_finished_training_is_stretched_afterwards(tmp_path):
    data = write(tmp_path / "springs.h5", [harmonic(k) for k in range(4)])
    plain = train(recipe(data), tmp_path / "out")
    model = train(recipe(data, keep_energy=True), tmp_path / "out", resume=True)
    by = model.card["stretched_by"]
    assert "stretched_by" not in plain.card and min(by["velocity"][0]) > 0.0
    assert model.architecture == stretched(plain.architecture, by)
    for name, weight in plain.weights.items():
        np.testing.assert_array_equal(model.weights[name], weight)
    assert model.card["metrics"]["validation"]["model"] != plain.card["metrics"]["validation"]["model"]
