"""LongStride: the ASE dynamics, with an engine that is exact, and with a small random network."""

import harmonic_engine as double
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.logger import MDLogger
from ase.md.verlet import VelocityVerlet
from askel.md import Bussi, Langevin, LongStride, NoseHoover
from askel.particles import InputError
from resting_solid import RestingEngine, dynamics, engine, small_model, solid, warm


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


# ---------------------------------------------------------------------- a network


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
