"""One step of a model against the truth: errors by element beside trivial baselines, and the reversibility defect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...particles import InputError
from ..model_units import KINETIC
from .frames import FloatArray, Frames, unwrap

#: (species (n,), mass (n,), position, velocity (n, 3), cell or None, periodic, stride fs) -> (displacement, velocity)
StepFunction = Callable[..., tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, slots=True)
class StepPairs:
    """States a stride apart, cut from exact trajectories.

    Attributes
    ----------
    species, mass : (n,)
    stride : fs
    position, velocity : (p, n, 3) at the start, Angstrom, Angstrom/fs
    displacement, new_velocity : (p, n, 3), the truth
    cell : (p, 3, 3) or None
    periodic : (3,) bool
    forces, new_forces : (p, n, 3) eV/Angstrom at the start and at the end, or None

    """

    species: NDArray[np.int64]
    mass: FloatArray
    stride: float
    position: FloatArray
    velocity: FloatArray
    displacement: FloatArray
    new_velocity: FloatArray
    cell: FloatArray | None
    periodic: NDArray[np.bool_]
    forces: FloatArray | None = None
    new_forces: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.position)

    def thinned(self, most: int) -> StepPairs:
        """Return at most ``most`` of the pairs, evenly spaced."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        names = ("position", "velocity", "displacement", "new_velocity", "cell", "forces", "new_forces")
        return replace(self, **{n: None if (x := getattr(self, n)) is None else x[rows] for n in names})  # type: ignore[arg-type]


def step_pairs(runs: Sequence[Frames], stride: float, *, most: int = 200) -> StepPairs:
    """Return at most ``most`` pairs of states ``stride`` fs apart, evenly spread over the runs.

    Parameters
    ----------
    runs : NVE trajectories with velocities, of the same atoms
    stride : fs, a multiple of the interval of the frames
    most : pairs

    Raises
    ------
    InputError : a stride that is no multiple of the interval, no velocities, runs shorter than the stride

    """
    first = runs[0]
    apart = round(stride / first.interval)
    if apart < 1 or abs(apart * first.interval - stride) > 1e-4 * stride:
        raise InputError(f"the stride {stride:g} fs is not a multiple of the {first.interval:g} fs between frames")
    places = [(r, k) for r, run in enumerate(runs) for k in range(len(run) - apart)]
    if not places:
        raise InputError(f"no run is longer than the stride of {stride:g} fs; make the reference segments longer")
    chosen = [places[m] for m in np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))]
    if first.velocity is None:
        raise InputError("the reference has no velocities; one-step errors need them")
    whole = [unwrap(run) for run in runs]

    def pick(values: Sequence[ArrayLike | None], shift: int = 0) -> FloatArray:
        return np.stack([np.asarray(values[r])[k + shift] for r, k in chosen])

    forces = [r.forces for r in runs]
    known = all(f is not None for f in forces)
    velocity, position = [r.velocity for r in runs], [w.position for w in whole]
    return StepPairs(
        species=first.species,
        mass=first.mass,
        stride=float(stride),
        position=pick(position),
        velocity=pick(velocity),
        displacement=pick(position, apart) - pick(position),
        new_velocity=pick(velocity, apart),
        cell=None if first.cell is None else pick([r.cell for r in runs]),
        periodic=first.periodic,
        forces=pick(forces) if known else None,
        new_forces=pick(forces, apart) if known else None,
    )


def predict(step: StepFunction, pairs: StepPairs) -> tuple[FloatArray, FloatArray]:
    """Return the displacements and new velocities (p, n, 3) that a model predicts for all starts."""
    return _apply(step, pairs, pairs.position, pairs.velocity)


def _apply(
    step: StepFunction, pairs: StepPairs, position: FloatArray, velocity: FloatArray
) -> tuple[FloatArray, FloatArray]:
    found = [
        step(
            pairs.species,
            pairs.mass,
            position[k],
            velocity[k],
            None if pairs.cell is None else pairs.cell[k],
            pairs.periodic,
            pairs.stride,
        )
        for k in range(len(pairs))
    ]
    return np.stack([x for x, _ in found]), np.stack([v for _, v in found])


# ---------------------------------------------------------------------- baselines


def zero(pairs: StepPairs) -> tuple[FloatArray, FloatArray]:
    """Return nothing at all: displacement and velocity zero, the error of which is 100 %."""
    return np.zeros_like(pairs.displacement), np.zeros_like(pairs.new_velocity)


def ballistic(pairs: StepPairs) -> tuple[FloatArray, FloatArray]:
    """Return free flight: h v and v."""
    return pairs.stride * pairs.velocity, pairs.velocity


def velocity_verlet(pairs: StepPairs) -> tuple[FloatArray, FloatArray] | None:
    """Return one velocity-Verlet step of the whole stride, h v + h^2 F/(2 m) and v + h (F + F')/(2 m), or None without forces.

    F' is the force at the true end instead of at the end of this step, which can only help the baseline.
    """
    if pairs.forces is None or pairs.new_forces is None:
        return None
    h, weight = pairs.stride, pairs.mass[:, None] * KINETIC
    displacement = h * pairs.velocity + 0.5 * h**2 * pairs.forces / weight
    return displacement, pairs.velocity + 0.5 * h * (pairs.forces + pairs.new_forces) / weight


#: name -> baseline, in the order of tables
BASELINES: dict[str, Callable[[StepPairs], tuple[FloatArray, FloatArray] | None]] = {
    "zero": zero,
    "ballistic": ballistic,
    "velocity Verlet": velocity_verlet,
}
#: those that need no force: what a model must beat
FORCE_FREE = ("zero", "ballistic")


# ---------------------------------------------------------------------- errors


@dataclass(frozen=True, slots=True)
class StepError:
    """Error of one step, of all atoms (element None) or of one element.

    Attributes
    ----------
    element : atomic number, or None
    displacement, displacement_error : mean absolute error of a component and its standard error over pairs, 1e-5 Angstrom
    velocity, velocity_error : the same, 1e-5 Angstrom/fs
    displacement_relative, velocity_relative : divided by the mean absolute true displacement and velocity

    """

    element: int | None
    displacement: float
    displacement_error: float
    displacement_relative: float
    velocity: float
    velocity_error: float
    velocity_relative: float


def step_errors(predicted: tuple[FloatArray, FloatArray], pairs: StepPairs) -> list[StepError]:
    """Return the errors of all atoms, then of each element.

    MAE = mean |y_predicted - y_true| over pairs, atoms and components; relative = MAE / mean |y_true|
    """
    groups: list[tuple[int | None, NDArray[np.bool_]]] = [(None, np.ones(len(pairs.species), bool))]
    groups += [(int(z), pairs.species == z) for z in np.unique(pairs.species)]
    return [
        StepError(z, *_mae(predicted[0], pairs.displacement, which), *_mae(predicted[1], pairs.new_velocity, which))
        for z, which in groups
    ]


def _mae(predicted: FloatArray, truth: FloatArray, which: NDArray[np.bool_]) -> tuple[float, float, float]:
    each = np.abs(predicted[:, which] - truth[:, which]).mean(axis=(1, 2))
    size = max(float(np.abs(truth[:, which]).mean()), 1e-300)
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    return 1e5 * float(each.mean()), 1e5 * error, float(each.mean()) / size


def baseline_errors(pairs: StepPairs) -> dict[str, list[StepError]]:
    """Return baseline -> errors as ``step_errors`` gives them; velocity Verlet only where forces are known."""
    found = {name: method(pairs) for name, method in BASELINES.items()}
    return {name: step_errors(value, pairs) for name, value in found.items() if value is not None}


def reversibility_defect(step: StepFunction, pairs: StepPairs) -> tuple[float, float]:
    r"""Return how far a step, flipped velocities and a step miss the start, of positions and velocities, relative.

    (x', v') = f(x, v), (x'', v'') = f(x', -v'):  rms|x'' - x| / rms|x' - x|,  rms|v'' + v| / rms|v|

    Exact and time-reversible maps give 0. It is the necessary condition of detailed balance.
    """
    forth, new = predict(step, pairs)
    back, last = _apply(step, pairs, pairs.position + forth, -new)
    position = _rms(forth + back) / max(_rms(forth), 1e-300)
    return position, _rms(last + pairs.velocity) / max(_rms(pairs.velocity), 1e-300)


def _rms(x: FloatArray) -> float:
    return float(np.sqrt(np.mean(x**2)))
