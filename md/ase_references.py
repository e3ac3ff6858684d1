"""References by name: a system, what makes its forces, and how its training data are made.

| name | system | forces |
|---|---|---|
| ``paracetamol-gfn2`` | a molecule of 20 atoms | GFN2-xTB (tblite) |
| ``quartz-bks`` | alpha-quartz, 162 atoms | BKS with damped shifted-force Coulomb (LAMMPS) |
| ``water-spcfw`` | 64 molecules at 1 g/cm^3 | flexible SPC/Fw with damped shifted-force Coulomb (LAMMPS) |
| ``copper-emt`` | fcc copper, 108 atoms | effective medium theory (ASE) |

tblite and LAMMPS come with the extra ``[reference]``; nothing but references needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import BaseCalculator
from ase.calculators.emt import EMT
from ase.io import read
from ase.spacegroup import crystal

from ..particles import InputError
from .ase_data import DataRecipe
from .ase_lammps import ForceField, LammpsCalculator

_STRUCTURES = Path(__file__).resolve().parent.parent / "examples" / "structures"


@dataclass(frozen=True, slots=True)
class Reference:
    """A system with its forces.

    Attributes
    ----------
    name : str;  summary : one line, said in full in the files
    atoms : makes the structure;  calculator : makes a fresh ASE calculator
    recipe : of the training data;  runs : of the runs at 300 K that models are judged against

    """

    name: str
    summary: str
    atoms: Callable[[], Atoms]
    calculator: Callable[[], BaseCalculator]
    recipe: DataRecipe
    runs: DataRecipe


# -- paracetamol ------------------------------------------------------------------------------------------------------


def paracetamol() -> Atoms:
    """Return a molecule of paracetamol in vacuum, relaxed with GFN2-xTB."""
    atoms = read(_STRUCTURES / "paracetamol.xyz")
    assert isinstance(atoms, Atoms), "the file holds one structure"
    return atoms


def gfn2() -> BaseCalculator:
    """Return GFN2-xTB (Bannwarth et al. 2019, doi:10.1021/acs.jctc.8b01176) of tblite, on one thread.

    With more threads its sums differ from call to call, and a resumed file from an unbroken one; a molecule gains nothing.

    Raises
    ------
    InputError : tblite is not installed

    """
    try:
        from tblite.ase import TBLite
    except ImportError:
        raise InputError("this reference needs tblite; install it with: pip install 'askel[reference]'") from None
    from threadpoolctl import ThreadpoolController

    pools = ThreadpoolController()

    class OneThread(TBLite):
        def calculate(self, *arguments: Any, **named: Any) -> None:
            with pools.limit(limits=1):
                super().calculate(*arguments, **named)

    return OneThread(method="GFN2-xTB", verbosity=0)


# -- quartz -----------------------------------------------------------------------------------------------------------

#: Lattice constants (Angstrom) and fractional coordinates of alpha-quartz (space group 154) relaxed with ``bks``
QUARTZ_A, QUARTZ_C = 4.942035, 5.562769
QUARTZ_SI, QUARTZ_O = (0.46722111, 0.0, 2.0 / 3.0), (0.42883143, 0.26829011, 0.79584452)

#: van Beest, Kramer & van Santen 1990, doi:10.1103/PhysRevLett.64.1955: A (eV), rho = 1/b (Angstrom), C (eV Angstrom^6)
#: Coulomb by damped shifted forces, Fennell & Gezelter 2006, doi:10.1063/1.2206581: 0.2 / Angstrom, 9 Angstrom
_BKS = ForceField(
    units="metal",
    charges={14: 2.4, 8: -1.2},
    commands=(
        "pair_style born/coul/dsf 0.2 9.0 9.0",
        "pair_modify shift yes",
        "pair_coeff 1 1 0.0 1.0 0.0 0.0 0.0",
        f"pair_coeff 1 2 18003.7572 {1 / 4.87318:.12f} 0.0 133.5381 0.0",
        f"pair_coeff 2 2 1388.7730 {1 / 2.76:.12f} 0.0 175.0 0.0",
    ),
)


def quartz_unit_cell() -> Atoms:
    """Return the 9 atoms of alpha-quartz."""
    return crystal(
        ("Si", "O"), [QUARTZ_SI, QUARTZ_O], spacegroup=154, cellpar=[QUARTZ_A, QUARTZ_A, QUARTZ_C, 90, 90, 120]
    )


def quartz() -> Atoms:
    """Return alpha-quartz, 3 x 3 x 2 cells."""
    cells = quartz_unit_cell() * (3, 3, 2)
    return Atoms(cells.numbers, cells.positions, cell=cells.cell, pbc=True)


def bks() -> BaseCalculator:
    """Return the BKS force field, cut at 9 Angstrom; not for atoms closer than its short-range maximum (Si-O 1.19 Angstrom)."""
    return LammpsCalculator(_BKS)


# -- water ------------------------------------------------------------------------------------------------------------

#: Wu, Tepper & Voth 2006, doi:10.1063/1.2136877 (kcal/mol, Angstrom, degrees; LAMMPS's K is half the force constant)
_SPCFW = ForceField(
    units="real",
    charges={8: -0.82, 1: 0.41},
    commands=(
        "pair_style lj/cut/coul/dsf 0.2 9.0 9.0",
        "pair_modify shift yes",
        "bond_style harmonic",
        "angle_style harmonic",
        "special_bonds lj/coul 0.0 0.0 0.0",
        "pair_coeff 1 1 0.1554253 3.165492",
        "pair_coeff 1 2 0.0 1.0",
        "pair_coeff 2 2 0.0 1.0",
        "bond_coeff 1 529.581 1.012",
        "angle_coeff 1 37.95 113.24",
    ),
    molecule=(8, 1, 1),
    bonds=((0, 1), (0, 2)),
    angles=((1, 0, 2),),
)


def water(molecules: int = 64, seed: int = 7) -> Atoms:
    """Return water at 1 g/cm^3: molecules on a cubic lattice, turned at random; to be equilibrated."""
    edge = (molecules * 18.01528 / 0.602214076) ** (1.0 / 3.0)
    per_side = int(np.ceil(molecules ** (1.0 / 3.0) - 1e-9))
    rng = np.random.default_rng(seed)
    half = np.deg2rad(113.24 / 2.0)
    shape = 1.012 * np.array([[0.0, 0.0, 0.0], [np.sin(half), np.cos(half), 0.0], [-np.sin(half), np.cos(half), 0.0]])
    sites = (np.stack(np.meshgrid(*[np.arange(per_side)] * 3), -1).reshape(-1, 3)[:molecules] + 0.5) * edge / per_side
    turns = np.linalg.qr(rng.normal(size=(molecules, 3, 3)))[0]
    positions = (sites[:, None] + np.einsum("ai,mij->maj", shape, turns)).reshape(-1, 3)
    return Atoms(np.tile([8, 1, 1], molecules), positions, cell=[edge] * 3, pbc=True)


def spcfw() -> BaseCalculator:
    """Return the flexible water model SPC/Fw with Coulomb forces damped and shifted to zero at 9 Angstrom."""
    return LammpsCalculator(_SPCFW)


# -- copper -----------------------------------------------------------------------------------------------------------

#: Lattice constant (Angstrom) of copper at which EMT's stress vanishes
COPPER_A = 3.58983


def copper() -> Atoms:
    """Return fcc copper, 3 x 3 x 3 cubic cells."""
    return bulk("Cu", cubic=True, a=COPPER_A) * (3, 3, 3)


def _runs(
    step: float,
    interval: float,
    runs: int,
    duration: float,
    equilibration: float,
    bath: Literal["csvr", "langevin"] = "csvr",
) -> DataRecipe:
    """Return the recipe of runs at 300 K (time constant 500 fs), frames every half stride, each from a state of its own."""
    return DataRecipe(
        step=step, interval=interval, frames=round(duration / interval) + 1, segments=runs, temperatures=(300.0,),
        decorrelation=5000.0, equilibration=equilibration, friction=0.01, seed=11, thermostat=500.0, bath=bath,
    )  # fmt: skip


REFERENCES: dict[str, Reference] = {
    r.name: r
    for r in (
        Reference(
            "paracetamol-gfn2",
            "paracetamol (20 atoms, vacuum), GFN2-xTB of tblite",
            paracetamol,
            gfn2,
            DataRecipe(
                step=0.5, interval=3.5, frames=17, segments=500, temperatures=(300.0, 400.0, 500.0), shares=(0.5, 0.25, 0.25),
                decorrelation=100.0, equilibration=500.0, friction=0.02,
            ),
            _runs(0.5, 3.5, 9, 24_500.0, 2_000.0, "langevin"),
        ),
        Reference(
            "quartz-bks",
            "alpha-quartz (162 atoms), BKS, Coulomb by damped shifted forces (0.2/Angstrom, 9 Angstrom), LAMMPS",
            quartz,
            bks,
            DataRecipe(
                step=1.0, interval=15.0, frames=25, segments=600, temperatures=(300.0, 450.0, 600.0), shares=(0.6, 0.25, 0.15),
                decorrelation=200.0, equilibration=3000.0, friction=0.01,
            ),
            _runs(1.0, 15.0, 12, 25_000.0, 5_000.0),
        ),
        Reference(
            "water-spcfw",
            "water (64 molecules, 1 g/cm^3), SPC/Fw, Coulomb by damped shifted forces (0.2/Angstrom, 9 Angstrom), LAMMPS",
            water,
            spcfw,
            DataRecipe(
                step=0.5, interval=2.5, frames=9, segments=300, temperatures=(300.0, 350.0, 450.0), shares=(0.5, 0.25, 0.25),
                decorrelation=250.0, equilibration=20000.0, friction=0.01,
            ),
            _runs(0.5, 2.5, 12, 25_000.0, 20_000.0),
        ),
        Reference(
            "copper-emt",
            "fcc copper (108 atoms), effective medium theory of ASE",
            copper,
            EMT,
            DataRecipe(
                step=2.0, interval=16.0, frames=9, segments=400, temperatures=(300.0, 450.0, 600.0), shares=(0.5, 0.25, 0.25),
                decorrelation=300.0, equilibration=3000.0, friction=0.01,
            ),
            _runs(2.0, 16.0, 4, 25_000.0, 4_000.0),
        ),
    )
}  # fmt: skip


def find_reference(name: str) -> Reference:
    """Return a reference by name; raises InputError with the known names for another."""
    if name not in REFERENCES:
        raise InputError(f"no reference {name!r}; there are: {', '.join(REFERENCES)}")
    return REFERENCES[name]
