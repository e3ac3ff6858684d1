"""Losses, batches, rollouts and the moving average of training, against computation by hand."""

import numpy as np
import pytest
import springs
import torch
from askel.equivariant.batch import Batch, System
from askel.equivariant.network import Network
from askel.md.training.batches import Frames
from askel.md.training.data import pairs_of, stride_architecture
from askel.md.training.loss import StrideObjective
from askel.md.training.state import TrainingState

harmonic, recipe = springs.harmonic, springs.recipe


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


def test_a_semigroup_by_hand():
    """Two strides of 4 fs from the model's own state against one of 8 fs; samples of 8 fs have no double and add nothing."""
    cell = np.diag([6.0, 6.0, 6.0])
    segment, more = harmonic(0, frames=16, cell=cell), {"strides": (4.0, 8.0), "velocity_weight": 0.5}
    _, a, plain = objective_of([segment], **more)
    _, _, objective = objective_of([segment], **more, semigroup=3.0)
    network, pairs = Network(a, seed=3), objective.pairs
    with torch.no_grad():
        network.weights["readout"] *= 3.0
    short, long = (int(np.flatnonzero((pairs.first == 4) & (pairs.stride == h))[0]) for h in (0, 1))

    def added(rows, sign):
        rows, signs = np.array(rows), np.full(len(rows), sign)
        return objective.loss(network, rows, signs, 1) - plain.loss(network, rows, signs, 1)

    def stride(x, v, h):
        with torch.no_grad():
            d, u = network(Batch.of([System(segment.species, segment.mass, x, v, cell, segment.periodic, h)], a))
        return x + d.numpy(), u.numpy()

    k = a.species_index(segment.species)
    for sign, frame in ((1.0, 4), (-1.0, 8)):
        start = segment.position[frame], sign * segment.velocity[frame]
        twice, once = stride(*stride(*start, 4.0), 4.0), stride(*start, 8.0)
        scales = (np.array(t)[1, k, None] for t in (a.displacement_scale, a.velocity_change_scale))
        d, v = (np.mean(((two - one) / s) ** 2) for two, one, s in zip(twice, once, scales, strict=True))
        assert d > 1e-4 and v > 1e-4
        assert float(added([short], sign).detach()) == pytest.approx(3.0 * (d + 0.5 * v), rel=1e-9)
        assert float(added([long, short], sign).detach()) == pytest.approx(1.5 * (d + 0.5 * v), rel=1e-9)
        assert float(added([long], sign).detach()) == 0.0
    (slope,) = torch.autograd.grad(added([short], 1.0), network.weights["readout"])
    step, values = 1e-6, []
    for shift in (step, -step):
        with torch.no_grad():
            network.weights["readout"][0, 0, 0] += shift
            values.append(float(added([short], 1.0)))
            network.weights["readout"][0, 0, 0] -= shift
    assert float(slope[0, 0, 0]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert abs(float(slope[0, 0, 0])) > 1e-3


def test_a_semigroup_is_learned():
    """The weight of the term makes two strides agree with one, more than the data alone do."""
    segments, left = [harmonic(k) for k in range(2)], {}
    both = {"strides": (4.0, 8.0)}
    rows = np.flatnonzero(objective_of(segments, **both)[2].pairs.stride == 0)[::5]
    defect = [objective_of(segments, **both, semigroup=w)[2] for w in (1.0, 2.0)]
    for weight in (0.0, 10.0):
        r, a, objective = objective_of(segments, **both, semigroup=weight)
        state = TrainingState(r, a)
        for step in range(40):
            state.optimiser.zero_grad()
            objective.loss(state.network, np.roll(rows, -4 * step)[:4], np.ones(4), 1).backward()
            state.update(0.1)
        with torch.no_grad():
            one, two = (float(d.loss(state.network, rows, np.ones(len(rows)), 1)) for d in defect)
        left[weight] = two - one
    assert 0.0 < left[10.0] < 0.5 * left[0.0]


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
