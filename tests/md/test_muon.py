"""Muon: steps of matrices are nearly orthogonal, of the size of AdamW's; the rest is AdamW."""

import pytest
import torch
from askel.md.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(2, 6, 10), (3, 10, 6), (1, 8, 8), (1, 1, 5)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    inside = u.mT @ orthogonal(x) @ v.mT
    values = inside.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.4 and values.max() < 1.3
    assert (inside - torch.diag_embed(values)).abs().max() < 1e-12


def test_a_step_has_the_size_of_one_of_adamw():
    w = torch.zeros(2, 12, 20, dtype=torch.float64, requires_grad=True)
    optimiser = Muon([w], [], lr=0.01, weight_decay=0.0, betas=(0.9, 0.999))
    w.grad = 1e-6 * torch.randn(w.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    optimiser.step()
    assert 0.0012 < w.detach().square().mean().sqrt() < 0.0028  # 0.2 lr


def test_weights_decay_and_others_do_not():
    w, b = (torch.ones(*shape, requires_grad=True) for shape in ((3, 4), (5,)))
    optimiser = Muon([w], [b], lr=0.1, weight_decay=0.5, betas=(0.9, 0.999))
    w.grad, b.grad = torch.zeros_like(w), torch.zeros_like(b)
    optimiser.step()
    assert torch.allclose(w, torch.full_like(w, 0.95)) and torch.equal(b, torch.ones_like(b))


def test_others_take_the_steps_of_adamw():
    rows = torch.randn(6, 7, generator=torch.Generator().manual_seed(3))
    mine, theirs = (torch.ones(7, requires_grad=True) for _ in range(2))
    ours = Muon([], [mine], lr=0.02, weight_decay=0.0, betas=(0.9, 0.99))
    adam = torch.optim.AdamW([theirs], lr=0.02, weight_decay=0.0, betas=(0.9, 0.99))
    for row in rows:
        mine.grad, theirs.grad = row.clone(), row.clone()
        ours.step()
        adam.step()
    assert torch.allclose(mine, theirs, atol=1e-6) and (mine - 1.0).abs().max() > 0.02


def test_a_matrix_is_found():
    """Least squares whose inputs have very different sizes."""
    generator = torch.Generator().manual_seed(4)
    scales = torch.logspace(0, -2, 8)
    x, true = torch.randn(200, 8, generator=generator) * scales, torch.randn(8, 6, generator=generator)
    w = torch.zeros(8, 6, requires_grad=True)
    optimiser = Muon([w], [], lr=0.05, weight_decay=0.0, betas=(0.9, 0.999))
    losses = []
    for _ in range(300):
        loss = (x @ (w - true)).square().mean()
        (w.grad,) = torch.autograd.grad(loss, w)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 2e-3 * losses[0]
