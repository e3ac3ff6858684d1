"""How the numbers of the examples were made: ``python -m askel.examples.recipes`` prints them, or writes smbh_stars.csv.

The files of ``structures`` are of ``askel.md.ase_references``: paracetamol relaxed, the others samples at 300 K.
"""

from __future__ import annotations

import sys

import numpy as np

from ..nbody.orbits import OrbitalElements, state_from_elements
from ..particles import KINDS, Particles, custom_units
from ..particles.files import write

#: Units of the triple: pc, solar masses, thousand years.
TRIPLE_UNITS = ("1 pc", "1 Msun", "1 kyr")


def black_hole_triple() -> Particles:
    """Return three supermassive black holes: an inner pair of 3,000 gravitational radii, strongly tilted.

    The outer orbit is six times wider and tilted by 92 degrees, so that Kozai-Lidov cycles drive the inner eccentricity up
    until gravitational waves take over. The third is the outer body.
    """
    units = custom_units(*TRIPLE_UNITS)
    constant, light = units.gravitational_constant, units.speed_of_light
    mass = np.array([6e8, 5e8, 9e8])
    inner, total = float(mass[:2].sum()), float(mass.sum())
    assert light is not None, "physical units have a speed of light"
    a = 3000.0 * constant * inner / light**2
    x, v = state_from_elements(constant * inner, OrbitalElements(a, 0.1, np.radians(92.0), 0.0, 0.3, 0.5))
    far, fast = state_from_elements(constant * total, OrbitalElements(6.0 * a, 0.3, 0.0, 0.0, 0.0, 1.0))
    position = np.array([x * mass[1] / inner, -x * mass[0] / inner, -far])
    velocity = np.array([v * mass[1] / inner, -v * mass[0] / inner, -fast])
    return _centred(mass, position, velocity, kind=np.full(3, KINDS["black-hole"], np.int8), units=units)


def smbh_stars(stars: int = 50, seed: int = 40961) -> Particles:
    """Return a black hole of mass 1 and light stars: a in [0.1, 1], evenly in log a, thermal e, any orientation."""
    rng = np.random.default_rng(seed)
    light = 1e-5
    position, velocity = np.zeros((stars + 1, 3)), np.zeros((stars + 1, 3))
    for i in range(1, stars + 1):
        elements = OrbitalElements(
            0.1 * 10.0 ** rng.uniform(),
            min(float(np.sqrt(rng.uniform())), 0.99),
            float(np.arccos(rng.uniform(-1.0, 1.0))),
            *(float(angle) for angle in rng.uniform(0.0, 2.0 * np.pi, 3)),
        )
        position[i], velocity[i] = state_from_elements(1.0 + light, elements)
    kinds = np.array([KINDS["black-hole"]] + [KINDS["star"]] * stars, np.int8)
    return _centred(np.array([1.0] + [light] * stars), position, velocity, kind=kinds)


def _centred(mass: np.ndarray, position: np.ndarray, velocity: np.ndarray, **fields: object) -> Particles:
    particles = Particles(mass, position, velocity, **fields)  # type: ignore[arg-type]
    centre, drift = particles.centre_of_mass()
    particles.position -= centre
    particles.velocity -= drift
    return particles


def main() -> None:
    """Print the bodies of the triple, or write the stars to the file named on the command line."""
    if len(sys.argv) > 1:
        write(sys.argv[1], smbh_stars())
        return
    triple = black_hole_triple()
    for row in np.column_stack([triple.mass, triple.position, triple.velocity]).tolist():
        print(*(f"{value:.12g}" for value in row))


if __name__ == "__main__":
    main()
