"""Block time steps: order, momentum, economy, and what they refuse."""

import numpy as np
import pytest
from askel.integrators import Fixed, Outcome, Simulation
from askel.integrators.block_leapfrog import BlockLeapfrog, _divide
from askel.integrators.composition import leapfrog
from askel.integrators.conformance import HarmonicField, ReferenceGravity, kepler, three_bodies
from askel.integrators.split_regions import Region
from askel.integrators.time_steps import AccelerationAndTide
from askel.particles import SERIAL, InputError, Particles


def tidal(accuracy):
    return AccelerationAndTide(accuracy=None, tidal_accuracy=accuracy)


def two_pairs():
    """Return a tight pair and a wide one, far apart: a step each."""
    tight, wide = kepler(0.1), kepler(0.1)
    tight.position *= 0.1
    tight.velocity /= np.sqrt(0.1)
    wide.position[:, 0] += 30.0
    return Particles(
        np.concatenate([tight.mass, wide.mass]),
        np.vstack([tight.position, wide.position]),
        np.vstack([tight.velocity, wide.velocity]),
    )


def run(particles, method, step, t_end):
    simulation = Simulation(particles, method, Fixed(step), potential=ReferenceGravity())
    return simulation, simulation.run(t_end)


def test_where_all_steps_are_long_enough_it_is_leapfrog():
    one, other = three_bodies(), three_bodies()
    run(one, BlockLeapfrog(ReferenceGravity(), tidal(1e3)), 0.02, 1.0)
    run(other, leapfrog(ReferenceGravity()), 0.02, 1.0)
    assert np.abs(one.position - other.position).max() < 1e-13


def test_a_tight_pair_has_short_steps_and_the_wide_one_long_ones():
    simulation, report = run(two_pairs(), BlockLeapfrog(ReferenceGravity(), tidal(0.05)), 0.05, 6.0)
    fine, _ = run(two_pairs(), leapfrog(ReferenceGravity()), 0.05 / 2**5, 6.0)
    assert report.statistics["max_level"] == 5.0  # 0.05 (0.1 * 0.9)^1.5 is 0.0013
    pulls = report.statistics["pulls"]
    assert 0.4 < pulls / (4 * fine.statistics["micro_steps"]) < 0.75  # half of the bodies take the short step
    wide = np.abs(simulation.particles.position[2:] - fine.particles.position[2:]).max()
    assert 1e-6 < wide < 2e-2
    assert 1e-6 < report.max_energy_error < 2e-3


def test_error_falls_as_the_square_of_the_steps():
    errors = []
    exact = kepler(0.5, time=6.0)
    for f in (1.0, 0.5, 0.25):
        simulation, _ = run(kepler(0.5), BlockLeapfrog(ReferenceGravity(), tidal(0.08 * f)), 0.1 * f, 6.0)
        errors.append(np.abs(simulation.particles.position - exact.position).max())
    assert 3.0 < errors[0] / errors[1] < 5.0
    assert 3.0 < errors[1] / errors[2] < 5.0


def test_momentum_is_conserved_to_rounding():
    rng = np.random.default_rng(5)
    particles = Particles(rng.uniform(0.5, 1.5, 40), rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) * 0.3)
    before, scale = particles.mass @ particles.velocity, particles.mass @ np.abs(particles.velocity)
    _, report = run(particles, BlockLeapfrog(ReferenceGravity(), tidal(0.1)), 0.1, 1.0)
    assert report.statistics["max_level"] >= 4.0
    assert np.abs((particles.mass @ particles.velocity - before) / scale).max() < 1e-13


def test_criterion_at_a_point_mass_is_a_share_of_the_period():
    state = kepler(0.0, masses=(1.0, 1e-12))
    pull = BlockLeapfrog(ReferenceGravity(), tidal(0.1)).pull(state)
    longest = tidal(0.1).longest(state, pull.acceleration, pull.tide)
    assert longest[1] == pytest.approx(0.1, rel=1e-9)  # period 2 pi
    assert longest[0] > 1e4


def test_acceleration_criterion_is_the_time_to_fall_through_the_softening():
    state = Particles([1.0, 2.0], np.eye(3)[:2], np.zeros((2, 3)), softening=[0.2, 0.1])
    criterion = AccelerationAndTide(accuracy=0.02)
    longest = criterion.longest(state, np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]), None)
    np.testing.assert_allclose(longest, np.sqrt([2 * 0.02 * 0.2 / 5.0, 2 * 0.02 * 0.1 / 2.0]), rtol=1e-15)


def test_a_region_near_a_faster_one_takes_its_steps():
    slow = Region(np.array([0, 1]), np.array([4]), longest=1.0)
    quick = Region(np.array([2, 3]), np.array([1]), longest=0.1)
    apart = Region(np.array([10, 11]), np.array([12]), longest=1.0)
    fast, here, share = _divide(np.full(40, np.inf), [slow, quick, apart], 0.5, SERIAL)
    assert np.flatnonzero(fast).tolist() == [0, 1, 2, 3, 4]
    assert here == [apart]
    assert share == 5 / 40


def test_a_step_below_the_last_level_fails_and_names_the_particles():
    step = BlockLeapfrog(ReferenceGravity(), tidal(0.05), levels=2)
    particles = two_pairs()
    done = step.advance(particles, step.start(particles), 0.05)
    assert done.outcome is Outcome.STEP_TOO_SMALL
    assert done.identities == (0, 1)
    assert done.elapsed == 0.0


def test_tides_of_unsoftened_particles_alone():
    particles = two_pairs()
    particles.softening = np.array([0.0, 0.3, 0.3, 0.3])
    mixed = AccelerationAndTide(accuracy=0.01, tidal_accuracy=0.05, tides="unsoftened")
    assert mixed.needs(particles) == ("tide",) and mixed.needs(particles.select([1, 2, 3])) == ()
    pull = BlockLeapfrog(ReferenceGravity(), mixed).pull(particles)
    longest = mixed.longest(particles, pull.acceleration, pull.tide)
    by_tide = tidal(0.05).longest(particles, pull.acceleration, pull.tide)
    fall = AccelerationAndTide(accuracy=0.01).longest(particles, pull.acceleration, None)
    assert longest.tolist() == [by_tide[0], *fall[1:]]
    _, report = run(particles, BlockLeapfrog(ReferenceGravity(), mixed), 0.05, 1.0)
    assert report.statistics["max_level"] >= 5.0
    assert 1e-9 < report.max_energy_error < 0.05
    with pytest.raises(InputError, match="tides is 'some'"):
        AccelerationAndTide(tides="some")


def test_what_it_cannot_serve_is_refused_in_one_line():
    with pytest.raises(InputError, match="particle 0 has no softening"):
        BlockLeapfrog(ReferenceGravity(), AccelerationAndTide()).start(three_bodies())
    with pytest.raises(InputError, match="gives no tide"):
        BlockLeapfrog(HarmonicField(), tidal(0.1)).start(three_bodies())
    with pytest.raises(InputError, match="depend on positions alone"):
        BlockLeapfrog(ReferenceGravity(velocity_dependent=True), tidal(0.1))
    with pytest.raises(InputError, match="levels is 50"):
        BlockLeapfrog(ReferenceGravity(), tidal(0.1), levels=50)
    with pytest.raises(InputError, match="accuracy is -1"):
        AccelerationAndTide(accuracy=-1.0)
    with pytest.raises(InputError, match="neither accuracy nor tidal_accuracy"):
        AccelerationAndTide(accuracy=None)
