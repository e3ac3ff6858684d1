"""Models run over seeds and judged: an exact one against itself, one that heats, one that breaks."""

from types import SimpleNamespace

import numpy as np
import pytest
from askel.md.judging.files import read_runs
from askel.md.judging.frames import make_frames
from askel.md.judging.model import run_and_judge
from askel.md.judging.run import Schedule, run_seeds, starting_states
from askel.md.model_units import BOLTZMANN, KINETIC
from askel.md.stride import LearnedStride
from askel.particles import InputError
from askel.particles.io_segments import Segment, SegmentWriter

OMEGA = 2 * np.pi / 100.0  # rad/fs: 334 cm^-1
SITES = 3.0 * np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)], float) + 1.5
SPECIES = np.array([29, 79] * 14)[:27]
MASSES = {29: 63.546, 79: 196.967}
MASS = np.array([MASSES[z] for z in SPECIES])


class Einstein:
    """Atoms in equal harmonic wells around the sites of a lattice, moved exactly: the interface of ``Engine``."""

    def __init__(self, strides=(5.0, 10.0), gain=1.0, broken_call=None, row=None):
        self.architecture = SimpleNamespace(species=(29, 79), masses=tuple(MASSES.values()), strides=strides)
        self.gain, self.broken_call, self.row, self.calls = gain, broken_call, row, 0

    def stride(self, species, mass, position, velocity, cell, periodic, stride, starts=None):
        self.calls += 1
        replicas = 1 if starts is None else len(starts) - 1
        r = position - np.tile(SITES, (replicas, 1))
        c, s = np.cos(OMEGA * stride), np.sin(OMEGA * stride)
        displacement = (c - 1.0) * r + s / OMEGA * velocity
        if self.calls == self.broken_call:
            displacement[self.row] = np.nan
        return displacement, self.gain * (c * velocity - OMEGA * s * r)


def thermal(frames=1, seed=0, kelvin=300.0):
    """Canonical states at rest: not a trajectory."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(BOLTZMANN * kelvin / (MASS * KINETIC))[:, None]
    v, r = rng.normal(size=(2, frames, 27, 3)) * scale
    v, r = (y - np.einsum("n,fni->fi", MASS, y)[:, None] / MASS.sum() for y in (v, r / OMEGA))
    return make_frames(SITES + r, SPECIES, 10.0, velocity=v, mass=MASS, cell=9.0 * np.eye(3))


def trajectory(runs=3, strides=800):
    """A canonical trajectory of the exact map, each run under Langevin's thermostat."""
    from askel.md.model_units import ASE_TIME
    from askel.md.thermostats import Thermostatted, thermostat

    def alone(seed, state):
        bath = thermostat("langevin", 300.0, 200.0 / ASE_TIME, seed=seed + 100)
        return Thermostatted(LearnedStride(Einstein()), bath)

    starts = starting_states([thermal(runs, seed=5)], runs)
    return run_seeds(alone, starts, Schedule(10.0, 10.0 * strides, 10.0))


@pytest.fixture(scope="module")
def reference():
    found = trajectory()
    assert found.failures == [None] * 3
    return found.runs


def judged(engine, reference, **options):
    settings = {
        "temperature": 300.0,
        "duration": 8000.0,
        "thermostat_kind": "langevin",
        "time_constant": 200.0,
        "seeds": 3,
    }
    return run_and_judge(engine, reference, **{**settings, "one_step": thermal_orbit(), **options})


def thermal_orbit():
    """An exact orbit for one-step errors."""
    frames = [thermal(seed=9)]
    for _ in range(20):
        d, v = Einstein().stride(SPECIES, MASS, frames[-1].position[0], frames[-1].velocity[0], None, None, 10.0)
        frames.append(make_frames((frames[-1].position[0] + d)[None], SPECIES, 10.0, velocity=v[None], mass=MASS))
    x, v = (np.concatenate([getattr(f, name) for f in frames]) for name in ("position", "velocity"))
    return make_frames(x, SPECIES, 10.0, velocity=v, mass=MASS, cell=9.0 * np.eye(3))


def test_exact_model_passes(reference):
    engine = Einstein()
    found = judged(engine, reference)
    failed = [r for r in found.rows if r.verdict == "fail"]
    assert len(failed) <= 1  # each bound of sampling is exceeded once in a hundred judgements
    assert all("Hellinger" in r.quantity and r.value < 1.5 * r.bound for r in failed)
    assert found.counts["pass"] >= 8
    assert found.facts["seeds"] == 3
    assert found.facts["counted_strides"] == 800  # three runs as one graph
    assert abs(found.find("all atoms").value) < 1e-6  # one-step error
    assert found.find("reversibility defect").value < 1e-9
    assert found.find("VDOS peak Cu").value == pytest.approx(333.6, abs=5.0)
    assert found.find("end to end").value > 0.0
    assert any("widens peaks by 27 cm^-1" in note for note in found.notes)


def test_heating_model_fails_by_its_temperature(reference):
    found = judged(Einstein(gain=1.01), reference, duration=5000.0)
    rows = {r.quantity: r for r in found.rows if r.section == "temperature"}
    assert rows["all atoms"].verdict == "fail"
    assert 320.0 < rows["all atoms"].value < 700.0
    assert found.find("displacement all atoms").value < 1e-6
    assert found.find("velocity all atoms, relative").value == pytest.approx(1.0, rel=1e-6)


def test_a_thermostat_for_each_species_is_named(reference):
    found = judged(Einstein(), reference, duration=1000.0, thermostat_kind="nose-hoover", groups="species")
    assert found.facts["groups"] == "species"
    assert any("nose-hoover, one for each species, time constant 200 fs" in note for note in found.notes)


def test_one_replica_breaks_and_the_others_go_on(reference):
    counted = 2 * 20 + 21  # of the reversibility defect and the one-step errors, before the runs
    engine = Einstein(broken_call=counted + 100, row=27 + 4)
    found = judged(engine, reference, duration=3000.0)
    row = found.find("failed runs of 3")
    assert row.value == 0.0  # the broken call came once: each went on alone from its last frame
    assert found.facts["counted_strides"] == pytest.approx(99 + 3 * 201, abs=6)
    assert found.facts["simulated_ps"] == pytest.approx(9.0)


def test_run_that_breaks_for_good_is_counted():
    class Never(Einstein):
        def stride(self, *args, **options):
            d, v = super().stride(*args, **options)
            return (np.full_like(d, np.nan), v) if self.calls > 50 else (d, v)

    def alone(seed, state):
        return LearnedStride(Never())

    found = run_seeds(alone, starting_states([thermal(2)], 2), Schedule(10.0, 1000.0, 20.0), temperature=300.0)
    assert [f.time for f in found.failures] == pytest.approx([500.0, 500.0])
    assert "not a number" in found.failures[0].reason
    assert len(found.runs[0]) == 26
    assert found.runs[0].interval == 20.0


def test_replicas_that_are_refused_have_failed(reference):
    class Refuses(Einstein):
        def stride(self, *args, **options):
            if self.calls > 200:
                raise InputError("atoms 0 and 1 are 0.1 Angstrom apart")
            return super().stride(*args, **options)

    row = judged(Refuses(), reference, duration=3000.0).find("failed runs of 3")
    assert (row.value, row.verdict) == (1.0, "fail")
    assert "left the range" in row.quantity


def test_control_around_the_stride_is_used(reference):
    seen = []

    def around(stride, state):
        seen.append(state.n)
        return stride

    judged(Einstein(), reference, around=around, seeds=2, duration=500.0)
    assert seen == [27, 27]


def test_user_mistakes(reference):
    with pytest.raises(InputError, match="asked for a stride of 7 fs; it was trained for 5, 10 fs"):
        judged(Einstein(), reference, stride=7.0)
    with pytest.raises(InputError, match="no multiple of the stride"):
        Schedule(10.0, 1000.0, 25.0)
    with pytest.raises(InputError, match="too short"):
        Schedule(10.0, 10.0, 10.0)
    with pytest.raises(InputError, match="no velocities to start from"):
        starting_states([make_frames(SITES[None], SPECIES, 1.0)], 1)


def test_segments_near_the_temperature_are_read(tmp_path):
    path = tmp_path / "s.h5"
    frames = thermal(6)
    with SegmentWriter.create(path, reference="exact", step=1.0, interval=10.0, seed=0, recipe={}) as file:
        for kelvin in (300.0, 300.0, 600.0):
            file.append(
                Segment(
                    SPECIES.astype(np.int32), MASS, 9.0 * np.eye(3), np.ones(3, bool), kelvin, 10.0, frames.position,
                    frames.velocity, forces=np.zeros((6, 27, 3)), energy=np.zeros(6),
                )
            )  # fmt: skip
    runs = read_runs(path, temperature=310.0)
    assert [len(r) for r in runs] == [6, 6]
    assert runs[0].unwrapped
    assert runs[0].forces.shape == (6, 27, 3)
    assert np.abs(runs[0].velocity - frames.velocity).max() < 1e-6
    assert len(read_runs(path)) == 3
    with pytest.raises(InputError, match="no segments of system 3"):
        from askel.md.judging.files import read_segments

        read_segments(path, system=3)
