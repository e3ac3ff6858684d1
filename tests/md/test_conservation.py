"""Momentum, energy and orientation as layers around maps that spoil them on purpose."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.integrators import Fixed, Outcome, Simulation, conformance
from askel.md.conservation import MomentumConserving
from askel.md.energy_correction import EnergyCorrected
from askel.md.random_rotation import RandomlyRotated
from askel.md.rigid import angular_momentum, inverse_inertia, rotation, rotation_axes, rotation_field
from askel.md.stride import LearnedStride
from askel.md.thermostats import Thermostatted, thermostat
from askel.particles import InputError, NumericalFailure

FS, ASE, molecule = double.FS, double.ASE, double.molecule
DT = 8.0 * FS


class Spoiled(double.HarmonicEngine):
    """The springs' map with an error that knows no symmetry: along x, by a share of the velocity."""

    def __init__(self, error=1e-2, heat=0.0, **options):
        super().__init__(**options)
        self.error, self.heat = error, heat

    def stride(self, species, mass, position, velocity, *rest):
        d, v = super().stride(species, mass, position, velocity, *rest)
        d[:, 0] += self.error * (np.abs(velocity[:, 1]) * 8.0 + 1e-2)
        v[:, 0] *= 1.0 + self.error
        v[:, 2] += self.error * np.abs(velocity[:, 0])
        return d, v * (1.0 + self.heat)


def spoiled(**options):
    return LearnedStride(Spoiled(**options))


def springs():
    return double.HarmonicInteraction()


def momenta(state):
    """Return total momentum and angular momentum relative to their scales."""
    scale = np.abs(state.mass[:, None] * state.velocity).sum()
    spin = angular_momentum(state.mass, state.position, state.velocity)
    return np.abs(state.mass @ state.velocity).max() / scale, np.abs(spin).max() / scale / np.abs(state.position).max()


# ---------------------------------------------------------------------- rigid motion


def test_inertia_of_a_rotor_and_of_a_line():
    mass, x = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.5, 2.0]])
    spin = np.array([0.3, -0.2, 0.5])
    field = rotation_field(mass, x, spin)
    assert angular_momentum(mass, x, field) == pytest.approx(spin, abs=1e-14)
    assert np.abs(mass @ field).max() < 1e-15
    assert rotation_axes(mass, x) == 3
    line = np.outer([-1.0, 0.2, 1.5], [1.0, 2.0, -1.0])
    assert rotation_axes(mass, line) == 2
    assert rotation_axes(mass[:1], x[:1]) == 0
    across = np.cross([1.0, 2.0, -1.0], [0.0, 0.0, 1.0])
    assert angular_momentum(mass, line, rotation_field(mass, line, across)) == pytest.approx(across, abs=1e-13)
    assert np.isfinite(inverse_inertia(mass, np.zeros((3, 3)))).all()


def test_rotations_are_uniform_and_proper():
    turned = np.array([rotation(q) for q in np.random.default_rng(1).normal(size=(4000, 4))])
    assert np.abs(turned @ turned.transpose(0, 2, 1) - np.eye(3)).max() < 1e-14
    assert np.linalg.det(turned) == pytest.approx(np.ones(4000))
    assert np.abs(turned.mean(axis=0)).max() < 0.04
    assert (turned**2).mean(axis=0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.03)


# ---------------------------------------------------------------------- momentum


def test_momenta_are_kept_around_a_map_that_spoils_them():
    loose = conformance.evolved(spoiled, molecule(), DT, 20)
    kept = conformance.evolved(lambda: MomentumConserving(spoiled()), molecule(), DT, 20)
    assert min(momenta(loose)) > 1e-3
    linear, angular = momenta(kept)
    assert linear < 1e-12
    assert angular < 1e-10
    assert np.abs(kept.mass @ kept.position).max() < 1e-11  # the centre of mass rests
    assert np.abs(loose.mass @ loose.position).max() > 1e-2


def test_a_moving_and_turning_system_goes_on_moving_and_turning():
    state = molecule()
    state.velocity += [1e-2, 2e-3, 0.0]
    state.velocity += rotation_field(state.mass, state.position, np.array([0.1, -0.2, 0.3]))
    kept = conformance.evolved(lambda: MomentumConserving(spoiled()), state, DT, 20)
    total = state.mass.sum()
    assert kept.mass @ kept.velocity / total == pytest.approx([1e-2, 2e-3, 0.0], abs=1e-14)
    assert kept.mass @ kept.position / total == pytest.approx(20 * DT * np.array([1e-2, 2e-3, 0.0]), abs=1e-12)
    assert angular_momentum(kept.mass, kept.position, kept.velocity) == pytest.approx([0.1, -0.2, 0.3], abs=1e-11)


def test_periodic_systems_keep_linear_momentum_alone():
    state = molecule(cell=9.0 * np.eye(3), periodic=[True] * 3)
    linear, angular = momenta(conformance.evolved(lambda: MomentumConserving(spoiled()), state, DT, 20))
    assert linear < 1e-12
    assert angular > 1e-3


def test_two_atoms_have_no_rotation_about_their_line():
    """What the new line does not allow of the old angular momentum cannot be given back; all else is."""
    state = molecule((1, 8))
    kept = conformance.evolved(lambda: MomentumConserving(spoiled()), state, DT)
    assert np.isfinite(kept.velocity).all()
    line = kept.position[1] - kept.position[0]
    before = angular_momentum(state.mass, state.position, state.velocity)
    across = before - line * (line @ before) / (line @ line)
    assert np.abs(before - across).max() > 1e-7
    assert angular_momentum(kept.mass, kept.position, kept.velocity) == pytest.approx(across, abs=1e-14)


def test_an_exact_map_is_left_alone():
    exact = conformance.evolved(lambda: LearnedStride(double.HarmonicEngine()), molecule(), DT)
    kept = conformance.evolved(lambda: MomentumConserving(LearnedStride(double.HarmonicEngine())), molecule(), DT)
    assert conformance.distance(kept, exact) < 1e-14


# ---------------------------------------------------------------------- energy


def test_energy_and_momenta_are_kept_together():
    state = molecule()
    state.velocity += [1e-3, 0.0, 2e-3]
    state.velocity += rotation_field(state.mass, state.position, np.array([0.1, -0.2, 0.3]))
    run = Simulation(state.clone(), EnergyCorrected(spoiled(heat=-0.02), springs()), Fixed(DT), potential=springs())
    report = run.run(100 * DT)
    after = run.particles
    assert report.max_energy_error < 1e-12
    assert after.mass @ after.velocity == pytest.approx(state.mass @ state.velocity, abs=1e-12)
    spin = angular_momentum(after.mass, after.position, after.velocity)
    assert spin == pytest.approx([0.1, -0.2, 0.3], abs=1e-10)
    assert 1e-3 < report.statistics["max_energy_defect"] < 0.2
    assert report.statistics["energy_evaluations"] == 100  # one a step: that of the last step serves the next
    loose = Simulation(molecule(), spoiled(heat=-0.02), Fixed(DT), potential=springs())
    assert loose.run(100 * DT).max_energy_error > 0.1


@pytest.mark.parametrize("heat", [-0.5, 0.5, -0.99])
def test_a_defect_beyond_the_limit_is_an_outcome(heat):
    propagator, state = EnergyCorrected(spoiled(heat=heat), springs()), molecule()
    step = propagator.advance(state, propagator.start(state), DT)
    assert step.outcome is Outcome.NOT_CONVERGED
    assert step.statistics["max_energy_defect"] > 0.2
    assert step.statistics["energy_correction"] == 0.0
    assert np.isfinite(state.velocity).all()
    with pytest.raises(NumericalFailure, match="did not converge"):
        Simulation(molecule(), propagator, Fixed(DT)).run(DT)


class Cliff:
    """A potential that rises so much that no kinetic energy can pay for it."""

    provides = frozenset({"acceleration", "potential_energy"})
    velocity_dependent = False

    def evaluate(self, particles, out):
        out.potential_energy = 1e3 * float((particles.position**2).sum())


def test_an_impossible_correction_is_an_outcome_and_never_nan():
    propagator, state = EnergyCorrected(spoiled(), Cliff(), limit=1.0), molecule()
    step = propagator.advance(state, propagator.start(state), DT)
    assert step.outcome is Outcome.NOT_CONVERGED
    assert np.isfinite(state.velocity).all()


def test_the_correction_reckons_with_the_work_of_a_thermostat_inside_and_outside():
    bath = thermostat("bussi", 300.0, 5.0 * DT, seed=1)
    for wrap in (
        lambda: Thermostatted(EnergyCorrected(spoiled(), springs()), bath),
        lambda: EnergyCorrected(Thermostatted(spoiled(), bath), springs(), limit=0.5),
    ):
        run = Simulation(molecule(), wrap(), Fixed(DT), potential=springs())
        assert run.run(50 * DT).max_energy_error < 1e-12
        assert abs(run.work) > 1e-3


def test_one_atom_and_atoms_without_heat_pass():
    atom = molecule((8,))
    atom.velocity[...] = [1e-2, 0.0, 0.0]
    propagator = EnergyCorrected(LearnedStride(double.HarmonicEngine()), springs())
    step = propagator.advance(atom, propagator.start(atom), DT)
    assert step.outcome is Outcome.COMPLETED
    assert atom.velocity[0, 0] == pytest.approx(1e-2)


def test_limits_are_checked():
    with pytest.raises(InputError, match="limit of the energy correction is 2"):
        EnergyCorrected(spoiled(), springs(), limit=2.0)


# ---------------------------------------------------------------------- orientation


def test_random_rotations_change_nothing_around_an_equivariant_map():
    exact = conformance.evolved(lambda: LearnedStride(double.HarmonicEngine()), molecule(), DT, 50)
    turned = conformance.evolved(lambda: RandomlyRotated(LearnedStride(double.HarmonicEngine())), molecule(), DT, 50)
    assert 0.0 < conformance.distance(turned, exact) < 1e-12


def test_random_rotations_average_an_error_that_knows_a_direction():
    ends = []
    for make in (spoiled, lambda: RandomlyRotated(spoiled(), seed=3)):
        state = conformance.evolved(make, molecule(), DT, 30)
        ends.append(np.linalg.norm(state.mass @ state.velocity))
    assert ends[1] < 0.5 * ends[0]


def test_cells_come_back_to_the_bit_also_after_a_failure():
    cell = np.array([[9.0, 0.3, 0.0], [0.0, 8.0, 0.1], [0.2, 0.0, 7.0]])
    for broken in (None, 1):
        state = molecule(cell=cell, periodic=[True] * 3)
        before = state.clone()
        propagator = RandomlyRotated(LearnedStride(double.HarmonicEngine(broken=broken)))
        step = propagator.advance(state, propagator.start(state), DT)
        assert step.outcome.failed == (broken is not None)
        assert np.array_equal(state.cell, cell)
        if broken is not None:
            assert conformance.distance(state, before) < 1e-14


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: MomentumConserving(spoiled()),
        lambda: EnergyCorrected(spoiled(), springs()),
        lambda: RandomlyRotated(spoiled(), seed=2),
        lambda: RandomlyRotated(MomentumConserving(Thermostatted(spoiled(), thermostat("langevin", 300.0, DT)))),
    ],
)
def test_conformance_and_restart(wrap, tmp_path):
    from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint

    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    def simulation():
        return Simulation(molecule(), wrap(), Fixed(DT), potential=springs())

    assert conformance.zero_step_is_identity(wrap, molecule(), DT)
    assert conformance.synchronise_is_harmless(wrap, molecule(), DT)
    assert conformance.lands_exactly(wrap, molecule(), DT)
    assert conformance.restart_is_bit_equal(simulation, 10 * DT, 20 * DT, through=through)
