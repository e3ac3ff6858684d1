"""Molecules by their bonds: which atoms belong together, from the radii that ASE lists."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..equivariant.graph import neighbour_graph
from ..particles import InputError, Particles

#: two atoms are bonded below this multiple of the sum of their covalent radii (Cordero et al. 2008, doi:10.1039/b801115j);
#: bonds that vibrate stay bonds, and hydrogen bonds are none
BOND_REACH = 1.3


def molecules(particles: Particles, reach: float = BOND_REACH) -> NDArray[np.int64]:
    """Return the molecule of every atom (n,), 0 ... M - 1: what bonds connect, at present; Angstrom.

    Raises
    ------
    InputError : atoms without atomic numbers

    """
    if particles.species is None:
        raise InputError("molecules are found by their bonds, which needs atomic numbers; give the particles species")
    radius = reach * covalent_radii[particles.species]
    periodic = np.zeros(3, bool) if particles.periodic is None else particles.periodic
    cell = particles.cell if periodic.any() else None
    graph = neighbour_graph(particles.position, cell, periodic, 2.0 * float(radius.max(initial=0.5)))
    i, j = graph.receiver, graph.sender
    r = graph.vectors(particles.position)
    bonded = np.einsum("ec,ec->e", r, r) < (radius[i] + radius[j]) ** 2
    pairs = coo_array((np.ones(int(bonded.sum()), bool), (i[bonded], j[bonded])), shape=(particles.n, particles.n))
    return np.asarray(connected_components(pairs, directed=False)[1], dtype=np.int64)
