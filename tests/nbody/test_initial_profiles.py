"""Profiles and Eddington's inversion against closed forms and published tables."""

import math

import numpy as np
import pytest
from askel.nbody.initial_conditions import (
    NFW,
    Dehnen,
    Hernquist,
    King,
    Plummer,
    Potential,
    Tabulated,
    invert,
)
from askel.particles import InputError
from scipy.special import dawsn, erf

HERNQUIST = Hernquist(2.0, 3.0)
GRID = np.geomspace(1e-5, 1e5, 2000)
MODELS = {
    "plummer": Plummer(2.0, 3.0),
    "hernquist": HERNQUIST,
    "dehnen 0": Dehnen(2.0, 3.0, 0.0),
    "jaffe": Dehnen(2.0, 3.0, 2.0),
    "nfw": NFW(2.0, 3.0, 30.0),
    "nfw cut inside its scale": NFW(2.0, 30.0, 3.0),
    "king 3": King(2.0, 3.0, 3.0),
    "king 9": King(2.0, 3.0, 9.0),
    "table": Tabulated(tuple(GRID), tuple(HERNQUIST.density(GRID))),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@every_model
def test_profiles_agree_with_themselves(model):
    r = model.radius_enclosing(np.linspace(0.02, 0.98, 25))
    h = 1e-4 * r

    def slope(function):
        return (8 * (function(r + h) - function(r - h)) - function(r + 2 * h) + function(r - 2 * h)) / (12 * h)

    first, second = model.density_derivatives(r)
    np.testing.assert_allclose(slope(model.density), first, rtol=1e-7)
    np.testing.assert_allclose(slope(lambda s: model.density_derivatives(s)[0]), second, rtol=1e-6)
    np.testing.assert_allclose(slope(model.enclosed_mass), 4 * np.pi * r**2 * model.density(r), rtol=1e-6)
    np.testing.assert_allclose(slope(model.potential), model.enclosed_mass(r) / r**2, rtol=1e-6)
    far = 1e3 * min(model.extent, 1e9)
    assert model.potential(far) * far == pytest.approx(-model.mass, rel=1e-6)


@every_model
def test_radii_of_mass(model):
    share = np.array([1e-10, 1e-6, 0.01, 0.5, 0.99, 1 - 1e-6])
    np.testing.assert_allclose(model.enclosed_mass(model.radius_enclosing(share)) / model.mass, share, rtol=1e-8)


@pytest.mark.parametrize("model", [MODELS["plummer"], HERNQUIST], ids=["plummer", "hernquist"])
def test_eddington_equals_closed_forms(model):
    f = invert(model, Potential((model,)))
    energy = np.linspace(0.05, 0.98, 300) * model.mass / model.scale_radius
    np.testing.assert_allclose(f(energy), model.distribution_function(energy), rtol=1e-6)
    inside = f.energy > 0.05 * model.mass / model.scale_radius  # on the table's own energies: no interpolation
    np.testing.assert_allclose(f.values[inside], model.distribution_function(f.energy[inside]), rtol=1e-9)


def test_dehnen_holds_hernquist_and_jaffe():
    """Jaffe's f(E), Binney & Tremaine 2008, equation 4.52, by Dawson's integral F_+ and its mirror F_-."""
    model, r = Dehnen(2.0, 3.0, 1.0), np.geomspace(1e-3, 1e3, 20)
    for name in ("density", "enclosed_mass", "potential"):
        np.testing.assert_allclose(getattr(model, name)(r), getattr(HERNQUIST, name)(r), rtol=1e-13)
    model = Dehnen(1.0, 1.0, 2.0)
    energy = np.linspace(0.1, 6.0, 100)
    one, two = np.sqrt(energy), np.sqrt(2 * energy)

    def minus(z):
        return np.exp(z * z) * 0.5 * np.sqrt(np.pi) * erf(z)

    exact = minus(two) - np.sqrt(2) * minus(one) - np.sqrt(2) * dawsn(one) + dawsn(two)
    np.testing.assert_allclose(invert(model, Potential((model,)))(energy), exact / (2 * np.pi**3), rtol=1e-6)


def test_cusps_around_black_holes():
    """Slopes above 1/2 are possible, those below are not (Tremaine et al. 1994)."""
    steep, flat = Dehnen(1.0, 1.0, 0.6), Dehnen(1.0, 1.0, 0.4)
    assert (invert(steep, Potential((steep,), 0.1)).values > 0).all()
    assert (invert(flat, Potential((flat,))).values > 0).all()
    with pytest.raises(InputError, match="Dehnen: no distribution"):
        invert(flat, Potential((flat,), 0.1))


def test_a_table_gives_the_distribution_of_its_model():
    f = invert(MODELS["table"], Potential((MODELS["table"],)))
    energy = np.linspace(0.05, 0.98, 200) * 2.0 / 3.0
    np.testing.assert_allclose(f(energy), HERNQUIST.distribution_function(energy), rtol=1e-4)


def test_king_is_a_lowered_isothermal():
    model = King(2.0, 3.0, 6.0)
    f = invert(model, Potential((model,)))
    depth = (f.energy - model.mass / model.tidal_radius) / model.velocity_scale**2
    ratio = f.values / np.expm1(depth)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-7)
    # rho_0 of the same f: the constant is rho_1/(2 pi sigma^2)^(3/2)
    core = ratio[0] * (2 * math.pi * model.velocity_scale**2) ** 1.5
    W = 6.0
    lowered = math.exp(W) * math.erf(math.sqrt(W)) - math.sqrt(4 * W / math.pi) * (1 + 2 * W / 3)
    assert core * lowered == pytest.approx(float(model.density(1e-6)), rel=1e-6)


#: W_0 -> log10(r_t/r_0), three digits as in King (1966) and later tables
KING_CONCENTRATIONS = {
    1: 0.296,
    2: 0.505,
    3: 0.672,
    4: 0.840,
    5: 1.029,
    6: 1.255,
    7: 1.528,
    8: 1.833,
    9: 2.119,
    12: 2.739,
}


@pytest.mark.parametrize(("depth", "published"), KING_CONCENTRATIONS.items())
def test_king_concentrations(depth, published):
    model = King(1.0, 1.0, float(depth))
    assert model.concentration == pytest.approx(published, abs=1.1e-3)
    # r_0^2 = 9 sigma^2/(4 pi rho_0), King's definition of the core radius
    assert 9 * model.velocity_scale**2 / (4 * np.pi * model.density(1e-5)) == pytest.approx(1.0, rel=1e-8)


def density_from(f, r):
    """Integrate f over velocities, isotropic."""
    node, weight = np.polynomial.legendre.leggauss(600)
    phi = (node + 1) * np.pi / 4
    depth = f.potential.depth(r)
    return (
        np.pi**2 * np.sqrt(8 * depth**3) * np.sum(weight * np.sin(phi) ** 2 * np.cos(phi) * f(depth * np.cos(phi) ** 2))
    )


@pytest.mark.parametrize("hole", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("name", ["hernquist", "nfw"])
def test_density_comes_back_in_a_combined_potential(name, hole):
    model, halo = MODELS[name], NFW(20.0, 10.0, 60.0)
    f = invert(model, Potential((model, halo), hole))
    for r in (3e-3, 0.1, 3.0, 30.0):
        assert density_from(f, r) == pytest.approx(float(model.density(r)), rel=2e-6)
    assert (f.values > 0).all()


def test_a_black_hole_makes_the_inner_distribution_shallower():
    """f ~ E^(gamma - 3/2) where the hole dominates: E^(-1/2) for the Hernquist cusp (Tremaine et al. 1994)."""
    f = invert(HERNQUIST, Potential((HERNQUIST,), 0.5))
    energy = np.geomspace(300.0, 3000.0, 5)
    slope = np.diff(np.log(f(energy))) / np.diff(np.log(energy))
    assert slope == pytest.approx(-0.5, abs=0.05)


def test_smallest_anisotropy_radii():
    """Plummer: f = c_5 E^(7/2) (1 - b^2/r_a^2) + c_3 E^(3/2) b^2/r_a^2 >= 0 down to r_a = 3 b/4; Hernquist 0.202 a."""
    plummer, hernquist = Plummer(1.0, 1.0), Hernquist(1.0, 1.0)
    assert invert(plummer, Potential((plummer,))).smallest_anisotropy_radius == pytest.approx(0.75, rel=1e-5)
    assert invert(hernquist, Potential((hernquist,))).smallest_anisotropy_radius == pytest.approx(0.202, abs=1e-3)
    invert(plummer, Potential((plummer,)), 0.7501)
    with pytest.raises(InputError, match=r"anisotropy_radius is 0\.74, too small.*smallest possible one is 0\.75$"):
        invert(plummer, Potential((plummer,)), 0.74)


def test_a_core_around_a_black_hole_is_refused():
    model = Plummer(1.0, 1.0)
    with pytest.raises(InputError, match=r"Plummer: no distribution.*f\(E\) < 0; around a black hole.*r\^-1/2"):
        invert(model, Potential((model,), 0.01))


def test_virial_halo():
    halo = NFW.of_virial(1e12, 200.0, 10.0)
    assert halo.enclosed_mass(200.0) == pytest.approx(1e12, rel=1e-9) and halo.scale_radius == 20.0
    assert 1.05e12 < halo.mass < 1.5e12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plummer(-1.0, 1.0), "mass is -1; it must be a finite number above zero"),
        (lambda: Hernquist(1.0, 0.0), "scale_radius is 0"),
        (lambda: NFW(1.0, 1.0, math.inf), "truncation_radius is inf"),
        (lambda: King(1.0, 1.0, 20.0), r"central_potential is 20; King models have 0\.1 to 15"),
        (lambda: Tabulated((1.0, 2.0), (1.0, 1.0)), "at least 20"),
        (lambda: Tabulated(tuple(GRID[::-1]), tuple(GRID)), "rising radii"),
        (lambda: invert(HERNQUIST, Potential((HERNQUIST,)), 0.0), "anisotropy_radius is 0"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(InputError, match=message):
        make()
