"""When a run breaks: the checks, the time to failure over seeds with its interval, and the speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...equivariant.graph import neighbour_graph
from .conservation import degrees_of_freedom, temperatures
from .frames import Frames
from .structure import bond_lengths

#: evenly spaced frames of a run in which overlaps are searched
_MOST_SEARCHES = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as broken.

    Attributes
    ----------
    stretch : a bond of the start longer than this multiple of its length there is broken
    approach : a pair nearer than this multiple of the sum of its covalent radii overlaps
    escape : an atom of an open system this many Angstrom farther from the centre of mass than any at the start is lost
    heat : largest ratio of the temperature to the wanted one, or 1 + 8 standard deviations where that is more
    cold : smallest such ratio; with few atoms no check

    """

    stretch: float = 1.6
    approach: float = 0.6
    escape: float = 10.0
    heat: float = 1.5
    cold: float = 0.3


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of a run before its time.

    Attributes
    ----------
    time : fs since the start
    reason : "not finite", "atom lost", "bond broken", "atoms overlap", "too hot", "too cold", or a propagator's sentence

    """

    time: float
    reason: str


def failure(
    frames: Frames,
    temperature: float | None = None,
    *,
    bonds: NDArray[np.int64] | None = None,
    limits: Limits | None = None,
) -> Failure | None:
    """Return when and why a run failed, or None.

    Parameters
    ----------
    frames : the run
    temperature : K, wanted; the median of the first tenth when not given; checked where there are velocities
    bonds : (b, 2) pairs that must hold; the covalent bonds of the first frame when not given
    limits : see ``Limits``

    """
    bounds = Limits() if limits is None else limits
    finite = np.isfinite(frames.position).all(axis=(1, 2))
    if frames.velocity is not None:
        finite &= np.isfinite(frames.velocity).all(axis=(1, 2))
    good = len(frames) if finite.all() else int(np.argmin(finite))
    found = [] if finite.all() else [(good, "not finite")]
    if good > 0:
        sound = frames.part(slice(0, good))
        checks = {
            "atom lost": _lost(sound, bounds),
            "bond broken": _broken(sound, bonds, bounds),
            "atoms overlap": _overlap(sound, bounds),
            **_temperature(sound, temperature, bounds),
        }
        found += [(int(np.argmax(bad)), reason) for reason, bad in checks.items() if bad.any()]
    if not found:
        return None
    first, reason = min(found)
    return Failure(first * frames.interval, reason)


def _lost(frames: Frames, limits: Limits) -> NDArray[np.bool_]:
    if not frames.open:
        return np.zeros(len(frames), bool)
    centre = np.einsum("n,fni->fi", frames.mass, frames.position) / frames.mass.sum()
    extent = np.linalg.norm(frames.position - centre[:, None], axis=2).max(axis=1)
    return np.asarray(extent > extent[0] + limits.escape)


def _broken(frames: Frames, bonds: NDArray[np.int64] | None, limits: Limits) -> NDArray[np.bool_]:
    from .ase_bonds import bonds as bonded

    pairs = bonded(frames) if bonds is None else bonds
    if not len(pairs):
        return np.zeros(len(frames), bool)
    length = bond_lengths(frames, pairs)
    return np.asarray((length > limits.stretch * length[0]).any(axis=1))


def _overlap(frames: Frames, limits: Limits) -> NDArray[np.bool_]:
    from .ase_bonds import bond_reach

    z = frames.species
    least = {(a, b): bond_reach(a, b, limits.approach) for a in frames.elements for b in frames.elements}
    bad = np.zeros(len(frames), bool)
    for k in range(0, len(frames), -(-len(frames) // _MOST_SEARCHES)):
        position = frames.position[k]
        cell = None if frames.cell is None else frames.cell[k]
        graph = neighbour_graph(position, cell, frames.periodic, max(least.values()))
        length = np.linalg.norm(graph.vectors(position), axis=1)
        pairs = zip(graph.receiver, graph.sender, length, strict=True)
        bad[k] = any(x < least[int(z[a]), int(z[b])] for a, b, x in pairs)
    return bad


def _temperature(frames: Frames, wanted: float | None, limits: Limits) -> dict[str, NDArray[np.bool_]]:
    if frames.velocity is None or frames.n < 2:
        return {}
    now = temperatures(frames)[0]
    target = float(np.median(now[: max(len(now) // 10, 20)])) if wanted is None else wanted
    if not target > 0.0:
        return {}
    deviation = float(np.sqrt(2.0 / degrees_of_freedom(frames)[0]))
    bad = {"too hot": now > target * max(limits.heat, 1.0 + 8.0 * deviation)}
    if 1.0 - 6.0 * deviation > limits.cold:
        bad["too cold"] = now < target * limits.cold
    return bad


@dataclass(frozen=True, slots=True)
class Survival:
    """Failures over seeds.

    Attributes
    ----------
    runs, failed : int
    fraction, low, high : failed/runs and its 95 % interval (Wilson)
    first : fs, the earliest failure; infinite without one
    lasted : (runs,) fs, how long each run lasted
    reasons : reason -> count

    """

    runs: int
    failed: int
    fraction: float
    low: float
    high: float
    first: float
    lasted: tuple[float, ...]
    reasons: dict[str, int]


def survival(durations: Sequence[float], failures: Sequence[Failure | None]) -> Survival:
    r"""Return the failure fraction k/R of runs with Wilson's 95 % interval (scipy), and how long they lasted.

    Parameters
    ----------
    durations : (R,) fs, how long each run went where it did not fail
    failures : (R,)

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953

    """
    from scipy.stats import binomtest

    bad = [f for f in failures if f is not None]
    interval = binomtest(len(bad), len(failures)).proportion_ci(0.95, method="wilson")
    reasons: dict[str, int] = {}
    for one in bad:
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    lasted = tuple(d if f is None else f.time for d, f in zip(durations, failures, strict=True))
    first = min((f.time for f in bad), default=float("inf"))
    return Survival(
        len(failures), len(bad), len(bad) / len(failures), interval.low, interval.high, first, lasted, reasons
    )


def ns_per_day(simulated: float, wall: float) -> float:
    """Return nanoseconds a day from simulated fs and wall-clock seconds, end to end."""
    return simulated * 1e-6 / (wall / 86400.0)


def before_failure(frames: Frames, failed: Failure | None) -> Frames | None:
    """Return the frames before the failure (None where fewer than two are left)."""
    if failed is None:
        return frames
    count = round(failed.time / frames.interval)
    return frames.part(slice(0, count)) if count >= 2 else None


def durations(runs: Sequence[Frames]) -> list[float]:
    """Return the duration of each run in fs."""
    return [(len(r) - 1) * r.interval for r in runs]
