"""Direct gravity: values known in closed form, options, errors, and the plain function over it."""

import numpy as np
import pytest
from askel.integrators import Evaluation
from askel.nbody import DirectGravity, accelerations
from askel.particles import KINDS, UNIT_SYSTEMS, InputError, NumericalFailure, Particles, resolve

import askel

STAR, HOLE = KINDS["star"], KINDS["black-hole"]
BACKENDS = ["reference", "cpu"]


def pull_on_first(kinds, star_star, softening=4.0, backend="cpu"):
    """Acceleration of the first of two bodies of mass 2 and 3, three apart along x."""
    particles = Particles([2.0, 3.0], [[0, 0, 0], [3, 0, 0]], np.zeros((2, 3)), kind=kinds)
    out = Evaluation(2, ["acceleration", "potential_energy"])
    DirectGravity(softening=softening, star_star=star_star, backend=backend).evaluate(particles, out)
    return out.acceleration[0, 0], out.potential_energy


NEWTON = (3.0 / 9.0, -6.0 / 3.0)
PLUMMER = (3.0 * 3.0 / 125.0, -6.0 / 5.0)  # 3-4-5 triangle


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("star_star", "kinds", "softening", "expected"),
    [
        ("normal", [STAR, STAR], 0.0, NEWTON),
        ("normal", [STAR, STAR], 4.0, PLUMMER),
        ("normal", [STAR, HOLE], 4.0, PLUMMER),
        ("softened", [STAR, STAR], 4.0, PLUMMER),
        ("softened", [STAR, HOLE], 4.0, NEWTON),
        ("softened", [HOLE, STAR], 4.0, NEWTON),
        ("softened", [HOLE, HOLE], 4.0, NEWTON),
        ("none", [STAR, STAR], 0.0, (0.0, 0.0)),
        ("none", [STAR, HOLE], 0.0, NEWTON),
        ("none", [HOLE, STAR], 0.0, NEWTON),
        ("none", [HOLE, HOLE], 0.0, NEWTON),
    ],
)
def test_two_bodies(star_star, kinds, softening, expected, backend):
    assert pull_on_first(kinds, star_star, softening, backend) == pytest.approx(expected, rel=1e-15)


def test_individual_softenings_and_the_larger_counts():
    particles = Particles([2.0, 3.0], [[0, 0, 0], [3, 0, 0]], np.zeros((2, 3)), softening=[1.0, 4.0])
    out = Evaluation(2)
    DirectGravity().evaluate(particles, out)
    assert out.acceleration[:, 0] == pytest.approx([9 / 125, -6 / 125], rel=1e-15)
    DirectGravity(softening=np.sqrt(40.0)).evaluate(particles, out)  # one number for all replaces them
    assert out.acceleration[:, 0] == pytest.approx([9 / 343, -6 / 343], rel=1e-15)


def test_units_set_the_gravitational_constant():
    earth = Particles([1.0, 0.0], [[0, 0, 0], [1, 0, 0]], np.zeros((2, 3)), units=UNIT_SYSTEMS["au-msun-yr"])
    out = Evaluation(2)
    DirectGravity().evaluate(earth, out)
    assert -out.acceleration[1, 0] == pytest.approx(4 * np.pi**2, rel=1e-4)  # Kepler: a = 1 au, P = 1 sidereal year
    assert abs(-out.acceleration[1, 0] / (4 * np.pi**2) - 1) > 1e-6  # and that is not 365.25 days


@pytest.mark.parametrize("n", [1023, 1024, 1500])
def test_threads_change_no_bit(monkeypatch, n):
    from askel.nbody._kernels import direct_cpu

    rng = np.random.default_rng(n)
    particles = Particles(rng.random(n), rng.normal(size=(n, 3)), rng.normal(size=(n, 3)))
    results = []
    for start in (2, 10**9):
        monkeypatch.setattr(direct_cpu, "THREADS_FROM", start)
        out = Evaluation(n, ["acceleration", "jerk", "potential_energy"])
        DirectGravity().evaluate(particles, out)
        results.append(out)
    assert np.array_equal(results[0].acceleration, results[1].acceleration)
    assert np.array_equal(results[0].jerk, results[1].jerk)
    assert results[0].potential_energy == results[1].potential_energy


def test_forces_through_the_threaded_size_add_up_to_zero():
    rng = np.random.default_rng(3)
    mass, position = rng.random(2000), rng.normal(size=(2000, 3))
    force = mass[:, None] * accelerations(position, mass, kind="direct")
    assert np.abs(force.sum(axis=0)).max() < 1e-14 * np.abs(force).sum()
    reference = np.empty((2000, 3)), np.empty(2000)
    resolve("acceleration", "reference")(mass, position, np.zeros(2000), np.zeros(2000, bool), 1.0, 1.0, *reference)
    assert force == pytest.approx(mass[:, None] * reference[0], rel=1e-11, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"softening": -1.0}, "softening is -1.0"),
        ({"softening": np.nan}, "softening is nan"),
        ({"star_star": "sometimes"}, "expected one of normal, none, softened"),
        ({"star_star": "none", "softening": 0.1}, "nothing is softened"),
        ({"backend": "abacus"}, "abacus"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        DirectGravity(**options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wants", [["acceleration"], ["jerk"]])
def test_coincident_particles_are_named(wants, backend):
    position = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    particles = Particles(np.ones(3), position, np.zeros((3, 3)), identity=[7, 8, 9], time=2.5)
    with np.errstate(all="ignore"), pytest.raises(NumericalFailure, match=r"time 2.5.*\[7, 9\]") as caught:
        DirectGravity(backend=backend).evaluate(particles, Evaluation(3, wants))
    assert caught.value.identities == (7, 9)


def test_plain_function():
    position, mass = [[0, 0, 0], [3, 0, 0]], [2.0, 3.0]
    assert accelerations(position, mass)[:, 0] == pytest.approx([1 / 3, -2 / 9], rel=1e-15)
    field, potential = accelerations(position, mass, softening=4.0, potential=True)
    assert field[:, 0] == pytest.approx([9 / 125, -6 / 125], rel=1e-15)
    assert potential == pytest.approx([-3 / 5, -2 / 5], rel=1e-15)
    assert askel.nbody.accelerations is accelerations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "'magic' is unknown; known: direct, fmm"),
        ({"position": [[0, 0], [1, 0]]}, r"shape \(2, 2\); expected \(n, 3\)"),
        ({"mass": [1.0]}, "shape"),
        ({"mass": [1.0, -1.0]}, "masses must be zero or positive"),
        ({"position": [[0, 0, np.nan], [1, 0, 0]]}, "not finite"),
        ({"position": [[1, 0, 0], [1, 0, 0]]}, "same position"),
        ({"softening": [-0.1, 0.1]}, "zero or positive"),
        ({"relative_error": 0.0}, "between 0 and 1"),
        ({"relative_error": 0.5}, "1e-06 to 0.1"),
        ({"kernel": "gauss"}, "'gauss' is unknown; known: plummer"),
    ],
)
def test_plain_function_refuses(change, message):
    with pytest.raises(InputError, match=message):
        accelerations(**{"position": [[0, 0, 0], [3, 0, 0]], "mass": [2.0, 3.0], **change})
