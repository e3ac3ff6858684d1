import math

import numpy as np
import pytest
from askel.integrators import (
    Capabilities,
    Change,
    Checkpoints,
    Event,
    Fixed,
    Outcome,
    Records,
    Resolution,
    Simulation,
    Step,
    Whole,
)
from askel.integrators.composition import leapfrog
from askel.integrators.conformance import ReferenceGravity, distance, kepler, same_bits, three_bodies
from askel.integrators.gauss_radau import GaussRadau
from askel.particles import InputError, NumericalFailure, Particles, UnitSystem

GRAVITY = ReferenceGravity()


def fixed(step=0.1, particles=None, **options):
    return Simulation(particles or kepler(0.3), leapfrog(GRAVITY), Fixed(step), potential=GRAVITY, **options)


def adaptive(**options):
    return Simulation(kepler(0.3), GaussRadau(GRAVITY), Whole(), potential=GRAVITY, **options)


class Drift:
    """Free motion, with outcomes and events from a script: {step number: Step keyword arguments}."""

    def __init__(self, script=None, strides=None, adaptive=False):
        self.script, self.calls, self.synchronised = script or {}, [], 0
        self.capabilities = Capabilities(order=None, strides=strides, adaptive=adaptive)

    def start(self, particles):
        return {"n": 0}

    def advance(self, particles, carry, dt):
        if dt == 0.0:
            return Step(0.0)
        options = dict(self.script.get(carry["n"], {}))
        elapsed = options.pop("fraction", 1.0) * dt
        particles.position += elapsed * particles.velocity
        if options.pop("spoil", False):
            particles.velocity[1] = np.nan
        particles.time += elapsed
        carry["n"] += 1
        self.calls.append(dt)
        return Step(elapsed, **options)

    def synchronise(self, particles, carry):
        self.synchronised += 1

    def membership_changed(self, particles, carry, change):
        assert isinstance(change, Change)
        return {"n": carry["n"]}


def scripted(script=None, *, observers=(), resolver=None, step=0.25, potential=None, **options):
    particles = Particles([1.0, 2.0, 3.0], np.arange(9.0).reshape(3, 3), np.ones((3, 3)))
    propagator = Drift(script, **options)
    controller = Whole() if propagator.capabilities.adaptive else Fixed(step)
    return Simulation(particles, propagator, controller, observers=observers, resolver=resolver, potential=potential)


# ---------------------------------------------------------------------- time


def test_time_has_no_drift_and_only_the_last_step_is_shortened():
    run = scripted(step=0.1)
    report = run.run(1000.05)
    assert report.time == 1000.05 == run.particles.time
    assert report.steps == 10001
    assert set(run.propagator.calls[:-1]) == {0.1}
    assert run.propagator.calls[-1] == pytest.approx(0.05, rel=1e-10)


def test_steps_that_fit_are_not_changed_and_leave_no_sliver():
    run = scripted(step=0.1)
    assert run.run(0.3).steps == 3 and run.run(100.0).steps == 1000
    assert set(run.propagator.calls) == {0.1}


def test_run_is_a_state_to_reach():
    run = fixed()
    run.run(1.0)
    before = run.particles.clone()
    report = run.run(1.0)
    assert report.outcome is Outcome.COMPLETED and report.steps == 10
    assert same_bits(before, run.particles)


def test_backwards():
    run = fixed(observers=[records := Records(0.5)])
    run.run(2.05)
    run.run(0.0)
    assert run.time == 0.0
    assert distance(run.particles, kepler(0.3)) < 1e-2
    assert [f.time for f in records.frames] == pytest.approx([0, 0.5, 1.0, 1.5, 2.0, 2.05, 1.55, 1.05, 0.55, 0.05, 0.0])


@pytest.mark.parametrize("t_end", [math.nan, math.inf])
def test_bad_target(t_end):
    with pytest.raises(InputError, match="expected a finite number"):
        fixed().run(t_end)


def test_admissible_strides():
    run = scripted(step=0.25, strides=(0.25,))
    run.run(1.0)
    with pytest.raises(InputError, match="not a whole number of strides"):
        run.run(1.6)


# ---------------------------------------------------------------------- observers


def test_fixed_steps_do_not_change_for_output():
    run = fixed(0.1, observers=[records := Records(0.25)])
    quiet = fixed(0.1)
    run.run(1.0)
    quiet.run(1.0)
    assert same_bits(run.particles, quiet.particles)
    assert [f.time for f in records.frames] == pytest.approx([0.0, 0.3, 0.5, 0.8, 1.0])


def test_adaptive_lands_on_due_times_exactly():
    run = adaptive(observers=[records := Records(0.1)])
    run.run(1.05)
    assert [f.time for f in records.frames] == [0.1 * k for k in range(11)] + [1.05]


def test_an_output_interval_longer_than_the_run():
    run = fixed(observers=[records := Records(math.inf)])
    run.run(0.35)
    assert [f.time for f in records.frames] == [0.0, 0.35]


def test_stop_checkpoints_and_resumes_bit_equal():
    trees = []
    asked = iter([False] * 7 + [True])
    run = fixed(observers=[Checkpoints(trees.append, math.inf), records := Records(0.5)])
    report = run.run(2.0, stop=lambda: next(asked))
    assert report.stopped and report.outcome is Outcome.PARTIAL and report.steps == 7
    assert len(trees) == 1 and [f.time for f in records.frames] == pytest.approx([0.0, 0.5])
    resumed = fixed(observers=[Checkpoints(trees.append, math.inf), later := Records(0.5)], particles=three_bodies())
    resumed.load_state_dict(trees[0])
    unbroken = fixed(observers=[Checkpoints(trees.append, math.inf), Records(0.5)])
    report, other = resumed.run(2.0), unbroken.run(2.0)
    assert same_bits(resumed.particles, unbroken.particles)
    assert (report.steps, report.max_energy_error, report.energy_error) == (
        other.steps,
        other.max_energy_error,
        other.energy_error,
    )
    assert [f.time for f in later.frames] == pytest.approx([1.0, 1.5, 2.0])


def test_checkpoints_come_after_the_frames_of_the_same_moment():
    order = []

    class Noting(Records):
        def observe(self, simulation):
            order.append("frame")
            super().observe(simulation)

    run = fixed(observers=[Checkpoints(lambda tree: order.append("checkpoint"), math.inf), Noting(math.inf)])
    run.run(0.1)
    assert order == ["frame", "frame", "checkpoint"]


def test_checkpoint_keeps_units_seed_and_fields():
    units = UnitSystem("nbody", light=12.0)
    particles = Particles([1.0], [[1.0, 0, 0]], [[0, 1.0, 0]], units=units, spin=[[0, 0, 0.1]], identity=[7])
    tree = Simulation(particles, Drift(), Fixed(0.1), seed=11).state_dict()
    other = Simulation(kepler(0.0), Drift(), Fixed(0.1))
    other.load_state_dict(tree)
    assert other.seed == 11 and other.particles.units == units and other.particles.identity.tolist() == [7]
    np.testing.assert_array_equal(other.particles.spin, [[0, 0, 0.1]])
    with pytest.raises(InputError, match="made with Drift, this run uses Composition"):
        fixed().load_state_dict(tree)
    with pytest.raises(InputError, match="does not hold a simulation"):
        other.load_state_dict({})


# ---------------------------------------------------------------------- outcomes


def test_partial_goes_on_and_lets_the_observers_look():
    run = scripted(
        {0: {"fraction": 0.5, "outcome": Outcome.PARTIAL}}, adaptive=True, observers=[records := Records(9.0)]
    )
    report = run.run(1.0)
    assert report.outcome is Outcome.COMPLETED and report.steps == 2
    assert run.propagator.calls == [1.0, 0.5]
    assert [f.time for f in records.frames] == [0.0, 1.0]


def test_failure_says_when_and_who():
    run = scripted({2: {"outcome": Outcome.NOT_CONVERGED, "identities": (1, 2), "fraction": 0.0}})
    with pytest.raises(NumericalFailure, match=r"did not converge.*at time 0.5, step 2, particles \[1, 2\]") as caught:
        run.run(2.0)
    assert caught.value.identities == (1, 2)


def test_non_finite_state_never_reaches_observers():
    run = scripted({2: {"spoil": True}}, observers=[records := Records(0.25)])
    with pytest.raises(NumericalFailure, match="not a number") as caught:
        run.run(2.0)
    assert caught.value.identities == (1,)
    assert [f.time for f in records.frames] == [0.0, 0.25, 0.5]
    assert all(np.isfinite(f.velocity).all() for f in records.frames)


def test_no_silent_stall():
    script = {i: {"fraction": 0.0, "outcome": Outcome.PARTIAL} for i in range(1000)}
    with pytest.raises(NumericalFailure, match="did nothing"):
        scripted(script, adaptive=True).run(1.0)


def test_statistics_are_summed_and_extremes_kept():
    script = {i: {"statistics": {"evaluations": 2.0, "max_speed": 5.0 - i, "min_distance": 5.0 - i}} for i in range(4)}
    report = scripted(script).run(1.0)
    assert report.statistics == {"evaluations": 8.0, "max_speed": 5.0, "min_distance": 2.0}


# ---------------------------------------------------------------------- events


class Merge:
    """The first of the two swallows the second."""

    def __init__(self, stop=False):
        self.stop, self.seen = stop, []

    def resolve(self, particles, event):
        self.seen.append(event)
        rows = np.flatnonzero(np.isin(particles.identity, event.identities))
        kept = np.delete(np.arange(particles.n), rows[1])
        merged = particles.select(kept)
        merged.mass[rows[0]] += particles.mass[rows[1]]
        return Resolution(merged, Change(kept, (event.identities[0],)), {"primary": event.identities[0]}, self.stop)


def test_merger_changes_membership_and_the_energy_account_goes_on():
    script = {1: {"outcome": Outcome.EVENT, "fraction": 0.5, "events": (Event("merger", 0.375, (0, 2)),)}}
    run = scripted(script, observers=[records := Records(0.25)], resolver=(merge := Merge()), potential=GRAVITY)
    energy = run.energy()
    report = run.run(1.0)
    assert run.particles.n == 2 and run.particles.mass.tolist() == [4.0, 2.0] and len(merge.seen) == 1
    assert report.time == 1.0 and run.propagator.calls[:2] == [0.25, 0.25]
    (row,) = records.events
    assert (row["kind"], row["step"], row["time"], row["primary"]) == ("merger", 2, 0.375, 0)
    assert row["energy_change"] == pytest.approx(run.energy() - energy, rel=1e-12) and abs(row["energy_change"]) > 0.1
    assert abs(report.energy_error) < 1e-15


def test_event_can_end_the_run():
    script = {1: {"outcome": Outcome.EVENT, "fraction": 0.5, "events": (Event("merger", 0.375, (0, 2)),)}}
    run = scripted(script, observers=[records := Records(math.inf)], resolver=Merge(stop=True))
    report = run.run(1.0)
    assert report.outcome is Outcome.EVENT and report.time == 0.375 and not report.stopped
    assert records.frames[-1].n == 2 and records.frames[-1].time == 0.375


def test_an_event_of_a_particle_that_is_gone_is_dropped():
    events = (Event("merger", 0.2, (0, 2)), Event("merger", 0.2, (1, 2)))
    run = scripted({0: {"outcome": Outcome.EVENT, "fraction": 0.8, "events": events}}, resolver=(merge := Merge()))
    run.run(1.0)
    assert len(merge.seen) == 1 and run.particles.n == 2


def test_without_a_resolver_events_are_recorded():
    script = {0: {"events": (Event("flyby", 0.1, (0, 1), {"distance": 3.0}),)}}
    run = scripted(script, observers=[records := Records(1.0)])
    run.run(0.5)
    assert records.events == [
        {
            "kind": "flyby",
            "step": 1,
            "time": 0.1,
            "identity_0": 0,
            "identity_1": 1,
            "distance": 3.0,
            "energy_change": 0.0,
        }
    ]
    assert run.particles.n == 3


# ---------------------------------------------------------------------- energy


def test_energy_error_of_work_and_reports():
    run = scripted({i: {"energy": 10.0 + i, "work": 1.0} for i in range(4)}, potential=GRAVITY)
    start = run.energy()
    report = run.run(1.0)
    assert run.work == 4.0
    assert report.energy_error == pytest.approx((13.0 - 4.0 - start) / abs(start))
    assert report.max_energy_error >= abs(report.energy_error)


def test_unknown_energy_is_nan_and_nothing_breaks():
    report = scripted(observers=[Records(0.5)]).run(1.0)
    assert math.isnan(report.energy_error) and math.isnan(report.max_energy_error)


def test_leapfrog_energy_error_has_the_size_theory_gives():
    coarse, fine = (fixed(step, observers=[Records(0.1)]).run(6.0).max_energy_error for step in (0.1, 0.05))
    assert 3.5 < coarse / fine < 4.5
