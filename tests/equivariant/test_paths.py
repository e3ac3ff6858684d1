"""The tables of paths: which there are, and that the mixing matrices hold the coupling tensors."""

import numpy as np
import pytest
from askel.equivariant.harmonics import coupling
from askel.equivariant.paths import dimension, paths, reachable
from e3nn import o3

NATURAL = ((0, 1), (1, -1), (2, 1))
BOTH = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1), (2, -1))


@pytest.mark.parametrize(("kinds", "count"), [(NATURAL, 11), (BOTH, 30), (((0, 1), (1, -1)), 4)])
def test_every_path_that_e3nn_allows(kinds, count):
    l_max = max(degree for degree, _ in kinds)
    found = paths(kinds, kinds, l_max)
    allowed = {
        (i, l_2, k)
        for i, one in enumerate(kinds)
        for l_2 in range(l_max + 1)
        for k, other in enumerate(kinds)
        if o3.Irrep(*other) in o3.Irrep(*one) * o3.Irrep(l_2, (-1) ** l_2)
    }
    assert set(found.links) == allowed
    assert found.n == len(found.links) == count


@pytest.mark.parametrize("kinds", [NATURAL, BOTH])
def test_mixing_matrices_hold_the_tensors(kinds):
    table = paths(kinds, kinds, 2)
    y = np.random.default_rng(0).normal(size=9)
    mixing = np.zeros(table.mixing_size)
    np.add.at(mixing, table.entries[:, 0], table.values * y[table.entries[:, 1]])
    for (i, l_2, k), row in zip(table.links, table.table, strict=True):
        l_1, l_3 = kinds[i][0], kinds[k][0]
        expected = np.sqrt(2 * l_3 + 1) * np.einsum("abk,b->ka", coupling(l_1, l_2, l_3), y[l_2**2 : (l_2 + 1) ** 2])
        mine = mixing[row[7] : row[7] + row[1] * row[2]].reshape(row[2], row[1])
        assert mine == pytest.approx(expected, abs=1e-13)


def test_blocks_fill_the_message_without_gaps():
    table = paths(BOTH, BOTH, 2)
    assert [b[1] for b in table.blocks] == [degree for degree, _ in BOTH]
    seen = np.zeros(table.rows, int)
    for _, _, size_out, first, height, width, place, _ in table.table:
        assert height == size_out * width
        np.add.at(seen, first + np.arange(size_out) * width + place, 1)
    assert (seen == 1).all()
    assert table.dim_in == dimension(BOTH) == 18


def test_only_kinds_in_reach():
    scalars = ((0, 1),)
    assert reachable(scalars, BOTH, 2) == NATURAL  # scalars times harmonics have the harmonics' parity
    assert reachable(NATURAL, BOTH, 2) == tuple(kind for kind in BOTH if kind != (0, -1))
    assert reachable(BOTH, BOTH, 2) == BOTH
