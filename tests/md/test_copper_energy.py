"""The shipped energy model of copper as an ASE calculator, against the EMT that it was trained on."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import GPa, fs
from askel.md import EnergyModelCalculator

pytest.importorskip("torch")
A = 3.58983  # Angstrom, where the stress of EMT vanishes


@pytest.fixture(scope="module")
def learned():
    return EnergyModelCalculator("copper-energy")


def crystal(calculator, a=A, cells=1):
    atoms = bulk("Cu", cubic=True, a=a) * (cells, cells, cells)
    atoms.calc = calculator
    return atoms


def equation_of_state(calculator):
    """Return the lattice constant (Angstrom) and the bulk modulus (GPa)."""
    lengths = A * np.linspace(0.97, 1.03, 7)
    energies = [crystal(calculator, a).get_potential_energy() for a in lengths]
    volume, _, modulus = EquationOfState(lengths**3, energies).fit()
    return volume ** (1.0 / 3.0), modulus / GPa


def test_equation_of_state(learned):
    (a, modulus), (exact, stiff) = equation_of_state(learned), equation_of_state(EMT())
    assert a == pytest.approx(exact, rel=5e-4)
    assert modulus == pytest.approx(stiff, rel=0.03)
    assert stiff == pytest.approx(134.0, rel=0.1)


def test_elastic_constants(learned):
    """C11 - C12 and C44 from the stress of a small strain."""

    def constants(calculator):
        found = []
        for strain in (np.diag([1.0, -1.0, 0.0]), np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])):
            stress = []
            for size in (4e-3, -4e-3):
                atoms = crystal(calculator)
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
                stress.append(atoms.get_stress(voigt=False))
            slope = (stress[0] - stress[1]) / 8e-3
            found.append(float((slope * strain).sum() / (strain**2).sum()) / GPa)
        return found

    assert constants(learned) == pytest.approx(constants(EMT()), rel=0.08)


def test_a_shaken_strained_crystal_relaxes_to_fcc(learned):
    atoms = crystal(learned, 1.02 * A, 2)
    atoms.rattle(0.1, seed=1)
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=80)
    assert atoms.get_volume() == pytest.approx(8.0 * A**3, rel=6e-3)
    distances = np.sort(atoms.get_all_distances(mic=True)[0])
    assert distances[1:13] == pytest.approx(A / np.sqrt(2.0), rel=5e-3)


def test_forces_of_a_warm_crystal_and_a_vacancy(learned):
    atoms = crystal(learned, A, 3)
    del atoms[40]
    atoms.rattle(0.1, seed=3)
    mine = atoms.get_forces()
    atoms.calc = EMT()
    exact = atoms.get_forces()
    assert np.sqrt(((mine - exact) ** 2).mean()) < 0.02 * np.sqrt((exact**2).mean())


def test_energy_is_conserved_in_dynamics(learned):
    atoms = crystal(learned, A, 2)
    atoms.set_velocities(0.02 * np.random.default_rng(1).normal(size=(32, 3)))
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, 2.0 * fs).run(30)
    assert 1e-7 < abs(atoms.get_total_energy() - start) < 5e-3 * atoms.get_kinetic_energy()
