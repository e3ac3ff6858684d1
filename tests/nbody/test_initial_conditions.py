"""Sampled systems against the models they are drawn from, encounters, and masses of stars."""

import math
from itertools import pairwise

import numpy as np
import pytest
from askel.nbody.initial_conditions import (
    NFW,
    BlackHole,
    BlackHoleBinary,
    Component,
    Galaxy,
    Hernquist,
    King,
    MassFunction,
    Plummer,
    kroupa,
    merge_orbit,
    sample,
)
from askel.nbody.initial_conditions.draw import velocities_of
from askel.nbody.orbits import elements_from_state
from askel.particles import KINDS, UNIT_SYSTEMS, InputError, nbody_units

N = 40_000
GALAXIES = {
    "plummer": Galaxy([Component(Plummer(1.0, 1.0), N)]),
    "hernquist": Galaxy([Component(Hernquist(1.0, 1.0), N)]),
    "nfw": Galaxy([Component(NFW(1.0, 1.0, 10.0), N)]),
    "king": Galaxy([Component(King(1.0, 1.0, 6.0), N)]),
    "osipkov-merritt": Galaxy([Component(Hernquist(1.0, 1.0), N, anisotropy_radius=0.8)]),
    "bulge, halo and hole": Galaxy(
        [Component(Hernquist(1.0, 1.0), N), Component(NFW(10.0, 8.0, 60.0), 100, kind="dark-matter")], BlackHole(0.05)
    ),
}
every_galaxy = pytest.mark.parametrize("galaxy", GALAXIES.values(), ids=GALAXIES)


def first_component(galaxy, **options):
    """Return radii, radial and squared tangential velocities of the first component."""
    whole = galaxy.sample(seed=5, **options)
    if galaxy.black_hole is not None:  # it is in the middle of the stars; few particles of the halo shift the whole
        whole.position -= whole.position[-1]
        whole.velocity -= whole.velocity[-1]
    stars = whole.select(np.arange(galaxy.components[0].n))
    radius = np.linalg.norm(stars.position, axis=1)
    radial = np.sum(stars.position * stars.velocity, axis=1) / radius
    return radius, radial, np.sum(stars.velocity**2, axis=1) - radial**2


def radial_dispersion(galaxy, r):
    """Return sigma_r^2 of the first component by Jeans' equation, with Osipkov and Merritt's anisotropy."""
    component = galaxy.components[0]
    profile, ra = component.profile, component.anisotropy_radius
    end = min(profile.extent, 1e5 * profile.scale)
    node, weight = np.polynomial.legendre.leggauss(400)
    half = 0.5 * np.log(end / r)[:, None]
    s = r[:, None] * np.exp(half * (1 + node))
    boost = 1 + (s / ra) ** 2
    integral = np.sum(weight * half * boost * profile.density(s) * galaxy.potential.enclosed_mass(s) / s, axis=1)
    return integral / (profile.density(r) * (1 + (r / ra) ** 2))


@every_galaxy
@pytest.mark.parametrize("sampling", ["random", "stratified", "quiet"])
def test_profiles_of_density_and_dispersion(galaxy, sampling):
    radius, radial, tangential = first_component(galaxy, sampling=sampling)
    component = galaxy.components[0]
    share = np.linspace(0.05, 0.95, 10)
    edges = component.profile.radius_enclosing(share * component.mass_fraction)
    # number inside fixed radii: binomial when random; quiet radii are at their places to one shell
    inside = np.searchsorted(np.sort(radius), edges) / N
    noise = np.sqrt(share * (1 - share) / N)
    pull = (inside - share) / noise
    if sampling == "random":
        assert np.abs(pull).max() < 4.5 and np.abs(pull).max() > 0.1
    else:
        # the others are in place to a shell or two, and to the shift of the whole by its centre of mass
        assert np.abs(inside - share).max() < (4 / N if sampling == "quiet" else 2e-3)
    # Jeans' equation in each shell
    for low, high in pairwise(edges):
        here = (radius > low) & (radius < high)
        grid = np.linspace(low, high, 30)
        expected = np.interp(radius[here], grid, radial_dispersion(galaxy, grid))
        error = math.sqrt(2.0 / here.sum())  # of a variance
        assert np.mean(radial[here] ** 2 / expected) == pytest.approx(1.0, abs=5 * error + 0.003)
        beta = radius[here] ** 2 / (radius[here] ** 2 + component.anisotropy_radius**2)
        assert np.mean(tangential[here] / (2 * expected * (1 - beta))) == pytest.approx(1.0, abs=5 * error + 0.003)


def test_osipkov_merritt_anisotropy():
    radius, radial, tangential = first_component(GALAXIES["osipkov-merritt"])
    for low, high in ((0.05, 0.2), (0.6, 1.0), (3.0, 6.0)):
        here = (radius > low) & (radius < high)
        beta = 1 - np.mean(tangential[here]) / (2 * np.mean(radial[here] ** 2))
        middle = np.median(radius[here])
        assert beta == pytest.approx(middle**2 / (middle**2 + 0.64), abs=0.06)
    assert tangential.mean() < 1.2 * np.mean(radial**2) < 2.0 * tangential.mean()


@every_galaxy
def test_virial_ratio(galaxy):
    """2 T = sum m r dPhi/dr, over one component in the potential of all."""
    radius, radial, tangential = first_component(galaxy, sampling="quiet")
    ratio = np.mean(radial**2 + tangential) / np.mean(galaxy.potential.enclosed_mass(radius) / radius)
    assert ratio == pytest.approx(1.0, abs=0.012)


def test_virial_ratio_of_the_pair_forces():
    stars = Galaxy([Component(Plummer(1.0, 1.0), 3000, cut_radius=1e3)]).sample(seed=2, sampling="quiet")
    x, m = stars.position, stars.mass
    r = np.linalg.norm(x[:, None] - x, axis=2)
    np.fill_diagonal(r, np.inf)
    potential = -0.5 * np.sum(m[:, None] * m / r)
    assert potential == pytest.approx(-3 * math.pi / 32, rel=0.03)
    assert -2 * stars.kinetic_energy() / potential == pytest.approx(1.0, abs=0.03)


def test_same_seed_same_system():
    galaxy = Galaxy([Component(Hernquist(1.0, 1.0), 100), Component(NFW(5.0, 3.0, 20.0), 50)], BlackHole(0.01))
    one, two, other = (galaxy.sample(seed=s) for s in (7, 7, 8))
    assert all((a == b).all() for a, b in zip((one.position, one.velocity), (two.position, two.velocity), strict=True))
    assert not np.isclose(one.position, other.position).any()
    # identities decide, not how many there are: a smaller sample is the beginning of a larger one, up to its centre
    few, many = (Galaxy([Component(Hernquist(1.0, 1.0), n)]).sample(seed=7) for n in (10, 20))
    np.testing.assert_allclose(few.position - few.position[0], (many.position - many.position[0])[:10], atol=1e-12)


@pytest.mark.parametrize(
    "component",
    [
        Component(King(1.0, 1.0, 6.0), 10),
        Component(NFW(1.0, 1.0, 10.0), 10),
        Component(Plummer(1.0, 1.0), 10, cut_radius=1e6),
    ],
    ids=["king", "nfw", "plummer"],
)
def test_the_outermost_particles_find_a_velocity(component):
    """Beyond the last radius of the table, where one particle in a million is."""
    f = Galaxy([component]).distributions[0]
    radius = component.profile.radius_enclosing(1 - np.array([1e-8, 1e-7, 3e-7]))
    depth, edge = f.potential.depth(radius), f.potential.depth(min(component.profile.extent, 1e12))
    speed = velocities_of(f, radius, radius[:, None] * np.array([1.0, 0.0, 0.0]), 3, np.arange(3))
    assert (radius > f.radius[-1]).all() and (np.sum(speed**2, axis=1) < 2 * (depth - edge)).all() and speed.any()


def test_two_galaxies_of_one_seed_differ_by_their_identities():
    galaxy = Galaxy([Component(Hernquist(1.0, 1.0), 100)])
    assert not np.isclose(galaxy.sample(seed=1).position, galaxy.sample(seed=1, first_identity=100).position).any()


@pytest.mark.parametrize("sampling", ["random", "stratified", "quiet"])
@pytest.mark.parametrize("n", [1, 2, 101])
def test_at_rest(sampling, n):
    galaxy = Galaxy([Component(Hernquist(1.0, 1.0), n, mass_function=kroupa())], BlackHole(0.1))
    state = galaxy.sample(seed=3, sampling=sampling)
    centre, drift = state.centre_of_mass()
    assert np.abs(centre).max() < 1e-12 * np.abs(state.position).max() + 1e-300 and np.abs(drift).max() < 1e-14
    assert state.n == n + 1 and state.mass[:n].sum() == pytest.approx(0.99, rel=1e-12)


def test_quiet_pairs_are_mirror_images():
    state = Galaxy([Component(King(1.0, 1.0, 5.0), 10)]).sample(sampling="quiet")
    assert (state.position[::2] == -state.position[1::2]).all() and (state.velocity[::2] == -state.velocity[1::2]).all()


def test_kinds_softenings_and_mass_fractions():
    galaxy = Galaxy(
        [
            Component(Hernquist(1.0, 1.0), 5, softening=0.1, cut_radius=3.0),
            Component(NFW(5.0, 3.0, 20.0), 4, kind="dark-matter"),
        ],
        BlackHole(0.5, spin=(0.0, 0.0, 0.1)),
        [BlackHole(0.25, position=(2.0, 0.0, 0.0), velocity=(0.0, 0.3, 0.0))],
    )
    state = galaxy.sample()
    assert state.kind.tolist() == [KINDS["star"]] * 5 + [KINDS["dark-matter"]] * 4 + [KINDS["black-hole"]] * 2
    assert state.softening.tolist() == [0.1] * 5 + [0.0] * 6
    assert state.mass[:5].sum() == pytest.approx(9.0 / 16.0) and state.mass[5:9].sum() == pytest.approx(5.0)
    assert state.spin[9].tolist() == [0, 0, 0.1] and not state.spin[10].any()
    np.testing.assert_allclose(state.position[10] - state.position[9], [2, 0, 0], atol=1e-14)
    assert state.identity.tolist() == list(range(11))


def test_units():
    galaxy = Galaxy([Component(Hernquist(1e10, 2.0), 50)])
    plain, galactic = galaxy.sample(seed=4), galaxy.sample(seed=4, units=UNIT_SYSTEMS["galactic"])
    G = UNIT_SYSTEMS["galactic"].gravitational_constant
    np.testing.assert_allclose(galactic.velocity, plain.velocity * math.sqrt(G), rtol=1e-13, atol=1e-9)
    assert 30 < np.sqrt(np.mean(galactic.velocity**2)) < 80  # km/s


def test_black_hole_binary_in_the_centre():
    pair = BlackHoleBinary(0.2, 0.01, 0.6, mass_ratio=0.25, inclination=0.4, mean_anomaly=1.0)
    units = nbody_units(length="1 pc", mass="1e6 Msun")
    state = Galaxy([Component(Hernquist(1.0, 1.0), 20)], pair).sample(units=units)
    assert state.mass[-2:] == pytest.approx([0.16, 0.04])
    x, v = state.position[-2] - state.position[-1], state.velocity[-2] - state.velocity[-1]
    found = elements_from_state(units.gravitational_constant * 0.2, x, v)
    assert (found.semi_major_axis, found.eccentricity) == pytest.approx((0.01, 0.6), rel=1e-9)
    assert (found.inclination, found.mean_anomaly) == pytest.approx((0.4, 1.0), rel=1e-9)


@pytest.mark.parametrize("eccentricity", [0.0, 0.7, 1.0, 1.3])
def test_encounters_are_kepler_orbits(eccentricity):
    a, b = sample(Plummer(2.0, 1.0), 30, seed=1), sample(Hernquist(1.0, 1.0), 20, seed=2)
    separation = 1.5 if eccentricity == 0.0 else 6.0
    whole = merge_orbit(a, b, pericentre=1.5, eccentricity=eccentricity, separation=separation)
    assert whole.identity.tolist() == list(range(50))
    centre, drift = whole.centre_of_mass()
    assert np.abs(centre).max() < 1e-13 and np.abs(drift).max() < 1e-14
    (xa, va), (xb, vb) = (whole.select(rows).centre_of_mass() for rows in (np.arange(30), np.arange(30, 50)))
    x, v, mu = xb - xa, vb - va, float(whole.mass.sum())
    assert np.linalg.norm(x) == pytest.approx(separation, rel=1e-12) and x @ v <= 1e-12
    if eccentricity == 1.0:
        assert v @ v == pytest.approx(2 * mu / separation, rel=1e-12)
        assert np.cross(x, v)[2] == pytest.approx(math.sqrt(2 * mu * 1.5), rel=1e-12)
        return
    found = elements_from_state(mu, x, v)
    assert (found.periastron, found.eccentricity) == pytest.approx((1.5, eccentricity), rel=1e-9, abs=1e-9)
    inner = whole.position[:30] - xa
    np.testing.assert_allclose(inner, a.position - a.centre_of_mass()[0], atol=1e-13)


@pytest.mark.parametrize(
    ("eccentricity", "separation", "message"),
    [(0.5, 10.0, "runs from 1 to 3$"), (1.0, 0.5, "runs from 1 to inf"), (-0.1, 2.0, "eccentricity is -0.1")],
)
def test_orbits_that_do_not_exist(eccentricity, separation, message):
    a = sample(Plummer(1.0, 1.0), 3)
    with pytest.raises(InputError, match=message):
        merge_orbit(a, a, pericentre=1.0, eccentricity=eccentricity, separation=separation)


def test_kroupa():
    """Number fractions by hand: k m^-1.3 to 0.5, 0.5 k m^-2.3 above."""
    low = (0.08**-0.3 - 0.5**-0.3) / 0.3
    high = 0.5 * (0.5**-1.3 - 150.0**-1.3) / 1.3
    imf, n = kroupa(), 200_000
    assert imf.fraction_below(0.5) == pytest.approx(low / (low + high), rel=1e-12)
    masses = imf.sample(n, seed=9)
    noise = math.sqrt(low * high) / (low + high) / math.sqrt(n)
    assert 1e-7 < abs(np.mean(masses < 0.5) - low / (low + high)) < 4 * noise
    scatter = masses.std() / math.sqrt(n)
    assert abs(masses.mean() - imf.mean) < 4 * scatter and imf.mean == pytest.approx(0.586, abs=1e-3)
    assert masses.min() >= 0.08 and masses.max() < 150.0
    # the cumulative number is uniform: Kolmogorov and Smirnov
    distance = np.abs(imf.fraction_below(np.sort(masses)) - (np.arange(n) + 0.5) / n).max()
    assert 0.2 < distance * math.sqrt(n) < 2.0


def test_mass_functions():
    flat = MassFunction((1.0, math.e**2), (1.0,))  # even in ln m
    np.testing.assert_allclose(flat.masses([0.0, 0.5]), [1.0, math.e], rtol=1e-14)
    assert kroupa(0.01).slopes == (0.3, 1.3, 2.3) and kroupa(1.0, 2.0).slopes == (2.3,)
    assert kroupa(0.01).fraction_below(0.08) == pytest.approx(0.372, abs=0.002)
    for wrong in (
        lambda: MassFunction((1.0, 0.5), (2.0,)),
        lambda: MassFunction((1.0, 2.0), ()),
        lambda: kroupa(2.0, 1.0),
    ):
        with pytest.raises(InputError, match="expected"):
            wrong()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Component(Plummer(1.0, 1.0), 0), "n is 0; a component needs a whole number"),
        (lambda: Component(Plummer(1.0, 1.0), 2.5), r"n is 2\.5"),
        (lambda: Component(Plummer(1.0, 1.0), 5, kind="sta"), "kind 'sta' is unknown"),
        (lambda: Component(Plummer(1.0, 1.0), 5, softening=-1.0), "softening is -1"),
        (lambda: Component(Plummer(1.0, 1.0), 5, cut_radius=0.0), "cut_radius is 0"),
        (lambda: Component(Plummer(1.0, 1.0), 5, anisotropy_radius=-1.0), "anisotropy_radius is -1"),
        (lambda: BlackHole(0.0), "black_hole_mass is 0"),
        (lambda: BlackHoleBinary(1.0, 1.0, eccentricity=1.0), "eccentricity of a black-hole binary is 1"),
        (lambda: BlackHoleBinary(1.0, 1.0, mass_ratio=2.0), "mass_ratio is 2"),
        (lambda: Galaxy(), "no components and no black hole"),
        (lambda: Galaxy(black_hole=BlackHole(1.0, position=(1.0, 0.0, 0.0))), "further_black_holes"),
        (lambda: sample(Plummer(1.0, 1.0), -3), "n is -3"),
        (lambda: Galaxy([Component(Plummer(1.0, 1.0), 3)]).sample(sampling="loud"), "sampling = 'loud' is unknown"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(InputError, match=message):
        make()
