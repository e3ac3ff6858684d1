"""The stochastic barostat: volume distributions in closed form, its account of energy, restart, refusals."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.integrators import Fixed, Outcome, Simulation, conformance
from askel.md.barostat import Barostatted, CellRescaling
from askel.md.stride import LearnedStride
from askel.md.temperature import boltzmann
from askel.md.thermostats import Thermostatted, thermostat
from askel.particles import InputError

FS, ASE, molecule = double.FS, double.ASE, double.molecule
DT = 8.0 * FS

KT = boltzmann(ASE) * 300.0
PRESSURE = 7.0 * KT / 200.0  # six free atoms then fill 200 cubic Angstrom


class Sea:
    """U = stiffness (V - 200)^2 / 400, of the volume alone: virial = -3 V dU/dV."""

    provides = frozenset({"acceleration", "potential_energy", "virial"})
    velocity_dependent = False

    def __init__(self, stiffness=0.0):
        self.stiffness, self.calls = stiffness, 0

    def evaluate(self, particles, out):
        self.calls += 1
        out.acceleration[...] = 0.0
        volume = abs(np.linalg.det(particles.cell))
        out.potential_energy = self.stiffness * (volume - 200.0) ** 2 / 400.0
        if out.virial is not None:
            out.virial[...] = -volume * self.stiffness * (volume - 200.0) / 200.0 * np.eye(3)


def box(**fields):
    return molecule(cell=200.0 ** (1 / 3) * np.eye(3), periodic=[True] * 3, **fields)


def stack(interaction, coupling="isotropic", *, conserved="momentum", slow=12.0, **options):
    """Return free atoms under Langevin's thermostat and the barostat: relaxation of the volume in ``slow`` steps."""
    bath = thermostat("langevin", 300.0, DT, seed=7, conserved=conserved)
    free = LearnedStride(double.HarmonicEngine(stiffness=0.0))
    cell = CellRescaling(
        interaction, PRESSURE, 300.0, slow * DT, compressibility=1.0 / PRESSURE, coupling=coupling, conserved=conserved,
        seed=3, **options,
    )  # fmt: skip
    return Barostatted(Thermostatted(free, bath), cell)


def volumes(propagator, steps, skip=100):
    state, out = box(), []
    carry = propagator.start(state)
    for k in range(steps):
        assert not propagator.advance(state, carry, DT).outcome.failed
        if k >= skip:
            out.append(np.linalg.det(state.cell))
    return np.array(out)


def exact_moments(stiffness, power):
    """Return mean and variance of p(V) ~ V^power exp(-(U + P V)/kT)."""
    v = np.linspace(1.0, 1500.0, 60000)
    log = power * np.log(v) - (stiffness * (v - 200.0) ** 2 / 400.0 + PRESSURE * v) / KT
    p = np.exp(log - log.max())
    mean = (p * v).sum() / p.sum()
    return mean, (p * (v - mean) ** 2).sum() / p.sum()


@pytest.mark.slow
@pytest.mark.parametrize("coupling", ["isotropic", "axes"])
@pytest.mark.parametrize("stiffness", [0.0, 8e-4])
def test_volumes_are_those_of_constant_pressure(coupling, stiffness):
    """An ideal gas of 6 atoms, p(V) ~ V^6 exp(-PV/kT), alone and in a sea that resists compression."""
    found = volumes(stack(Sea(stiffness), coupling, slow=20.0), 15000)
    mean, variance = exact_moments(stiffness, 6)
    assert found.mean() == pytest.approx(mean, rel=0.05)
    assert found.var() == pytest.approx(variance, rel=0.2)
    assert mean > 1.05 * exact_moments(stiffness, 5)[0] or stiffness > 0.0


def test_the_mean_volume_of_an_ideal_gas():
    """<V> = (n + 1) kT/P = 200; a centre of mass forgotten would give 171."""
    found = volumes(stack(Sea()), 4000)
    assert found.mean() == pytest.approx(200.0, rel=0.09)
    assert 0.2 < found.std() / found.mean() < 0.6  # exactly 1/sqrt(7) = 0.38


@pytest.mark.parametrize("coupling", ["isotropic", "axes"])
def test_the_energy_account_closes(coupling):
    run = Simulation(box(), stack(Sea(8e-4), coupling), Fixed(DT), potential=Sea(8e-4))
    assert run.run(100 * DT).max_energy_error < 1e-11
    assert abs(run.work) > 1e-4


def test_momentum_stays_and_axes_differ_only_where_asked():
    for coupling, same in (("isotropic", True), ("axes", False)):
        state = conformance.evolved(lambda c=coupling: stack(Sea(), c), box(), DT, 20)
        assert np.abs(state.mass @ state.velocity).max() < 1e-13
        edges = np.diag(state.cell)
        assert (np.ptp(edges) < 1e-12) == same
        assert abs(edges.mean() / 200.0 ** (1 / 3) - 1.0) > 1e-4


def test_rescaling_every_few_steps_calls_forces_that_often():
    sea = Sea()
    propagator, state = stack(sea, every=5), box()
    carry = propagator.start(state)
    for _ in range(20):
        propagator.advance(state, carry, DT)
    assert sea.calls == 2 * 4


def test_restart_is_bit_equal(tmp_path):
    from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint

    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    def simulation():
        return Simulation(box(), stack(Sea(), every=3), Fixed(DT), potential=Sea())

    assert conformance.restart_is_bit_equal(simulation, 10 * DT, 20 * DT, through=through)


def test_a_collapse_is_an_outcome():
    propagator, state = stack(Sea(), slow=1e-3), box()
    carry, outcome = propagator.start(state), Outcome.COMPLETED
    for _ in range(5):
        outcome = propagator.advance(state, carry, DT).outcome
        if outcome.failed:
            break
    assert outcome is Outcome.NOT_CONVERGED
    assert np.isfinite(state.position).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"coupling": "shape"}, "coupling is 'shape'"), ({"compressibility": 0.0}, "compressibility 0"), ({"every": 0}, "every 0")],
)  # fmt: skip
def test_refusals(change, words):
    options = {"compressibility": 1.0, **change}
    with pytest.raises(InputError, match=words):
        CellRescaling(Sea(), 1.0, 300.0, 1.0, **options)


def test_open_systems_are_refused():
    with pytest.raises(InputError, match="repeats in all three directions"):
        stack(Sea()).start(molecule())
