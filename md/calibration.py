"""Calibration of estimators: the defects that a model has on data like its training data, and the range of these data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..equivariant.graph import neighbour_graph
from ..integrators import Outcome, Propagator
from ..particles import SERIAL, UNIT_SYSTEMS, Exchange, InputError, Particles
from ..particles.units import VELOCITY
from .estimator import Context, Estimator, FloatArray, Unscored, is_known, species_of
from .model_units import MODEL_UNITS
from .temperature import ALL, boltzmann, temperatures

#: Quantiles that a calibration keeps, and the one that is an estimator's scale.
LEVELS = (0.5, 0.9, 0.99, 0.999)
SCALE_LEVEL = 0.99
#: Smallest scale: defects of the size of float32's rounding are no defects.
SMALLEST_SCALE = 1e-6
#: Length within which the shortest pair is looked for, Angstrom in 'ase' units.
_PAIR_REACH = 3.0

Table = Mapping[str, Mapping[float, Mapping[int, tuple[float, ...]]]]


@dataclass(frozen=True, slots=True)
class Calibration:
    r"""Quantiles of defects per estimator, stride and species, and the range of the data. All in the units of the particles.

    Attributes
    ----------
    units : name of the unit system of the particles
    temperature : K, mean of the data; scales the mismatch of states
    states, atoms : number of states, and of atoms in all of them
    levels : (L,) of the quantiles
    quantiles : name -> stride -> species (0: all) -> (L,) defects
    shortest_pair : (Z, Z), ascending -> length
    largest_speed : Z -> speed
    largest_displacement : stride -> length, of the model's own strides

    """

    units: str
    temperature: float
    states: int
    atoms: int
    levels: tuple[float, ...]
    quantiles: Table
    shortest_pair: Mapping[tuple[int, int], float]
    largest_speed: Mapping[int, float]
    largest_displacement: Mapping[float, float]

    def scale(self, name: str, dt: float, particles: Particles) -> FloatArray | None:
        """Return the typical defect (n,), the quantile 0.99 of each atom's species; None where the table has no such row.

        Raises
        ------
        InputError : particles in other units than those of the calibration

        """
        if particles.units.name != self.units:
            raise InputError(f"the calibration is in {self.units!r} units, the particles in {particles.units.name!r}")
        rows = next((rows for h, rows in self.quantiles.get(name, {}).items() if is_known(dt, (h,))), None)
        if rows is None:
            return None
        place = self.levels.index(SCALE_LEVEL)
        out = np.full(particles.n, rows[ALL][place])
        for z, row in rows.items():
            if z != ALL:
                out[species_of(particles) == z] = row[place]
        return np.maximum(out, SMALLEST_SCALE)

    def limits(self, *, margin: float = 0.1) -> dict[str, Any]:
        """Return what ``TrainingRange`` takes: the range of the data, wider by ``margin`` on every side."""
        return {
            "shortest_pair": {pair: d * (1.0 - margin) for pair, d in self.shortest_pair.items()} or None,
            "largest_speed": {z: v * (1.0 + margin) for z, v in self.largest_speed.items()},
            "largest_displacement": max(self.largest_displacement.values()) * (1.0 + margin),
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types, for a model card."""
        return {
            "units": self.units,
            "temperature": self.temperature,
            "states": self.states,
            "atoms": self.atoms,
            "levels": list(self.levels),
            "quantiles": {
                name: {repr(h): {str(z): list(q) for z, q in rows.items()} for h, rows in strides.items()}
                for name, strides in self.quantiles.items()
            },
            "shortest_pair": {f"{a}-{b}": d for (a, b), d in self.shortest_pair.items()},
            "largest_speed": {str(z): v for z, v in self.largest_speed.items()},
            "largest_displacement": {repr(h): d for h, d in self.largest_displacement.items()},
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Calibration:
        """Return the calibration of what ``to_json`` gave; raises InputError for anything else."""
        try:
            return cls(
                units=str(tree["units"]),
                temperature=float(tree["temperature"]),
                states=int(tree["states"]),
                atoms=int(tree["atoms"]),
                levels=tuple(float(q) for q in tree["levels"]),
                quantiles={
                    name: {
                        float(h): {int(z): tuple(float(x) for x in q) for z, q in rows.items()}
                        for h, rows in strides.items()
                    }
                    for name, strides in tree["quantiles"].items()
                },
                shortest_pair={_pair(key): float(d) for key, d in tree["shortest_pair"].items()},
                largest_speed={int(z): float(v) for z, v in tree["largest_speed"].items()},
                largest_displacement={float(h): float(d) for h, d in tree["largest_displacement"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"this is not a calibration: {type(error).__name__} {error}; make one with calibrate()"
            ) from None


def _pair(key: str) -> tuple[int, int]:
    first, _, second = key.partition("-")
    return int(first), int(second)


def calibrate(
    stride: Propagator,
    states: Iterable[Particles],
    estimators: Sequence[Estimator],
    *,
    levels: Sequence[float] = LEVELS,
) -> Calibration:
    """Return the calibration of estimators from strides of every admissible length out of each state.

    Parameters
    ----------
    stride : LearnedStride
    states : held-out states of exact dynamics at the temperature of use, see ``segment_states``; all in the same units
    estimators : those to be used later; one that cannot tell anything of a stride gets no row for it
    levels : of the quantiles kept; 0.99 is always among them

    Raises
    ------
    InputError : no states, or a stride that fails from one of them

    """
    strides = stride.capabilities.strides
    if not strides:
        raise InputError(f"{type(stride).__name__} has no set of strides; calibration is for learned strides")
    for estimator in estimators:
        estimator.check(strides)
    table = _Collected(sorted({*map(float, levels), SCALE_LEVEL}))
    for state in states:
        table.look(state)
        for dt in strides:
            table.measure(stride, state, dt, estimators)
    return table.finish()


class _Collected:
    """What has been measured so far."""

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self.defects: dict[str, dict[float, list[FloatArray]]] = {}
        self.species: list[NDArray[np.integer]] = []
        self.temperatures: list[float] = []
        self.units = ""
        self.pairs: dict[tuple[int, int], float] = {}
        self.speeds: dict[int, float] = {}
        self.displacements: dict[float, float] = {}

    def look(self, state: Particles) -> None:
        """Take note of the range of a state."""
        if self.units not in ("", state.units.name):
            raise InputError(f"states in {self.units!r} and in {state.units.name!r} units cannot be mixed")
        self.units = state.units.name
        z = species_of(state)
        self.species.append(np.array(z))
        self.temperatures.append(kinetic_temperature(state))
        speed = np.linalg.norm(state.velocity, axis=1)
        for k in np.unique(z).tolist():
            self.speeds[k] = max(self.speeds.get(k, 0.0), float(speed[z == k].max()))
        periodic = np.zeros(3, bool) if state.periodic is None else state.periodic
        graph = neighbour_graph(state.position, state.cell if periodic.any() else None, periodic, _PAIR_REACH)
        length = np.linalg.norm(graph.vectors(state.position), axis=1)
        ends = np.sort(np.stack([z[graph.sender], z[graph.receiver]], axis=1), axis=1)
        for a, b in np.unique(ends, axis=0).tolist():
            shortest = float(length[(ends == (a, b)).all(axis=1)].min())
            self.pairs[a, b] = min(self.pairs.get((a, b), np.inf), shortest)

    def measure(self, stride: Propagator, state: Particles, dt: float, estimators: Sequence[Estimator]) -> None:
        """Do a stride and take note of all defects."""
        after, carry = state.clone(), stride.start(state)
        carry_before = copy.deepcopy(carry)
        step = stride.advance(after, carry, dt)
        if step.outcome is not Outcome.COMPLETED:
            raise InputError(f"a stride of {dt:g} fails from a state given for calibration: {step.outcome.value}")
        stride.synchronise(after, carry)
        moved = float(np.linalg.norm(after.position - state.position, axis=1).max())
        self.displacements[dt] = max(self.displacements.get(dt, 0.0), moved)
        heat = boltzmann(state.units) * self.temperatures[-1]
        context = Context(stride, carry_before, carry, dt, step, thermal_energy=heat)
        for estimator in estimators:
            try:
                found = estimator.defect(state, after, context)
            except Unscored:
                continue
            self.defects.setdefault(estimator.name, {}).setdefault(dt, []).append(found)

    def finish(self) -> Calibration:
        """Return the quantiles."""
        if not self.species:
            raise InputError("no states were given for calibration; give some dozens of held-out states")
        z = np.concatenate(self.species)
        quantiles = {
            name: {dt: self._quantiles(np.concatenate(found), z) for dt, found in strides.items() if _told(found)}
            for name, strides in self.defects.items()
        }
        return Calibration(
            units=self.units,
            temperature=float(np.mean(self.temperatures)),
            states=len(self.species),
            atoms=len(z),
            levels=self.levels,
            quantiles={name: strides for name, strides in quantiles.items() if strides},
            shortest_pair=dict(sorted(self.pairs.items())),
            largest_speed=self.speeds,
            largest_displacement=self.displacements,
        )

    def _quantiles(self, defect: FloatArray, z: NDArray[np.integer]) -> dict[int, tuple[float, ...]]:
        if len(defect) != len(z):
            return {ALL: tuple(float(q) for q in np.quantile(defect, self.levels))}
        kinds = [(ALL, np.ones(len(z), bool)), *((int(k), z == k) for k in np.unique(z) if k != ALL)]
        return {k: tuple(float(q) for q in np.quantile(defect[rows], self.levels)) for k, rows in kinds}


def _told(defects: Sequence[FloatArray]) -> bool:
    """Return whether an estimator saw anything at all: a blind one gives zeros, which are no scale."""
    return any(np.any(d > 0.0) for d in defects)


def kinetic_temperature(particles: Particles, exchange: Exchange = SERIAL) -> float:
    """Return the temperature of the motion relative to the centre of mass, K; raises InputError for a single atom."""
    found = temperatures(particles, "momentum", exchange)[ALL]
    if not np.isfinite(found):
        raise InputError("one atom has no temperature of its own, the scale of thermal motion; give a temperature")
    return found


class SegmentLike(Protocol):
    """A stretch of an NVE run: ``particles.io_segments.Segment``."""

    species: Any
    mass: Any
    cell: Any
    periodic: Any
    position: Any
    velocity: Any


def segment_states(segments: Iterable[SegmentLike], *, per_segment: int = 5) -> Iterator[Particles]:
    """Yield states in 'ase' units from NVE segments (Angstrom, Angstrom/fs), evenly spread over each.

    Parameters
    ----------
    segments : such as an open ``SegmentFile``; use those that were held out of training
    per_segment : most states of one segment

    """
    ase = UNIT_SYSTEMS["ase"]
    speed = MODEL_UNITS.conversion(ase, VELOCITY)
    for segment in segments:
        frames = len(segment.position)
        for k in np.unique(np.linspace(0, frames - 1, min(per_segment, frames)).astype(int)):
            yield Particles(
                segment.mass,
                np.array(segment.position[k]),
                speed * np.asarray(segment.velocity[k]),
                units=ase,
                species=segment.species,
                cell=segment.cell,
                periodic=segment.periodic,
            )
