"""The ways in which features and harmonics couple, as integer tables that every implementation reads.

A *path* takes features of one kind (degree l_1, parity p_1) and harmonics of degree l_2 to features of degree l_3:

    m_k,path,c = w_path,c sqrt(2 l_3 + 1) sum_ab C_abk x_a,c y_b

Features X are (n, D, C) arrays: all components of all kinds, channels last. Messages are flat, one *block* after another; block k
holds what goes to kind k, as (n, 2 l_3 + 1, P, C) with P the number of its paths, so that the linear map that follows is
one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .harmonics import coupling

Irreps = tuple[tuple[int, int], ...]
#: Columns of ``Paths.table``.
COLUMNS = ("input", "size_in", "size_out", "block", "rows", "width", "place", "mixing")


@dataclass(frozen=True, eq=False, slots=True)
class Paths:
    """All paths from features of some kinds to features of others.

    Attributes
    ----------
    irreps_in, irreps_out : kinds of features, (degree, parity)
    l_max : highest degree of the harmonics
    links : (P,) tuples (kind in, degree of the harmonics, kind out), in the order of the weights
    table : (P, 8) int64, see COLUMNS: first row of the input, its size, size of the output, first row of the block (counted
        in rows of all blocks), rows of the block, paths of the block, place of the path among them, place of its
        mixing matrix
    entries : (Q, 2) int64: where in the flat mixing matrices an entry goes, and which harmonic it multiplies
    values : (Q,) float64, sqrt(2 l_3 + 1) C_abk; the mixing matrix of a triple is (2 l_3 + 1, 2 l_1 + 1)
    triples : the distinct (l_1, l_2, l_3), in the order of the mixing matrices
    mixing_size : numbers in all mixing matrices
    dim_in, dim_out : D of the features in and out
    rows : rows of all blocks together
    blocks : for each kind out: (first row, degree, number of paths)

    """

    irreps_in: Irreps
    irreps_out: Irreps
    l_max: int
    links: tuple[tuple[int, int, int], ...]
    table: NDArray[np.int64]
    entries: NDArray[np.int64]
    values: NDArray[np.float64]
    triples: tuple[tuple[int, int, int], ...]
    mixing_size: int
    dim_in: int
    dim_out: int
    rows: int
    blocks: tuple[tuple[int, int, int], ...]

    @property
    def n(self) -> int:
        """Number of paths."""
        return len(self.links)


def dimension(irreps: Irreps) -> int:
    """Return D, the number of components of features of these kinds."""
    return sum(2 * degree + 1 for degree, _ in irreps)


def reachable(irreps_in: Irreps, wanted: Irreps, l_max: int) -> Irreps:
    """Return those of the wanted kinds to which some path leads."""
    return tuple(
        kind for kind in wanted if any(_allowed(one, l_2, kind) for one in irreps_in for l_2 in range(l_max + 1))
    )


def _allowed(kind_in: tuple[int, int], l_2: int, kind_out: tuple[int, int]) -> bool:
    (l_1, p_1), (l_3, p_3) = kind_in, kind_out
    return abs(l_1 - l_2) <= l_3 <= l_1 + l_2 and p_1 * (-1) ** l_2 == p_3


@cache
def paths(irreps_in: Irreps, irreps_out: Irreps, l_max: int) -> Paths:
    """Return every path that rotations and reflections allow."""
    links = [
        (i, l_2, k)
        for k, kind_out in enumerate(irreps_out)
        for i, kind_in in enumerate(irreps_in)
        for l_2 in range(l_max + 1)
        if _allowed(kind_in, l_2, kind_out)
    ]
    triples = sorted({(irreps_in[i][0], l_2, irreps_out[k][0]) for i, l_2, k in links})
    offsets, entries, values, size = {}, [], [], 0
    for l_1, l_2, l_3 in triples:
        offsets[l_1, l_2, l_3] = size
        tensor = np.sqrt(2 * l_3 + 1) * coupling(l_1, l_2, l_3)
        for a, b, k in np.argwhere(tensor):
            entries.append((size + k * (2 * l_1 + 1) + a, l_2**2 + b))
            values.append(tensor[a, b, k])
        size += (2 * l_1 + 1) * (2 * l_3 + 1)
    first = np.cumsum([0, *(2 * degree + 1 for degree, _ in irreps_in)])
    table, blocks, row = [], [], 0
    for k, (l_3, _) in enumerate(irreps_out):
        own = [link for link in links if link[2] == k]
        height = (2 * l_3 + 1) * len(own)
        blocks.append((row, l_3, len(own)))
        for place, (i, l_2, _) in enumerate(own):
            l_1 = irreps_in[i][0]
            table.append((first[i], 2 * l_1 + 1, 2 * l_3 + 1, row, height, len(own), place, offsets[l_1, l_2, l_3]))
        row += height
    return Paths(
        irreps_in, irreps_out, l_max, tuple(links), np.array(table, np.int64), np.array(entries, np.int64),
        np.array(values), tuple(triples), size, dimension(irreps_in), dimension(irreps_out), row, tuple(blocks),
    )  # fmt: skip
