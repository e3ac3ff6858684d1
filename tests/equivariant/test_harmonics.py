"""Harmonics and coupling tensors: against e3nn, and by what defines them."""

import numpy as np
import pytest
import torch
from askel.equivariant.harmonics import coupling, solid_harmonics
from e3nn import o3

TRIPLES = [(a, b, c) for a in range(4) for b in range(4) for c in range(abs(a - b), min(a + b, 3) + 1)]


def rows(points, l_max=3):
    return np.stack(solid_harmonics(*points.T, l_max), axis=1)


@pytest.fixture
def points():
    return np.random.default_rng(3).normal(size=(20, 3))


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_equal_e3nn(points, l_max):
    theirs = o3.spherical_harmonics(
        list(range(l_max + 1)), torch.from_numpy(points), normalize=False, normalization="component"
    )
    mine = rows(points, l_max)
    assert mine.shape == (20, (l_max + 1) ** 2)
    assert np.abs(mine - theirs.numpy()).max() < 1e-13 * np.abs(mine).max()


def test_torch_and_numpy_give_the_same(points):
    mine = torch.stack(solid_harmonics(*torch.from_numpy(points).unbind(1), 3), 1).numpy()
    assert np.abs(mine - rows(points)).max() < 1e-14 * np.abs(mine).max()


def test_component_normalisation(points):
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    for degree in range(4):
        squares = (rows(unit)[:, degree**2 : (degree + 1) ** 2] ** 2).sum(1)
        assert squares == pytest.approx(2 * degree + 1, rel=1e-14)


@pytest.mark.parametrize("triple", TRIPLES, ids=str)
def test_coupling_equals_e3nn_up_to_a_sign(triple):
    mine, theirs = coupling(*triple), o3.wigner_3j(*triple, dtype=torch.float64).numpy()
    assert np.abs(mine * np.sign((mine * theirs).sum()) - theirs).max() < 1e-13
    assert np.linalg.norm(mine) == pytest.approx(1.0, rel=1e-13)
    assert mine[np.nonzero(np.abs(mine) > 0.5 * np.abs(mine).max())][0] > 0.0


@pytest.mark.parametrize("triple", TRIPLES, ids=str)
def test_coupling_does_not_turn(triple):
    """Wigner matrices of a rotation, from harmonics of turned points alone, leave the tensor as it is."""
    rng = np.random.default_rng(5)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    points = rng.normal(size=(40, 3))
    before, after = rows(points), rows(points @ turn.T)
    blocks = [slice(degree**2, (degree + 1) ** 2) for degree in triple]
    matrices = [np.linalg.lstsq(before[:, b], after[:, b], rcond=None)[0] for b in blocks]
    turned = np.einsum("abc,ai,bj,ck->ijk", coupling(*triple), *matrices)
    assert np.abs(turned - coupling(*triple)).max() < 1e-13
    if max(triple) > 0:
        assert (
            np.abs(np.einsum("abc,ai->ibc", coupling(*triple), matrices[0]) - coupling(*triple)).max() > 1e-3
            or triple[0] == 0
        )


def test_degrees_that_do_not_couple():
    with pytest.raises(ValueError, match="degrees 0, 1 and 3 do not couple"):
        coupling(0, 1, 3)


def test_known_values():
    assert coupling(1, 1, 0)[:, :, 0] == pytest.approx(np.eye(3) / np.sqrt(3.0), abs=1e-14)
    cross = coupling(1, 1, 1)
    assert cross[0, 1, 2] == pytest.approx(1.0 / np.sqrt(6.0), rel=1e-13)
    assert cross == pytest.approx(-cross.transpose(1, 0, 2), abs=1e-14)
