"""Pieces of the curve: equal work, compact, complete; records of particles; threads of a rank."""

import numpy as np
import pytest
from askel.mpi._kernels.hilbert_reference import BITS
from askel.mpi.decomposition import Decomposition, Frame, filled_cell
from askel.mpi.halo import image_shifts, stretch_boxes
from askel.mpi.world import rank_threads
from askel.particles import FIELDS, UNIT_SYSTEMS, Particles, resolve
from askel.particles.collective import equal_cuts
from askel.particles.packing import describe_state, empty_like, pack_rows, unpack_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from askel.launched import launched


class Alone:
    """Cuts for P ranks, all of whose particles are here."""

    def __init__(self, size):
        self.size = size

    def reduce(self, value, operation):
        return value


def test_neighbours_on_the_curve_are_neighbours_in_space():
    side = 16
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    out = np.empty(len(grid), np.int64)
    resolve("hilbert_index")(grid * 2**BITS // side, out)
    path = grid[np.argsort(out)]
    assert (np.abs(np.diff(path, axis=0)).sum(axis=1) == 1).all()
    assert len(set(out.tolist())) == side**3


@settings(max_examples=60)
@given(st.integers(2, 9), st.integers(0, 80), st.integers(0, 2**31), st.booleans())
def test_cuts_share_the_work_to_one_particle(size, n, seed, repeated):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 5 if repeated else 2**63 - 1, n)
    work = rng.random(n) + 0.1
    cuts = equal_cuts(index, work, Alone(size))
    assert (np.diff(cuts) >= 0).all()
    for k, cut in enumerate(cuts, 1):
        below, target = work[index < cut].sum(), work.sum() * k / size
        assert below >= target - 1e-9
        if n and cut > 0:
            assert work[index < cut - 1].sum() < target + 1e-9  # no smaller cut would do


def test_a_piece_is_compact():
    """The pieces of eight ranks of a full cube are its octants; ghosts then are as few as can be."""
    rng = np.random.default_rng(5)
    position = rng.random((20000, 3)) * 10.0
    parts = Decomposition(Alone(8))
    owners, anew = parts.shared(position, np.ones(len(position)), np.eye(3) * 10.0, (True,) * 3)
    assert anew and np.bincount(owners).min() > 2480
    spread = [np.ptp(position[owners == r], axis=0).prod() for r in range(8)]
    assert 120.0 < np.mean(spread) < 160.0  # 125 is an octant
    assert parts.shared(position, np.ones(len(position)), np.eye(3) * 10.0, (True,) * 3)[1] is False


@pytest.mark.parametrize("periodic", [(True, True, True), (True, True, False), (False, True, False), None])
def test_frames_of_all_boundaries(periodic):
    rng = np.random.default_rng(2)
    cell = np.array([[4.0, 0.0, 0.0], [1.0, 7.0, 0.0], [0.5, -1.0, 3.0]])
    position = rng.normal(size=(500, 3)) * 5.0
    frame = Frame.of(position, None if periodic is None else cell, periodic, Alone(1))
    index = frame.indices(position)
    assert index.min() >= 0 and np.unique(index).size == 500
    wraps = np.zeros(3) if periodic is None else np.array(periodic, float)
    shifted = position + (rng.integers(-3, 4, (500, 3)) * wraps) @ cell
    assert np.abs(frame.wrapped(shifted) - frame.wrapped(position)).max() < 1e-12
    moved = np.abs(frame.indices(shifted).astype(float) - index) / 2.0**63
    assert np.median(moved) < 1e-5
    far = frame.indices(position * 1e6)
    assert far.min() >= 0


def test_unit_vectors_fill_open_directions():
    vectors, wraps = filled_cell([[0, 3, 0], [0, 0, 0], [0, 0, 2]], (True, False, True))
    assert wraps.tolist() == [True, False, True]
    assert np.isclose(abs(np.linalg.det(vectors)), 6.0) and np.allclose(vectors[1] @ vectors[[0, 2]].T, 0.0)
    assert np.array_equal(filled_cell(None, None)[0], np.eye(3))


def test_images_are_enough_and_not_too_many():
    assert len(image_shifts(np.eye(3) * 10.0, np.array([True] * 3), 2.0)) == 27
    assert len(image_shifts(np.eye(3) * 10.0, np.array([True, False, False]), 25.0)) == 7
    assert len(image_shifts(np.eye(3), np.zeros(3, bool), 9.0)) == 1


def test_boxes_hold_their_stretch():
    places = np.random.default_rng(1).normal(size=(37, 3))
    boxes = stretch_boxes(places)
    assert boxes.shape == (16, 2, 3) and boxes[:, 0].min() == places.min() and boxes[:, 1].max() == places.max()
    assert stretch_boxes(places[:0]).shape == (0, 2, 3) and len(stretch_boxes(places[:3])) == 3


def test_records_hold_every_field_of_the_table():
    n, rng = 5, np.random.default_rng(3)
    values = {}
    for field in FIELDS.values():
        shape = (n, *field.shape) if field.scope == "particle" else field.shape
        values[field.name] = (rng.random(shape) * 9).astype(field.dtype) if field.name != "time" else 2.5
    values["identity"] = rng.permutation(n)
    state = Particles.from_dict(values, UNIT_SYSTEMS["ase"])
    empty = empty_like(describe_state(state))
    assert empty.n == 0 and [f.name for f in empty.present()] == list(FIELDS) and empty.units == state.units
    back = unpack_rows(pack_rows(state), empty)
    for name in FIELDS:
        assert np.array_equal(getattr(back, name), getattr(state, name)), name
    some = unpack_rows(pack_rows(state, ("identity", "spin")), empty)
    assert np.isnan(some.position).all() and np.array_equal(some.spin, state.spin) and some.species is None


def test_the_launcher_tells_the_ranks():
    assert launched({}) == (0, 1)
    assert launched({"PMI_SIZE": "4", "PMI_RANK": "3"}) == (3, 4)
    assert launched({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}) == (0, 2)
    assert launched({"SLURM_NTASKS": "64", "SLURM_PROCID": "0"}) == (0, 1)  # a batch script is no rank


def test_threads_of_a_rank():
    everything, left, right = frozenset(range(8)), frozenset(range(4)), frozenset(range(4, 8))
    assert rank_threads(everything, [everything] * 2) == 4  # nothing is bound: ranks share
    assert rank_threads(left, [left, right]) == 4  # bound by the launcher
    assert rank_threads(everything, [everything] * 16) == 1
    assert rank_threads(everything, [everything]) == 8
