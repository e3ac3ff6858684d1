"""What became of encounters, in the terms of the field, and what is left of them: outcomes, final orbits, kicks.

| outcome | what is left |
|---|---|
| "flyby" | the parts there were at the start, receding |
| "exchange" | a binary of other members |
| "partial ionisation" | some of the binaries that there were, the rest single |
| "ionisation" | single bodies |
| "hierarchy" | a triple (or more) that a criterion calls stable, with or without others that recede |
| "capture" | a pair bound by radiation |
| "collision", "merger" | bodies that touched, black holes within their merger distance |
| "unresolved" | still together at the time limit |
| "failed" | not followed to the end |

An encounter with two or more minima of its size is a *resonance* as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ensemble import REASONS, Ensemble

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OUTCOMES = (
    "unresolved",
    "flyby",
    "exchange",
    "partial ionisation",
    "ionisation",
    "hierarchy",
    "capture",
    "collision",
    "merger",
    "failed",
)


def classify(ensemble: Ensemble, initial_tops: IntArray) -> IntArray:
    """Return the outcome of each encounter (k,), index into ``OUTCOMES``; ``initial_tops`` (n,): parts at the start."""
    tops = ensemble.tops
    k, n = tops.shape
    together = tops[:, :, None] == tops[:, None, :]  # [encounter, body, body]
    before = initial_tops[:, None] == initial_tops[None, :]
    sizes, old = together.sum(axis=2), before.sum(axis=1)
    same = (together == before).all(axis=(1, 2))
    new_pair = ((sizes == 2)[:, :, None] & together & ~before).any(axis=(1, 2))
    outcome = np.full(k, OUTCOMES.index("unresolved"))
    resolved = (ensemble.parted == 2) | (ensemble.reason == REASONS.index("stable"))

    def say(where: NDArray[np.bool_], name: str) -> None:
        outcome[where] = OUTCOMES.index(name)

    say(resolved, "partial ionisation")
    say(resolved & (sizes == 1).all(axis=1), "ionisation")
    say(resolved & new_pair, "exchange")
    say(resolved & (sizes > 2).any(axis=1), "hierarchy")
    if (old < n).any():
        say(resolved & same, "flyby")
    for name in ("capture", "collision", "merger"):
        say(ensemble.reason == REASONS.index(name), name)
    say(ensemble.failed, "failed")
    return outcome


def is_resonance(ensemble: Ensemble) -> NDArray[np.bool_]:
    """Return whether the bodies came together, went apart and came together again (k,)."""
    return (ensemble.minima >= 2) & (ensemble.tops.shape[1] > 2)


@dataclass(frozen=True, slots=True)
class Kicks:
    """Speeds after an encounter, in the frame of its centre of mass.

    Attributes
    ----------
    speed : (k, n) of the part that each body ends in, at infinity where two parts recede on a hyperbola, else at the end
    relative : (k,) of two parts at infinity, NaN for other numbers of parts or where they are bound

    """

    speed: FloatArray
    relative: FloatArray


def kicks(ensemble: Ensemble, mass: FloatArray, G: float = 1.0) -> Kicks:
    """Return the kicks of encounters of bodies of ``mass`` (k, n)."""
    tops = ensemble.tops
    k, n = tops.shape
    rows = np.arange(k)
    member = tops[:, None, :] == np.arange(n)[None, :, None]  # [encounter, top, body]
    weight = member * mass[:, None, :]
    top_mass = weight.sum(axis=2)
    safe = np.where(top_mass > 0.0, top_mass, 1.0)[..., None]
    x = np.einsum("ktn,knd->ktd", weight, ensemble.position) / safe
    v = np.einsum("ktn,knd->ktd", weight, ensemble.velocity) / safe
    total = mass.sum(axis=1)
    v -= (np.einsum("kt,ktd->kd", top_mass, v) / total[:, None])[:, None] * (top_mass > 0.0)[..., None]
    speed = np.linalg.norm(v, axis=2)
    relative = np.full(k, np.nan)
    two = (top_mass > 0.0).sum(axis=1) == 2
    first, last = (top_mass > 0.0).argmax(axis=1), n - 1 - (top_mass[:, ::-1] > 0.0).argmax(axis=1)
    r = np.linalg.norm(x[rows, first] - x[rows, last], axis=1)
    w2 = np.sum((v[rows, first] - v[rows, last]) ** 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        at_infinity = np.sqrt(w2 - 2.0 * G * total / r)
    good = two & np.isfinite(at_infinity)
    relative[good] = at_infinity[good]
    for here, other in ((first, last), (last, first)):
        share = top_mass[rows, other] / total
        speed[rows[good], here[good]] = (share * at_infinity)[good]
    return Kicks(np.take_along_axis(speed, tops, axis=1), relative)
