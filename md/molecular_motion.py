"""The motion of molecules in three parts: as a whole, turning as a rigid body, and changing their shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..particles import Particles

FloatArray = NDArray[np.float64]

#: Axes whose inertia is below this share of the molecule's largest have none: a linear molecule turns about two.
_NO_INERTIA = 1e-6


def molecular_motion(particles: Particles, molecule: NDArray[np.int64]) -> tuple[list[FloatArray], list[int]]:
    r"""Return the velocities of translation, rotation and vibration, (n, 3) each, and their degrees of freedom.

    v_i = V + omega x r_i + w_i,  I omega = sum m_i r_i x (v_i - V) of each molecule, r_i from its centre of mass; the three are
    orthogonal in the metric of the masses, so that their kinetic energies add up

    | symbol | meaning |
    |---|---|
    | V, omega, I | of the atom's molecule: velocity of its centre, angular velocity, tensor of inertia |
    | w | what changes distances |

    Parameters
    ----------
    particles : with molecules smaller than half the cell
    molecule : (n,) int, 0 ... M - 1, the molecule of every atom

    Degrees: 3 M of translation, 3 a molecule of rotation (2 if it is linear, none of one atom), the rest of vibration.

    """
    mass, count = particles.mass, int(molecule.max(initial=-1)) + 1
    total = np.bincount(molecule, mass, minlength=count)

    def summed(values: FloatArray) -> FloatArray:
        flat = values.reshape(len(values), -1)
        columns = [np.bincount(molecule, column, minlength=count) for column in flat.T]
        return np.asarray(np.stack(columns, axis=1).reshape(count, *values.shape[1:]), dtype=float)

    def mean(vectors: FloatArray) -> FloatArray:
        return np.asarray(summed(mass[:, None] * vectors) / total[:, None])

    r = _from_one_atom(particles, molecule, count)
    r -= mean(r)[molecule]
    translation = mean(particles.velocity)[molecule]
    rest = particles.velocity - translation
    spin = summed(mass[:, None] * np.cross(r, rest))
    moment = summed(mass[:, None, None] * np.einsum("ia,ib->iab", r, r))
    values, axes = np.linalg.eigh(np.trace(moment, axis1=1, axis2=2)[:, None, None] * np.eye(3) - moment)
    turns = values > _NO_INERTIA * np.maximum(values[:, 2:], 1e-300)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=turns)
    omega = np.einsum("mab,mb,mcb,mc->ma", axes, inverse, axes, spin)
    rotation = np.cross(omega[molecule], r)
    degrees = [3 * count, int(turns.sum())]
    return [translation, rotation, rest - rotation], [*degrees, 3 * particles.n - sum(degrees)]


def _from_one_atom(particles: Particles, molecule: NDArray[np.int64], count: int) -> FloatArray:
    """Return positions (n, 3) relative to the first atom of the molecule, in whole molecules."""
    first = np.full(count, particles.n)
    np.minimum.at(first, molecule, np.arange(particles.n))
    r = particles.position - particles.position[first[molecule]]
    if particles.cell is not None and particles.periodic is not None and particles.periodic.any():
        cells = np.round(r @ np.linalg.pinv(particles.cell)) * particles.periodic
        r = r - cells @ particles.cell
    return np.asarray(r)
