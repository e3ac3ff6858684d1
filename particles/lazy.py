"""Public names of a package that are imported when first asked for, so that importing the package stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, public: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : its ``__name__``
    public : public name -> module of the package that has it

    """

    def attribute(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{public[name]}", package), name)
        setattr(sys.modules[package], name, value)  # a function may share its name with its module: keep the function
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public})

    return attribute, names
