"""The fall-back: whole and regional, exact clusters, its error and its seam, calculators that fail, ASE calculators."""

import numpy as np
import pytest
import ring_engine as double
from askel.integrators import Outcome, conformance
from askel.integrators.composition import leapfrog
from askel.md.fallback import Fallback
from askel.md.stride import LearnedStride
from askel.particles import InputError, Particles

FS, ring = double.FS, double.ring
N, H = 60, 8.0 * double.FS


def exact(state, count=1):
    return conformance.evolved(lambda: LearnedStride(double.RingEngine(N)), state, H, count)


def offender(row=20):
    mask = np.zeros(N, bool)
    mask[row] = True
    return mask


def repaired(fallback, row=20, wrong=0.3):
    """Return (before, exact after, repaired after) where one atom's stride was wrong by ``wrong`` thermal speeds."""
    before = ring(N)
    truth = exact(before)
    after = truth.clone()
    size = wrong * before.velocity.std()
    after.velocity[row] += size
    after.position[row] += 0.5 * H * size
    rows = fallback.rows(before, offender(row))
    step, problem = fallback.redo(before, after, rows, H)
    assert (step.outcome, problem) == (Outcome.COMPLETED, "")
    return before, truth, after


def error(one, truth, rows=slice(None)):
    return float(np.abs(one.velocity - truth.velocity)[rows].max() / truth.velocity.std())


def test_the_region_is_what_lies_within_the_radius():
    before = ring(N)
    fallback = Fallback(double.RingInteraction(N), FS, radius=2.5 * double.SPACING)
    assert np.flatnonzero(fallback.rows(before, offender())).tolist() == [18, 19, 20, 21, 22]
    assert np.flatnonzero(fallback.rows(before, offender(0))).tolist() == [0, 1, 2, 58, 59]
    assert np.flatnonzero(Fallback(double.RingInteraction(N), FS, radius=0.0).rows(before, offender())).tolist() == [20]
    assert Fallback(double.RingInteraction(N), FS).rows(before, offender()).all()
    many = np.isin(np.arange(N), range(0, N, 8))  # eight offenders, five atoms each: two thirds
    assert fallback.rows(before, many).all()  # a region of more than half is not worth its seam
    patient = Fallback(double.RingInteraction(N), FS, radius=2.5 * double.SPACING, largest=0.9)
    assert 0.5 < patient.rows(before, many).mean() < 0.75


def test_whole_fallback_is_velocity_verlet_of_the_asked_step():
    before, interaction = ring(N), double.RingInteraction(N)
    after = before.clone()
    fallback = Fallback(interaction, 0.5 * FS)
    step, _ = fallback.redo(before, after, np.ones(N, bool), H)
    fine = conformance.evolved(lambda: leapfrog(double.RingInteraction(N)), before, H / 16, 16)
    assert conformance.distance(after, fine) < 1e-15
    assert (step.statistics["force_steps"], interaction.calls) == (16.0, 17)
    assert 1e-6 < error(after, exact(before)) < 1e-2


@pytest.mark.parametrize("radius", [5.0, 9.0])
def test_the_region_is_repaired_and_the_rest_keeps_its_stride(radius):
    fallback = Fallback(double.RingInteraction(N), 0.5 * FS, radius=radius, momentum="free")
    before, truth, after = repaired(fallback)
    rows = fallback.rows(before, offender())
    assert np.array_equal(after.position[~rows], truth.position[~rows])
    assert np.array_equal(after.velocity[~rows], truth.velocity[~rows])
    assert 1e-6 < error(after, truth, rows) < 5e-3  # that of velocity Verlet; it was 0.3


def test_the_error_falls_as_the_square_of_the_step():
    sizes = [
        error(*repaired(Fallback(double.RingInteraction(N), h * FS, radius=5.0, momentum="free"))[:0:-1])
        for h in (1.0, 0.5)
    ]
    assert 3.5 < sizes[0] / sizes[1] < 4.5


def test_a_buffer_that_reaches_far_enough_is_exact_and_one_that_does_not_is_not():
    def after(**options):
        interaction = double.RingInteraction(N)
        out = repaired(Fallback(interaction, 0.5 * FS, radius=5.0, momentum="free", **options))[2]
        return out, interaction.atoms / interaction.calls

    everybody, seen_all = after()
    near, seen_near = after(buffer=1.5 * double.SPACING)
    blind, _ = after(buffer=0.1)
    assert conformance.same_bits(near, everybody)
    assert (seen_all, seen_near) == (N, 7)  # five atoms and one on either side
    assert conformance.distance(blind, everybody) > 1e-3


def test_momentum_is_restored_by_one_small_shift():
    fallback = Fallback(double.RingInteraction(N), 0.5 * FS, radius=5.0)
    before, truth, after = repaired(fallback)
    rows = fallback.rows(before, offender())
    assert np.abs(before.mass @ (after.velocity - before.velocity)).max() < 1e-12
    shift = after.velocity[~rows] - truth.velocity[~rows]
    assert np.ptp(shift, axis=0).max() < 1e-14
    assert 0.0 < np.abs(shift).max() < 1e-3 * before.velocity.std()


def test_the_seam_is_of_second_order_in_the_stride():
    """What neighbours outside the region do not feel: they keep the path of a stride whose bad atom was elsewhere."""
    fallback = Fallback(double.RingInteraction(N), 0.25 * FS, radius=0.0, momentum="free")

    def seam(share):
        before = ring(N)
        wrong = before.clone()
        wrong.position[20] += 0.5  # the model believes that the atom starts elsewhere ...
        h = share * H
        engine = double.RingEngine(N, strides=(8.0 * share,))
        wrong = conformance.evolved(lambda: LearnedStride(engine), wrong, h)
        truth = conformance.evolved(lambda: LearnedStride(engine), before, h)
        fallback.redo(before, wrong, offender(), h)
        neighbour = float(np.abs(wrong.position - truth.position)[21].max())
        return neighbour, double.STIFFNESS * 0.5 * h**2 / (2.0 * double.MASS)  # F' d h^2/(2 m)

    for share in (0.5, 0.25):
        found, estimate = seam(share)
        assert 0.7 * estimate < found < 1.3 * estimate


def test_backwards_in_time():
    before = ring(N)
    after = before.clone()
    fallback = Fallback(double.RingInteraction(N), 0.5 * FS)
    fallback.redo(before, after, np.ones(N, bool), H)
    back = after.clone()
    fallback.redo(after, back, np.ones(N, bool), -H)
    assert conformance.distance(back, before) < 1e-12
    assert back.time == pytest.approx(before.time, abs=1e-15)


class Failing(double.RingInteraction):
    def evaluate(self, particles, out):
        super().evaluate(particles, out)
        if self.calls > 3:
            raise RuntimeError("SCF not converged\nmore words")


class Poisoned(double.RingInteraction):
    def evaluate(self, particles, out):
        super().evaluate(particles, out)
        out.acceleration[2] = np.nan


@pytest.mark.parametrize(
    ("kind", "outcome", "words"),
    [(Failing, Outcome.NOT_CONVERGED, "RuntimeError: SCF not converged"), (Poisoned, Outcome.NOT_FINITE, "")],
)
def test_a_failing_calculator_changes_nothing(kind, outcome, words):
    before = ring(N)
    after = before.clone()
    step, problem = Fallback(kind(N), FS).redo(before, after, np.ones(N, bool), H)
    assert (step.outcome, step.elapsed, problem) == (outcome, 0.0, words)
    assert conformance.same_bits(after, before)


def test_an_ase_calculator_gets_a_cluster():
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from askel.md import AseInteraction

    atoms = bulk("Cu", cubic=True) * (4, 4, 4)
    atoms.rattle(0.05, seed=1)
    state = Particles.from_ase(atoms).clone()
    state.velocity[...] = np.random.default_rng(0).normal(size=state.velocity.shape) * 0.02
    mask = np.zeros(state.n, bool)
    mask[0] = True
    results = []
    for buffer in (None, 2.5 * 3.7):  # EMT reaches 5.9 Angstrom, and twice through the density
        after = state.clone()
        after.position += 4.0 * FS * after.velocity
        fallback = Fallback(AseInteraction(EMT(), atoms), 2.0 * FS, radius=3.0, buffer=buffer, momentum="free")
        rows = fallback.rows(state, mask)
        step, _ = fallback.redo(state, after, rows, 4.0 * FS)
        assert step.outcome is Outcome.COMPLETED
        results.append(after)
    assert rows.sum() == 13  # an atom and its twelve neighbours
    assert conformance.distance(*results) < 1e-10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1.0}, "radius"),
        ({"buffer": 3.0}, "no radius"),
        ({"radius": 3.0, "buffer": 0.0}, "buffer"),
        ({"step": -1.0}, "step"),
        ({"radius": 3.0, "momentum": "x"}, "momentum"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Fallback(double.RingInteraction(N), **{"step": FS, **options})
