"""The order of each splitting, derived from its numbers in the free algebra of two operators."""

import functools
import itertools
import math

import numpy as np
import pytest
from askel.integrators.coefficients import SPLITTINGS, of_leapfrogs, palindrome
from askel.integrators.composition import Composition
from askel.integrators.conformance import HarmonicField, ReferenceGravity
from askel.particles import InputError

WORDS = {d: ["".join(w) for w in itertools.product("AB", repeat=d)] for d in range(10)}


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


@functools.lru_cache
def vanishing(degree):
    """Basis of what is zero, in words of this length, for a kinetic energy quadratic in v and forces of x alone.

    Brackets of A = v d/dx and B = a(x) d/dv have powers of v one more than #A - #B, so those with #B >= #A + 2 vanish:
    [B,[B,[B,A]]] and longer ones, with any words before and after them.
    """

    def bracket(letters):
        out = {letters[-1]: 1.0}
        for letter in reversed(letters[:-1]):
            new = {}
            for word, value in out.items():
                new[letter + word] = new.get(letter + word, 0.0) + value
                new[word + letter] = new.get(word + letter, 0.0) - value
            out = new
        return out

    columns = []
    for size in range(4, degree + 1):
        brackets = [bracket(w) for w in WORDS[size] if w.count("B") >= w.count("A") + 2]
        for before in range(degree - size + 1):
            for u, w in itertools.product(WORDS[before], WORDS[degree - size - before]):
                columns += [[b.get(word[len(u) : len(u) + size], 0.0) if word == u + word[len(u) : len(u) + size] + w
                             else 0.0 for word in WORDS[degree]] for b in brackets]  # fmt: skip
    space, values, _ = np.linalg.svd(np.array(columns).T if columns else np.zeros((2**degree, 1)), full_matrices=False)
    return space[:, values > 1e-10]


def defect(splitting, degree):
    """Largest difference from exp(A + B) in words of exactly this length, apart from what vanishes anyway."""
    words = product_of_exponentials(splitting, degree)
    difference = np.array([words.get(w, 0.0) for w in WORDS[degree]]) - 1.0 / math.factorial(degree)
    if splitting.nystrom:
        difference -= vanishing(degree) @ (vanishing(degree).T @ difference)
    return float(np.abs(difference).max())


@pytest.mark.parametrize("splitting", SPLITTINGS.values(), ids=lambda s: s.name)
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
