"""Momenta after a stride: linear always, angular in open systems alone; molecules on a line and single atoms included."""

import numpy as np
import pytest
import torch
from askel.equivariant.conservation import conserve

PLACES = {
    "cluster": None,
    "flat": np.array([[0.0, 0, 0], [1.2, 0, 0], [0.3, 1.1, 0], [-0.9, 0.8, 0]]),
    "line": np.outer([0.0, 1.1, 2.3, 3.1], [0.48, -0.6, 0.64]),
    "pair": np.outer([0.0, 1.1], [0.48, -0.6, 0.64]),
}


def momenta(mass, position, velocity):
    """Return the momentum, and the angular momentum about the centre of mass."""
    m = mass[:, None]
    centre, drift = (m * position).sum(0) / m.sum(), (m * velocity).sum(0) / m.sum()
    return (m * velocity).sum(0), (m * np.cross(position - centre, velocity - drift)).sum(0)


def conserved(position, velocity, displacement, new, mass, open_frame=1.0, stride=7.0):
    n = len(mass)
    return conserve(
        displacement, new, position=position, before=velocity, mass=mass, frame=np.zeros(n, int), stride=np.array([stride]),
        open_frame=np.array([open_frame]), sums=lambda values: values.sum(0, keepdims=True), xp=np,
    )  # fmt: skip


@pytest.fixture(params=PLACES)
def proposal(request):
    """A state and a proposed stride that conserves nothing; on a line and in a pair the new positions are on a line too."""
    rng = np.random.default_rng(0)
    position = rng.normal(size=(6, 3)) if PLACES[request.param] is None else PLACES[request.param]
    n = len(position)
    velocity = rng.normal(0.0, 0.01, (n, 3)) + 0.005
    displacement = 0.02 * position if request.param in ("line", "pair") else rng.normal(0.0, 0.1, (n, 3))
    return position + 4.0, velocity, displacement, rng.normal(0.0, 0.01, (n, 3)), rng.uniform(1.0, 16.0, n)


def test_momenta(proposal):
    position, velocity, displacement, new, mass = proposal
    d, v = conserved(*proposal)
    before, after = momenta(mass, position, velocity), momenta(mass, position + d, v)
    assert np.abs(after[0] - before[0]).max() < 1e-14 * np.abs(mass[:, None] * velocity).sum()
    assert np.abs(after[1] - before[1]).max() < 1e-10 * np.linalg.norm(before[1])
    without = momenta(mass, position + displacement, new)
    assert all(np.linalg.norm(w - b) > 0.1 * np.linalg.norm(b) for w, b in zip(without, before, strict=True))
    centre = (mass[:, None] * d).sum(0) / mass.sum()
    assert centre == pytest.approx(7.0 * before[0] / mass.sum(), rel=1e-12)


def test_angular_momentum_of_periodic_systems_is_left_alone(proposal):
    position, velocity, _, _, mass = proposal
    d, v = conserved(*proposal, open_frame=0.0)
    before, after = momenta(mass, position, velocity), momenta(mass, position + d, v)
    assert np.abs(after[0] - before[0]).max() < 1e-14 * np.abs(mass[:, None] * velocity).sum()
    assert np.linalg.norm(after[1] - before[1]) > 0.1 * np.linalg.norm(before[1])


def test_correction_is_a_rigid_rotation(proposal):
    """Distances do not change to first order: the corrections of two atoms are the same along their distance."""
    position, _, _, _, _ = proposal
    _, plain = conserved(*proposal, open_frame=0.0)
    d, v = conserved(*proposal)
    moved, change = position + d, v - plain
    along = np.einsum("ijk,ijk->ij", moved[:, None] - moved[None], change[:, None] - change[None])
    assert np.abs(along).max() < 1e-9 * np.abs(change).max()


@pytest.mark.parametrize("bend", [0.01, 0.03, 0.1, 0.3])
def test_molecules_that_are_nearly_on_a_line(bend):
    """Carbon dioxide bent by some hundredths of an Angstrom, as heat bends it: one moment of inertia is small, and counts."""
    rng, worst = np.random.default_rng(0), 0.0
    mass = np.array([15.999, 12.011, 15.999])
    for _ in range(50):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        position = np.array([[-1.16, 0.0, 0.0], [0.0, bend, 0.0], [1.16, 0.0, 0.0]]) @ turn.T
        velocity, new = rng.normal(0.0, 0.01, (2, 3, 3))
        d, v = conserved(position, velocity, 0.01 * position, new, mass)
        before, after = momenta(mass, position, velocity)[1], momenta(mass, position + d, v)[1]
        worst = max(worst, np.abs(after - before).max() / np.linalg.norm(before))
    assert worst < 1e-10


def test_an_atom_alone_keeps_its_velocity():
    velocity, rng = np.array([[0.01, -0.02, 0.03]]), np.random.default_rng(0)
    d, v = conserved(np.ones((1, 3)), velocity, rng.normal(size=(1, 3)), rng.normal(size=(1, 3)), np.ones(1))
    assert v == pytest.approx(velocity, abs=1e-16)
    assert d == pytest.approx(7.0 * velocity, abs=1e-15)


def test_momenta_of_a_linear_molecule_are_those_of_its_stride(make_architecture, make_network, make_batch):
    """Carbon dioxide on a line, moving along it and turning."""
    a = make_architecture()
    line = {
        "species": np.array([8, 6, 8]), "mass": np.array([15.999, 12.011, 15.999]), "stride": 7.0,
        "position": np.outer([-1.16, 0.0, 1.16], [0.6, 0.0, 0.8]),
        "velocity": np.array([[0.0, 0.01, 0.0], [0.001, 0.0, 0.002], [0.0, -0.008, 0.001]]),
    }  # fmt: skip
    d, v = (out.detach().numpy() for out in make_network(a)(make_batch(a, line)))
    before = momenta(line["mass"], line["position"], line["velocity"])
    after = momenta(line["mass"], line["position"] + d, v)
    assert np.abs(after[1] - before[1]).max() < 1e-10 * np.linalg.norm(before[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_network_conserves_in_double_precision_whatever_its_own(
    make_architecture, make_network, make_batch, make_system, dtype
):
    a = make_architecture()
    system, crystal = make_system(8, 1), make_system(8, 2, periodic=True)
    d, v = (out.detach().numpy() for out in make_network(a, dtype=dtype)(make_batch(a, system, crystal)))
    for rows, one in ((slice(0, 8), system), (slice(8, 16), crystal)):
        before = momenta(one["mass"], one["position"], one["velocity"])
        after = momenta(one["mass"], one["position"] + d[rows], v[rows])
        assert np.abs(after[0] - before[0]).max() < 1e-12 * np.abs(one["mass"][:, None] * one["velocity"]).sum()
        defect = np.linalg.norm(after[1] - before[1]) / np.linalg.norm(before[1])
        assert defect > 1e-3 if "cell" in one else defect < 1e-10


def test_gradients_pass_through():
    rng = np.random.default_rng(0)
    n = 5
    position, before, displacement, new = (torch.from_numpy(rng.normal(size=(n, 3))) for _ in range(4))
    mass, frame = torch.from_numpy(rng.uniform(1.0, 3.0, n)), torch.zeros(n, dtype=torch.int64)

    def outputs(d, v):
        return conserve(
            d, v, position=position, before=before, mass=mass, frame=frame, stride=torch.ones(1, dtype=torch.float64),
            open_frame=torch.ones(1, dtype=torch.float64), sums=lambda values: values.sum(0, keepdim=True), xp=torch,
        )  # fmt: skip

    assert torch.autograd.gradcheck(outputs, (displacement.requires_grad_(), new.requires_grad_()))
