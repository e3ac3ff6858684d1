"""Post-Newtonian physics of the regularised chain: decay, precession, cross terms, spins, Kozai-Lidov with 1PN."""

import math

import numpy as np
import pytest
from askel.integrators import Outcome
from askel.nbody._kernels.post_newtonian_reference import accelerations as reference
from askel.nbody._kernels.post_newtonian_terms import TERM_BITS
from askel.nbody.orbits import OrbitalElements, state_from_elements
from askel.nbody.regularised_chain import RegularisedChain
from askel.nbody.strain import peters_merger_time
from askel.particles import KINDS, InputError, Particles, nbody_units
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

HOLE, STAR = KINDS["black-hole"], KINDS["star"]


def advance(particles, chain, dt, carry=None):
    """Advance by dt; return the last step, the carry and the work of the post-Newtonian terms."""
    carry = chain.start(particles) if carry is None else carry
    end, work = particles.time + dt, 0.0
    while True:
        step = chain.advance(particles, carry, end - particles.time)
        work += step.work
        assert not step.outcome.failed
        if step.outcome is not Outcome.PARTIAL:
            return step, carry, work


def two_bodies(m1, m2, elements, c, kinds=(HOLE, HOLE), spin=None):
    x, v = state_from_elements(m1 + m2, elements)
    share = np.array([[-m2], [m1]]) / (m1 + m2)
    return Particles(
        [m1, m2], share * x, share * v, kind=kinds, spin=spin, units=nbody_units(speed_of_light=c)
    )  # fmt: skip


def relative(particles, i=0, j=1):
    return particles.position[j] - particles.position[i], particles.velocity[j] - particles.velocity[i]


def eccentricity_vector(mu, x, v):
    return np.cross(v, np.cross(x, v)) / mu - x / np.linalg.norm(x)


# ---- radiation reaction --------------------------------------------------------------------------------------------


def decay(start, end, tolerance=1e-13):
    """Relative deviation from Peters of the time from ``start`` to ``end`` G M / c^2 under 2.5PN alone."""
    c = math.sqrt(start)
    particles = two_bodies(0.5, 0.5, OrbitalElements(1.0, 0.0), c)
    chain = RegularisedChain(post_newtonian=["2.5"], merger_distance=end / 2.0, tolerance=tolerance)
    energy = chain.energy(particles, chain.start(particles))
    step, _, work = advance(particles, chain, 1e9)
    assert step.outcome is Outcome.EVENT
    x, _ = relative(particles)
    assert np.linalg.norm(x) * c**2 == pytest.approx(end, rel=1e-6)
    assert 1e-16 < abs(step.energy - energy - work) / abs(step.energy) < 2e-9
    assert abs(work) > 0.1
    peters = peters_merger_time(0.5, 0.5, 1.0, 0.0, c=c) - peters_merger_time(0.5, 0.5, end / c**2, 0.0, c=c)
    return particles.time / peters - 1.0


@pytest.mark.slow
def test_decay_from_200_to_6_takes_the_time_of_peters():
    assert 1e-12 < abs(decay(200.0, 6.0)) < 1e-6


def test_deviation_from_peters_falls_with_the_compactness():
    """The first neglected order of Peters' formula is (da/dt)^2, the fifth power of GM/(a c^2): here start to half way."""
    close, wide = decay(20.0, 10.0, 1e-12), decay(40.0, 20.0, 1e-12)
    assert 1e-7 < abs(wide) < abs(close) < 1e-2
    assert 20.0 < abs(close / wide) < 45.0


# ---- conservative orbits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [300.0, 1000.0])
def test_periastron_advances_as_1pn_says(c):
    e, orbits = 0.6, 50
    apocentre = OrbitalElements(1.0, e, mean_anomaly=math.pi)  # where a small shift in phase matters least
    particles = two_bodies(0.7, 0.3, apocentre, c)
    before = eccentricity_vector(1.0, *relative(particles))
    advance(particles, RegularisedChain(post_newtonian=["1"]), orbits * 2.0 * math.pi)
    after = eccentricity_vector(1.0, *relative(particles))
    turned = math.atan2(np.cross(before, after)[2], before @ after)
    expected = orbits * 6.0 * math.pi / (c**2 * (1.0 - e**2))
    small = 1.0 / (c**2 * (1.0 - e**2))
    assert 0.01 * small < abs(turned / expected - 1.0) < 30.0 * small


def test_without_terms_nothing_precesses():
    particles = two_bodies(0.7, 0.3, OrbitalElements(1.0, 0.6), 300.0)
    before = eccentricity_vector(1.0, *relative(particles))
    advance(particles, RegularisedChain(), 100.0 * math.pi)
    assert np.linalg.norm(eccentricity_vector(1.0, *relative(particles)) - before) < 1e-10


def three_holes(c):
    mass = np.array([1.0, 0.6, 0.4])
    position = np.array([[0.5, 0.1, 0.0], [-0.6, 0.2, 0.1], [0.2, -1.3, -0.2]])
    velocity = np.array([[0.1, 0.5, 0.1], [0.2, -0.8, 0.0], [-0.7, 0.1, 0.2]])
    velocity -= mass @ velocity / mass.sum()
    return Particles(mass, position, velocity, kind=[HOLE] * 3, units=nbody_units(speed_of_light=c))


def dop853(particles, terms, c, t_end):
    """An independent integration of Newton and the reference twin of the post-Newtonian terms."""
    mass, n = particles.mass, particles.n
    acts = ~np.eye(n, dtype=bool)
    bits = sum(TERM_BITS[t] for t in terms)
    out, turn = np.zeros((n, 3)), np.zeros((n, 3))

    def rate(t, y):
        x, v, s = y.reshape(3, n, 3)
        d = x[:, None] - x[None]
        r = np.sqrt((d**2).sum(-1)) + np.eye(n)
        reference(bits, 1.0, c, mass, acts, d, v, s, out, turn)
        newton = -((mass[None] / r**3)[..., None] * d).sum(1)
        return np.concatenate([v.ravel(), (newton + out).ravel(), np.cross(turn, s).ravel()])

    spin = np.zeros((n, 3)) if particles.spin is None else particles.spin
    start = np.concatenate([particles.position.ravel(), particles.velocity.ravel(), spin.ravel()])
    result = solve_ivp(rate, (0.0, t_end), start, method="DOP853", rtol=1e-13, atol=1e-15)
    return result.y[:, -1].reshape(3, n, 3)


@pytest.mark.parametrize(
    "terms", [["1"], ["1", "1cross"], ["1", "1cross", "2", "2.5", "3", "3.5"], ["1", "1cross", "2", "SO", "SS", "Q"]]
)
def test_three_bodies_agree_with_an_independent_integration(terms):
    c = 30.0
    particles = three_holes(c)
    particles.spin = np.array([[0.0, 0.02, 0.04], [0.01, -0.01, 0.01], [0.005, 0.0, 0.0]]) / 2.0
    x, v, s = dop853(particles, terms, c, 1.5)
    newtonian = dop853(particles, [], c, 1.5)[0]
    before = np.linalg.norm(particles.spin, axis=1)
    advance(particles, RegularisedChain(post_newtonian=terms, tolerance=1e-13), 1.5)
    assert 1e-15 < np.abs(particles.position - x).max() < 1e-9
    assert 1e-15 < np.abs(particles.velocity - v).max() < 1e-9
    assert np.abs(particles.position - newtonian).max() > 1e-4
    assert np.abs(particles.spin - s).max() < 1e-10
    np.testing.assert_allclose(np.linalg.norm(particles.spin, axis=1), before, rtol=3e-15)


def eih_energy(particles, c):
    """Total energy of the Einstein-Infeld-Hoffmann Lagrangian, G = 1."""
    m, x, v = particles.mass, particles.position, particles.velocity
    d = x[:, None] - x[None]
    r = np.sqrt((d**2).sum(-1))
    np.fill_diagonal(r, np.inf)
    n = d / r[..., None]
    v2 = (v**2).sum(1)
    newtonian = 0.5 * m @ v2 - 0.5 * (np.outer(m, m) / r).sum()
    along = np.einsum("ijk,ik->ij", n, v)
    across = np.einsum("ijk,jk->ij", n, v)
    pairs = 3.0 * (v2[:, None] + v2[None]) - 7.0 * v @ v.T - along * across
    field = (m[None] / r).sum(1)
    return newtonian + (3 / 8 * m @ v2**2 + 0.25 * (np.outer(m, m) / r * pairs).sum() + 0.5 * m @ field**2) / c**2


def test_1pn_energy_of_three_bodies_is_conserved_to_the_neglected_order():
    def drift(c, terms):
        particles = three_holes(c)
        chain = RegularisedChain(post_newtonian=terms, tolerance=1e-13)
        carry, worst = chain.start(particles), 0.0
        first = eih_energy(particles, c)
        for _ in range(60):
            advance(particles, chain, 0.05, carry)
            worst = max(worst, abs(eih_energy(particles, c) - first))
        return worst

    close, wide = drift(100.0, ["1", "1cross"]), drift(200.0, ["1", "1cross"])
    assert 14.0 < close / wide < 18.0  # c^-4
    assert drift(200.0, ["1"]) > 30.0 * wide  # without the cross terms it is c^-2


# ---- spins ---------------------------------------------------------------------------------------------------------


def test_geodetic_precession_of_a_gyroscope():
    c, r, orbits = 100.0, 1.0, 40
    spin = np.array([[0.0, 0.0, 0.0], [3e-25, 0.0, 4e-25]])
    particles = two_bodies(1.0, 1e-12, OrbitalElements(r, 0.0), c, spin=spin)
    advance(particles, RegularisedChain(post_newtonian=["SO"]), orbits * 2.0 * math.pi)
    after = particles.spin[1]
    angle = math.atan2(after[1], after[0])
    expected = 1.5 / (c**2 * r**2.5) * orbits * 2.0 * math.pi
    assert 1e-13 < abs(angle / expected - 1.0) < 1e-9
    assert angle > 0.01
    assert after[2] == pytest.approx(4e-25, rel=1e-12)
    assert abs(np.linalg.norm(after) / 5e-25 - 1.0) < 1e-14


# ---- which pairs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "kinds", "active"),
    [
        ("black-hole", (HOLE, HOLE), True),
        ("black-hole", (HOLE, STAR), False),
        ("all", (HOLE, STAR), True),
        ("all", (STAR, STAR), False),
    ],
)
def test_terms_act_between_the_pairs_that_were_asked_for(pairs, kinds, active):
    particles = two_bodies(0.7, 0.3, OrbitalElements(1.0, 0.6), 50.0, kinds)
    newtonian = particles.clone()
    chain = RegularisedChain(post_newtonian=["1"], pairs=pairs)
    step, _, _ = advance(particles, chain, 10.0)
    advance(newtonian, RegularisedChain(), 10.0)
    difference = np.abs(particles.position - newtonian.position).max()
    assert (difference > 1e-4) if active else (difference < 1e-10)
    if active:
        assert step.statistics["max_compactness"] == pytest.approx(1.0 / (0.4 * 2500.0), rel=0.3)
        assert 0.01 < step.statistics["max_v_over_c"] < 0.05
    else:
        assert step.statistics["max_compactness"] == step.statistics["max_v_over_c"] == 0.0


def test_terms_without_a_speed_of_light_are_refused():
    particles = Particles([1.0, 1.0], [[0.0, 0, 0], [1.0, 0, 0]], np.zeros((2, 3)), kind=[HOLE, HOLE])
    with pytest.raises(InputError, match="speed of light"):
        RegularisedChain(post_newtonian=["1"]).start(particles)
    with pytest.raises(InputError, match="speed of light"):
        RegularisedChain(merger_distance=12.0).start(particles)


# ---- Kozai-Lidov -------------------------------------------------------------------------------------------------------

RATIO, OUTER_MASS = 25.0, 1.0  # outer over inner semi-major axis; a circular outer orbit
INNER_MASS = 1.0


def secular_eccentricity_maximum(e0, inclination, gr):
    """Largest e that energy and angular momentum allow (quadrupole, outer orbit circular, argument of periastron 0).

    Phi = (1/8) [1 - 6 e^2 - 3 j_z^2 + 15 (e.n)^2] - gr / sqrt(1 - e^2); Liu, Munoz & Lai 2015, doi:10.1093/mnras/stu2396.
    """
    jz2 = (1.0 - e0**2) * math.cos(inclination) ** 2

    def phi(e, sine2):
        tilt = 15.0 * e**2 * sine2 * (1.0 - jz2 / (1.0 - e**2))
        return (1.0 - 6.0 * e**2 - 3.0 * jz2 + tilt) / 8.0 - gr / math.sqrt(1.0 - e**2)

    start = phi(e0, 0.0)
    top = math.sqrt(1.0 - jz2) * (1.0 - 1e-12)
    return brentq(lambda e: phi(e, 1.0) - start, e0 * 1.0001, top)


def secular_time_of_maximum(e0, inclination, gr, rate):
    """Time at which the double-averaged equations reach their first maximum; the same reference, equations 11 to 15."""
    n = np.array([0.0, 0.0, 1.0])

    def derivative(t, y):
        j, e = np.asarray(y[:3]), np.asarray(y[3:])
        jn, en = np.cross(j, n), np.cross(e, n)
        dj = 0.75 * ((j @ n) * jn - 5.0 * (e @ n) * en)
        de = 0.75 * ((j @ n) * en + 2.0 * np.cross(j, e) - 5.0 * (e @ n) * jn)
        return np.concatenate([dj, de + gr / (1.0 - e @ e) ** 1.5 * np.cross(j, e)])

    def slope(t, y):  # of e^2
        return np.asarray(y[3:]) @ derivative(t, y)[3:]

    slope.terminal, slope.direction = True, -1.0
    s, c = math.sin(inclination), math.cos(inclination)
    start = np.array([0.0, -s * math.sqrt(1 - e0**2), c * math.sqrt(1 - e0**2), e0, 0.0, 0.0])
    return solve_ivp(derivative, (0.0, 60.0), start, rtol=1e-10, atol=1e-12, events=slope).t_events[0][0] / rate


def kozai_lidov(e0, inclination, gr):
    """Return (largest e, its time) of the inner orbit from direct integration.

    ``gr`` = 3 G^2 M^2 / (c^2 a^2) in units of G m_3 a^2 / a_3^3, the strength of 1PN precession; 0: no terms.
    """
    c = math.sqrt(3.0 * INNER_MASS**2 / (OUTER_MASS / RATIO**3) / gr) if gr > 0.0 else 100.0
    test_mass = 1e-6
    x, v = state_from_elements(INNER_MASS + test_mass, OrbitalElements(1.0, e0, inclination, 0.0, 0.0, math.pi))
    far, fast = state_from_elements(INNER_MASS + OUTER_MASS, OrbitalElements(RATIO, 0.0, 0.0, 0.0, 0.0, 1.0))
    particles = Particles(
        [INNER_MASS, test_mass, OUTER_MASS], [[0.0, 0.0, 0.0], x, far], [[0.0, 0.0, 0.0], v, fast],
        kind=[HOLE, HOLE, STAR], units=nbody_units(speed_of_light=c),
    )  # fmt: skip
    for values in (particles.position, particles.velocity):
        values -= particles.mass @ values / particles.mass.sum()
    rate = OUTER_MASS / INNER_MASS / RATIO**3
    expected = secular_time_of_maximum(e0, inclination, gr, rate)
    chain = RegularisedChain(post_newtonian=["1"] if gr > 0.0 else [], tolerance=1e-10)
    carry = chain.start(particles)
    series, dt = [], 2.0 * math.pi * RATIO**1.5 / math.sqrt(2.0) / 12.0
    while particles.time < 1.4 * expected:
        advance(particles, chain, dt, carry)
        e = np.linalg.norm(eccentricity_vector(INNER_MASS + test_mass, *relative(particles)))
        series.append((e, particles.time))
    return (*max(series), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("degrees", "gr"), [(60.0, 0.0), (70.0, 0.0), (70.0, 0.3), (70.0, 0.8)])
def test_kozai_lidov_cycles_reach_the_eccentricity_of_theory(degrees, gr):
    e0, inclination = 0.03, math.radians(degrees)
    largest, when, expected = kozai_lidov(e0, inclination, gr)
    secular = secular_eccentricity_maximum(e0, inclination, gr)
    classical = math.sqrt(1.0 - 5.0 / 3.0 * math.cos(inclination) ** 2)
    assert 1e-6 < abs(largest - secular) < 0.02  # single averaging: of the order of the ratio of the periods
    assert 1e-6 < abs(when / expected - 1.0) < 0.1
    if gr == 0.0:
        assert abs(secular - classical) < 2e-3 and abs(largest - classical) < 0.02
    else:
        assert largest < classical - 0.03 * (gr / 0.3)
