"""The fast chain against its readable twin, row by row, and its extrapolation against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from askel.nbody import ExternalField, RegularisedChain
from askel.particles import Particles, resolve

ALL_TERMS = 511


def bodies(n, seed=3):
    rng = np.random.default_rng(seed)
    mass, position = rng.uniform(0.5, 1.5, n), rng.normal(size=(n, 3))
    return mass, position, 0.3 * rng.normal(size=(n, 3)), 0.05 * rng.normal(size=(n, 3))


@pytest.mark.parametrize("n", [2, 3, 5, 9])
@pytest.mark.parametrize("terms", [0, 1, ALL_TERMS])
def test_a_row_equals_the_reference(n, terms):
    mass, position, velocity, spin = bodies(n)
    results = []
    for backend in ("reference", "cpu"):
        out = [np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.full(1, np.nan)]
        status = resolve("chain_row", backend)(0.3, 4, 1.0, 8.0, terms, mass, position, velocity, spin, *out)
        assert status == 0
        results.append(out)
    for expected, found in zip(*results, strict=True):
        assert np.abs(found - expected).max() < 2e-15 * np.abs(expected).max()
    assert np.abs(results[1][0] - position).max() > 1e-3  # the bodies moved


def test_extrapolation_coefficients_are_those_of_aitken_and_neville():
    resolve("chain_row", "cpu")
    from askel.nbody._kernels.chain_extrapolation import SEQUENCE, coefficients

    value, error = coefficients(9)
    rng = np.random.default_rng(1)
    rows = [Fraction(float(x)) for x in rng.normal(size=9)]
    for k in range(2, 10):
        table = [[rows[0]]]
        for i in range(1, k):
            line = [rows[i]]
            for j in range(1, i + 1):
                q = Fraction(int(SEQUENCE[i + 1]), int(SEQUENCE[i + 1 - j])) ** 2
                line.append(line[j - 1] + (line[j - 1] - table[i - 1][j - 1]) / (q - 1))
            table.append(line)
        assert float(sum(Fraction(value[k, j + 1]) * rows[j] for j in range(k))) == pytest.approx(
            float(table[-1][-1]), rel=1e-12
        )
        assert float(sum(Fraction(error[k, j + 1]) * rows[j] for j in range(k))) == pytest.approx(
            float(table[-1][-1] - table[-1][-2]), rel=1e-9
        )


def test_double_double_sums_keep_what_doubles_lose():
    resolve("chain_row", "cpu")
    from askel.nbody._kernels.double_double import dd_add, dd_add_double, two_sum

    high, low, plain = 1.0, 0.0, 1.0
    for _ in range(1000):
        high, low = dd_add_double(high, low, 1e-17)
        plain += 1e-17
    assert plain == 1.0
    assert high + (low - 1e-14) == pytest.approx(1.0, abs=1e-16)
    assert low != 0.0 or high > 1.0
    s, e = two_sum(1.0, 1e-20)
    assert (s, e) == (1.0, 1e-20)
    assert dd_add(1.0, 1e-20, -1.0, 1e-20) == pytest.approx((2e-20, 0.0), abs=1e-50)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [2, 3])
def test_few_bodies_take_the_short_and_the_general_path_alike(n, seed):
    """A field of zero strength selects the general row with auxiliary velocities."""
    mass, position, velocity, _ = bodies(n, seed)
    ends = []
    for external in (None, ExternalField()):
        particles = Particles(mass, position.copy(), velocity.copy())
        chain = RegularisedChain(external=external)
        chain.advance(particles, chain.start(particles), 0.7)
        ends.append(np.concatenate([particles.position, particles.velocity]))
    assert np.abs(ends[0] - ends[1]).max() < 1e-10
    assert np.abs(ends[0][:n] - position).max() > 0.05


def test_bulk_and_listed_forces_agree_across_the_size_where_they_change():
    """Six bodies use the bulk loop, and a seventh far away and light must not change them."""
    rng = np.random.default_rng(8)
    mass, position, velocity = rng.uniform(0.5, 1, 5), rng.normal(size=(5, 3)), 0.3 * rng.normal(size=(5, 3))
    ends = []
    for extra in (0, 2):
        far = 1e9 * np.eye(3)[:extra]
        particles = Particles(
            np.append(mass, np.full(extra, 1e-30)),
            np.vstack([position, far]),
            np.vstack([velocity, np.zeros((extra, 3))]),
        )
        chain = RegularisedChain()
        chain.advance(particles, chain.start(particles), 0.5)
        ends.append(particles.position[:5])
    assert np.abs(ends[0] - ends[1]).max() < 1e-11
