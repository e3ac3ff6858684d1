"""Error control: against exact motion, with engines that are wrong on purpose, refuse, or produce NaN."""

import numpy as np
import pytest
import ring_engine as double
from askel.integrators import Change, Fixed, Outcome, Simulation, conformance
from askel.integrators.composition import leapfrog
from askel.md.calibration import calibrate
from askel.md.control_report import figures, report
from askel.md.error_control import ErrorControlled
from askel.md.estimators import DoublingDefect, EnergyDefect, EnsembleSpread, ReversibilityDefect, TrainingRange
from askel.md.fallback import Fallback
from askel.md.stride import LearnedStride
from askel.md.thermostats import Thermostatted, thermostat
from askel.particles import InputError, NumericalFailure

FS, ring, kick, far = double.FS, double.ring, double.kick, double.far
N, H = 200, 8.0 * double.FS
BAD = 117


def bare(**options):
    return LearnedStride(double.RingEngine(N, **options))


def controlled(spoil=None, *, estimators=None, step=0.5, radius=5.0, engine=None, interaction=None, **options):
    """Return the controller around a spoiled engine, with a regional fall-back that the options may change."""
    if "fallback" not in options:
        forces = double.RingInteraction(N) if interaction is None else interaction
        buffer = None if radius is None else 3.0
        options["fallback"] = Fallback(forces, step * FS, radius=radius, buffer=buffer)
    stride = options.pop("stride", bare(spoil=spoil) if engine is None else LearnedStride(engine))
    return ErrorControlled(stride, estimators=estimators or [ReversibilityDefect()], **options)


def run(propagator, state, strides):
    """Return (state, statistics) after so many strides of H."""
    particles = state.clone()
    simulation = Simulation(particles, propagator, Fixed(H))
    statistics = simulation.run(particles.time + strides * H).statistics
    return particles, statistics


def exact(state, strides):
    return conformance.evolved(bare, state, H, strides)


def error(one, truth):
    """Return the largest error of a velocity, in units of the thermal one."""
    return float(np.abs(one.velocity - truth.velocity).max() / truth.velocity.std())


# ---------------------------------------------------------------------- what it promises


def test_no_offenders_is_the_bare_stride_to_the_last_bit():
    estimators = [TrainingRange(largest_speed=1.0), ReversibilityDefect(), DoublingDefect()]
    estimators.append(EnergyDefect(double.RingInteraction(N)))
    one, statistics = run(controlled(estimators=estimators), ring(N), 10)
    assert conformance.same_bits(one, run(bare(), ring(N), 10)[0])
    assert statistics["strides_accepted"] == statistics["strides_tried"] == 10.0
    assert statistics["fallback_atom_time"] == 0.0
    assert statistics["estimator_strides"] == 30.0  # one for the way back, two for the halves
    assert statistics["estimator_energies"] == 11.0


def test_a_bad_atom_is_repaired_and_the_uncontrolled_stride_is_off():
    spoil, state, strides = kick([BAD], 2e-4), ring(N), 30
    truth = exact(state, strides)
    alone = conformance.evolved(lambda: bare(spoil=spoil), state, H, strides)
    kept, statistics = run(controlled(spoil, tolerance=0.1), state, strides)
    assert 0.5 < error(alone, truth) < 50.0
    assert 1e-5 < error(kept, truth) < 0.03
    assert statistics["strides_repaired"] >= 20.0


def test_acceptance_is_local():
    """One bad atom of 200: five atoms are done by forces, the other 195 keep their strides, and no stride is shortened."""
    interaction = double.RingInteraction(N)
    spoil, state = kick([BAD], 1e-3), ring(N)
    propagator = controlled(spoil, interaction=interaction, fallback=Fallback(
        interaction, 0.5 * FS, radius=5.0, buffer=3.0, momentum="free"))  # fmt: skip
    kept, statistics = run(propagator, state, 1)
    truth = exact(state, 1)
    different = np.flatnonzero((kept.velocity != truth.velocity).any(axis=1))
    assert different.tolist() == list(range(BAD - 2, BAD + 3))
    assert statistics["strides_repaired"] == statistics["strides_tried"] == 1.0
    assert statistics["min_stride"] == pytest.approx(H)
    f = figures(statistics)
    assert (f["repaired"], f["fallback_fraction"]) == (1.0, pytest.approx(5 / N))
    assert interaction.atoms / interaction.calls == 7.0  # and the forces of seven atoms were asked for


def test_the_cost_per_atom_of_a_bad_atom_does_not_grow_with_the_system():
    def fraction(n):
        stride = LearnedStride(double.RingEngine(n, spoil=kick(np.arange(n) % 50 == 17, 1e-3)))
        fallback = Fallback(double.RingInteraction(n), 0.5 * FS, radius=5.0, buffer=3.0)
        propagator = ErrorControlled(stride, estimators=[ReversibilityDefect()], fallback=fallback)
        return figures(run(propagator, ring(n), 3)[1])

    small, large = fraction(100), fraction(400)
    assert small["fallback_fraction"] == pytest.approx(0.1, rel=0.35)
    assert large["fallback_fraction"] == pytest.approx(small["fallback_fraction"], rel=0.35)
    assert large["retried"] == 0.0


def test_the_tolerance_is_a_dial():
    """An engine that is the more wrong the further atoms are from their sites: error falls and cost rises."""
    spoil, state, strides = far(0.15, 2e-4), ring(N), 15
    truth = exact(state, strides)
    errors, costs = [], []
    for tolerance in (30.0, 3.0, 0.3):
        kept, statistics = run(controlled(spoil, tolerance=tolerance, radius=4.5), state, strides)
        errors.append(error(kept, truth))
        costs.append(statistics.get("fallback_evaluations", 0.0) + statistics["strides"])
    off = error(conformance.evolved(lambda: bare(spoil=spoil), state, H, strides), truth)
    assert off > 2.0 * errors[1] > 4.0 * errors[2] > 0.0
    assert off >= errors[0] > errors[1]
    assert costs[0] < costs[1] < costs[2]


# ---------------------------------------------------------------------- retries and steering


def test_half_the_stride_is_used_when_it_suffices():
    """The engine is wrong by h^6: hopeless at 8 fs, good at 4; no force is asked for."""
    interaction = double.RingInteraction(N)
    state, spoil = ring(N), kick(slice(None), 2e-7, power=6)
    kept, statistics = run(controlled(spoil, interaction=interaction, radius=None), state, 1)
    assert (statistics["strides_tried"], statistics["strides_accepted"], statistics["strides_retried"]) == (
        3.0,
        2.0,
        1.0,
    )
    assert statistics["min_stride"] == pytest.approx(0.5 * H)
    assert interaction.calls == 0
    halves = conformance.evolved(lambda: bare(spoil=spoil), state, 0.5 * H, 2)
    assert conformance.distance(kept, halves) < 1e-15
    assert kept.time == H
    long = conformance.evolved(lambda: bare(spoil=spoil), state, H)
    assert error(kept, exact(state, 1)) < 0.2 < error(long, exact(state, 1))


def test_a_short_stride_is_tried_first_after_rejections_and_a_long_one_again_later():
    state = ring(N)
    quiet = {"spoil": True}

    def spoil(u, v, h, d, w):
        return kick(slice(None), 2e-7, power=6)(u, v, h, d, w) if quiet["spoil"] else (d, w)

    propagator = controlled(spoil, radius=None)
    carry = propagator.start(state)
    first = propagator.advance(state, carry, H).statistics
    second = propagator.advance(state, carry, H).statistics
    assert first["strides_retried"] >= 1.0
    assert second.get("strides_retried", 0.0) == 0.0  # it starts with the stride that is allowed
    assert second["strides_tried"] >= 2.0
    quiet["spoil"] = False
    tried = [propagator.advance(state, carry, H).statistics["strides_tried"] for _ in range(10)]
    assert tried[-1] == 1.0
    assert carry.allowed == pytest.approx(H)
    assert tried == sorted(tried, reverse=True)


def test_a_rejected_stride_leaves_nothing_in_the_memory_of_the_stride():
    propagator, state = controlled(kick(slice(None), 2e-7, power=6), radius=None), ring(N)
    carry = propagator.start(state)
    assert propagator.advance(state, carry, H).statistics["strides_retried"] == 1.0
    assert carry.inner.strides == 2  # the two halves that stand


def test_strides_that_do_not_divide_are_passed_over():
    engine = double.RingEngine(N, strides=(3.0, 4.0, 6.0, 12.0))
    propagator = ErrorControlled(LearnedStride(engine), estimators=[ReversibilityDefect()])
    assert propagator.finer(12.0 * FS) == pytest.approx(6.0 * FS)
    assert propagator.finer(-6.0 * FS) == pytest.approx(-3.0 * FS)
    assert propagator.finer(4.0 * FS) is None


def test_a_limit_of_the_range_does_not_hold_back_longer_strides():
    state = ring(N)
    top = 1.02 * np.linalg.norm(np.stack([s.velocity for s in (state, exact(state, 1))]), axis=2).max()
    propagator = controlled(estimators=[TrainingRange(largest_speed=top), ReversibilityDefect()])
    carry = propagator.start(state)
    carry.allowed = 0.5 * H
    statistics = propagator.advance(state, carry, H).statistics
    assert statistics["max_score_range"] > 0.9
    assert carry.allowed == pytest.approx(H)


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize("options", [{"broken": BAD}, {"refuse_after": 0}, {"refuse_after": 3}])
def test_an_engine_that_fails_never_leaks_a_nan(options):
    state = ring(N)
    propagator = controlled(engine=double.RingEngine(N, **options), step=1.0)
    kept, statistics = run(propagator, state, 3)
    assert np.isfinite(kept.position).all()
    assert np.isfinite(kept.velocity).all()
    assert 1e-6 < error(kept, exact(state, 3)) < 5e-2
    assert statistics["strides_failed"] > 0.0
    assert figures(statistics)["fallback_fraction"] > 0.5
    assert np.isfinite(list(statistics.values())).all()


def test_a_nan_of_a_propagator_that_does_not_look_is_caught_too():
    class Careless(LearnedStride):
        def advance(self, particles, carry, dt):
            step = super().advance(particles, carry, dt)
            particles.velocity[3] = np.nan
            return step

    stride = Careless(double.RingEngine(N))
    propagator = ErrorControlled(
        stride, estimators=[ReversibilityDefect()], fallback=Fallback(double.RingInteraction(N), FS)
    )
    kept, _ = run(propagator, ring(N), 2)
    assert error(kept, exact(ring(N), 2)) < 5e-2


class Failing(double.RingInteraction):
    def evaluate(self, particles, out):
        raise RuntimeError("SCF not converged")


@pytest.mark.parametrize(
    ("options", "outcome", "problem"),
    [
        ({"interaction": Failing(N)}, Outcome.NOT_CONVERGED, "SCF not converged"),
        ({"fallback": None, "tolerance": 1e-3}, Outcome.OUT_OF_RANGE, "no fall-back"),
    ],
)
def test_when_all_fails_the_last_good_state_is_back_and_the_offenders_are_named(options, outcome, problem):
    propagator, state = controlled(kick([BAD], 1e-3), **options), ring(N)
    carry = propagator.start(state)
    twin = state.clone()
    step = propagator.advance(state, carry, H)
    assert (step.outcome, step.elapsed) == (outcome, 0.0)
    assert BAD in step.identities
    assert len(step.identities) < 10
    assert conformance.same_bits(state, twin)
    assert problem in carry.problem
    with pytest.raises(NumericalFailure) as caught:
        run(propagator, ring(N), 3)
    assert caught.value.time == 0.0
    assert BAD in caught.value.identities


def test_a_state_that_is_not_finite_is_an_outcome():
    propagator, state = controlled(), ring(N)
    carry = propagator.start(state)
    state.velocity[5] = np.nan
    step = propagator.advance(state, carry, H)
    assert (step.outcome, step.identities) == (Outcome.NOT_FINITE, (5,))


def test_an_estimator_that_cannot_be_asked_rejects_unless_others_say_who_it_was():
    class Deaf(ReversibilityDefect):
        def defect(self, before, after, context):
            context.step = None
            return super().defect(before, after, context) if context.dt < 0 else context.apply(after, None, -1.0)

    everybody = controlled(estimators=[Deaf()])
    assert figures(run(everybody, ring(N), 1)[1])["fallback_fraction"] == 1.0
    named = controlled(kick([BAD], 1e-3), estimators=[EnsembleSpread([bare()]), Deaf()])
    assert figures(run(named, ring(N), 1)[1])["fallback_fraction"] == pytest.approx(5 / N)


# ---------------------------------------------------------------------- as a propagator


def make():
    return controlled(kick([BAD], 1e-3), estimators=[EnergyDefect(double.RingInteraction(N)), DoublingDefect()])


def test_conformance():
    state = ring(N)
    assert conformance.zero_step_is_identity(make, state, H)
    assert conformance.synchronise_is_harmless(make, state, H)
    assert conformance.lands_exactly(make, state, H)
    assert conformance.lands_exactly(make, state, 0.25 * H)
    assert conformance.time_translation_defect(make, state, H, 1e3) < 1e-12
    able = make().capabilities
    assert able.strides == bare().capabilities.strides
    assert not (able.symplectic or able.reversible or able.adaptive)


def test_restart_is_bit_equal():
    spoil = far(0.2, 2e-4)

    def simulation():
        estimators = [EnergyDefect(double.RingInteraction(N)), ReversibilityDefect()]
        return Simulation(ring(N), controlled(spoil, estimators=estimators, radius=4.5), Fixed(H))

    assert conformance.restart_is_bit_equal(simulation, 7 * H, 12 * H)
    whole = simulation()
    whole.run(7 * H)
    assert whole.statistics["strides_repaired"] > 0.0  # there was something to remember


def test_a_change_of_membership_forgets_what_estimators_know():
    propagator, state = make(), ring(N)
    carry = propagator.start(state)
    propagator.advance(state, carry, H)
    assert carry.memory
    carry.allowed = 0.5 * H
    new = propagator.membership_changed(state, carry, Change(np.arange(N)))
    assert (new.memory, new.allowed) == ({}, 0.5 * H)


def test_it_sits_inside_a_thermostat_whose_work_it_does_not_see():
    estimators = [EnergyDefect(double.RingInteraction(N), typical=1e-6)]
    inner = controlled(estimators=estimators)
    cold = thermostat("langevin", 30.0, 5.0 * H, seed=3)
    state = ring(N)
    kept, statistics = run(Thermostatted(inner, cold), state, 10)
    assert kept.kinetic_energy() < 0.8 * state.kinetic_energy()  # much heat went out, and
    assert statistics["strides_accepted"] == statistics["strides_tried"] == 10.0
    assert statistics["estimator_energies"] == 11.0


def test_a_stride_counts_no_work():
    propagator, state = controlled(kick([BAD], 1e-3)), ring(N)
    assert propagator.advance(state, propagator.start(state), H).work == 0.0


def test_calibrated_tolerances():
    """Quantiles of a slightly wrong model pass its own data; the same scale catches an atom that is much worse."""
    slight = 2e-6

    def worse(u, v, h, d, w):
        d, w = kick(slice(None), slight)(u, v, h, d, w)
        return kick([BAD], 1e-3)(u, v, h, d, w)

    estimators = [ReversibilityDefect()]
    states = [conformance.evolved(bare, ring(N, seed=k), H, 3) for k in range(3)]
    found = calibrate(bare(spoil=kick(slice(None), slight)), states, estimators)
    good = controlled(kick(slice(None), slight), calibration=found)
    assert figures(run(good, states[0], 1)[1])["acceptance"] == 1.0
    assert good.temperature == found.temperature
    bad = figures(run(controlled(worse, calibration=found), states[0], 1)[1])
    assert bad["repaired"] == 1.0
    strict = controlled(kick(slice(None), slight), calibration=found, tolerance=0.5)
    assert figures(run(strict, states[0], 1)[1])["fallback_fraction"] > 0.02


# ---------------------------------------------------------------------- the log and bad input


def test_the_report():
    particles = ring(N)
    simulation = Simulation(particles, controlled(kick([BAD], 1e-3)), Fixed(H))
    done = simulation.run(10 * H)
    text = report(done.statistics, time=done.time, wall_time=2.0)
    f = figures(done.statistics, time=done.time, wall_time=2.0)
    assert f["ns_per_day"] == pytest.approx(80e-6 * 43200, rel=1e-9)
    assert f["acceptance"] + f["repaired"] + f["retried"] + f["replaced"] == pytest.approx(1.0)
    assert "strides tried         10" in text
    assert "ns/day" in text
    assert "reversibility" in text
    assert figures({})["acceptance"] == 0.0
    assert "none" in report({})


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: controlled(tolerance=0.0), "tolerance"),
        (lambda: controlled(temperature=-3.0), "temperature"),
        (lambda: ErrorControlled(bare(), estimators=[]), "no estimators"),
        (lambda: ErrorControlled(leapfrog(double.RingInteraction(N)), estimators=[ReversibilityDefect()]), "strides"),
        (lambda: controlled(engine=double.RingEngine(N, strides=(3.0,)), estimators=[DoublingDefect()]), "half"),
        (lambda: controlled(stride=LearnedStride(double.RingEngine(N), starts=(0, N))), "one system"),
        (lambda: controlled().advance(ring(N), controlled().start(ring(N)), 0.7 * H), "asked for a stride"),
    ],
)
def test_bad_input_gets_one_line(make_it, message):
    with pytest.raises(InputError, match=message) as caught:
        make_it()
    assert "\n" not in str(caught.value)
