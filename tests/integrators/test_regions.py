"""Regions: force steps for a few among the paths of the others; conformance, seams, momentum, images."""

import numpy as np
import pytest
from askel.integrators import Fixed, Outcome, Simulation, conformance
from askel.integrators.composition import leapfrog, yoshida8
from askel.integrators.interaction import Evaluation
from askel.integrators.regions import ForceSteps, Path, Regions, neighbourhood, restore_momentum
from askel.particles import InputError, Particles


class Springs:
    """All pairs joined by springs of no length and stiffness 0.3: momentum is conserved."""

    provides = frozenset({"acceleration", "potential_energy"})
    velocity_dependent = False

    def __init__(self):
        self.seen = []

    def evaluate(self, particles, out):
        self.seen.append(particles.n)
        x = particles.position
        out.acceleration[...] = 0.3 * (x.sum(0) - particles.n * x) / particles.mass[:, None]
        out.potential_energy = 0.15 * float(np.sum((x[:, None] - x[None]) ** 2)) / 2.0


def state(n=6, seed=3):
    rng = np.random.default_rng(seed)
    return Particles(rng.uniform(1.0, 3.0, n), rng.normal(size=(n, 3)), rng.normal(size=(n, 3)))


def few(before, after, dt):
    return before.identity < 2


def make(step=0.01, momentum="restored"):
    return Regions(leapfrog(Springs()), ForceSteps(Springs(), step, momentum=momentum), few)


def exact(particles, dt):
    return conformance.evolved(lambda: yoshida8(Springs()), particles, dt / 50, 50)


def test_conformance():
    s, dt = state(), 0.1
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    assert conformance.zero_step_is_identity(make, s, dt)
    assert conformance.synchronise_is_harmless(make, s, dt)
    assert conformance.lands_exactly(make, s, dt)
    assert conformance.time_translation_defect(make, s, dt, 1e3) < 1e-12
    assert conformance.permutation_defect(make, s, dt, [3, 1, 0, 5, 4, 2]) < 1e-12
    assert conformance.rotation_defect(make, s, dt, turn) < 1e-12
    assert conformance.translation_defect(make, s, dt, np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.0, -0.3])) < 1e-12
    assert conformance.membership_defect(make, s, dt, (0, 2, 3)) < 1e-14


def test_restart_is_bit_equal():
    assert conformance.restart_is_bit_equal(lambda: Simulation(state(), make(), Fixed(0.1)), 0.5, 1.0)


def test_order():
    def error(h):
        out = conformance.evolved(lambda: make(step=h), state(), h, round(1.6 / h))
        return conformance.distance(out, exact(state(), 1.6))

    assert 3.4 < error(0.1) / error(0.05) < 4.6  # second order, inner step = outer step


def test_the_region_gets_better_and_nobody_else_worse():
    s, dt = state(), 0.2
    truth, bare = exact(s, dt), conformance.evolved(lambda: leapfrog(Springs()), s, dt)
    repaired = conformance.evolved(make, s, dt)

    def error(one, rows):
        return float(np.abs(one.position - truth.position)[rows].max())

    assert error(repaired, slice(0, 2)) < 0.2 * error(bare, slice(0, 2))
    assert error(repaired, slice(2, None)) < 1.2 * error(bare, slice(2, None))


def test_nobody_selected_is_the_outer_propagator_to_the_last_bit():
    nobody = Regions(leapfrog(Springs()), ForceSteps(Springs(), 0.01), lambda b, a, dt: np.zeros(b.n, bool))
    one = conformance.evolved(lambda: nobody, state(), 0.1, 5)
    assert conformance.same_bits(one, conformance.evolved(lambda: leapfrog(Springs()), state(), 0.1, 5))


def test_everybody_selected_is_velocity_verlet():
    s = state()
    after = s.clone()
    springs = Springs()
    step = ForceSteps(springs, 0.03).redo(s, after, np.ones(s.n, bool), 0.1)
    fine = conformance.evolved(lambda: leapfrog(Springs()), s, 0.1 / 4, 4)
    assert conformance.distance(after, fine) < 1e-15
    assert (step.elapsed, step.statistics) == (0.1, {"force_steps": 4.0, "evaluations": 5.0})
    assert springs.seen == [6] * 5


@pytest.mark.parametrize(("momentum", "low", "high"), [("restored", 0.0, 1e-14), ("free", 1e-6, 1.0)])
def test_total_momentum(momentum, low, high):
    s = state()
    out = conformance.evolved(lambda: make(momentum=momentum), s, 0.3)
    defect = np.abs(s.mass @ (out.velocity - s.velocity)).max()
    (x, v), (y, _) = s.centre_of_mass(), out.centre_of_mass()
    assert low <= defect < high
    assert low <= np.abs(y - x - 0.3 * v).max() < high


def test_restoring_changes_no_relative_motion():
    s, out = state(), state(seed=4)
    out.mass[...] = s.mass
    moved = out.clone()
    restore_momentum(s, moved, 0.7)
    assert np.ptp(moved.position - out.position, axis=0).max() < 1e-14
    assert np.ptp(moved.velocity - out.velocity, axis=0).max() < 1e-14
    assert np.abs(s.mass @ (moved.velocity - s.velocity)).max() < 1e-14


def test_a_path_is_exact_for_cubics_and_of_fourth_order():
    def at(t, power):
        return Particles([1.0], [[t**power, t, 1.0]], [[power * t ** (power - 1), 1.0, 0.0]])

    cubic = Path(at(0.5, 3), at(1.5, 3), 1.0)
    assert np.abs(cubic.position(0.3) - at(0.8, 3).position).max() < 1e-15
    assert np.abs(cubic.position(1.0) - at(1.5, 3).position).max() < 1e-15
    quartic = Path(at(0.0, 4), at(2.0, 4), 2.0)
    assert np.abs(quartic.position(0.5) - at(1.0, 4).position).max() == pytest.approx(2.0**4 / 384 * 24, rel=1e-12)


def test_a_failure_leaves_the_state_before():
    class Broken(Springs):
        def evaluate(self, particles, out):
            super().evaluate(particles, out)
            out.acceleration[0] = np.nan

    regions = Regions(leapfrog(Springs()), ForceSteps(Broken(), 0.01), few)
    s = state()
    twin = s.clone()
    step = regions.advance(s, regions.start(s), 0.1)
    assert (step.outcome, step.elapsed) == (Outcome.NOT_FINITE, 0.0)
    assert 0 in step.identities
    assert conformance.same_bits(s, twin)


@pytest.mark.parametrize("periodic", [(True, True, True), (True, False, True), (False, False, False)])
@pytest.mark.parametrize("radius", [0.3, 1.7, 6.0])
def test_neighbourhoods_are_those_of_a_search_over_many_images(periodic, radius):
    rng = np.random.default_rng(2)
    cell = np.array([[4.0, 0.0, 0.0], [1.5, 5.0, 0.0], [-2.0, 1.0, 4.5]])
    x = rng.uniform(-9.0, 9.0, (60, 3))  # not wrapped
    s = Particles(np.ones(60), x, np.zeros((60, 3)), cell=cell, periodic=periodic)
    rows = np.zeros(60, bool)
    rows[[3, 40]] = True
    most = [range(-9, 10) if p else range(1) for p in periodic]
    shifts = np.array([[a, b, c] for a in most[0] for b in most[1] for c in most[2]]) @ cell
    near = [(np.linalg.norm(x - x[k] + t, axis=1) <= radius) for k in (3, 40) for t in shifts]
    found = neighbourhood(s, rows, radius)
    assert np.array_equal(found, np.any(near, axis=0))
    assert found[rows].all()


def test_a_buffer_shows_the_interaction_its_part_alone():
    s, springs = state(), Springs()
    s.position[...] = np.outer(np.arange(6), [1.0, 0.0, 0.0])
    after = s.clone()
    ForceSteps(springs, 0.05, buffer=1.5).redo(s, after, s.identity < 2, 0.1)
    assert springs.seen == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"step": 0.0}, "step"), ({"buffer": -1.0}, "buffer"), ({"momentum": "lost"}, "'restored' or 'free'")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ForceSteps(Springs(), **{"step": 0.1, **options})


def test_an_evaluation_is_overwritten():
    out = Evaluation(6)
    Springs().evaluate(state(), out)
    assert np.abs(state().mass @ out.acceleration).max() < 1e-14
