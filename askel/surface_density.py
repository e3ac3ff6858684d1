"""The projected density of many bodies on a grid, smoothed more where there are fewer of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_MARGIN = 1.25  # the grid reaches so much farther than what is asked for: mass beyond the edge is smoothed into it
_WIDTH = 0.5  # standard deviation of the smoothing, in cells that hold ``neighbours`` bodies
_COARSEST = 5  # cells across the grid


def surface_density(
    mass: FloatArray,
    xy: FloatArray,
    centre: FloatArray,
    reach: float,
    *,
    pixels: int = 280,
    neighbours: int | None = None,
) -> FloatArray:
    """Return the mass per area in a square, (pixels, pixels), rows along the second coordinate.

    Every body is smeared by a Gaussian whose width is half of the smallest square cell that holds ``neighbours`` bodies (16;
    fewer where there are fewer than 400, more where there are many), of a hierarchy of grids from single pixels on, each
    root two coarser than the last. One histogram and one convolution a width: the cost hardly depends on the number of
    bodies.

    | symbol | argument | shape | unit |
    |---|---|---|---|
    | m | mass | (n,) | mass |
    | x, y | xy | (n, 2) | length |
    | | centre, reach | (2,), number: the square is centre +- reach | length |
    """
    from scipy.ndimage import gaussian_filter

    neighbours = min(max(len(mass) // 25, 3), 16 + len(mass) // 10_000) if neighbours is None else neighbours
    wide = round(pixels * _MARGIN / 2) * 2
    size = 2.0 * reach * wide / pixels
    place = (xy - centre) / size + 0.5
    inside = np.all((place >= 0.0) & (place < 1.0), axis=1)
    place, mass = place[inside], mass[inside]
    image = np.zeros((wide, wide))
    left = np.ones(len(mass), bool)
    cells = float(wide)
    while left.any() and len(mass):
        count = int(cells)
        column, row = (place * count).astype(np.int64).T
        crowd = np.bincount(row * count + column, minlength=count * count)
        chosen = left & ((crowd[row * count + column] >= neighbours) | (cells / np.sqrt(2.0) < _COARSEST))
        pixel = (place[chosen] * wide).astype(np.int64)
        part = np.bincount(pixel[:, 1] * wide + pixel[:, 0], weights=mass[chosen], minlength=wide * wide)
        image += gaussian_filter(part.reshape(wide, wide), _WIDTH * wide / count, mode="constant")
        left &= ~chosen
        cells /= np.sqrt(2.0)
    edge = (wide - pixels) // 2
    return image[edge : edge + pixels, edge : edge + pixels] / (size / wide) ** 2
