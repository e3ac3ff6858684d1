"""ASE in both directions: calculators, interactions, dynamics, file formats."""

from __future__ import annotations

from typing import Any

#: public name -> module; imported when used, so that ``import askel.md`` does not import ASE
_PUBLIC = {"AseInteraction": "ase_interaction", "GravityCalculator": "ase_calculator"}

__all__ = ["AseInteraction", "GravityCalculator"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
