"""When bodies of a chain come too close: the reach of a pair, what a step may have missed, and where it happened."""

import math

from numba import njit

from .chain_extrapolation import extrapolate
from .chain_forces import separation
from .chain_row import HEAD, OK

PASSAGE = 1.5  # a periastron below this multiple of the reach, by its osculating orbit, is looked at


@njit(cache=True, error_model="numpy")
def pair_reach(i, j, mass, kind, horizon, radius):
    """Return the distance at which bodies i and j are an event: merger, tidal disruption, or contact."""
    if kind[i] == 1 and kind[j] == 1:
        return horizon[i] + horizon[j]
    if kind[i] == 1 or kind[j] == 1:
        hole = i if kind[i] == 1 else j
        star = j if kind[i] == 1 else i
        if radius[star] == 0.0:
            return 0.0
        return max(horizon[hole], radius[star] * (mass[hole] / mass[star]) ** (1.0 / 3.0))
    if radius[i] == 0.0 or radius[j] == 0.0:
        return 0.0
    return radius[i] + radius[j]


@njit(cache=True, error_model="numpy")
def _gap(p, n, y, pairs, reach2):
    """Return r^2 / reach^2 - 1 of a listed pair."""
    dx, dy, dz = separation(p, n, y[HEAD : HEAD + 3 * n], pairs[2], pairs[3], pairs[4])
    return (dx * dx + dy * dy + dz * dz) / reach2[p] - 1.0


@njit(cache=True, error_model="numpy")
def _radial(p, n, y, pairs):
    """Return x . v of a listed pair."""
    x, y_, z = separation(p, n, y[HEAD : HEAD + 3 * n], pairs[2], pairs[3], pairs[4])
    u, v, w = separation(p, n, y[HEAD + 3 * n : HEAD + 6 * n], pairs[2], pairs[3], pairs[4])
    return x * u + y_ * v + z * w


@njit(cache=True, error_model="numpy")
def _periastron(p, n, y, pairs, mu):
    """Return the periastron of the osculating Kepler orbit of a listed pair."""
    x, y_, z = separation(p, n, y[HEAD : HEAD + 3 * n], pairs[2], pairs[3], pairs[4])
    u, v, w = separation(p, n, y[HEAD + 3 * n : HEAD + 6 * n], pairs[2], pairs[3], pairs[4])
    h2 = (y_ * w - z * v) ** 2 + (z * u - x * w) ** 2 + (x * v - y_ * u) ** 2
    energy = 0.5 * (u * u + v * v + w * w) - mu / math.sqrt(x * x + y_ * y_ + z * z)
    return h2 / mu / (1.0 + math.sqrt(max(0.0, 1.0 + 2.0 * energy * h2 / (mu * mu))))


@njit(cache=True, error_model="numpy")
def suspect(p, n, y0, y1, pairs, reach2, mu, direction):
    """Return whether a listed pair ends a step within reach, or may have been there at a periastron inside the step.

    A step is shorter than an orbit, so that there is one periastron at most. The substeps of a row are no proof: on nearly
    parabolic orbits a step is so long that they jump over it.
    """
    if _gap(p, n, y1, pairs, reach2) <= 0.0:
        return True
    if direction * _radial(p, n, y0, pairs) >= 0.0 or direction * _radial(p, n, y1, pairs) <= 0.0:
        return False
    closest = min(_periastron(p, n, y0, pairs, mu), _periastron(p, n, y1, pairs, mu))
    return closest < PASSAGE * math.sqrt(reach2[p])


@njit(cache=True, error_model="numpy")
def locate(p, fraction, H, target, rows, tolerance, y0h, y0l, yh, scales, factor, method, problem):
    """Return (z, substeps done): a listed pair comes within reach at z H, where r^2 is below reach^2 by 1e-9; or -1.

    ``fraction`` of H at which a substep saw it, or -1. A periastron inside the step is found by the sign of x . v
    (regula falsi of the Illinois kind, on z), the entry by bisection before it.
    """
    pairs = problem[2]
    reach2 = problem[3]
    n = problem[0][2].shape[0]
    y = method[4]
    total = 0
    high = 1.0
    gap = _gap(p, n, yh, pairs, reach2)
    if gap > 0.0 and fraction >= 0.0:
        high = fraction
        outcome, k, done, relative, ignored, other = extrapolate(
            H * high, target, True, rows, tolerance, y0h, y0l, scales, factor, method, problem
        )
        total += done
        gap = _gap(p, n, y, pairs, reach2) if outcome == OK else 1.0
    if gap > 0.0:
        low = 0.0
        high = 1.0
        at_low = _radial(p, n, y0h, pairs)
        at_high = _radial(p, n, yh, pairs)
        if at_low * at_high >= 0.0:
            return -1.0, total
        for _ in range(80):
            if high - low < 1e-13 or gap <= 0.0:
                break
            middle = (low * at_high - high * at_low) / (at_high - at_low)
            outcome, k, done, relative, ignored, other = extrapolate(
                H * middle, target, True, rows, tolerance, y0h, y0l, scales, factor, method, problem
            )
            total += done
            if outcome != OK:
                return -1.0, total
            gap = _gap(p, n, y, pairs, reach2)
            value = _radial(p, n, y, pairs)
            if value * at_high > 0.0:
                at_low *= 0.5 if high < 1.0 else 1.0
                high, at_high = middle, value
            else:
                at_high *= 0.5 if low > 0.0 else 1.0
                low, at_low = middle, value
            if gap <= 0.0:
                high = middle
            elif abs(value) < 1e-7 * math.sqrt(reach2[p] * scales[2] ** 2):
                break
        if gap > 0.0:
            return -1.0, total
    low = 0.0
    for _ in range(80):
        if gap > -1e-9:
            break
        middle = 0.5 * (low + high)
        outcome, k, done, relative, ignored, other = extrapolate(
            H * middle, target, True, rows, tolerance, y0h, y0l, scales, factor, method, problem
        )
        total += done
        trial = _gap(p, n, y, pairs, reach2) if outcome == OK else 1.0
        if trial <= 0.0:
            high = middle
            gap = trial
        else:
            low = middle
    return high, total
