"""The learned stride as a propagator, with an engine that is exact: what it checks, changes and reports."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.integrators import Change, Fixed, Outcome, Simulation, conformance
from askel.integrators.composition import yoshida8
from askel.integrators.step_doubling import StepDoubling
from askel.md.rigid import angular_momentum
from askel.md.stride import LearnedStride
from askel.particles import UNIT_SYSTEMS, InputError, NumericalFailure, nbody_units

FS, molecule = double.FS, double.molecule


def make():
    return LearnedStride(double.HarmonicEngine(), name="springs")


def test_a_stride_is_the_exact_motion():
    state = molecule()
    fine = conformance.evolved(lambda: yoshida8(double.HarmonicInteraction()), state, 8.0 * FS / 40, 40)
    coarse = conformance.evolved(make, state, 8.0 * FS)
    assert conformance.distance(coarse, fine) < 1e-10
    ballistic = state.position + 8.0 * FS * state.velocity
    assert np.abs(coarse.position - ballistic).max() > 1e-3  # the springs have pulled


def test_strides_are_those_of_the_model_in_ase_time():
    able = make().capabilities
    assert able.strides == pytest.approx([h * FS for h in (2.0, 4.0, 8.0)], rel=1e-15)
    assert able.order is None
    assert not able.adaptive
    from ase import units

    step = make().advance(molecule(), make().start(molecule()), 4.0 * units.fs)  # ASE's fs differs by 2e-9
    assert step.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("dt", [3.0, 8.1, -5.0])
def test_another_stride_is_refused(dt):
    stride, state = make(), molecule()
    with pytest.raises(InputError, match=f"stride of {dt:g} fs; it was trained for 2, 4, 8 fs"):
        stride.advance(state, stride.start(state), dt * FS)


def test_conformance():
    state, dt = molecule(), 4.0 * FS
    assert conformance.zero_step_is_identity(make, state, dt)
    assert conformance.synchronise_is_harmless(make, state, dt)
    assert conformance.lands_exactly(make, state, dt)
    assert conformance.reversibility_defect(make, state, dt, 20) < 1e-12  # the map of the springs is reversible
    assert conformance.time_translation_defect(make, state, dt, 1e3) < 1e-13
    assert conformance.permutation_defect(make, state, dt, [3, 1, 0, 5, 4, 2]) < 1e-12
    assert conformance.membership_defect(make, state, dt, (0, 2, 3)) < 1e-12


def test_time_runs_backwards():
    state = molecule()
    back = conformance.evolved(make, state, -4.0 * FS)
    assert back.time == -4.0 * FS
    assert np.abs(back.position - state.position).max() > 1e-2
    assert conformance.distance(conformance.evolved(make, back, 4.0 * FS), state) < 1e-13


def test_restart_is_bit_equal(tmp_path):
    from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint

    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    def simulation():
        return Simulation(molecule(), make(), Fixed(4.0 * FS), potential=double.HarmonicInteraction())

    assert conformance.restart_is_bit_equal(simulation, 40.0 * FS, 80.0 * FS, through=through)


def test_momenta_stay():
    state = molecule()
    after = conformance.evolved(make, state, 8.0 * FS, 200)
    scale = np.abs(state.mass[:, None] * state.velocity).sum()
    assert np.abs(after.mass @ after.velocity).max() < 1e-12 * scale
    spin = angular_momentum(after.mass, after.position, after.velocity)
    assert np.abs(spin).max() < 1e-10 * scale * np.abs(state.position).max()


def test_no_force_is_called_and_positions_change_in_place():
    stride, state = make(), molecule()
    position, velocity = state.position, state.velocity
    before = position.copy()
    stride.advance(state, stride.start(state), 8.0 * FS)
    assert stride.engine.calls == 1
    assert state.position is position
    assert state.velocity is velocity
    assert not np.array_equal(before, position)


def test_nan_is_an_outcome_that_names_the_particle_and_changes_nothing():
    stride = LearnedStride(double.HarmonicEngine(broken=2))
    state = molecule(identity=np.arange(10, 16))
    before = state.clone()
    step = stride.advance(state, stride.start(state), 8.0 * FS)
    assert step.outcome is Outcome.NOT_FINITE
    assert step.identities == (12,)
    assert step.elapsed == 0.0
    assert conformance.same_bits(state, before)
    with pytest.raises(NumericalFailure, match=r"particles \[12\]"):
        Simulation(molecule(identity=np.arange(10, 16)), stride, Fixed(8.0 * FS)).run(8.0 * FS)


def test_a_refusal_is_the_users_mistake_at_first_and_an_outcome_later():
    state = molecule()
    stride = LearnedStride(double.HarmonicEngine(refuse_after=0))
    with pytest.raises(InputError, match="apart"):
        stride.advance(state, stride.start(state), 8.0 * FS)
    stride = LearnedStride(double.HarmonicEngine(refuse_after=1))
    carry = stride.start(state)
    assert stride.advance(state, carry, 8.0 * FS).outcome is Outcome.COMPLETED
    before = state.clone()
    assert stride.advance(state, carry, 8.0 * FS).outcome is Outcome.OUT_OF_RANGE
    assert conformance.same_bits(state, before)


def spoiled(**changes):
    state = molecule()
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def with_row(name, row, value):
    state = molecule()
    getattr(state, name)[row] = value
    return state


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (spoiled(species=None), "no species"),
        (with_row("species", 1, 79), "atomic number 79; springs was made for 1, 6, 8"),
        (with_row("mass", 0, 40.0), "mass 40 amu; springs was trained with 1.008"),
        (with_row("mass", 2, 1.0), "mass 1 amu"),
        (with_row("mass", 2, -1.0), "masses must be positive"),
        (with_row("position", 3, np.nan), "position of particle 3 is not finite"),
        (with_row("velocity", 3, np.inf), "velocity of particle 3 is not finite"),
        (spoiled(velocity=np.zeros((6, 3))), "all velocities are zero"),
        (spoiled(units=nbody_units()), "'ase' units, not 'nbody'"),
        (spoiled(units=UNIT_SYSTEMS["si"]), "'ase' units, not 'si'"),
        (spoiled(periodic=np.ones(3, bool)), "repeats along a, but that cell vector is zero"),
        (spoiled(periodic=np.array([0, 0, 1], bool), cell=np.diag([5.0, 5.0, 0.0])), "repeats along c"),
        (spoiled(periodic=np.ones(3, bool), cell=np.ones((3, 3)) + np.eye(3)[[0, 0, 0]]), "no volume"),
    ],
)
def test_bad_states_get_one_line(state, words):
    with pytest.raises(InputError, match=words) as error:
        make().start(state)
    assert "\n" not in str(error.value)


def test_isotopes_are_taken_and_noted():
    deuterium = with_row("mass", 0, 2.014)
    stride = make()
    stride.start(deuterium)
    (note,) = stride.notes(deuterium)
    assert "mass 2.014 amu" in note
    assert "1.008" in note
    assert stride.notes(molecule()) == ()
    light = conformance.evolved(make, molecule(), 8.0 * FS)
    heavy = conformance.evolved(make, deuterium, 8.0 * FS)
    assert np.abs(light.position[0] - heavy.position[0]).max() > 1e-3


def test_a_new_member_is_checked():
    stride, state = make(), molecule()
    carry = stride.start(state)
    state.species[0] = 79
    with pytest.raises(InputError, match="79"):
        stride.membership_changed(state, carry, Change(np.arange(6)))


def test_step_doubling_takes_strides_whose_half_is_one():
    doubled = StepDoubling(make(), tolerance=1e-3)
    assert doubled.capabilities.strides == pytest.approx([4.0 * FS, 8.0 * FS])
    state = molecule()
    step = doubled.advance(state, doubled.start(state), 8.0 * FS)
    assert step.error < 1e-9  # the springs' map is a flow
