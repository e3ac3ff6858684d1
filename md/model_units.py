"""The units of models and of their data, Angstrom, fs, amu and eV, and what ties them to ASE's."""

from __future__ import annotations

from ..particles import UNIT_SYSTEMS, UnitSystem
from ..particles.units import TIME
from .temperature import boltzmann

_ASE = UNIT_SYSTEMS["ase"]

#: Angstrom, amu, fs.
MODEL_UNITS = UnitSystem("model", 1e-10, _ASE.mass, 1e-15)
#: the time unit of ASE in fs
ASE_TIME = _ASE.factor(TIME) / 1e-15
#: amu (Angstrom/fs)^2 in eV
KINETIC = ASE_TIME**2
#: Boltzmann's constant in eV/K
BOLTZMANN = boltzmann(_ASE)
