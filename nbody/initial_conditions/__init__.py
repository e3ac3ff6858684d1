"""Initial conditions: spherical galaxies in equilibrium with black holes, their encounters, and masses of stars."""

from .black_holes import BlackHole, BlackHoleBinary
from .dehnen import Dehnen
from .eddington import DistributionFunction, Potential, invert
from .encounter import merge_orbit
from .galaxy import Component, Galaxy, sample
from .hernquist import Hernquist
from .king import King
from .kroupa import MassFunction, kroupa
from .nfw import NFW
from .plummer import Plummer
from .profile import Profile
from .tabulated import Tabulated

__all__ = [
    "NFW",
    "BlackHole",
    "BlackHoleBinary",
    "Component",
    "Dehnen",
    "DistributionFunction",
    "Galaxy",
    "Hernquist",
    "King",
    "MassFunction",
    "Plummer",
    "Potential",
    "Profile",
    "Tabulated",
    "invert",
    "kroupa",
    "merge_orbit",
    "sample",
]
