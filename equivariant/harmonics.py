r"""Real spherical harmonics as polynomials, and the tensors that couple three of them.

The same text serves NumPy and torch: it uses operators alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def solid_harmonics(x: Any, y: Any, z: Any, l_max: int) -> list[Any]:
    r"""Return r^l Y_lm for l = 0 ... l_max, in "component" normalisation: sum_m Y_lm^2 = 2 l + 1 on the unit sphere.

    Parameters
    ----------
    x, y, z : arrays (or tensors, or numbers) of one shape
    l_max : 0 to 3

    Returns
    -------
    list of (l_max + 1)^2 arrays; degree 1 is sqrt(3) (x, y, z)

    Notes
    -----
    Order within a degree and signs are those of e3nn (polar axis y), so that features of both can be compared.

    """
    one = x * 0.0 + 1.0
    rows = [one]
    if l_max >= 1:
        rows += [3**0.5 * x, 3**0.5 * y, 3**0.5 * z]
    x2, y2, z2 = x * x, y * y, z * z
    xz = x2 + z2
    a, b = 15**0.5 * x * z, 15**0.5 / 2.0 * (z2 - x2)
    if l_max >= 2:
        rows += [a, 15**0.5 * x * y, 5**0.5 * (y2 - xz / 2.0), 15**0.5 * y * z, b]
    if l_max >= 3:
        six, axial = 42**0.5 / 6.0, 168**0.5 / 8.0
        rows += [
            six * (a * z + b * x), 7**0.5 * a * y, axial * (4.0 * y2 - xz) * x, 7**0.5 / 2.0 * y * (2.0 * y2 - 3.0 * xz),
            axial * z * (4.0 * y2 - xz), 7**0.5 * b * y, six * (b * z - a * x),
        ]  # fmt: skip
    return rows


@cache
def slopes(l_max: int) -> tuple[NDArray[np.int64], FloatArray]:
    r"""Return the derivatives of the solid harmonics: d(r^l Y_b)/dx_i = sum of value r^(l-1) Y_c over rows (b, i, c).

    Returns
    -------
    (Q, 3) int64 rows (b, i, c), and (Q,) values

    """
    points = np.random.default_rng(0).normal(size=(64, 3))
    values, step = np.stack(solid_harmonics(points[:, 0], points[:, 1], points[:, 2], l_max), axis=1), 1e-30
    rows, factors = [], []
    for axis in range(3):
        moved = points + 1j * step * np.eye(3)[axis]
        derivatives = np.stack(solid_harmonics(moved[:, 0], moved[:, 1], moved[:, 2], l_max), axis=1).imag / step
        for degree in range(1, l_max + 1):
            below, own = slice((degree - 1) ** 2, degree**2), slice(degree**2, (degree + 1) ** 2)
            matrix = np.linalg.lstsq(values[:, below], derivatives[:, own], rcond=None)[0]
            for c, b in np.argwhere(np.abs(matrix) > 1e-12).tolist():
                rows.append((own.start + b, axis, below.start + c))
                factors.append(matrix[c, b])
    return np.array(rows, np.int64), np.array(factors)


@cache
def coupling(l_1: int, l_2: int, l_3: int) -> FloatArray:
    r"""Return C, (2 l_1 + 1, 2 l_2 + 1, 2 l_3 + 1): the one tensor that no rotation changes, of norm 1.

    sum_ab C_abk x_a y_b rotates as degree l_3 when x and y rotate as degrees l_1 and l_2. The sign is chosen so that the
    first element of more than half the largest size is positive.

    Notes
    -----
    C spans the null space of the sum of the generators of rotations on the three indices.

    Raises
    ------
    ValueError : l_3 outside |l_1 - l_2| ... l_1 + l_2

    """
    if not abs(l_1 - l_2) <= l_3 <= l_1 + l_2:
        raise ValueError(f"degrees {l_1}, {l_2} and {l_3} do not couple")
    degrees = (l_1, l_2, l_3)
    sizes = tuple(2 * degree + 1 for degree in degrees)
    squared = np.zeros((int(np.prod(sizes)),) * 2)
    for axis in range(3):
        generators = [_generator(degree, axis) for degree in degrees]
        total = _on_each(generators, sizes)
        squared += total.T @ total
    values, vectors = np.linalg.eigh(squared)
    assert values[0] < 1e-12 < values[1] if len(values) > 1 else True, "the invariant tensor is unique"
    tensor = vectors[:, 0].reshape(sizes)
    flat = tensor.ravel()
    lead = flat[np.argmax(np.abs(flat) > 0.5 * np.abs(flat).max())]
    tensor = tensor * np.sign(lead)
    tensor[np.abs(tensor) < 1e-12] = 0.0
    return np.asarray(tensor)


def _on_each(matrices: Sequence[FloatArray], sizes: Sequence[int]) -> FloatArray:
    first, second, third = (np.eye(s) for s in sizes)
    return np.asarray(
        np.kron(np.kron(matrices[0], second), third)
        + np.kron(np.kron(first, matrices[1]), third)
        + np.kron(np.kron(first, second), matrices[2])
    )


@cache
def _generator(degree: int, axis: int) -> FloatArray:
    """Return G with d Y(R(t) r)/dt = G Y(r) for a rotation about an axis; derivatives by a complex step, exact."""
    points = np.random.default_rng(degree).normal(size=(64, 3))
    turned = np.cross(np.eye(3)[axis], points)
    step = 1e-30
    start, end = degree**2, (degree + 1) ** 2
    values = np.stack(solid_harmonics(points[:, 0], points[:, 1], points[:, 2], degree)[start:end], axis=1)
    moved = points + 1j * step * turned
    slopes = np.stack(solid_harmonics(moved[:, 0], moved[:, 1], moved[:, 2], degree)[start:end], axis=1).imag / step
    return np.asarray(np.linalg.lstsq(values, slopes, rcond=None)[0].T)
