"""Tables of paths as threads want them: every sum as a list of its terms, so that no two threads add to one number.

Legend, beside that of ``coupling_reference``
    layout      (P, 8) the table of paths
    first, harmonic, values    terms of mixing entry m: values[r] y[harmonic[r]], r = first[m] ... first[m + 1] - 1
    groups      (G, 4) rows of the features: first row, how many, and the first and last of ``members``, the paths that read them
    met         (Z, 3) products x g of one path and entry: row of x, path, row among those that ``pulled`` lists
    pulled      (R, 2) path, component
    ends, source, factor    terms of harmonic b: factor[r] met[source[r]], r = ends[b] ... ends[b + 1] - 1
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Plan:
    """The tables; arrays of the host or the device."""

    layout: Any
    first: Any
    harmonic: Any
    values: Any
    groups: Any
    members: Any
    met: Any
    pulled: Any
    ends: Any
    source: Any
    factor: Any


def make_plan(table, entries, values, dim, harmonics):
    """Return the plan of paths from features of ``dim`` rows, with so many harmonics; integers are int32."""
    size = int((table[:, 7] + table[:, 1] * table[:, 2]).max(initial=0))
    order = np.argsort(entries[:, 0], kind="stable")
    groups, members = _groups(table, dim)
    met, pulled, place = _met(table)
    terms = [
        (int(entries[q, 1]), z, values[q]) for z, at in enumerate(place) for q in np.flatnonzero(entries[:, 0] == at)
    ]
    terms.sort(key=lambda term: term[0])
    integers = {
        "layout": table,
        "first": np.searchsorted(entries[order, 0], np.arange(size + 1)),
        "harmonic": entries[order, 1],
        "groups": groups,
        "members": members,
        "met": met,
        "pulled": pulled,
        "ends": np.searchsorted([b for b, _, _ in terms], np.arange(harmonics + 1)),
        "source": [z for _, z, _ in terms],
    }
    factor = np.array([value for _, _, value in terms], values.dtype)
    return Plan(values=values[order], factor=factor, **{k: np.array(a, np.int32) for k, a in integers.items()})


def _groups(table, dim):
    """Return the groups, and the members; rows that no path reads are groups of one row without a member."""
    starts = {int(path[0]): int(path[1]) for path in table}
    groups: list[tuple[int, ...]] = []
    members: list[int] = []
    row = 0
    while row < dim:
        own = [p for p, path in enumerate(table) if path[0] == row]
        groups.append((row, starts.get(row, 1), len(members), len(members) + len(own)))
        members += own
        row += starts.get(row, 1)
    return groups, members


def _met(table):
    """Return the rows of ``met`` and ``pulled``, and the mixing entry that belongs to each of ``met``."""
    met: list[tuple[int, ...]] = []
    pulled: list[tuple[int, int]] = []
    place: list[int] = []
    for p, (row, size_in, size_out, *_, mixing) in enumerate(table.tolist()):
        for k in range(size_out):
            for a in range(size_in):
                met.append((row + a, p, len(pulled)))
                place.append(mixing + k * size_in + a)
            pulled.append((p, k))
    return met, pulled, place
