"""Askel: N-body dynamics from black holes to molecules.

``askel.read``, ``askel.write``, ``askel.run`` and ``askel.Particles`` are the way in; ``askel.nbody``, ``askel.md``,
``askel.integrators``, ``askel.particles``, ``askel.equivariant`` and ``askel.mpi`` hold the rest. All of it is loaded when it
is first used.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .job import Result, run
    from .particles import Particles
    from .particles.files import read, write

__version__ = "0.1.0"

# Started in a checkout, Python finds this folder before the installed package; its sister folders are then beside it.
_beside = Path(__file__).resolve().parents[1]
if (_beside / "pyproject.toml").is_file() and (_beside / "particles" / "fields.py").is_file():
    __path__.append(str(_beside))

#: name -> module that has it
_LATER = {
    "Particles": "askel.particles",
    "read": "askel.particles.files",
    "write": "askel.particles.files",
    "run": "askel.job",
    "Result": "askel.job",
}
_PACKAGES = ("particles", "integrators", "nbody", "equivariant", "md", "mpi")

__all__ = ["Particles", "Result", "__version__", "read", "run", "write"]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"askel.{name}")
    raise AttributeError(f"module 'askel' has no attribute {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
