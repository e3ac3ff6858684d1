r"""Hard constraints on a stride: total momentum always, angular momentum in open systems.

The same text serves NumPy and torch: it uses operators, indexing, and two functions that are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Stack = Callable[[list[Any], int], Any]

#: Added to the diagonal of the inertia tensor, in units of its trace: a linear molecule has no inertia about its axis. The
#: further passes remove what this and the rounding of a nearly singular matrix leave of the defect.
_REGULAR = 1e-11
_PASSES = 3


def conserve(
    displacement: Any, velocity: Any, *, position: Any, before: Any, mass: Any, frame: Any, stride: Any, open_frame: Any,
    sums: Callable[[Any], Any], stack: Stack,
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
    stack : ``numpy.stack`` or ``torch.stack``

    Returns
    -------
    (n, 3), (n, 3); float64 in, momenta exact to rounding

    """
    m = mass[:, None]
    total = sums(m)
    total = total + (total == 0.0)  # frames without atoms
    old = sums(m * before) / total
    displacement = displacement - (sums(m * displacement) / total - stride[:, None] * old)[frame]
    velocity = velocity - (sums(m * velocity) / total - old)[frame]
    if open_frame is None:
        return displacement, velocity
    centred = position - (sums(m * position) / total)[frame]
    moved = position + displacement
    moved = moved - (sums(m * moved) / total)[frame]
    relative = before - old[frame]
    wanted, inertia = sums(m * _cross(centred, relative, stack)), sums(m * _products(moved, stack))
    for _ in range(_PASSES):
        defect = (wanted - sums(m * _cross(moved, velocity - old[frame], stack))) * open_frame[:, None]
        velocity = velocity + _cross(_solve(inertia, defect, stack)[frame], moved, stack)
    return displacement, velocity


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


def _solve(products: Any, defect: Any, stack: Stack) -> Any:
    """Return omega with I omega = defect, I from the sums of m xx, ...; by the adjugate of a symmetric matrix."""
    xx, yy, zz = products[:, 0], products[:, 1], products[:, 2]
    xy, xz, yz = products[:, 3], products[:, 4], products[:, 5]
    trace = 2.0 * (xx + yy + zz)
    small = _REGULAR * trace + (trace == 0.0)
    a, b, c = yy + zz + small, xx + zz + small, xx + yy + small
    d, e, f = -xy, -xz, -yz
    aa, bb, cc = b * c - f * f, a * c - e * e, a * b - d * d
    ab, ac, bc = e * f - d * c, d * f - b * e, d * e - a * f
    determinant = a * aa + d * ab + e * ac
    x, y, z = _columns(defect)
    rows = (aa * x + ab * y + ac * z, ab * x + bb * y + bc * z, ac * x + bc * y + cc * z)
    return stack([row / determinant for row in rows], 1)
