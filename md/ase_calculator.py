"""Gravity as an ASE calculator, for any ASE dynamics or optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import ArrayLike

from ..nbody import accelerations
from ..particles import InputError, UnitSystem


class GravityCalculator(Calculator):
    r"""Newtonian gravity between atoms, by their masses, with Plummer softening.

    E = -G sum_{i<j} m_i m_j / s_ij,  F_i = G m_i sum_j m_j r_ij / s_ij^3,  s_ij^2 = |r_ij|^2 + eps_ij^2,  r_ij = x_j - x_i

    | symbol | where | shape | unit |
    |---|---|---|---|
    | m, x | ``atoms.get_masses()``, ``atoms.positions`` | (n,), (n, 3) | amu, Angstrom |
    | E, F | results "energy" (and "free_energy"), "forces" | float, (n, 3) float64 | eV, eV/Angstrom |
    | G | ``gravitational_constant`` | | eV Angstrom/amu^2 |

    Parameters
    ----------
    gravitational_constant : G in eV Angstrom/amu^2, or the UnitSystem that the numbers in the atoms are in:
        ``UNIT_SYSTEMS["ase"]`` is nature's G (1.15e-35), ``UNIT_SYSTEMS["nbody"]`` is G = 1
    softening : Angstrom, one number or (n,); the larger one of a pair counts
    kind, kernel, relative_error : method, softening law and accuracy, see ``askel.nbody.accelerations``

    Raises
    ------
    InputError : G not finite; in use: periodic atoms, atoms in one place, and what ``askel.nbody.accelerations`` refuses

    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(
        self,
        *,
        gravitational_constant: float | UnitSystem,
        softening: ArrayLike = 0.0,
        kind: str = "fmm",
        kernel: str = "plummer",
        relative_error: float = 1e-3,
    ) -> None:
        super().__init__()
        given = gravitational_constant
        self.gravitational_constant = given.gravitational_constant if isinstance(given, UnitSystem) else float(given)
        if not np.isfinite(self.gravitational_constant):
            raise InputError(f"gravitational_constant is {given}; expected a finite number in eV Angstrom/amu^2")
        self.softening, self.kind, self.kernel, self.relative_error = softening, kind, kernel, relative_error

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Overwrite ``results`` with the energy and the forces of the atoms."""
        super().calculate(atoms, properties, system_changes)
        here = self.atoms
        assert here is not None, "ASE keeps a copy of the atoms"
        if here.pbc.any():
            raise InputError("gravity has no periodic boundaries; use atoms with pbc=False")
        mass = here.get_masses()
        acceleration, potential = accelerations(
            here.positions,
            mass,
            softening=self.softening,
            kind=self.kind,
            kernel=self.kernel,
            relative_error=self.relative_error,
            potential=True,
        )
        energy = 0.5 * self.gravitational_constant * float(mass @ potential)
        forces = self.gravitational_constant * mass[:, None] * acceleration
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[Any]:
        """Return what changed since the last call; ASE does not look at masses, which matter here."""
        changes = list(super().check_state(atoms, tol=tol))
        if self.atoms is not None and not np.array_equal(self.atoms.get_masses(), atoms.get_masses()):
            changes.append("masses")
        return changes
