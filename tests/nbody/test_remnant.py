"""Remnants of black-hole mergers: published values, limits and symmetries."""

from typing import Any

import numpy as np
import pytest
from askel.nbody.remnant import FITS, Remnant, kerr_isco, merger_remnant
from askel.particles.errors import InputError

G, C = 4.30091e-3, 299792.458  # pc, Msun, km/s
FIT_NAMES = list(FITS)


def merge(
    q: float = 1.0,
    chi1: Any = (0, 0, 0),
    chi2: Any = (0, 0, 0),
    *,
    fit: str = FIT_NAMES[0],
    phase: float = 0.0,
    turn: Any = None,
    swap: bool = False,
    units: tuple[float, float] = (G, C),
) -> Remnant:
    """Merger of m1 = q, m2 = 1 on an anticlockwise orbit in the xy plane; hole 1 is at the angle `phase`."""
    g, c = units
    mass = np.array([q, 1.0])
    towards = np.array([np.cos(phase), np.sin(phase), 0.0])
    around = np.array([-np.sin(phase), np.cos(phase), 0.0])
    share = np.array([[mass[1]], [-mass[0]]]) / mass.sum()
    size = 12 * g * mass.sum() / c**2
    position = share * towards * size
    velocity = share * around * np.sqrt(g * mass.sum() / size)
    spin = np.array([chi1, chi2]) * (g * mass**2 / c)[:, None]
    if turn is not None:
        position, velocity, spin = position @ turn.T, velocity @ turn.T, spin @ turn.T
    order = slice(None, None, -1) if swap else slice(None)
    return merger_remnant(mass[order], position[order], velocity[order], spin[order], G=g, c=c, fit=fit)


def chi(remnant: Remnant) -> float:
    return float(np.linalg.norm(remnant.spin) * C / (G * remnant.mass**2))


def speed(remnant: Remnant) -> float:
    return float(np.linalg.norm(remnant.kick))


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_equal_masses_without_spin(fit: str) -> None:
    """Final spin 0.68646, radiated 4.84 % (Scheel et al. 2009, arXiv:0810.1767), no recoil by symmetry."""
    remnant = merge(fit=fit)
    assert 0.6862 < chi(remnant) < 0.6869
    assert 0.0478 < 1 - remnant.mass / 2 < 0.0488
    assert speed(remnant) == 0
    np.testing.assert_allclose(remnant.spin[:2], 0, atol=1e-12 * remnant.spin[2])
    assert remnant.spin[2] > 0 and remnant.fit == fit


@pytest.mark.parametrize("fit", FIT_NAMES)
@pytest.mark.parametrize(
    ("aligned", "final", "radiated"),
    [(0.97, 0.945, 0.1095), (-0.95, 0.3757, 0.0319), (0.44, 0.814, 0.0630)],
)
def test_equal_aligned_spins(fit: str, aligned: float, final: float, radiated: float) -> None:
    """Simulations of Lovelace et al. 2011, 2012 and Chu et al. 2009 (arXiv:1010.2777, 1110.2229, 0909.1313)."""
    remnant = merge(1.0, (0, 0, aligned), (0, 0, aligned), fit=fit)
    assert final - 0.006 < chi(remnant) < final + 0.006
    assert 0.96 * radiated < 1 - remnant.mass / 2 < 1.04 * radiated


@pytest.mark.parametrize("fit", FIT_NAMES)
@pytest.mark.parametrize(
    ("q", "final", "radiated"), [(1 / 2, 0.6234, 0.0388), (1 / 4, 0.4716, 0.0221), (1 / 6, 0.3725, 0.0144)]
)
def test_unequal_masses_without_spin(fit: str, q: float, final: float, radiated: float) -> None:
    """Buchman et al. 2012 (arXiv:1206.3015)."""
    remnant = merge(q, fit=fit)
    assert final - 0.002 < chi(remnant) < final + 0.002
    assert 0.97 * radiated < 1 - remnant.mass / (1 + q) < 1.03 * radiated


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_test_particle_radiates_its_isco_binding_energy(fit: str) -> None:
    q = 1e-4
    radiated = 1 - merge(q, fit=fit).mass / (1 + q)
    eta = q / (1 + q) ** 2
    assert 0.99 < radiated / (eta * (1 - np.sqrt(8 / 9))) < 1.01
    assert 0.99 < chi(merge(q, fit=fit)) / (2 * np.sqrt(3) * eta) < 1.01


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_large_hole_keeps_its_spin(fit: str) -> None:
    tilted = np.array([0.3, 0.0, 0.4])
    remnant = merge(1e-6, chi2=tilted, fit=fit)
    assert 0.499 < chi(remnant) < 0.501
    np.testing.assert_allclose(remnant.spin / np.linalg.norm(remnant.spin), tilted / 0.5, atol=1e-3)


def test_isco_of_kerr() -> None:
    np.testing.assert_allclose(kerr_isco(0.0), (np.sqrt(8 / 9), 2 * np.sqrt(3)), rtol=1e-14)
    np.testing.assert_allclose(kerr_isco(1.0), (1 / np.sqrt(3), 2 / np.sqrt(3)), rtol=1e-12)
    np.testing.assert_allclose(kerr_isco(-1.0)[0], np.sqrt(1 - 2 / 27), rtol=1e-12)


@pytest.mark.parametrize("fit", FIT_NAMES)
@pytest.mark.parametrize("q", [1.0, 0.7, 1 / 3])
def test_labels_do_not_matter_and_vectors_turn_with_the_frame(fit: str, q: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(10):
        chi1, chi2 = rng.uniform(-0.55, 0.55, (2, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.linalg.det(turn)
        phase = rng.uniform(0, 6)
        plain = merge(q, chi1, chi2, fit=fit, phase=phase)
        swapped = merge(q, chi1, chi2, fit=fit, phase=phase, swap=True)
        turned = merge(q, chi1, chi2, fit=fit, phase=phase, turn=turn)
        assert speed(plain) > 1
        for other, matrix in ((swapped, np.eye(3)), (turned, turn)):
            np.testing.assert_allclose(other.mass, plain.mass, rtol=1e-13)
            np.testing.assert_allclose(other.spin, matrix @ plain.spin, atol=1e-12 * np.max(np.abs(plain.spin)))
            np.testing.assert_allclose(other.kick, matrix @ plain.kick, atol=1e-9 * speed(plain))


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_result_scales_with_the_units(fit: str) -> None:
    spins = (0.2, 0.1, 0.3), (0.0, -0.4, 0.1)
    usual, geometric = merge(0.6, *spins, fit=fit), merge(0.6, *spins, fit=fit, units=(1.0, 1.0))
    np.testing.assert_allclose(usual.kick / C, geometric.kick, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(usual.mass, geometric.mass, rtol=1e-12)
    np.testing.assert_allclose(usual.spin * C / G, geometric.spin, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_largest_recoil_of_masses_alone(fit: str) -> None:
    """175 km/s at eta = 0.195 (Gonzalez et al. 2007, arXiv:gr-qc/0610154), in the orbital plane."""
    speeds = {q: speed(merge(q, fit=fit)) for q in (0.2, 0.3, 0.36, 0.45, 0.6, 0.99)}
    assert max(speeds, key=lambda q: speeds[q]) == 0.36
    assert 170 < speeds[0.36] < 180
    assert speeds[0.99] < 8
    assert abs(merge(0.36, fit=fit).kick[2]) < 1e-9


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_superkick_and_hangup_kick(fit: str) -> None:
    """Opposite in-plane spins: about 3680 km/s; tilted to 50 degrees: near 5000 km/s (arXiv:1108.2009)."""

    def largest(tilt: float) -> float:
        chi1 = np.array([np.sin(tilt), 0.0, np.cos(tilt)])
        chi2 = np.array([-np.sin(tilt), 0.0, np.cos(tilt)])
        kicks = [merge(1.0, chi1, chi2, fit=fit, phase=phase).kick[2] for phase in np.linspace(0, 2 * np.pi, 73)]
        assert min(kicks) < -0.99 * max(kicks)  # the sign follows the orbital phase
        return max(kicks)

    assert 3670 < largest(np.pi / 2) < 3685
    tilts = np.radians(np.arange(20, 91, 5))
    hangup = [largest(tilt) for tilt in tilts]
    assert 4600 < max(hangup) < 5200
    assert 40 < np.degrees(tilts[int(np.argmax(hangup))]) < 65


@pytest.mark.parametrize("fit", FIT_NAMES)
def test_recoil_of_opposite_aligned_spins(fit: str) -> None:
    """Equal masses, chi = +-0.8 along L: 335 to 375 km/s in the plane (arXiv:gr-qc/0701164, 0709.0093)."""
    assert 320 < speed(merge(1.0, (0, 0, 0.8), (0, 0, -0.8), fit=fit)) < 390


def test_both_fits_agree_on_how_spins_and_masses_combine() -> None:
    """The heavier hole's aligned spin works against the recoil of the masses: a sign that is easily lost."""
    for fit in FIT_NAMES:
        against = speed(merge(0.5, (0, 0, 0), (0, 0, 0.3), fit=fit))
        along = speed(merge(0.5, (0, 0, 0), (0, 0, -0.3), fit=fit))
        assert 1.7 < along / against < 6
    for q, a1, a2 in [(0.9, 0.3, 0.1), (0.5, -0.3, 0.2), (0.3, 0.5, 0.5), (0.7, 0.0, -0.6)]:
        first, second = (merge(q, (0, 0, a1), (0, 0, a2), fit=fit) for fit in FIT_NAMES)
        assert 0 < abs(chi(first) - chi(second)) < 0.01
        assert 0 < abs(first.mass - second.mass) < 0.004
        assert abs(speed(first) - speed(second)) < 60


def test_head_on_pair_is_added_up() -> None:
    position = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    remnant = merger_remnant([1, 2], position, -position, np.full((2, 3), 0.1), G=1, c=1)
    assert remnant.mass == 3 and np.all(remnant.kick == 0)
    np.testing.assert_allclose(remnant.spin, 0.2)


def test_bad_input_is_refused() -> None:
    good: dict[str, Any] = {
        "mass": np.ones(2), "position": np.eye(2, 3), "velocity": np.eye(2, 3, 1), "spin": np.zeros((2, 3)),
    }  # fmt: skip
    cases: list[tuple[dict[str, Any], str]] = [
        ({"fit": "nobody-2000"}, "zlochower-lousto-2015"),
        ({"mass": np.array([1.0, 0.0])}, "positive"),
        ({"mass": np.ones(3)}, r"\(3,\)"),
        ({"position": np.zeros((2, 3))}, "one place"),
        ({"velocity": np.full((2, 3), np.nan)}, "finite"),
        ({"spin": np.full((2, 3), 0.7)}, "chi = 1.212"),
    ]
    for change, message in cases:
        with pytest.raises(InputError, match=message):
            merger_remnant(**{**good, **change}, G=1.0, c=1.0)
