"""The equivariant network: architecture, graph, training path (torch), inference path (numba), model files."""

from __future__ import annotations

from ..particles import register
from ..particles.lazy import lazily

_K = "askel.equivariant._kernels"
_BACKENDS = ("reference", "cpu", "cuda")

register(
    {
        (operation, backend): f"{_K}.coupling_{backend}:{operation}"
        for operation in ("couple", "couple_x", "couple_w", "couple_y")
        for backend in _BACKENDS
    }
    | {("open_pairs", backend): f"{_K}.pairs_{backend}:open_pairs" for backend in ("reference", "cpu")}
    | {
        (operation, backend): f"{_K}.{operation}_{backend}:{operation}"
        for operation in ("layer", "update_back", "messages_back")
        for backend in ("reference", "cpu")
    }
    | {("couple_tabulated", b): f"{_K}.tabulated_{b}:couple_tabulated" for b in ("reference", "cuda")}
    | {(name, "cuda"): f"{_K}.edges_cuda:{name}" for name in ("near_counts", "near_edges", "table_places")}
    | {
        ("network_device", "cuda"): f"{_K}.device_cuda:network_device",
        ("network_array", "cuda"): "askel.particles._kernels.device_cuda:there",
    }
)

#: public name -> module, imported when first asked for; the network and batches need torch, the others do not
_PUBLIC = {
    "Architecture": "architecture",
    "Batch": "batch",
    "Engine": "engine",
    "FusedEnergy": "fused_energy",
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
    "FusedEnergy",
    "Graph",
    "Model",
    "Network",
    "load_model",
    "neighbour_graph",
    "save_model",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
