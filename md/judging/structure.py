"""Structure: pair and angle distributions, bond lengths, dihedrals, and how far two distributions are apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from ...equivariant.graph import neighbour_graph
from .frames import FloatArray, Frames, mean_and_error

#: evenly spaced frames of a block that neighbours are searched in: frames a few fs apart tell nothing new, and large
#: systems need fewer
MOST_FRAMES, FEWEST_FRAMES, MOST_ATOMS = 100, 10, 20_000
#: extended solids have no dihedrals worth a row, molecules with more rotatable bonds are pooled by element
_MOST_DIHEDRALS = 12

Pair = tuple[int, int]
Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A function on a grid, from blocks.

    Attributes
    ----------
    x : (k,) centres of the bins
    samples : (B, k), one row a block: a density, or g(r)
    weights : (B,) frames of each block

    """

    x: FloatArray
    samples: FloatArray
    weights: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean over the blocks, (k,)."""
        return mean_and_error(self.samples, self.weights)[0]

    @property
    def error(self) -> FloatArray:
        """Standard error of the mean, (k,)."""
        return mean_and_error(self.samples, self.weights)[1]


def thinned(frames: Frames) -> Frames:
    """Return evenly spaced frames: about ``MOST_ATOMS`` atoms in all, ``FEWEST_FRAMES`` to ``MOST_FRAMES`` frames."""
    most = min(max(MOST_ATOMS // frames.n, FEWEST_FRAMES), MOST_FRAMES)
    return frames.part(slice(None, None, -(-len(frames) // most)))


# ---------------------------------------------------------------------- pairs


def default_reach(frames: Frames) -> float:
    """Return how far to count pairs, in Angstrom: half the smallest height of the cell, within 5 to 10; 10 for molecules."""
    if frames.open or frames.cell is None:
        return 10.0
    heights = 1.0 / np.linalg.norm(np.linalg.inv(frames.cell[0]), axis=0)
    return float(np.clip(heights[frames.periodic].min() / 2.0, 5.0, 10.0))


def pair_distributions(pieces: Sequence[Frames], reach: float, width: float = 0.05) -> dict[Pair, Distribution]:
    r"""Return the radial distribution of every pair of elements, from blocks.

    g_ab(r) = V n(r) / (N_a (N_b - delta_ab) 4/3 pi (r_+^3 - r_-^3)), n(r): ordered pairs in the bin; 1 for an ideal gas

    All periodic images count, in cells of any shape. Without three periodic directions there is no volume: then it is the
    density of the distances, of unit area.

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | r | ``x`` | (k,) | Angstrom |
    | g | ``samples`` | (B, k) | 1, or 1/Angstrom |
    | r_max, r_+ - r_- | ``reach``, ``width`` | | Angstrom |

    Reference: Allen & Tildesley, Computer Simulation of Liquids, section 2.6.
    """
    edges = np.linspace(0.0, reach, round(reach / width) + 1)
    first = pieces[0]
    kinds, code = np.unique(first.species, return_inverse=True)
    counts = [_pair_counts(piece, code, len(kinds), edges) for piece in pieces]
    weights = np.array([len(p) for p in pieces], float)
    number = np.bincount(code)
    result = {}
    for a, b in combinations_with_replacement(range(len(kinds)), 2):
        here = np.stack([c[a, b] for c in counts])
        pairs = number[a] * (number[b] - (a == b))
        if pairs == 0:
            continue
        if first.periodic.all():
            shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
            values = here / (pairs * shells)
        else:
            values = here / np.maximum(here.sum(axis=1, keepdims=True), 1e-300) / (edges[1] - edges[0])
        result[int(kinds[a]), int(kinds[b])] = Distribution((edges[1:] + edges[:-1]) / 2.0, values, weights)
    return result


def _pair_counts(piece: Frames, code: NDArray, kinds: int, edges: FloatArray) -> FloatArray:
    """Return (kinds, kinds, k): mean over frames of the ordered pairs in each bin, times the volume where there is one."""
    few, bins = thinned(piece), len(edges) - 1
    total = np.zeros(kinds * kinds * bins)
    for k, position in enumerate(few.position):
        cell = None if few.cell is None else few.cell[k]
        graph = neighbour_graph(position, cell, few.periodic, float(edges[-1]))
        i, j, d = graph.receiver, graph.sender, np.linalg.norm(graph.vectors(position), axis=1)
        which = np.minimum((d * (bins / edges[-1])).astype(int), bins - 1)
        volume = abs(float(np.linalg.det(cell))) if cell is not None and few.periodic.all() else 1.0
        total += volume * np.bincount((code[i] * kinds + code[j]) * bins + which, minlength=len(total))
    return total.reshape(kinds, kinds, bins) / len(few)


def difference_of_peak(one: Distribution, other: Distribution) -> float:
    r"""Return mean |g_1(r) - g_2(r)| / max g_2, over the r at or beyond the first pair of either."""
    a, b = one.mean, other.mean
    there = (a > 0.0) | (b > 0.0)
    if not there.any():
        return 0.0
    start = int(np.argmax(there))
    return float(np.abs(a[start:] - b[start:]).mean() / max(b.max(), 1e-300))


def own_difference_of_peak(one: Distribution) -> float:
    """Return the ``difference_of_peak`` that the block error of a distribution alone explains: E|d| = sqrt(2/pi) error."""
    there = one.mean > 0.0
    if len(one.samples) < 2 or not there.any():
        return float("nan")
    start = int(np.argmax(there))
    return float(np.sqrt(2.0 / np.pi) * one.error[start:].mean() / one.mean.max())


# ---------------------------------------------------------------------- angles


def angle_distributions(
    pieces: Sequence[Frames], reach: Callable[[int, int], float], width: float = 2.0
) -> dict[Triple, Distribution]:
    """Return the angles a-b-c between neighbours of b as densities in degrees (unit area), key (a, b, c) with a <= c.

    Parameters
    ----------
    pieces : blocks
    reach : (Z, Z') -> Angstrom, the distance below which two atoms are neighbours (``ase_bonds.bond_reach``)
    width : degrees, of a bin

    """
    edges = np.linspace(0.0, 180.0, round(180.0 / width) + 1)
    kinds = pieces[0].elements
    limit = np.array([[reach(a, b) for b in kinds] for a in kinds])
    counts = np.stack([_angle_counts(thinned(piece), limit, len(edges) - 1) for piece in pieces])
    weights = np.array([len(p) for p in pieces], float)
    result = {}
    for a, b, c in np.argwhere(counts.sum(axis=(0, 4)) > 0):
        result[kinds[a], kinds[b], kinds[c]] = _density(counts[:, a, b, c], edges, weights)
    return result


def _angle_counts(frames: Frames, limit: FloatArray, bins: int) -> FloatArray:
    """Return (S, S, S, bins): angles in each bin by the elements a <= c at the ends and b in the middle, over all frames."""
    code = np.searchsorted(frames.elements, frames.species)
    kinds = len(limit)
    total = np.zeros(kinds**3 * bins)
    for k, position in enumerate(frames.position):
        cell = None if frames.cell is None else frames.cell[k]
        graph = neighbour_graph(position, cell, frames.periodic, float(limit.max()))
        i, j, vector = graph.receiver, graph.sender, graph.vectors(position)
        d = np.linalg.norm(vector, axis=1)
        near = d < limit[code[i], code[j]]
        i, j, unit = i[near], j[near], vector[near] / d[near, None]
        one, two = _pairs_of_neighbours(i, frames.n)
        degrees = np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", unit[one], unit[two]), -1.0, 1.0)))
        which = np.minimum((degrees * (bins / 180.0)).astype(int), bins - 1)
        low, high = np.minimum(code[j[one]], code[j[two]]), np.maximum(code[j[one]], code[j[two]])
        triple = (low * kinds + code[i[one]]) * kinds + high
        total += np.bincount(triple * bins + which, minlength=len(total))
    return total.reshape(kinds, kinds, kinds, bins)


def _pairs_of_neighbours(centre: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of all pairs of edges with one centre; ``centre`` (E,) is sorted."""
    count = np.bincount(centre, minlength=n)
    slot = np.arange(len(centre)) - np.repeat(np.cumsum(count) - count, count)  # place among the edges of the centre
    table = np.full((n, max(int(count.max(initial=0)), 1)), -1)
    table[centre, slot] = np.arange(len(centre))
    p, q = np.triu_indices(table.shape[1], 1)
    one, two = table[:, p].ravel(), table[:, q].ravel()
    both = (one >= 0) & (two >= 0)
    return one[both], two[both]


# ---------------------------------------------------------------------- internal coordinates


def bond_lengths(frames: Frames, bonds: NDArray[np.int64]) -> FloatArray:
    """Return |x_j - x_i| of bonds (b, 2) by minimum image, (f, b), Angstrom."""
    return np.linalg.norm(_between(frames, bonds), axis=2)


def dihedral_angles(frames: Frames, quadruples: NDArray[np.int64]) -> FloatArray:
    r"""Return the dihedrals i-j-k-l of (q, 4) atoms in degrees, (f, q), in (-180, 180]; 0 is cis (IUPAC).

    phi = atan2(|b_2| b_1 . (b_2 x b_3), (b_1 x b_2) . (b_2 x b_3)), b_1 = x_j - x_i, b_2 = x_k - x_j, b_3 = x_l - x_k

    Reference: Blondel & Karplus 1996, doi:10.1002/(SICI)1096-987X(19960715)17:9<1132::AID-JCC5>3.0.CO;2-T
    """
    b1, b2, b3 = (_between(frames, quadruples[:, k : k + 2]) for k in range(3))
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    sine = np.linalg.norm(b2, axis=2) * np.einsum("fqi,fqi->fq", b1, n2)
    return np.degrees(np.arctan2(sine, np.einsum("fqi,fqi->fq", n1, n2)))


def _between(frames: Frames, pairs: NDArray[np.int64]) -> FloatArray:
    vectors = frames.position[:, pairs[:, 1]] - frames.position[:, pairs[:, 0]]
    if frames.open:
        return vectors
    from .ase_bonds import minimum_image

    return minimum_image(vectors, frames)


def rotatable(frames: Frames, bonds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one dihedral i-j-k-l (q, 4) for every bond j-k outside rings whose ends both have further bonds.

    The end atoms are the heaviest ones, then those of lowest number. An extended network (one component holds most atoms of
    a periodic system) has none.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    def components(kept: NDArray[np.int64]) -> NDArray[np.int64]:
        graph = coo_matrix((np.ones(len(kept)), kept.T), shape=(frames.n, frames.n))
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)

    none = np.zeros((0, 4), np.int64)
    whole = components(bonds)
    if not len(bonds) or (not frames.open and np.bincount(whole).max() > frames.n / 2):
        return none
    partners: dict[int, list[int]] = defaultdict(list)
    for i, j in bonds.tolist():
        partners[i].append(j)
        partners[j].append(i)
    found = []
    for m, (j, k) in enumerate(bonds.tolist()):
        ends = [_heaviest(frames, [p for p in partners[a] if p != b]) for a, b in ((j, k), (k, j))]
        if min(ends) < 0:
            continue
        apart = components(np.delete(bonds, m, axis=0))
        if apart[j] != apart[k]:
            found.append((ends[0], j, k, ends[1]))
    return np.array(found, np.int64).reshape(-1, 4) if found else none


def _heaviest(frames: Frames, atoms: list[int]) -> int:
    return max(atoms, key=lambda a: (frames.species[a], -a), default=-1)


def internal_distributions(pieces: Sequence[Frames], pattern: Frames) -> dict[str, Distribution]:
    """Return distributions of bond lengths by pair of elements (Angstrom) and of dihedrals (degrees), by a readable name.

    Parameters
    ----------
    pieces : blocks
    pattern : frames whose first says which atoms are bonded, and whose means are the middle of the grids: give the same to
        both sides of a comparison

    """
    from ...particles.io_ase import symbols
    from .ase_bonds import bonds as bonded

    bonds = bonded(pattern)
    name = symbols(pattern.species)
    weights = np.array([len(p) for p in pieces], float)
    result: dict[str, Distribution] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for m, (i, j) in enumerate(bonds.tolist()):
        groups["bond " + "-".join(sorted((name[i], name[j])))].append(m)
    for label, rows in sorted(groups.items()):
        centre = round(float(np.mean(bond_lengths(pattern, bonds[rows]))), 2)
        edges = np.linspace(centre - 0.5, centre + 0.5, 101)
        lengths = [np.clip(bond_lengths(p, bonds[rows]), edges[0], edges[-1]) for p in pieces]
        result[label] = _density(np.stack([np.histogram(x, edges)[0] for x in lengths]), edges, weights)
    quadruples = rotatable(pattern, bonds)
    by_element = len(quadruples) > _MOST_DIHEDRALS
    turns: dict[str, list[int]] = defaultdict(list)
    for m, atoms in enumerate(quadruples.tolist()):
        turns["dihedral " + "-".join(name[a] if by_element else f"{name[a]}{a}" for a in atoms)].append(m)
    edges = np.linspace(-180.0, 180.0, 73)
    for label, rows in turns.items():
        angles = [dihedral_angles(p, quadruples[rows]) for p in pieces]
        result[label] = _density(np.stack([np.histogram(x, edges)[0] for x in angles]), edges, weights)
    return result


def _density(counts: FloatArray, edges: FloatArray, weights: FloatArray) -> Distribution:
    width = edges[1] - edges[0]
    area = np.maximum(counts.sum(axis=1, keepdims=True), 1.0) * width
    return Distribution((edges[1:] + edges[:-1]) / 2.0, counts / area, weights)


# ---------------------------------------------------------------------- distances between distributions


def hellinger(p: FloatArray, q: FloatArray) -> float:
    r"""Return the Hellinger distance sqrt(1 - sum_k sqrt(p_k q_k)) of two distributions on one grid, 0 to 1.

    p, q : (k,), of any normalisation. Two empty ones are equal, an empty and a full one are at distance 1.
    """
    a, b = p.sum(), q.sum()
    if a <= 0.0 or b <= 0.0:
        return 0.0 if a == b else 1.0
    return float(np.sqrt(max(1.0 - np.sum(np.sqrt((p / a) * (q / b))), 0.0)))


def hellinger_within(reference: Distribution, frames: float) -> tuple[float, float]:
    r"""Return the Hellinger distance that finite sampling alone makes, and its upper bound (mean + 4 standard deviations).

    Each block b of the reference against the rest: H_b^2 is proportional to 1/n_b + 1/(N - n_b), because the counts of
    correlated frames scatter as those of fewer independent ones. Scaled to samples of ``frames`` and N frames:

    H^2 = mean_b(H_b^2) f,  bound^2 = (mean_b + 4 std_b)(H_b^2) f,  f = (1/frames + 1/N) / (1/n_b + 1/(N - n_b))

    Four, because a table has many rows: measured on canonical samples, 2 % of equal distributions exceed three.

    Done again with neighbouring blocks put together, while at least four are left; the largest counts, since blocks
    shorter than the correlation time say too little.

    Parameters
    ----------
    reference : with at least two blocks; NaN otherwise
    frames : number of frames of the other sample, at the same interval

    """
    weights, samples = reference.weights, reference.samples
    if len(samples) < 2:
        return float("nan"), float("nan")
    levels = [_scatter_of_blocks(weights, samples, frames)]
    while len(samples) // 2 >= 4:
        even = 2 * (len(samples) // 2)
        samples = (weights[:even, None] * samples[:even]).reshape(even // 2, 2, -1).sum(axis=1)
        weights = weights[:even].reshape(-1, 2).sum(axis=1)
        samples = samples / weights[:, None]
        levels.append(_scatter_of_blocks(weights, samples, frames))
    return max(expected for expected, _ in levels), max(most for _, most in levels)


def _scatter_of_blocks(weights: FloatArray, samples: FloatArray, frames: float) -> tuple[float, float]:
    total, squares = weights.sum(), []
    for b in range(len(samples)):
        others = np.arange(len(samples)) != b
        rest = weights[others] @ samples[others]
        scale = (1.0 / frames + 1.0 / total) / (1.0 / weights[b] + 1.0 / (total - weights[b]))
        squares.append(hellinger(samples[b], rest) ** 2 * scale)
    expected, spread = float(np.mean(squares)), float(np.std(squares))
    return float(np.sqrt(expected)), float(np.sqrt(expected + 4.0 * spread))
