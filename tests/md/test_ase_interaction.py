"""ASE calculators under Askel's integrators."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB
from askel.integrators import Evaluation, interaction_conformance, propagator_entry
from askel.md import AseInteraction
from askel.particles import UNIT_SYSTEMS, InputError, Particles


def crystal():
    """Copper and gold, 32 atoms, shaken to 300 K in a slightly sheared cell."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.numbers[::5] = 79
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * np.triu(np.ones((3, 3)), 1)), scale_atoms=True)
    rng = np.random.default_rng(1)
    atoms.set_velocities(rng.normal(size=(len(atoms), 3)) * np.sqrt(300 * kB / atoms.get_masses())[:, None])
    atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
    return atoms


def state(atoms):
    """The same atoms as particles that own their arrays."""
    return Particles.from_ase(atoms).clone()


def askel_leapfrog(atoms, steps, dt):
    """Final particles and the largest energy error, in eV."""
    particles, interaction = state(atoms), AseInteraction(EMT(), atoms)
    out = Evaluation(particles.n, ["potential_energy"])

    def energy():
        interaction.evaluate(particles, out)
        return particles.kinetic_energy() + out.potential_energy

    leapfrog = propagator_entry("leapfrog").factory()(interaction)
    carry, start, errors = leapfrog.start(particles), energy(), []
    for _ in range(steps):
        leapfrog.advance(particles, carry, dt)
        errors.append(abs(energy() - start))
    return particles, max(errors)


def test_emt_crystal_follows_ase_velocity_verlet():
    atoms, steps, dt = crystal(), 40, 2 * fs
    start = atoms.positions.copy()
    particles, error = askel_leapfrog(atoms, steps, dt)
    _, finer = askel_leapfrog(atoms, 2 * steps, dt / 2)
    assert 3.5 < error / finer < 4.5  # second order
    assert 1e-5 < error < 1e-1
    atoms.calc = EMT()
    VelocityVerlet(atoms, timestep=dt).run(steps)
    assert np.abs(atoms.positions - start).max() > 0.1
    assert np.abs(atoms.positions - particles.position).max() < 1e-10
    assert np.abs(atoms.get_velocities() - particles.velocity).max() < 1e-10
    assert particles.time == pytest.approx(steps * dt, rel=1e-12)


def test_conformance():
    atoms = crystal()[:9]  # a piece of it, in the large cell: surfaces, strong forces
    atoms.pbc = True
    particles, interaction = state(atoms), AseInteraction(EMT(), atoms)
    assert interaction.provides == {"acceleration", "potential_energy", "virial"}
    assert interaction_conformance.gradient_error(interaction, particles, 1e-3) < 1e-7
    assert interaction_conformance.virial_error(interaction, particles, 1e-4) < 1e-7
    assert interaction_conformance.net_force(interaction, particles) < 1e-12
    order = np.random.default_rng(2).permutation(9)
    assert interaction_conformance.permutation_error(interaction, particles, order) < 1e-12
    assert interaction_conformance.overwrites(interaction, particles)
    assert interaction_conformance.leaves_particles_alone(interaction, particles)
    assert interaction_conformance.accepts_no_particles(interaction, particles)


def test_template_is_copied_and_its_constraints_are_left_out():
    atoms = crystal()
    particles = state(atoms)
    atoms.set_constraint(FixAtoms([0]))
    interaction = AseInteraction(EMT(), atoms)
    atoms.numbers[:] = 1
    assert np.abs(interaction_conformance.evaluated(interaction, particles).acceleration[0]).max() > 1e-3
    assert atoms.constraints


def test_template_says_what_particles_do_not():
    atoms = crystal()
    full = state(atoms)
    bare = Particles(full.mass, full.position, full.velocity, units=UNIT_SYSTEMS["ase"])
    forces = [interaction_conformance.evaluated(AseInteraction(EMT(), atoms), p).acceleration for p in (full, bare)]
    assert np.array_equal(*forces)


class EnergyAlone(Calculator):
    implemented_properties = ("energy",)


def test_user_mistakes():
    atoms = molecule("H2O")
    with pytest.raises(InputError, match="EnergyAlone gives no forces"):
        AseInteraction(EnergyAlone(), atoms)
    interaction = AseInteraction(EMT(), atoms)
    particles = state(atoms)
    with pytest.raises(InputError, match="gives no jerk"):
        interaction.evaluate(particles, Evaluation(3, ["jerk"]))
    nbody = Particles(particles.mass, particles.position, particles.velocity)
    with pytest.raises(InputError, match="'ase' units, not 'nbody'"):
        interaction.evaluate(nbody, Evaluation(3))
    fewer = particles.select([0, 1])
    fewer.species = None
    with pytest.raises(InputError, match="2 particles without species meet a template of 3"):
        interaction.evaluate(fewer, Evaluation(2))
