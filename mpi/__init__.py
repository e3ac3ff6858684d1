"""Who owns which particle: the world of ranks, decomposition, ghosts, migration, parallel files."""

from __future__ import annotations

from ..particles import register
from ..particles.lazy import lazily

_K = "askel.mpi._kernels"

register({("hilbert_index", backend): f"{_K}.hilbert_{backend}:hilbert_index" for backend in ("reference", "cpu")})

#: public name -> module, imported when first asked for
_PUBLIC = {
    "Decomposition": "decomposition",
    "RankExchange": "exchange",
    "World": "world",
    "the_world": "world",
}

__all__ = ["Decomposition", "RankExchange", "World", "the_world"]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
