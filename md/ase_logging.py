"""ASE's MDLogger beside a dynamics without forces: where nothing gives an energy, the column says nan."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms


class LoggedAtoms:
    """Atoms as a logger sees them: energies and stresses are NaN while no calculator is attached, instead of an error.

    Everything else is that of the atoms. A calculator, where there is one, is asked: a logger's energy costs a call.
    """

    def __init__(self, atoms: Atoms) -> None:
        self._atoms = atoms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._atoms, name)

    def __len__(self) -> int:
        return len(self._atoms)

    def get_potential_energy(self, *args: Any, **kwargs: Any) -> float:
        """Return the calculator's energy in eV, or NaN."""
        return float("nan") if self._atoms.calc is None else float(self._atoms.get_potential_energy(*args, **kwargs))

    def get_stress(self, *args: Any, **kwargs: Any) -> Any:
        """Return the calculator's stress in eV/Angstrom^3, or (6,) NaN."""
        return np.full(6, np.nan) if self._atoms.calc is None else self._atoms.get_stress(*args, **kwargs)
