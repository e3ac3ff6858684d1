"""Mergers, disruptions and collisions: what is kept, what is lost, who goes on."""

import numpy as np
import pytest
from askel.integrators import Event
from askel.nbody import Mergers, RegularisedChain
from askel.nbody.post_newtonian import integrals, parse_terms
from askel.particles import KINDS, InputError, Particles, nbody_units

HOLE, STAR = KINDS["black-hole"], KINDS["star"]


def trio(kinds, *, radius=None, masses=(2.0, 1.0, 0.5)):
    return Particles(
        np.array(masses),
        np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [5.0, 0.0, 1.0]]),
        np.array([[0.0, -1.0, 0.0], [0.0, 2.0, 0.1], [0.3, 0.0, 0.0]]),
        identity=[10, 20, 30],
        kind=kinds,
        radius=radius,
        units=nbody_units(speed_of_light=50.0),
    )


def resolve(particles, kind, pair=(10, 20), **options):
    return Mergers(**options).resolve(particles, Event(kind, 0.0, pair))


def test_a_merger_keeps_the_heavier_identity_and_loses_mass():
    particles = trio([HOLE] * 3)
    before = particles.clone()
    result = resolve(particles, "merger")
    after = result.particles
    assert after.identity.tolist() == [10, 30]
    assert result.change.kept.tolist() == [0, 2]
    assert 0.90 * 3.0 < after.mass[0] < 0.99 * 3.0
    assert result.row["radiated_fraction"] == pytest.approx(1 - after.mass[0] / 3.0)
    assert np.array_equal(after.position[1], before.position[2])
    assert np.array_equal(particles.mass, before.mass)  # a resolver changes nothing itself
    chi = 50.0 * np.linalg.norm(after.spin[0]) / after.mass[0] ** 2
    assert 0.5 < chi < 1.0


def test_unequal_holes_recoil_and_equal_ones_do_not():
    unequal = resolve(trio([HOLE] * 3), "merger")
    equal = resolve(trio([HOLE] * 3, masses=(1.0, 1.0, 0.5)), "merger")
    c_over_km_s = 50.0 / 299792.458
    assert 50 * c_over_km_s < unequal.row["kick"] < 400 * c_over_km_s
    assert equal.row["kick"] < 1e-12


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_disruption_gives_the_hole_its_share_of_mass_and_momentum(share):
    particles = trio([HOLE, STAR, STAR], radius=[0.0, 0.01, 0.0])
    after = resolve(particles, "tidal-disruption", accreted_fraction=share).particles
    assert after.mass[0] == pytest.approx(2.0 + share)
    taken = 2.0 * particles.velocity[0] + share * particles.velocity[1]
    assert after.mass[0] * after.velocity[0] == pytest.approx(taken)


def test_a_hole_survives_a_heavier_star():
    particles = trio([STAR, HOLE, STAR], radius=[0.01, 0.0, 0.0])
    assert resolve(particles, "tidal-disruption").particles.identity.tolist() == [20, 30]


def test_colliding_stars_keep_mass_momentum_and_volume():
    particles = trio([STAR] * 3, radius=[0.03, 0.02, 0.01])
    after = resolve(particles, "collision").particles
    assert after.mass.sum() == pytest.approx(particles.mass.sum())
    assert after.mass @ after.velocity == pytest.approx(particles.mass @ particles.velocity)
    assert after.radius[0] ** 3 == pytest.approx(0.03**3 + 0.02**3)


def test_the_remnant_moves_with_the_centre_of_mass_that_the_terms_conserve():
    newtonian = resolve(trio([HOLE] * 3), "merger").particles.velocity[0]
    corrected = resolve(trio([HOLE] * 3), "merger", post_newtonian=["1"]).particles.velocity[0]
    assert 1e-5 < np.linalg.norm(corrected - newtonian) < 1e-1


def test_stop_after_counts_events():
    resolver = Mergers(stop_after=2)
    event = Event("merger", 0.0, (10, 20))
    assert [resolver.resolve(trio([HOLE] * 3), event).stop for _ in range(2)] == [False, True]


@pytest.mark.parametrize("options", [{"fit": "unheard-of"}, {"accreted_fraction": 1.5}, {"post_newtonian": ["4"]}])
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        Mergers(**options)


def test_the_1pn_centre_of_mass_moves_straight_to_the_neglected_order():
    """Its velocity drifts as c^-4 along a 1PN orbit, the Newtonian one's as c^-2."""
    drifts = []
    for c in (60.0, 120.0):
        units = nbody_units(speed_of_light=c)
        particles = Particles(
            [0.9, 0.35],
            [[0.3, 0.0, 0.0], [-0.7, 0.0, 0.0]],
            [[0.1, 0.2, 0.0], [-0.1 * 0.9 / 0.35, -0.2 * 0.9 / 0.35, 0.0]],
            kind=[HOLE] * 2,
            units=units,
        )
        chain = RegularisedChain(post_newtonian=["1"])
        carry = chain.start(particles)
        velocities = []
        for _ in range(40):
            chain.advance(particles, carry, 0.05)
            whole = integrals(parse_terms(["1"]), particles.mass, particles.position, particles.velocity, G=1.0, c=c)
            velocities.append([particles.centre_of_mass()[1], whole.centre_of_mass_velocity])
        drifts.append(np.ptp(np.array(velocities), axis=0).max(axis=1))
    order = np.log2(drifts[0] / drifts[1])
    assert 1.8 < order[0] < 2.2
    assert 3.7 < order[1] < 4.3
