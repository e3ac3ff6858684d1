r"""Cross sections from encounters whose impact parameters are even over an area.

    sigma_X = (1/N) sum_i pi b_max,i^2 [outcome X],     error^2 = (1/N) [mean(w^2) - mean(w)^2],  w = pi b_max^2 [X]

which is the binomial error for equal b_max. Where X never happened, the error is the upper limit of 68 %, -ln 0.32 = 1.14 events.
The scaled one is sigma / (pi a^2) (v / v_c)^2, with a the sum of the semi-major axes (Hut & Bahcall 1983, doi:10.1086/160956).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NONE_SEEN = -math.log(0.32)


@dataclass(frozen=True, slots=True)
class CrossSection:
    """One cross section.

    Attributes
    ----------
    count, total : encounters with this outcome, and all
    fraction, fraction_error : share and its binomial error
    area, area_error : sigma, length^2; NaN where impact parameters are not even over an area
    scaled, scaled_error : in units of pi a^2 (v_c / v)^2; NaN without binaries

    """

    count: int
    total: int
    fraction: float
    fraction_error: float
    area: float
    area_error: float
    scaled: float
    scaled_error: float


def cross_section(
    happened: NDArray[np.bool_],
    b_max: FloatArray | None,
    scale: FloatArray | None = None,
    speed: FloatArray | None = None,
) -> CrossSection:
    """Return the cross section of an outcome.

    Parameters
    ----------
    happened : (k,) whether it was this one
    b_max : (k,) radius of the area each impact parameter was drawn from, or None
    scale, speed : (k,) sum of semi-major axes, and v / v_c; None without binaries

    """
    fraction, fraction_error = _mean(happened, np.ones(len(happened)))
    area = scaled = (math.nan, math.nan)
    if b_max is not None:
        area = _mean(happened, math.pi * b_max**2)
        if scale is not None and speed is not None and (scale > 0.0).all():
            scaled = _mean(happened, (b_max / scale * speed) ** 2)
    return CrossSection(int(happened.sum()), len(happened), fraction, fraction_error, *area, *scaled)


def _mean(happened: NDArray[np.bool_], weight: FloatArray) -> tuple[float, float]:
    n = len(happened)
    if not happened.any():
        return 0.0, _NONE_SEEN * float(weight.mean()) / n
    w = np.where(happened, weight, 0.0)
    mean = float(w.mean())
    return mean, math.sqrt(max(float((w * w).mean()) - mean**2, 0.0) / n)


def capture_cross_section(m1: float, m2: float, velocity: float, *, G: float = 1.0, c: float = 1.0) -> float:
    r"""Cross section for two bodies to become bound by gravitational radiation in one passage, length^2.

        r_max = [(85 pi / (6 sqrt 2)) m1 m2 (m1 + m2)^(3/2) G^(7/2) / (c^5 v^2)]^(2/7),   sigma = pi r_max (r_max + 2 G M / v^2)

    For nearly parabolic orbits with energy loss at 2.5PN: Hansen 1972, doi:10.1103/PhysRevD.5.1021; Quinlan & Shapiro 1989,
    doi:10.1086/167745, with r_max the largest periastron that captures.
    """
    total = m1 + m2
    radiated = 85.0 * math.pi / (6.0 * math.sqrt(2.0)) * m1 * m2 * total**1.5 * G**3.5 / c**5  # = r_max^(7/2) v^2
    nearest = (radiated / velocity**2) ** (2.0 / 7.0)
    return math.pi * nearest * (nearest + 2.0 * G * total / velocity**2)
