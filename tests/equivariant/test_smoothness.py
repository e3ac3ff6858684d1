"""No jumps and no kinks: where an edge enters the cutoff, and where an atom is at rest."""

import numpy as np
import pytest
import torch
from askel.equivariant.bases import cutoff_function, radial_basis, speed_basis, velocity_harmonics


@pytest.fixture
def architecture(make_architecture):
    return make_architecture(cutoff=3.0, speed_functions=6)


def kink(values, step):
    """Return the change of slope at the middle of an odd number of values over a line, relative to the largest slope."""
    slopes = np.diff(values, axis=0) / step
    middle = len(slopes) // 2
    return np.abs(slopes[middle] - slopes[middle - 1]).max() / np.abs(slopes).max()


def test_cutoff_function(architecture):
    at = np.array([0.0, 1.5, 3.0 - 1e-9, 3.0, 3.0 + 1e-9, 300.0])
    value = cutoff_function(at, architecture)
    assert value[0] == 1.0 and 0.3 < value[1] < 0.9
    assert np.abs(value[2:]).max() < 1e-15 and not value[3:].any()
    near = np.array([0.02, 0.01])  # ~ distance^3, so that forces and their slope end smoothly
    ratio = np.divide(*cutoff_function(3.0 - near, architecture))
    assert ratio == pytest.approx(8.0, rel=0.1)


def test_radial_functions_are_orthonormal_in_their_measure(architecture):
    """sin(n pi r/r_c)/r with weight r^2: orthogonal, which fixes the frequencies."""
    r = (np.arange(2000) + 0.5) * 3.0 / 2000
    frequencies = np.pi * np.arange(1, 5)
    values = radial_basis(r, frequencies, architecture, np)
    overlap = np.einsum("ra,rb,r->ab", values, values, r**2) * 3.0 / 2000
    assert overlap == pytest.approx(overlap[0, 0] * np.eye(4), abs=1e-9 * overlap[0, 0])


def test_velocity_harmonics_are_smooth_at_rest_and_linear_far_out():
    line = np.linspace(-2e-3, 2e-3, 41)[:, None] * [0.6, 0.0, 0.8]
    values = np.stack(velocity_harmonics(line, 3), axis=1)
    assert kink(values, 1e-4) < 1e-3
    assert np.abs(np.stack(velocity_harmonics(np.zeros((1, 3)), 3), 1)[0, 1:]).max() == 0.0
    far = np.stack(velocity_harmonics(np.array([[30.0, 40.0, 50.0], [60.0, 80.0, 100.0]]), 3), axis=1)
    assert far[1, 1:] / far[0, 1:] == pytest.approx(2.0, rel=1e-2)


@pytest.mark.parametrize(("kind", "low", "high"), [("even", 0.0, 0.02), ("plain", 0.1, 2.0)])
def test_gaussians_of_the_speed_have_a_kink_at_rest_unless_even(make_architecture, kind, low, high):
    line = np.linspace(-2e-2, 2e-2, 41)
    values = speed_basis(np.abs(line), make_architecture(speed_functions=6, speed_basis=kind), np)
    assert low <= kink(values, 1e-3) * np.abs(np.diff(values, axis=0)).max() / 1e-3 <= high


def test_gradients_at_rest_are_finite(make_architecture, make_network, make_batch, make_system):
    a = make_architecture()
    system = make_system(6, 1)
    batch = make_batch(a, system | {"velocity": np.zeros((6, 3))})
    velocity = batch.velocity.requires_grad_()
    displacement, _ = make_network(a)(batch)
    (gradient,) = torch.autograd.grad(displacement.square().sum(), velocity)
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 1e-6


@pytest.mark.parametrize("head", ["stride", "energy"])
def test_an_edge_enters_without_a_jump(make_architecture, make_network, make_batch, make_system, head):
    """An atom comes from outside; at the cutoff nothing jumps, and a little inside something has changed."""
    a = make_architecture(head=head, layers=1)
    network = make_network(a)
    system = make_system(2, 1) | {"cell": 40.0 * np.eye(3), "periodic": (True, True, True)}  # no rotation is taken out

    def at(distance):
        batch = make_batch(a, system | {"position": np.array([[0.0, 0.0, 0.0], [0.0, 0.6 * distance, 0.8 * distance]])})
        out = network(batch)[1] if head == "stride" else network.energy(batch)
        return len(batch.sender), out.detach().numpy()

    outside, just, inside = at(3.0 + 1e-6), at(3.0 - 1e-6), at(2.7)
    assert (outside[0], just[0], inside[0]) == (0, 2, 2)
    assert np.abs(just[1] - outside[1]).max() < 1e-12
    assert np.abs(inside[1] - outside[1]).max() > 1e-6
