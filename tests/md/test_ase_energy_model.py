"""A network's energy as an ASE calculator and as an interaction: smooth, conservative, extensive, and refusing."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.phonons import Phonons
from askel.equivariant.architecture import Architecture
from askel.equivariant.model_file import Model, save_model
from askel.integrators import Evaluation, interaction_conformance
from askel.md import AseInteraction, EnergyModel, EnergyModelCalculator
from askel.md.energy_model import BACKENDS, energy_engine
from askel.particles import UNIT_SYSTEMS, InputError, Particles

torch = pytest.importorskip("torch")


def random_model(species=(1, 6, 8), masses=(1.008, 12.011, 15.999), cutoff=3.0, seed=0, **others):
    """A small network with random weights, of the head "energy" unless others say so."""
    from askel.equivariant.network import Network

    facts = {"head": "energy", "atom_energy": tuple(-1.0 * z for z in species), "energy_scale": 1.0} | others
    architecture = Architecture(
        species=species, masses=masses, cutoff=cutoff, average_neighbours=8.0, l_max=1, channels=4, layers=2,
        radial_hidden=(8,), speed_hidden=(8,), **facts,
    )  # fmt: skip
    return Model(architecture, Network(architecture, seed=seed).arrays(), {"name": "random"})


@pytest.fixture(scope="module")
def organic():
    return EnergyModelCalculator(random_model())


@pytest.fixture(scope="module")
def copper():
    return EnergyModelCalculator(random_model((29,), (63.546,), cutoff=4.0))


def shaken(atoms, calculator, scale=0.05, seed=1):
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=scale, size=(len(atoms), 3))
    atoms.calc = calculator
    return atoms


def crystal(calculator, repeat=1):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.triu(np.ones((3, 3)), 1)), scale_atoms=True)
    return shaken(atoms.repeat(repeat), calculator)


def test_forces_are_the_gradient_of_the_energy(organic):
    atoms = shaken(molecule("CH3OH"), organic)
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 1e-2
    assert np.abs(forces - calculate_numerical_forces(atoms, eps=1e-4)).max() < 1e-6 * np.abs(forces).max()
    assert np.abs(forces.sum(axis=0)).max() < 1e-10
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_stress_is_the_gradient_by_the_strain_in_a_cell_smaller_than_the_cutoff(copper):
    atoms = crystal(copper)
    assert min(atoms.cell.lengths()) < 4.0  # the cutoff: an atom sees its own images
    stress = atoms.get_stress()
    assert np.abs(stress).max() > 1e-4
    assert np.abs(stress - calculate_numerical_stress(atoms, eps=1e-5)).max() < 1e-6 * np.abs(stress).max()


def test_images_count_like_atoms(copper):
    one, eight = crystal(copper), crystal(copper).repeat(2)
    eight.calc = copper
    assert eight.get_potential_energy() == pytest.approx(8 * one.get_potential_energy(), rel=1e-12)
    assert np.abs(eight.get_forces()[:4] - one.get_forces()).max() < 1e-10
    assert np.abs(eight.get_stress() - one.get_stress()).max() < 1e-12


def test_open_systems_have_no_stress_and_lone_atoms_no_forces(organic):
    atoms = shaken(molecule("H2O"), organic)
    with pytest.raises(NotImplementedError):
        atoms.get_stress()
    lone = Atoms("O", [[0.0, 0.0, 0.0]])
    lone.calc = organic
    assert np.array_equal(lone.get_forces(), np.zeros((1, 3)))
    apart = Atoms("O2", [[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    apart.calc = organic
    assert apart.get_potential_energy() == pytest.approx(2 * lone.get_potential_energy(), rel=1e-12)


def test_velocity_verlet_conserves_the_energy_to_second_order(copper):
    def error(dt, steps):
        atoms = crystal(copper)
        thermal = np.sqrt(300 * units.kB / atoms.get_masses())[:, None]
        atoms.set_velocities(np.random.default_rng(3).normal(size=(len(atoms), 3)) * thermal)
        start = atoms.get_total_energy()
        worst = 0.0
        for _ in VelocityVerlet(atoms, dt * units.fs).irun(steps):
            worst = max(worst, abs(atoms.get_total_energy() - start))
        return worst

    coarse, fine = error(4.0, 15), error(2.0, 30)
    assert 1e-9 < coarse < 1e-1
    assert 3.0 < coarse / fine < 5.0


def test_optimisers_reach_tight_forces(organic, copper):
    atoms = shaken(Atoms("CO", [[0, 0, 0], [0, 0, 1.2]]), organic, scale=0.0)
    atoms.set_constraint(FixAtoms([0]))
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=300)
    assert np.abs(atoms.get_forces()).max() < 1e-6
    assert atoms.get_potential_energy() < before
    solid = crystal(copper)
    before, squeezed = solid.get_potential_energy(), np.abs(solid.get_stress()).max()
    BFGS(FrechetCellFilter(solid), logfile=None).run(fmax=1e-3, steps=15)
    assert solid.get_potential_energy() < before
    assert np.abs(solid.get_stress()).max() != squeezed


def test_phonons(copper, tmp_path):
    atoms = bulk("Cu")
    atoms.calc = None
    phonons = Phonons(atoms, copper, supercell=(2, 2, 2), delta=0.02, name=str(tmp_path / "phonon"))
    phonons.run()
    phonons.read(acoustic=True)
    frequencies = phonons.band_structure([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert np.abs(frequencies[0]).max() < 1e-3  # translations cost nothing
    assert np.abs(frequencies[1]).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_and_precisions_agree(backend, dtype):
    model, atoms = random_model(), shaken(molecule("CH3OH"), None)
    energies, forces = [], []
    exact = EnergyModelCalculator(model, backend="torch")
    for calculator in (EnergyModelCalculator(model, dtype=dtype, backend=backend), exact):
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    assert energies[0] == pytest.approx(energies[1], rel=1e-6)
    error = np.abs(forces[0] - forces[1]).max() / np.abs(forces[1]).max()
    assert error < (1e-5 if dtype == "float32" else 3e-6)
    assert (error > 0.0) == (backend != "torch" or dtype == "float32")


# ---------------------------------------------------------------------- the interaction


def test_the_interaction_conforms_and_equals_the_calculator(copper):
    atoms = crystal(copper)[:2]
    state = Particles.from_ase(atoms).clone()
    interaction = EnergyModel(random_model((29,), (63.546,), cutoff=4.0))
    assert interaction_conformance.gradient_error(interaction, state, 1e-3) < 1e-6
    assert interaction_conformance.virial_error(interaction, state, 1e-4) < 1e-6
    assert interaction_conformance.net_force(interaction, state) < 1e-11
    assert interaction_conformance.permutation_error(interaction, state, np.array([1, 0])) < 1e-10
    assert interaction_conformance.overwrites(interaction, state)
    assert interaction_conformance.leaves_particles_alone(interaction, state)
    assert interaction_conformance.accepts_no_particles(interaction, state)
    mine = interaction_conformance.evaluated(interaction, state)
    theirs = interaction_conformance.evaluated(AseInteraction(copper, atoms), state)
    assert mine.potential_energy == pytest.approx(theirs.potential_energy, rel=1e-12)
    assert np.abs(mine.acceleration - theirs.acceleration).max() < 1e-13
    assert np.abs(mine.virial - theirs.virial).max() < 1e-10


# ---------------------------------------------------------------------- user mistakes


def test_a_model_of_strides_is_refused():
    one = {"strides": (2.0,), "head": "stride", "atom_energy": ()}
    tables = {"drift": ((1.0,) * 3,), "memory": ((1.0,) * 3,), "displacement_scale": ((0.1,) * 3,)}
    strides = random_model(**one, **tables, velocity_change_scale=((0.01,) * 3,), velocity_scale=(0.01,) * 3)
    with pytest.raises(InputError, match="head 'stride'; energies and forces need one with head 'energy'"):
        EnergyModelCalculator(strides)


def test_user_mistakes(organic, tmp_path):
    with pytest.raises(InputError, match="no model 'ethanol-9fs'"):
        EnergyModelCalculator("ethanol-9fs")
    with pytest.raises(InputError, match="dtype is 'float16'"):
        EnergyModelCalculator(random_model(), dtype="float16")
    with pytest.raises(InputError, match="backend is 'tpu'"):
        energy_engine(random_model(), backend="tpu")
    pickle = tmp_path / "model.safetensors"
    pickle.write_bytes(b"\x80\x04\x95cposix\nsystem\n")
    with pytest.raises(InputError, match="not a model file, or is damaged"):
        EnergyModelCalculator(pickle)
    strange = Atoms("Xe", calculator=organic)
    with pytest.raises(InputError, match="species 54"):
        strange.get_potential_energy()
    lost = Atoms("H2", [[0, 0, 0], [0, 0, np.nan]], calculator=organic)
    with pytest.raises(InputError, match="atom 1 is not finite"):
        lost.get_potential_energy()
    flat = Atoms("H2", [[0, 0, 0], [0, 0, 1.0]], pbc=True, calculator=organic)
    with pytest.raises(InputError, match="cell vectors"):
        flat.get_potential_energy()
    interaction = EnergyModel(random_model())
    bare = Particles([1.0, 1.0], [[0, 0, 0], [0, 0, 1.0]], np.zeros((2, 3)))
    with pytest.raises(InputError, match="'ase' units, not 'nbody'"):
        interaction.evaluate(bare, Evaluation(2))
    bare.units = UNIT_SYSTEMS["ase"]
    with pytest.raises(InputError, match="no species"):
        interaction.evaluate(bare, Evaluation(2))


def test_a_file_gives_what_the_model_gives(tmp_path):
    model = random_model()
    save_model(tmp_path / "mine.safetensors", model)
    atoms = shaken(molecule("H2O"), EnergyModelCalculator(model))
    expected = atoms.get_potential_energy()
    atoms.calc = EnergyModelCalculator(tmp_path / "mine.safetensors")
    assert atoms.get_potential_energy() == expected
    assert atoms.calc.model == "mine"
