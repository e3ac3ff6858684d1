"""Training data from an ASE calculator: NVE segments that start from samples of canonical ensembles.

For each temperature one chain of Langevin dynamics runs on; every ``decorrelation`` fs its momentum (and the angular momentum
of an open system) is removed, and from that state a segment of velocity Verlet starts. The chain goes on from the same state,
so the last segment is all that a resumed run needs. Noise is a function of seed, segment and step: a resumed run gives the
same file, provided that the calculator has no memory (give a function that makes it).

With a ``thermostat`` the segments are runs at constant temperature instead, which trained models are judged against.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from ..particles import InputError
from ..particles.io_segments import Segment, SegmentFile, SegmentWriter
from ..particles.noise import Purpose, normal
from .ase_dynamics import Dynamics
from .ase_trajectory_data import segments_from_trajectory
from .model_units import BOLTZMANN, KINETIC
from .segment_measures import FloatArray, energy_drift, kinetic_temperature

__all__ = ["DataRecipe", "Progress", "held_out", "make_segments", "segments_from_trajectory"]

#: A calculator, or what makes a fresh one
Calculator = BaseCalculator | Callable[[], BaseCalculator]
#: Steps of noise that belong to one segment: first those of the Langevin dynamics, and from the half on those of the bath
_STEPS_PER_SEGMENT = 2**26
#: What a resumed run may change
_FREE = ("segments", "drift_bound")


@dataclass(frozen=True, slots=True)
class DataRecipe:
    """How segments are made.

    Attributes
    ----------
    step : fs, of the reference's dynamics;  interval : fs between frames, a multiple of it
    frames : of each segment;  segments : number of them
    temperatures : K;  shares : what part of the segments each gets (equal when empty)
    decorrelation : fs of Langevin dynamics between two starts;  equilibration : fs before the first of each temperature
    friction : 1/fs, of the Langevin dynamics
    drift_bound : meV per atom, how far the energy of a segment (less the thermostat's work) may stray from its first frame's
    seed : of all noise
    thermostat : fs, time constant of the ``bath``, which then acts between frames; None for NVE, which training needs
    bath : "csvr" (Bussi) disturbs motion least, but fills stiff bonds of a small molecule no faster than it does itself, which
        takes longer than 12 ps in paracetamol; "langevin" draws every motion from the ensemble

    Raises
    ------
    InputError : numbers out of range, spans that are no multiples of the step

    """

    step: float
    interval: float
    frames: int
    segments: int
    temperatures: tuple[float, ...]
    shares: tuple[float, ...] = ()
    decorrelation: float = 100.0
    equilibration: float = 1000.0
    friction: float = 0.02
    drift_bound: float = 5.0
    seed: int = 1
    thermostat: float | None = None
    bath: Literal["csvr", "langevin"] = "csvr"

    def __post_init__(self) -> None:
        for name in ("step", "interval", "decorrelation", "friction", "drift_bound", "thermostat"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < np.inf:
                raise InputError(f"{name} = {value}; expected a positive number")
        if not 0.0 <= self.equilibration < np.inf:
            raise InputError(f"equilibration = {self.equilibration}; expected 0 or more fs")
        if self.bath not in ("csvr", "langevin"):
            raise InputError(f"bath = {self.bath!r}; expected 'csvr' or 'langevin'")
        if self.frames < 2 or self.segments < 1:
            raise InputError(f"{self.segments} segments of {self.frames} frames; expected one or more of two or more")
        if not self.temperatures or not all(0.0 < t < np.inf for t in self.temperatures):
            raise InputError(f"temperatures {self.temperatures}; expected positive numbers of K")
        if self.shares and (len(self.shares) != len(self.temperatures) or not min(self.shares) > 0.0):
            raise InputError(f"shares {self.shares}; expected a positive one for each of {self.temperatures} K")
        for name in ("interval", "decorrelation", "equilibration"):
            self.steps(name)

    def steps(self, name: str) -> int:
        """Return how many steps one of the spans is; raises InputError unless it is a whole number of them."""
        span = getattr(self, name)
        count = round(span / self.step)
        if abs(count * self.step - span) > 1e-6 * self.step:
            raise InputError(f"{name} = {span:g} fs is no multiple of the step of {self.step:g} fs; take a multiple")
        return count

    def plan(self) -> list[int]:
        """Return for each segment the row of its temperature, mixed so that any beginning has about the right shares."""
        shares = np.array(self.shares or [1.0] * len(self.temperatures))
        given, plan = np.zeros(len(shares)), []
        for k in range(self.segments):
            row = int(np.argmax(shares / shares.sum() * (k + 1) - given))
            given[row] += 1
            plan.append(row)
        return plan

    def to_json(self) -> dict[str, Any]:
        """Return what a JSON text holds of it."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in {"kind": "ase", **asdict(self)}.items()}


def held_out(recipe: DataRecipe, segments: int = 30, temperature: float = 300.0) -> DataRecipe:
    """Return the recipe of a test set: one temperature, another seed."""
    return replace(recipe, segments=segments, temperatures=(temperature,), shares=(), seed=recipe.seed + 1_000_003)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been done so far.

    Attributes
    ----------
    done, total : segments
    temperature : K, mean kinetic temperature of the first frames of NVE segments, of all frames under a thermostat
    drift, worst_drift : meV per atom, mean and largest energy drift of the NVE segments; NaN under a thermostat
    seconds : spent by this call

    """

    done: int
    total: int
    temperature: float
    drift: float
    worst_drift: float
    seconds: float


@dataclass(slots=True)
class _Summary:
    """Running means over segments."""

    recipe: DataRecipe
    began: float
    temperature: list[float] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)

    def add(self, segment: Segment) -> None:
        temperature = kinetic_temperature(segment)
        nve = self.recipe.thermostat is None
        self.temperature.append(float(temperature[0] if nve else temperature.mean()))
        self.drift.append(energy_drift(segment) if nve else np.nan)

    def report(self) -> Progress:
        mean, drift, worst = (
            (float(np.mean(self.temperature)), float(np.mean(self.drift)), float(np.max(self.drift)))
            if self.drift
            else (0.0, 0.0, 0.0)
        )
        return Progress(len(self.drift), self.recipe.segments, mean, drift, worst, time.monotonic() - self.began)


def make_segments(
    recipe: DataRecipe,
    path: str | Path,
    *,
    calculator: Calculator,
    atoms: Atoms,
    reference: str = "",
    forces: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Progress:
    """Make segments and stream them to a file, which is valid and complete up to its last whole segment at any moment.

    Parameters
    ----------
    recipe : DataRecipe
    path : the file
    calculator : ASE calculator with energy and forces, or a function that makes one: then each segment starts with a fresh
        one, and a resumed run gives the same file bit for bit even when calculators have a memory
    atoms : ase.Atoms to start from; velocities are drawn
    reference : name of the calculator for the file; its class when not given
    forces : keep the forces
    resume : go on with the file where there is one; the recipe may ask for more segments than it did
    overwrite : replace an existing file
    progress : called after each segment;  stop : asked after each segment whether to stop

    Raises
    ------
    InputError : a file of another recipe or system, a calculator without energy and forces, a segment whose energy drifts by
        more than the bound, forces that are not finite

    """
    make = (lambda: calculator) if isinstance(calculator, BaseCalculator) else calculator
    plan = recipe.plan()
    summary = _Summary(recipe, time.monotonic())
    last: dict[int, Segment] = {}
    if resume and Path(path).exists():
        last = _check_resumable(recipe, path, atoms, plan, summary)
        writer = SegmentWriter.resume(path)
    else:
        writer = SegmentWriter.create(
            path,
            reference=reference or type(make()).__name__,
            step=recipe.step,
            interval=recipe.interval,
            seed=recipe.seed,
            recipe=recipe.to_json(),
            forces=forces,
            overwrite=overwrite,
        )
    with writer:
        for k in range(len(writer), recipe.segments):
            temperature = recipe.temperatures[plan[k]]
            dynamics = _start(recipe, atoms, make(), temperature, k, last.get(plan[k]))
            last[plan[k]] = _segment(recipe, dynamics, temperature, k, forces=forces)
            writer.append(last[plan[k]])
            summary.add(last[plan[k]])
            if progress is not None:
                progress(summary.report())
            if stop is not None and stop():
                break
    return summary.report()


def _start(
    recipe: DataRecipe, atoms: Atoms, calculator: BaseCalculator, temperature: float, k: int, before: Segment | None
) -> Dynamics:
    """Return a state drawn from the ensemble: on from the last segment of its temperature, or from the given atoms."""
    missing = sorted({"energy", "forces"} - set(calculator.implemented_properties))
    if missing:
        raise InputError(f"{type(calculator).__name__} gives no {missing[0]}; training data need energy and forces")
    steps = recipe.steps("decorrelation")
    start = atoms.copy()
    velocity: FloatArray
    if before is None:
        steps += recipe.steps("equilibration")
        spread = np.sqrt(BOLTZMANN * temperature / (KINETIC * start.get_masses()))[:, None]
        velocity = spread * normal(recipe.seed, Purpose.INITIAL_CONDITIONS, k, np.arange(len(start)), 3)
    else:
        frame = 0 if recipe.thermostat is None else -1  # the frame that was drawn from the ensemble
        start.positions, velocity = before.position[frame], before.velocity[frame]
    dynamics = Dynamics(start, velocity, calculator, recipe.step)
    dynamics.langevin(steps, temperature, recipe.friction, recipe.seed, k * _STEPS_PER_SEGMENT)
    dynamics.stop_drifting()
    return dynamics


def _segment(recipe: DataRecipe, dynamics: Dynamics, temperature: float, k: int, *, forces: bool) -> Segment:
    """Return a segment from here; raises InputError when its energy drifts."""
    frames: list[tuple[Any, ...]] = []
    for frame in range(recipe.frames):
        if frame:
            dynamics.verlet(recipe.steps("interval"))
        if frame and recipe.thermostat is not None:
            number = k * _STEPS_PER_SEGMENT + _STEPS_PER_SEGMENT // 2 + frame
            bathe = dynamics.csvr if recipe.bath == "csvr" else dynamics.friction
            bathe(recipe.interval, temperature, recipe.thermostat, recipe.seed, number)
        kept = dynamics.forces.copy() if forces else None
        frames.append((dynamics.atoms.positions.copy(), dynamics.velocity.copy(), kept, dynamics.energy, dynamics.work))
    position, velocity, force, energy, work = zip(*frames, strict=True)
    atoms = dynamics.atoms
    segment = Segment(
        species=atoms.numbers.astype(np.int32),
        mass=dynamics.mass,
        cell=atoms.cell.array.copy() if atoms.pbc.any() else None,
        periodic=atoms.pbc.copy(),
        temperature=temperature,
        interval=recipe.interval,
        position=np.array(position),
        velocity=np.array(velocity),
        forces=np.array(force) if forces else None,
        energy=np.array(energy),
    )
    drift = energy_drift(segment, np.array(work))
    if not drift <= recipe.drift_bound:
        raise InputError(
            f"the energy of segment {k} ({temperature:g} K) drifts by {drift:.3g} meV/atom, more than "
            f"{recipe.drift_bound:g}; take a smaller step than {recipe.step:g} fs"
        )
    return segment


def _check_resumable(
    recipe: DataRecipe, path: str | Path, atoms: Atoms, plan: list[int], summary: _Summary
) -> dict[int, Segment]:
    """Return the last segment of each temperature of a file that this recipe made."""
    last: dict[int, Segment] = {}
    with SegmentFile(path) as file:
        expected = recipe.to_json()
        made = {"bath": "csvr", **file.recipe}  # older files do not say it
        other = [name for name, v in expected.items() if name not in _FREE and made.get(name) != v]
        if other:
            raise InputError(
                f"{path} was made with {other[0]} = {made.get(other[0])}, not {expected[other[0]]}; "
                "give the same recipe, or another file"
            )
        for k, segment in enumerate(file):
            same = np.array_equal(segment.species, atoms.numbers) and np.array_equal(segment.mass, atoms.get_masses())
            if not same or not np.array_equal(segment.periodic, atoms.pbc):
                raise InputError(f"{path} holds another system than the one given; give another file")
            summary.add(segment)
            if k < len(plan):
                last[plan[k]] = segment
    return last
