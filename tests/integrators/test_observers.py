import math

import numpy as np
import pytest
from askel.integrators import Checkpoints, EnergySeries, Fixed, Progress, Records, Schedule, Simulation, Snapshots
from askel.integrators.composition import leapfrog
from askel.integrators.conformance import ReferenceGravity, kepler, same_bits
from askel.particles import InputError
from hypothesis import given
from hypothesis import strategies as st

GRAVITY = ReferenceGravity()


class Memory:
    """A writer that keeps everything."""

    def __init__(self):
        self.frames, self.tables, self.flushed = [], {}, 0

    def append(self, particles, step):
        self.frames.append((step, particles.clone()))

    def append_row(self, table, row):
        self.tables.setdefault(table, []).append(row)

    def lengths(self):
        return {"frames": len(self.frames), **{k: len(v) for k, v in self.tables.items()}}

    def flush(self):
        self.flushed += 1


def simulation(*observers):
    return Simulation(kepler(0.3), leapfrog(GRAVITY), Fixed(0.1), potential=GRAVITY, observers=observers)


OBSERVERS = {
    "snapshots": lambda: Snapshots(Memory(), 0.2),
    "energy": lambda: EnergySeries(Memory(), 0.2),
    "checkpoints": lambda: Checkpoints(lambda tree: None, 1e-9),
    "progress": lambda: Progress(lambda run: None, 0.0),
    "records": lambda: Records(0.2),
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_observers_change_nothing(name):
    watched, alone = simulation(OBSERVERS[name]()), simulation()
    watched.run(1.0)
    alone.run(1.0)
    assert same_bits(watched.particles, alone.particles)
    np.testing.assert_array_equal(watched.carry.acceleration, alone.carry.acceleration)


@pytest.mark.parametrize("name", OBSERVERS)
def test_state_goes_round(name):
    run = simulation(one := OBSERVERS[name]())
    run.run(0.5)
    other = OBSERVERS[name]()
    other.load_state_dict(one.state_dict())
    other.start(0.5, 1)
    assert other.next_due(0.5) == one.next_due(0.5)


def test_snapshots_and_series():
    writer = Memory()
    run = simulation(snapshots := Snapshots(writer, 0.25), EnergySeries(writer, 0.1))
    run.run(0.65)
    assert [step for step, _ in writer.frames] == [0, 3, 5, 7]
    assert [p.time for _, p in writer.frames] == pytest.approx([0.0, 0.3, 0.5, 0.65])
    rows = writer.tables["series/energy"]
    assert [row["step"] for row in rows] == list(range(8))
    assert rows[0]["energy_error"] == 0.0 < abs(rows[4]["energy_error"]) < 1e-2
    assert rows[-1]["energy"] == pytest.approx(-0.12, rel=1e-2)  # -m1 m2/(2a)
    assert snapshots.state_dict()["lengths"] == {"frames": 4, "series/energy": 8}
    snapshots.event({"kind": "merger", "time": 1.0})
    assert writer.tables["events/merger"] == [{"kind": "merger", "time": 1.0}]
    assert writer.flushed >= 1


def test_resumed_to_a_later_end_goes_on_with_the_schedule():
    writer = Memory()
    run = simulation(Snapshots(writer, 0.2))
    run.run(0.4)
    run.run(0.4)
    run.run(0.8)
    assert [step for step, _ in writer.frames] == [0, 2, 4, 6, 8]


def test_progress_is_called_at_the_end_and_sees_what_it_shows():
    seen = []
    run = simulation(Progress(lambda s: seen.append((s.time, s.t_end, s.step, s.wall_time >= 0)), math.inf))
    run.run(0.3)
    assert seen == [(0.0, 0.3, 0, True), (0.3, 0.3, 3, True)]


def test_checkpoints_by_wall_clock():
    trees = []
    simulation(Checkpoints(trees.append, 1e-9)).run(0.3)
    assert [tree["step"] for tree in trees] == [0, 1, 2, 3, 3]


@given(every=st.floats(1e-3, 10.0), origin=st.floats(-100.0, 100.0), direction=st.sampled_from([1, -1]))
def test_schedule_is_strictly_ahead_after_advance(every, origin, direction):
    schedule = Schedule(every)
    schedule.start(origin, direction)
    for k in range(5):
        assert schedule.next_due == pytest.approx(origin + direction * k * every, abs=1e-9)
        assert schedule.reached(schedule.next_due)
        time = schedule.next_due
        schedule.advance(time)
        assert not schedule.reached(time)
    far = origin + direction * 1000.5 * every
    schedule.advance(far)
    assert (schedule.next_due - far) * direction == pytest.approx(0.5 * every, rel=1e-6)


def test_schedule_tolerates_rounding():
    schedule = Schedule(0.1)
    schedule.start(0.0, 1)
    schedule.advance(0.2)
    assert 3 * 0.1 > 0.3 and schedule.reached(0.3)
    assert not schedule.reached(0.3 - 1e-12)


@pytest.mark.parametrize("make", [lambda: Records(0.0), lambda: Records(math.nan), lambda: Checkpoints(print, -1.0)])
def test_bad_intervals(make):
    with pytest.raises(InputError, match="expected a positive time"):
        make()
