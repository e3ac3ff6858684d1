r"""Which rows have to be where: copies of the particles of other ranks within reach, and their exchange, one array after another.

Made in four steps: every rank tells boxes around stretches of its piece of the curve; every rank sends the places that may be
within reach of another's boxes; the receiver keeps those that are, to rounding; it tells the sender which. From then on
``forward`` is one message from and to each neighbour: ghosts x row bytes, and no byte more.

Images: the places of all ranks are brought into the cell, and the receiver looks at them shifted by n cell vectors,
|n_k| <= floor(reach / h_k) + 1, with h_k the distance of opposite faces, so that cells smaller than the reach are right too.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..particles import Traffic
from .decomposition import FloatArray, IntArray, filled_cell
from .world import World

#: Boxes that describe the piece of one rank.
_BOXES = 16
#: Where places that are not finite are taken to be: nobody is near, and who uses them will complain.
_NOWHERE = 1e100
#: A pair at the reach itself is within it, whatever rounding says.
_SLACK = 1.0 + 1e-12


class RankHalo:
    """Rows to send to each neighbour, and how many come from each: see ``halo_of``.

    Attributes
    ----------
    n : int, ghosts of this rank
    owned : int, rows of this rank's own
    sends : list of (rank, rows (k,) int64), in order of rank
    receives : list of (rank, first ghost, last ghost + 1)

    """

    def __init__(
        self, world: World, traffic: Traffic, owned: int, sends: dict[int, IntArray], counts: dict[int, int]
    ) -> None:
        self._world, self._traffic = world, traffic
        self.owned = owned
        self.sends = [(r, rows) for r, rows in sorted(sends.items()) if len(rows)]
        self.receives, first = [], 0
        for r, count in sorted(counts.items()):
            if count:
                self.receives.append((r, first, first + count))
                first += count
        self.n = first

    def forward(self, rows: NDArray) -> NDArray:
        """Return (n, ...), the ghosts' rows, of ``rows`` (owned, ...) of every owner."""
        ghosts = np.empty((self.n, *rows.shape[1:]), rows.dtype)
        packed = [(r, _bytes(np.ascontiguousarray(rows[which]))) for r, which in self.sends]
        self._swap("halo", packed, [(r, _bytes(ghosts[a:b])) for r, a, b in self.receives])
        return ghosts

    def reverse(self, ghosts: NDArray, owned: NDArray) -> None:
        """Add ``ghosts`` (n, ...) to the rows of their owners: ``owned`` (owned, ...) is changed in place."""
        ghosts = np.ascontiguousarray(ghosts, owned.dtype)
        came = [(r, which, np.empty((len(which), *owned.shape[1:]), owned.dtype)) for r, which in self.sends]
        packed = [(r, _bytes(ghosts[a:b])) for r, a, b in self.receives]
        self._swap("reverse", packed, [(r, _bytes(part)) for r, _, part in came])
        for _, which, part in came:  # in order of rank, so that sums are the same in every run; no row is twice in one
            owned[which] += part

    def _swap(
        self, purpose: str, sends: list[tuple[int, NDArray[np.uint8]]], receives: list[tuple[int, NDArray[np.uint8]]]
    ) -> None:
        started = time.perf_counter()
        self._world.swap(sends, receives)
        self._traffic.add(purpose, sum(len(b) for _, b in sends), len(sends), time.perf_counter() - started)


def halo_of(
    world: World,
    traffic: Traffic,
    position: FloatArray,
    cell: ArrayLike | None,
    periodic: ArrayLike | None,
    reach: float,
) -> RankHalo:
    """Return the halo of the places (n, 3) of all ranks; see ``Exchange.halo``."""
    started = time.perf_counter()
    vectors, wraps = filled_cell(cell, periodic)
    inverse = np.linalg.inv(vectors)
    places = position - np.floor(position @ inverse) * wraps @ vectors
    places = np.where(np.isfinite(places).all(axis=1, keepdims=True), places, _NOWHERE)
    shifts = image_shifts(vectors, wraps, reach)
    boxes = stretch_boxes(places)
    everyone = [part.view(np.float64).reshape(-1, 2, 3) for part in world.allgather(_bytes(boxes))]
    offers = _offers(places, boxes, everyone, shifts, reach, world.rank)
    came = world.alltoall([_bytes(places[rows]) for rows in offers])
    wanted = [_within(part.view(np.float64).reshape(-1, 3), places, shifts, reach) for part in came]
    asked = world.alltoall([_bytes(rows) for rows in wanted])
    sends = {r: offers[r][part.view(np.int64)] for r, part in enumerate(asked)}
    size = boxes.nbytes + sum(p.nbytes for p in (*(places[o] for o in offers), *wanted))
    messages = sum(map(_some, offers)) + sum(map(_some, wanted))
    traffic.add("halo plan", size, messages, time.perf_counter() - started)
    return RankHalo(world, traffic, len(position), sends, {r: len(rows) for r, rows in enumerate(wanted)})


def image_shifts(vectors: FloatArray, wraps: NDArray[np.bool_], reach: float) -> FloatArray:
    """Return the lattice vectors (k, 3) by which a place in the cell may have to be shifted to come near another in the cell."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    most = np.where(wraps, np.floor(reach / heights).astype(np.int64) + 1, 0)
    steps = itertools.product(*(range(-m, m + 1) for m in most.tolist()))
    return np.array(list(steps), np.float64) @ vectors


def stretch_boxes(places: FloatArray, boxes: int = _BOXES) -> FloatArray:
    """Return boxes (k, 2, 3), lowest and highest corners, around stretches of the rows of places; none for no places."""
    ends = np.unique(np.linspace(0, len(places), boxes + 1).astype(np.int64))
    parts = [places[a:b] for a, b in itertools.pairwise(ends.tolist())]
    corners = [np.stack([part.min(axis=0), part.max(axis=0)]) for part in parts]
    return np.array(corners).reshape(-1, 2, 3)


def _offers(
    places: FloatArray, own: FloatArray, everyone: list[FloatArray], shifts: FloatArray, reach: float, rank: int
) -> list[IntArray]:
    """Return, for each rank, the rows that some image brings within reach of one of its boxes."""
    ends = np.unique(np.linspace(0, len(places), _BOXES + 1).astype(np.int64))
    nothing = np.zeros(0, np.int64)
    found = []
    for r, boxes in enumerate(everyone):
        if r == rank or not len(boxes) or not len(own):
            found.append(nothing)
            continue
        near = np.zeros(len(places), bool)
        # (own stretch, box, shift): only where the two boxes come within reach are single places looked at
        gap = np.maximum(boxes[None, :, None, 0] - own[:, None, None, 1] - shifts, 0.0)
        gap = np.maximum(gap, own[:, None, None, 0] + shifts - boxes[None, :, None, 1])
        for stretch, box, image in np.argwhere((gap**2).sum(axis=3) <= (reach * _SLACK) ** 2):
            rows = slice(ends[stretch], ends[stretch + 1])
            moved = places[rows] + shifts[image]
            apart = np.maximum(np.maximum(boxes[box, 0] - moved, moved - boxes[box, 1]), 0.0)
            near[rows] |= (apart**2).sum(axis=1) <= (reach * _SLACK) ** 2
        found.append(np.flatnonzero(near))
    return found


def _within(offered: FloatArray, places: FloatArray, shifts: FloatArray, reach: float) -> IntArray:
    """Return the rows of what was offered that have an image within reach of one of this rank's places."""
    if not len(offered) or not len(places):
        return np.zeros(0, np.int64)
    low, high = places.min(axis=0) - reach * _SLACK, places.max(axis=0) + reach * _SLACK
    images = offered[:, None] + shifts
    rows, image = np.nonzero(((images >= low) & (images <= high)).all(axis=2))
    distance, _ = cKDTree(places).query(images[rows, image], distance_upper_bound=reach * _SLACK)
    near = np.zeros(len(offered), bool)
    near[rows[np.isfinite(distance)]] = True
    return np.flatnonzero(near)


def _some(rows: IntArray) -> int:
    return int(len(rows) > 0)


def _bytes(rows: NDArray) -> NDArray[np.uint8]:
    """Return the bytes of a contiguous array, as a view."""
    return rows.reshape(-1).view(np.uint8)
