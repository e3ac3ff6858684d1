"""LongStride when something goes wrong: failures, error control, reports, and one clear line for each mistake."""

import warnings
from dataclasses import replace

import harmonic_engine as double
import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from askel.integrators import Outcome
from askel.md import Bussi, Fallback, ReversibilityDefect
from askel.particles import InputError, NumericalFailure
from resting_solid import Resting, RestingEngine, dynamics, engine, small_model, solid, warm

# ---------------------------------------------------------------------- failures and error control


def test_a_failed_stride_leaves_the_atoms_as_they_were():
    atoms = solid()
    dyn = dynamics(atoms, model=engine(refuse_after=3), temperature_K=300)
    with pytest.raises(NumericalFailure, match="the atoms are as they were") as caught:
        dyn.run(10)
    assert dyn.nsteps == caught.value.step == 3
    reference = solid()
    dynamics(reference, temperature_K=300, rng=dyn.seed).run(3)
    assert np.array_equal(atoms.positions, reference.positions)
    assert np.array_equal(atoms.get_momenta(), reference.get_momenta())
    broken = solid()
    before = broken.positions.copy()
    with pytest.raises(NumericalFailure, match="not a number"):
        dynamics(broken, model=engine(broken=2)).run(1)
    assert np.array_equal(broken.positions, before)


class Spoiling(Bussi):
    """A thermostat that fails after the stride has moved the atoms: by an outcome, or by an exception."""

    def __init__(self, exception):
        super().__init__(300.0, 50 * units.fs)
        self.exception = exception

    def after(self, particles, memory, dt, step):
        if self.exception is not None:
            raise self.exception
        return replace(step, outcome=Outcome.NOT_CONVERGED)


@pytest.mark.parametrize(("exception", "comes"), [(None, NumericalFailure), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_what_fails_or_is_interrupted_in_the_middle_is_rolled_back(exception, comes):
    atoms = solid()
    positions, momenta = atoms.positions.copy(), atoms.get_momenta()
    dyn = dynamics(atoms, thermostat=Spoiling(exception))
    with pytest.raises(comes):
        dyn.run(1)
    assert dyn.nsteps == 0
    assert np.array_equal(atoms.positions, positions)
    assert np.array_equal(atoms.get_momenta(), momenta)


def test_error_control_accepts_an_exact_model_and_replaces_one_that_fails():
    Resting.asked = 0
    atoms, plain = solid(), solid()
    dyn = dynamics(atoms, tolerance=3.0, fallback=Resting())
    dyn.run(5)
    dynamics(plain).run(5)
    assert np.array_equal(atoms.positions, plain.positions)
    assert dyn.report().figures["acceptance"] == 1.0
    assert Resting.asked == 2 * 6  # energy and forces of every state, for the drift; no force step
    saved = solid()
    dyn = dynamics(saved, model=engine(broken=2), fallback=Fallback(Springs(), 0.1 * units.fs))
    dyn.run(5)
    assert 1e-9 < np.abs(saved.positions - plain.positions).max() < 1e-2
    assert dyn.report().figures["replaced"] > 0.5
    assert "replaced by forces" in str(dyn.report())


class Springs(double.HarmonicInteraction):
    """The forces of the resting engine, as an interaction."""

    def evaluate(self, particles, out):
        there = particles.clone()
        there.position[...] -= engine().rest
        super().evaluate(there, out)


def test_an_ase_calculator_is_the_fallback_and_estimators_can_be_chosen():
    Resting.asked = 0
    saved, plain = solid(), solid()
    dyn = dynamics(
        saved, timestep=4.0 * units.fs, model=engine(broken=2), fallback=Resting(), estimators=[ReversibilityDefect()]
    )
    dyn.run(4)
    dynamics(plain, timestep=4.0 * units.fs).run(4)
    assert Resting.asked >= 16 * 2  # half a fs with hydrogen, two force evaluations a step at most
    assert 1e-6 < np.abs(saved.positions - plain.positions).max() < 0.05


def test_error_control_restarts_bit_equal():
    options = {"tolerance": 1.0, "temperature_K": 300, "rng": 3}
    whole, fresh = solid(), solid(seed=5)
    dyn = dynamics(whole, **options)
    dyn.run(3)
    state = dyn.get_state()
    dyn.run(3)
    again = dynamics(fresh, **options)
    again.set_state(state)
    again.run(3)
    assert np.array_equal(fresh.positions, whole.positions)


# ---------------------------------------------------------------------- reports


def test_the_energy_defect_is_net_of_the_thermostat_and_asked_for_only_when_wished():
    Resting.asked = 0
    atoms = solid()
    atoms.calc = Resting()
    dyn = dynamics(atoms, temperature_K=600, energy_interval=5)
    dyn.run(20)
    report = dyn.report()
    assert Resting.asked == 5
    assert report.largest_energy_defect < 1e-10  # the engine is exact
    heated = atoms.get_kinetic_energy() + atoms.get_potential_energy() - 12 * 1.5 * units.kB * 300
    assert abs(heated) > 1e-3  # while the thermostat has changed the energy
    assert "meV/atom" in str(report)
    assert np.isnan(dynamics(solid()).report().energy_defect)


class Lukewarm(RestingEngine):
    """An engine that takes heat from the hydrogen atoms."""

    def stride(self, species, mass, position, velocity, *others):
        d, v = super().stride(species, mass, position, velocity, *others)
        return d, np.where((species == 1)[:, None], 0.8 * v, v)


def test_wrong_equipartition_is_warned_of_once():
    atoms = solid()
    dyn = dynamics(atoms, model=Lukewarm(engine().rest, stiffness=0.05), temperature_K=300, rng=2)
    with pytest.warns(UserWarning, match=r"equipartition is not correct.*H \d+") as caught:
        dyn.run(400)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dyn.run(10)
    assert dyn.report().equipartition == "not correct"


def test_isotopes_are_noted():
    atoms = solid()
    atoms.set_masses([2.014 if z == 1 else None for z in atoms.numbers])
    with pytest.warns(UserWarning, match=r"2.014 amu; .* was trained with 1.008"):
        dynamics(atoms)


# ---------------------------------------------------------------------- one clear line


def refused(match, atoms=None, **options):
    with pytest.raises(InputError, match=match) as caught:
        dynamics(solid() if atoms is None else atoms, **options)
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_refused():
    refused("timestep is 3 fs; the model was trained for 2, 4, 8 fs", timestep=3 * units.fs)
    refused("multiply by ase.units.fs", timestep=4.0)
    refused("'bussi' came without temperature_K", thermostat="bussi")
    refused("unknown thermostat 'berendsen'; known: langevin", thermostat="berendsen", temperature_K=300)
    refused(
        "taut is an option of thermostat = 'bussi'; it came with thermostat = 'langevin'", taut=1.0, temperature_K=1
    )
    refused("friction is an option of thermostat = 'langevin'; it came without", friction=1.0)
    refused("friction is -1.0; expected a positive number", friction=-1.0, temperature_K=300)
    refused("temperature is -3 K", temperature_K=-3)
    refused("has its own; give one", thermostat=Bussi(300.0, 1.0), temperature_K=300)
    refused("without pressure_au", thermostat="npt", temperature_K=300)
    refused("rng is 'a'", rng="a")
    refused("energy_interval is 0", energy_interval=0)
    refused("no model 'paracetamol-8fs'", model="paracetamol-8fs")
    refused("tolerance = -1", tolerance=-1.0)
    with pytest.raises(InputError, match=r"got int; expected ase\.Atoms"):
        dynamics(3)


def test_atoms_that_do_not_fit_are_refused():
    def changed(change):
        atoms = solid()
        change(atoms)
        return atoms

    refused("atomic number 54; .* made for 1, 6, 8", changed(lambda a: a.numbers.__setitem__(0, 54)))
    refused("mass 30 amu", changed(lambda a: a.set_masses([30.0] + [None] * 11)))
    refused("position of particle 2 is not finite", changed(lambda a: a.positions.__setitem__(2, np.nan)))
    refused(
        "atom 0 is 0.1 Angstrom from atom 1",
        changed(lambda a: a.positions.__setitem__(1, a.positions[0] + [0.1, 0, 0])),
    )
    refused("from an image of atom", changed(lambda a: a.positions.__setitem__(1, a.positions[0] + [7.9, 0, 0])))
    refused("repeats along a, but that cell vector is zero", changed(lambda a: a.set_cell([0, 8, 8])))


def test_missing_velocities_are_asked_for_at_the_first_stride():
    atoms = solid()
    atoms.set_momenta(np.zeros((12, 3)))
    dyn = dynamics(atoms, temperature_K=300)
    with pytest.raises(InputError, match=r"all momenta are zero; .*MaxwellBoltzmannDistribution"):
        dyn.run(1)
    warm(atoms)
    dyn.run(1)
    assert dyn.nsteps == 1


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95\x10cposix\nsystem\n", b"PK\x03\x04 a zip", b"{}"])
def test_files_that_are_no_models_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused("not a model", model=path)


def test_a_model_of_a_newer_version_or_of_energies_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file(
        {"a": np.zeros(1)}, tmp_path / "new.safetensors", {"format": "askel-model", "version": "99", "header": "{}"}
    )
    refused("version 99", model=tmp_path / "new.safetensors")
    none = dict.fromkeys(
        ("strides", "velocity_scale", "drift", "memory", "displacement_scale", "velocity_change_scale"), ()
    )
    energy = small_model(head="energy", atom_energy=(0.0,) * 3, **none)[1]
    refused("small has the head 'energy'; strides need a model with head 'stride'", model=energy)


def test_emt_as_energy_beside_a_stride_of_copper_works_too():
    """An attached calculator of another kind changes nothing."""
    atoms = solid()
    atoms.calc = EMT()
    other = solid()
    dynamics(atoms).run(2)
    dynamics(other).run(2)
    assert np.array_equal(atoms.positions, other.positions)
