"""Atoms and particles as one state: what the user changes is noticed, what a stride changes is written back."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..equivariant.graph import neighbour_graph
from ..integrators import Change
from ..particles import InputError
from ..particles.io_ase import particles_from_atoms
from .stride import LearnedStride

#: Angstrom; half the shortest bond there is (hydrogen, 0.74): closer atoms are a mistake in the input.
OVERLAP = 0.37


class AtomsView:
    """Particles whose positions are those of the atoms; velocities are momenta / masses, anew before every stride.

    The atoms therefore hold the whole state, and are the truth: a trajectory's last frame is enough to go on from.

    Parameters
    ----------
    atoms : ase.Atoms
    stride : LearnedStride, which says whether it was made for such atoms

    Attributes
    ----------
    particles : Particles in 'ase' units

    Raises
    ------
    InputError : constraints, values that are not finite, atoms that overlap, what the stride refuses

    """

    def __init__(self, atoms: Atoms, stride: LearnedStride) -> None:
        self.atoms, self.stride = atoms, stride
        _refuse_constraints(atoms)
        self.particles = particles_from_atoms(atoms)
        self._seen = _snapshot(atoms)
        self._check()

    def take_up(self) -> frozenset[str]:
        """Bring the particles up to date with the atoms; return what the user has changed since the last stride.

        Raises
        ------
        InputError : atoms were added or removed, momenta are all zero, constraints, what the stride refuses

        """
        _refuse_constraints(self.atoms)
        if len(self.atoms) != self.particles.n:
            raise InputError(
                f"there are {len(self.atoms)} atoms now and were {self.particles.n}; make a new LongStride after adding or "
                "removing atoms"
            )
        now = _snapshot(self.atoms)
        changed = frozenset(name for name, value in now.items() if not np.array_equal(value, self._seen[name]))
        if changed:
            self._rebuild()
            self._check()
        if self.particles.position is not self.atoms.arrays["positions"]:
            self.particles.position = self.atoms.arrays["positions"]
        self.particles.velocity[...] = now["momenta"] / self.particles.mass[:, None]
        if not now["momenta"].any() and len(self.atoms) > 1:
            raise InputError(
                "all momenta are zero; a stride maps positions and velocities, so draw them first, as with "
                "ase.md.velocitydistribution.MaxwellBoltzmannDistribution(atoms, temperature_K=300)"
            )
        self._seen = now
        return changed

    @property
    def everything(self) -> Change:
        """The change that says that all particles were altered, and all are still there."""
        return Change(np.arange(self.particles.n), tuple(int(i) for i in self.particles.identity))

    def hand_over(self) -> None:
        """Write momenta, and the cell where a barostat changed it, to the atoms; positions are there already."""
        state = self.particles
        self.atoms.set_momenta(state.mass[:, None] * state.velocity, apply_constraint=False)
        if state.cell is not None and not np.array_equal(state.cell, self._seen["cell"]):
            self.atoms.set_cell(state.cell)
        self._seen = _snapshot(self.atoms)

    def roll_back(self) -> None:
        """Put the atoms back to where they were before the stride."""
        self.atoms.arrays["positions"][...] = self._seen["positions"]
        self._rebuild()

    def state(self) -> dict[str, Any]:
        """Return the atoms' state as a tree."""
        return {**_snapshot(self.atoms), "time": self.particles.time}

    def set_state(self, tree: dict[str, Any]) -> None:
        """Overwrite the atoms with a state; raises InputError when it is of other atoms."""
        if not np.array_equal(tree["numbers"], self.atoms.numbers):
            raise InputError(
                f"the state is of {len(tree['numbers'])} atoms of species {sorted(set(map(int, tree['numbers'])))}, not of "
                f"these {len(self.atoms)}; give LongStride the same atoms"
            )
        atoms = self.atoms
        atoms.arrays["positions"][...] = tree["positions"]
        if not np.array_equal(tree["masses"], atoms.get_masses()):
            atoms.set_masses(tree["masses"])
        atoms.set_cell(tree["cell"])
        atoms.set_pbc(tree["pbc"])
        atoms.set_momenta(tree["momenta"], apply_constraint=False)
        self._seen = _snapshot(atoms)
        self._rebuild()
        self.particles.time = float(tree["time"])

    def _rebuild(self) -> None:
        time = self.particles.time
        self.particles = particles_from_atoms(self.atoms)
        self.particles.time = time

    def _check(self) -> None:
        """Ask the stride whether it was made for such atoms; that velocities are missing does not matter yet."""
        state = self.particles
        probe = state.clone()
        if not probe.velocity.any():
            probe.velocity[...] = 1.0
        self.stride.start(probe)
        periodic = np.zeros(3, bool) if state.periodic is None else state.periodic
        close = neighbour_graph(state.position, state.cell if periodic.any() else None, periodic, OVERLAP)
        if len(close.sender):
            i, j = int(close.receiver[0]), int(close.sender[0])
            distance = float(np.linalg.norm(close.vectors(state.position)[0]))
            other = f"an image of atom {j}" if close.shift[0].any() else f"atom {j}"
            raise InputError(f"atom {i} is {distance:.2g} Angstrom from {other}; no two atoms can be that close")


def _snapshot(atoms: Atoms) -> dict[str, NDArray]:
    """Return copies of all that a stride depends on."""
    return {
        "positions": atoms.positions.copy(),
        "momenta": np.array(atoms.get_momenta()),
        "masses": np.array(atoms.get_masses()),
        "numbers": atoms.numbers.copy(),
        "cell": np.array(atoms.cell.array),
        "pbc": np.array(atoms.pbc),
    }


def _refuse_constraints(atoms: Atoms) -> None:
    if atoms.constraints:
        kind = type(atoms.constraints[0]).__name__
        raise InputError(
            f"the atoms have a constraint ({kind}); a stride cannot keep it: remove it, atoms.set_constraint()"
        )
