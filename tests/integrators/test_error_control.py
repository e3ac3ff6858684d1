import math

import numpy as np
import pytest
from askel.integrators import Capabilities, ErrorPerStep, Outcome, Simulation, Step
from askel.integrators.composition import leapfrog, yoshida6
from askel.integrators.conformance import ReferenceGravity, distance, kepler, same_bits
from askel.integrators.gauss_radau import GaussRadau
from askel.integrators.micro_steps import repeat
from askel.integrators.step_doubling import StepDoubling
from askel.particles import InputError, NumericalFailure

GRAVITY = ReferenceGravity()


class Drift:
    """Free motion; every step reports more work than the one before."""

    def __init__(self, strides=None):
        self.capabilities = Capabilities(order=None, strides=strides)

    def start(self, particles):
        return {"work": 0.0}

    def advance(self, particles, carry, dt):
        particles.position += dt * particles.velocity
        carry["work"] += 1.0
        return Step(dt, work=carry["work"])

    def synchronise(self, particles, carry):
        pass


def controlled(tolerance, **options):
    method = StepDoubling(yoshida6(GRAVITY), tolerance=tolerance)
    return Simulation(kepler(0.9), method, ErrorPerStep(6, 0.5), potential=GRAVITY, **options)


def test_step_doubling_under_error_control():
    errors, steps = [], []
    for tolerance in (1e-6, 1e-10):
        run = controlled(tolerance)
        steps.append(run.run(6.0).steps)
        errors.append(distance(run.particles, kepler(0.9, time=6.0)))
    assert 1e-9 < errors[1] < 1e-6 < errors[0] < 3e-1
    assert 2.0 < steps[1] / steps[0] < 6.0  # 10^(4/7) = 3.7


def test_error_control_restarts_bit_equal():
    unbroken, first, second = controlled(1e-8), controlled(1e-8), controlled(1e-8)
    count = iter(range(10**6))
    first.run(6.0, stop=lambda: next(count) == 20)
    second.load_state_dict(first.state_dict())
    assert unbroken.run(6.0).steps == second.run(6.0).steps > 20
    assert same_bits(unbroken.particles, second.particles)


def test_error_control_needs_an_error():
    with pytest.raises(InputError, match="wrap it in StepDoubling"):
        Simulation(kepler(0.1), leapfrog(GRAVITY), ErrorPerStep(2, 0.1)).run(1.0)


def test_error_control_that_cannot_meet_the_tolerance_fails_clearly():
    class Hopeless(Drift):
        def advance(self, particles, carry, dt):
            return Step(dt, error=1e6)

    run = Simulation(kepler(0.1), Hopeless(), ErrorPerStep(2, 0.1))
    with pytest.raises(NumericalFailure, match="step size fell below"):
        run.run(1.0)


def test_step_doubling_is_two_half_steps_and_its_error_has_the_right_order():
    method = StepDoubling(leapfrog(GRAVITY), tolerance=1e-6)
    errors = []
    for dt in (0.1, 0.05):
        particles, halves = kepler(0.3, time=1.0), kepler(0.3, time=1.0)
        errors.append(method.advance(particles, method.start(particles), dt).error)
        carry = method.inner.start(halves)
        for _ in range(2):
            method.inner.advance(halves, carry, dt / 2)
        assert same_bits(particles, halves)
    assert 2.8 < math.log2(errors[0] / errors[1]) < 3.2


def test_step_doubling_strides():
    assert StepDoubling(Drift(strides=(0.5, 1.0, 3.0)), tolerance=1.0).capabilities.strides == (1.0,)
    for inner in (Drift(strides=(1.0, 3.0)), GaussRadau(GRAVITY)):
        with pytest.raises(InputError, match="step doubling"):
            StepDoubling(inner, tolerance=1.0)


def test_step_doubling_error_is_that_of_its_result():
    start, dt = kepler(0.3, time=1.0), 0.02
    end, exact = start.clone(), kepler(0.3, time=1.0 + dt)
    method = StepDoubling(leapfrog(GRAVITY), tolerance=1e-6)
    error = method.advance(end, method.start(end), dt).error * 1e-6
    size = np.linalg.norm(end.position, axis=1) + dt * np.linalg.norm(end.velocity, axis=1)
    true = max(
        (np.linalg.norm(end.position - exact.position, axis=1) / size).max(),
        (np.linalg.norm(end.velocity - exact.velocity, axis=1) / np.linalg.norm(end.velocity, axis=1)).max(),
    )
    assert error == pytest.approx(true, rel=0.05)


def test_step_doubling_adds_the_work_of_both_halves():
    particles = kepler(0.3)
    method = StepDoubling(Drift(), tolerance=1.0)
    assert method.advance(particles, method.start(particles), 0.1).work == 3.0


def test_error_per_step_follows_its_formula():
    control = ErrorPerStep(3, 1.0)
    assert control.accept(Step(1.0, error=0.5), 1.0)
    first = 0.9 * 0.5 ** (-0.7 / 4)
    assert control.propose(-9.0) == pytest.approx(-first)
    assert control.accept(Step(1.0, error=0.25), 1.0)
    assert control.propose(9.0) == pytest.approx(0.9 * 0.25 ** (-0.7 / 4) * 0.5 ** (0.4 / 4))
    assert not control.accept(Step(1.0, error=16.0), 1.0)
    assert control.propose(9.0) == pytest.approx(0.9 / 2.0)
    assert not control.accept(Step(1.0, error=math.nan), 1.0)
    assert control.propose(9.0) == pytest.approx(0.2)


def test_micro_steps_fill_the_time_with_no_drift():
    done = []

    def micro_step(remaining):
        done.append(min(0.1, remaining))
        return done[-1], Outcome.COMPLETED

    particles = kepler(0.1)
    elapsed, outcome = repeat(micro_step, particles, 1000.0, 20_000)
    assert (elapsed, outcome, particles.time) == (1000.0, Outcome.COMPLETED, 1000.0)
    assert len(done) == 10_000 and done[-1] == pytest.approx(0.1, rel=1e-11)
