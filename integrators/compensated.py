"""Sums that keep what rounding loses: a number with its rounding error, and the same for arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class CompensatedSum:
    """A running sum as value + error, where |error| is at most half a unit in the last place of the value.

    Knuth's exact addition s + e = a + b, repeated: the sum of n terms is right to about n eps^2 relative to the sum of
    their sizes.

    Attributes
    ----------
    value : float, the sum rounded to double precision
    error : float, what rounding took away

    References
    ----------
    Knuth, The Art of Computer Programming 2, section 4.2.2; Ogita, Rump & Oishi 2005, doi:10.1137/030601818

    """

    __slots__ = ("error", "value")

    def __init__(self, value: float = 0.0, error: float = 0.0) -> None:
        self.value, self.error = float(value), float(error)

    def add(self, term: float) -> None:
        """Add a number."""
        total, lost = two_sum(self.value, float(term))
        self.value, self.error = two_sum(total, lost + self.error)

    def set(self, value: float) -> None:
        """Become a number known exactly."""
        self.value, self.error = float(value), 0.0

    def distance(self, target: float) -> float:
        """Return target - sum, rounded once."""
        return (target - self.value) - self.error

    def state_dict(self) -> dict[str, float]:
        """Return value and error."""
        return {"value": self.value, "error": self.error}

    def load_state_dict(self, tree: dict[str, float]) -> None:
        """Take value and error from ``state_dict``."""
        self.value, self.error = float(tree["value"]), float(tree["error"])


def two_sum(a: float, b: float) -> tuple[float, float]:
    """Return (s, e) with s = a + b rounded and s + e = a + b exactly."""
    total = a + b
    virtual = total - a
    return total, (a - (total - virtual)) + (b - virtual)


def add_compensated(total: NDArray[np.float64], error: NDArray[np.float64], increment: NDArray[np.float64]) -> None:
    """Add ``increment`` to the sum ``total`` + ``error``.

    Kahan's summation, element by element: y = increment + error, t = total + y, error = y - (t - total), total = t.

    Parameters
    ----------
    total, error : float64 of one shape; overwritten
    increment : broadcastable to it

    References
    ----------
    Kahan 1965, doi:10.1145/363707.363723

    """
    with_error = increment + error
    new = total + with_error
    np.subtract(with_error, new - total, out=error)
    total[...] = new
