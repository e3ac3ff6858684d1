"""Tides, d a_k / d x_l: point masses, the density of softening laws, fast multipoles against direct sums.

That tides are the differences of accelerations, for every law and backend, is in tests/integrators/test_interactions.py.
"""

import numpy as np
import pytest
from askel.integrators import Evaluation
from askel.nbody import DirectGravity, Fmm
from askel.nbody.fmm import DIRECT
from askel.nbody.softening import LAWS
from askel.particles import KINDS, UNIT_SYSTEMS, NumericalFailure, Particles
from askel.particles.kernels import kernel_threads

WANTS = ("acceleration", "potential_energy", "tide")


def evaluated(interaction, particles, *wants):
    out = Evaluation(particles.n, wants or WANTS)
    for buffer in (out.acceleration, out.tide):
        if buffer is not None:
            buffer.fill(np.nan)
    interaction.evaluate(particles, out)
    return out


def two(distance, softening=0.0, **options):
    """A test particle at a distance from a mass 3, in a direction that is along no axis."""
    where = distance * np.array([2.0, -1.0, 2.0]) / 3.0
    return Particles([0.0, 3.0], [where, [0, 0, 0]], np.zeros((2, 3)), softening=[softening] * 2, **options)


def sphere(n, seed=5, softening=0.02):
    rng = np.random.default_rng(seed)
    radius = 1.0 / np.sqrt(rng.random(n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    position = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    return Particles(rng.random(n) / n, position, np.zeros((n, 3)), softening=np.full(n, softening))


def errors(particles, kernel="plummer", **options):
    """Return the errors of all tides, relative to their size (Frobenius norms), and the root of their mean square."""
    mine, exact = (
        evaluated(Fmm(kernel=kernel, **options), particles).tide,
        evaluated(DirectGravity(kernel=kernel), particles),
    )
    error = np.linalg.norm(mine - exact.tide, axis=(1, 2)) / np.linalg.norm(exact.tide, axis=(1, 2))
    return error, np.sqrt((error**2).mean())


INTERACTIONS = {
    "direct": lambda **o: DirectGravity(**o),
    "direct reference": lambda **o: DirectGravity(backend="reference", **o),
    "fmm": lambda **o: Fmm(**o),
    "fmm reference": lambda **o: Fmm(backend="reference", **o),
}
every = pytest.mark.parametrize("name", INTERACTIONS)


@every
@pytest.mark.parametrize("kernel", LAWS)
def test_point_mass(name, kernel):
    units = UNIT_SYSTEMS["au-msun-yr"]
    tide = evaluated(INTERACTIONS[name](kernel=kernel), two(2.0, units=units)).tide[0]
    rate = units.gravitational_constant * 3.0 / 8.0
    along = np.array([2.0, -1.0, 2.0]) / 3.0
    assert tide == pytest.approx(rate * (3.0 * np.outer(along, along) - np.eye(3)), rel=1e-13, abs=1e-13 * rate)
    assert np.sort(np.linalg.eigvalsh(tide)) == pytest.approx([-rate, -rate, 2.0 * rate], rel=1e-13)


#: density of each law at u = r / h, times h^3, for a mass 1: Plummer; -1/(4 pi) times the divergence of the published forces
DENSITY = {
    "plummer": lambda u: 3.0 / (4.0 * np.pi) * (1.0 + u**2) ** -2.5,
    "spline": lambda u: 8.0 / np.pi * (1.0 - 6.0 * u**2 + 6.0 * u**3 if u < 0.5 else 2.0 * (1.0 - u) ** 3) * (u < 1.0),
    "wendland": lambda u: 10.5 / np.pi * (1.0 - u) ** 4 * (1.0 + 4.0 * u) * (u < 1.0),
}


@every
@pytest.mark.parametrize("kernel", LAWS)
@pytest.mark.parametrize("u", [0.2, 0.49, 0.51, 0.9, 1.1])
def test_trace_is_the_density_of_the_softening_law(name, kernel, u):
    softening, radius = 0.7, 0.7 * LAWS[kernel].radius
    tide = evaluated(INTERACTIONS[name](kernel=kernel), two(u * radius, softening)).tide[0]
    expected = -4.0 * np.pi * 3.0 * DENSITY[kernel](u) / radius**3
    assert np.trace(tide) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.abs(tide).max() > 0.1


@pytest.mark.parametrize("star_star", ["normal", "softened", "none"])
@pytest.mark.parametrize("kernel", ["plummer", "wendland"])
def test_black_holes_keep_out_of_softening(star_star, kernel):
    softening = 0.0 if star_star == "none" else 1.0
    kinds = np.array([KINDS["star"], KINDS["star"], KINDS["black-hole"]])
    position = [[0, 0, 0], [0.3, 0.1, 0], [0, 0, 0.5]]
    particles = Particles([1.0, 2.0, 4.0], position, np.zeros((3, 3)), kind=kinds)
    tide = evaluated(DirectGravity(softening=softening, kernel=kernel, star_star=star_star), particles).tide
    newton = evaluated(DirectGravity(), particles.select([0, 2])).tide[0]
    softened = evaluated(DirectGravity(softening=softening, kernel=kernel), particles).tide
    if star_star == "none":
        assert tide[0] == pytest.approx(newton, rel=1e-14)
    elif star_star == "normal":
        assert tide == pytest.approx(softened, rel=1e-14)
    else:
        stars = evaluated(DirectGravity(softening=softening, kernel=kernel), particles.select([0, 1])).tide[0]
        assert tide[0] == pytest.approx(stars + newton, rel=1e-13)


@pytest.mark.parametrize("asked", [1e-2, 1e-3, 1e-5])
def test_fast_multipoles_are_about_ten_times_the_asked_error_off(asked):
    error, rms = errors(sphere(5000), relative_error=asked)
    assert 2.0 * asked < rms < 12.0 * asked
    assert np.quantile(error, 0.99) < 50.0 * asked


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_every_order_converges(order):
    coarse, fine = (errors(sphere(5000), relative_error=e, order=order)[1] for e in (1e-2, 1e-3))
    assert 1e-4 < fine < 0.05
    assert fine < 0.5 * coarse


@pytest.mark.parametrize("kernel", ["spline", "wendland"])
def test_fast_multipoles_with_laws_of_finite_radius(kernel):
    error, rms = errors(sphere(5000, softening=0.1), kernel=kernel)
    assert 1e-3 < rms < 1e-2
    assert error.max() < 0.2


def test_one_leaf_is_exact():
    assert 0.0 < errors(sphere(DIRECT))[0].max() < 1e-11
    assert errors(sphere(DIRECT, softening=0.3), kernel="spline")[0].max() < 1e-11


@pytest.mark.parametrize("interaction", [DirectGravity, Fmm])
@pytest.mark.parametrize("n", [700, 6000])
def test_asking_for_tides_changes_nothing_else_and_threads_no_bit(interaction, n):
    particles, found = sphere(n), []
    for threads in (1, 2):
        with kernel_threads(threads):
            found.append(evaluated(interaction(), particles))
    alone = evaluated(interaction(), particles, "acceleration", "potential_energy")
    assert np.array_equal(found[0].tide, found[1].tide)
    assert found[0].acceleration == pytest.approx(alone.acceleration, rel=1e-12, abs=1e-14)
    assert found[0].potential_energy == pytest.approx(alone.potential_energy, rel=1e-13)


def test_tide_and_jerk_together():
    particles = sphere(60)
    particles.velocity[:] = particles.position[::-1]
    both = evaluated(DirectGravity(), particles, "acceleration", "jerk", "tide")
    assert np.array_equal(both.tide, evaluated(DirectGravity(), particles).tide)
    assert np.array_equal(both.jerk, evaluated(DirectGravity(), particles, "acceleration", "jerk").jerk)


@pytest.mark.parametrize("interaction", [DirectGravity, Fmm])
def test_coincident_particles_are_named(interaction):
    particles = sphere(50, softening=0.0)
    particles.position[7] = particles.position[9]
    with np.errstate(all="ignore"), pytest.raises(NumericalFailure) as caught:
        interaction().evaluate(particles, Evaluation(50, WANTS))
    assert caught.value.identities == (7, 9)
