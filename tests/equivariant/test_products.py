"""The channelwise product in torch: derivatives of every order, and the same numbers from a twin without kernels."""

import itertools

import numpy as np
import pytest
import torch
from askel.equivariant.paths import paths
from askel.equivariant.products import Links, couple, couple_by_matrices

NATURAL = ((0, 1), (1, -1))
BOTH = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1), (2, -1))
N, E, C = 4, 7, 2


@pytest.fixture(params=[(NATURAL, 1), (BOTH, 2)], ids=["natural", "both"])
def sample(request):
    kinds, l_max = request.param
    table = paths(kinds, kinds, l_max)
    rng = np.random.default_rng(0)
    links = Links(torch.from_numpy(rng.integers(0, N - 1, E)), torch.from_numpy(np.sort(rng.integers(0, N, E))), N)
    sizes = ((N, table.dim_in, C), (E, (l_max + 1) ** 2), (E, table.n, C))
    arrays = [torch.from_numpy(rng.normal(size=size)).requires_grad_() for size in sizes]
    return table, links, arrays


def test_equal_to_matrices(sample):
    table, links, arrays = sample
    mine, theirs = couple(table, links, *arrays), couple_by_matrices(table, links, *arrays, chunk=3)
    assert mine.shape == (table.rows * N * C,)
    assert (mine - theirs).abs().max() < 1e-14 * theirs.abs().max()
    pull = torch.from_numpy(np.random.default_rng(1).normal(size=len(mine)))
    gradients = [torch.autograd.grad(out, arrays, pull) for out in (mine, theirs)]
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0.1
        assert (a - b).abs().max() < 1e-13 * b.abs().max()


def test_single_precision(sample):
    table, links, arrays = sample
    exact = couple(table, links, *arrays)
    single = couple(table, links, *(a.detach().float() for a in arrays))
    assert single.dtype == torch.float32
    assert 1e-9 < (single - exact).abs().max() / exact.abs().max() < 1e-6


def some(sample, wanted):
    """Return the product as a function of some arguments, the others fixed; a few of its outputs, for speed."""
    table, links, arrays = sample
    fixed = [a.detach() for a in arrays]

    def function(*given):
        values = list(fixed)
        for k, value in zip(wanted, given, strict=True):
            values[k] = value
        return couple(table, links, *values)[::5]

    return function, tuple(arrays[k] for k in wanted)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_first_derivatives(sample, wanted):
    assert torch.autograd.gradcheck(*some(sample, wanted), fast_mode=sample[0].n > 10 or len(wanted) > 1)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_second_derivatives(sample, wanted):
    function, arrays = some(sample, wanted)
    if len(wanted) == 1:  # linear: only the gradient by the incoming gradient is left
        grad = torch.autograd.grad(function(*arrays).square().sum(), arrays, create_graph=True)[0]
        assert grad.requires_grad
    assert torch.autograd.gradgradcheck(function, arrays, fast_mode=True)


def test_third_derivative_is_the_form_itself(sample):
    """F is linear in each of x, y, w: d^3F/dx dy dw in directions of unit vectors are F's coefficients."""
    table, links, arrays = sample
    x, y, w = arrays
    pull = torch.from_numpy(np.random.default_rng(1).normal(size=table.rows * N * C))
    form = (couple(table, links, x, y, w) * pull).sum()
    (dx,) = torch.autograd.grad(form, x, create_graph=True)
    (dxy,) = torch.autograd.grad((dx * x.detach()).sum(), y, create_graph=True)
    (dxyw,) = torch.autograd.grad((dxy * y.detach()).sum(), w)
    value = float(form.detach())
    assert float((dxyw * w.detach()).sum()) == pytest.approx(value, rel=1e-12)
    assert abs(value) > 1e-3


def test_no_edges():
    table = paths(NATURAL, NATURAL, 1)
    none = torch.zeros(0, dtype=torch.int64)
    arrays = [torch.zeros(s, dtype=torch.float64, requires_grad=True) for s in ((N, 4, C), (0, 4), (0, table.n, C))]
    out = couple(table, Links(none, none, N), *arrays)
    assert out.shape == (table.rows * N * C,) and not out.any()
    gradients = torch.autograd.grad(out.sum(), arrays)
    assert [g.shape for g in gradients] == [a.shape for a in arrays] and not gradients[0].any()


def test_threads_change_no_bit(sample):
    from askel.particles import kernel_threads

    table, links, arrays = sample
    results = []
    for threads in (1, 2):
        with kernel_threads(threads):
            out = couple(table, links, *arrays)
            results.append([out, *torch.autograd.grad(out.square().sum(), arrays)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_wrong_sign_would_be_seen(sample):
    """Flipping one entry of the coupling changes the product: the comparison with the twin is not an empty one."""
    table, links, arrays = sample
    exact = couple(table, links, *arrays)
    for entry in itertools.islice(range(len(table.values)), 0, None, 7):
        table.values[entry] *= -1.0
        try:
            assert (couple(table, links, *arrays) - exact).abs().max() > 1e-4 * exact.abs().max()
        finally:
            table.values[entry] *= -1.0
