"""What judging takes from ASE: frames of Atoms, covalent bonds, minimum images, chemical symbols."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import find_mic
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from ...particles.io_ase import particles_from_atoms
from .files import frames_from_particles
from .frames import FloatArray, Frames

#: two atoms are bonded below this multiple of the sum of their covalent radii (Cordero et al. 2008, doi:10.1039/b801115j)
BOND_REACH = 1.2
#: elements whose bonds are covalent or ionic; two others (metals) are neighbours, not bonded
_NON_METALS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 32, 33, 34, 35, 52, 53)  # H B C N O F Si P S Cl Ge As Se Br Te I


def frames_from_atoms(images: Iterable[Atoms], *, interval: float | None = None) -> Frames:
    """Return the frames of ASE images (``ase.io.read(file, ":")``, or collected in a run), with their energies.

    Parameters
    ----------
    images : atoms with momenta; energies are taken where every image carries one
    interval : fs between images, needed unless ``atoms.info["time"]`` says it (in ASE's time unit)

    Raises
    ------
    InputError : as ``frames_from_particles``

    """
    found = list(images)
    energies = [_energy(a) for a in found]
    known = [e for e in energies if e is not None]
    return frames_from_particles(
        (particles_from_atoms(a) for a in found),
        interval=interval,
        potential_energy=known if len(known) == len(found) else None,
    )


def _energy(atoms: Atoms) -> float | None:
    results = {} if atoms.calc is None else atoms.calc.results
    value = results.get("free_energy", results.get("energy"))
    return None if value is None else float(value)


def bonds(frames: Frames, reach: float = BOND_REACH) -> NDArray[np.int64]:
    """Return the bonds (b, 2) of the first frame, i < j: pairs nearer than ``reach`` sums of covalent radii, no metal pairs."""
    atoms = Atoms(
        frames.species, frames.position[0], cell=None if frames.cell is None else frames.cell[0], pbc=frames.periodic
    )
    radii = reach * covalent_radii[frames.species]
    i, j = neighbor_list("ij", atoms, list(radii))
    chosen = (i < j) & (np.isin(frames.species[i], _NON_METALS) | np.isin(frames.species[j], _NON_METALS))
    return np.unique(np.stack([i, j], axis=1)[chosen], axis=0).astype(np.int64).reshape(-1, 2)


def bond_reach(one: int, other: int, reach: float = BOND_REACH) -> float:
    """Return the distance in Angstrom below which atoms of two atomic numbers count as neighbours."""
    return float(reach * (covalent_radii[one] + covalent_radii[other]))


def minimum_image(vectors: FloatArray, frames: Frames) -> FloatArray:
    """Return vectors (f, m, 3) between atoms as their shortest periodic image, in cells of any shape."""
    if frames.open or frames.cell is None:
        return vectors
    if (frames.cell == frames.cell[0]).all():
        return np.asarray(find_mic(vectors.reshape(-1, 3), frames.cell[0], frames.periodic)[0]).reshape(vectors.shape)
    return np.stack([find_mic(v, c, frames.periodic)[0] for v, c in zip(vectors, frames.cell, strict=True)])
