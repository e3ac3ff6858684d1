"""Batches: what they join, and what one of them may not be made of."""

import numpy as np
import pytest
import torch
from askel.equivariant import neighbour_graph
from askel.particles import InputError


def test_frames_are_joined(make_architecture, make_batch, make_system):
    a = make_architecture(strides=(5.0, 7.0))
    one, two = make_system(8, 1, stride=7.0), make_system(5, 2, periodic=True, stride=5.0)
    batch = make_batch(a, one, two)
    assert batch.n == 13 and batch.n_frames == 2
    assert batch.frame.tolist() == [0] * 8 + [1] * 5
    assert batch.open.tolist() == [True, False] and batch.stride.tolist() == [7.0, 5.0]
    assert np.array_equal(np.array(a.species)[batch.species], np.concatenate([one["species"], two["species"]]))
    assert batch.position.dtype == batch.velocity.dtype == batch.mass.dtype == batch.shift.dtype == torch.float64
    assert (np.diff(batch.receiver) >= 0).all()
    assert (batch.frame[batch.sender] == batch.frame[batch.receiver]).all()
    graphs = [
        neighbour_graph(s["position"], s.get("cell"), s.get("periodic", (False,) * 3), a.cutoff) for s in (one, two)
    ]
    vectors = np.concatenate([g.vectors(s["position"]) for g, s in zip(graphs, (one, two), strict=True)])
    assert np.abs(batch.vectors().numpy() - vectors).max() < 1e-14
    assert np.linalg.norm(vectors, axis=1).min() > 0.5 and np.linalg.norm(vectors, axis=1).max() < a.cutoff


def test_graphs_that_are_known_are_not_made_again(make_architecture, make_batch, make_system):
    a, system = make_architecture(), make_system(8, 1)
    few = neighbour_graph(system["position"], None, (False,) * 3, 1.7)
    assert len(make_batch(a, system | {"graph": few}).sender) == len(few.sender) < len(make_batch(a, system).sender)


def test_sums_over_frames(make_architecture, make_batch, make_system):
    batch = make_batch(make_architecture(), make_system(8, 1), make_system(5, 2))
    values = torch.arange(26.0).reshape(13, 2)
    assert torch.equal(batch.sums(values), torch.stack([values[:8].sum(0), values[8:].sum(0)]))


def test_another_state_of_the_same_atoms(make_architecture, make_network, make_batch, make_system):
    """A stride on from where a stride ended needs no new edges, only their new vectors."""
    a, system = make_architecture(), make_system(8, 1)
    batch, moved = make_batch(a, system), system["position"] + 1e-4
    other = batch.with_state(torch.from_numpy(moved), 2.0 * batch.velocity)
    assert torch.equal(other.velocity, 2.0 * batch.velocity) and torch.equal(other.sender, batch.sender)
    network = make_network(a)
    expected = network(make_batch(a, system | {"position": moved, "velocity": 2.0 * system["velocity"]}))
    assert all(torch.equal(x, y) for x, y in zip(network(other), expected, strict=True))


def test_unknown_species_and_strides(make_architecture, make_network, make_batch, make_system):
    a, system = make_architecture(), make_system(4, 1)
    with pytest.raises(InputError, match="species 9"):
        make_batch(a, system | {"species": [1, 1, 9, 1]})
    with pytest.raises(InputError, match="made for 7 fs"):
        make_network(a)(make_batch(a, system | {"stride": 3.0}))
    with pytest.raises(InputError, match="not finite"):
        make_batch(a, system | {"position": system["position"] * np.nan})
