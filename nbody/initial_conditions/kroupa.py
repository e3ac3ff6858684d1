"""The initial mass function of stars of Kroupa, and power laws in pieces in general."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...particles.errors import InputError
from ...particles.noise import Purpose, uniform
from .profile import Array

#: Number of the stream of noise that masses are drawn from.
_STREAM = 2


@dataclass(frozen=True)
class MassFunction:
    r"""A power law in pieces, continuous where they meet.

        dN/dm = k_i m^(-slope_i)     for edge_i <= m < edge_(i+1)

    Attributes
    ----------
    edges : p + 1 masses, rising
    slopes : p exponents

    Masses are drawn by the inverse of the cumulative number, which is a closed form in each piece.
    Raises InputError for edges that do not rise or another number of slopes.

    """

    edges: tuple[float, ...]
    slopes: tuple[float, ...]

    def __post_init__(self) -> None:
        """Look at the values."""
        edges = np.array(self.edges, np.float64)
        rising = edges.ndim == 1 and edges.size >= 2 and edges[0] > 0.0 and (np.diff(edges) > 0.0).all()
        if not rising or not np.isfinite(edges).all() or len(self.slopes) != len(edges) - 1:
            raise InputError(
                f"a mass function has edges {self.edges} and slopes {self.slopes}; expected rising masses, one more than slopes"
            )

    def _moments(self, power: int) -> Array:
        """Return the integral of m^power dN over each piece, with k_0 = 1."""
        heights = [1.0]
        for i in range(1, len(self.slopes)):
            heights.append(heights[-1] * self.edges[i] ** (self.slopes[i] - self.slopes[i - 1]))
        rows = zip(heights, self.slopes, self.edges[:-1], self.edges[1:], strict=True)
        return np.array([k * _power_integral(power - slope, low, high) for k, slope, low, high in rows])

    def fraction_below(self, mass: ArrayLike) -> Array:
        """Return the share of stars, by number, below a mass."""
        parts = self._moments(0)
        m = np.asarray(mass, np.float64)
        total = np.zeros_like(m)
        for part, slope, low, high in zip(parts, self.slopes, self.edges[:-1], self.edges[1:], strict=True):
            up_to = _power_integral(-slope, low, np.clip(m, low, high))
            total += part * up_to / _power_integral(-slope, low, high)
        return total / parts.sum()

    @property
    def mean(self) -> float:
        """The mean mass."""
        return float(self._moments(1).sum() / self._moments(0).sum())

    def masses(self, share: ArrayLike) -> Array:
        """Return the masses below which given shares of the stars are, each in [0, 1)."""
        parts = self._moments(0)
        known = np.concatenate([[0.0], np.cumsum(parts)]) / parts.sum()
        u = np.asarray(share, np.float64)
        piece = np.clip(np.searchsorted(known, u, side="right") - 1, 0, len(parts) - 1)
        within = (u - known[piece]) / (known[piece + 1] - known[piece])
        low, high = np.array(self.edges)[piece], np.array(self.edges)[piece + 1]
        one = 1.0 - np.array(self.slopes, np.float64)[piece]
        flat = one == 0.0  # dN ~ dm/m: even in ln m
        safe = np.where(flat, 1.0, one)
        power = (low**safe + within * (high**safe - low**safe)) ** (1.0 / safe)
        return np.where(flat, low * (high / low) ** within, power)

    def sample(self, n: int, *, seed: int = 0, identity: ArrayLike | None = None) -> Array:
        """Return n masses (n,), the same for the same seed and identities (0 ... n-1 when not given)."""
        who = np.arange(n) if identity is None else np.asarray(identity)
        return self.masses(uniform(seed, Purpose.INITIAL_CONDITIONS, _STREAM, who)[:, 0])


def _power_integral(power: float, low: float, high: ArrayLike) -> Array:
    """Return the integral of m^power from low to high."""
    high = np.asarray(high, np.float64)
    if power == -1.0:
        return np.log(high / low)
    return (high ** (power + 1.0) - low ** (power + 1.0)) / (power + 1.0)


def kroupa(lowest: float = 0.08, highest: float = 150.0) -> MassFunction:
    """Return the mass function of Kroupa (2001) between two masses in solar masses.

    Slopes 0.3 below 0.08, 1.3 to 0.5, 2.3 above (equation 2, with 2.3 for all stars above 1 solar mass). Between 0.08 and
    150 its mean is 0.59, and 76 % of the stars are below 0.5.

    Raises InputError unless 0 < lowest < highest. References: Kroupa 2001, doi:10.1046/j.1365-8711.2001.04022.x.
    """
    if not (0.0 < lowest < highest and math.isfinite(highest)):
        raise InputError(f"masses from {lowest:g} to {highest:g}: expected 0 < lowest < highest, in solar masses")
    inner = [edge for edge in (0.08, 0.5) if lowest < edge < highest]
    edges = (lowest, *inner, highest)
    slopes = tuple(0.3 if low < 0.08 else 1.3 if low < 0.5 else 2.3 for low in edges[:-1])
    return MassFunction(edges, slopes)
