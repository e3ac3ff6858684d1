"""Pairs, held-out data and statistics of training, against direct computation."""

from dataclasses import replace

import numpy as np
import pytest
from askel.md.training.data import (
    average_neighbours,
    energy_architecture,
    pairs_of,
    span_of,
    split,
    statistics,
    stride_architecture,
)
from askel.md.training.recipe import TrainingRecipe
from askel.particles import InputError
from askel.particles.io_segments import Segment

SPECIES = np.array([8, 1, 1, 8])
OPEN = np.zeros(3, bool)


def noise(frames=40, seed=0, interval=0.5, **more):
    rng = np.random.default_rng(seed)
    mass = np.where(SPECIES == 1, 1.008, 15.999)
    velocity = rng.normal(size=(frames, 4, 3)) / np.sqrt(mass)[:, None]
    position = np.cumsum(velocity, axis=0) * interval + 0.3 * rng.normal(size=(frames, 4, 3))
    return Segment(SPECIES, mass, None, OPEN, 300.0, interval, position, velocity, **more)


def test_pairs_cover_every_start_once():
    segments = [noise(10), noise(7, seed=1)]
    pairs = pairs_of(segments, (1.0, 2.0))  # spans of 2 and 4 frames
    assert len(pairs) == (8 + 5) + (6 + 3)
    rows = set(
        zip(pairs.segment.tolist(), pairs.first.tolist(), pairs.span.tolist(), pairs.stride.tolist(), strict=True)
    )
    assert len(rows) == len(pairs)
    assert (0, 7, 2, 0) in rows and (1, 2, 4, 1) in rows
    assert (pairs.first + pairs.span < np.array([10, 7])[pairs.segment]).all()
    assert len(pairs_of(segments, (1.0,), every=3)) == 3 + 2


def test_samples_that_go_on_for_several_strides():
    segments = [noise(10), noise(5, seed=1)]
    pairs = pairs_of(segments, (1.0,))
    rows = pairs.long_enough(segments, 3)
    assert pairs.segment[rows].tolist() == [0, 0, 0, 0] and pairs.first[rows].tolist() == [0, 1, 2, 3]


def test_thinning_keeps_the_ends():
    pairs = pairs_of([noise(21)], (0.5,))
    few = pairs.thinned(5)
    assert few.first.tolist() == [0, 5, 10, 14, 19] or few.first.tolist() == [0, 5, 9, 14, 19]
    assert len(pairs.thinned(0)) == len(pairs.thinned(100)) == 20


def test_whole_segments_are_held_out_and_ends_of_few():
    many = [noise(6, seed=k) for k in range(10)]
    training, validation = split(many, 0.2, seed=3)
    assert len(training) == 8 and len(validation) == 2
    assert {id(s) for s in training + validation} == {id(s) for s in many}
    again = split(many, 0.2, seed=3)[1]
    assert [id(s) for s in again] == [id(s) for s in validation]
    training, validation = split([noise(20)], 0.2, seed=3)
    assert (training[0].frames, validation[0].frames) == (16, 4)
    assert np.array_equal(np.concatenate([training[0].position, validation[0].position]), noise(20).position)
    assert split([noise(20)], 0.2, seed=3, shortest=7)[1][0].frames == 7
    assert split(many, 0.0, seed=3)[1] == []


@pytest.mark.parametrize("both", [False, True])
def test_statistics_against_least_squares(both):
    segments, strides = [noise(40), noise(30, seed=5)], (0.5, 1.5)
    found = statistics(segments, pairs_of(segments, strides), strides, (1, 8), both)
    for h, stride in enumerate(strides):
        span = span_of(stride, 0.5)
        for k, z in enumerate((1, 8)):
            v = np.concatenate([s.velocity[:-span, s.species == z].ravel() for s in segments])
            u = np.concatenate([s.velocity[span:, s.species == z].ravel() for s in segments])
            d = np.concatenate([(s.position[span:] - s.position[:-span])[:, s.species == z].ravel() for s in segments])
            if both:
                v, u, d = np.concatenate([v, -u]), np.concatenate([u, -v]), np.concatenate([d, -d])
            (slope,) = np.linalg.lstsq(stride * v[:, None], d, rcond=None)[0]
            (memory,) = np.linalg.lstsq(v[:, None], u, rcond=None)[0]
            assert found.drift[h, k] == pytest.approx(slope, rel=1e-12)
            assert found.memory[h, k] == pytest.approx(memory, rel=1e-12)
            left_d, left_v = d - slope * stride * v, u - memory * v
            assert found.displacement_scale[h, k] == pytest.approx(np.sqrt(np.mean(left_d**2)), rel=1e-12)
            assert found.velocity_change_scale[h, k] == pytest.approx(np.sqrt(np.mean(left_v**2)), rel=1e-12)
    assert found.velocity_scale[0] > 3.0 * found.velocity_scale[1]


def test_mean_neighbours():
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    still = Segment(SPECIES, np.ones(4), None, OPEN, 300.0, 1.0, np.stack([square, 3.0 * square]), np.zeros((2, 4, 3)))
    assert average_neighbours([still], 1.1) == 1.0  # two in the first frame, none in the second
    assert average_neighbours([still], 1.5) == 1.5
    with pytest.raises(InputError, match="closer than the cutoff"):
        average_neighbours([still], 0.5)


def test_the_architecture_holds_the_statistics():
    segments = [noise(40)]
    recipe = TrainingRecipe(data=("x",), strides=(0.5, 1.0), steps=1, cutoff=9.0, channels=4, time_reversal=False)
    pairs = pairs_of(segments, recipe.strides)
    a = stride_architecture(segments, pairs, recipe)
    found = statistics(segments, pairs, recipe.strides, (1, 8), False)
    assert a.species == (1, 8) and a.masses == (1.008, 15.999) and a.strides == (0.5, 1.0)
    assert np.array_equal(a.drift, found.drift) and np.array_equal(a.velocity_change_scale, found.velocity_change_scale)
    assert (a.channels, a.cutoff, a.head) == (4, 9.0, "stride")


def test_atom_energies_by_least_squares():
    forces = np.random.default_rng(1).normal(size=(40, 4, 3))
    one = noise(energy=np.full(40, 2 * -3.0 + 2 * -10.0), forces=forces)
    both = replace(one, species=np.array([1, 1]), mass=np.ones(2), position=one.position[:, :2],
                   velocity=one.velocity[:, :2], energy=np.full(40, 2 * -3.0), forces=forces[:, :2])  # fmt: skip
    recipe = TrainingRecipe(data=("x",), head="energy", steps=1, cutoff=9.0)
    a = energy_architecture([one, both], recipe)
    assert a.atom_energy == pytest.approx((-3.0, -10.0), rel=1e-9)
    squares = np.concatenate([forces.ravel(), forces[:, :2].ravel()]) ** 2
    assert a.energy_scale == pytest.approx(np.sqrt(squares.mean()), rel=1e-12)
    with pytest.raises(InputError, match="energies and forces"):
        energy_architecture([noise()], recipe)


def test_refusals():
    with pytest.raises(InputError, match=r"stride of 0.7 fs is no multiple of the data's interval of 0.5 fs"):
        pairs_of([noise()], (0.7,))
    with pytest.raises(InputError, match=r"longer than every segment of the data \(19.5 fs\)"):
        pairs_of([noise(40)], (20.0,))
    with pytest.raises(InputError, match="too short to hold out"):
        split([noise(3)], 0.5, seed=1)
    still = noise()
    frozen = replace(still, velocity=np.where(SPECIES == 1, 0.0, 1.0)[:, None] * still.velocity)
    with pytest.raises(InputError, match="species 1 do not move"):
        statistics([frozen], pairs_of([frozen], (0.5,)), (0.5,), (1, 8), True)
    broken = noise()
    broken.position[3, 1, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        statistics([broken], pairs_of([broken], (0.5,)), (0.5,), (1, 8), True)
