"""Every interaction of the package, held to what it declares."""

import ast
from pathlib import Path

import numpy as np
import pytest
from askel.integrators import Evaluation, SumInteraction, interaction_conformance
from askel.integrators.conformance import HarmonicField, ReferenceGravity
from askel.nbody import DirectGravity, Fmm
from askel.particles import InputError, Particles

import askel

N = 9


def bodies():
    rng = np.random.default_rng(11)
    return Particles(
        rng.uniform(0.2, 1.0, N), rng.normal(size=(N, 3)), rng.normal(size=(N, 3)),
        kind=rng.integers(0, 2, N), softening=rng.uniform(0.0, 0.4, N), time=1.5,
    )  # fmt: skip


#: name -> (make, isolated: only forces between the particles, which are central)
INTERACTIONS = {
    "DirectGravity normal": (DirectGravity, True),
    "DirectGravity softened": (lambda: DirectGravity(softening=0.3, star_star="softened"), True),
    "DirectGravity none": (lambda: DirectGravity(star_star="none"), True),
    "DirectGravity reference": (lambda: DirectGravity(backend="reference"), True),
    "DirectGravity spline": (lambda: DirectGravity(kernel="spline"), True),
    "DirectGravity wendland": (lambda: DirectGravity(kernel="wendland", softening=1.0), True),
    "DirectGravity reference spline": (lambda: DirectGravity(kernel="spline", backend="reference"), True),
    "DirectGravity wendland softened": (
        lambda: DirectGravity(kernel="wendland", softening=1.0, star_star="softened"),
        True,
    ),
    "Fmm": (Fmm, True),
    "Fmm wendland": (lambda: Fmm(kernel="wendland", softening=1.0), True),
    "Fmm reference": (lambda: Fmm(kernel="spline", backend="reference"), True),
    "ReferenceGravity": (ReferenceGravity, True),
    "HarmonicField": (HarmonicField, False),
    "SumInteraction": (lambda: SumInteraction([DirectGravity(), DirectGravity(softening=1.0)]), True),
}

#: tested with particles of their own, in the file named
ELSEWHERE = {
    "AseInteraction": "tests/md/test_ase_interaction.py",
    "EnergyModel": "tests/md/test_ase_energy_model.py",
    "_Held": "tests/integrators/test_regions.py",
}

every = pytest.mark.parametrize("name", INTERACTIONS)


def made(name):
    return INTERACTIONS[name][0]()


def test_every_interaction_of_the_package_is_here():
    root = Path(askel.__file__).parent.parent
    found = set()
    for folder in ("integrators", "nbody", "equivariant", "md", "mpi"):
        for file in (root / folder).rglob("*.py"):
            found |= {
                node.name
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.ClassDef) and _evaluates(node) and node.name != "Interaction"
            }
    assert found - {name.split()[0] for name in INTERACTIONS} - set(ELSEWHERE) == set()
    assert all((root / file).exists() for name, file in ELSEWHERE.items() if name in found)


def _evaluates(node):
    return any(
        isinstance(f, ast.FunctionDef)
        and f.name == "evaluate"
        and [a.arg for a in f.args.args][1:] == ["particles", "out"]
        for f in node.body
    )


@every
def test_force_is_minus_the_gradient_of_the_energy(name):
    assert interaction_conformance.gradient_error(made(name), bodies(), 1e-3) < 1e-9


@every
def test_jerk_is_the_derivative_of_the_acceleration(name):
    if "jerk" not in made(name).provides:
        pytest.skip("gives no jerk")
    assert interaction_conformance.jerk_error(made(name), bodies(), 1e-3) < 1e-9


@every
def test_tide_is_the_gradient_of_the_acceleration(name):
    if "tide" not in made(name).provides:
        pytest.skip("gives no tide")
    assert interaction_conformance.tide_error(made(name), bodies(), 1e-3) < 1e-9
    out = interaction_conformance.evaluated(made(name), bodies(), "tide")
    assert out.tide == pytest.approx(out.tide.swapaxes(1, 2), rel=1e-13)


@every
def test_virial_is_the_strain_derivative_of_the_energy(name):
    if "virial" not in made(name).provides:
        pytest.skip("gives no virial")
    assert interaction_conformance.virial_error(made(name), bodies(), 1e-3) < 1e-9


@every
def test_momentum_and_angular_momentum(name):
    force, torque = (
        f(made(name), bodies()) for f in (interaction_conformance.net_force, interaction_conformance.net_torque)
    )
    if INTERACTIONS[name][1]:
        assert force < 1e-15
        assert torque < 1e-15
    else:
        assert force > 1e-3


@every
def test_order_of_the_particles_does_not_matter(name):
    order = np.random.default_rng(2).permutation(N)
    assert interaction_conformance.permutation_error(made(name), bodies(), order) < 1e-14


@every
def test_manners(name):
    for behaves in (
        interaction_conformance.overwrites,
        interaction_conformance.leaves_particles_alone,
        interaction_conformance.wants_do_not_matter,
        interaction_conformance.accepts_no_particles,
    ):
        assert behaves(made(name), bodies()), behaves.__name__


class Wrong(DirectGravity):
    """An interaction with each of the faults the harness looks for."""

    def evaluate(self, particles, out):
        before, was = out.acceleration.copy(), out.potential_energy
        super().evaluate(particles, out)
        out.potential_energy += was
        out.acceleration *= 1.001
        if particles.n:
            out.acceleration[0] *= 1.0 + 1e-3
        if out.jerk is not None:
            out.jerk *= 1.001
            out.acceleration += before + 1e-9
        if out.tide is not None and particles.n:
            out.tide[0] *= 1.001
        if out.virial is not None:
            out.virial *= 1.001
        particles.velocity += 1.0


def test_the_harness_sees_faults():
    wrong, order = Wrong(), np.arange(N)[::-1]
    assert interaction_conformance.gradient_error(wrong, bodies(), 1e-3) > 1e-4
    assert interaction_conformance.jerk_error(wrong, bodies(), 1e-3) > 1e-6
    assert interaction_conformance.tide_error(wrong, bodies(), 1e-3) > 1e-5
    assert interaction_conformance.virial_error(wrong, bodies(), 1e-3) > 1e-4
    assert interaction_conformance.net_force(wrong, bodies()) > 1e-6
    assert interaction_conformance.net_torque(wrong, bodies()) > 1e-6
    assert interaction_conformance.permutation_error(wrong, bodies(), order) > 1e-6
    assert not interaction_conformance.overwrites(wrong, bodies())
    assert not interaction_conformance.leaves_particles_alone(wrong, bodies())
    assert not interaction_conformance.wants_do_not_matter(wrong, bodies())


def test_evaluation_refuses_unknown_quantities():
    with pytest.raises(InputError, match="unknown quantity 'colour'"):
        Evaluation(3, ["colour"])


def test_sum_needs_a_part():
    with pytest.raises(InputError, match="at least one"):
        SumInteraction([])
