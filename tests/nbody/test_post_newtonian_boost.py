"""The post-Newtonian equations against themselves in another inertial frame, and the two kernels against each other.

The boost: world lines of an integrated system are transformed event by event by an exact Lorentz boost. In the new
frame they must fulfil the same equations, up to the first order that is left out. One wrong coefficient anywhere in
the general-frame equations breaks the power law. This needs no other expression from the literature.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from askel.nbody._kernels import post_newtonian_cpu as cpu
from askel.nbody._kernels import post_newtonian_reference as reference
from askel.nbody._kernels.post_newtonian_terms import (
    STATUS_COINCIDENT,
    STATUS_NOT_FINITE,
    STATUS_OK,
    TERM_BITS,
    TERM_SO,
)

Array = np.ndarray[Any, np.dtype[Any]]
SUMS = [*TERM_BITS.values(), sum(TERM_BITS.values()), 1 + 2, 1 + 4 + 16]


def bits(*names: str) -> int:
    return sum(TERM_BITS[name] for name in names)


def state(n_bodies: int, dtype: type = np.longdouble) -> tuple[Array, Array, Array]:
    """Unequal masses, everything generic and of order one."""
    rng = np.random.default_rng(20)
    position = rng.normal(size=(n_bodies, 3)) + np.arange(n_bodies)[:, None]
    velocity = 0.4 * rng.normal(size=(n_bodies, 3))
    mass = np.array([0.9, 0.35, 0.6, 0.2])[:n_bodies]
    return mass.astype(dtype), position.astype(dtype), velocity.astype(dtype)


def total_acceleration(terms: int, c: float, mass: Array, position: Array, velocity: Array) -> Array:
    """Newtonian plus post-Newtonian acceleration, G = 1."""
    n_bodies = len(mass)
    separation = position[:, None] - position[None]
    acceleration, precession, spin = (np.zeros_like(position) for _ in range(3))
    acts = np.ones((n_bodies, n_bodies), dtype=bool)
    status = reference.accelerations(
        terms, 1.0, c, mass, acts, separation, velocity, spin, acceleration, precession
    )  # fmt: skip
    assert status == STATUS_OK
    distance = np.sqrt(np.sum(separation**2, axis=2)) + np.eye(n_bodies)
    return acceleration - np.sum(mass[None, :, None] * separation / distance[..., None] ** 3, axis=1)


def move(f: Callable[[Array, Array], Array], x: Array, v: Array, dt: Any) -> tuple[Array, Array]:
    """Carry (x, v) over one short dt by an extrapolated midpoint rule (order 10)."""
    table: list[Array] = []
    steps = np.arange(2, 12, 2)
    for row, n in enumerate(steps):
        h = dt / int(n)
        y0 = np.stack([x, v])
        y1 = y0 + h * np.stack([v, f(x, v)])
        for _ in range(n - 1):
            y0, y1 = y1, y0 + 2 * h * np.stack([y1[1], f(y1[0], y1[1])])
        value = (y0 + y1 + h * np.stack([y1[1], f(y1[0], y1[1])])) / 2
        new = [value]
        for k in range(row):
            ratio = (steps[row] / steps[row - k - 1]) ** 2
            new.append(new[k] + (new[k] - table[k]) / (ratio - 1))
        table = new
    return table[-1][0], table[-1][1]


def boost_defect(terms: int, c: float, n_bodies: int = 2, sense: int = 1) -> Array:
    """Difference between the transformed accelerations and the equations in the moving frame, (n, 3).

    `sense` -1 reverses all velocities: half the difference of both senses belongs to the radiation reaction.
    """
    mass, x, v = state(n_bodies)
    v = sense * v
    u = sense * np.array([0.3, -0.5, 0.4], dtype=x.dtype)
    gamma = 1 / np.sqrt(1 - u @ u / c**2)
    direction = u / np.sqrt(u @ u)

    def f(position: Array, velocity: Array) -> Array:
        return total_acceleration(terms, c, mass, position, velocity)

    def stretch(w: Array) -> Array:
        return w + (gamma - 1) * (direction @ w) * direction

    new_x, new_v, new_a = (np.zeros_like(x) for _ in range(3))
    for i in range(n_bodies):
        t = u @ x[i] / c**2
        for _ in range(7):  # the event of body i that is simultaneous, t' = 0, in the moving frame
            xt, vt = move(f, x, v, t)
            t = u @ xt[i] / c**2
        at = f(xt, vt)
        clock = gamma * (1 - u @ vt[i] / c**2)  # dt'/dt
        way = stretch(vt[i]) - gamma * u  # dx'/dt
        new_x[i] = stretch(xt[i]) - gamma * u * t
        new_v[i] = way / clock
        new_a[i] = (stretch(at[i]) + way * gamma * (u @ at[i]) / (c**2 * clock)) / clock**2
    return np.asarray(new_a - f(new_x, new_v))


def boost_order(terms: int, n_bodies: int = 2, slow: float = 40.0) -> float:
    """Power of 1/c with which the defect falls."""
    defects = [np.max(np.abs(boost_defect(terms, c, n_bodies))) for c in (slow, 2 * slow)]
    return float(np.log2(defects[0] / defects[1]))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ((), 2),
        (("1",), 4),
        (("1", "2"), 6),
        (("1", "2", "3"), 8),
        (("1", "2", "2.5"), 6),
        (("1", "2", "2.5", "3", "3.5"), 8),
    ],
)
def test_boost_defect_falls_with_the_first_order_left_out(names: tuple[str, ...], order: int) -> None:
    assert order - 0.1 < boost_order(bits(*names)) < order + 0.1


def test_boost_notices_that_order_35_is_missing() -> None:
    order = boost_order(bits("1", "2", "2.5", "3"))
    assert 5.5 < order < 7.5


def test_boost_notices_one_wrong_coefficient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference._third

    def wrong(G: Any, m: Any, M: Any, r: Any, a: Any, b: Any, *rest: Any) -> Any:
        N, K = right(G, m, M, r, a, b, *rest)
        return N, K + 0.6 * G**2 * m * M / r**3 * a**3  # -243/4 = -60.75 becomes -60.15

    monkeypatch.setattr(reference, "_third", wrong)
    assert 5.5 < boost_order(bits("1", "2", "3")) < 7.5


def odd_order(terms: int) -> float:
    defects = [np.max(np.abs(boost_defect(terms, c) - boost_defect(terms, c, sense=-1))) for c in (16, 32)]
    return float(np.log2(defects[0] / defects[1]))


@pytest.mark.parametrize(("names", "order"), [(("1", "2.5"), 7), (("1", "2", "2.5", "3", "3.5"), 9)])
def test_radiation_reaction_by_itself(names: tuple[str, ...], order: int) -> None:
    """The part that is odd under time reversal: a hundred times sharper on the 3.5PN coefficients."""
    assert order - 0.15 < odd_order(bits(*names)) < order + 0.15


def test_three_bodies_with_cross_terms() -> None:
    assert 3.9 < boost_order(bits("1", "1cross"), n_bodies=3) < 4.1


def run(
    kernel: Any, terms: int, n_bodies: int, acts: Array | None = None, seed: int = 3, G: float = 1.3, c: float = 2.1
) -> tuple[Array, Array, int]:
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0.1, 2, n_bodies)
    position, velocity, spin = (rng.normal(size=(n_bodies, 3)) for _ in range(3))
    if acts is None:
        acts = np.ones((n_bodies, n_bodies), dtype=bool)
    acceleration, precession = np.full((2, n_bodies, 3), np.nan)
    separation = position[:, None] - position[None]
    status = kernel.accelerations(terms, G, c, mass, acts, separation, velocity, spin, acceleration, precession)
    return acceleration, precession, status


@pytest.mark.parametrize("n_bodies", [2, 3, 5])
@pytest.mark.parametrize("terms", SUMS)
def test_numba_kernel_equals_readable_twin(terms: int, n_bodies: int) -> None:
    for seed in range(5):
        expected, expected_precession, _ = run(reference, terms, n_bodies, seed=seed)
        found, found_precession, status = run(cpu, terms, n_bodies, seed=seed)
        assert status == STATUS_OK
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.max(np.abs(expected)))
        np.testing.assert_allclose(found_precession, expected_precession, rtol=0, atol=1e-13 * np.max(expected))


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_terms_are_additive(kernel: Any) -> None:
    parts = [run(kernel, bit, 4)[:2] for bit in TERM_BITS.values()]
    acceleration, precession, _ = run(kernel, sum(TERM_BITS.values()), 4)
    np.testing.assert_allclose(sum(part[0] for part in parts), acceleration, rtol=1e-11)
    np.testing.assert_allclose(sum(part[1] for part in parts), precession, rtol=1e-11)
    for acceleration_part, _ in parts:
        assert np.max(np.abs(acceleration_part)) > 0


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_only_acting_pairs_feel_anything(kernel: Any) -> None:
    """Bodies 0, 1, 2 act on each other; 3 and 4 are ordinary stars: nothing on them, and nothing from them."""
    everything = sum(TERM_BITS.values())
    acts = np.zeros((5, 5), dtype=bool)
    acts[:3, :3] = True
    acceleration, precession, _ = run(kernel, everything, 5, acts)
    assert np.all(acceleration[3:] == 0) and np.all(precession[3:] == 0)
    rng = np.random.default_rng(3)
    mass = rng.uniform(0.1, 2, 5)[:3]
    position, velocity, spin = (rng.normal(size=(5, 3))[:3] for _ in range(3))
    alone = np.empty((2, 3, 3))
    separation = position[:, None] - position[None]
    kernel.accelerations(
        everything, 1.3, 2.1, mass, np.ones((3, 3), bool), separation, velocity, spin, *alone
    )  # fmt: skip
    np.testing.assert_allclose(acceleration[:3], alone[0], rtol=1e-13)
    np.testing.assert_allclose(precession[:3], alone[1], rtol=1e-13)


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_a_product_of_pairs_counts_when_both_act(kernel: Any) -> None:
    """0-1 and 1-2 act, 0-2 does not: the products that share body 1 remain, on all three bodies."""
    chain = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    cross = TERM_BITS["1cross"]
    part, whole = run(kernel, cross, 3, chain)[0], run(kernel, cross, 3)[0]
    assert np.all(np.max(np.abs(part), axis=1) > 0)
    assert np.max(np.abs(whole - part)) > 0.01 * np.max(np.abs(whole))
    one_pair = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    assert np.max(np.abs(run(kernel, cross, 3, one_pair)[0])) < 1e-14 * np.max(np.abs(whole))


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_status_codes(kernel: Any) -> None:
    mass, acts = np.ones(2), np.ones((2, 2), dtype=bool)
    spin = np.zeros((2, 3))
    out = np.empty((2, 2, 3))
    at_rest, apart = np.zeros((2, 3)), np.zeros((2, 2, 3))
    assert kernel.accelerations(511, 1.0, 9.0, mass, acts, apart, at_rest, spin, *out) == STATUS_COINCIDENT
    assert kernel.accelerations(511, 1.0, 9.0, mass, ~acts, apart, at_rest, spin, *out) == STATUS_OK
    apart[0, 1, 0], apart[1, 0, 0] = 1.0, -1.0
    assert kernel.accelerations(511, 1.0, 9.0, mass, acts, apart, at_rest, spin, *out) == STATUS_OK
    assert kernel.accelerations(511, 1.0, 9.0, mass, acts, apart, at_rest + np.nan, spin, *out) == STATUS_NOT_FINITE


@pytest.mark.parametrize("kernel", [cpu, reference])
def test_massless_body_with_spin_stays_finite(kernel: Any) -> None:
    mass, acts = np.array([1.0, 0.0]), np.ones((2, 2), dtype=bool)
    apart = np.zeros((2, 2, 3))
    apart[0, 1, 0], apart[1, 0, 0] = 1.0, -1.0
    out = np.empty((2, 2, 3))
    spin = np.array([[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]])
    moving = np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]])
    assert kernel.accelerations(511, 1.0, 9.0, mass, acts, apart, moving, spin, *out) == STATUS_OK
    assert np.all(out[0][0] == 0) and np.all(out[0][1] != 0)


def test_bits_are_distinct_powers_of_two() -> None:
    assert sorted(TERM_BITS.values()) == [2**k for k in range(len(TERM_BITS))]
    assert TERM_BITS["SO"] == TERM_SO
