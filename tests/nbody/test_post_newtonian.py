"""Post-Newtonian motion against known physics: Schwarzschild, periastron advance, radiation, precession; and the names."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from askel.nbody._kernels import post_newtonian_cpu as cpu
from askel.nbody.post_newtonian import TERMS, integrals, needs_spin, parse_terms, term_names, validity
from askel.nbody.strain import peters_merger_time
from askel.particles.errors import InputError
from scipy.integrate import solve_ivp

Array = np.ndarray[Any, np.dtype[Any]]
Flow = Callable[[float, Array], Array]


def accelerations(names: tuple[str, ...], mass: Array, x: Array, v: Array, c: float, *, newton: bool = True) -> Array:
    """Newtonian and post-Newtonian accelerations of two bodies, G = 1, by the numba kernel."""
    separation = x[:, None] - x[None]
    out = np.zeros((2, 2, 3))
    acts = np.ones((2, 2), dtype=bool)
    assert cpu.accelerations(parse_terms(names), 1.0, c, mass, acts, separation, v, np.zeros((2, 3)), *out) == 0
    if newton:
        pull = separation[0, 1] / np.linalg.norm(separation[0, 1]) ** 3
        out[0] += np.array([-mass[1] * pull, mass[0] * pull])
    return out[0]


def flow(names: tuple[str, ...], mass: Array, c: float) -> Flow:
    """Right-hand side for scipy: (x1, x2, v1, v2) flat."""

    def rate(_: float, y: Array) -> Array:
        x, v = y[:6].reshape(2, 3), y[6:].reshape(2, 3)
        return np.concatenate([y[6:], accelerations(names, mass, x, v, c).ravel()])

    return rate


def schwarzschild(x: Array, v: Array, c: float) -> Array:
    """Coordinate acceleration on a geodesic of Schwarzschild (G M = 1) in harmonic coordinates.

    d2x^i/dt2 = -Gamma^i(u, u) + Gamma^0(u, u) v^i with u = (c, v), from the metric by complex differentiation.
    """

    def metric(position: Array) -> Array:
        r = np.sqrt(position @ position)
        n, k = position / r, 1 / c**2
        g = np.zeros((4, 4), dtype=position.dtype)
        g[0, 0] = -(r - k) / (r + k)
        g[1:, 1:] = (1 + k / r) ** 2 * np.eye(3) + (k / r) ** 2 * (r + k) / (r - k) * np.outer(n, n)
        return g

    h = 1e-25
    gradient = np.zeros((4, 4, 4))  # [k] = dg/dx^k, static
    for axis in range(3):
        gradient[axis + 1] = np.imag(metric(x + 1j * h * np.eye(3)[axis])) / h
    u = np.array([c, *v])
    lowered = np.einsum("kij,i,k->j", gradient, u, u) - 0.5 * np.einsum("kij,i,j->k", gradient, u, u)
    gamma = np.linalg.solve(np.real(metric(x.astype(complex))), lowered)
    return -gamma[1:] + gamma[0] * v / c


@pytest.mark.parametrize(("names", "order"), [((), 2), (("1",), 4), (("1", "2"), 6), (("1", "2", "3"), 8)])
def test_test_body_moves_on_a_geodesic(names: tuple[str, ...], order: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(3):
        x, v = rng.normal(size=3) + 1, 0.6 * rng.normal(size=3)
        defects = []
        for c in (7.0, 14.0):
            full = accelerations(names, np.array([0.0, 1.0]), np.array([x, 0 * x]), np.array([v, 0 * v]), c)
            defects.append(np.linalg.norm(full[0] - schwarzschild(x, v, c)))
        assert order - 0.25 < np.log2(defects[0] / defects[1]) < order + 0.25


def test_massive_body_does_not_feel_a_test_body() -> None:
    x, v = np.array([[1.0, 0.3, 0.2], [0, 0, 0]]), np.array([[0.1, 0.5, 0.2], [0, 0, 0]])
    names = tuple(name for name in TERMS if not needs_spin(parse_terms([name])))
    assert np.all(accelerations(names, np.array([0.0, 1.0]), x, v, 5.0)[1] == 0)


def start(mass: Array, names: tuple[str, ...], c: float, speed: float = 0.75) -> Array:
    """Apastron at separation 1 with total momentum zero to the order of the terms."""
    total = mass.sum()
    x = np.array([[mass[1] / total, 0, 0], [-mass[0] / total, 0, 0]])
    v = np.array([[0, mass[1] / total, 0], [0, -mass[0] / total, 0]]) * speed * math.sqrt(total)
    for _ in range(30):
        v = v - integrals(parse_terms(names), mass, x, v, G=1.0, c=c).centre_of_mass_velocity
    return np.concatenate([x.ravel(), v.ravel()])


def next_apastron(rate: Flow, y: Array) -> tuple[float, Array]:
    """Time and state one radial period later, the time polished to round-off."""

    def radial(_: float, state: Array) -> float:
        return float((state[:3] - state[3:6]) @ (state[6:9] - state[9:]))

    radial.terminal = True  # type: ignore[attr-defined]
    radial.direction = -1  # type: ignore[attr-defined]
    tight: dict[str, Any] = {"method": "DOP853", "rtol": 1e-13, "atol": 1e-15}
    away = solve_ivp(rate, (0, 0.5), y, **tight).y[:, -1]
    run = solve_ivp(rate, (0.5, 50.0), away, events=radial, **tight)
    time, state = float(run.t_events[0][0]), run.y_events[0][0]
    # the event comes from dense output: step back to before it and integrate
    time, state = float(run.t[-2]), run.y[:, -2]
    for _ in range(4):
        slope = rate(time, state)
        u, w, a = state[:3] - state[3:6], state[6:9] - state[9:], slope[6:9] - slope[9:]
        dt = -float(u @ w) / float(w @ w + u @ a)
        if abs(dt) > 1e-17:
            state = solve_ivp(rate, (0, dt), state, **tight).y[:, -1]
        time += dt
    return time, state


def advance_of_periastron(names: tuple[str, ...], mass: Array, c: float) -> tuple[float, float, float, float]:
    """Angle beyond a turn per radial period over 2 pi; and energy, angular momentum (per mu), nu, all from the orbit."""
    y = start(mass, names, c)
    found = integrals(parse_terms(names), mass, y[:6].reshape(2, 3), y[6:].reshape(2, 3), G=1.0, c=c)
    _, end = next_apastron(flow(names, mass, c), y)
    line = end[:3] - end[3:6]
    reduced = mass.prod() / mass.sum()
    angle = math.atan2(line[1], line[0]) / (2 * math.pi)
    return angle, found.energy / reduced, float(found.angular_momentum[2]) / reduced, reduced / mass.sum()


def series(energy: float, momentum: float, nu: float, c: float) -> list[float]:
    """Invariant advance per period by orders, total mass 1: Blanchet 2014 eq. (347), in E and J."""
    eps, j = -2 * energy / c**2, -2 * energy * momentum**2
    third = 24 / j * (5 - 5 * nu + 4 * nu**2)
    third -= 1 / j**2 * (10080 - 13952 * nu + 123 * math.pi**2 * nu + 1440 * nu**2)
    third += 5 / j**3 * (7392 - 8000 * nu + 123 * math.pi**2 * nu + 336 * nu**2)
    second = 3 / j * (-5 + 2 * nu) + 15 / j**2 * (7 - 2 * nu)
    return [3 * eps / j, eps**2 / 4 * second, eps**3 / 128 * third]


@pytest.mark.parametrize(
    ("names", "order", "c"), [(("1",), 4, 25.0), (("1", "2"), 6, 25.0), (("1", "2", "3"), 8, 20.0)]
)
@pytest.mark.parametrize("heavy", [0.5, 0.8])
def test_periastron_advance(names: tuple[str, ...], order: int, c: float, heavy: float) -> None:
    mass = np.array([heavy, 1 - heavy])
    errors = []
    for light in (c, 1.5 * c):
        angle, energy, momentum, nu = advance_of_periastron(names, mass, light)
        errors.append(abs(angle - sum(series(energy, momentum, nu, light)[: len(names)])))
    assert order - 0.4 < np.log(errors[0] / errors[1]) / np.log(1.5) < order + 0.4


def test_first_order_advance_is_the_textbook_one() -> None:
    """6 pi G m/(c^2 a (1 - e^2)) per period, elements from the Newtonian state: right to order c^-2."""
    ratios = []
    for c in (50.0, 100.0):
        angle = advance_of_periastron(("1",), np.array([0.7, 0.3]), c)[0]
        a = 1 / (2 - 0.75**2)
        e = 1 / a - 1
        ratios.append(2 * math.pi * angle / (6 * math.pi / (c**2 * a * (1 - e**2))))
    assert 3e-5 < abs(ratios[1] - 1) < 1e-3
    assert 1.8 < np.log2(abs(ratios[0] - 1) / abs(ratios[1] - 1)) < 2.2


@pytest.mark.parametrize("order", [1, 2, 3])
def test_energy_and_angular_momentum_along_an_orbit(order: int) -> None:
    """What drifts is the first order left out, and not the integrator."""
    names = ("1", "2", "3")[:order]
    mass, bits = np.array([0.7, 0.3]), parse_terms(names)
    drifts = []
    for c in (20.0, 28.284271247461902):
        y = start(mass, names, c)
        run = solve_ivp(flow(names, mass, c), (0, 6), y, method="DOP853", rtol=3e-14, atol=1e-15)
        found = [integrals(bits, mass, q[:6].reshape(2, 3), q[6:].reshape(2, 3), G=1.0, c=c) for q in run.y.T]
        energy = np.ptp([value.energy for value in found])
        momentum = np.ptp([value.angular_momentum[2] for value in found])
        drifts.append([energy, momentum])
    orders = 2 * np.log2(np.array(drifts[0]) / drifts[1])
    assert np.all(orders > 2 * order + 1.6) and np.all(orders < 2 * order + 2.4)


def test_circular_decay_takes_peters_time() -> None:
    """2.5PN alone from 50 to 48 G m/c^2: equal to Peters up to what starts off circular."""
    mass = np.array([0.5, 0.5])
    a = 50.0
    rate_of_a = -64 / 5 * 0.25 / a**3
    x = np.array([[a / 2, 0, 0], [-a / 2, 0, 0]])
    v = np.array([[rate_of_a / 2, 0.5 / math.sqrt(a), 0], [-rate_of_a / 2, -0.5 / math.sqrt(a), 0]])

    def reached(_: float, y: Array) -> float:
        return float(np.linalg.norm(y[:3] - y[3:6])) - 48.0

    reached.terminal = True  # type: ignore[attr-defined]
    rate = flow(("2.5",), mass, 1.0)
    y0 = np.concatenate([x.ravel(), v.ravel()])
    run = solve_ivp(rate, (0, 1e6), y0, method="DOP853", rtol=1e-12, atol=1e-12, events=reached)
    expected = peters_merger_time(0.5, 0.5, 50.0, 0.0) - peters_merger_time(0.5, 0.5, 48.0, 0.0)
    error = abs(run.t_events[0][0] / expected - 1)
    assert 1e-8 < error < 5e-6


@pytest.mark.parametrize("heavy", [0.5, 0.8])
def test_circular_flux_with_its_first_correction(heavy: float) -> None:
    """-dE/dt = (32/5) nu^2 x^5 [1 - (1247/336 + 35 nu/12) x + ...], Blanchet 2014 eq. (314): 3.5PN against 2.5PN."""
    mass = np.array([heavy, 1 - heavy])
    nu = mass.prod()
    names, all_names = ("1",), ("1", "2.5", "3.5")
    errors = []
    for r in (2000.0, 8000.0):
        x = np.array([[mass[1] * r, 0, 0], [-mass[0] * r, 0, 0]])
        speed = 1 / math.sqrt(r)
        for _ in range(40):
            v = np.array([[0, mass[1] * speed, 0], [0, -mass[0] * speed, 0]])
            for _ in range(5):
                v = v - integrals(1, mass, x, v, G=1.0, c=1.0).centre_of_mass_velocity
            pull = accelerations(names, mass, x, v, 1.0)
            speed *= math.sqrt(-(pull[0, 0] - pull[1, 0]) * r) / (v[0, 1] - v[1, 1])
        odd = accelerations(all_names[1:], mass, x, v, 1.0, newton=False)
        h = 1e-2 / np.max(np.abs(odd)) / math.sqrt(r)
        ends = [integrals(1, mass, x, v + k * h * odd, G=1.0, c=1.0).energy for k in (-1, 1)]
        y = ((v[0, 1] - v[1, 1]) / r) ** (2 / 3)
        flux = -(ends[1] - ends[0]) / (2 * h) / (32 / 5 * nu**2 * y**5)
        errors.append((1 - flux) / y - (1247 / 336 + 35 / 12 * nu))
    assert abs(errors[1]) < 0.02
    assert 3 < errors[0] / errors[1] < 5


def schott(u: Array, w: Array, degree: int) -> Array:
    """The polynomials rdot/r^2 times v^(2 i) rdot^(2 j) r^-k with i + j + k = degree."""
    r = np.sqrt(u @ u)
    radial, speed2 = u @ w / r, w @ w
    powers = [(i, j, degree - i - j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    return np.array([radial / r**2 * speed2**i * radial ** (2 * j) / r**k for i, j, k in powers])


def schott_rate(u: Array, w: Array, degree: int, moved: Array, a: Array) -> Array:
    return np.imag(schott(u + 1e-30j * moved, w + 1e-30j * a, degree)) / 1e-30


def slope(f: Callable[[Array], float], v: Array, along: Array) -> float:
    """Directional derivative of a polynomial of degree up to 6."""
    h = 0.05
    stencil = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    return sum(weight * (f(v + k * h * along) - f(v - k * h * along)) / h for k, weight in stencil)


def radiated(nu: float, u: Array, w: Array) -> tuple[float, float]:
    """Energy flux per reduced mass at 2.5PN and 3.5PN, total mass 1: Blanchet & Schafer 1989, Kidder 1995 (3.25)."""
    r, speed2 = math.sqrt(u @ u), float(w @ w)
    rdot2, k = float(u @ w / r) ** 2, 1 / r
    scale = 8 / 15 * nu / r**4
    return scale * (12 * speed2 - 11 * rdot2), scale / 28 * (
        (785 - 852 * nu) * speed2**2 - 2 * (1487 - 1392 * nu) * speed2 * rdot2 + 3 * (687 - 620 * nu) * rdot2**2
        - 160 * (17 - nu) * k * speed2 + 8 * (367 - 15 * nu) * k * rdot2 + 16 * (1 - 4 * nu) * k**2
    )  # fmt: skip


@pytest.mark.parametrize("heavy", [0.5, 0.8, 0.35])
def test_energy_balance_at_every_instant_of_an_eccentric_orbit(heavy: float) -> None:
    """dE/dt + flux is a total derivative at 2.5PN and 3.5PN (Iyer & Will 1995, gr-qc/9501018).

    The energy by which the bound and the radiated energy differ is a polynomial; its 3 + 6 coefficients are fitted to
    40 states in the frame of the centre of mass (1PN): the fit is exact only if both orders are right.
    """
    rng = np.random.default_rng(2)
    mass = np.array([heavy, 1 - heavy])
    nu = float(mass.prod())
    rows, target = [], []
    for _ in range(40):
        u, w = rng.normal(size=3), rng.normal(size=3)
        share = np.array([[mass[1]], [-mass[0]]])
        x, v = share * u, share * w

        def energy(q: Array, x: Array = x) -> float:
            """1PN energy beyond Newton's."""
            return integrals(1, mass, x, q, G=1.0, c=1.0).energy - integrals(0, mass, x, q, G=1.0, c=1.0).energy

        def power(q: Array, x: Array = x) -> float:
            """Newtonian energy lost to 2.5PN."""
            return float(np.sum(mass[:, None] * q * accelerations(("2.5",), mass, x, q, 1.0, newton=False)))

        shift = -np.ones((2, 1)) * integrals(1, mass, x, v, G=1.0, c=1.0).momentum  # to total momentum zero at 1PN
        pull, first = (accelerations(names, mass, x, v, 1.0, newton=not names) for names in ((), ("1",)))
        low, high = (accelerations((name,), mass, x, v, 1.0, newton=False) for name in ("2.5", "3.5"))
        flux_low, flux_high = radiated(nu, u, w)
        newton, zero = pull[0] - pull[1], 0 * u
        rows.append([*schott_rate(u, w, 1, w, newton), *np.zeros(6)])
        target.append(-power(v) / nu - flux_low)
        rows.append([*schott_rate(u, w, 1, zero, first[0] - first[1]), *schott_rate(u, w, 2, w, newton)])
        lost = float(np.sum(mass[:, None] * v * high)) + slope(energy, v, low) + slope(power, v, shift)
        target.append(-lost / nu - flux_high)
    matrix, right = np.array(rows), np.array(target)
    weight = 1 / np.linalg.norm(matrix, axis=1)
    solution, _, rank, _ = np.linalg.lstsq(matrix * weight[:, None], right * weight)
    misfit = np.max(np.abs(matrix @ solution - right) * weight)
    assert rank == 9
    assert 1e-18 < misfit < 1e-10
    assert np.max(np.abs(right * weight)) > 1e-2


def spin_kernel(names: tuple[str, ...], mass: Array, x: Array, v: Array, s: Array, c: float) -> tuple[Array, Array]:
    out = np.zeros((2, len(mass), 3))
    acts = np.ones((len(mass), len(mass)), dtype=bool)
    cpu.accelerations(parse_terms(names), 1.0, c, mass, acts, x[:, None] - x[None], v, s, *out)
    return out[0], out[1]


def test_geodetic_precession() -> None:
    """Gyroscope on a circular orbit about a resting mass: 3/2 (G M)^(3/2)/(c^2 r^(5/2)) about the orbit's axis."""
    r, c = 3.0, 20.0
    x, v = np.array([[r, 0, 0], [0, 0, 0]]), np.array([[0, 1 / math.sqrt(r), 0], [0, 0, 0]])
    _, turn = spin_kernel(("SO",), np.array([0.0, 1.0]), x, v, np.zeros((2, 3)), c)
    np.testing.assert_allclose(turn[0], [0, 0, 1.5 / (c**2 * r**2.5)], rtol=1e-14)


def test_precession_of_a_comparable_pair() -> None:
    """Barker & O'Connell: Omega_1 = (G/(c^2 r^3)) (2 + 3 m2/(2 m1)) L in the frame of the centre of mass."""
    mass, r, c = np.array([0.6, 0.4]), 2.0, 15.0
    x, w = np.array([r, 0, 0]), np.array([0.1, 0.6, 0.2])
    share = np.array([[mass[1]], [-mass[0]]])
    _, turn = spin_kernel(("SO",), mass, share * x, share * w, np.zeros((2, 3)), c)
    orbital = mass.prod() * np.cross(x, w)
    np.testing.assert_allclose(turn[0], (2 + 1.5 * mass[1] / mass[0]) * orbital / (c**2 * r**3), rtol=1e-13)
    np.testing.assert_allclose(turn[1], (2 + 1.5 * mass[0] / mass[1]) * orbital / (c**2 * r**3), rtol=1e-13)


def test_gravitomagnetic_precession_of_a_gyroscope() -> None:
    """At rest beside a spinning mass: (G/(c^2 r^3)) [3 n (n.S) - S], Schiff's frame dragging."""
    x, c = np.array([[0.6, 0.0, 0.8], [0, 0, 0]]), 10.0
    s = np.array([[1e-9, 0, 0], [0, 0, 0.5]])
    _, turn = spin_kernel(("SS",), np.array([1e-3, 1.0]), x, np.zeros((2, 3)), s, c)
    np.testing.assert_allclose(turn[0], [3 * 0.48 * 0.5 / 100, 0, (3 * 0.64 - 1) * 0.5 / 100], rtol=1e-12)


def test_spin_lengths_are_constant_and_the_total_is_conserved() -> None:
    """An orbit with SO, SS and Q: |S| exact, J and E constant to the first order left out (spin squared at SO)."""
    mass, bits = np.array([0.6, 0.4]), parse_terms(("SO", "SS", "Q"))
    drifts = []
    for c in (20.0, 40.0):
        spin = np.array([[0.3, 0.1, 0.5], [-0.2, 0.4, 0.3]]) * (mass**2)[:, None] / c
        y0 = np.concatenate([start(mass, (), c), spin.ravel()])

        def rate(_: float, y: Array, c: float = c) -> Array:
            x, v, s = y[:6].reshape(2, 3), y[6:12].reshape(2, 3), y[12:].reshape(2, 3)
            a, turn = spin_kernel(("SO", "SS", "Q"), mass, x, v, s, c)
            total = a + accelerations((), mass, x, v, c)
            return np.concatenate([y[6:12], total.ravel(), np.cross(turn, s).ravel()])

        run = solve_ivp(rate, (0, 5), y0, method="DOP853", rtol=1e-13, atol=1e-16)
        states = [y.reshape(6, 3) for y in run.y.T]
        lengths = np.array([np.linalg.norm(y[4:], axis=1) for y in states])
        assert np.ptp(lengths, axis=0).max() < 1e-13
        assert np.linalg.norm(states[-1][4] - states[0][4]) > 1e-3 * np.linalg.norm(spin[0]) * (20 / c) ** 2
        found = [integrals(bits, mass, y[:2], y[2:4], y[4:], G=1.0, c=c) for y in states]
        drifts.append([np.ptp([f.energy for f in found]), max(np.ptp([f.angular_momentum for f in found], axis=0))])
    orders = np.log2(np.array(drifts[0]) / drifts[1])
    # with S ~ 1/c: energy at spin squared, angular momentum at the next order linear in the spin
    assert 5.5 < orders[0] < 6.5
    assert 4.5 < orders[1] < 5.5


def test_names_and_bits() -> None:
    assert parse_terms([]) == 0 and parse_terms(TERMS) == 2 ** len(TERMS) - 1
    assert term_names(parse_terms(["SO", "1", "2.5"])) == ("1", "2.5", "SO")
    assert needs_spin(parse_terms(["Q"])) and not needs_spin(parse_terms(["1", "1cross", "3.5"]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1", "4"], "unknown post-Newtonian term '4'.*1, 1cross, 2, 2.5"),
        (["1Cross"], "did you mean '1cross'"),
        (["1", "1"], "twice"),
        ("1", "list of names"),
        ([1], "unknown post-Newtonian term 1"),
    ],
)
def test_wrong_names_are_refused(names: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_terms(names)


def test_masks_out_of_range_are_refused() -> None:
    for bits in (-1, 512):
        with pytest.raises(InputError, match="from 0 to 511"):
            term_names(bits)


def test_validity_measures_the_acting_pairs() -> None:
    mass = np.array([1.0, 2.0, 5.0])
    x = np.array([[0, 0, 0], [3.0, 0, 0], [0, 0.1, 0]])
    v = np.array([[1.0, 0, 0], [1.0, 4.0, 0], [1.0, 0, 9.0]])
    acts = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=bool)
    found = validity(mass, x, v, G=2.0, c=10.0, acts=acts)
    assert found.velocity == pytest.approx(0.4) and found.potential == pytest.approx(2 * 3 / 3 / 100)
    assert found.pair == (0, 1)
    everything = validity(mass, x, v, G=2.0, c=10.0)
    assert everything.pair == (0, 2) and everything.potential == pytest.approx(2 * 6 / 0.1 / 100)
    nothing = validity(mass, x, v, G=2.0, c=10.0, acts=np.zeros((3, 3)))
    assert (nothing.velocity, nothing.potential, nothing.pair) == (0.0, 0.0, (-1, -1))
    with pytest.raises(InputError, match="validity needs"):
        validity(mass[:2], x, v, G=1.0, c=1.0)
