"""Thermostats around exact maps: their distributions, their account of energy, restarts, and noise that has no order."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.integrators import Change, Fixed, Simulation, conformance
from askel.integrators.composition import leapfrog
from askel.md.bussi import Bussi
from askel.md.langevin import Langevin
from askel.md.nose_hoover import NoseHoover
from askel.md.rigid import angular_momentum
from askel.md.stride import LearnedStride
from askel.md.temperature import boltzmann, degrees_of_freedom
from askel.md.thermostats import THERMOSTATS, Thermostatted, thermostat
from askel.particles import InputError, Particles
from scipy.stats import gamma, kstest

FS, ASE, molecule = double.FS, double.ASE, double.molecule

KT = boltzmann(ASE) * 300.0
DT = 8.0 * FS
KINDS = sorted(THERMOSTATS)
OPTIONS = [(kind, {}) for kind in KINDS] + [
    ("bussi", {"groups": "species"}),
    ("nose-hoover", {"groups": "species"}),
    ("langevin", {"conserved": "momentum"}),
    ("langevin", {"conserved": "nothing"}),
]
NAMES = [f"{kind}{'-'.join(['', *o.values()])}" for kind, o in OPTIONS]
every_thermostat = pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=NAMES)


def stack(kind, options=None, *, stiffness=0.05, time_constant=10.0 * DT, seed=4, **engine):
    """Return a thermostatted stride of springs."""
    options = options or {}
    bath = thermostat(kind, 300.0, time_constant, seed=seed, **options)
    return Thermostatted(LearnedStride(double.HarmonicEngine(stiffness=stiffness, **engine)), bath)


def sampled(propagator, state, steps, measure, every=1, skip=0):
    """Return what ``measure`` gives after every so many steps."""
    carry, out = propagator.start(state), []
    for k in range(steps):
        assert not propagator.advance(state, carry, DT).outcome.failed
        if k >= skip and k % every == 0:
            out.append(measure(state))
    return np.array(out)


# ---------------------------------------------------------------------- energy, momenta, restart, noise


@every_thermostat
def test_the_energy_account_closes(kind, options):
    run = Simulation(molecule(), stack(kind, options), Fixed(DT), potential=double.HarmonicInteraction())
    report = run.run(200.0 * DT)
    assert report.max_energy_error < 1e-12
    change = run.energy() - Simulation(molecule(), stack(kind), Fixed(DT), potential=run._potential).energy()
    assert abs(change) > 1e-3 * abs(run.energy())  # heat was exchanged
    assert run.work == pytest.approx(change, rel=1e-9)


@every_thermostat
def test_what_is_conserved_stays(kind, options):
    state = molecule()
    after = conformance.evolved(lambda: stack(kind, options), state, DT, 100)
    scale = np.abs(state.mass[:, None] * state.velocity).sum()
    momentum = np.abs(after.mass @ after.velocity).max() / scale
    spin = angular_momentum(after.mass, after.position, after.velocity)
    spin = np.abs(spin).max() / (scale * np.abs(after.position).max())
    free = options.get("conserved") == "nothing"
    rotates = options.get("groups") == "species" or (options.get("conserved") in ("nothing", "momentum"))
    assert (momentum > 1e-3) if free else (momentum < 1e-12)
    assert (spin > 1e-4) if rotates else (spin < 1e-10)


def test_a_moving_system_keeps_moving():
    state = molecule()
    state.velocity += [1e-2, 0.0, 0.0]
    for kind in KINDS:
        after = conformance.evolved(lambda kind=kind: stack(kind), state, DT, 50)
        assert after.mass @ after.velocity / after.mass.sum() == pytest.approx([1e-2, 0.0, 0.0], abs=1e-14)


@every_thermostat
def test_restart_is_bit_equal(kind, options, tmp_path):
    from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint

    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    def simulation():
        return Simulation(molecule(), stack(kind, options), Fixed(DT), potential=double.HarmonicInteraction())

    assert conformance.restart_is_bit_equal(simulation, 20 * DT, 40 * DT, through=through)


@every_thermostat
def test_conformance(kind, options):
    def make():
        return stack(kind, options)

    state = molecule()
    assert conformance.zero_step_is_identity(make, state, DT)
    assert conformance.synchronise_is_harmless(make, state, DT)
    assert conformance.lands_exactly(make, state, DT)
    assert conformance.permutation_defect(make, state, DT, [3, 1, 0, 5, 4, 2]) < 1e-12
    defect = conformance.reversibility_defect(make, state, DT, 5)
    assert (defect < 1e-11) if kind == "nose-hoover" else (defect > 1e-3)  # around a map that is reversible
    assert not make().capabilities.reversible  # a learned map promises nothing
    assert make().capabilities.strides == LearnedStride(double.HarmonicEngine()).capabilities.strides


def test_leapfrog_is_thermostatted_alike():
    chain = Thermostatted(leapfrog(double.HarmonicInteraction()), NoseHoover(300.0, 10.0 * DT))
    assert chain.capabilities.reversible
    assert chain.capabilities.order == 2
    assert conformance.reversibility_defect(lambda: chain, molecule(), FS, 20) < 1e-11


def test_noise_depends_on_identity_alone():
    """Half of the atoms alone move as they do among the others: the same on any number of ranks."""

    def make():
        return stack("langevin", {"conserved": "nothing"}, stiffness=0.0, pin=0.1)

    whole = conformance.evolved(make, molecule(), DT, 20)
    rows = [4, 1, 5]
    part = conformance.evolved(make, molecule().select(rows), DT, 20)
    assert conformance.distance(part, whole.select(rows)) < 1e-12  # the engine's eigenvectors round
    other = conformance.evolved(lambda: stack("langevin", stiffness=0.0, pin=0.1, seed=5), molecule(), DT, 20)
    assert conformance.distance(other, whole) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_memory_survives_a_change_of_membership(kind):
    propagator, state = stack(kind), molecule()
    carry = propagator.start(state)
    for _ in range(3):
        propagator.advance(state, carry, DT)
    state.replace_with(state.select([0, 2, 3, 5]))
    new = propagator.membership_changed(state, carry, Change(np.array([0, 2, 3, 5])))
    before, after = carry.layers[0], new.layers[0]
    if kind == "nose-hoover":
        assert np.array_equal(before.velocity, after.velocity)
        assert before.velocity.any()
    else:
        assert before.draws == after.draws == 6


def test_a_failed_stride_is_passed_on():
    propagator, state = stack("bussi", broken=1), molecule()
    step = propagator.advance(state, propagator.start(state), DT)
    assert step.outcome.failed
    assert step.identities == (1,)


# ---------------------------------------------------------------------- distributions


def test_langevin_samples_the_canonical_variances_of_positions_and_velocities():
    """OBABO around an exact map is exact for any stride: here 8 fs, a fifth of the fastest period."""
    state = molecule()
    states = sampled(
        stack("langevin", {"conserved": "momentum"}, time_constant=2.0 * DT),
        state,
        8000,
        lambda s: np.concatenate([s.position - s.mass @ s.position / s.mass.sum(), s.velocity]),
        skip=200,
    )
    k = double.springs(state.species, 0.05, 0.0)
    root = np.sqrt(state.mass)
    squared, modes = np.linalg.eigh(k / np.outer(root, root))
    n = state.n
    x, v = states[:, :n] * root[:, None], states[:, n:] * root[:, None]
    position = np.mean((modes.T @ x)[:, 1:] ** 2, axis=(0, 2)) * squared[1:] / KT
    velocity = np.mean((modes.T @ v)[:, 1:] ** 2, axis=(0, 2)) / KT
    assert np.abs(position - 1.0).max() < 0.13  # three standard errors of the slowest mode
    assert np.abs(velocity - 1.0).max() < 0.08
    assert position.mean() == pytest.approx(1.0, abs=0.03)
    assert velocity.mean() == pytest.approx(1.0, abs=0.03)
    assert np.abs(modes.T @ v)[:, 0].max() < 1e-12  # the momentum has none


@pytest.mark.parametrize(
    ("kind", "options", "degrees"),
    [("bussi", {}, 12), ("bussi", {"groups": "species"}, 15), ("langevin", {}, 12), ("langevin", {"conserved": "nothing"}, 18),
     ("langevin", {"conserved": "momentum"}, 15)],
)  # fmt: skip
def test_kinetic_energy_follows_its_gamma_distribution(kind, options, degrees):
    """With springs so weak that only the thermostat changes the kinetic energy.

    Bussi's thermostat of each species leaves the motion of the species' centres alone: 18 - 3 x 3 degrees are heated, and
    the others keep the energy they have, which is taken out.
    """
    species = options.get("groups") == "species"

    def kinetic(s):
        if not species:
            return s.kinetic_energy()
        centred = s.velocity.copy()
        for z in (1, 6):
            rows = s.species == z
            centred[rows] -= s.mass[rows] @ centred[rows] / s.mass[rows].sum()
        return 0.5 * float(s.mass[s.species != 8] @ (centred[s.species != 8] ** 2).sum(axis=1))

    state = molecule((1, 1, 6, 8, 1, 6))
    heated = 9 if species else degrees
    energies = sampled(stack(kind, options, stiffness=1e-9, time_constant=DT), state, 4000, kinetic, every=2, skip=30)
    exact = gamma(0.5 * heated, scale=KT)
    n = len(energies)
    assert energies.mean() == pytest.approx(exact.mean(), rel=5.0 * exact.std() / exact.mean() / np.sqrt(n) * 1.5)
    assert energies.var() == pytest.approx(exact.var(), rel=0.12)
    assert kstest(energies[::2], exact.cdf).pvalue > 1e-3
    assert kstest(energies[::2], gamma(0.5 * (heated - 3), scale=KT).cdf).pvalue < 1e-6  # a wrong count is seen


class Quartic:
    """Chaotic springs, U = k sum_{i<j} r^4 / 4: they share the energy among all modes."""

    provides = frozenset({"acceleration", "potential_energy"})
    velocity_dependent = False

    def evaluate(self, particles, out):
        r = particles.position[:, None] - particles.position[None]
        squared = np.einsum("ijk,ijk->ij", r, r)
        force = -0.02 * np.einsum("ij,ijk->ik", squared, r)
        out.acceleration[...] = force / particles.mass[:, None]
        out.potential_energy = 0.02 * float((squared**2).sum()) / 8.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kinetic_energy_in_contact_with_chaotic_motion(kind):
    """Mean and variance of the kinetic energy; with Langevin's, which reaches every atom, each atom's temperature."""
    state, dt = molecule(), 0.5 * FS
    propagator = Thermostatted(leapfrog(Quartic()), thermostat(kind, 300.0, 20.0 * FS, seed=2))
    carry, kinetic, heat, degrees = propagator.start(state), [], np.zeros(6), np.zeros(6)
    kept, total = "momentum and rotation", 12  # what an open system conserves
    for k in range(30000):
        propagator.advance(state, carry, dt)
        if k >= 1000 and k % 5 == 0:
            kinetic.append(state.kinetic_energy())
            heat += state.mass * (state.velocity**2).sum(axis=1)
            degrees += degrees_of_freedom(state, kept)
    assert np.mean(kinetic) == pytest.approx(0.5 * total * KT, rel=0.04)
    assert np.var(kinetic) == pytest.approx(0.5 * total * KT**2, rel=0.25)
    if kind == "langevin":
        assert heat / degrees == pytest.approx(np.full(6, KT), rel=0.08)


def test_chains_keep_their_own_energy():
    """Energy of particles and chains together is constant up to the splitting, which is of second order in dt."""
    errors = []
    for dt in (1.0, 0.5):
        bath = NoseHoover(300.0, 10.0 * FS)
        propagator, state = Thermostatted(leapfrog(Quartic()), bath), molecule()
        carry, energies = propagator.start(state), []
        for _ in range(int(400 / dt)):
            step = propagator.advance(state, carry, dt * FS)
            run = Simulation(state, leapfrog(Quartic()), Fixed(1.0), potential=Quartic())
            energies.append(run.energy() + bath.chain_energy(state, carry.layers[0]))
            assert np.isfinite(step.work)
        errors.append(np.std(energies))
    assert 2.5 < errors[0] / errors[1] < 6.0
    assert 1e-7 < errors[1] < 1e-3


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: thermostat("berendsen", 300.0, 1.0), "unknown thermostat 'berendsen'; known: langevin, bussi, nose-hoover"),
        (lambda: Langevin(-1.0, 1.0), "temperature is -1 K"),
        (lambda: Langevin(300.0, 0.0), "time constant is 0"),
        (lambda: Bussi(300.0, 1.0, groups="atoms"), "groups is 'atoms'"),
        (lambda: Langevin(300.0, 1.0, conserved="energy"), "conserved is 'energy'"),
        (lambda: NoseHoover(300.0, 1.0, length=0), "length 0"),
        (lambda: NoseHoover(0.0, 1.0), "temperature 0"),
    ],
)  # fmt: skip
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_adaptive_propagators_are_refused():
    from askel.integrators.gauss_radau import GaussRadau

    with pytest.raises(InputError, match="chooses its own steps"):
        Thermostatted(GaussRadau(double.HarmonicInteraction()), Langevin(300.0, 1.0))


def test_nobody_at_all_can_be_thermostatted():
    nobody = Particles(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), units=ASE)
    for kind, options in OPTIONS:
        bath = thermostat(kind, 300.0, 1.0, **options)
        assert bath.before(nobody, bath.start(nobody), 1.0) == 0.0


def test_one_atom_with_its_momentum_kept_has_no_heat():
    atom = molecule((8,))
    for kind, options in OPTIONS:
        if options.get("conserved") != "nothing":
            bath = thermostat(kind, 300.0, 1.0, **options)
            bath.before(atom, bath.start(atom), 1.0)
            assert not atom.velocity.any()
