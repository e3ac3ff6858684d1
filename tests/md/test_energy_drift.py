"""The sum of energy defects: predicted shift of the temperature, its removal, and what it leaves alone."""

import math

import numpy as np
import pytest
import ring_engine as double
from askel.integrators import Fixed, Simulation, conformance
from askel.md.energy_drift import TYPICAL_DRIFT, EnergyDrift
from askel.md.error_control import ErrorControlled
from askel.md.estimators import EnergyDefect, ReversibilityDefect, TrainingRange
from askel.md.fallback import Fallback
from askel.md.stride import LearnedStride
from askel.md.temperature import boltzmann
from askel.md.thermostats import Thermostatted, thermostat
from askel.particles import InputError

N, H, ring, kick = 200, 8.0 * double.FS, double.ring, double.kick
TOLERANCE = 3.0


def pump(rate):
    """Return a spoiler that gives every stride a share of the kinetic energy, far below what one stride is judged by."""
    return lambda u, v, h, d, w: (d, math.sqrt(1.0 + rate) * w)


def controlled(spoil=None, *, drift=True, interaction=None, estimators=None, tolerance=TOLERANCE, **options):
    forces = double.RingInteraction(N) if interaction is None else interaction
    return ErrorControlled(
        LearnedStride(double.RingEngine(N, spoil=spoil)),
        estimators=estimators or [TrainingRange(largest_speed=1.0)],
        drift=EnergyDrift(forces, **options) if drift else None,
        fallback=Fallback(double.RingInteraction(N), 0.5 * double.FS, radius=5.0, buffer=3.0),
        tolerance=tolerance,
        temperature=300.0,
    )


def heat(state):
    """Return the total energy over n k T at 300 K."""
    energy = state.kinetic_energy() + float(EnergyDrift(double.RingInteraction(N)).potentials(state)[0])
    return energy / (state.n * boltzmann(state.units) * 300.0)


def run(propagator, state, strides):
    particles = state.clone()
    statistics = Simulation(particles, propagator, Fixed(H)).run(strides * H).statistics
    return particles, statistics


def test_a_pump_that_every_stride_hides_adds_up_and_is_taken_out():
    rate, strides, state = 0.006, 40, ring(N)
    judged = [EnergyDefect(double.RingInteraction(N), typical=0.02)]
    hot, statistics = run(controlled(pump(rate), drift=False, estimators=judged), state, strides)
    assert statistics["strides_accepted"] == strides  # no single stride is objected to
    assert 0.09 < heat(hot) / heat(state) - 1.0 < 0.17  # half of the energy is kinetic: (1 + 0.006/2)^40 - 1 = 0.13
    kept, statistics = run(controlled(pump(rate)), state, strides)
    limit = 3.0 * TOLERANCE * TYPICAL_DRIFT
    assert abs(heat(kept) - heat(state)) <= limit * (1.0 + 1e-9)
    assert 0.4 * strides < statistics["drift_corrections"] <= strides
    assert limit / 3.0 < statistics["max_drift"] < limit / 3.0 + 0.6 * rate
    given = -statistics["drift_energy"] / (N * boltzmann(state.units) * 300.0)
    assert 0.8 * strides * 1.5 * rate < given < 1.2 * strides * 1.5 * rate * heat(state) / 3.0
    assert statistics["strides_accepted"] == strides
    assert statistics.get("fallback_evaluations", 0.0) == 0.0
    assert statistics["estimator_energies"] == strides + 1.0
    assert np.allclose(kept.mass @ kept.velocity, state.mass @ state.velocity, atol=1e-10)


def test_the_predicted_shift_is_that_of_a_thermostat():
    """Langevin dynamics of a pumped ring is hotter by d tau/(3 h), the sum with its memory: measured, and said beforehand."""
    rate, tau = 0.02, 10.0 * H
    watched = controlled(pump(rate), tolerance=1e6, relaxation=tau)
    state, hot = ring(N, seed=4), []
    bath = Thermostatted(watched, thermostat("langevin", 300.0, tau, seed=3))
    carry = bath.start(state)
    for k in range(500):
        bath.advance(state, carry, H)
        if k >= 50:
            hot.append(state.kinetic_energy() / (1.5 * (N - 1) * boltzmann(state.units) * 300.0) - 1.0)
    assert np.mean(hot) == pytest.approx(1.5 * rate * 10.0 / 3.0, abs=0.03)  # 0.1, scatter of the mean 0.01
    told = carry.inner.memory["drift sum"][0] / 3.0
    assert told == pytest.approx(np.mean(hot), abs=0.03)


def test_the_tolerance_is_its_dial():
    off = [abs(heat(run(controlled(pump(0.002), tolerance=t), ring(N), 23)[0]) - heat(ring(N))) for t in (1.0, 30.0)]
    assert off[0] <= 0.003 < 0.04 < off[1] <= 0.09


def test_a_map_without_a_drift_is_left_alone_to_the_last_bit():
    one, statistics = run(controlled(), ring(N), 10)
    assert conformance.same_bits(one, run(controlled(drift=False), ring(N), 10)[0])
    assert "drift_corrections" not in statistics
    assert 0.0 < statistics["max_drift"] < 1e-9


def test_a_cold_map_is_warmed_and_a_stride_gives_no_more_than_a_tenth():
    kept, statistics = run(controlled(pump(-0.5)), ring(N), 1)
    bare, _ = run(controlled(pump(-0.5), drift=False), ring(N), 1)
    assert kept.kinetic_energy() == pytest.approx(1.1 * bare.kinetic_energy(), rel=1e-12)
    assert statistics["drift_corrections"] == 1.0
    assert heat(kept) < heat(ring(N))  # the rest is owed
    later, _ = run(controlled(pump(-0.08)), ring(N), 10)
    assert heat(later) == pytest.approx(heat(ring(N)), abs=3.0 * TOLERANCE * TYPICAL_DRIFT)


def test_a_repaired_region_counts_with_its_forces():
    """The engine throws one atom away; what is repaired is judged, and nothing is left to be taken out."""
    spoil, state = kick([117], 1e-3), ring(N)
    estimators = [ReversibilityDefect()]
    kept, statistics = run(controlled(spoil, estimators=estimators), state, 5)
    assert statistics["strides_repaired"] == 5.0
    assert statistics["max_drift"] < 0.5 * TOLERANCE * TYPICAL_DRIFT
    assert heat(kept) == pytest.approx(heat(state), abs=0.005)


def test_a_calculator_that_fails_is_told_and_ends_nothing():
    class Failing(double.RingInteraction):
        def evaluate(self, particles, out):
            raise RuntimeError("SCF not converged")

    propagator, state = controlled(interaction=Failing(N)), ring(N)
    carry = propagator.start(state)
    step = propagator.advance(state, carry, H)
    assert not step.outcome.failed
    assert "drift: RuntimeError: SCF not converged" in carry.problem


def test_restart_is_bit_equal():
    def simulation():
        return Simulation(ring(N), controlled(pump(0.004), relaxation=20.0 * H), Fixed(H))

    assert conformance.restart_is_bit_equal(simulation, 7 * H, 12 * H)
    whole = simulation()
    whole.run(7 * H)
    assert whole.statistics["drift_corrections"] > 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"relaxation": 0.0}, "relaxation time"), ({"typical": 0.0}, "typical"), ({"conserved": "spin"}, "conserved")],
)
def test_bad_input_gets_one_line(options, message):
    with pytest.raises(InputError, match=message):
        controlled(**options)
