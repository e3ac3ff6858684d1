"""Fast multipoles: error as asked, momentum, softening laws, odd input, and that nothing but the particles matters."""

import numpy as np
import pytest
from askel.integrators import Evaluation
from askel.nbody import DirectGravity, Fmm, accelerations
from askel.nbody._kernels import softening_reference
from askel.nbody._kernels.expansion_tables import indices, size, tables, triples
from askel.nbody.fmm import DIRECT
from askel.nbody.softening import LAWS
from askel.particles import InputError, NumericalFailure, Particles
from askel.particles.kernels import kernel_threads

N = 5000


def plummer(n=N, seed=5, softening=0.02, masses=False):
    rng = np.random.default_rng(seed)
    radius = 1.0 / np.sqrt(rng.random(n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    position = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    mass = rng.random(n) ** 3 if masses else np.full(n, 1.0 / n)
    return Particles(mass, position, np.zeros((n, 3)), softening=np.broadcast_to(softening, n).copy())


def field(interaction, particles):
    acceleration, potential = np.full((particles.n, 3), np.nan), np.full(particles.n, np.nan)
    interaction.field(particles, acceleration, potential)
    return acceleration, potential


def errors(particles, kernel="plummer", **options):
    """Relative errors of all accelerations and potentials against direct summation."""
    mine = field(Fmm(kernel=kernel, **options), particles)
    exact = field(DirectGravity(kernel=kernel), particles)
    force = np.linalg.norm(mine[0] - exact[0], axis=1) / np.linalg.norm(exact[0], axis=1)
    return force, np.abs(mine[1] / exact[1] - 1.0)


def rms(values):
    return np.sqrt((values**2).mean())


@pytest.mark.parametrize("asked", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("masses", [False, True])
def test_error_is_what_was_asked(asked, masses):
    force, potential = errors(plummer(masses=masses), relative_error=asked)
    assert 0.05 * asked < rms(force) < 1.2 * asked
    assert np.quantile(force, 0.99) < 5.0 * asked
    assert rms(potential) < asked


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_every_order_converges(order):
    coarse, fine = (rms(errors(plummer(), relative_error=e, order=order)[0]) for e in (1e-2, 1e-3))
    assert 1e-5 < fine < 2e-3
    assert fine < 0.5 * coarse


@pytest.mark.parametrize("kernel", LAWS)
@pytest.mark.parametrize("softening", [0.0, 0.1, "individual"])
def test_softening(kernel, softening):
    if softening == "individual":
        softening = np.random.default_rng(8).uniform(0.0, 0.3, N)
    force, potential = errors(plummer(softening=softening), kernel=kernel)
    assert 1e-5 < rms(force) < 1.2e-3
    assert potential.max() < 1e-2


@pytest.mark.parametrize("kernel", LAWS)
def test_momentum_is_conserved_to_rounding(kernel):
    particles = plummer(masses=True, softening=np.random.default_rng(8).uniform(0.0, 0.1, N))
    particles.position[: N // 3] *= 0.01  # a dense core, off the centre
    particles.position[: N // 3] += 1.5
    acceleration, _ = field(Fmm(kernel=kernel, relative_error=1e-2), particles)
    force = particles.mass[:, None] * acceleration
    assert np.abs(force.sum(axis=0)).max() < 1e-15 * np.abs(force).sum()


@pytest.mark.parametrize("threads", [1, 2])
def test_same_input_same_bits(threads):
    particles, interaction = plummer(6000), Fmm()
    with kernel_threads(threads):
        first = field(interaction, particles)
        field(interaction, plummer(2000, seed=9))
        again = field(interaction, particles)
    alone = field(Fmm(), particles)
    for a, b, c in zip(first, again, alone, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_energy_and_virial():
    particles = plummer()
    mine, exact = (Evaluation(N, ["acceleration", "potential_energy", "virial"]) for _ in range(2))
    Fmm().evaluate(particles, mine)
    DirectGravity().evaluate(particles, exact)
    assert 1e-9 < abs(mine.potential_energy / exact.potential_energy - 1.0) < 1e-4
    assert mine.virial == pytest.approx(exact.virial, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
def test_few_particles(n):
    rng = np.random.default_rng(n)
    particles = Particles(rng.random(n) + 0.1, rng.normal(size=(n, 3)), np.zeros((n, 3)))
    mine, exact = field(Fmm(), particles), field(DirectGravity(), particles)
    assert mine[0] == pytest.approx(exact[0], rel=1e-13, abs=1e-13)
    assert mine[1] == pytest.approx(exact[1], rel=1e-13)


def line(rng):
    return rng.random((N, 1)) * [[0.3, 1.0, 0.0]]


def plane(rng):
    return rng.normal(size=(N, 3)) * [1.0, 0.0, 1.0]


def lattice(rng):
    return np.stack(np.meshgrid(*[np.arange(17.0)] * 3), axis=-1).reshape(-1, 3)


def nested(rng):
    """Clusters in clusters, over twenty-four orders of magnitude, around the origin."""
    return rng.normal(size=(N, 3)) * 10.0 ** rng.integers(-24, 1, N)[:, None]


def outlier(rng):
    return np.r_[rng.normal(size=(N - 1, 3)) * 1e-9, [[1.0, 2.0, 3.0]]]


def piles(rng):
    """Ten places with many particles each."""
    return np.repeat(rng.normal(size=(10, 3)), N // 10, axis=0)


@pytest.mark.parametrize("shape", [line, plane, lattice, nested, outlier, piles])
def test_odd_places(shape):
    position = shape(np.random.default_rng(3))
    n = len(position)
    eps = 1e-30 if shape is nested else 1e-12 if shape is outlier else 0.01
    particles = Particles(np.full(n, 1.0 / n), position, np.zeros((n, 3)), softening=np.full(n, eps))
    mine, exact = field(Fmm(), particles), field(DirectGravity(), particles)
    size_of = np.linalg.norm(exact[0], axis=1)
    force = np.linalg.norm(mine[0] - exact[0], axis=1)
    assert np.quantile(force / np.maximum(size_of, 0.2 * np.median(size_of)), 0.95) < 5e-3
    assert np.abs(mine[1] / exact[1] - 1.0).max() < 1e-3
    assert np.abs((mine[0] / n).sum(axis=0)).max() < 1e-13 * size_of.mean()


def test_massless_particles_feel_and_do_not_pull():
    particles = plummer()
    particles.mass[::2] = 0.0
    force, _ = errors(particles)
    assert rms(force) < 1.2e-3
    heavy = particles.select(np.arange(1, N, 2))
    assert field(Fmm(), particles)[0][1::2] == pytest.approx(field(DirectGravity(), heavy)[0], rel=0.1, abs=1e-3)
    particles.mass[:] = 0.0
    assert np.array_equal(field(Fmm(), particles)[0], np.zeros((N, 3)))


@pytest.mark.parametrize("n", [50, N])
@pytest.mark.parametrize("fault", ["coincident", "not finite"])
def test_bad_places_are_named(n, fault):
    particles = plummer(n, softening=0.0)
    particles.position[7] = particles.position[9] if fault == "coincident" else np.nan
    with np.errstate(all="ignore"), pytest.raises(NumericalFailure) as caught:
        field(Fmm(), particles)
    assert 7 in caught.value.identities


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"softening": -1.0}, "softening is -1.0"),
        ({"relative_error": 0.5}, "relative_error is 0.5; expected 1e-06 to 0.1"),
        ({"order": 9}, "order is 9; expected one of 2, 3, 4, 5, 6"),
        ({"leaf_size": 0}, "leaf_size is 0"),
        ({"kernel": "gauss"}, "'gauss' is unknown; known: plummer, spline, wendland"),
        ({"backend": "abacus"}, "abacus"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        Fmm(**options)


def test_small_systems_are_exact_and_large_ones_are_not():
    assert errors(plummer(DIRECT))[0].max() < 1e-11
    assert errors(plummer(DIRECT + 1))[0].max() > 1e-6


def test_plain_function_takes_both_kinds():
    particles = plummer()
    fast = accelerations(particles.position, particles.mass, softening=0.02)
    exact = accelerations(particles.position, particles.mass, softening=0.02, kind="direct")
    assert 1e-5 < rms(np.linalg.norm(fast - exact, axis=1) / np.linalg.norm(exact, axis=1)) < 1.2e-3
    spline = accelerations(particles.position, particles.mass, softening=0.02, kernel="spline")
    assert np.abs(spline - exact).max() > 1e-2


@pytest.mark.parametrize("name", ["spline", "wendland"])
def test_laws_are_smooth_end_at_their_radius_and_start_at_the_plummer_depth(name):
    number, radius = LAWS[name]
    r = np.linspace(1e-3, 1.2, 5000)
    w, g = softening_reference.factors(number, r**2, np.ones_like(r))
    assert np.abs(np.gradient(g, r) + r * w).max() < 2e-3  # the force is the slope of the potential
    assert g[0] == pytest.approx(radius, rel=1e-5)  # phi(0) = -m / eps
    assert np.array_equal(w[r > 1.0], 1.0 / (r**2 * r)[r > 1.0])
    assert np.abs(np.diff(w)).max() < 0.02
    two = Particles([2.0, 3.0], [[0, 0, 0], [0.3, 0, 0]], np.zeros((2, 3)), softening=[0.1, 0.5])
    w, g = softening_reference.factors(number, np.array([0.09]), np.array([0.5 * radius]))
    assert field(DirectGravity(kernel=name), two)[0][:, 0] == pytest.approx([0.9 * w[0], -0.6 * w[0]], rel=1e-14)


@pytest.mark.parametrize("name", ["spline", "wendland"])
def test_pairs_at_the_very_radius_of_a_law_count_once(name):
    n = 125
    lattice = Particles(np.ones(n), np.array(list(np.ndindex(5, 5, 5)), float), np.zeros((n, 3)))
    softening = 1.0 / LAWS[name].radius  # neighbours of the lattice are at the radius, to the last bit or so
    mine = field(Fmm(softening=softening, kernel=name), lattice)
    exact = field(DirectGravity(softening=softening, kernel=name, backend="reference"), lattice)
    for one, other in zip(mine, exact, strict=True):
        assert np.abs(one - other).max() < 1e-13 * np.abs(other).max()


def test_laws_with_a_radius_have_no_jerk():
    assert "jerk" in DirectGravity().provides
    assert "jerk" not in DirectGravity(kernel="spline").provides


@pytest.mark.parametrize("order", [2, 5])
def test_tables_of_multi_indices(order):
    every, numbered = indices(order), tables(order)
    assert len(every) == len(set(every)) == size(order)
    assert all(tuple(np.add(every[k], every[q])) == every[m] for m, k, q in triples(order)) and len(
        triples(order)
    ) == sum((x + 1) * (y + 1) * (z + 1) for x, y, z in every)
    for i, n in enumerate(every[1:], 1):
        assert sum(every[numbered.below[i]]) == sum(n) - 1
        assert every[numbered.below[i]][numbered.axis[i]] == n[numbered.axis[i]] - 1
