"""Spectra and diffusion with known answers."""

import numpy as np
import pytest
from askel.md.judging.dynamics import (
    LIGHT,
    diffusion,
    diffusion_green_kubo,
    diffusive,
    mean_squared_displacement,
    nyquist,
    overlap,
    own_overlap,
    peak_shifts,
    peaks,
    spectrum_length,
    vibrations,
)
from askel.md.judging.frames import make_frames, subsample
from askel.particles import InputError


def oscillators(wavenumbers=(500.0, 1200.0), frames=8000, interval=2.0, seed=0, jitter=10.0):
    """Pairs of atoms that vibrate against each other: hydrogen at the second wavenumber, oxygen at the first."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) * interval
    velocity = np.zeros((frames, 16, 3))
    for k in range(8):
        w = wavenumbers[k % 2] + jitter * rng.normal(size=3)
        one = 0.01 * np.cos(2 * np.pi * LIGHT * w * t[:, None] + rng.uniform(0, 7, 3))
        velocity[:, 2 * k], velocity[:, 2 * k + 1] = one, -one
    species = np.repeat([8, 1] * 4, 2)
    return make_frames(np.zeros_like(velocity), species, interval, velocity=velocity, mass=species * 1.0)


def walk(frames=4000, n=60, interval=2.0, scale=0.05, seed=0):
    """A random walk: D = scale^2/(2 interval) in every direction."""
    steps = np.random.default_rng(seed).normal(scale=scale, size=(frames, n, 3))
    x = np.cumsum(steps, axis=0)
    cell = 6.0 * np.eye(3)
    return make_frames(x % 6.0, [8] * n, interval, velocity=steps / interval, mass=np.ones(n), cell=cell)


def test_harmonic_oscillators_peak_at_their_wavenumbers():
    spectra = vibrations([oscillators(jitter=0.0)])
    for z, expected in ((8, 500.0), (1, 1200.0)):
        assert np.trapezoid(spectra[z].mean, spectra[z].x) == pytest.approx(1.0)
        found = peaks(spectra[z].x, spectra[z].mean)
        assert found == pytest.approx([expected], abs=1.0)
    assert spectra[1].x[-1] == pytest.approx(nyquist(2.0)) == pytest.approx(8339.1, abs=0.1)


def test_window_follows_the_wanted_resolution_and_the_length_of_the_runs():
    assert spectrum_length([oscillators()], 4.0) == 2000  # a quarter of the run
    assert spectrum_length([oscillators()], 40.0) == pytest.approx(417, abs=1)


def test_shift_of_a_peak_is_found_and_an_equal_one_is_not():
    reference = vibrations([oscillators()], window=2000)
    same = vibrations([oscillators(seed=5)], window=2000)
    moved = vibrations([oscillators((530.0, 1200.0), seed=6)], window=2000)
    (shift,) = peak_shifts(moved[8], reference[8])
    assert shift.shift == pytest.approx(30.0, abs=12.0)
    (still,) = peak_shifts(same[8], reference[8])
    assert abs(still.shift) < 12.0
    assert overlap(reference[8], reference[8]) == pytest.approx(1.0)
    assert overlap(moved[8], reference[8]) < overlap(same[8], reference[8])
    assert 0.9 < own_overlap(reference[8]) <= 1.0


def test_reference_thinned_to_the_stride_folds_as_the_stride_does():
    fine, stride = oscillators(frames=8000), 14.0
    coarse = make_frames(fine.position[::7], fine.species, stride, velocity=fine.velocity[::7], mass=fine.mass)
    thinned = subsample([fine], stride)
    assert nyquist(stride) < 1200.0
    one, other = vibrations([coarse], window=250), vibrations(thinned, window=250)
    folded = 2 * nyquist(stride) - 1200.0
    assert peaks(one[1].x, one[1].mean) == pytest.approx([folded], abs=15.0)
    assert overlap(one[1], other[1]) == pytest.approx(1.0)


def test_spectra_need_velocities_and_length():
    frames = oscillators(frames=50)
    with pytest.raises(InputError, match="shorter than the window of 99"):
        vibrations([frames], window=99)
    with pytest.raises(InputError, match="no velocities"):
        vibrations([make_frames(frames.position, frames.species, 1.0)], window=16)


def test_mean_squared_displacement_by_its_definition():
    frames = walk(50, 7)
    x = np.cumsum(frames.velocity * 2.0, axis=0)
    x = x - x.mean(axis=1, keepdims=True)
    expected = [0.0] + [np.mean(np.sum((x[k:] - x[:-k]) ** 2, axis=2)) for k in range(1, 50)]
    assert mean_squared_displacement(frames) == pytest.approx(np.array(expected), abs=1e-12)


def test_random_walk_diffuses_as_it_should():
    exact = 0.05**2 / (2 * 2.0) * 1e4 * (1 - 1 / 60)  # the centre of mass is held
    value, error = diffusion([walk(seed=k) for k in range(3)])
    assert abs(value - exact) < 4 * error
    assert 0.01 * exact < error < 0.2 * exact
    assert diffusion([walk()], 8)[0] == pytest.approx(diffusion([walk()])[0])
    by_velocity, spread = diffusion_green_kubo([walk(seed=k) for k in range(3)], longest=40.0)
    # the trapezoidal rule takes half of the first point, and a walk has no other
    assert abs(by_velocity - exact) < 5 * spread
    assert spread < 0.2 * exact


def test_liquids_flow_and_solids_do_not():
    assert diffusive([walk()])
    rng = np.random.default_rng(1)
    solid = make_frames(rng.normal(scale=0.1, size=(4000, 8, 3)), [29] * 8, 2.0, cell=6 * np.eye(3))
    assert not diffusive([solid])
