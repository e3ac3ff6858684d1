"""LongStride: the ASE dynamics, with an engine that is exact, and with a small random network."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.logger import MDLogger
from ase.md.verlet import VelocityVerlet
from askel.equivariant.architecture import Architecture
from askel.equivariant.model_file import Model
from askel.integrators import Outcome
from askel.md import Bussi, Fallback, Langevin, LongStride, NoseHoover, ReversibilityDefect
from askel.particles import InputError, NumericalFailure

_spec = importlib.util.spec_from_file_location("harmonic_engine", Path(__file__).with_name("harmonic_engine.py"))
double = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(double)


class RestingEngine(double.HarmonicEngine):
    """Springs between the displacements of atoms from their places, so that they never meet."""

    def __init__(self, rest, **options):
        super().__init__(**options)
        self.rest = rest

    def stride(self, species, mass, position, velocity, cell, periodic, stride, starts=None):
        return super().stride(species, mass, position - self.rest, velocity, cell, periodic, stride, starts)


def solid(temperature=300.0, seed=1, **options):
    """Twelve atoms far apart, with thermal momenta and none in total; periodic."""
    atoms = Atoms("H4C4O4", pbc=True, cell=[8.0, 8.0, 6.0])
    atoms.positions = 2.0 * np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(3)]) + 1.0
    warm(atoms, temperature, seed)
    return atoms


def warm(atoms, temperature=300.0, seed=1):
    m = np.asarray(atoms.get_masses())[:, None]
    v = np.random.default_rng(seed).normal(size=(len(atoms), 3)) * np.sqrt(units.kB * temperature / m)
    atoms.set_velocities(v - (m * v).sum(axis=0) / m.sum())


def engine(**options):
    return RestingEngine(solid().positions.copy(), **{"stiffness": 0.05} | options)


def dynamics(atoms, **options):
    return LongStride(atoms, model=options.pop("model", None) or engine(), **options)


class Counting(LennardJones):
    """A calculator that counts what it is asked."""

    asked = 0

    def calculate(self, *args, **kwargs):
        type(self).asked += 1
        super().calculate(*args, **kwargs)


@pytest.fixture
def counting():
    Counting.asked = 0
    return Counting()


# ---------------------------------------------------------------------- the loop


def test_constant_energy_is_the_exact_motion_and_no_force_is_asked_for(counting):
    from askel.particles.io_ase import particles_from_atoms

    atoms = solid()
    atoms.calc = counting
    start, rest = particles_from_atoms(atoms).clone(), engine().rest
    dyn = dynamics(atoms, timestep=4.0 * units.fs)
    assert dyn.run(10) is True
    assert counting.asked == 0
    exact = double.HarmonicEngine(strides=(40.0,))._alone(
        start.species, start.mass, start.position - rest, start.velocity * double.FS, 40.0
    )
    assert np.abs(atoms.positions - start.position - exact[0]).max() < 1e-9
    assert np.abs(atoms.get_velocities() * double.FS - exact[1]).max() < 1e-10
    assert np.abs(exact[0]).max() > 0.1
    assert dyn.get_time() == pytest.approx(40 * units.fs, rel=1e-6)
    assert dyn.get_number_of_steps() == 10


def test_positions_are_written_in_place_and_nothing_else_is_touched():
    atoms = solid()
    atoms.info["mine"] = 1
    place, arrays = atoms.arrays["positions"], set(atoms.arrays)
    dynamics(atoms).run(3)
    assert atoms.arrays["positions"] is place
    assert set(atoms.arrays) == arrays
    assert atoms.info == {"mine": 1}
    assert atoms.calc is None


def test_the_longest_stride_is_the_default():
    assert dynamics(solid()).dt == pytest.approx(8.0 * units.fs, rel=1e-6)
    assert dynamics(solid(), timestep=2.0 * units.fs).dt == pytest.approx(2.0 * units.fs, rel=1e-6)


def test_observers_and_generators_see_what_they_see_under_velocity_verlet():
    def seen(make):
        atoms, steps, yields = solid(), [], []
        dyn = make(atoms)
        dyn.attach(lambda: steps.append(dyn.nsteps), interval=2)
        dyn.attach(lambda: steps.append(-dyn.nsteps), interval=-3)
        assert dyn.run(3) in (True, None)  # ASE 3.27 returns nothing
        yields += list(dyn.irun(4))
        dyn.run(0)
        dyn.step()
        return steps, yields, dyn.nsteps

    def verlet(atoms):
        atoms.calc = LennardJones()
        return VelocityVerlet(atoms, 0.1 * units.fs)

    mine = seen(dynamics)
    assert mine == seen(verlet)
    assert mine[0] == [0, 2, -3, 4, 6]
    assert mine[1] == [False] * 4 + [True]


def test_trajectory_and_its_description(tmp_path):
    atoms = solid()
    path = tmp_path / "run.traj"
    dyn = dynamics(atoms, temperature_K=300, trajectory=str(path), loginterval=5, rng=3)
    dyn.run(20)
    frames = read(path, ":")
    assert len(frames) == 5
    assert np.array_equal(frames[-1].positions, atoms.positions)
    assert np.array_equal(frames[-1].get_momenta(), atoms.get_momenta())
    with Trajectory(path) as reader:
        said = reader.description
    assert said["md-type"] == "LongStride" and said["thermostat"] == "Langevin" and said["seed"] == 3
    dynamics(atoms, trajectory=str(path), append_trajectory=True).run(2)
    assert len(read(path, ":")) == 8


def test_a_trajectory_can_go_on_from_its_last_frame(tmp_path):
    whole, half = solid(), solid()
    dynamics(whole).run(8)
    dynamics(half, trajectory=str(tmp_path / "half.traj")).run(5)
    again = read(tmp_path / "half.traj")
    dynamics(again).run(3)
    assert np.array_equal(again.positions, whole.positions)
    assert np.array_equal(again.get_momenta(), whole.get_momenta())


def test_loggers_work_without_a_calculator_and_ask_the_one_there_is(tmp_path, counting):
    atoms = solid()
    dyn = dynamics(atoms, logfile=str(tmp_path / "own.log"), loginterval=2)
    dyn.attach(MDLogger(dyn, atoms, str(tmp_path / "user.log"), stress=True, peratom=True), interval=4)
    dyn.run(4)
    dyn.close()
    own, user = ((tmp_path / f"{name}.log").read_text().splitlines() for name in ("own", "user"))
    assert len(own) == 4 and len(user) == 3
    columns = own[-1].split()
    assert float(columns[0]) == pytest.approx(0.032)
    assert columns[1:3] == ["nan", "nan"]
    assert float(columns[3]) == pytest.approx(atoms.get_kinetic_energy(), abs=1e-4)
    assert user[-1].count("nan") == 8
    atoms.calc = counting
    dyn = dynamics(atoms, logfile=str(tmp_path / "energy.log"), loginterval=2)
    dyn.run(4)
    dyn.close()
    assert counting.asked == 3
    assert "nan" not in (tmp_path / "energy.log").read_text()


# ---------------------------------------------------------------------- thermostats


@pytest.mark.parametrize(
    ("options", "kind", "constant"),
    [
        ({}, Langevin, 80.0),
        ({"thermostat": "langevin", "friction": 0.02 / units.fs}, Langevin, 50.0),
        ({"thermostat": "bussi"}, Bussi, 80.0),
        ({"thermostat": "bussi", "taut": 30 * units.fs}, Bussi, 30.0),
        ({"thermostat": "nose-hoover", "tdamp": 90 * units.fs, "tchain": 4}, NoseHoover, 90.0),
    ],
)
def test_thermostats_by_name_with_defaults_that_scale_with_the_stride(options, kind, constant):
    dyn = dynamics(solid(), temperature_K=310, **options)
    assert isinstance(dyn.thermostat, kind)
    assert dyn.thermostat.temperature == 310
    assert dyn.thermostat.time_constant == pytest.approx(constant * units.fs, rel=1e-6)
    assert not isinstance(dyn.thermostat, NoseHoover) or dyn.thermostat.length == 4


def test_langevin_brings_every_species_to_its_temperature():
    atoms = solid(temperature=900.0)
    dyn = dynamics(atoms, temperature_K=300, friction=0.05 / units.fs, rng=1)
    dyn.run(100)
    dyn.reset_report()
    dyn.run(3000)
    report = dyn.report()
    assert [row.species for row in report.temperatures] == [0, 1, 6, 8]
    assert all(abs(row.mean - 300.0) < 6.0 * row.error for row in report.temperatures)
    assert all(0.5 < row.error < 20.0 for row in report.temperatures)
    assert report.momentum_change < 1e-12
    assert report.figures["ns_per_day"] > 0.0
    assert "total momentum" in str(report)


def test_a_layer_of_the_users_is_taken_as_it_is():
    mine = Bussi(300.0, 50 * units.fs, seed=5, groups="species")
    dyn = dynamics(solid(), thermostat=mine)
    assert dyn.thermostat is mine
    dyn.run(2)


def test_seeds_decide_the_noise():
    def end(rng):
        atoms = solid()
        dyn = dynamics(atoms, temperature_K=300, rng=rng)
        dyn.run(3)
        return atoms.positions, dyn.seed

    assert np.array_equal(end(4)[0], end(4)[0])
    assert not np.array_equal(end(4)[0], end(5)[0])
    assert end(None)[1] != end(None)[1]
    assert end(np.random.default_rng(1))[1] == end(np.random.default_rng(1))[1]
    assert end(np.random.RandomState(1))[1] == end(np.random.RandomState(1))[1]


def test_constant_pressure_lets_the_cell_breathe():
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    atoms.numbers[:] = 8
    atoms.set_masses([15.999] * len(atoms))
    warm(atoms, 50.0)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0)
    volume, rest = atoms.get_volume(), atoms.positions.copy()
    pull = RestingEngine(rest, stiffness=1e-4)
    options = {"thermostat": "npt", "pressure_au": 0.5 * units.GPa, "compressibility_au": 100.0, "pressure_interval": 2}
    dyn = LongStride(atoms, model=pull, temperature_K=50.0, taup=200 * units.fs, rng=2, **options)
    dyn.run(12)
    assert 0.5 < atoms.get_volume() / volume < 0.999  # squeezed
    assert np.abs(atoms.cell.angles() - 90.0).max() < 1e-6
    for name, wrong in {"taup": "without pressure_au", "pressure_au": "compressibility_au"}.items():
        with pytest.raises(InputError, match=wrong):
            LongStride(atoms, model=pull, temperature_K=50.0, **{name: 1.0})
    with pytest.raises(InputError, match="needs a thermostat"):
        LongStride(atoms, model=pull, pressure_au=1.0)
    atoms.calc = None
    with pytest.raises(InputError, match="needs a stress"):
        LongStride(atoms, model=pull, temperature_K=50.0, pressure_au=1.0, compressibility_au=1.0)


# ---------------------------------------------------------------------- restart


@pytest.mark.parametrize("thermostat", [None, "langevin", "bussi", "nose-hoover"])
def test_restart_is_bit_equal(tmp_path, thermostat):
    options = {} if thermostat is None else {"thermostat": thermostat, "temperature_K": 300}
    whole, seen = solid(), []
    dyn = dynamics(whole, rng=8, **options)
    dyn.run(5)
    dyn.save_state(tmp_path / "state")
    dyn.run(6)
    fresh = solid(seed=9)  # other velocities, another seed
    again = dynamics(fresh, **options)
    again.attach(lambda: seen.append(again.nsteps), interval=3)
    again.load_state(tmp_path / "state")
    assert again.nsteps == 5
    again.run(6)
    assert np.array_equal(fresh.positions, whole.positions)
    assert np.array_equal(fresh.get_momenta(), whole.get_momenta())
    assert again.seed == dyn.seed == 8
    assert seen == [6, 9]
    mine, theirs = again.report(), dyn.report()
    assert mine.steps == theirs.steps == 11
    assert [r.mean for r in mine.temperatures] == [r.mean for r in theirs.temperatures]


def test_states_that_do_not_fit_are_refused(tmp_path):
    dyn = dynamics(solid(), rng=1, temperature_K=300)
    state = dyn.get_state()
    with pytest.raises(InputError, match="propagator = Thermostatted, this LongStride LearnedStride"):
        dynamics(solid()).set_state(state)
    with pytest.raises(InputError, match="timestep"):
        dynamics(solid(), timestep=2.0 * units.fs, temperature_K=300).set_state(state)
    other = solid()
    other.numbers[0] = 6
    with pytest.raises(InputError, match="same atoms"):
        dynamics(other, temperature_K=300).set_state(state)
    with pytest.raises(InputError, match="not the state of a LongStride"):
        dyn.set_state({"kind": "askel-simulation"})
    (tmp_path / "broken").write_bytes(b"ASKELCHK nonsense")
    with pytest.raises(InputError, match="truncated or damaged"):
        dyn.load_state(tmp_path / "broken")


def test_a_state_is_loaded_into_atoms_without_velocities(tmp_path):
    dyn = dynamics(solid(), rng=1)
    dyn.run(2)
    dyn.save_state(tmp_path / "state")
    atoms = solid()
    atoms.set_momenta(np.zeros((12, 3)))
    again = dynamics(atoms)
    again.load_state(tmp_path / "state")
    again.run(1)
    assert again.nsteps == 3


# ---------------------------------------------------------------------- what the user does in between


def test_velocities_set_in_between_are_taken_up():
    one, two = solid(), solid()
    dyn = dynamics(one)
    dyn.run(2)
    warm(one, 600.0, seed=4)
    two.positions, momenta = one.positions, one.get_momenta()
    two.set_momenta(momenta)
    dyn.run(2)
    dynamics(two).run(2)
    assert np.array_equal(one.positions, two.positions)


def test_an_observer_may_change_the_atoms():
    atoms = solid()
    dyn = dynamics(atoms)
    dyn.attach(lambda: atoms.set_momenta(0.5 * atoms.get_momenta()), interval=1)
    start = atoms.get_kinetic_energy()
    dyn.run(6)
    assert 0.0 < atoms.get_kinetic_energy() < 1e-2 * start


def test_masses_species_cell_and_positions_changed_in_between():
    atoms = solid()
    dyn = dynamics(atoms, temperature_K=300)
    dyn.run(3)
    atoms.set_masses([2.014 if z == 1 else None for z in atoms.numbers])
    atoms.numbers[4] = 8
    atoms.set_cell(atoms.cell * 1.1)
    atoms.positions += 8.0
    dyn.run(2)
    assert dyn.report().steps == 2  # a new system, a new report
    assert np.array_equal(dyn._view.particles.mass, atoms.get_masses())
    atoms.numbers[0] = 54
    with pytest.raises(InputError, match="atomic number 54"):
        dyn.run(1)


def test_wrapping_changes_nothing_but_the_places():
    one, two = solid(), solid()
    architecture, model = small_model()
    del architecture
    for atoms in (one, two):
        atoms.positions += 3.9
    first, second = LongStride(one, model=model, precision="float64"), LongStride(two, model=model, precision="float64")
    first.run(2)
    second.run(1)
    two.wrap()
    second.run(1)
    assert np.abs(two.positions - one.positions).max() > 1.0
    assert second.report().steps == 2
    two.wrap()
    one.wrap()
    assert np.abs(two.positions - one.positions).max() < 1e-9


def test_added_or_removed_atoms_are_refused():
    atoms = solid()
    dyn = dynamics(atoms)
    dyn.run(1)
    del atoms[3]
    with pytest.raises(InputError, match="11 atoms now and were 12; make a new LongStride"):
        dyn.run(1)


def test_atoms_moved_onto_each_other_in_between_are_refused():
    atoms = solid()
    dyn = dynamics(atoms)
    dyn.run(1)
    atoms.positions[5] = atoms.positions[3] + [0.0, 0.2, 0.0]
    with pytest.raises(InputError, match=r"atom 3 is 0\.2 Angstrom from atom 5"):
        dyn.run(1)


def test_constraints_are_refused_whenever_they_come():
    atoms = solid()
    dyn = dynamics(atoms)
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match="constraint \\(FixAtoms\\)"):
        dyn.run(1)
    with pytest.raises(InputError, match="constraint \\(FixAtoms\\)"):
        dynamics(atoms)


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


class Resting(LennardJones):
    """The forces of the resting engine, as an ASE calculator."""

    implemented_properties = ("energy", "free_energy", "forces")
    asked = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        type(self).asked += 1
        u = atoms.positions - engine().rest
        forces = -double.springs(atoms.numbers, 0.05, 0.0) @ u
        energy = -0.5 * float(np.sum(u * forces))
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def test_error_control_accepts_an_exact_model_and_replaces_one_that_fails():
    Resting.asked = 0
    atoms, plain = solid(), solid()
    dyn = dynamics(atoms, tolerance=3.0, fallback=Resting())
    dyn.run(5)
    dynamics(plain).run(5)
    assert np.array_equal(atoms.positions, plain.positions)
    assert dyn.report().figures["acceptance"] == 1.0
    assert Resting.asked == 0
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


# ---------------------------------------------------------------------- a network


def small_model(**others):
    """A small network with random weights for H, C, O and strides of 2 and 4 fs."""
    torch = pytest.importorskip("torch")
    del torch
    from askel.equivariant.network import Network

    facts = {
        "strides": (2.0, 4.0),
        "velocity_scale": (0.016, 0.005, 0.004),
        "drift": ((1.0,) * 3,) * 2,
        "memory": ((0.9,) * 3,) * 2,
        "displacement_scale": ((0.01,) * 3,) * 2,
        "velocity_change_scale": ((0.001,) * 3,) * 2,
    } | others
    architecture = Architecture(
        species=(1, 6, 8), masses=(1.008, 12.011, 15.999), cutoff=3.0, average_neighbours=6.0, l_max=1, channels=4,
        layers=1, radial_hidden=(8,), speed_hidden=(8,), **facts,
    )  # fmt: skip
    return architecture, Model(architecture, Network(architecture).arrays(), {"name": "small"})


def test_a_network_runs_from_a_file_and_conserves_momentum(tmp_path):
    from askel.equivariant.model_file import save_model

    save_model(tmp_path / "small.safetensors", small_model()[1])
    atoms = solid()
    dyn = LongStride(atoms, 2.0 * units.fs, model=tmp_path / "small.safetensors")
    before = atoms.positions.copy()
    dyn.run(5)
    assert dyn.model == "small"
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12
    assert 1e-3 < np.abs(atoms.positions - before).max() < 2.0


def test_cells_smaller_than_the_cutoff_are_no_reason_to_refuse():
    model = small_model()[1]
    one = Atoms("CO", [[0, 0, 0], [1.3, 0.1, 0.2]], cell=[2.7, 2.6, 2.8], pbc=True)
    warm(one)
    many = one.repeat(3)
    many.set_velocities(np.tile(one.get_velocities(), (27, 1)))
    for atoms in (one, many):
        LongStride(atoms, model=model, precision="float64").run(1)
    assert np.abs(many.positions[:2] - one.positions).max() < 1e-9
    assert np.abs(one.positions[0]).max() > 1e-4


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
