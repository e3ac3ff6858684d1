"""What the readout of strides never sees of the last layer, left out: a fifth to a half of that layer's work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .architecture import Architecture
from .parameters import layer_irreps
from .paths import Irreps, paths

#: What the readout needs: vectors, and the scalars that are their gates.
SCALARS, VECTORS = (0, 1), (1, -1)


def pruned(a: Architecture, weights: Mapping[str, NDArray]) -> tuple[Irreps, dict[str, NDArray]]:
    """Return the kinds that the last layer has to make for a readout of strides, and all weights, those of this layer cut to it.

    Parameters
    ----------
    a : Architecture with head "stride"
    weights : as ``parameters(a)`` says; not changed

    """
    t, c = a.layers - 1, a.channels
    _, middle, after = layer_irreps(a, t)
    kept = (SCALARS, VECTORS)
    whole, less = paths(middle, after, a.l_max), paths(middle, kept, a.l_max)
    places = [after.index(kind) for kind in kept]
    links = [whole.links.index((i, degree, places[k])) for i, degree, k in less.links]
    gate = 1 + [kind for kind in after if kind[0] > 0].index(VECTORS)
    columns = np.r_[:c, gate * c : (gate + 1) * c]
    cut = {k: w for k, w in weights.items() if not k.startswith((f"{t}_update_", f"{t}_residual_"))}
    speed = f"{t}_speed_{len(a.speed_hidden)}"
    cut[speed] = np.ascontiguousarray(weights[speed].reshape(-1, whole.n, c)[:, links]).reshape(-1, less.n * c)
    for k, old in enumerate(places):
        for part in ("update", "residual"):
            if (name := f"{t}_{part}_{old}") in weights:
                w = weights[name]
                cut[f"{t}_{part}_{k}"] = np.ascontiguousarray(w[..., columns]) if k == 0 else w
    return kept, cut
