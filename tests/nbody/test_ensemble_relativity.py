"""Post-Newtonian encounters in lanes: what a single chain gives, what theory says, the same bits in any company."""

from dataclasses import fields

import numpy as np
import pytest
from askel.nbody import evolve, evolve_batch
from askel.nbody.ensemble import Ensemble
from askel.nbody.post_newtonian import parse_terms
from askel.nbody.post_newtonian_integrals import integrals
from askel.nbody.scattering import Approach, Body, Orbit, Part, Scattering
from askel.nbody.scattering_distributions import Distribution, fixed
from askel.nbody.strain import peters_merger_time

ALL = ("1", "1cross", "2", "2.5", "3", "3.5")
HOLE = Body(fixed(1.0), black_hole=True)
#: Encounters of black holes, with periastra down to some hundred GM/c^2 at c = 60.
HOLES = Scattering(
    (Part((HOLE, HOLE), (Orbit(fixed(1.0), Distribution("thermal", {"high": 0.9})),)), Part((HOLE,))),
    Approach(fixed(0.8), Distribution("disk", {"high": 5.0}), separation=20.0),
    seed=5,
)


def start(count, first=0):
    s = HOLES.sample(np.arange(first, first + count))
    return s.mass, s.position, s.velocity


def assert_same(a, b):
    for name in {f.name for f in fields(Ensemble)} - {"track"}:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "orbits"), name


def row(*bodies):
    """Return (mass, position, velocity) of one system from (m, x, v) of its bodies."""
    mass, x, v = (np.array(part, float) for part in zip(*bodies, strict=True))
    return mass[None], x[None], v[None]


def binary(a, e, *, third=None, masses=(0.5, 0.5)):
    """A binary of total mass 1 at apastron in the x-y plane, and perhaps a third body far above it."""
    m, n = masses
    far, speed = a * (1.0 + e), np.sqrt((1.0 - e) / (a * (1.0 + e)))
    pair = ((m, (n * far, 0, 0), (0, n * speed, 0)), (n, (-m * far, 0, 0), (0, -m * speed, 0)))
    return row(*pair) if third is None else row(*pair, (third, (0, 0, 1e5 * a), (0, 0, 0)))


def laplace(e, i=0, j=1):
    """Return the direction of periastron of bodies i and j, total mass 1."""
    x, v = e.position[0, i] - e.position[0, j], e.velocity[0, i] - e.velocity[0, j]
    vector = np.cross(v, np.cross(x, v)) - x / np.linalg.norm(x)
    return np.arctan2(vector[1], vector[0])


@pytest.mark.parametrize("bodies", [2, 3])
def test_ends_where_a_single_chain_does(bodies):
    m, x, v = start(4)
    if bodies == 2:  # unbound
        m, x, v = m[:, :2] * (1.0, 0.3), x[:, ::2] / 10.0, v[:, ::2]
        x, v = (s - np.einsum("kn,knd->kd", m, s)[:, None] / 1.3 for s in (x, v))
    given = {"post_newtonian": ALL, "speed_of_light": 40.0}
    here = evolve_batch(m, x, v, 12.0, tolerance=1e-13, **given)
    wrong = []
    for k in range(4):
        there = evolve(m[k], x[k], v[k], 12.0, tolerance=1e-14, **given)
        wrong.append(np.abs(here.position[k] - there.position).max())
    newton = evolve_batch(m, x, v, 12.0) if bodies == 3 else None
    assert np.median(wrong) < 1e-10 and max(wrong) < 1e-8
    assert newton is None or np.abs(here.position - newton.position).max() > 1e-3  # the terms do something
    assert 0.0 < np.abs(here.energy_error).max() < 1e-9 and (here.time == 12.0).all()


@pytest.mark.parametrize("third", [None, 1e-3])
def test_periastron_advances(third):
    c, e, orbits = 1000.0, 0.6, 10
    begin = binary(1.0, e, third=third)
    end = evolve_batch(*begin, orbits * 2.0 * np.pi, post_newtonian=["1", "1cross"], speed_of_light=c)
    advance = (laplace(end) - np.pi) % (2.0 * np.pi)
    assert advance == pytest.approx(orbits * 6.0 * np.pi / (c**2 * (1.0 - e * e)), rel=2e-3)


@pytest.mark.parametrize("third", [None, 1e-3])
def test_radiation_shrinks_a_circle_as_peters_says(third):
    c, a = 10.0, 0.4  # 40 GM/c^2
    merger = peters_merger_time(0.5, 0.5, a, 0.0, c=c)
    end = evolve_batch(*binary(a, 0.0, third=third), 0.6 * merger, post_newtonian=["2.5"], speed_of_light=c)
    r = np.linalg.norm(end.position[0, 0] - end.position[0, 1])
    assert r == pytest.approx(a * 0.4**0.25, rel=3e-4) and abs(end.energy_error[0]) < 1e-9


def test_energy_is_conserved_to_the_order_left_out():
    """With 1PN alone, cross terms included, the 1PN energy varies as c^-4: 16 times less at twice the c."""
    m, x, v = row(
        (0.5, (0.6, 0, 0), (0, 0.4, 0)), (0.5, (-0.6, 0, 0), (0, -0.4, 0)), (0.8, (0, 0.5, 2.5), (0, 0, -0.8))
    )
    x, v = (s - np.einsum("kn,knd->kd", m, s)[:, None] / m.sum() for s in (x, v))
    terms, varies = ["1", "1cross"], []
    for c in (300.0, 600.0):
        given = {"post_newtonian": terms, "speed_of_light": c, "tolerance": 1e-13}
        path = evolve_batch(m, x, v, 5.0, track=10_000, **given).track
        energy = [
            integrals(parse_terms(terms), m[0], *state, G=1.0, c=c).energy
            for state in zip(path.position[::4], path.velocity[::4], strict=True)
        ]
        varies.append(np.ptp(energy))
    assert 12.0 < varies[0] / varies[1] < 20.0 and 1e-11 < varies[1] < 1e-7


@pytest.mark.parametrize("third", [None, 1e-3])
def test_black_holes_merge_where_they_are_told_to(third):
    c, distance = 10.0, 4.0
    given = {"post_newtonian": ["1", "2.5"], "speed_of_light": c}
    begin = binary(0.2, 0.1, third=third)
    e = evolve_batch(*begin, 100.0, merger_distance=distance, **given)
    assert e.outcome == ["merger"] and set(e.closest_pair[0]) == {0, 1} and 0.1 < e.time[0] < 100.0
    assert np.linalg.norm(e.position[0, 0] - e.position[0, 1]) == pytest.approx(distance * 2.0 / c**2, rel=1e-8)
    there = evolve(*(a[0] for a in begin), e.time[0], tolerance=1e-14, **given)
    assert np.abs(there.position - e.position[0])[:2].max() < 1e-7


def test_a_passage_within_reach_ends_it_and_one_beyond_does_not():
    c = 30.0
    begin = binary(1.0, 0.9)  # a periastron of 90 GM/c^2: its osculating value is good to a few per cent
    common = {"post_newtonian": ["1"], "speed_of_light": c}
    free = evolve_batch(*begin, 6.0, **common)
    near = free.closest[0] * c * c / 2.0
    hit = evolve_batch(*begin, 6.0, merger_distance=1.1 * near, **common)
    miss = evolve_batch(*begin, 6.0, merger_distance=0.8 * near, **common)
    at_once = evolve_batch(*begin, 6.0, merger_distance=1000.0, **common)
    assert hit.outcome == ["merger"] and 2.0 < hit.time[0] < 4.0
    assert miss.outcome == ["time limit"] and miss.closest[0] == pytest.approx(free.closest[0], rel=1e-6)
    assert at_once.outcome == ["merger"] and at_once.time[0] == 0.0 and at_once.steps[0] == 0


@pytest.mark.parametrize("bodies", [2, 3])
def test_a_hundred_encounters_repeat_alone(bodies):
    m, x, v = start(100)
    m, x, v = m[:, :bodies], x[:, :bodies], v[:, :bodies]
    given = {
        "post_newtonian": ["1", "1cross", "2.5"], "speed_of_light": 60.0, "merger_distance": 4.0,
        "stop": ("escape", "capture"),
    }  # fmt: skip
    together = evolve_batch(m, x, v, 20.0, **given)
    assert len(set(together.outcome)) > 1 or bodies == 2
    for k in range(100):
        assert_same(evolve_batch(m[k : k + 1], x[k : k + 1], v[k : k + 1], 20.0, **given), together[k : k + 1])
    alone = evolve_batch(m[7:8], x[7:8], v[7:8], 20.0, track=10_000, **given)
    assert_same(alone, together[7:8])
    assert len(alone.track.time) == alone.steps[0] and np.array_equal(alone.track.position[-1], alone.position[0])


def test_where_light_is_fast_it_is_newton():
    m, x, v = start(20)
    slow = evolve_batch(m, x, v, 12.0, post_newtonian=ALL, speed_of_light=1e9)
    newton = evolve_batch(m, x, v, 12.0)
    assert np.percentile(np.abs(slow.position - newton.position).max(axis=(1, 2)), 80) < 1e-9
    assert np.mean(slow.steps == newton.steps) > 0.8
