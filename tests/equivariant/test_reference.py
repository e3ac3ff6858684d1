"""The network against its twin in e3nn's own operations, on the same weights."""

import e3nn
import pytest
import torch
from askel.equivariant.parameters import parameters
from askel.equivariant.reference import ReferenceNetwork


@pytest.fixture(scope="module", autouse=True)
def _no_search_for_the_best_order_of_sums():
    """Building e3nn's modules takes half the time without it; they compute the same."""
    before = e3nn.get_optimization_defaults()["optimize_einsums"]
    e3nn.set_optimization_defaults(optimize_einsums=False)
    yield
    e3nn.set_optimization_defaults(optimize_einsums=before)


@pytest.fixture
def pair(make_architecture, make_network, make_batch, make_system):
    def make(**changes):
        a = make_architecture(**changes)
        network = make_network(a)
        strides = a.strides or (0.0,)
        systems = [make_system(8, 1, stride=strides[0]), make_system(5, 2, periodic=True, stride=strides[-1])]
        return network, ReferenceNetwork(a).load(network.arrays()), make_batch(a, *systems)

    return make


def relative(mine, theirs):
    return float((mine - theirs).detach().abs().max() / theirs.detach().abs().max())


@pytest.mark.parametrize("parity", ["natural", "both"])
@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_strides(pair, l_max, parity):
    network, reference, batch = pair(l_max=l_max, parity=parity)
    for mine, theirs in zip(network(batch), reference(batch), strict=True):
        assert theirs.detach().abs().max() > 1e-2
        assert relative(mine, theirs) < 1e-12


def test_strides_with_a_baseline(pair):
    drift, memory = ((0.9, 0.5, 0.4), (0.6, 0.3, 0.2)), ((0.7, -0.3, 0.2), (0.1, 0.8, -0.5))
    network, reference, batch = pair(strides=(3.5, 7.0), drift=drift, memory=memory)
    for mine, theirs in zip(network(batch), reference(batch), strict=True):
        assert relative(mine, theirs) < 1e-12


@pytest.mark.parametrize("parity", ["natural", "both"])
@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_energies(pair, l_max, parity):
    network, reference, batch = pair(head="energy", l_max=l_max, parity=parity)
    mine, theirs = network.energy(batch), reference.energy(batch)
    atoms = torch.tensor(network.architecture.atom_energy, dtype=torch.float64)[batch.species]
    alone = torch.stack([atoms[batch.frame == f].sum() for f in range(2)])
    assert (theirs - alone).detach().abs().min() > 1e-2
    assert (mine - theirs).detach().abs().max() < 1e-12 * (theirs - alone).detach().abs().max()


def test_two_strides_three_layers_and_baselines(pair):
    tables = {
        "drift": ((0.5, 0.6, 0.7), (0.4, 0.3, 0.2)), "memory": ((0.2, 0.1, 0.3), (0.4, 0.6, 0.5)),
        "displacement_scale": ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), "velocity_change_scale": ((0.3, 0.2, 0.1), (0.6, 0.5, 0.4)),
    }  # fmt: skip
    network, reference, batch = pair(strides=(5.0, 7.0), layers=3, parity="both", **tables)
    for mine, theirs in zip(network(batch), reference(batch), strict=True):
        assert relative(mine, theirs) < 1e-12


def test_heavier_atoms(pair):
    network, reference, batch = pair()
    before = network(batch)[0]
    batch.mass[batch.species == 0] *= 2.0
    mine, theirs = network(batch)[0], reference(batch)[0]
    assert relative(mine, theirs) < 1e-12
    assert relative(mine, before) > 1e-3


@pytest.mark.parametrize("head", ["stride", "energy"])
def test_gradients_of_all_weights(pair, head):
    """Each array on which the output depends is compared, since its gradient is not zero; what the readout drops has none."""
    network, reference, batch = pair(head=head, parity="both")
    batch.mass[0] *= 2.0
    gradients = []
    for model in (network, reference):
        outputs = model(batch) if head == "stride" else (model.energy(batch),)
        sum(out.square().sum() for out in outputs).backward()
        gradients.append({k: torch.zeros_like(w) if w.grad is None else w.grad for k, w in model.weights.items()})
    mine, theirs = gradients
    assert set(mine) == set(theirs) == set(parameters(network.architecture))
    for name, grad in mine.items():
        size = theirs[name].abs().max()
        assert (grad - theirs[name]).abs().max() <= 1e-10 * size, name
    used = {name for name, grad in mine.items() if grad.any()}
    assert {"species", "bessel", "0_radial_0", "1_update_0", "readout"} <= used
    if head == "stride":
        assert {name for name in mine if not name.startswith("1_")} <= used  # all but some of the last layer
