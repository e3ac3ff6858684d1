"""Replicas in one batch: each as if it ran alone, each at its own temperature."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.integrators import Change, Fixed, Outcome, Simulation, conformance
from askel.md.barostat import CellRescaling
from askel.md.conservation import ConserveMomentum
from askel.md.energy_correction import CorrectEnergy
from askel.md.layers import Layered
from askel.md.random_rotation import RotateRandomly
from askel.md.replicas import Replicas, replicate
from askel.md.stride import LearnedStride
from askel.md.thermostats import THERMOSTATS, thermostat
from askel.particles import InputError

FS, ASE, molecule = double.FS, double.ASE, double.molecule
DT = 8.0 * FS

TEMPERATURES = (200.0, 300.0, 900.0)


def three():
    return replicate([molecule(seed=1), molecule((1, 8, 8), seed=2), molecule(seed=3)])


def layers(kind):
    return [(ConserveMomentum(), thermostat(kind, t, 4.0 * DT, seed=5)) for t in TEMPERATURES]


def batch(kind, starts, **engine):
    return Replicas(LearnedStride(double.HarmonicEngine(**engine), starts=starts), layers(kind), starts)


@pytest.mark.parametrize("kind", sorted(THERMOSTATS))
def test_replicas_equal_single_runs_bit_for_bit(kind):
    whole, starts = three()
    propagator, state = batch(kind, starts), whole.clone()
    carry, work = propagator.start(state), 0.0
    for _ in range(30):
        work += propagator.advance(state, carry, DT).work
    alone_work = 0.0
    for r, own in enumerate(layers(kind)):
        rows = np.arange(starts[r], starts[r + 1])
        alone = whole.select(rows)
        single = Layered(LearnedStride(double.HarmonicEngine()), *own)
        memory = single.start(alone)
        for _ in range(30):
            alone_work += single.advance(alone, memory, DT).work
        assert conformance.same_bits(alone, state.select(rows))
    assert work == pytest.approx(alone_work, rel=1e-12)
    assert abs(work) > 1e-3


def test_replicas_have_noise_of_their_own():
    whole, starts = replicate([molecule(), molecule()])
    for kind in ("langevin", "bussi"):
        own = [(thermostat(kind, 300.0, DT, seed=1),) for _ in range(2)]
        state = whole.clone()
        propagator = Replicas(LearnedStride(double.HarmonicEngine(), starts=starts), own, starts)
        propagator.advance(state, propagator.start(state), DT)
        assert np.abs(state.velocity[:6] - state.velocity[6:]).max() > 1e-4


def test_the_energy_account_and_restart(tmp_path):
    from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint

    whole, starts = replicate([molecule(seed=1), molecule(seed=2)])

    class Springs(double.HarmonicInteraction):
        def evaluate(self, particles, out):
            total = 0.0
            for a, b in ((0, 6), (6, 12)):
                part = particles.select(np.arange(a, b))
                own = type(out)(6, out.wants)
                super().evaluate(part, own)
                total += own.potential_energy
            out.potential_energy = total

    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    def simulation():
        own = [(thermostat("bussi", t, 4.0 * DT),) for t in (200.0, 400.0)]
        inner = LearnedStride(double.HarmonicEngine(), starts=starts)
        return Simulation(whole.clone(), Replicas(inner, own, starts), Fixed(DT), potential=Springs())

    assert simulation().run(50 * DT).max_energy_error < 1e-12
    assert conformance.restart_is_bit_equal(simulation, 10 * DT, 20 * DT, through=through)


def test_each_replica_reaches_its_temperature():
    from askel.md.temperature import temperatures

    whole, starts = replicate([molecule(seed=s) for s in (1, 2, 3)])
    own = [(thermostat("bussi", t, DT, seed=5),) for t in TEMPERATURES]
    propagator = Replicas(LearnedStride(double.HarmonicEngine(), starts=starts), own, starts)
    state, found = whole, np.zeros(3)
    carry = propagator.start(state)
    for k in range(1100):
        propagator.advance(state, carry, DT)
        if k >= 100:
            found += [temperatures(part)[0] / 1000 for part in propagator.parts(state)]
    assert found == pytest.approx(TEMPERATURES, rel=0.08)


def test_failures_name_their_replica():
    whole, starts = three()
    propagator = batch("bussi", starts, broken=7)
    step = propagator.advance(whole, propagator.start(whole), DT)
    assert step.outcome is Outcome.NOT_FINITE
    assert step.identities == (7,)
    hot = [(), (CorrectEnergy(double.HarmonicInteraction(stiffness=50.0)),), ()]
    propagator = Replicas(LearnedStride(double.HarmonicEngine(), starts=starts), hot, starts)
    whole, _ = three()
    step = propagator.advance(whole, propagator.start(whole), DT)
    assert step.outcome is Outcome.NOT_CONVERGED
    assert step.identities == (6, 7, 8)
    assert step.statistics["failed_replicas"] == 1


def test_conformance():
    whole, starts = three()

    def make():
        return batch("langevin", starts)

    assert conformance.zero_step_is_identity(make, whole, DT)
    assert conformance.lands_exactly(make, whole, DT)
    assert conformance.synchronise_is_harmless(make, whole, DT)


def test_refusals():
    whole, starts = three()
    inner = LearnedStride(double.HarmonicEngine(), starts=starts)
    with pytest.raises(InputError, match="2 sets of layers for 3 replicas"):
        Replicas(inner, [(), ()], starts)
    with pytest.raises(InputError, match="expected ascending numbers"):
        Replicas(inner, [(), ()], (0, 5, 5))
    barostat = CellRescaling(double.HarmonicInteraction(), 0.0, 300.0, 1.0, compressibility=1.0)
    for layer in (barostat, RotateRandomly()):
        with pytest.raises(InputError, match="share one cell"):
            Replicas(inner, [(), (layer,), ()], starts)
    with pytest.raises(InputError, match="the state has 6 particles"):
        Replicas(inner, [(), (), ()], starts).start(molecule())
    with pytest.raises(InputError, match="replicas end at row 15; expected 6"):
        inner.start(molecule())
    propagator = batch("bussi", starts)
    with pytest.raises(InputError, match="keep their atoms"):
        propagator.membership_changed(whole, propagator.start(whole), Change(np.arange(3)))
    with pytest.raises(InputError, match="share one cell"):
        replicate([molecule(), molecule(cell=np.eye(3))])
