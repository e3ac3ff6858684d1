"""Two-body elements, Kepler's equation next to e = 1, and hierarchies."""

import math
from typing import Any

import numpy as np
import pytest
from askel.nbody.orbits import (
    OrbitalElements,
    binary_state,
    elements_from_state,
    find_binaries,
    solve_kepler,
    state_from_elements,
)
from askel.particles.errors import InputError

Array = np.ndarray[Any, np.dtype[np.float64]]


def exact_residual(x: float, M: float, e: float) -> float:
    """Kepler's equation in extended precision, with the part that cancels as a series."""
    wide, sign = np.longdouble(x), (-1 if e < 1 else 1)
    curve, term = np.longdouble(0), wide
    if abs(x) < 1:
        for k in range(3, 35, 2):
            term = sign * term * wide * wide / (k * (k - 1))
            curve += term
        curve *= sign
    else:
        curve = wide - np.sin(wide) if e < 1 else np.sinh(wide) - wide
    return float(np.longdouble(abs(1 - e)) * wide + np.longdouble(e) * curve - np.longdouble(M))


@pytest.mark.parametrize("e", [0.0, 1e-3, 0.5, 0.9, 0.999, 1 - 1e-9, 1 - 2**-53, 1 + 2**-52, 1 + 1e-9, 1.001, 2.0, 1e3])
def test_kepler_solver_is_exact_to_round_off(e: float) -> None:
    for M in [1e-300, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 3.0, math.pi, 10.0, 1e3]:
        for sign in (1, -1):
            x = solve_kepler(sign * M, e)
            slope = abs(1 - e) + 2 * e * (math.sin(x / 2) if e < 1 else math.sinh(x / 2)) ** 2
            assert abs(exact_residual(x, sign * M, e)) <= 1e-15 * (M + slope * abs(x))
            assert solve_kepler(-sign * M, e) == -x
    assert solve_kepler(0.0, e) == 0


def test_kepler_solver_refuses_what_has_no_solution() -> None:
    for M, e in [(1.0, 1.0), (1.0, -0.1), (math.nan, 0.5), (1.0, math.inf)]:
        with pytest.raises(InputError, match="Kepler"):
            solve_kepler(M, e)


def test_known_orbit() -> None:
    """Circular and at periapsis: elements that can be read off."""
    elements = elements_from_state(4.0, [1.0, 0, 0], [0, 0, 2.0])
    assert elements.semi_major_axis == pytest.approx(1.0, rel=1e-15)
    assert elements.eccentricity < 1e-15
    assert elements.inclination == pytest.approx(math.pi / 2, rel=1e-15)
    assert elements.period(4.0) == pytest.approx(math.pi, rel=1e-15)
    high = elements_from_state(1.0, [2.0, 0, 0], [0, 0.9, 0])  # v^2 r/mu = 1 + e at periapsis
    assert high.eccentricity == pytest.approx(0.62, rel=1e-14)
    assert high.periastron == pytest.approx(2.0, rel=1e-14)
    assert (high.inclination, high.ascending_node) == (0, 0)
    assert abs(high.mean_anomaly) < 1e-15 and abs(high.periapsis_argument) < 1e-15
    unbound = elements_from_state(1.0, [0, 1.0, 0], [-2.0, 0, 0])
    assert unbound.semi_major_axis == pytest.approx(-0.5, rel=1e-14)
    assert unbound.eccentricity == pytest.approx(3.0, rel=1e-14)
    assert unbound.periapsis_argument == pytest.approx(math.pi / 2, rel=1e-14)
    assert unbound.period(1.0) == math.inf


def random_states(count: int) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(5)
    return [(rng.normal(size=3), rng.uniform(0.1, 2.5) * rng.normal(size=3)) for _ in range(count)]


def test_round_trip_of_states() -> None:
    kinds = set()
    for x, v in random_states(400):
        elements = elements_from_state(1.3, x, v)
        back_x, back_v = state_from_elements(1.3, elements)
        kinds.add(elements.semi_major_axis > 0)
        condition = 1 + 1 / abs(1 - elements.eccentricity) + abs(elements.semi_major_axis) / np.linalg.norm(x)
        assert np.linalg.norm(back_x - x) < 2e-14 * condition * np.linalg.norm(x)
        assert np.linalg.norm(back_v - v) < 2e-14 * condition * np.linalg.norm(v)
    assert kinds == {True, False}


@pytest.mark.parametrize("e", [0.01, 0.5, 0.99, 0.99999, 1.00001, 1.5, 20.0])
def test_round_trip_of_elements(e: float) -> None:
    a = 2.5 if e < 1 else -2.5
    wanted = OrbitalElements(a, e, 1.1, -2.0, 0.7, -0.4)
    got = elements_from_state(0.8, *state_from_elements(0.8, wanted))
    for name in ("semi_major_axis", "eccentricity", "inclination", "ascending_node", "periapsis_argument"):
        assert getattr(got, name) == pytest.approx(getattr(wanted, name), rel=1e-9)
    assert got.mean_anomaly == pytest.approx(wanted.mean_anomaly, rel=1e-8)


@pytest.mark.parametrize("e", [0.3, 0.999, 1.2])
def test_states_move_as_the_equations_say(e: float) -> None:
    """Position differentiated along the mean anomaly is the velocity, and energy and momentum are those of a and e."""
    a, mu, h = (1.0 if e < 1 else -1.0), 2.0, 1e-5
    rate = math.sqrt(mu / abs(a) ** 3)
    x, v = state_from_elements(mu, OrbitalElements(a, e, 0.5, 0.6, 0.7, 2.0))
    later, _ = state_from_elements(mu, OrbitalElements(a, e, 0.5, 0.6, 0.7, 2.0 + rate * h))
    earlier, _ = state_from_elements(mu, OrbitalElements(a, e, 0.5, 0.6, 0.7, 2.0 - rate * h))
    np.testing.assert_allclose((later - earlier) / (2 * h), v, rtol=1e-5 if e > 0.9 else 1e-8)
    assert v @ v / 2 - mu / np.linalg.norm(x) == pytest.approx(-mu / (2 * a), rel=1e-12)
    momentum = np.cross(x, v)
    assert momentum @ momentum == pytest.approx(mu * a * (1 - e * e), rel=1e-11)
    assert momentum[2] / np.linalg.norm(momentum) == pytest.approx(math.cos(0.5), rel=1e-12)


def test_planar_and_retrograde_orbits_keep_the_round_trip() -> None:
    for x, v in [
        ([1, 0.2, 0], [0.1, 0.9, 0]),
        ([1, 0.2, 0], [0.1, -0.9, 0]),
        ([0, 0, 1], [0, 1, 0]),
        ([1, 0, 0], [0, 1, 0]),
    ]:
        elements = elements_from_state(1.0, x, v)
        np.testing.assert_allclose(state_from_elements(1.0, elements), (x, v), atol=1e-14)


def test_orbits_without_elements_are_refused() -> None:
    for x, v, message in [
        ([1, 0, 0], [1, 0, 0], "radial"),
        ([0, 0, 0], [1, 0, 0], "separation"),
        ([2, 0, 0], [0, 1, 0], "parabolic"),
    ]:
        with pytest.raises(InputError, match=message):
            elements_from_state(1.0, x, v)
    for a, e in [(1.0, 1.5), (-1.0, 0.5), (1.0, -0.1), (0.0, 0.5)]:
        with pytest.raises(InputError, match="no orbit"):
            state_from_elements(1.0, OrbitalElements(a, e))


def triple() -> tuple[Array, Array, Array]:
    """Inner pair (1, 0.5) with a = 1, third body 0.3 at a = 20, e = 0.2; and a fourth, unbound."""
    inner_x, inner_v = binary_state([1.0, 0.5], OrbitalElements(1.0, 0.4, 0.3, 0.1, 0.2, 1.0))
    outer_x, outer_v = binary_state([1.5, 0.3], OrbitalElements(20.0, 0.2, 1.2, 0.5, 0.9, 2.0))
    position = np.array([*(inner_x + outer_x[0]), outer_x[1], [500.0, 0, 0]])
    velocity = np.array([*(inner_v + outer_v[0]), outer_v[1], [9.0, 0, 0]])
    return np.array([1.0, 0.5, 0.3, 0.2]), position, velocity


def test_hierarchical_triple_is_found() -> None:
    mass, position, velocity = triple()
    order = [3, 2, 0, 1]
    found = find_binaries(mass[order], position[order], velocity[order], identity=[103, 102, 100, 101])
    assert [binary.bodies for binary in found] == [(100, 101), (100, 101, 102)]
    assert [binary.level for binary in found] == [1, 2]
    inner, outer = found
    assert inner.members == ((100,), (101,)) and inner.mass == (1.0, 0.5)
    assert inner.elements.semi_major_axis == pytest.approx(1.0, rel=1e-12)
    assert inner.elements.eccentricity == pytest.approx(0.4, rel=1e-12)
    assert inner.elements.inclination == pytest.approx(0.3, rel=1e-12)
    assert inner.period == pytest.approx(2 * math.pi / math.sqrt(1.5), rel=1e-12)
    assert outer.elements.semi_major_axis == pytest.approx(20.0, rel=1e-12)
    assert outer.elements.inclination in (pytest.approx(1.2, rel=1e-12), pytest.approx(math.pi - 1.2, rel=1e-12))
    assert outer.periastron == pytest.approx(16.0, rel=1e-12)


def test_outer_orbit_that_crosses_the_inner_one_is_no_hierarchy() -> None:
    mass, position, velocity = triple()
    slow = velocity.copy()
    slow[2] = slow[:2].mean(axis=0) + 0.02 * (velocity[2] - slow[:2].mean(axis=0))  # falls into the inner pair
    assert [binary.bodies for binary in find_binaries(mass, position, slow)] == [(0, 1)]


def test_two_binaries_about_each_other() -> None:
    first, first_v = binary_state([1.0, 1.0], OrbitalElements(0.1, 0.0))
    second, second_v = binary_state([0.5, 0.5], OrbitalElements(0.2, 0.5))
    far, far_v = binary_state([2.0, 1.0], OrbitalElements(10.0, 0.3))
    position = np.vstack([first + far[0], second + far[1]])
    velocity = np.vstack([first_v + far_v[0], second_v + far_v[1]])
    found = find_binaries([1, 1, 0.5, 0.5], position, velocity)
    assert [binary.members for binary in found] == [((0,), (1,)), ((2,), (3,)), ((0, 1), (2, 3))]
    assert [binary.level for binary in found] == [1, 1, 2]
    assert found[2].elements.semi_major_axis == pytest.approx(10.0, rel=1e-12)
    shallow = find_binaries([1, 1, 0.5, 0.5], position, velocity, largest_level=1)
    assert len(shallow) == 2


def test_nothing_bound_nothing_found_and_inputs_untouched() -> None:
    mass, position, velocity = triple()
    kept = position.copy(), velocity.copy(), mass.copy()
    find_binaries(mass, position, velocity)
    for after, before in zip((position, velocity, mass), kept, strict=True):
        np.testing.assert_array_equal(after, before)
    assert find_binaries(mass, position, 100 * velocity) == []
    assert find_binaries([1.0], position[:1], velocity[:1]) == []
    assert find_binaries([1.0, 1.0], np.zeros((2, 3)), velocity[:2]) == []  # one place: no orbit
    assert find_binaries([1.0, 1.0], np.eye(2, 3), np.zeros((2, 3))) == []  # radial: no plane
    with pytest.raises(InputError, match="find_binaries"):
        find_binaries([1.0, 1.0], position, velocity)
