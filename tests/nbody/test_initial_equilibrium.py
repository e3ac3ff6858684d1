"""Sampled systems stay as they are when every pair pulls: Lagrangian radii over several crossing times."""

import numpy as np
import pytest
from askel.integrators import Fixed, Simulation, propagator_entry
from askel.nbody import DirectGravity
from askel.nbody.initial_conditions import NFW, BlackHole, Component, Galaxy, Hernquist, King, Plummer
from askel.particles import KINDS, Particles, join

N = 2000
SHARES = (0.1, 0.25, 0.5, 0.75)


def radii(state):
    """Return the radii of the first N particles that hold given shares of them, about the black hole or the origin."""
    hole = state.is_kind(KINDS["black-hole"])
    centre = state.position[hole][0] if hole.any() else np.zeros(3)
    return np.quantile(np.linalg.norm(state.position[:N] - centre, axis=1), SHARES)


def change(state, step, t_end, softening):
    """Return the mean over the second half of a run of ln(radius/radius at the start)."""
    leapfrog = propagator_entry("leapfrog").factory()(DirectGravity(softening=softening))
    simulation = Simulation(state.clone(), leapfrog, Fixed(step))
    start, later = radii(state), []
    for k in range(1, 13):
        simulation.run(k * t_end / 12)
        if k > 6:
            later.append(np.log(radii(simulation.particles) / start))
    return np.mean(later, axis=0)


def sample(galaxy):
    return galaxy.sample(seed=4, sampling="quiet")


HERNQUIST = Component(Hernquist(1.0, 1.0), N, cut_radius=50.0)
STEADY = {
    "plummer": (Galaxy([Component(Plummer(1.0, 1.0), N)]), 0.1, 16.0, 0.05),
    "king": (Galaxy([Component(King(1.0, 0.5, 5.0), N)]), 0.05, 16.0, 0.05),
    "hernquist": (Galaxy([HERNQUIST]), 0.02, 8.0, 0.02),
    "black hole": (Galaxy([HERNQUIST], BlackHole(0.1)), 0.015, 6.0, 0.02),
    "osipkov-merritt": (Galaxy([Component(Plummer(1.0, 1.0), N, anisotropy_radius=1.5)]), 0.1, 16.0, 0.05),
    "bulge and halo": (
        Galaxy([HERNQUIST, Component(NFW(3.0, 3.0, 10.0), N, kind="dark-matter")]), 0.03, 6.0, 0.03
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("galaxy", "step", "t_end", "softening"), STEADY.values(), ids=STEADY)
def test_lagrangian_radii_stay(galaxy, step, t_end, softening):
    drift = change(sample(galaxy), step, t_end, softening)
    # a radius holding m of N particles is known to 1/sqrt(m), over the logarithmic slope of the mass, 1 to 3
    assert np.abs(drift[1:]).max() < 0.08 and abs(drift[0]) < 0.12
    assert np.abs(drift).max() > 1e-4


@pytest.mark.slow
def test_systems_out_of_equilibrium_are_seen():
    hot = sample(STEADY["plummer"][0])
    hot.velocity *= 1.15
    assert change(hot, 0.1, 16.0, 0.05)[2] > 0.12
    # the black hole added to stars that do not know of it
    bare = sample(Galaxy([HERNQUIST]))
    hole = Particles([0.3], np.zeros((1, 3)), np.zeros((1, 3)), identity=[N], kind=[KINDS["black-hole"]])
    assert np.abs(change(join([bare, hole]), 0.015, 6.0, 0.02)).max() > 0.12
