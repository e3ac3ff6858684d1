"""Events of the regularised chain: located inside a step, in the right order, with the right bookkeeping."""

import math

import numpy as np
import pytest
from askel.integrators import Outcome
from askel.integrators.controllers import Whole
from askel.integrators.loop import Simulation
from askel.nbody.mergers import Mergers
from askel.nbody.regularised_chain import RegularisedChain
from askel.particles import KINDS, Particles, nbody_units

HOLE, STAR = KINDS["black-hole"], KINDS["star"]
C = 30.0
UNITS = nbody_units(speed_of_light=C)


def parabola_time(r, periastron, mu):
    """Barker's equation: time from periastron to distance r on a parabola."""
    D = math.sqrt(r / periastron - 1.0)
    return math.sqrt(2.0 * periastron**3 / mu) * (D + D**3 / 3.0)


def parabola(m1, m2, periastron, r, kinds=(HOLE, HOLE), radius=None):
    """Two bodies in their centre of mass on a parabola, inbound at distance r."""
    mu = m1 + m2
    x = np.array([2.0 * periastron - r, 0.0, 0.0])
    x[1] = -math.sqrt(max(r**2 - x[0] ** 2, 0.0))
    momentum = math.sqrt(2.0 * mu * periastron)
    speed = math.sqrt(2.0 * mu / r)
    inward = -math.sqrt(speed**2 - (momentum / r) ** 2)
    n = x / r
    v = inward * n + momentum / r * np.array([-n[1], n[0], 0.0])
    share = np.array([[-m2 / mu], [m1 / mu]])
    return Particles([m1, m2], share * x, share * v, kind=kinds, radius=radius, units=UNITS)


def first_event(particles, chain, dt):
    carry = chain.start(particles)
    return chain.advance(particles, carry, dt), carry


@pytest.mark.parametrize("periastron_over_reach", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("k", [6.0, 12.0])
def test_a_merger_is_located_at_its_distance_and_time(k, periastron_over_reach):
    reach = k * 2.0 * 1.0 / C**2
    periastron = max(periastron_over_reach * reach, 1e-9)
    particles = parabola(0.7, 0.3, periastron, 1.0)
    arrival = parabola_time(1.0, periastron, 1.0) - parabola_time(max(reach, periastron), periastron, 1.0)
    step, _ = first_event(particles, RegularisedChain(merger_distance=k), 10.0)
    assert step.outcome is Outcome.EVENT
    (event,) = step.events
    separation = np.linalg.norm(particles.position[0] - particles.position[1])
    assert (event.kind, event.identities) == ("merger", (0, 1))
    assert -1e-6 < separation / reach - 1.0 <= 1e-15
    assert event.data["separation"] == pytest.approx(separation, rel=1e-9)
    assert event.time == particles.time == step.elapsed
    assert particles.time == pytest.approx(arrival, rel=1e-8)


def test_a_miss_is_no_merger():
    reach = 12.0 * 2.0 / C**2
    particles = parabola(0.7, 0.3, 1.0001 * reach, 1.0)
    step, _ = first_event(particles, RegularisedChain(merger_distance=12.0), 2.0)
    assert step.outcome is Outcome.COMPLETED
    assert np.linalg.norm(particles.position[0] - particles.position[1]) > 1.0


def test_stars_do_not_merge_and_holes_do_not_without_a_distance():
    for kinds, distance in (((HOLE, STAR), 12.0), ((STAR, STAR), 12.0), ((HOLE, HOLE), None)):
        particles = parabola(0.7, 0.3, 1e-5, 1.0, kinds)
        step, _ = first_event(particles, RegularisedChain(merger_distance=distance), 2.0)
        assert step.outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("kinds", "kind", "reach"),
    [
        ((HOLE, STAR), "tidal-disruption", 0.02 * (0.7 / 0.3) ** (1.0 / 3.0)),
        ((STAR, HOLE), "tidal-disruption", 0.01 * (0.3 / 0.7) ** (1.0 / 3.0)),
        ((STAR, STAR), "collision", 0.03),
    ],
)
def test_stars_are_disrupted_and_collide_by_radius(kinds, kind, reach):
    particles = parabola(0.7, 0.3, 1e-3, 1.0, kinds, [0.01, 0.02])
    step, _ = first_event(particles, RegularisedChain(collisions=True), 10.0)
    assert step.outcome is Outcome.EVENT
    assert step.events[0].kind == kind
    separation = np.linalg.norm(particles.position[0] - particles.position[1])
    assert -1e-6 < separation / reach - 1.0 <= 1e-15
    again = parabola(0.7, 0.3, 1e-3, 1.0, kinds, [0.01, 0.02])
    assert first_event(again, RegularisedChain(), 1.0)[0].outcome is Outcome.COMPLETED


def test_a_star_disrupted_only_inside_the_merger_distance_is_captured():
    particles = parabola(0.7, 0.3, 1e-3, 1.0, (HOLE, STAR), [0.0, 1e-4])
    step, _ = first_event(particles, RegularisedChain(collisions=True, merger_distance=12.0), 10.0)
    separation = np.linalg.norm(particles.position[0] - particles.position[1])
    assert step.events[0].kind == "capture"
    assert separation == pytest.approx(12.0 * 2.0 * 0.7 / C**2, rel=1e-6)


def test_the_earliest_of_several_events_is_reported():
    """Two pairs far apart plunge; the tighter pair is faster, whatever its place in the arrays."""
    for tight_first in (True, False):
        near, far = parabola(0.5, 0.5, 1e-3, 0.5), parabola(0.5, 0.5, 1e-3, 0.8)
        pairs = (near, far) if tight_first else (far, near)
        position = np.vstack([pairs[0].position, pairs[1].position + np.array([300.0, 0.0, 0.0])])
        velocity = np.vstack([pairs[0].velocity, pairs[1].velocity])
        particles = Particles(np.full(4, 0.5), position, velocity, kind=[HOLE] * 4, units=UNITS)
        step, _ = first_event(particles, RegularisedChain(merger_distance=12.0), 10.0)
        assert step.events[0].identities == ((0, 1) if tight_first else (2, 3))


def triple(kinds, radius=None):
    pair = parabola(0.6, 0.4, 2e-3, 0.3, kinds, radius)
    position = np.vstack([pair.position, [2.0, 0.0, 0.1]])
    velocity = np.vstack([pair.velocity, [0.0, 0.7, 0.0]])
    return Particles(
        [0.6, 0.4, 0.2], position, velocity, kind=[*kinds, STAR], radius=None if radius is None else [*radius, 0.0],
        units=UNITS,
    )  # fmt: skip


def test_a_run_goes_on_with_the_remnant_and_its_momentum_is_accounted_for():
    particles = triple((HOLE, HOLE))
    twin = particles.clone()
    momentum = twin.mass @ twin.velocity
    chain = RegularisedChain(merger_distance=12.0)
    step, _ = first_event(twin, chain, 5.0)
    pair = [0, 1]
    frame = twin.centre_of_mass()[1]
    position, velocity = twin.select(pair).centre_of_mass()  # no post-Newtonian terms are on
    velocity -= frame
    np.testing.assert_allclose(twin.mass @ twin.velocity, momentum, atol=1e-14)

    report = Simulation(particles, chain, Whole(), resolver=Mergers()).run(5.0)
    assert report.outcome is Outcome.COMPLETED and particles.time == 5.0
    assert particles.identity.tolist() == [0, 2]
    assert 0.85 < particles.mass[0] < 0.99
    lost = 1.0 - particles.mass[0]
    after = particles.mass @ particles.velocity
    newtonian = twin.mass[pair] @ twin.velocity[pair]
    resolution = Mergers().resolve(twin, step.events[0])
    kick = resolution.row["kick"]
    assert kick > 0.0
    change = np.linalg.norm(after - momentum)
    relativistic = np.linalg.norm(velocity + frame - newtonian)  # 1PN momentum against sum m v; the masses add to one
    assert 1e-6 < change < particles.mass[0] * (kick + relativistic) + lost * np.linalg.norm(newtonian) + 1e-12
    expected = particles.mass[0] * resolution.particles.velocity[0] + twin.mass[2] * twin.velocity[2]
    np.testing.assert_allclose(after, expected, atol=1e-13)
    np.testing.assert_allclose(resolution.particles.position[0], position, atol=1e-15)


def test_a_disruption_in_a_run_keeps_mass_and_momentum_of_what_stays():
    particles = triple((HOLE, STAR), [0.0, 0.02])
    twin = particles.clone()
    chain = RegularisedChain(collisions=True)
    first_event(twin, chain, 5.0)
    Simulation(particles, chain, Whole(), resolver=Mergers(accreted_fraction=0.5)).run(2.0)
    assert particles.identity.tolist() == [0, 2]
    assert particles.mass.tolist() == pytest.approx([0.8, 0.2])
    expected = twin.mass @ twin.velocity - 0.2 * twin.velocity[1]
    np.testing.assert_allclose(particles.mass @ particles.velocity, expected, atol=1e-13)


def test_bodies_that_touch_at_the_start_are_an_event_without_time():
    particles = parabola(0.7, 0.3, 1e-3, 0.01)
    before = particles.clone()
    step, _ = first_event(particles, RegularisedChain(merger_distance=12.0), 1.0)
    assert (step.outcome, step.elapsed) == (Outcome.EVENT, 0.0)
    np.testing.assert_allclose(particles.position, before.position, atol=1e-17)
