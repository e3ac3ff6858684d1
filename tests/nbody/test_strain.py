"""Strain of known sources, and Peters' decay against independent integration."""

import math
from typing import Any

import numpy as np
import pytest
from askel.nbody.orbits import OrbitalElements, binary_state
from askel.nbody.strain import (
    peters_merger_time,
    peters_rates,
    peters_semi_major_axis,
    polarisation_axes,
    strain,
)
from askel.particles.errors import InputError
from scipy.integrate import quad, solve_ivp

Array = np.ndarray[Any, np.dtype[np.float64]]
G, C = 1.3, 7.0
MASS = np.array([2.0, 0.7])


def orbit(elements: OrbitalElements) -> tuple[Array, Array, Array]:
    position, velocity = binary_state(MASS, elements, G=G)
    separation = position[0] - position[1]
    pull = -G * separation / np.linalg.norm(separation) ** 3
    return position, velocity, np.array([MASS[1] * pull, -MASS[0] * pull])


def circle(phase: float, inclination: float = 0.0, a: float = 3.0) -> tuple[Array, Array, Array]:
    return orbit(OrbitalElements(a, 0.0, inclination, 0.0, 0.0, phase))


@pytest.mark.parametrize("phase", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("tilt", [0.0, 0.6, math.pi / 2, 2.5])
def test_circular_binary_seen_at_an_angle(phase: float, tilt: float) -> None:
    """h+ = -(2 G mu/(c^4 D)) v^2 (1 + cos^2 i) cos 2 phi and hx = -(4 G mu/(c^4 D)) v^2 cos i sin 2 phi."""
    a, distance = 3.0, 50.0
    sight = [0.0, -math.sin(tilt), math.cos(tilt)]  # p = x: the line of nodes
    plus, cross = strain(MASS, *circle(phase, a=a), distance=distance, line_of_sight=sight, G=G, c=C)
    scale = 2 * G * MASS.prod() / MASS.sum() * (G * MASS.sum() / a) / (C**4 * distance)
    assert plus == pytest.approx(-scale * (1 + math.cos(tilt) ** 2) * math.cos(2 * phase), rel=1e-12, abs=1e-15 * scale)
    assert cross == pytest.approx(-2 * scale * math.cos(tilt) * math.sin(2 * phase), rel=1e-12, abs=1e-12 * scale)


def test_strain_is_the_second_derivative_of_the_quadrupole() -> None:
    elements = [OrbitalElements(2.0, 0.6, 0.7, 0.2, 1.1, 0.9 + shift) for shift in (-1e-4, 0.0, 1e-4)]
    step = 1e-4 / math.sqrt(G * MASS.sum() / 8)
    sight = np.array([0.3, 0.5, -0.8])
    p, q = polarisation_axes(sight)

    def moment(position: Array) -> Array:
        return np.einsum("n,ni,nj->ij", MASS, position, position)

    before, now, after = (moment(orbit(element)[0]) for element in elements)
    second = (before - 2 * now + after) / step**2
    plus, cross = strain(MASS, *orbit(elements[1]), distance=4.0, line_of_sight=sight, G=G, c=C)
    assert plus == pytest.approx(G / (C**4 * 4) * (p @ second @ p - q @ second @ q), rel=1e-6)
    assert cross == pytest.approx(2 * G / (C**4 * 4) * (p @ second @ q), rel=1e-6)


def test_many_times_at_once_and_a_moving_source() -> None:
    states = [circle(phase, 0.4) for phase in np.linspace(0, 6, 7)]
    x, v, a = (np.array(values) for values in zip(*states, strict=True))
    plus, cross = strain(MASS, x, v, a, distance=10.0, line_of_sight=[1, 2, 3])
    assert plus.shape == cross.shape == (7,)
    single = strain(MASS, *states[3], distance=10.0, line_of_sight=[2, 4, 6])
    np.testing.assert_allclose(single, (plus[3], cross[3]), rtol=1e-13)
    far, drift = np.array([100.0, -50.0, 20.0]), np.array([3.0, 2.0, 1.0])
    moved = strain(MASS, x + far, v + drift, a + 0.3, distance=10.0, line_of_sight=[1, 2, 3])
    np.testing.assert_allclose(moved, (plus, cross), rtol=1e-9, atol=1e-10 * np.max(np.abs(plus)))


@pytest.mark.parametrize("sight", [(0, 0, 1), (0, 0, -2), (1, 0, 0), (0.3, -0.4, 0.5)])
def test_axes_are_right_handed(sight: tuple[float, float, float]) -> None:
    p, q = polarisation_axes(sight)
    np.testing.assert_allclose(np.cross(p, q), np.array(sight) / np.linalg.norm(sight), atol=1e-15)
    assert p[2] == 0 and p @ q == pytest.approx(0, abs=1e-15)


def test_radiated_power_is_peters_decay() -> None:
    """Energy flux of the strain over the sphere and the orbit = -dE/dt from da/dt; momentum fixes de/dt likewise.

    dE/dt = G/(5 c^5) <d3Q_ij d3Q_ij> of the trace-free moment, with the strain giving d2Q on six lines of sight.
    """
    a, e = 2.0, 0.5
    rate = math.sqrt(G * MASS.sum() / a**3)

    def second(mean_anomaly: float) -> Array:
        x, v, acc = orbit(OrbitalElements(a, e, 0.3, 0.1, 0.2, mean_anomaly))
        p = [strain(MASS, x, v, acc, distance=1.0, line_of_sight=axis, G=G, c=C) for axis in np.eye(3)]
        # N = x: p = y, q = z; N = y: p = -x, q = z; N = z: p = x, q = y. Off-diagonals from the crosses.
        xy, xz, yz = p[2][1] / 2, -p[1][1] / 2, p[0][1] / 2
        yy_zz, xx_zz, xx_yy = p[0][0], p[1][0], p[2][0]
        xx, yy, zz = (xx_zz + xx_yy) / 3, (yy_zz - xx_yy) / 3, -(xx_zz + yy_zz) / 3
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * C**4 / G

    h, power, torque = 1e-4, [], []
    for mean_anomaly in np.arange(256) * 2 * math.pi / 256:
        low, now, high = (second(mean_anomaly + shift) for shift in (-h, 0.0, h))
        third = (high - low) / (2 * h) * rate
        power.append(G / (5 * C**5) * np.sum(third**2))
        spin = now @ third
        twist = [spin[1, 2] - spin[2, 1], spin[2, 0] - spin[0, 2], spin[0, 1] - spin[1, 0]]
        torque.append(2 * G / (5 * C**5) * np.array(twist))
    a_rate, e_rate = peters_rates(*MASS, a, e, G=G, c=C)
    reduced, total = MASS.prod() / MASS.sum(), MASS.sum()
    energy_rate = G * MASS.prod() / (2 * a**2) * a_rate
    momentum = reduced * math.sqrt(G * total * a * (1 - e**2))
    momentum_rate = momentum * (a_rate / (2 * a) - e * e_rate / (1 - e**2))
    assert np.mean(power) == pytest.approx(-energy_rate, rel=1e-6)
    assert np.linalg.norm(np.mean(torque, axis=0)) == pytest.approx(-momentum_rate, rel=1e-6)


@pytest.mark.parametrize("e", [0.05, 0.3, 0.7, 0.95])
def test_merger_time_equals_the_integrated_rates(e: float) -> None:
    """d(a, e)/dt integrated down to a tiny a, where the circular formula takes over."""
    m1, m2, a = 1.5, 0.4, 80.0

    def slope(log_a: float, y: Array) -> Array:
        size = math.exp(log_a)
        inner = math.exp(y[1])
        a_rate, e_rate = peters_rates(m1, m2, size, inner, G=G, c=C)
        return np.array([size / a_rate / circular, e_rate * size / (a_rate * inner)])

    circular = 5 / 256 * C**5 * a**4 / (G**3 * m1 * m2 * (m1 + m2))
    end = math.log(a) - 12
    run = solve_ivp(slope, (math.log(a), end), [0.0, math.log(e)], rtol=1e-11, atol=1e-14, method="DOP853")
    time, last_e = run.y[0, -1], math.exp(run.y[1, -1])
    assert peters_merger_time(m1, m2, a, e, G=G, c=C) == pytest.approx(time * circular, rel=1e-9)
    assert peters_semi_major_axis(last_e, a, e) == pytest.approx(math.exp(end), rel=1e-8)


@pytest.mark.parametrize("one_minus", [1 - 1e-5, 0.9, 0.5001, 0.4999, 0.1, 1e-3, 1e-6])
def test_merger_time_integral_is_accurate(one_minus: float) -> None:
    """Peters (5.14) by adaptive quadrature in the plain variable."""
    e = 1 - one_minus

    def integrand(y: float) -> float:
        inner = -math.expm1(-y)
        smooth = (1 + 121 / 304 * inner**2) ** (1181 / 2299) / (math.exp(-y) * (1 + inner)) ** 1.5
        return inner ** (29 / 19) * smooth * math.exp(-y)

    limit = -math.log1p(-e)
    integral, _ = quad(integrand, 0, limit, epsabs=0, epsrel=1e-12, limit=400)
    factor = 48 / 19 * integral * (1 - e * e) ** 4 / (e ** (48 / 19) * (1 + 121 / 304 * e * e) ** (3480 / 2299))
    circular = 5 / 256 / 0.25
    assert peters_merger_time(0.5, 0.5, 1.0, e) == pytest.approx(circular * factor, rel=2e-11)


def test_merger_time_limits() -> None:
    """Circular value, continuity next to it, and T -> (768/425) T_c (1-e^2)^(7/2) as e -> 1 (Peters 1964, p. B1231)."""
    circular = 5 / 256 * C**5 * 30.0**4 / (G**3 * 0.6 * 0.3 * 0.9)
    assert peters_merger_time(0.6, 0.3, 30.0, 0.0, G=G, c=C) == pytest.approx(circular, rel=1e-15)
    assert peters_merger_time(0.6, 0.3, 30.0, 1e-7, G=G, c=C) == pytest.approx(circular, rel=1e-12)
    e = 1 - 1e-8
    thin = 768 / 425 * circular * (1 - e * e) ** 3.5
    assert 0.999 < peters_merger_time(0.6, 0.3, 30.0, e, G=G, c=C) / thin < 1.001


def test_bad_input_is_refused() -> None:
    x, v, a = circle(0.0)
    with pytest.raises(InputError, match="distance"):
        strain(MASS, x, v, a, distance=0.0)
    with pytest.raises(InputError, match="line of sight"):
        strain(MASS, x, v, a, distance=1.0, line_of_sight=(0, 0, 0))
    with pytest.raises(InputError, match=r"\(3,\)"):
        strain(np.ones(3), x, v, a, distance=1.0)
    for arguments in [(0.0, 1.0, 1.0, 0.1), (1.0, 1.0, -1.0, 0.1), (1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, -0.1)]:
        with pytest.raises(InputError, match="decaying"):
            peters_merger_time(*arguments)
    with pytest.raises(InputError, match="between 0 and 1"):
        peters_semi_major_axis(0.0, 1.0, 0.5)
