"""Edges: against a search over all images, for every kind of cell."""

import itertools

import numpy as np
import pytest
from askel.equivariant import neighbour_graph
from askel.particles import InputError

SKEWED = np.array([[3.0, 0.0, 0.0], [1.4, 2.9, 0.0], [-0.8, 1.1, 3.3]])
TINY = np.array([[1.1, 0.0, 0.0], [0.3, 1.2, 0.0], [0.1, -0.2, 1.0]])
CELLS = {
    "open": (None, (False, False, False)),
    "large": (7.0 * np.eye(3), (True, True, True)),
    "skewed": (SKEWED, (True, True, True)),
    "left-handed": (SKEWED[[1, 0, 2]], (True, True, True)),
    "tiny": (TINY, (True, True, True)),
    "slab": (SKEWED, (True, True, False)),
    "wire": (SKEWED, (False, False, True)),
    "slab without a third vector": (SKEWED * [[1.0], [1.0], [0.0]], (True, True, False)),
    "wire along z alone": (np.diag([0.0, 0.0, 2.5]), (False, False, True)),
    "wire along x, as third vector": (np.array([[0.0] * 3, [0.0] * 3, [2.5, 0.0, 0.0]]), (False, False, True)),
    "wire along y, as first vector": (np.array([[0.0, 2.5, 0.0], [0.0] * 3, [0.0] * 3]), (True, False, False)),
    "a cell that does not repeat": (SKEWED, (False, False, False)),
}


def all_edges(position, cell, periodic, cutoff):
    """Return the sorted rows (receiver, sender, vector) of all pairs closer than the cutoff, over all images that can be."""
    box = np.zeros((3, 3)) if cell is None else cell
    # enough images: the cutoff and the spread of the atoms over the smallest height of the cell
    reach = cutoff + np.ptp(position, axis=0).max() * 2 if len(position) else 0.0
    wraps = [k for k in range(3) if periodic[k]]
    images = 0
    if wraps:
        heights = 1.0 / np.linalg.norm(np.linalg.pinv(box[wraps]), axis=0)
        images = int(np.ceil(reach / heights.min()))
    found = []
    for shift in itertools.product(*[range(-images, images + 1) if k in wraps else (0,) for k in range(3)]):
        moved = position + np.array(shift) @ box
        vectors = moved[None] - position[:, None]
        near = np.linalg.norm(vectors, axis=2) < cutoff
        if not any(shift):
            np.fill_diagonal(near, False)
        found += [(i, j, *vectors[i, j]) for i, j in np.argwhere(near)]
    return sorted_rows(np.array(found).reshape(-1, 5))


def sorted_rows(rows):
    return rows[np.lexsort(np.round(rows, 6).T[::-1])]


def rows_of(graph, position):
    return sorted_rows(np.column_stack([graph.receiver, graph.sender, graph.vectors(position)]))


@pytest.mark.parametrize("cutoff", [1.3, 2.4])
@pytest.mark.parametrize("name", CELLS)
def test_equals_a_search_over_all_images(name, cutoff):
    cell, periodic = CELLS[name]
    position = np.random.default_rng(2).uniform(-1.0, 3.0, (9, 3))  # some outside of the cell
    graph = neighbour_graph(position, cell, periodic, cutoff)
    expected = all_edges(position, cell, periodic, cutoff)
    assert len(expected) > 5
    assert np.abs(rows_of(graph, position) - expected).max() < 1e-12
    assert (np.diff(graph.receiver) >= 0).all()
    assert graph.start.tolist() == np.searchsorted(graph.receiver, np.arange(10)).tolist()


def test_an_atom_sees_its_own_images():
    graph = neighbour_graph(np.zeros((1, 3)), 2.0 * np.eye(3), [True] * 3, 2.5)
    assert len(graph.sender) == 6
    assert sorted(map(tuple, graph.shift.tolist())) == sorted(
        tuple(sign * 2.0 * row) for row in np.eye(3) for sign in (1.0, -1.0)
    )


def test_each_pair_in_both_directions():
    position = np.random.default_rng(2).uniform(0.0, 3.0, (9, 3))
    graph = neighbour_graph(position, SKEWED, [True] * 3, 2.4)
    there = rows_of(graph, position)
    back = sorted_rows(there[:, [1, 0, 2, 3, 4]] * [1, 1, -1, -1, -1])
    assert np.abs(there - back).max() < 1e-12


@pytest.mark.parametrize("periodic", [True, False])
def test_replicas_do_not_see_each_other(periodic):
    position = np.random.default_rng(3).uniform(0.0, 3.0, (12, 3))
    cell, starts = SKEWED if periodic else None, [0, 5, 5, 12]  # the second one is empty
    graph = neighbour_graph(position, cell, [periodic] * 3, 2.0, starts)
    parts = [
        all_edges(position[a:b], cell, [periodic] * 3, 2.0) + np.array([a, a, 0, 0, 0]) for a, b in ((0, 5), (5, 12))
    ]
    assert np.abs(rows_of(graph, position) - np.concatenate(parts)).max() < 1e-12
    assert graph.start[-1] == len(graph.sender) and (np.diff(graph.receiver) >= 0).all()
    assert len(neighbour_graph(position, cell, [periodic] * 3, 2.0).sender) > len(graph.sender)


@pytest.mark.parametrize("starts", [None, [0, 0, 0]])
@pytest.mark.parametrize("cell", [None, SKEWED])
def test_no_atoms(cell, starts):
    graph = neighbour_graph(np.zeros((0, 3)), cell, [cell is not None] * 3, 2.0, starts)
    assert len(graph.sender) == len(graph.receiver) == 0
    assert graph.shift.shape == (0, 3) and graph.start.tolist() == [0]


def test_one_atom_alone():
    graph = neighbour_graph(np.zeros((1, 3)), None, [False] * 3, 2.0)
    assert len(graph.sender) == 0 and graph.start.tolist() == [0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_positions_that_are_not_finite(bad):
    position = np.zeros((4, 3))
    position[2, 1] = bad
    with pytest.raises(InputError, match="atom 2 is not finite"):
        neighbour_graph(position, None, [False] * 3, 2.0)


@pytest.mark.parametrize(
    "cell",
    [None, np.diag([2.0, 2.0, 0.0]), np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 1.0]])],
    ids=["none", "flat", "parallel"],
)
def test_a_periodic_direction_without_a_vector(cell):
    with pytest.raises(InputError, match="three independent cell vectors"):
        neighbour_graph(np.array([[0.0] * 3, [1.0] * 3]), cell, [True] * 3, 2.0)
