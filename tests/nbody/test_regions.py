"""Regions around black holes: against the chain alone, and what happens inside them."""

import numpy as np
import pytest
from askel.integrators import Fixed, Records, Simulation, Whole, block_leapfrog, conformance
from askel.nbody import DirectGravity, Mergers, RegularisedChain
from askel.nbody.galaxy import regions
from askel.nbody.orbits import elements_from_state
from askel.nbody.regions import BlackHoleRegions, _overlapping
from askel.particles import InputError, Particles, nbody_units

SOFT = 1e-3


def cluster_with_binary(stars=60, *, hole_mass=0.02, separation=0.02, seed=1, softening=1e-3, light=None):
    """Return a Plummer sphere of total mass 1 (scale radius 1) with a bound black-hole binary at its centre."""
    rng = np.random.default_rng(seed)
    radius = np.minimum(1.0 / np.sqrt(rng.random(stars) ** (-2 / 3) - 1.0), 5.0)
    position = radius[:, None] * _directions(rng, stars)
    speed = 0.5 * np.sqrt(2.0) * (1.0 + radius**2) ** -0.25
    velocity = speed[:, None] * _directions(rng, stars)
    orbit = 0.8 * np.sqrt(2.0 * hole_mass / separation)
    holes = np.array([[0.5 * separation, 0, 0], [-0.5 * separation, 0, 0]])
    motion = np.array([[0, 0.5 * orbit, 0], [0, -0.5 * orbit, 0]])
    particles = Particles(
        np.concatenate([[hole_mass] * 2, np.full(stars, 1.0 / stars)]),
        np.vstack([holes, position]),
        np.vstack([motion, velocity]),
        kind=np.array([1, 1] + [0] * stars, dtype=np.int8),
        softening=np.full(stars + 2, softening),
        units=nbody_units(speed_of_light=light),
    )
    centre, drift = particles.centre_of_mass()
    particles.position -= centre
    particles.velocity -= drift
    return particles


def _directions(rng, n):
    out = rng.normal(size=(n, 3))
    return out / np.linalg.norm(out, axis=1)[:, None]


def region_run(particles, *, step=0.02, accuracy=0.025, radius=0.1, t_end=0.2, observers=(), **options):
    gravity = DirectGravity(softening=SOFT, star_star="softened")
    method = regions(
        gravity, radius=radius, accuracy=accuracy, tidal_accuracy=0.0, softening=SOFT, tolerance=1e-12, **options
    )
    simulation = Simulation(particles, method, Fixed(step), observers=observers)
    return simulation.run(t_end)


def elements(particles):
    return elements_from_state(
        particles.mass[:2].sum(), particles.position[1] - particles.position[0],
        particles.velocity[1] - particles.velocity[0],
    )  # fmt: skip


@pytest.fixture(scope="module")
def exact():
    particles = cluster_with_binary()
    chain = RegularisedChain(tolerance=1e-13, softening=SOFT, star_star="softened")
    assert Simulation(particles, chain, Whole()).run(0.2).max_energy_error < 1e-11
    return particles


def test_region_in_a_cluster_agrees_with_one_chain_of_all_and_better_with_shorter_steps(exact):
    errors, axes = [], []
    for accuracy in (0.025, 0.025 / 4, 0.025 / 16):
        particles = cluster_with_binary()
        report = region_run(particles, accuracy=accuracy)
        assert report.statistics["max_members"] >= 2
        assert 1e-10 < report.max_energy_error < 1e-5
        errors.append(np.sqrt(np.mean((particles.position - exact.position) ** 2)))
        axes.append(abs(elements(particles).semi_major_axis / elements(exact).semi_major_axis - 1.0))
    assert errors[0] < 1e-5
    assert 3.0 < errors[0] / errors[1] < 5.5  # steps fall as the root of the accuracy, errors as their square
    assert 3.0 < errors[1] / errors[2] < 5.5
    assert axes[0] < 1e-4
    assert axes[2] < axes[0]


def test_momentum_is_conserved_with_regions():
    particles = cluster_with_binary()
    scale = particles.mass @ np.abs(particles.velocity)
    region_run(particles)
    assert np.abs((particles.mass @ particles.velocity) / scale).max() < 1e-14


def test_splines_outside_and_newton_inside_fit_together():
    particles, softening = cluster_with_binary(200), 0.01
    gravity = DirectGravity(softening=softening, kernel="spline")
    method = regions(gravity, radius=0.3, accuracy=0.002, tidal_accuracy=0.0, softening=softening)
    report = Simulation(particles, method, Fixed(0.02)).run(1.0)
    assert report.statistics["max_members"] > 3  # stars came and went
    assert 1e-9 < report.max_energy_error < 2e-5


def test_regions_that_pass_each_other_conserve_energy():
    particles = cluster_with_binary(200, hole_mass=0.05, separation=0.1)
    gravity = DirectGravity(softening=SOFT, star_star="softened")
    method = regions(gravity, radius=0.045, accuracy=0.002, tidal_accuracy=0.0, softening=SOFT, tolerance=1e-11)
    report = Simulation(particles, method, Fixed(0.02)).run(0.6)
    assert report.statistics["regions"] > 100
    assert 1e-9 < report.max_energy_error < 1e-4


def test_a_fast_orbit_inside_does_not_shorten_the_steps_of_a_region():
    tight, wide = (cluster_with_binary(separation=a, hole_mass=0.02) for a in (2e-4, 2e-2))
    levels = [region_run(p, t_end=0.1).statistics["regions"] for p in (tight, wide)]
    assert levels[0] <= 1.5 * levels[1]


def test_the_tide_during_the_advance_lowers_the_error(exact, monkeypatch):
    with_tide, without = cluster_with_binary(), cluster_with_binary()
    region_run(with_tide, step=0.05, accuracy=0.4)
    monkeypatch.setattr(BlackHoleRegions, "tide", lambda self, particles, rows: np.zeros((3, 3)))
    region_run(without, step=0.05, accuracy=0.4)
    error = [abs(elements(p).semi_major_axis / elements(exact).semi_major_axis - 1.0) for p in (with_tide, without)]
    assert error[0] < error[1]


def test_a_merger_in_a_region_is_carried_out_and_recorded():
    particles = cluster_with_binary(light=30.0, separation=3e-3)
    records = Records(np.inf)
    options = {"post_newtonian": ["1", "2", "2.5"], "merger_distance": 12.0}
    resolver = Mergers(post_newtonian=options["post_newtonian"])
    report = region_run(particles, observers=[records], resolver=resolver, t_end=0.6, **options)
    (merger,) = records.events
    assert merger["kind"] == "merger"
    assert 0.0 < merger["time"] < 0.6
    assert particles.n == 61
    assert sorted(particles.identity) == [0, *range(2, 62)]
    assert 0.9 * 0.04 < particles.mass[particles.identity == 0][0] < 0.04  # some is radiated
    assert report.max_energy_error < 1e-3
    assert np.isfinite(particles.position).all()


def test_rows_of_black_holes_come_at_the_times_asked_for():
    particles, rows = cluster_with_binary(), []
    gravity = DirectGravity(softening=SOFT, star_star="softened")
    method = regions(gravity, radius=0.1, tidal_accuracy=0.0, softening=SOFT, log_every=0.001)
    carry = method.start(particles)
    for _ in range(3):
        rows += method.advance(particles, carry, 0.02).rows
    times = sorted({row["time"] for table, row in rows if table == "series/black_holes" and row["identity"] == 0})
    expected = np.arange(1, 61) * 0.001
    assert all(np.abs(np.array(times) - t).min() < 1e-12 for t in expected)


def test_spheres_that_overlap_are_one_region():
    distance = np.array([[0.0, 1.0, 9.0, 9.0], [1.0, 0.0, 2.0, 9.0], [9.0, 2.0, 0.0, 9.0], [9.0, 9.0, 9.0, 0.0]])
    assert sorted(g.tolist() for g in _overlapping(distance, 2.0)) == [[0, 1, 2], [3]]
    assert sorted(g.tolist() for g in _overlapping(distance, 0.5)) == [[0], [1], [2], [3]]


def test_a_restart_is_bit_equal():
    def make():
        particles = cluster_with_binary()
        gravity = DirectGravity(softening=SOFT, star_star="softened")
        method = regions(gravity, radius=0.1, tidal_accuracy=0.0, softening=SOFT)
        return Simulation(particles, method, Fixed(0.02))

    assert conformance.restart_is_bit_equal(make, 0.06, 0.12)


def test_the_sum_that_closes_a_step_opens_the_next(monkeypatch):
    calls, evaluate = [], BlackHoleRegions.taken_out
    monkeypatch.setattr(BlackHoleRegions, "taken_out", lambda self, *given: calls.append(1) or evaluate(self, *given))
    particles = cluster_with_binary()
    report = region_run(particles, t_end=0.06, accuracy=0.025 / 16)
    count, kicks, long_steps = len(calls), 2 * report.statistics["regions"], 3
    assert report.statistics["regions"] > 6 * long_steps
    assert (
        0.4 * kicks < count < 0.5 * kicks + 4 * long_steps
    )  # one more in each long step for the kick, one for the energy
    again = cluster_with_binary()
    monkeypatch.setattr(
        block_leapfrog._Block, "_taken_out", lambda self, _, members: self.method.taken_out(members).acceleration
    )
    region_run(again, t_end=0.06, accuracy=0.025 / 16)
    assert len(calls) - count > kicks
    assert np.array_equal(again.position, particles.position) and np.array_equal(again.velocity, particles.velocity)


def test_what_regions_refuse():
    gravity = DirectGravity(softening=SOFT)
    with pytest.raises(InputError, match=r"radius of the regions is 0\.002, and forces are softened within 0\.0028"):
        splined = DirectGravity(softening=SOFT, kernel="spline")
        regions(splined, radius=0.002, softening=SOFT).start(cluster_with_binary())
    with pytest.raises(InputError, match="'plummer' softens at any distance"):
        regions(gravity, radius=0.1, softening=SOFT).start(cluster_with_binary())
    with pytest.raises(InputError, match="radius of the regions is -1"):
        regions(gravity, radius=-1.0)
    with pytest.raises(InputError, match="no resolver"):
        regions(gravity, radius=0.1, collisions=True)
    with pytest.raises(InputError, match="speed of light"):
        method = regions(splined, radius=0.1, softening=SOFT, post_newtonian=["1"])
        method.start(cluster_with_binary())
