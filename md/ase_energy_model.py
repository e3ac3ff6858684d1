"""A network's energy as a plain ASE calculator: geometry optimisation, phonons, any ASE dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..equivariant.model_file import Model
from ..particles import InputError
from .energy_model import DEFAULT_BACKEND, energy_engine
from .model_library import model_name, open_model


class EnergyModelCalculator(Calculator):
    r"""Energy, forces and stress of a network with the head "energy".

    F_i = -dE/dx_i,  stress = (1/V) dE/d(strain): exact gradients of one smooth energy

    | quantity | result | shape | unit |
    |---|---|---|---|
    | E | "energy", and the same as "free_energy" | float | eV |
    | F | "forces" | (n, 3) float64 | eV/Angstrom |
    | stress | "stress", of periodic atoms with three cell vectors | (6,) float64, Voigt | eV/Angstrom^3 |

    The cell may be smaller than the cutoff: all images count.

    Parameters
    ----------
    model : name of a shipped model (``askel.md.models()``), path of a model file, or ``Model``
    dtype : "float64", smooth enough for tight optimisation and finite differences, or "float32", twice as fast
    backend : "cpu", fused kernels and tabulated radial weights; "torch", the network as it is trained

    Raises
    ------
    InputError : no such model, a damaged one, another head; in use: unknown species, positions that are not finite,
        periodic directions without a cell vector

    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, model: str | Path | Model, *, dtype: str = "float64", backend: str = DEFAULT_BACKEND) -> None:
        super().__init__()
        self.model = model_name(model)
        self.engine = energy_engine(open_model(model), dtype, backend)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Overwrite ``results`` with all that the model gives for the atoms."""
        super().calculate(atoms, properties, system_changes)
        here = self.atoms
        assert here is not None, "ASE keeps a copy of the atoms"
        if not np.isfinite(here.positions).all():
            bad = int(np.argwhere(~np.isfinite(here.positions))[0][0])
            raise InputError(f"the position of atom {bad} is not finite; every coordinate must be a number")
        cell = here.cell.array if here.pbc.any() else None
        energy, forces, virial = self.engine.energy(here.numbers, here.get_masses(), here.positions, cell, here.pbc)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if here.pbc.any() and here.cell.rank == 3:
            symmetric = 0.5 * (virial + virial.T)
            self.results["stress"] = full_3x3_to_voigt_6_stress(-symmetric / here.get_volume())
