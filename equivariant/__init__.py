"""The equivariant network: architecture, graph, training path (torch), inference path (numba), model files."""

from __future__ import annotations

from typing import Any

from ..particles import register

_K = "askel.equivariant._kernels"

register(
    {
        (operation, backend): f"{_K}.coupling_{backend}:{operation}"
        for operation in ("couple", "couple_x", "couple_w", "couple_y")
        for backend in ("reference", "cpu")
    }
    | {("couple_tabulated", backend): f"{_K}.tabulated_{backend}:couple_tabulated" for backend in ("reference", "cpu")}
)

#: public name -> module, imported when first asked for; the network and batches need torch, the others do not
_PUBLIC = {
    "Architecture": "architecture",
    "Batch": "batch",
    "Engine": "engine",
    "Graph": "graph",
    "Model": "model_file",
    "Network": "network",
    "load_model": "model_file",
    "neighbour_graph": "graph",
    "save_model": "model_file",
}

__all__ = [
    "Architecture",
    "Batch",
    "Engine",
    "Graph",
    "Model",
    "Network",
    "load_model",
    "neighbour_graph",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value
