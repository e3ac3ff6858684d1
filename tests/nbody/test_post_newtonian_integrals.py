"""Conserved integrals, instant by instant: their time derivative along the accelerations vanishes at its order.

The derivative is split by orders exactly: integrals and accelerations are polynomials in 1/c^2, so the accelerations
of one order (taken from the kernel by switching terms) differentiate the integrals of another. Their sum vanishes to
round-off for any state and mass ratio, only if accelerations and integrals are both right: no orbit, no tolerance.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from askel.nbody._kernels import post_newtonian_reference as reference
from askel.nbody.post_newtonian import integrals, parse_terms
from askel.particles.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
G = 1.3
NAMES = {0: (), 1: ("1", "1cross"), 2: ("2",), 3: ("3",)}
QUANTITIES = ("energy", "momentum", "angular_momentum")


def state(n: int, seed: int = 8) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0.3, 1.7, n)
    return mass, rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), rng.normal(size=(n, 3))


def accelerations(names: tuple[str, ...], mass: Array, x: Array, v: Array, s: Array, c: float = 1.0) -> Array:
    """Stack of accelerations and spin derivatives (2, n, 3); Newton's for no names."""
    separation = x[:, None] - x[None]
    n = len(mass)
    if not names:
        distance = np.sqrt(np.sum(separation**2, axis=2)) + np.eye(n)
        return np.array([-G * np.sum(mass[None, :, None] * separation / distance[..., None] ** 3, axis=1), 0 * x])
    out = np.zeros((2, n, 3))
    reference.accelerations(parse_terms(names), G, c, mass, np.ones((n, n), bool), separation, v, s, *out)
    return np.array([out[0], np.cross(out[1], s)])


def part(names: tuple[str, ...], quantity: str, mass: Array, x: Array, v: Array, s: Array) -> Array:
    """Integral of one order alone, c = 1, in extended differences: with the terms less without."""
    with_terms = integrals(parse_terms(names), mass, x, v, s, G=G, c=1.0)
    result = np.asarray(getattr(with_terms, quantity))
    if names:
        result = result - np.asarray(getattr(integrals(0, mass, x, v, s, G=G, c=1.0), quantity))
    return result


def derivative(names: tuple[str, ...], quantity: str, by: tuple[str, ...], *args: Array) -> Array:
    """Rate of an integral's order by one order of the accelerations (order 0 moves the positions, too)."""
    mass, x, v, s = args
    a, turn = accelerations(by, mass, x, v, s)
    moved = v if not by else 0 * v
    total = 0
    for h, weight in ((1e-3, 1.5), (2e-3, -0.6), (3e-3, 0.1)):  # sixth order
        high = part(names, quantity, mass, x + h * moved, v + h * a, s + h * turn)
        low = part(names, quantity, mass, x - h * moved, v - h * a, s - h * turn)
        total = total + weight * (high - low) / (2 * h)
    return np.asarray(total)


def balance(order: int, quantity: str, n: int, seed: int) -> float:
    """Sum of all contributions to the rate at one order, over their largest."""
    args = state(n, seed)
    pieces = [derivative(NAMES[k], quantity, NAMES[order - k], *args) for k in range(order + 1)]
    return float(np.max(np.abs(sum(pieces))) / max(1e-2, np.max(np.abs(pieces))))


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_two_bodies_conserve_through_3pn(order: int, quantity: str) -> None:
    for seed in (1, 4, 5):
        assert balance(order, quantity, 2, seed) < 1e-10


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_three_bodies_conserve_at_1pn(quantity: str) -> None:
    for seed in (1, 2):
        assert balance(1, quantity, 3, seed) < 1e-10
        assert balance(1, quantity, 4, seed) < 1e-10


def test_three_bodies_without_cross_terms_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, 1, ("1",))
    assert balance(1, "energy", 3, 1) > 1e-3
    assert balance(1, "momentum", 3, 1) > 1e-3


@pytest.mark.parametrize(("function", "order"), [("_first", 1), ("_second", 2), ("_third", 3)])
@pytest.mark.parametrize("which", [0, 1])
def test_a_wrong_coefficient_is_noticed(
    monkeypatch: pytest.MonkeyPatch, function: str, order: int, which: int
) -> None:  # fmt: skip
    """The static part, which no boost sees, off by one in a thousand (N), or a velocity part (K)."""
    right = getattr(reference, function)

    def wrong(g: Any, m: Any, M: Any, r: Any, a: Any, *rest: Any) -> Any:
        N, K = right(g, m, M, r, a, *rest)
        static = 1e-3 * g * (m + 2 * M) / r**2 * (g * M / r) ** order
        return (N + static, K) if which == 0 else (N, K + static * a / (g * M / r))

    monkeypatch.setattr(reference, function, wrong)
    assert balance(order, "energy", 2, 1) > 1e-7
    assert max(balance(order, quantity, 2, 1) for quantity in QUANTITIES[1:]) > 1e-7


@pytest.mark.parametrize("names", [("SO",), ("SS",), ("Q",)])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_spins_conserve_to_leading_order(names: tuple[str, ...], quantity: str) -> None:
    """Linear in the spins for SO (one spin at a time), bilinear for SS and Q: exact at that order."""
    mass, x, v, s = state(2, 3)
    for spins in [s * [[1], [0]], s * [[0], [1]]] if names == ("SO",) else [s]:
        pieces = [
            derivative((), quantity, names, mass, x, v, spins),
            derivative(names, quantity, (), mass, x, v, spins),
        ]
        scale = np.max(np.abs(pieces[0])) or 1.0
        assert np.max(np.abs(sum(pieces))) < 1e-10 * max(scale, 0.1)
        if quantity == "energy":
            assert scale > 1e-3


def test_moving_frame_gives_the_velocity_of_the_centre_of_mass() -> None:
    """A pair at rest as a whole, seen from a frame that moves: V = c^2 P/(M c^2) falls into place at every order."""
    c, errors = 30.0, []
    mass, x, v, _ = state(2, 2)
    boost = np.array([0.4, -0.3, 0.2])
    for names in ((), ("1",), ("1", "2"), ("1", "2", "3")):
        bits = parse_terms(names)
        rest = v.copy()
        for _ in range(60):  # velocities with P = 0
            rest -= integrals(bits, mass, x, rest, G=G, c=c).centre_of_mass_velocity
        moved = integrals(bits, mass, *lorentz(bits, mass, x, rest, boost, c), G=G, c=c)
        errors.append(float(np.max(np.abs(moved.centre_of_mass_velocity - boost))))
    for coarse, fine in pairwise(errors):
        assert 1e-5 < fine / coarse < 0.05
    assert 1e-13 < errors[-1] < 1e-8


def lorentz(bits: int, mass: Array, x: Array, v: Array, w: Array, c: float) -> tuple[Array, Array]:
    """Simultaneous state in a frame where the old one moves with w; world lines as parabolas and their next two terms.

    The shift in time is of order x w/c^2, so a Taylor series of order 3 in it leaves c^-8.
    """
    gamma = 1 / np.sqrt(1 - w @ w / c**2)
    direction = w / np.sqrt(w @ w)
    names = tuple(name for name in ("1", "2", "3") if bits & parse_terms([name]))

    def pull(position: Array, velocity: Array) -> Array:
        total = accelerations((), mass, position, velocity, 0 * x)[0]
        return total + (accelerations(names, mass, position, velocity, 0 * x, c)[0] if names else 0)

    def advance(t: float) -> tuple[Array, Array]:
        position, velocity = x.copy(), v.copy()
        h = t / 4
        for _ in range(4):  # classical Runge-Kutta
            k1v, k1x = pull(position, velocity), velocity
            k2v, k2x = pull(position + h / 2 * k1x, velocity + h / 2 * k1v), velocity + h / 2 * k1v
            k3v, k3x = pull(position + h / 2 * k2x, velocity + h / 2 * k2v), velocity + h / 2 * k2v
            k4v, k4x = pull(position + h * k3x, velocity + h * k3v), velocity + h * k3v
            position = position + h / 6 * (k1x + 2 * k2x + 2 * k3x + k4x)
            velocity = velocity + h / 6 * (k1v + 2 * k2v + 2 * k3v + k4v)
        return position, velocity

    new_x, new_v = np.zeros_like(x), np.zeros_like(v)
    for i in range(len(mass)):
        t = 0.0
        for _ in range(12):
            xt, vt = (values[i] for values in advance(t))
            t = float(-(w @ xt) / c**2)
        clock = gamma * (1 + w @ vt / c**2)
        new_x[i] = xt + (gamma - 1) * (direction @ xt) * direction + gamma * w * t
        new_v[i] = (vt + (gamma - 1) * (direction @ vt) * direction + gamma * w) / clock
    return new_x, new_v


def test_rate_of_the_centre_of_mass_is_its_velocity() -> None:
    """d(position)/dt = velocity of the centre of mass, left over at c^-4, spin-orbit included."""
    mass, x, v, s = state(2, 6)
    bits = parse_terms(("1", "SO"))
    errors = []
    for c in (20.0, 40.0):
        spins = s / c
        a, turn = accelerations((), mass, x, v, spins) + accelerations(("1", "SO"), mass, x, v, spins, c)
        h = 1e-4
        ends = [
            integrals(bits, mass, x + k * h * v, v + k * h * a, spins + k * h * turn, G=G, c=c).centre_of_mass
            for k in (-2, -1, 1, 2)
        ]
        rate = (8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * h)
        errors.append(np.max(np.abs(rate - integrals(bits, mass, x, v, spins, G=G, c=c).centre_of_mass_velocity)))
    assert 3.7 < np.log2(errors[0] / errors[1]) < 4.3


def test_known_binding_energy_of_a_circular_orbit() -> None:
    """E = -(mu c^2 x/2) [1 - (3/4 + nu/12) x - (27/8 - 19 nu/8 + nu^2/24) x^2 - ...], x = (G m omega/c^3)^(2/3).

    Blanchet 2014 eq. (232) through 3PN, for equal masses: a check of the whole chain against the literature.
    """
    nu, c = 0.25, 1.0
    bits = parse_terms(("1", "2", "3"))
    mass = np.array([0.5, 0.5]) / G
    for r in (300.0, 1000.0):
        x = np.array([[r / 2, 0, 0], [-r / 2, 0, 0]])
        speed = np.sqrt(1 / r)
        for _ in range(60):  # circular: the pull is r omega^2
            v = np.array([[0, speed / 2, 0], [0, -speed / 2, 0]])
            pull = accelerations((), mass, x, v, 0 * x)[0] + accelerations(("1", "2", "3"), mass, x, v, 0 * x)[0]
            speed = np.sqrt(-(pull[0, 0] - pull[1, 0]) * r)
        y = (speed / r) ** (2 / 3)
        third = 675 / 64 - (34445 / 576 - 205 * np.pi**2 / 96) * nu + 155 / 96 * nu**2 + 35 / 5184 * nu**3
        series = 1 - (3 / 4 + nu / 12) * y - (27 / 8 - 19 / 8 * nu + nu**2 / 24) * y**2 - third * y**3
        found = integrals(bits, mass, x, v, G=G, c=c).energy / (-nu * y / 2 / G)
        assert 190 < (found - series) / y**4 < 210  # the next order of the truncated equations, the same at both r


def test_refusals() -> None:
    mass, x, v, _ = state(2)
    with pytest.raises(InputError, match="one place"):
        integrals(1, mass, 0 * x, v, G=1.0, c=1.0)
    with pytest.raises(InputError, match=r"\(3,\)"):
        integrals(1, np.ones(3), x, v, G=1.0, c=1.0)
