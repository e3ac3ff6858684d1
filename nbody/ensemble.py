"""Ensembles: many few-body systems, each followed to an end of its own by one kernel call.

What it is: the regularised chain (logarithmic Hamiltonian, chain coordinates, extrapolation) for k independent systems of the
same number of bodies. Three Newtonian bodies, and two or three with post-Newtonian terms and mergers, run eight at a time in
vector registers; everything else (terms of spins, four bodies and more, Newtonian pairs) is one chain for each thread. What it
is not: a propagator of the run loop; there is one call and nothing in between.

| name of a rule | ends a system when |
|---|---|
| "escape" | its parts recede from each other on hyperbolas, and feel each other's tides less than ``tide`` |
| "mardling-aarseth", "eggleton-kiseleva", "vynatheya" | it is a hierarchy that the criterion calls stable (one of the three) |
| "collision" | two bodies touch: their distance falls below the sum of their radii |
| "capture" | two bodies: bound after a passage; more: the tightest pair will merge within one of its periods (needs c) |

Every result depends on the system alone, to the last bit: not on its neighbours, the batch or the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..particles import InputError, resolve
from ..particles.kernels import thread_count
from ._kernels.post_newtonian_terms import SPIN_TERMS
from .post_newtonian import parse_terms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Why a system ended, in the order of the kernels' codes.
REASONS = (
    "time limit",
    "escape",
    "stable",
    "collision",
    "merger",
    "capture",
    "step limit",
    "step too small",
    "not finite",
)
#: Stability criteria, in the order of the kernels' codes from 1 on.
CRITERIA = ("mardling-aarseth", "eggleton-kiseleva", "vynatheya")
RULES = ("escape", "collision", "capture", *CRITERIA)

#: Rows of the extrapolation of three bodies in lanes: the fastest of 5 ... 9 for errors of 1e-9 and less.
ROWS = 6
MOST_BODIES = 16


@dataclass(frozen=True, slots=True)
class Track:
    """One system, micro-step by micro-step: time (m,), position and velocity (m, n, 3)."""

    time: FloatArray
    position: FloatArray
    velocity: FloatArray


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What became of k systems of n bodies.

    Attributes
    ----------
    position, velocity, spin : (k, n, 3) at the end
    time : (k,) when they ended
    reason : (k,) int, index into ``REASONS``
    energy_error : (k,) (E - work of post-Newtonian terms - E_0) / |E_0| with the Newtonian E, by the kernel; for the conserved
        post-Newtonian energy see ``askel.nbody.post_newtonian_integrals``
    closest : (k,) least distance of any two bodies (osculating periastron for passages between micro-steps)
    closest_pair : (k, 2) int, the two bodies that came so close, or that collided or merged
    hardest : (k,) largest G (m_i + m_j) / r met; divided by c^2 it is the compactness
    steps, rejected : (k,) int, micro-steps
    minima : (k,) int, minima of the size sum r_ij^2 between maxima twice as large; two or more: a resonance
    parted : (k,) int, 0: no clear hierarchy at the end, 1: a clear one, 2: its parts recede on hyperbolas
    tops : (k, n) int, the part of the hierarchy that each body belongs to, named by its first body
    orbits : (k, n - 1, 4) a, e, inclination to the wider inner orbit, stability margin (r_p over the least stable one;
        infinite for two single bodies) of the orbits found, tightest first; NaN beyond them
    members : (k, n - 1, 2) int, bits of the bodies on either side of these orbits; 0 beyond them
    track : Track of a single system, where it was asked for

    """

    position: FloatArray
    velocity: FloatArray
    spin: FloatArray
    time: FloatArray
    reason: IntArray
    energy_error: FloatArray
    closest: FloatArray
    closest_pair: IntArray
    hardest: FloatArray
    steps: IntArray
    rejected: IntArray
    minima: IntArray
    parted: IntArray
    tops: IntArray
    orbits: FloatArray
    members: IntArray
    track: Track | None = None

    @property
    def outcome(self) -> list[str]:
        """Why each system ended, in words."""
        return [REASONS[r] for r in self.reason]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(k,) whether a system could not be followed to its end: a step limit, a collision of points, or not finite."""
        return self.reason >= REASONS.index("step limit")

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, which: Any) -> Ensemble:
        """Return some of the systems; ``which`` is an index array, a mask or a slice."""
        columns = (f.name for f in fields(self) if f.name != "track")
        return Ensemble(**{name: getattr(self, name)[which] for name in columns})


def evolve_batch(
    mass: ArrayLike,
    position: ArrayLike,
    velocity: ArrayLike,
    t_end: ArrayLike,
    *,
    tolerance: float = 1e-12,
    backend: str = "cpu",
    post_newtonian: Sequence[str] = (),
    speed_of_light: float | None = None,
    stop: Sequence[str] = (),
    spin: ArrayLike | None = None,
    radius: ArrayLike | None = None,
    black_hole: ArrayLike | None = None,
    merger_distance: float | None = None,
    tide: float = 1e-4,
    max_steps: int = 10_000_000,
    gravitational_constant: float = 1.0,
    track: int = 0,
) -> Ensemble:
    """Integrate k systems of n bodies from t = 0 to t_end, or until a stopping rule ends them.

    Parameters
    ----------
    mass : (k, n) positive; or (n,), the same for all
    position, velocity : (k, n, 3)
    t_end : positive, or (k,)
    tolerance : relative error per micro-step. Of 1,000 scatterings of equal masses 99 % keep their energy to 4e-8 at 1e-10, and
        to 2e-10 at 1e-12
    backend : "cpu", or "cuda" for what runs in lanes (see the module): the same method on a device, with other roundings; all
        else, such as binary-binary encounters, is refused there
    post_newtonian : names of terms (``askel.nbody.post_newtonian``) on pairs with a black hole; needs ``speed_of_light``
    speed_of_light : c in the units of the velocities
    stop : names of rules, see the module
    spin : (k, n, 3) spin angular momenta
    radius : (k, n) or (n,) radii, for the rule "collision"
    black_hole : (k, n) or (n,) bool; when not given: all bodies with post-Newtonian terms or mergers, none without
    merger_distance : black holes merge at this multiple of 2 G (m1 + m2) / c^2, which ends the system; None: they do not
    tide : largest tide, relative to the binding force, at which "escape" lets go
    max_steps : most micro-steps of a system
    track : most micro-steps to keep of a single system (k = 1), in ``Ensemble.track``

    Returns
    -------
    Ensemble ; the arguments are not changed

    Raises
    ------
    InputError : shapes that do not fit, values that cannot be used, unknown terms, rules or backends

    """
    x = _array("position", position, 3)
    k, n = x.shape[:2]
    terms = parse_terms(post_newtonian)
    if not 2 <= n <= MOST_BODIES or x.shape[2] != 3:
        raise InputError(f"position is {x.shape}; expected (k, n, 3) with n = 2 to {MOST_BODIES}")
    m, v = _spread("mass", mass, (k, n)), _spread("velocity", velocity, (k, n, 3))
    s, size = _spread("spin", _zero_if_none(spin), (k, n, 3)), _spread("radius", _zero_if_none(radius), (k, n))
    _check(m, x, t_end, tolerance, max_steps)
    light = _light(speed_of_light, terms, merger_distance, stop)
    holes = _holes(black_hole, bool(terms) or merger_distance is not None, (k, n))
    rules = _rules(stop, tide, light)
    end = np.broadcast_to(np.asarray(t_end, float), (k,)).copy()
    out = _Output(s, track if k == 1 else 0)
    horizon = (merger_distance or 0.0) * 2.0 * gravitational_constant / light**2 * m * holes if light else 0.0 * m
    touching = np.where(holes, 0.0, size * ("collision" in stop))
    torn = bool(holes.any()) and bool(touching.any())  # stars by black holes
    if n == 3 and not terms and merger_distance is None and not rules[_CAPTURE] and not torn:
        resolve("ensemble_three", backend)(
            _block(k), gravitational_constant, m, x, v, size, end, tolerance, ROWS, max_steps, rules, *out.points()
        )
    elif terms and not terms & SPIN_TERMS and n in _RELATIVITY:
        resolve(_RELATIVITY[n], backend)(
            _block(k), gravitational_constant, light, terms, m, x, v, holes, horizon, touching, end, tolerance,
            ROWS, max_steps, rules, *out.points(),
        )  # fmt: skip
    elif backend == "cuda":
        raise InputError(
            f"backend 'cuda' has three Newtonian points without captures, mergers and disruptions, and two or three with "
            f"post-Newtonian terms but those of spins; these {n} bodies need backend = 'cpu'"
        )
    else:
        resolve("ensemble_post_newtonian" if terms else "ensemble_chain", backend)(
            gravitational_constant, light, terms, m, x, v, s, holes, horizon, touching, end, tolerance, max_steps, rules,
            *out.chain(),
        )  # fmt: skip
    return out.ensemble()


def _block(k: int) -> int:
    """Return how many systems one thread takes at a time: four turns for each thread, but enough to keep the lanes busy."""
    threads = thread_count()
    return k if threads == 1 else max(128, -(-k // (4 * threads)))


# ---- checks ---------------------------------------------------------------------------------------------------------

_RELATIVITY = {2: "ensemble_relativity_two", 3: "ensemble_relativity_three"}  # operations of lanes, by bodies
_CAPTURE = 3  # place of "capture" among the rules of the kernels


def _array(name: str, value: ArrayLike, dimensions: int) -> FloatArray:
    try:
        array = np.array(value, dtype=np.float64, order="C")
    except (TypeError, ValueError):
        raise InputError(
            f"{name} is no array of numbers; expected {dimensions} dimensions of one length each"
        ) from None
    if array.ndim != dimensions or not np.isfinite(array).all():
        problem = f"{array.ndim} dimensions" if array.ndim != dimensions else "values that are not finite"
        raise InputError(f"{name} has {problem}; expected finite numbers in {dimensions} dimensions")
    return array


def _spread(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    try:
        array = np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), shape), order="C")
    except (TypeError, ValueError):
        raise InputError(f"{name} is {np.shape(value)}; expected {shape}") from None
    if not np.isfinite(array).all():
        raise InputError(f"{name} has values that are not finite")
    return array


def _zero_if_none(value: ArrayLike | None) -> ArrayLike:
    return 0.0 if value is None else value


def _check(mass: FloatArray, position: FloatArray, t_end: ArrayLike, tolerance: float, max_steps: int) -> None:
    k, n = mass.shape
    if not (mass > 0.0).all():
        raise InputError(f"mass of system {int(np.argwhere(mass <= 0.0)[0, 0])} is not positive")
    end = np.asarray(t_end, dtype=np.float64)
    if end.shape not in ((), (k,)) or not (np.isfinite(end) & (end > 0.0)).all():
        raise InputError(
            f"t_end must be positive and finite, one number or {k}; turn velocities round to go back in time"
        )
    if not 1e-15 <= tolerance <= 1e-3:
        raise InputError(f"tolerance {tolerance:g} is out of range; expected 1e-15 to 1e-3, such as 1e-12")
    if max_steps < 1:
        raise InputError(f"max_steps is {max_steps}; expected at least 1")
    for i in range(n):
        for j in range(i):
            same = (position[:, i] == position[:, j]).all(axis=1)
            if same.any():
                raise InputError(f"bodies {j} and {i} of system {int(np.argmax(same))} are in one place")


def _light(speed_of_light: float | None, terms: int, merger_distance: float | None, stop: Sequence[str]) -> float:
    needing = [
        ("post-Newtonian terms", bool(terms)),
        ("merger_distance", merger_distance is not None),
        ("the rule 'capture'", "capture" in stop),
    ]
    wanting = [name for name, wanted in needing if wanted]
    if wanting and speed_of_light is None:
        raise InputError(f"{wanting[0]} cannot do without a speed of light; give speed_of_light")
    if speed_of_light is not None and not speed_of_light > 0.0:
        raise InputError(f"speed_of_light is {speed_of_light}; expected a positive number")
    return speed_of_light or 0.0


def _holes(black_hole: ArrayLike | None, default: bool, shape: tuple[int, int]) -> IntArray:
    return _spread("black_hole", default if black_hole is None else black_hole, shape).astype(np.int64)


def _rules(stop: Sequence[str], tide: float, light: float) -> FloatArray:
    """Return the rules as the kernels take them: escape, tide, criterion, capture, collision, light."""
    if isinstance(stop, str):
        raise InputError(f"stop is {stop!r}; expected a list of rules: {', '.join(RULES)}")
    for name in stop:
        if name not in RULES:
            raise InputError(f"unknown stopping rule {name!r}; expected of {', '.join(RULES)}")
    criteria = [name for name in stop if name in CRITERIA]
    if len(criteria) > 1:
        raise InputError(f"two stability criteria, {criteria[0]!r} and {criteria[1]!r}; give one")
    if not tide > 0.0:
        raise InputError(f"tide is {tide}; expected a positive number, such as 1e-4")
    criterion = 1 + CRITERIA.index(criteria[0]) if criteria else 0
    return np.array(
        ["escape" in stop, tide, criterion, "capture" in stop, "collision" in stop, light], dtype=np.float64
    )


class _Output:
    """The arrays that kernels fill."""

    def __init__(self, spin: FloatArray, track: int) -> None:
        k, n = spin.shape[:2]
        self.position, self.velocity, self.spin = np.empty((k, n, 3)), np.empty((k, n, 3)), spin.copy()
        self.results, self.counts = np.zeros((k, 4)), np.zeros((k, 6), np.int64)
        self.orbits, self.members = np.full((k, n - 1, 4), np.nan), np.zeros((k, n - 1, 2), np.int64)
        self.labels = np.zeros((k, n), np.int64)
        self.track, self.steps = np.empty((track, 1 + 6 * n)), np.zeros(1 if track else 0, np.int64)

    def points(self) -> tuple[NDArray, ...]:
        return (
            self.position, self.velocity, self.results, self.counts, self.orbits, self.members, self.labels, self.track,
            self.steps,
        )  # fmt: skip

    def chain(self) -> tuple[NDArray, ...]:
        return (self.position, self.velocity, self.spin, *self.points()[2:])

    def ensemble(self) -> Ensemble:
        reason, steps, rejected, minima, pair, parted = self.counts.T.copy()
        time, energy_error, closest, hardest = self.results.T.copy()
        n = self.labels.shape[1]
        beyond = np.arange(n - 1)[None, :] >= n - np.count_nonzero(self.labels, axis=1)[:, None]
        orbits, members = np.where(beyond[..., None], np.nan, self.orbits), np.where(beyond[..., None], 0, self.members)
        return Ensemble(
            self.position, self.velocity, self.spin, time, reason, energy_error, closest, _two_bodies(pair, n), hardest, steps,
            rejected, minima, parted, _owners(self.labels), orbits, members, self._track(),
        )  # fmt: skip

    def _track(self) -> Track | None:
        if not self.steps.size:
            return None
        rows = self.track[: int(self.steps[0])]
        n = self.labels.shape[1]
        states = rows[:, 1:].reshape(len(rows), 2, n, 3)
        return Track(rows[:, 0].copy(), states[:, 0].copy(), states[:, 1].copy())


def _two_bodies(pair: IntArray, n: int) -> IntArray:
    bits = (pair[:, None] >> np.arange(n)) & 1
    return np.stack([bits.argmax(axis=1), n - 1 - bits[:, ::-1].argmax(axis=1)], axis=1)


def _owners(labels: IntArray) -> IntArray:
    """Return for each body the first body of the top it belongs to, from the bits of the tops (k, n)."""
    n = labels.shape[1]
    inside = (labels[:, :, None] >> np.arange(n)) & 1  # [system, top, body]
    first = inside.argmax(axis=2)
    return np.take_along_axis(first, inside.argmax(axis=1), axis=1)
