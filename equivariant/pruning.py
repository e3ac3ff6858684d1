"""What leads from the first features to the readout; the rest of a network's kinds and weights is left out.

The last layer makes only what the readout sees: a fifth to a half less work for strides. A network of energies begins with
scalars alone, so that its first layers have few kinds to take, and what leads to no scalar need not be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from .architecture import Architecture
from .parameters import layer_irreps
from .paths import Irreps, Paths, paths, reachable

#: What a readout needs: vectors, and the scalars that are their gates; scalars alone for energies.
SCALARS, VECTORS = (0, 1), (1, -1)


def first_kinds(a: Architecture) -> Irreps:
    """Return the kinds of features before the first layer that are not zero."""
    return a.first_irreps if a.head == "stride" else (SCALARS,)


@cache
def kept_kinds(a: Architecture, t: int) -> Irreps:
    """Return the kinds of features that layer t has to make."""
    if t == a.layers - 1:
        return (SCALARS, VECTORS) if a.head == "stride" else (SCALARS,)
    if a.head == "stride":
        return layer_irreps(a, t)[2]
    wanted = kept_kinds(a, t + 1)
    return tuple(kind for kind in _not_zero(a, t) if reachable((kind,), wanted, a.l_max))


def kinds_before(a: Architecture, t: int) -> Irreps:
    """Return the kinds of features that layer t takes."""
    return first_kinds(a) if t == 0 else kept_kinds(a, t - 1)


@cache
def _not_zero(a: Architecture, t: int) -> Irreps:
    """Return the kinds after layer t of a network of energies that some path from the first scalars leads to."""
    before = first_kinds(a) if t == 0 else _not_zero(a, t - 1)
    return reachable(before, layer_irreps(a, t)[2], a.l_max)


def pruned(a: Architecture, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return all weights, those of each layer cut to the kinds that it takes and has to make.

    Parameters
    ----------
    a : Architecture
    weights : as ``parameters(a)`` says, arrays of NumPy or tensors; not changed

    """
    cut = dict(weights)
    for t in range(a.layers):
        before, middle, after = layer_irreps(a, t)
        source, taken = (middle, middle) if a.head == "stride" else (before, kinds_before(a, t))
        kept = kept_kinds(a, t)
        if (taken, kept) != (source, after):
            _cut_layer(a, t, cut, paths(source, after, a.l_max), paths(taken, kept, a.l_max))
    return cut


def _cut_layer(a: Architecture, t: int, weights: dict[str, Any], whole: Paths, less: Paths) -> None:
    """Replace the weights of the paths, linear maps and residuals of layer t."""
    c, strides, after = a.channels, a.head == "stride", whole.irreps_out
    places = [after.index(kind) for kind in less.irreps_out]
    sources = [whole.irreps_in.index(kind) for kind in less.irreps_in]
    links = [whole.links.index((sources[i], degree, places[k])) for i, degree, k in less.links]
    gates = [kind for kind in after if kind[0] > 0]
    columns = [*range(c)]
    for kind in less.irreps_out[1:]:
        if kind[0] > 0:
            first = (1 + gates.index(kind)) * c
            columns += range(first, first + c)
    last = f"{t}_speed_{len(a.speed_hidden)}" if strides else f"{t}_radial_{len(a.radial_hidden)}"
    weights[last] = weights[last].reshape(-1, whole.n, c)[:, links].reshape(-1, less.n * c)
    old = {name: weights.pop(name) for name in list(weights) if name.startswith((f"{t}_update_", f"{t}_residual_"))}
    before = layer_irreps(a, t)[0] if strides else less.irreps_in
    for k, (kind, place) in enumerate(zip(less.irreps_out, places, strict=True)):
        own = [int(whole.table[link, 6]) for link, (_, _, out) in zip(links, less.links, strict=True) if out == k]
        update = old[f"{t}_update_{place}"]
        update = update.reshape(-1, c, update.shape[1])[own].reshape(len(own) * c, -1)
        weights[f"{t}_update_{k}"] = update[:, columns] if k == 0 else update
        if kind in before:
            residual = old[f"{t}_residual_{place}"]
            weights[f"{t}_residual_{k}"] = residual[..., columns] if k == 0 else residual
