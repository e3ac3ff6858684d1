"""Hierarchies and stability criteria of ensembles, against formulas written out and the search in orbits."""

import math

import numpy as np
import pytest
from askel.nbody.orbits import find_binaries
from askel.particles.kernels import use_kernel_cache

use_kernel_cache()  # before a kernel's module is imported by its own name

from askel.nbody._kernels.ensemble_rules import (  # noqa: E402
    EGGLETON_KISELEVA,
    MARDLING_AARSETH,
    NODE,
    ORBIT,
    VYNATHEYA,
    hierarchy,
    required_ratio,
)


def found(mass, x, v, criterion=MARDLING_AARSETH):
    n = len(mass)
    node, label = np.empty((n, NODE)), np.zeros(n, np.int64)
    orbits, members = np.zeros((n - 1, ORBIT)), np.zeros((n - 1, 2), np.int64)
    tops, count, clear = hierarchy(n, 1.0, mass, x, v, criterion, node, label, orbits, members)
    return tops, orbits[:count], members[:count], clear


@pytest.mark.parametrize("seed", range(12))
def test_hierarchies_are_those_of_the_orbit_search(seed):
    rng = np.random.default_rng(seed)
    n = 3 + seed % 3
    scale = 10.0 ** rng.uniform(-1.0, 1.5, n)[:, None]
    mass, x, v = 0.2 + rng.random(n), rng.normal(size=(n, 3)) * scale, 0.3 * rng.normal(size=(n, 3)) / np.sqrt(scale)
    tops, orbits, members, clear = found(mass, x, v)
    reference = find_binaries(mass, x, v)
    if not clear:  # the search goes on where the kernel stops
        reference = reference[: len(orbits)]
    assert len(orbits) == len(reference) and (not clear or tops == n - len(reference))
    for orbit, bits, binary in zip(orbits, members, reference, strict=True):
        assert orbit[0] == pytest.approx(binary.elements.semi_major_axis, rel=1e-9)
        assert orbit[1] == pytest.approx(binary.elements.eccentricity, rel=1e-7, abs=1e-9)
        sides = {tuple(i for i in range(n) if int(b) >> i & 1) for b in bits}
        assert sides == {tuple(sorted(side)) for side in binary.members}


def test_mardling_and_aarseth():
    # equal masses, circular and coplanar: 2.8 (3/2)^(2/5); retrograde 0.7 of it
    assert required_ratio(MARDLING_AARSETH, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0) == pytest.approx(2.8 * 1.5**0.4, rel=1e-14)
    assert required_ratio(MARDLING_AARSETH, 1.0, 1.0, 1.0, 0.0, 0.0, math.pi) == pytest.approx(0.7 * 2.8 * 1.5**0.4)
    eccentric = 2.8 * (1.5 * 1.5 / math.sqrt(0.5)) ** 0.4
    assert required_ratio(MARDLING_AARSETH, 1.0, 1.0, 1.0, 0.3, 0.5, 0.0) == pytest.approx(eccentric, rel=1e-14)


def test_eggleton_and_kiseleva():
    # equal masses: Q = 2^(1/3) ; 1 + 3.7/Q - 2.2/(1 + Q) + 1.4 (Q - 1)/(Q + 1)
    q = 2.0 ** (1.0 / 3.0)
    need = 1.0 + 3.7 / q - 2.2 / (1.0 + q) + 1.4 * (q - 1.0) / (q + 1.0)
    assert required_ratio(EGGLETON_KISELEVA, 1.0, 1.0, 1.0, 0.0, 0.4, 1.0) == pytest.approx(need, rel=1e-14)
    assert need == pytest.approx(3.124, abs=1e-3)
    assert required_ratio(EGGLETON_KISELEVA, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0) == pytest.approx(1.5 * need, rel=1e-14)


def test_vynatheya():
    assert required_ratio(VYNATHEYA, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0) == pytest.approx(2.4 * 1.5**0.4, rel=1e-14)
    # at a right angle the inner eccentricity is that of a Kozai-Lidov cycle, 1/2
    expected = 2.4 * (1.5 / (1.5 * math.sqrt(0.8))) ** 0.4 * (1.0 - 0.125 * (1.0 - 0.1 + 0.2)) * 1.5
    assert required_ratio(VYNATHEYA, 1.0, 1.0, 1.0, 0.1, 0.2, math.pi / 2) == pytest.approx(expected, rel=1e-12)


def test_a_scramble_is_no_hierarchy():
    x = np.array([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.0, 1.2, 0.0]])
    tops, orbits, _, clear = found(np.ones(3), x, 0.2 * np.array([[0.0, 1.0, 0.1], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert not clear and tops == 2 and len(orbits) == 1
