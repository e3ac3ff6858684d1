"""What the readout never sees of the last layer, left out: a fifth to a half of its work for strides, more for energies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .architecture import Architecture
from .parameters import layer_irreps
from .paths import Irreps, paths

#: What a readout needs: vectors, and the scalars that are their gates; scalars alone for energies.
SCALARS, VECTORS = (0, 1), (1, -1)


def kept_kinds(a: Architecture, t: int) -> Irreps:
    """Return the kinds of features that layer t has to make."""
    if t < a.layers - 1:
        return layer_irreps(a, t)[2]
    return (SCALARS, VECTORS) if a.head == "stride" else (SCALARS,)


def pruned(a: Architecture, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return all weights, those of the last layer cut to the kinds that it has to make.

    Parameters
    ----------
    a : Architecture
    weights : as ``parameters(a)`` says, arrays of NumPy or tensors; not changed

    """
    t, c, strides = a.layers - 1, a.channels, a.head == "stride"
    before, middle, after = layer_irreps(a, t)
    kept, source = kept_kinds(a, t), middle if strides else before
    whole, less = paths(source, after, a.l_max), paths(source, kept, a.l_max)
    places = [after.index(kind) for kind in kept]
    links = [whole.links.index((i, degree, places[k])) for i, degree, k in less.links]
    gates = [kind for kind in after if kind[0] > 0]
    columns = [*range(c)]
    for kind in kept[1:]:
        first = (1 + gates.index(kind)) * c
        columns += range(first, first + c)
    cut = {k: w for k, w in weights.items() if not k.startswith((f"{t}_update_", f"{t}_residual_"))}
    last = f"{t}_speed_{len(a.speed_hidden)}" if strides else f"{t}_radial_{len(a.radial_hidden)}"
    cut[last] = weights[last].reshape(-1, whole.n, c)[:, links].reshape(-1, less.n * c)
    for k, old in enumerate(places):
        for part in ("update", "residual"):
            if (name := f"{t}_{part}_{old}") in weights:
                w = weights[name]
                cut[f"{t}_{part}_{k}"] = w[..., columns] if k == 0 else w
    return cut
