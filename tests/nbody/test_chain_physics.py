"""Newtonian physics of the regularised chain: energy, phase, landing, reversal, events, external fields."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from askel.integrators import Outcome
from askel.nbody import regularised_chain as module
from askel.nbody.orbits import OrbitalElements, state_from_elements
from askel.nbody.regularised_chain import ExternalField, RegularisedChain
from askel.particles import KINDS, Particles
from scipy.integrate import solve_ivp

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import initial_conditions as ic

HOLE, STAR = KINDS["black-hole"], KINDS["star"]


def particles_of(problem):
    return Particles(problem.mass, problem.position.copy(), problem.velocity.copy())


def advance(particles, chain, dt, carry=None):
    """Advance by dt, through the work budgets of single calls; return the last step and the carry."""
    carry = chain.start(particles) if carry is None else carry
    end = particles.time + dt
    while True:
        step = chain.advance(particles, carry, end - particles.time)
        if step.outcome is not Outcome.PARTIAL:
            return step, carry


def energy(particles):
    """T - U in extended precision."""
    m, x, v = (a.astype(np.longdouble) for a in (particles.mass, particles.position, particles.velocity))
    i, j = np.triu_indices(len(m), 1)
    distance = np.sqrt(((x[i] - x[j]) ** 2).sum(1))
    return 0.5 * (m * (v**2).sum(1)).sum() - (m[i] * m[j] / distance).sum()


def energy_error(particles, start):
    return abs(float((energy(particles) - start) / start))


def dop853(mass, position, velocity, t_end, force, tolerance=1e-13):
    """An independent integration: positions and velocities at t_end of x'' = force(t, x, v)."""
    n = len(mass)

    def rate(t, y):
        x, v = y[: 3 * n].reshape(n, 3), y[3 * n :].reshape(n, 3)
        return np.concatenate([v.ravel(), force(t, x, v).ravel()])

    start = np.concatenate([position.ravel(), velocity.ravel()])
    result = solve_ivp(rate, (0.0, t_end), start, method="DOP853", rtol=tolerance, atol=1e-14)
    return result.y[: 3 * n, -1].reshape(n, 3), result.y[3 * n :, -1].reshape(n, 3)


def newton(mass, x, weight=None, softening2=None):
    """Direct sum with a strength and a squared softening (n, n) for every pair."""
    d = x[None] - x[:, None]
    r2 = (d**2).sum(-1) + (0.0 if softening2 is None else softening2)
    np.fill_diagonal(r2, 1.0)
    strength = mass[None] * (np.ones_like(r2) if weight is None else weight) / r2**1.5
    np.fill_diagonal(strength, 0.0)
    return (strength[..., None] * d).sum(1)


def cluster(n, seed, hole=None):
    """n bodies of equal mass in a cool sphere; with a heavier body 0 when ``hole`` is its mass."""
    rng = np.random.default_rng(seed)
    mass = np.full(n, 1.0 / n)
    if hole is not None:
        mass[0] = hole
    kind = np.full(n, STAR, np.int8)
    kind[0] = HOLE if hole is not None else STAR
    return Particles(mass, rng.normal(size=(n, 3)), 0.4 * rng.normal(size=(n, 3)), kind=kind)


# ---- the classical problems -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tolerance", "worst"), [(1e-13, 2e-11), (1e-14, 1e-12), (1e-15, 1e-12)])
def test_pythagorean_problem_keeps_its_energy_and_ejects_the_lightest_body(tolerance, worst):
    particles = particles_of(ic.pythagorean())
    start = energy(particles)
    step, _ = advance(particles, RegularisedChain(tolerance=tolerance), 75.0)
    assert step.outcome is Outcome.COMPLETED
    assert 1e-17 < energy_error(particles, start) < worst
    assert step.energy == pytest.approx(float(energy(particles)), rel=1e-13)
    light, pair = 0, [1, 2]
    m, x, v = particles.mass, particles.position, particles.velocity
    centre, drift = (m[pair] @ a[pair] / m[pair].sum() for a in (x, v))
    away, speed = x[light] - centre, v[light] - drift
    assert 0.5 * speed @ speed - m.sum() / np.linalg.norm(away) > 0.0 and away @ speed > 0.0
    binary = 0.5 * np.sum((v[1] - v[2]) ** 2) - m[pair].sum() / np.linalg.norm(x[1] - x[2])
    assert binary < -1.0


@pytest.mark.peer
def test_pythagorean_problem_agrees_with_radau15_of_rebound():
    rebound = pytest.importorskip("rebound")
    problem = ic.pythagorean()
    peer = rebound.Simulation()
    for m, x, v in zip(problem.mass, problem.position, problem.velocity, strict=True):
        peer.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
    peer.integrator = "ias15"
    particles = particles_of(problem)
    chain = RegularisedChain(tolerance=1e-14)
    carry = chain.start(particles)
    for t, low, high in ((10.0, 1e-15, 1e-10), (30.0, 1e-14, 1e-7)):
        advance(particles, chain, t - particles.time, carry)
        peer.integrate(t)
        theirs = np.array([[p.x, p.y, p.z] for p in peer.particles])
        assert low < np.abs(theirs - particles.position).max() < high


@pytest.mark.parametrize(
    ("eccentricity", "worst_energy", "worst_phase"),
    [(0.0, 1e-12, 2e-9), (0.5, 1e-12, 2e-9), (0.9, 1e-12, 1e-9), (0.999, 1e-12, 1e-9), (0.99999, 1e-12, 1e-8)],
)
def test_binary_keeps_energy_and_phase_for_a_thousand_orbits(eccentricity, worst_energy, worst_phase):
    """Against the exact solution of Kepler's equation, 0.3 of an orbit after 1,000 returns to apocentre."""
    problem = ic.binary(eccentricity)
    particles = particles_of(problem)
    start = energy(particles)
    turns, period = 1000.3, 2.0 * math.pi / math.sqrt(1.5)
    advance(particles, RegularisedChain(tolerance=1e-15 if eccentricity < 0.99 else 1e-14), turns * period)
    assert 1e-18 < energy_error(particles, start) < worst_energy
    elements = OrbitalElements(1.0, eccentricity, 0.0, 0.0, math.pi, math.pi + 2.0 * math.pi * (turns - 1000.0))
    expected, _ = state_from_elements(1.5, elements)  # the argument of periastron puts the apocentre on +x
    error = np.abs(particles.position[1] - particles.position[0] - expected).max()
    assert 1e-15 < error < worst_phase


def test_equal_masses_and_a_cluster_keep_their_energy():
    for n, seed, dt in ((3, 1, 5.0), (5, 2, 5.0), (6, 3, 5.0), (50, 4, 1.0)):
        particles = cluster(n, seed)
        start = energy(particles)
        centre, drift = particles.centre_of_mass()
        step, _ = advance(particles, RegularisedChain(tolerance=1e-13), dt)
        assert step.outcome is Outcome.COMPLETED
        assert 1e-18 < energy_error(particles, start) < 2e-12
        np.testing.assert_allclose(particles.centre_of_mass()[0], centre + dt * drift, atol=1e-13)
        assert np.linalg.norm(particles.mass @ (particles.velocity - drift)) < 1e-14


def test_one_body_drifts_and_no_time_is_no_change():
    one = Particles([2.0], [[1.0, 2.0, 3.0]], [[0.5, 0.0, -1.0]])
    chain = RegularisedChain()
    step, _ = advance(one, chain, 4.0)
    assert (step.elapsed, one.time, step.energy) == (4.0, 4.0, 1.25)
    assert one.position.tolist() == [[3.0, 2.0, -1.0]]
    two = particles_of(ic.binary(0.5))
    before = two.clone()
    step = chain.advance(two, chain.start(two), 0.0)
    assert step.outcome is Outcome.COMPLETED and step.energy == pytest.approx(float(energy(two)), rel=1e-15)
    assert np.array_equal(two.position, before.position)


# ---- landing, reversal, work budget, transformations ---------------------------------------------------------------


def test_landing_is_exact_and_does_not_change_the_orbit():
    whole, pieces = particles_of(ic.pythagorean()), particles_of(ic.pythagorean())
    chain = RegularisedChain(tolerance=1e-14)
    advance(whole, chain, 12.0)
    assert whole.time == 12.0
    carry = chain.start(pieces)
    rng = np.random.default_rng(3)
    for t in (*np.sort(rng.uniform(0.0, 12.0, 40)), 12.0):
        dt = t - pieces.time
        step = chain.advance(pieces, carry, dt)
        assert step.elapsed == dt and step.outcome is Outcome.COMPLETED
    assert pieces.time == pytest.approx(12.0, abs=4e-15)
    assert 1e-16 < np.abs(pieces.position - whole.position).max() < 3e-11


def test_forwards_then_backwards_returns_to_round_off():
    particles = particles_of(ic.pythagorean())
    before = particles.clone()
    chain = RegularisedChain(tolerance=1e-14)
    _, carry = advance(particles, chain, 10.0)
    assert np.abs(particles.position - before.position).max() > 0.1
    step, _ = advance(particles, chain, -10.0, carry)
    assert (step.elapsed, particles.time) == (-10.0, 0.0)
    assert 1e-18 < np.abs(particles.position - before.position).max() < 1e-11


def test_the_work_budget_of_a_call_does_not_change_the_orbit(monkeypatch):
    whole, pieces = particles_of(ic.pythagorean()), particles_of(ic.pythagorean())
    chain = RegularisedChain()
    advance(whole, chain, 20.0)
    monkeypatch.setattr(module, "CALL_BUDGET", 0)
    carry, calls, step = chain.start(pieces), 0, None
    while step is None or step.outcome is Outcome.PARTIAL:
        step = chain.advance(pieces, carry, 20.0 - pieces.time)
        calls += 1
    assert calls > 5
    assert pieces.time == whole.time == 20.0
    assert np.abs(pieces.position - whole.position).max() < 1e-10  # not bit-equal: time is counted from every call


def test_a_step_limit_is_an_outcome():
    particles = particles_of(ic.pythagorean())
    chain = RegularisedChain(max_steps=7)
    step = chain.advance(particles, chain.start(particles), 75.0)
    assert step.outcome is Outcome.STEP_LIMIT and step.outcome.failed
    assert 0.0 < step.elapsed < 75.0 and particles.time == step.elapsed
    assert step.statistics["micro_steps"] == 7 and len(step.identities) == 2


def test_time_transformed_leapfrog_agrees_with_the_logarithmic_hamiltonian():
    one, other = particles_of(ic.pythagorean()), particles_of(ic.pythagorean())
    start = energy(one)
    advance(one, RegularisedChain(tolerance=1e-14), 10.0)
    advance(other, RegularisedChain(tolerance=1e-14, transform="ttl"), 10.0)
    assert 1e-16 < np.abs(one.position - other.position).max() < 1e-9
    assert energy_error(other, start) < 1e-12


# ---- interaction options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 20])
@pytest.mark.parametrize("star_star", ["normal", "none", "softened"])
def test_star_star_forces_equal_a_direct_sum(star_star, n):
    particles = cluster(n, 7, hole=3.0)
    softening = 0.3
    star = np.arange(n) > 0
    both = star[:, None] & star[None]
    weight = np.where(both & (star_star == "none"), 0.0, 1.0)
    softening2 = np.where(both & (star_star == "softened"), softening**2, 0.0)
    expected, _ = dop853(
        particles.mass, particles.position, particles.velocity, 1.0,
        lambda t, x, v: newton(particles.mass, x, weight, softening2),
    )  # fmt: skip
    chain = RegularisedChain(star_star=star_star, softening=softening)
    i, j = np.triu_indices(n, 1)
    distance = np.linalg.norm(particles.position[i] - particles.position[j], axis=1)
    pairs = weight[i, j] * particles.mass[i] * particles.mass[j]
    potential = -np.sum(pairs / np.sqrt(distance**2 + softening2[i, j]))
    direct = potential + particles.kinetic_energy()
    carry = chain.start(particles)
    assert chain.energy(particles, carry) == pytest.approx(direct, rel=1e-13)
    step, _ = advance(particles, chain, 1.0, carry)
    assert 1e-16 < np.abs(particles.position - expected).max() < 1e-9
    assert step.energy == pytest.approx(direct, rel=1e-11)


def test_an_isotropic_tide_moves_the_centre_of_mass_as_an_oscillator():
    problem = ic.binary(0.9)
    particles = particles_of(problem)
    particles.position += [0.2, -0.1, 0.3]
    before = particles.clone()
    rate = 0.5
    field = ExternalField(tide=-(rate**2) * np.eye(3))
    advance(particles, RegularisedChain(external=field, tolerance=1e-14), 20.0)
    expected = np.array([0.2, -0.1, 0.3]) * math.cos(rate * 20.0)
    assert np.abs(particles.centre_of_mass()[0] - expected).max() < 1e-12
    direct, _ = dop853(
        before.mass, before.position, before.velocity, 20.0, lambda t, x, v: newton(before.mass, x) - rate**2 * x
    )
    assert 1e-15 < np.abs(particles.position - direct).max() < 1e-8


def test_a_uniform_field_with_rates_is_free_fall():
    particles = particles_of(ic.binary(0.99))
    alone = particles.clone()
    g, rate = np.array([0.3, -0.2, 0.1]), np.array([-0.05, 0.1, 0.02])
    field = ExternalField(acceleration=g, acceleration_rate=rate)
    advance(particles, RegularisedChain(external=field, tolerance=1e-14), 7.0)
    advance(alone, RegularisedChain(tolerance=1e-14), 7.0)
    shift = 0.5 * g * 49.0 + rate * 343.0 / 6.0
    assert 1e-17 < np.abs(particles.position - alone.position - shift).max() < 1e-10


def test_the_tide_of_a_distant_mass_replaces_it():
    """Binary and a mass of 1,000 that passes at 100: the tide as a field, renewed 200 times, against three bodies."""
    problem = ic.binary(0.3)
    heavy, place, speed = 1000.0, np.array([100.0, 0.0, 0.0]), np.array([0.0, 4.0, 0.0])
    t_end = 20.0
    three = Particles(
        np.append(problem.mass, heavy), np.vstack([problem.position, place]), np.vstack([problem.velocity, speed])
    )
    chain = RegularisedChain(tolerance=1e-13)
    carry = chain.start(three)
    alone, tidal = particles_of(problem), particles_of(problem)
    field = RegularisedChain(tolerance=1e-13, external=ExternalField())
    tidal_carry = field.start(tidal)
    pieces = 200

    def tide():
        away = three.position[2] - three.mass[:2] @ three.position[:2] / 1.5
        r = np.linalg.norm(away)
        return heavy / r**3 * (3.0 * np.outer(away, away) / r**2 - np.eye(3))

    for _ in range(pieces):
        now = tide()
        advance(three, chain, t_end / pieces, carry)
        change = (tide() - now) * pieces / t_end
        field.external = ExternalField(tide=now, tide_rate=change)
        advance(tidal, field, t_end / pieces, tidal_carry)
    advance(alone, RegularisedChain(tolerance=1e-13), t_end)
    wanted, got, without = (p.position[1] - p.position[0] for p in (three, tidal, alone))
    effect = np.linalg.norm(wanted - without)
    assert effect > 1e-3
    assert 1e-8 < np.linalg.norm(wanted - got) / effect < 1e-2


def test_a_field_may_be_switched_on_between_advances():
    """The carry of a chain that started without a field is made to fit."""
    particles = particles_of(ic.binary(0.5))
    never = particles.clone()
    chain = RegularisedChain()
    _, carry = advance(particles, chain, 1.0)
    chain.external = ExternalField(acceleration=(0.1, 0.0, 0.0))
    advance(particles, chain, 2.0, carry)
    chain.external = None
    advance(particles, chain, 1.0, carry)
    advance(never, RegularisedChain(), 4.0)
    shift = np.array([0.5 * 0.1 * 4.0 + 0.1 * 2.0, 0.0, 0.0])
    np.testing.assert_allclose(particles.position - never.position, np.tile(shift, (2, 1)), atol=1e-11)
