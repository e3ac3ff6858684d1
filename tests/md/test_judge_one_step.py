"""One-step errors, baselines and the reversibility defect, on exact harmonic motion."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB
from askel.md.judging.ase_bonds import frames_from_atoms
from askel.md.judging.frames import make_frames
from askel.md.judging.model import judge_one_step
from askel.md.judging.one_step import (
    ballistic,
    baseline_errors,
    predict,
    reversibility_defect,
    step_errors,
    step_pairs,
    velocity_verlet,
)
from askel.particles import InputError

OMEGA = 2 * np.pi / 40.0  # rad/fs


def rotated(h, x, v):
    c, s = np.cos(OMEGA * h), np.sin(OMEGA * h)
    return c * x + s / OMEGA * v, c * v - OMEGA * s * x


def orbit(frames=60, interval=0.5, n=6, seed=0):
    """Independent harmonic oscillators with the forces that make them go round."""
    rng = np.random.default_rng(seed)
    x0, v0 = 0.1 * rng.normal(size=(2, n, 3)) * np.array([1.0, OMEGA])[:, None, None]
    states = [rotated(k * interval, x0, v0) for k in range(frames)]
    x, v = (np.stack([s[i] for s in states]) for i in (0, 1))
    mass = np.array([1.0, 16.0] * (n // 2))
    from askel.md.model_units import KINETIC

    forces = -(OMEGA**2) * mass[:, None] * KINETIC * x
    return make_frames(x, [1, 8] * (n // 2), interval, velocity=v, mass=mass, forces=forces)


def exact(species, mass, x, v, cell, periodic, h):
    new, velocity = rotated(h, x, v)
    return new - x, velocity


def damped(species, mass, x, v, cell, periodic, h):
    new, velocity = rotated(h, x, v)
    return new - x, 0.9 * velocity


def test_exact_model_has_no_error_and_no_defect():
    pairs = step_pairs([orbit(), orbit(seed=1)], 5.0, most=40)
    assert len(pairs) == 40
    for error in step_errors(predict(exact, pairs), pairs):
        assert error.displacement < 1e-7
        assert error.velocity < 1e-7
    assert max(reversibility_defect(exact, pairs)) < 1e-12
    position, velocity = reversibility_defect(damped, pairs)
    assert 0.01 < position < 0.5
    assert velocity == pytest.approx(0.17, abs=0.05)  # less than 1 - 0.9^2


def test_errors_have_the_stated_size_and_unit():
    pairs = step_pairs([orbit()], 5.0)
    noise = 1e-4 * np.random.default_rng(1).normal(size=pairs.displacement.shape)
    whole, hydrogen, oxygen = step_errors((pairs.displacement + noise, pairs.new_velocity + 2e-5), pairs)
    assert (whole.element, hydrogen.element, oxygen.element) == (None, 1, 8)
    assert whole.displacement == pytest.approx(1e-4 * np.sqrt(2 / np.pi) * 1e5, rel=0.1)
    assert whole.velocity == pytest.approx(2.0)
    assert whole.displacement_relative == pytest.approx(1e-5 * whole.displacement / np.abs(pairs.displacement).mean())
    assert whole.velocity_error < 1e-9
    assert 0.0 < whole.displacement_error < 0.2 * whole.displacement


def test_baselines_have_their_orders():
    """Free flight misses by h^2, velocity Verlet by h^3 (position) and h^3 (velocity, with the true end's force)."""
    found = {h: baseline_errors(step_pairs([orbit(interval=0.25)], h)) for h in (1.0, 2.0)}
    assert list(found[1.0]) == ["zero", "ballistic", "velocity Verlet"]
    for name, order in (("ballistic", 2), ("velocity Verlet", 3)):
        one, two = (found[h][name][0].displacement for h in (1.0, 2.0))
        assert np.log2(two / one) == pytest.approx(order, abs=0.25)
    assert found[1.0]["zero"][0].displacement_relative == pytest.approx(1.0)
    assert np.array_equal(ballistic(step_pairs([orbit()], 1.0))[1], step_pairs([orbit()], 1.0).velocity)


def test_velocity_verlet_of_a_trajectory_made_by_velocity_verlet_is_exact():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    rng = np.random.default_rng(0)
    atoms.set_velocities(rng.normal(size=(32, 3)) * np.sqrt(300 * kB / atoms.get_masses())[:, None])
    found, forces = [], []

    def keep():
        image = atoms.copy()
        found.append(image)
        forces.append(atoms.get_forces())

    run = VelocityVerlet(atoms, 4 * fs)
    run.attach(keep)
    run.run(5)
    frames = frames_from_atoms(found, interval=4.0)
    with_forces = make_frames(
        frames.position,
        frames.species,
        4.0,
        velocity=frames.velocity,
        mass=frames.mass,
        cell=frames.cell,
        forces=forces,
    )
    pairs = step_pairs([with_forces], 4.0)
    displacement, velocity = velocity_verlet(pairs)
    assert np.abs(displacement - pairs.displacement).max() < 1e-8
    assert np.abs(velocity - pairs.new_velocity).max() < 1e-9
    assert velocity_verlet(step_pairs([frames], 4.0)) is None


def test_user_mistakes():
    with pytest.raises(InputError, match="not a multiple of the"):
        step_pairs([orbit()], 1.3)
    with pytest.raises(InputError, match="no run is longer than the stride"):
        step_pairs([orbit(4)], 5.0)
    bare = make_frames(orbit().position, orbit().species, 0.5)
    with pytest.raises(InputError, match="no velocities"):
        step_pairs([bare], 1.0)


def test_table_of_one_step():
    found = judge_one_step(exact, step_pairs([orbit()], 5.0))
    assert found.passed
    assert found.find("displacement H").verdict == "pass"
    assert found.find("displacement (ballistic)").value > 1.0
    wrong = judge_one_step(lambda *a: (-10 * a[3] * a[6], a[3]), step_pairs([orbit()], 5.0))
    assert wrong.find("displacement all atoms").verdict == "fail"
