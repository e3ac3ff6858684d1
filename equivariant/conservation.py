r"""Hard constraints on a stride: total momentum always, angular momentum in open systems.

The same text serves NumPy and torch: it uses operators, indexing, and what has one name in both.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

Stack = Callable[[list[Any], int], Any]

#: Added to the diagonal of the inertia tensor, in units of its trace: a linear molecule has no inertia about its axis. The
#: further passes remove what this and the rounding of a nearly singular matrix leave of the defect.
_REGULAR = 1e-11
_PASSES = 3


def conserve(
    displacement: Any, velocity: Any, *, position: Any, before: Any, mass: Any, frame: Any, stride: Any, open_frame: Any,
    sums: Callable[[Any], Any], xp: ModuleType,
) -> tuple[Any, Any]:  # fmt: skip
    r"""Return displacement and new velocity with the momenta of the old state.

    d_i -= sum m d / M - h V,  v'_i -= sum m v' / M - V, with V the velocity of the centre of mass before;
    open systems then get v'_i += omega x r'_i with I omega = L - L', r' and L' about the new centre of mass

    Parameters
    ----------
    displacement, velocity : (n, 3) proposed d (Angstrom) and v' (Angstrom/fs)
    position, before : (n, 3) x and v of the old state
    mass : (n,);  frame : (n,) int, the frame of each atom;  stride : (F,) h in fs
    open_frame : (F,) 1.0 where angular momentum is conserved, else 0.0; None: nowhere
    sums : (n, k) -> (F, k), sums over the atoms of each frame
    xp : ``numpy`` or ``torch``

    Returns
    -------
    (n, 3), (n, 3); float64 in, momenta exact to rounding

    """
    m, stack = mass[:, None], xp.stack
    moments = sums(xp.concatenate([m, m * before, m * displacement, m * velocity, m * position], 1))
    total = moments[:, :1]
    total = total + (total == 0.0)  # frames without atoms
    old, centre = moments[:, 1:4] / total, moments[:, 10:] / total
    drift = stride[:, None] * old
    displacement = displacement - (moments[:, 4:7] / total - drift)[frame]
    velocity = velocity - (moments[:, 7:10] / total - old)[frame]
    if open_frame is None:
        return displacement, velocity
    centred, relative = position - centre[frame], before - old[frame]
    moved = centred + displacement - drift[frame]
    second = sums(m * xp.concatenate([_cross(centred, relative, stack), _products(moved, stack)], 1))
    wanted, (inertia, inverse) = second[:, :3], _inertia(second[:, 3:], stack)
    defect = (wanted - sums(m * _cross(moved, velocity - old[frame], stack))) * open_frame[:, None]
    omega: Any = 0.0
    for _ in range(_PASSES):
        turn = (inverse * defect[:, None]).sum(2)
        omega, defect = omega + turn, defect - (inertia * turn[:, None]).sum(2)
    return displacement, velocity + _cross(omega[frame], moved, stack)


def _columns(vectors: Any) -> tuple[Any, Any, Any]:
    return vectors[:, 0], vectors[:, 1], vectors[:, 2]


def _cross(a: Any, b: Any, stack: Stack) -> Any:
    ax, ay, az = _columns(a)
    bx, by, bz = _columns(b)
    return stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def _products(r: Any, stack: Stack) -> Any:
    """Return the columns xx, yy, zz, xy, xz, yz."""
    x, y, z = _columns(r)
    return stack([x * x, y * y, z * z, x * y, x * z, y * z], 1)


def _inertia(products: Any, stack: Stack) -> tuple[Any, Any]:
    """Return I (F, 3, 3) from the sums of m xx, ..., and its inverse, a little regular; by the adjugate of a symmetric matrix."""
    xx, yy, zz = products[:, 0], products[:, 1], products[:, 2]
    xy, xz, yz = products[:, 3], products[:, 4], products[:, 5]
    trace = 2.0 * (xx + yy + zz)
    small = _REGULAR * trace + (trace == 0.0)
    a, b, c = yy + zz, xx + zz, xx + yy
    d, e, f = -xy, -xz, -yz
    matrix = stack([a, d, e, d, b, f, e, f, c], 1)
    a, b, c = a + small, b + small, c + small
    aa, bb, cc = b * c - f * f, a * c - e * e, a * b - d * d
    ab, ac, bc = e * f - d * c, d * f - b * e, d * e - a * f
    adjugate = stack([aa, ab, ac, ab, bb, bc, ac, bc, cc], 1)
    determinant = a * aa + d * ab + e * ac
    return matrix.reshape(-1, 3, 3), (adjugate / determinant[:, None]).reshape(-1, 3, 3)
