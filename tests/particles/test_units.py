import math

import pytest
from askel.particles import UNIT_SYSTEMS, InputError, UnitSystem, custom_units, geometric_units, nbody_units
from askel.particles.units import ENERGY, LENGTH, MASS, TIME, UNITS, VELOCITY, parse_quantity, parse_unit
from hypothesis import given
from hypothesis import strategies as st

SIZES = st.floats(1e-30, 1e30)


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("10 kpc", 10 * 3.0856775814913673e19, LENGTH),
        ("1e6Msun", 1e6 * 1.3271244e20 / 6.67430e-11, MASS),
        ("2 fs", 2e-15, TIME),
        ("3 km/s", 3e3, VELOCITY),
        ("3 km s^-1", 3e3, VELOCITY),
        ("3 km s-1", 3e3, VELOCITY),
        ("-1.5 kg m**2 s-2", -1.5, ENERGY),
        (".5 eV", 0.5 * 1.602176634e-19, ENERGY),
    ],
)
def test_quantities(text, value, dimension):
    found, powers = parse_quantity(text)
    assert powers == dimension
    assert found == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["ten kpc", "10 parsecs", "1 kpc per s", "", "nan pc", "1 /"])
def test_what_is_no_quantity(text):
    with pytest.raises(InputError, match=r"unknown unit|not a quantity"):
        parse_quantity(text)


def test_constants_of_the_field():
    galactic = UNIT_SYSTEMS["galactic"]
    assert galactic.gravitational_constant == pytest.approx(4.30091e-6, rel=1e-5)
    assert galactic.speed_of_light == pytest.approx(299792.458, rel=1e-12)
    assert UNIT_SYSTEMS["au-msun-yr"].gravitational_constant == pytest.approx(4 * math.pi**2, rel=1e-4)
    assert UNIT_SYSTEMS["ase"].factor(ENERGY) == pytest.approx(1.602176634e-19, rel=1e-14)
    assert UNIT_SYSTEMS["ase"].time == pytest.approx(1.018050571e-14, rel=1e-8)


@pytest.mark.parametrize("units", [geometric_units(), geometric_units("4.3e6 Msun")])
def test_geometric_units_have_g_and_c_one(units):
    assert units.gravitational_constant == 1.0
    assert units.speed_of_light == pytest.approx(1.0, rel=1e-14)


def test_scaled_nbody_units_have_g_exactly_one_and_a_speed_of_light():
    units = nbody_units(length="1 pc", mass="1e6 Msun")
    assert units.gravitational_constant == 1.0
    assert units.speed_of_light == pytest.approx(299792.458 / math.sqrt(4.30091e-3 * 1e6), rel=1e-5)


def test_scale_free_units_have_no_light_unless_given():
    assert nbody_units().speed_of_light is None
    assert nbody_units(speed_of_light=10.0).speed_of_light == 10.0
    with pytest.raises(InputError, match="no physical scale"):
        nbody_units().read("1 pc", LENGTH)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nbody_units(length="1 pc"),
        lambda: nbody_units(length="1 pc", mass="1 Msun", speed_of_light=3.0),
        lambda: UnitSystem("half", length=1.0),
        lambda: UnitSystem("zero", 0.0, 1.0, 1.0),
        lambda: UnitSystem("both", 1.0, 1.0, 1.0, light=1.0),
        lambda: UnitSystem("dark", light=-1.0),
        lambda: custom_units("1 pc", "1 pc", "1 yr"),
    ],
)
def test_impossible_systems(make):
    with pytest.raises(InputError):
        make()


def test_no_silent_mixing():
    assert UNIT_SYSTEMS["nbody"].conversion(nbody_units(speed_of_light=3.0), VELOCITY) == 1.0
    with pytest.raises(InputError, match="no physical scale"):
        UNIT_SYSTEMS["galactic"].conversion(UNIT_SYSTEMS["nbody"], MASS)
    with pytest.raises(InputError, match="cannot convert"):
        nbody_units(speed_of_light=3.0).conversion(nbody_units(speed_of_light=4.0), MASS)


@given(
    a=st.tuples(SIZES, SIZES, SIZES), b=st.tuples(SIZES, SIZES, SIZES), dimension=st.sampled_from([LENGTH, VELOCITY])
)
def test_conversions_are_inverse(a, b, dimension):
    one, two = UnitSystem("a", *a), UnitSystem("b", *b)
    assert one.conversion(two, dimension) * two.conversion(one, dimension) == pytest.approx(1.0, rel=1e-14)


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.integers(-3, 3), st.integers(1, 3))
def test_products_of_units(first, second, power, below):
    if power == 0:
        return
    value, dimension = parse_unit(f"{first}^{power}/{second}{below}")
    (a, da), (b, db) = UNITS[first], UNITS[second]
    assert value == pytest.approx(a**power / b**below, rel=1e-12)
    assert dimension == tuple(power * x - below * y for x, y in zip(da, db, strict=True))
