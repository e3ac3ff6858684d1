"""What scripts written for ASE do, on whatever version is installed: the same under VelocityVerlet and under LongStride."""

import harmonic_engine as double
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.io.trajectory import Trajectory
from ase.md.logger import MDLogger
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from askel.md import LongStride

STRIDE, SHORT = 8.0, 0.25  # fs


class Springs(Calculator):
    """The forces of the exact engine; counts."""

    implemented_properties = ("energy", "forces")
    asked = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        type(self).asked += 1
        forces = -double.springs(atoms.numbers, 0.05, 0.0) @ atoms.positions
        self.results = {"forces": forces, "energy": -0.5 * float(np.sum(atoms.positions * forces))}


def start():
    atoms = double.molecule().to_ase()
    atoms.info.clear()
    atoms.calc = Springs()
    Springs.asked = 0
    return atoms


def verlet(atoms, **options):
    """Return the dynamics, and its steps per stride."""
    interval = options.pop("loginterval", 1)
    return VelocityVerlet(atoms, SHORT * units.fs, loginterval=32 * interval, **options), 32


def long_stride(atoms, **options):
    return LongStride(atoms, STRIDE * units.fs, model=double.HarmonicEngine(), **options), 1


def script(make, folder):
    """A script as people write them; returns what it leaves behind."""
    atoms, seen = start(), []
    dyn, per_stride = make(atoms, trajectory=str(folder / "one.traj"), logfile=str(folder / "md.log"), loginterval=2)
    other = Trajectory(folder / "two.traj", "w", atoms)
    dyn.attach(other.write, interval=4 * per_stride)
    dyn.attach(other, interval=4 * per_stride)
    dyn.attach(MDLogger(dyn, atoms, str(folder / "own.log"), header=False, mode="w"), interval=4 * per_stride)
    dyn.attach(lambda a=None: seen.append(a.get_kinetic_energy()), interval=per_stride, a=atoms)
    dyn.run(5 * per_stride)
    for _ in dyn.irun(3 * per_stride):
        pass
    other.close()
    dyn.close()
    rows = [line.split() for name in ("md.log", "own.log") for line in (folder / name).read_text().splitlines()]
    table = [[float(word) for word in row] for row in rows if row[0] != "Time[ps]"]
    frames = [*read(folder / "one.traj", ":"), *read(folder / "two.traj", ":")]
    return {"seen": seen, "table": table, "frames": frames, "time": dyn.get_time(), "steps": dyn.nsteps // per_stride}


def test_scripts_leave_the_same_behind(tmp_path):
    found = []
    for make in (verlet, long_stride):
        folder = tmp_path / make.__name__
        folder.mkdir()
        found.append(script(make, folder))
    one, two = found
    assert one["steps"] == two["steps"] == 8
    assert one["time"] == pytest.approx(two["time"], rel=1e-6)
    assert len(one["frames"]) == len(two["frames"]) == 5 + 6
    assert len(one["seen"]) == len(two["seen"]) == 9
    assert np.shape(one["table"]) == np.shape(two["table"]) == (5 + 3, 5)
    assert np.abs(np.subtract(one["seen"], two["seen"])).max() < 1e-3
    assert np.abs(np.subtract(one["table"], two["table"])).max() < 1.0  # kelvin, the coarsest column
    for mine, theirs in zip(two["frames"], one["frames"], strict=True):
        assert 0.0 <= np.abs(mine.positions - theirs.positions).max() < 2e-3  # the error of velocity Verlet
        assert np.abs(mine.get_momenta() - theirs.get_momenta()).max() < 2e-3


def test_no_step_asks_for_forces():
    atoms = start()
    dyn, _ = long_stride(atoms, temperature_K=300)
    dyn.attach(atoms.get_temperature, interval=1)
    dyn.run(4)
    list(dyn.irun(3))
    dyn.step()
    assert Springs.asked == 0
    other = start()
    verlet(other)[0].run(2)
    assert Springs.asked > 0  # the counter counts


def test_it_is_an_ase_dynamics():
    atoms = start()
    with long_stride(atoms)[0] as dyn:
        assert isinstance(dyn, MolecularDynamics)
        assert dyn.atoms is atoms
        assert dyn.todict()["type"] == "molecular-dynamics"
        assert dyn.todict()["md-type"] == "LongStride"
        dyn.insert_observer(lambda: None)
        assert dyn.run(0) is True
        assert dyn.get_number_of_steps() == 0
        assert dyn.converged()


def test_energies_in_frames_are_those_of_the_frame_or_absent(tmp_path):
    atoms = start()
    path = tmp_path / "run.traj"
    dyn, _ = long_stride(atoms, trajectory=str(path))
    dyn.attach(lambda: atoms.get_potential_energy(), interval=2)  # after the trajectory's own observer
    atoms.get_potential_energy()
    dyn.run(3)
    for frame in read(path, ":"):
        if frame.calc is not None and "energy" in frame.calc.results:
            bare = Atoms(frame.numbers, frame.positions, calculator=Springs())
            assert frame.get_potential_energy() == pytest.approx(bare.get_potential_energy(), rel=1e-12)
