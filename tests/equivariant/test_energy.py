"""The energy head: forces, second derivatives and the virial are those of its energy."""

import numpy as np
import pytest
import torch


@pytest.fixture
def model(make_architecture, make_network, make_batch):
    """Return (network, function: system -> batch)."""
    a = make_architecture(head="energy", parity="both")
    return make_network(a), lambda *systems: make_batch(a, *systems)


def energy_at(network, batch, position):
    return network.energy(batch.with_state(position, batch.velocity))


@pytest.mark.parametrize("periodic", [False, True])
def test_forces_against_differences(model, make_system, periodic):
    network, batch_of = model
    batch = batch_of(make_system(8, 1, periodic))
    position = batch.position.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy_at(network, batch, position).sum(), position)
    assert gradient.abs().max() > 1e-2
    assert gradient.sum(0).abs().max() < 1e-12 * gradient.abs().sum()
    step = 1e-5
    with torch.no_grad():
        for place in ((0, 0), (3, 1), (7, 2)):
            moved = torch.zeros_like(batch.position)
            moved[place] = step
            ends = [energy_at(network, batch, batch.position + sign * moved) for sign in (1.0, -1.0)]
            difference = float((ends[0] - ends[1]) / (2.0 * step))
            assert difference == pytest.approx(float(gradient[place]), abs=1e-8 * float(gradient.abs().max()))


def test_forces_do_not_twist_open_systems(model, make_system):
    network, batch_of = model
    batch = batch_of(make_system(8, 1))
    position = batch.position.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy_at(network, batch, position).sum(), position)
    torque = torch.linalg.cross(batch.position, gradient)
    assert torque.abs().max() > 1e-3
    assert torque.sum(0).abs().max() < 1e-11 * torque.abs().sum()


def test_a_loss_of_forces_can_be_differentiated(model, make_system):
    """d/dw of (sum of squared forces), as training on forces needs it, against a difference in a direction of weights."""
    network, batch_of = model
    batch = batch_of(make_system(6, 1), make_system(4, 2, periodic=True))

    def loss():
        position = batch.position.clone().requires_grad_()
        (forces,) = torch.autograd.grad(energy_at(network, batch, position).sum(), position, create_graph=True)
        return forces.square().sum()

    network.zero_grad()
    loss().backward()
    rng = np.random.default_rng(0)
    directions = {k: torch.from_numpy(rng.normal(size=tuple(w.shape))) for k, w in network.weights.items()}
    slope = sum(float((w.grad * directions[k]).sum()) for k, w in network.weights.items() if w.grad is not None)
    ends, step = [], 1e-5
    for sign in (1.0, -1.0):
        with torch.no_grad():
            for k, w in network.weights.items():
                w += sign * step * directions[k]
        ends.append(float(loss().detach()))
        with torch.no_grad():
            for k, w in network.weights.items():
                w -= sign * step * directions[k]
    assert abs(slope) > 1e-2
    assert (ends[0] - ends[1]) / (2.0 * step) == pytest.approx(slope, rel=1e-6)


def test_virial_against_strained_cells(model, make_system):
    """- dE/d(strain) from a strain put on positions and shifts equals the difference of energies of strained systems."""
    network, batch_of = model
    system = make_system(8, 1, periodic=True)
    batch = batch_of(system)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    stretch = torch.eye(3, dtype=torch.float64) + strain
    strained = batch.with_state(batch.position @ stretch, batch.velocity)
    strained.shift = batch.shift @ stretch
    (gradient,) = torch.autograd.grad(network.energy(strained).sum(), strain)
    assert gradient.abs().max() > 1e-2
    assert (gradient - gradient.T).abs().max() < 1e-10 * gradient.abs().max()  # the energy does not turn
    step = 1e-5
    for a, b in ((0, 0), (1, 2)):
        ends = []
        for sign in (1.0, -1.0):
            stretched = np.eye(3)
            stretched[a, b] += sign * step
            pulled = system | {"position": system["position"] @ stretched, "cell": system["cell"] @ stretched}
            ends.append(float(network.energy(batch_of(pulled)).detach()))
        difference = (ends[0] - ends[1]) / (2.0 * step)
        assert difference == pytest.approx(float(gradient[a, b]), abs=1e-7 * float(gradient.abs().max()))


def test_atoms_that_see_nobody_have_the_energy_of_one(model, make_system):
    network, batch_of = model
    system = make_system(4, 1)
    alone = [
        batch_of(system | {k: system[k][i : i + 1] for k in ("species", "mass", "position", "velocity")})
        for i in range(4)
    ]
    apart = batch_of(system | {"position": 20.0 * system["position"]})
    assert len(apart.sender) == 0
    single = sum(float(network.energy(b).detach()) for b in alone)
    assert float(network.energy(apart).detach()) == pytest.approx(single, rel=1e-13)
