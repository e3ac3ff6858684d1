"""Training data: segments are NVE of the reference, start in the ensemble, and a resumed run gives the same file."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from askel.md.ase_data import DataRecipe, held_out, make_segments
from askel.md.ase_dynamics import Dynamics
from askel.md.rigid import angular_momentum
from askel.md.segment_measures import degrees_of_freedom, energy_drift, kinetic_temperature
from askel.particles import InputError
from askel.particles.io_segments import Segment, SegmentFile

RECIPE = DataRecipe(
    step=2.0, interval=8.0, frames=4, segments=5, temperatures=(300.0, 500.0), decorrelation=20.0, equilibration=40.0
)


class Springs(Calculator):
    """Every atom on a spring of its own (1 eV/Angstrom^2); with a memory of how often it was called, when asked for."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, memory=0.0):
        super().__init__()
        self.memory, self.calls = memory, 0

    def calculate(self, atoms, properties, system_changes):
        self.calls += 1
        x = atoms.positions
        self.results = {"energy": 0.5 * (x**2).sum(), "forces": -x * (1.0 + self.memory * self.calls)}


def crystal():
    return bulk("Cu", cubic=True, a=3.59)


def molecule():
    return Atoms("Cu4", [[0.0, 0.0, 0.0], [2.3, 0.0, 0.0], [1.1, 2.0, 0.0], [1.1, 0.7, 1.9]])


def contents(path):
    with SegmentFile(path) as file:
        return list(file)


def equal(one, other):
    names = ("position", "velocity", "forces", "energy", "temperature")
    return len(one) == len(other) and all(
        np.array_equal(getattr(a, n), getattr(b, n)) for a, b in zip(one, other, strict=True) for n in names
    )


@pytest.fixture(scope="module", params=["crystal", "molecule"])
def made(request, tmp_path_factory):
    """A file of segments, and the atoms it started from."""
    atoms = crystal() if request.param == "crystal" else molecule()
    path = tmp_path_factory.mktemp("data") / "a.h5"
    result = make_segments(RECIPE, path, calculator=EMT, atoms=atoms)
    return path, atoms, result


# -- what a file holds


def test_a_file_says_how_it_was_made(made):
    path, atoms, result = made
    with SegmentFile(path) as file:
        assert (file.reference, file.step, file.interval, file.seed, len(file)) == ("EMT", 2.0, 8.0, 1, 5)
        assert file.recipe == RECIPE.to_json()
        assert file.temperatures.tolist() == [300.0, 500.0] * 2 + [300.0]
        segment = file[0]
        assert segment.position.shape == (4, 4, 3)
        assert (segment.cell is None) == (not atoms.pbc.any())
    assert (result.done, result.total) == (5, 5)
    assert 0.0 < result.drift <= result.worst_drift < 1.0


def test_momentum_is_removed(made):
    path, atoms, _ = made
    for segment in contents(path):
        momentum = segment.mass[:, None] * segment.velocity
        size = np.abs(momentum).sum()
        assert np.abs(momentum.sum(1)).max() < 1e-13 * size
        x = segment.position - segment.position.mean(1, keepdims=True)
        angular = np.abs(np.cross(x, momentum).sum(1)).max()
        assert angular < 1e-12 * size if not atoms.pbc.any() else angular > 1e-6 * size


def test_frames_are_the_reference_dynamics(made):
    """ASE's own velocity Verlet, from the first frame of a segment, arrives at the others."""
    path, atoms, _ = made
    for segment in contents(path)[:2]:
        again = atoms.copy()
        again.calc = EMT()
        again.positions = segment.position[0]
        again.set_velocities(segment.velocity[0] / units.fs)
        dynamics = VelocityVerlet(again, RECIPE.step * units.fs)
        for k in range(1, segment.frames):
            dynamics.run(4)
            assert np.abs(again.positions - segment.position[k]).max() < 1e-8
            assert np.abs(again.get_velocities() * units.fs - segment.velocity[k]).max() < 1e-9
            assert np.abs(again.get_forces() - segment.forces[k]).max() < 1e-7
            assert again.get_potential_energy() == pytest.approx(segment.energy[k], abs=1e-8)
        assert np.abs(segment.position[-1] - segment.position[0]).max() > 1e-3


def test_energy_is_conserved(made):
    path, _, _ = made
    for segment in contents(path):
        assert 1e-6 < energy_drift(segment) < 1.0
        assert np.ptp(segment.energy) / segment.n * 1e3 > 2.0 * energy_drift(segment)


# -- starting and going on


@pytest.mark.parametrize("calculator", [EMT, lambda: Springs(1e-4)], ids=["EMT", "with a memory"])
@pytest.mark.parametrize(("thermostat", "bath"), [(None, "csvr"), (50.0, "csvr"), (50.0, "langevin")])
def test_a_resumed_run_gives_the_same_file(tmp_path, calculator, thermostat, bath):
    recipe, whole, parts = (
        replace(RECIPE, thermostat=thermostat, bath=bath, drift_bound=50.0),
        tmp_path / "a.h5",
        tmp_path / "b.h5",
    )
    make_segments(recipe, whole, calculator=calculator, atoms=molecule())
    for stop_after in (1, 3):
        done = make_segments(
            recipe, parts, calculator=calculator, atoms=molecule(), resume=True, stop=lambda n=[stop_after]: _count(n)
        )
    assert done.done == 4
    made = make_segments(recipe, parts, calculator=calculator, atoms=molecule(), resume=True)
    assert made.done == 5
    assert equal(contents(whole), contents(parts))


def _count(left):
    left[0] -= 1
    return left[0] <= 0


def test_a_memory_would_be_seen(tmp_path):
    """The same calculator for all segments is not the same as a fresh one for each."""
    for name, calculator in (("a.h5", lambda: Springs(1e-4)), ("b.h5", Springs(1e-4))):
        make_segments(replace(RECIPE, drift_bound=50.0), tmp_path / name, calculator=calculator, atoms=molecule())
    assert not equal(contents(tmp_path / "a.h5"), contents(tmp_path / "b.h5"))


def test_more_segments_and_other_seeds(tmp_path):
    path = tmp_path / "a.h5"
    make_segments(replace(RECIPE, segments=2), path, calculator=EMT, atoms=crystal())
    make_segments(replace(RECIPE, segments=3), path, calculator=EMT, atoms=crystal(), resume=True)
    make_segments(replace(RECIPE, segments=3), tmp_path / "b.h5", calculator=EMT, atoms=crystal())
    assert equal(contents(path), contents(tmp_path / "b.h5"))
    other = held_out(replace(RECIPE, segments=3), segments=1)
    make_segments(other, tmp_path / "c.h5", calculator=EMT, atoms=crystal())
    (segment,) = contents(tmp_path / "c.h5")
    assert segment.temperature == 300.0
    assert np.abs(segment.position - contents(path)[0].position).max() > 1e-2


def test_progress_is_told(tmp_path):
    seen = []
    make_segments(RECIPE, tmp_path / "a.h5", calculator=EMT, atoms=crystal(), progress=seen.append)
    assert [p.done for p in seen] == [1, 2, 3, 4, 5]


def test_temperatures_are_mixed_by_their_shares():
    recipe = replace(RECIPE, temperatures=(300.0, 400.0, 500.0), shares=(0.5, 0.25, 0.25), segments=400)
    plan = recipe.plan()
    assert [plan.count(k) for k in range(3)] == [200, 100, 100]
    assert [plan[:40].count(k) for k in range(3)] == [20, 10, 10]
    assert replace(recipe, segments=30).plan() == plan[:30]


# -- the ensembles


def springs(count, pbc=False):
    atoms = Atoms("HeH" * (count // 2), np.zeros((count, 3)), cell=[50.0] * 3, pbc=pbc)
    return Dynamics(atoms, np.zeros((count, 3)), Springs(), 1.0)


def test_langevin_samples_the_canonical_ensemble():
    dynamics, squares = springs(1000), []
    for k in range(60):
        dynamics.langevin(20, 400.0, 0.05, 3, 20 * k)
        if k >= 20:
            kinetic = dynamics.mass[:, None] * dynamics.velocity**2 / units.fs**2
            squares.append([dynamics.atoms.positions.var(), kinetic[::2].mean(), kinetic[1::2].mean()])
    kt = units.kB * 400.0
    # the step makes kinetic energies of BAOAB too small by (omega dt)^2 / 4: 0.24 % for the protons; positions are exact
    assert np.mean(squares, axis=0) == pytest.approx([kt, kt, kt], rel=0.02)
    assert np.std(squares, axis=0).min() > 1e-3 * kt


def test_csvr_samples_the_kinetic_energy():
    dynamics = springs(4, pbc=True)
    dynamics.velocity = np.random.default_rng(1).normal(size=(4, 3)) * 0.01
    dynamics.stop_drifting()
    direction, values, freedom, kt = dynamics.velocity.copy(), [], 9, units.kB * 300.0
    for k in range(6000):
        dynamics.csvr(100.0, 300.0, 100.0, 5, k)
        values.append(0.5 * (dynamics.mass[:, None] * dynamics.velocity**2).sum() / units.fs**2)
    kept = np.array(values[100:])
    assert kept.mean() == pytest.approx(freedom / 2 * kt, rel=0.03)
    assert kept.var() == pytest.approx(freedom / 2 * kt**2, rel=0.1)
    assert np.corrcoef(kept[:-1], kept[1:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.05)
    assert np.abs(dynamics.velocity / direction - dynamics.velocity[0, 0] / direction[0, 0]).max() < 1e-9
    start = 0.5 * (dynamics.mass[:, None] * direction**2).sum() / units.fs**2
    assert dynamics.work == pytest.approx(values[-1] - start, rel=1e-7)


def test_friction_keeps_the_ensemble_and_turns_nothing():
    """Every degree of freedom at the temperature, with the memory of the friction, without momentum and rotation."""
    atoms = molecule()
    dynamics = Dynamics(atoms, np.zeros((len(atoms), 3)), Springs(0.0), 1.0)
    values, n = [], 6000
    for k in range(n):
        dynamics.friction(50.0, 300.0, 100.0, 3, k)
        values.append(dynamics.velocity.copy())
    velocity, mass = np.array(values), dynamics.mass
    energy = units.fs**-2 * np.einsum("i,fij,fij->f", mass, velocity, velocity) / units.kB
    freedom = degrees_of_freedom(len(atoms), is_open=True)
    assert energy.mean() / freedom == pytest.approx(300.0, rel=5.0 * np.sqrt(2.0 / freedom / n * 2.2))
    flat = velocity.reshape(n, -1)
    kept = (flat[1:] * flat[:-1] * np.repeat(mass, 3)).sum() / (flat[:-1] ** 2 * np.repeat(mass, 3)).sum()
    assert kept == pytest.approx(np.exp(-0.5), abs=0.03)
    scale = np.abs(flat).max() * mass.sum()
    assert np.abs(np.einsum("i,fij->fj", mass, velocity)).max() < 1e-12 * scale
    assert np.abs(angular_momentum(mass, dynamics.atoms.positions, velocity[-1])).max() < 1e-11 * scale
    assert dynamics.work == pytest.approx(dynamics.kinetic, rel=1e-9)


def test_degrees_of_freedom():
    assert [degrees_of_freedom(n, is_open=True) for n in (1, 2, 3, 20)] == [1, 1, 3, 54]
    assert [degrees_of_freedom(n, is_open=False) for n in (1, 2, 108)] == [1, 3, 321]


@pytest.mark.parametrize("bath", ["csvr", "langevin"])
def test_runs_at_constant_temperature(tmp_path, bath):
    recipe = replace(RECIPE, thermostat=20.0, bath=bath, frames=200, segments=2, temperatures=(400.0,))
    made = make_segments(recipe, tmp_path / "a.h5", calculator=EMT, atoms=crystal(), forces=False)
    segments = contents(tmp_path / "a.h5")
    assert all(s.forces is None for s in segments)
    assert energy_drift(segments[0]) > 2.0  # it is no NVE
    assert made.temperature == pytest.approx(400.0, rel=0.25)
    assert made.temperature == pytest.approx(np.mean([kinetic_temperature(s).mean() for s in segments]))
    assert np.isnan(made.drift)


# -- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval": 7.0}, "no multiple of the step"),
        ({"step": 0.0}, "step = 0"),
        ({"step": float("nan")}, "step = nan"),
        ({"frames": 1}, "frames"),
        ({"temperatures": ()}, "temperatures"),
        ({"temperatures": (-1.0,)}, "temperatures"),
        ({"shares": (1.0,)}, "shares"),
        ({"friction": -1.0}, "friction"),
        ({"equilibration": -2.0}, "equilibration"),
        ({"bath": "berendsen"}, "expected 'csvr' or 'langevin'"),
    ],
)
def test_bad_recipes(change, message):
    with pytest.raises(InputError, match=message) as caught:
        replace(RECIPE, **change)
    assert "\n" not in str(caught.value)


class NoForces(Calculator):
    implemented_properties = ["energy"]  # noqa: RUF012


class Broken(Springs):
    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        if self.calls > 10:
            self.results["forces"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("recipe", "calculator", "message"),
    [
        (RECIPE, NoForces, "gives no forces"),
        (RECIPE, Broken, "not finite"),
        (replace(RECIPE, drift_bound=1e-7), EMT, "take a smaller step"),
        (replace(RECIPE, step=20.0, interval=20.0), EMT, "take a smaller step"),
    ],
)
def test_runs_that_go_wrong(tmp_path, recipe, calculator, message):
    with pytest.raises(InputError, match=message) as caught:
        make_segments(recipe, tmp_path / "a.h5", calculator=calculator, atoms=molecule())
    assert "\n" not in str(caught.value)


def test_files_of_other_runs_are_not_continued(made):
    path, atoms, _ = made
    for recipe, system, message in (
        (replace(RECIPE, friction=0.5), atoms, "friction = 0.02, not 0.5"),
        (replace(RECIPE, seed=4), atoms, "seed = 1, not 4"),
        (RECIPE, atoms[:3], "another system"),
    ):
        with pytest.raises(InputError, match=message):
            make_segments(recipe, path, calculator=EMT, atoms=system, resume=True)
    with pytest.raises(InputError, match="exists"):
        make_segments(RECIPE, path, calculator=EMT, atoms=atoms)


def test_segments_have_the_declared_types(made):
    path, _, _ = made
    assert all(isinstance(s, Segment) and s.species.dtype == np.int32 for s in contents(path))
