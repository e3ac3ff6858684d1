"""The order of each splitting, derived from its numbers in the free algebra of two operators."""

import itertools
import math

import numpy as np
import pytest
from askel.integrators.coefficients import SPLITTINGS, of_leapfrogs, palindrome
from askel.integrators.composition import Composition
from askel.integrators.conformance import HarmonicField, ReferenceGravity
from askel.particles import InputError

GENERAL = [s for s in SPLITTINGS.values() if not s.nystrom]


def product_of_exponentials(splitting, degree):
    """Coefficients of all words in A (drift) and B (kick) up to a length, of the product of the exponentials."""
    words = {"": 1.0}
    first, second = ("A", "B") if len(splitting.drifts) > len(splitting.kicks) else ("B", "A")
    longer, shorter = sorted((splitting.drifts, splitting.kicks), key=len, reverse=True)
    for i in range(len(longer) + len(shorter)):
        letter, fraction = (first, longer[i // 2]) if i % 2 == 0 else (second, shorter[i // 2])
        new = {}
        for word, value in words.items():
            for more in range(degree - len(word) + 1):
                key = word + letter * more
                new[key] = new.get(key, 0.0) + value * fraction**more / math.factorial(more)
        words = new
    return words


def defect(splitting, degree):
    """Largest difference from exp(A + B) in words of exactly this length."""
    words = product_of_exponentials(splitting, degree)
    exact = 1.0 / math.factorial(degree)
    return max(abs(words.get("".join(w), 0.0) - exact) for w in itertools.product("AB", repeat=degree))


@pytest.mark.parametrize("splitting", GENERAL, ids=lambda s: s.name)
def test_order_conditions(splitting):
    for degree in range(1, splitting.order + 1):
        assert defect(splitting, degree) < 1e-12
    assert defect(splitting, splitting.order + 1) > 1e-7


def test_order_conditions_notice_a_wrong_digit():
    weights = list(SPLITTINGS["yoshida6"].kicks)
    weights[0] += 1e-7
    weights[-1] += 1e-7
    weights[3] -= 2e-7
    assert defect(of_leapfrogs("wrong", 6, weights, ""), 3) > 1e-8


@pytest.mark.parametrize("splitting", SPLITTINGS.values(), ids=lambda s: s.name)
def test_table(splitting):
    for fractions in (splitting.drifts, splitting.kicks):
        assert math.fsum(fractions) == pytest.approx(1.0, abs=1e-14)
        np.testing.assert_allclose(fractions, fractions[::-1], rtol=0, atol=1e-15)
    assert abs(len(splitting.drifts) - len(splitting.kicks)) == 1
    assert "doi:" in splitting.origin


def test_palindrome():
    assert palindrome((1.0, 2.0)) == (1.0, 2.0, 1.0)
    assert palindrome((1.0, 2.0), middle=5.0) == (1.0, 2.0, 5.0, 2.0, 1.0)


def test_forces_of_velocities_are_refused():
    with pytest.raises(InputError, match=r"depends on velocities; use radau15 or gbs"):
        Composition(ReferenceGravity(velocity_dependent=True), SPLITTINGS["leapfrog"])


def test_leapfrog_takes_the_last_acceleration_over():
    from askel.integrators.conformance import kepler

    particles, method = kepler(0.1), Composition(HarmonicField(), SPLITTINGS["leapfrog"])
    carry = method.start(particles)
    counts = [method.advance(particles, carry, 0.1).statistics["evaluations"] for _ in range(3)]
    assert counts == [2, 1, 1]
    particles.position += 1.0  # as a wrapper may do
    assert method.advance(particles, carry, 0.1).statistics["evaluations"] == 2
