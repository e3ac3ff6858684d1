"""Estimators of error control: values known in closed form, locality, costs, and the calibration that scales them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import ring_engine as double
from askel.integrators import Step
from askel.md.calibration import Calibration, calibrate, kinetic_temperature, segment_states
from askel.md.estimator import Context, Unscored, mismatch, ratio
from askel.md.estimators import (
    ESTIMATORS,
    DoublingDefect,
    EnergyDefect,
    EnsembleSpread,
    LocalEnergyDefect,
    ReversibilityDefect,
    TrainingRange,
)
from askel.md.stride import LearnedStride
from askel.md.temperature import boltzmann
from askel.particles import InputError, custom_units

FS, ASE, ring, kick = double.FS, double.ASE, double.ring, double.kick
N, H = 40, 8.0 * double.FS
HEAT = boltzmann(ASE) * 300.0


def stride(**options):
    return LearnedStride(double.RingEngine(N, **options))


def tried(model, state=None, dt=H, **options):
    """Return (before, after, context) of a stride."""
    before = ring(N) if state is None else state
    after, carry = before.clone(), model.start(before)
    first = model.start(before)
    step = model.advance(after, carry, dt)
    return before, after, Context(model, first, carry, dt, step, thermal_energy=HEAT, **options)


def velocity_kick(row, amount):
    """Return a spoiler that adds a velocity (amount, 0, 0), in units of the thermal speed, to one atom."""
    size = amount * np.sqrt(3.0 * HEAT / double.MASS) * FS

    def spoil(u, v, h, d, w):
        w = w.copy()
        w[row, 0] += size
        return d, w

    return spoil


# ---------------------------------------------------------------------- mismatch


def test_a_mismatch_of_thermal_size_is_one():
    _, _, context = tried(stride())
    speed = np.sqrt(3.0 * HEAT / double.MASS)
    dx, dv = np.zeros((N, 3)), np.zeros((N, 3))
    dv[0, 1], dx[1, 2] = speed * np.sqrt(2.0), H * speed * np.sqrt(2.0)
    delta = mismatch(dx, dv, np.full(N, double.MASS), context)
    assert delta[:2] == pytest.approx([1.0, 1.0], rel=1e-14)
    assert not delta[2:].any()


def test_ratios_of_nothing_and_of_nan():
    assert ratio(np.array([0.0, 1.0, np.nan, 1.0]), np.array([0.0, 0.0, 1.0, 4.0])).tolist() == [
        0.0,
        np.inf,
        np.inf,
        0.25,
    ]


# ---------------------------------------------------------------------- strides


@pytest.mark.parametrize("estimator", [ReversibilityDefect(), DoublingDefect(), EnsembleSpread([stride()])])
def test_an_exact_model_has_no_defect(estimator):
    found = estimator.defect(*tried(stride()))
    assert found.shape == (N,)
    assert found.max() < 1e-12


def test_the_doubling_defect_in_closed_form():
    # whole: w = a h^2 u; two halves: a h^2/4 (u + u_half), and what the first kick does in the second half
    before, after, context = tried(stride(spoil=kick([7], 1e-5)))
    found = DoublingDefect().defect(before, after, context)
    u = np.linalg.norm(before.position[7] - double.sites(N)[7])
    size = 1e-5 * 64.0 * u / np.sqrt(2.0) / (np.sqrt(3.0 * HEAT / double.MASS) * FS)
    assert 0.2 * size < found[7] < 1.0 * size
    assert context.counts == {"estimator_strides": 2.0}


def test_the_reversibility_defect_of_a_kicked_velocity():
    """The way back starts off by the kick and gets another: exactly twice the kick when nothing pulls."""
    spoil = velocity_kick(7, 0.1)

    def free(u, v, h, d, w):
        return spoil(u, v, h, h * v, v)

    found = ReversibilityDefect().defect(*tried(stride(spoil=free)))
    # x'' - x = -h kick, v'' + v = -kick + kick = 0
    assert found[7] == pytest.approx(0.1 / np.sqrt(2.0), rel=1e-6)
    assert np.delete(found, 7).max() < 1e-12


@pytest.mark.parametrize("estimator", [ReversibilityDefect(), DoublingDefect()])
def test_one_bad_atom_is_seen_where_it_is(estimator):
    found = estimator.defect(*tried(stride(spoil=kick([20], 1e-4))))
    assert found.argmax() == 20
    assert found[20] > 0.01
    assert found[[0, 10, 30]].max() < 1e-3 * found[20]


def test_the_spread_of_two_models_is_half_their_distance():
    other = stride(spoil=velocity_kick(3, 0.2))
    found = EnsembleSpread([other]).defect(*tried(stride()))
    assert found[3] == pytest.approx(0.5 * 0.2 / np.sqrt(2.0), rel=1e-10)
    assert np.delete(found, 3).max() < 1e-12


def test_scores_are_defects_over_tolerance_and_scale():
    model = stride(spoil=velocity_kick(3, 0.2))
    estimator = EnsembleSpread([stride()], typical=0.01)
    defect = estimator.defect(*tried(model))
    assert estimator.score(*tried(model, tolerance=5.0)) == pytest.approx(defect / 0.05, rel=1e-12)


def test_a_check_that_the_model_refuses_is_unscored():
    model = stride(refuse_after=1)
    for estimator in (ReversibilityDefect(), DoublingDefect()):
        with pytest.raises(Unscored):
            estimator.defect(*tried(model))
        model = stride(refuse_after=1)


def test_doubling_is_blind_below_and_refused_without_a_half():
    assert not DoublingDefect().defect(*tried(stride(spoil=kick([3], 1e-4)), dt=2.0 * FS)).any()
    with pytest.raises(InputError, match="a stride and its half"):
        DoublingDefect().check((3.0, 8.0))
    with pytest.raises(InputError, match="not trained for the stride"):
        EnsembleSpread([stride(strides=(2.0,))]).check(stride().capabilities.strides)
    with pytest.raises(InputError, match="no other model"):
        EnsembleSpread([])


# ---------------------------------------------------------------------- energy


def test_an_exact_stride_keeps_the_energy_and_asks_for_it_once():
    interaction = double.RingInteraction(N)
    before, after, context = tried(stride())
    estimator = EnergyDefect(interaction)
    assert estimator.defect(before, after, context).max() < 1e-12
    assert interaction.calls == 2  # the first stride: both ends
    again, end, second = tried(stride(), state=after.clone())
    again.velocity *= 1.2  # a thermostat in between changes no position
    second.memory = context.memory
    estimator.defect(again, end, second)
    assert interaction.calls == 3
    assert second.counts == {"estimator_energies": 1.0}


def test_the_energy_defect_is_net_of_work_and_per_atom():
    interaction = double.RingInteraction(N)
    before, after, context = tried(stride())
    after.velocity *= 1.1
    gain = after.kinetic_energy() * (1.0 - 1.0 / 1.21)
    assert EnergyDefect(interaction).defect(before, after, context) == pytest.approx(
        np.full(N, gain / (N * HEAT)), rel=1e-9
    )
    context.step, context.memory = Step(elapsed=H, work=gain), {}
    assert EnergyDefect(interaction).defect(before, after, context).max() < 1e-12


def test_a_calculator_that_fails_leaves_the_stride_unscored():
    class Failing(double.RingInteraction):
        def evaluate(self, particles, out):
            raise RuntimeError("SCF not converged")

    with pytest.raises(Unscored, match="SCF"):
        EnergyDefect(Failing(N)).defect(*tried(stride()))


def test_a_wrong_partition_of_energy_is_invisible_to_the_energy_but_not_to_an_ensemble():
    before, after, context = tried(stride())
    a, b = after.velocity[0].copy(), after.velocity[20].copy()
    after.velocity[0], after.velocity[20] = b, a  # equal masses: momentum and energy stay
    assert EnergyDefect(double.RingInteraction(N)).defect(before, after, context).max() < 1e-12
    assert EnsembleSpread([stride()]).defect(before, after, context)[[0, 20]].min() > 0.1


def test_the_local_energy_defect_finds_the_place():
    ring_energies = double.RingInteraction(N)
    before, after, context = tried(stride())
    estimator = LocalEnergyDefect(ring_energies, radius=2.6)
    flow = estimator.defect(before, after, context)
    after.velocity[11] *= 5.0
    found = estimator.defect(before, after, context)
    changed = np.flatnonzero(np.abs(found - flow) > 1e-12)
    assert 11 in changed
    distance = np.linalg.norm(before.position - before.position[11], axis=1)
    assert set(changed) == set(np.flatnonzero(distance < 2.6))
    total = before.clone()
    assert ring_energies.atomic_energies(total).sum() == pytest.approx(EnergyDefect(ring_energies).potentials(total)[0])


# ---------------------------------------------------------------------- range


def test_ranges_score_one_at_their_limits():
    before, after, context = tried(stride())
    speed = np.linalg.norm(np.stack([before.velocity, after.velocity]), axis=2).max(0)
    moved = np.linalg.norm(after.position - before.position, axis=1)
    assert TrainingRange(largest_speed=2.0).score(before, after, context) == pytest.approx(speed / 2.0)
    assert TrainingRange(largest_speed={6: 0.5, 1: 9.0}).score(before, after, context) == pytest.approx(speed / 0.5)
    assert not TrainingRange(largest_speed={1: 1e-9}).score(before, after, context).any()  # no hydrogen here
    assert TrainingRange(largest_displacement=0.1).score(before, after, context) == pytest.approx(moved / 0.1)
    context.tolerance = 1e6
    assert TrainingRange(largest_displacement=0.1).score(before, after, context).max() > 0.1  # tolerance moves nothing


def test_close_pairs_are_found_across_the_boundary_before_and_after():
    limits = TrainingRange(shortest_pair={(6, 6): 1.0, (1, 6): 5.0})
    before, after, context = tried(stride())
    assert 0.4 < limits.score(before, after, context).max() < 0.7
    for state in (before, after):
        old = state.position.copy()
        state.position[0] = [0.0, 0.0, 0.0]
        state.position[N - 1] = [N * double.SPACING - 0.8, 0.0, 0.0]
        score = limits.score(before, after, context)
        assert score[[0, N - 1]] == pytest.approx([1.25, 1.25], rel=1e-9)
        assert score[1:-1].max() < 0.9
        state.position[...] = old


@pytest.mark.parametrize("limits", [{}, {"largest_speed": -1.0}, {"shortest_pair": {(1, 1): -0.1}}])
def test_ranges_without_limits_are_refused(limits):
    with pytest.raises(InputError, match="limit"):
        TrainingRange(**limits)


def test_every_estimator_has_a_name_of_its_own():
    assert sorted(ESTIMATORS) == ["doubling", "energy", "ensemble", "local-energy", "range", "reversibility"]


# ---------------------------------------------------------------------- calibration


def spoiled():
    """Return a model that is wrong by a known velocity: k thermal speeds/1000 for atom k."""
    size = np.sqrt(3.0 * HEAT / double.MASS) * FS

    def spoil(u, v, h, d, w):
        w = w.copy()
        w[:, 0] += 1e-3 * np.arange(N) * size
        return d, w

    return stride(spoil=spoil)


def calibrated(states=3):
    estimators = [EnsembleSpread([stride()]), DoublingDefect(), EnergyDefect(double.RingInteraction(N))]
    # states at exactly 300 K, so that the scale of thermal motion is known
    found = []
    for seed in range(states):
        state = ring(N, seed=seed)
        state.velocity *= np.sqrt(300.0 / kinetic_temperature(state))
        found.append(state)
    return calibrate(spoiled(), found, estimators, levels=(0.5, 0.9))


def test_quantiles_are_right():
    found = calibrated()
    assert found.levels == (0.5, 0.9, 0.99)
    assert (found.states, found.atoms) == (3, 3 * N)
    assert found.temperature == pytest.approx(300.0, rel=1e-12)
    expected = np.quantile(np.tile(1e-3 * np.arange(N) / np.sqrt(8.0), 3), found.levels)
    for dt in stride().capabilities.strides:
        for species in (0, 6):
            assert found.quantiles["ensemble"][dt][species] == pytest.approx(expected, rel=1e-9)
    assert set(found.quantiles["doubling"]) == {dt for dt in stride().capabilities.strides if dt > 3.0 * FS}


def test_a_calibration_is_the_scale():
    found, model = calibrated(), stride(spoil=velocity_kick(3, 0.2))
    before, after, context = tried(model, tolerance=2.0, calibration=found)
    estimator = EnsembleSpread([stride()])
    scale = np.quantile(np.tile(1e-3 * np.arange(N) / np.sqrt(8.0), 3), 0.99)
    assert estimator.score(before, after, context)[3] == pytest.approx(0.1 / np.sqrt(2.0) / (2.0 * scale), rel=1e-9)
    assert found.scale("reversibility", H, before) is None
    assert found.scale("ensemble", 3.0 * H, before) is None
    assert found.scale("ensemble", -H, before) == pytest.approx(np.full(N, scale))


def test_scales_are_those_of_each_species():
    state = ring(N)
    state.species[::2] = 8
    size = np.where(state.species == 8, 0.03, 0.01) * np.sqrt(3.0 * HEAT / double.MASS) * FS

    def spoil(u, v, h, d, w):
        return d, w + size[:, None] * [1.0, 0.0, 0.0]

    state.velocity *= np.sqrt(300.0 / kinetic_temperature(state))
    found = calibrate(stride(spoil=spoil), [state], [EnsembleSpread([stride()])])
    expected = np.where(state.species == 8, 0.03, 0.01) / np.sqrt(8.0)
    assert found.scale("ensemble", H, state) == pytest.approx(expected, rel=1e-6)
    state.species[:] = 1  # not in the data: the scale of all atoms
    assert found.scale("ensemble", H, state) == pytest.approx(np.full(N, 0.03 / np.sqrt(8.0)), rel=1e-6)
    with pytest.raises(InputError, match="'ase' units"):
        found.scale("ensemble", H, state.in_units(custom_units("1 nm", "1 amu", "1 ps")))


def test_json_keeps_everything():
    found = calibrated()
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(InputError, match="not a calibration"):
        Calibration.from_json({"units": "ase"})


def test_limits_are_the_range_of_the_data():
    found = calibrated()
    limits = found.limits(margin=0.1)
    states = [ring(N, seed=k) for k in range(3)]
    for state in states:
        state.velocity *= np.sqrt(300.0 / kinetic_temperature(state))
    speed = max(np.linalg.norm(s.velocity, axis=1).max() for s in states)
    near = min(np.linalg.norm(np.diff(s.position, axis=0), axis=1).min() for s in states)
    assert limits["largest_speed"] == pytest.approx({6: 1.1 * speed})
    assert limits["shortest_pair"][6, 6] <= 0.9 * near * (1.0 + 1e-12)
    assert TrainingRange(**limits).score(*tried(stride(), states[0])).max() < 1.3


def test_segments_give_states():
    a = ring(N)
    segment = SimpleNamespace(
        species=a.species, mass=a.mass, cell=a.cell, periodic=a.periodic,
        position=np.stack([a.position + k for k in range(9)]), velocity=np.stack([a.velocity * FS] * 9),
    )  # fmt: skip
    states = list(segment_states([segment, segment], per_segment=3))
    assert [s.position[0, 0] - a.position[0, 0] for s in states] == pytest.approx([0.0, 4.0, 8.0] * 2)
    assert states[0].velocity == pytest.approx(a.velocity, rel=1e-12)
    assert states[0].units == ASE


def test_bad_calibrations_are_refused():
    with pytest.raises(InputError, match="no states"):
        calibrate(stride(), [], [ReversibilityDefect()])
    with pytest.raises(InputError, match="fails from a state"):
        calibrate(stride(broken=3), [ring(N)], [ReversibilityDefect()])
