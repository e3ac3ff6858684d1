"""The 15th-order integrator against REBOUND's IAS15, in the same test."""

import math

import numpy as np
import pytest
from askel.integrators import Fixed, Outcome, Simulation, Whole
from askel.integrators.conformance import HarmonicField, ReferenceGravity, distance, evolved, kepler, three_bodies
from askel.integrators.gauss_radau import NODES, GaussRadau, tables
from askel.particles import InputError, Particles
from numpy.polynomial import legendre


def pythagorean():
    return Particles([3.0, 4.0, 5.0], [[1, 3, 0], [-2, -1, 0], [1, -1, 0]], np.zeros((3, 3)))


def outer_solar_system():
    """Sun to Neptune, au and year/2pi, rounded elements: circular orbits at their distances, slightly inclined."""
    mass = [1.0, 9.5e-4, 2.9e-4, 4.4e-5, 5.2e-5]
    radius = np.array([5.20, 9.55, 19.2, 30.1])
    phase, tilt = np.array([0.3, 1.7, 3.1, 4.9]), np.array([0.02, 0.04, 0.01, 0.03])
    speed = 0.99 / np.sqrt(radius)
    position = np.zeros((5, 3))
    velocity = np.zeros((5, 3))
    position[1:] = (radius * [np.cos(phase), np.sin(phase) * np.cos(tilt), np.sin(phase) * np.sin(tilt)]).T
    velocity[1:] = (speed * [-np.sin(phase), np.cos(phase) * np.cos(tilt), np.cos(phase) * np.sin(tilt)]).T
    return Particles(mass, position, velocity)


def peer(particles, t_end):
    rebound = pytest.importorskip("rebound")
    sim = rebound.Simulation()
    sim.integrator = "ias15"
    for m, (x, y, z), (vx, vy, vz) in zip(particles.mass, particles.position, particles.velocity, strict=True):
        sim.add(m=m, x=x, y=y, z=z, vx=vx, vy=vy, vz=vz)
    start = sim.energy()
    sim.integrate(t_end)
    end = Particles(
        particles.mass,
        [[p.x, p.y, p.z] for p in sim.particles],
        [[p.vx, p.vy, p.vz] for p in sim.particles],
        time=t_end,
    )
    return end, abs(sim.energy() / start - 1.0), sim.steps_done


@pytest.mark.peer
@pytest.mark.parametrize(
    ("make", "t_end", "agreement"),
    [
        (lambda: kepler(0.9), 20.0, 1e-10),
        (outer_solar_system, 500.0, 1e-11),
        (pythagorean, 10.0, 1e-7),
    ],
    ids=["kepler-0.9", "outer-solar-system", "pythagorean"],
)
def test_equals_ias15(make, t_end, agreement):
    start = make()
    run = Simulation(start.clone(), GaussRadau(ReferenceGravity()), Whole(), potential=ReferenceGravity())
    report = run.run(t_end)
    end, energy_error, steps = peer(start, t_end)
    assert distance(run.particles, end) < agreement
    assert abs(report.energy_error) < 10 * energy_error + 1e-14
    assert 0.9 * steps < report.statistics["micro_steps"] < 1.1 * steps


def test_kepler_to_rounding():
    end = evolved(lambda: GaussRadau(ReferenceGravity()), kepler(0.9), 4 * math.pi)
    assert 1e-16 < distance(end, kepler(0.9, time=4 * math.pi)) < 5e-11


def test_an_acceleration_that_vanishes_on_the_way():
    """A mass on a spring goes through the point where nothing pulls: the published step size is 0 there."""
    start = Particles([1.0], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    run = Simulation(start, GaussRadau(HarmonicField()), Whole())
    report = run.run(5.0)
    assert run.particles.position[0, 0] == pytest.approx(math.cos(5.0), abs=1e-15)
    assert 10 < report.statistics["micro_steps"] < 80


def test_prediction_saves_iterations():
    run = Simulation(kepler(0.3), GaussRadau(ReferenceGravity()), Whole())
    counted = run.run(12.0).statistics
    assert 2.0 < counted["iterations"] / counted["micro_steps"] < 4.5  # 6.0 without any prediction
    assert counted["evaluations"] == counted["micro_steps"] + 7 * counted["iterations"]


def test_landing_does_not_shorten_the_next_step():
    run = Simulation(kepler(0.0), GaussRadau(ReferenceGravity()), Whole())
    run.run(3.0)
    usual = run.carry.dt
    for k in range(5):
        run.run(3.0 + (k + 1) * 1e-5)
        assert run.carry.dt == pytest.approx(usual, rel=0.1)


def test_forces_of_velocities():
    """A damped spring: x'' = -x - 0.2 x'."""

    class Damped:
        provides = frozenset({"acceleration"})
        velocity_dependent = True

        def evaluate(self, particles, out):
            out.acceleration[...] = -particles.position - 0.2 * particles.velocity

    start = Particles([1.0], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    end = evolved(lambda: GaussRadau(Damped()), start, 5.0)
    omega = math.sqrt(1 - 0.01)
    exact = math.exp(-0.5) * (math.cos(5 * omega) + 0.1 / omega * math.sin(5 * omega))
    assert end.position[0, 0] == pytest.approx(exact, abs=1e-14)


def test_nodes_are_roots_of_the_radau_polynomial():
    roots = np.sort((legendre.legroots([0, 0, 0, 0, 0, 0, 0, 1, 1]) + 1) / 2)
    np.testing.assert_allclose(roots, NODES, atol=2e-15)


def test_tables():
    t = tables()
    np.testing.assert_allclose(t.newton_to_power @ t.power_to_newton, np.eye(7), atol=1e-12)
    b = np.arange(1.0, 8.0)
    h = 0.37
    polynomial = sum(b[k] * (1 + h) ** (k + 1) for k in range(7)) - b.sum()  # continued, minus its value at the end
    continued = sum((t.shift @ b)[k] * h ** (k + 1) for k in range(7))
    assert continued == pytest.approx(polynomial, rel=1e-13)


def test_budget_is_partial_and_goes_on():
    method = GaussRadau(ReferenceGravity(), micro_steps=3)
    particles = three_bodies()
    step = method.advance(particles, method.start(particles), 10.0)
    assert step.outcome is Outcome.PARTIAL
    assert 0.0 < step.elapsed < 10.0 and particles.time == step.elapsed
    run = Simulation(three_bodies(), method, Whole())
    whole = Simulation(three_bodies(), GaussRadau(ReferenceGravity()), Whole())
    assert run.run(10.0).steps > 10 and whole.run(10.0).steps == 1
    assert distance(run.particles, whole.particles) < 1e-12


def test_rest_and_one_body_alone():
    alone = Particles([1.0], [[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]])
    end = evolved(lambda: GaussRadau(ReferenceGravity()), alone, 5.0)
    np.testing.assert_allclose(end.position, [[5.0, 0.0, 0.0]], rtol=1e-15)


def test_coincident_bodies_are_an_outcome():
    twins = Particles([1.0, 1.0], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.zeros((2, 3)))
    method = GaussRadau(ReferenceGravity())
    with np.errstate(all="ignore"):
        step = method.advance(twins, method.start(twins), 1.0)
    assert step.outcome.failed and step.elapsed == 0.0
    assert np.isfinite(twins.position).all()


@pytest.mark.parametrize("options", [{"tolerance": 0.0}, {"tolerance": 2.0}, {"micro_steps": 0}])
def test_bad_options(options):
    with pytest.raises(InputError, match="expected"):
        GaussRadau(ReferenceGravity(), **options)
    with pytest.raises(InputError, match="expected a positive"):
        Fixed(-1.0)
