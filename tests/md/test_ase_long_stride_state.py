"""LongStride between strides: restart, and what the user does to the atoms."""

import numpy as np
import pytest
from ase import units
from ase.constraints import FixAtoms
from askel.md import LongStride
from askel.particles import InputError
from resting_solid import dynamics, small_model, solid, warm

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
