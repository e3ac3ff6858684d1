"""Error control outside the training data: copper-32fs at 900 K, under compression and with a vacancy, with and without it.

    python benchmarks/error_control.py [--strides 300] [--data HELD_OUT.h5] [--training TRAINING.h5] [--record]

The model learned fcc copper (EMT) at 300, 450 and 600 K at one volume. For every case there is a run with forces alone
(velocity Verlet, 2 fs), one of bare strides and one under error control, all with the same start and the same noise of a
Langevin thermostat, so that their differences are those of the dynamics and not of the sampling. Without ``--data`` a small
held-out set is made first. ``--training`` gives the limits of ``TrainingRange``; without it, the held-out set does.
Accuracy: distance of the pair distribution from that of the forces in units of its peak, difference of the mean potential
energy, error of one stride from states of the run with forces. The curve over the tolerance is that of single strides from
these states. Speed: ns/day by processor time and by wall time. ``--record`` writes ``results/error_control.json`` and draws
``docs/images/error_control.png``; ``--draw`` draws the record.
"""

import argparse
import copy
import json
import math
import os
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import fs
from askel.integrators import Capabilities, Propagator, Step
from askel.integrators.composition import leapfrog
from askel.integrators.report import combine_statistics
from askel.md import AseInteraction
from askel.md.ase_data import make_segments
from askel.md.ase_references import REFERENCES
from askel.md.calibration import calibrate, kinetic_temperature, segment_states
from askel.md.control_report import figures
from askel.md.error_control import ErrorControlled
from askel.md.estimators import EnergyDefect, ReversibilityDefect, TrainingRange
from askel.md.fallback import Fallback
from askel.md.judging.frames import Frames, make_frames
from askel.md.judging.structure import default_reach, difference_of_peak, own_difference_of_peak, pair_distributions
from askel.md.langevin import Langevin
from askel.md.model_library import stride_of
from askel.md.temperature import boltzmann
from askel.md.thermostats import Thermostatted
from askel.particles import AskelError, Particles
from askel.particles.io_segments import SegmentFile
from machine import machine, versions

HERE = Path(__file__).parent
RECORD, PICTURE = HERE / "results" / "error_control.json", HERE.parent / "docs" / "images" / "error_control.png"
MODEL, REFERENCE = "copper-32fs", REFERENCES["copper-emt"]
FORCE_STEP, PER_STRIDE = 2.0 * fs, 16
RADIUS = 4.0  # Angstrom, of a repaired region: two shells of fcc copper
TOLERANCE, TIGHT, TOLERANCES = 3.0, 2.0, (math.inf, 10.0, 5.0, 3.0, 2.0, 1.0)
BLOCKS, DISCARDED = 4, 0.25
#: name -> (K, change of the volume, atoms taken out)
CASES = {
    "300 K": (300.0, 0.0, 0),
    "900 K": (900.0, 0.0, 0),
    "-5 % volume": (300.0, -0.05, 0),
    "vacancy": (300.0, 0.0, 1),
}
CURVE = "-5 % volume"
STYLE = {"font.size": 9, "legend.frameon": False, "axes.titleweight": "bold", "axes.titlelocation": "left"}
DASHED = {"color": "#444444", "linewidth": 1.0, "linestyle": (0, (3, 1.5))}
#: states before and after exact strides
Targets = list[tuple[Particles, Particles]]


class ForceSteps:
    """The reference: as many velocity-Verlet steps as fill a stride."""

    def __init__(self, atoms: Atoms, stride: float) -> None:
        self.inner = leapfrog(AseInteraction(REFERENCE.calculator(), atoms))
        self.capabilities = Capabilities(order=2, strides=(stride,))
        self.seen: Targets = []

    def start(self, particles: Particles) -> Any:
        """Return the memory of the steps."""
        return self.inner.start(particles)

    def advance(self, particles: Particles, carry: Any, dt: float) -> Step:
        """Do a stride in steps, and keep its two ends."""
        before = particles.clone()
        for _ in range(PER_STRIDE):
            self.inner.advance(particles, carry, dt / PER_STRIDE)
        self.seen.append((before, particles.clone()))
        return Step(elapsed=dt)

    def synchronise(self, particles: Particles, carry: Any) -> None:
        """Do nothing: every stride ends synchronised."""


@dataclass
class Run:
    """What a run left: its frames, how it ended, seconds and counts."""

    frames: Frames
    outcome: str
    wall: float
    cpu: float
    done: int
    temperature: float
    statistics: dict[str, float]

    def speed(self, stride: float) -> dict[str, float]:
        """Return ns/day by processor time and by wall time."""
        ns = self.done * stride / fs * 1e-6
        return {"ns_per_day_cpu": ns / self.cpu * 86400.0, "ns_per_day_wall": ns / self.wall * 86400.0}


def drive(
    start: Particles, inner: Propagator, kelvin: float, stride: float, strides: int, friction: float = 10.0
) -> Run:
    """Run at constant temperature; a failure ends it and is told."""
    particles = start.clone()
    propagator = Thermostatted(inner, Langevin(kelvin, friction * stride, seed=5))
    carry = propagator.start(particles)
    positions, temperature, statistics, outcome = [], [], {}, "completed"
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(strides):
        try:
            step = propagator.advance(particles, carry, stride)
        except AskelError as error:
            outcome = str(error)
            break
        if step.outcome.failed or not np.isfinite(particles.position).all():
            outcome = step.outcome.value
            break
        combine_statistics(statistics, step.statistics)
        positions.append(particles.position.copy())
        temperature.append(kinetic_temperature(particles))
    wall, cpu, done = time.perf_counter() - wall, time.process_time() - cpu, len(positions)
    kept = slice(int(DISCARDED * done), None)
    position = np.array(positions or [particles.position])[kept]
    frames = make_frames(position, particles.species, stride / fs, cell=particles.cell, periodic=True)
    start.copy_from(particles)
    return Run(frames, outcome, wall, cpu, done, float(np.mean(temperature[kept] or [math.nan])), statistics)


def pairs(frames: Frames) -> Any:
    """Return the pair distribution, from blocks."""
    edges = np.linspace(0, len(frames), BLOCKS + 1).astype(int)
    pieces = [frames.part(slice(a, b)) for a, b in pairwise(edges) if b > a]
    return pair_distributions(pieces, default_reach(frames))[29, 29]


def mean_potential(frames: Frames, atoms: Atoms) -> float:
    """Return the mean energy of every fourth frame by the reference, eV per atom."""
    image, energies = atoms.copy(), []
    image.calc = REFERENCE.calculator()
    for position in frames.position[::4]:
        image.positions = position
        energies.append(image.get_potential_energy() / len(image))
    return float(np.mean(energies))


class Case:
    """A state outside (or, for control, inside) the training data, the run with forces and what others are held against."""

    def __init__(self, name: str, stride: float, strides: int) -> None:
        self.name, self.stride, self.strides = name, stride, strides
        self.kelvin, change, removed = CASES[name]
        self.atoms = REFERENCE.atoms()
        self.atoms.set_cell(self.atoms.cell * (1.0 + change) ** (1.0 / 3.0), scale_atoms=True)
        del self.atoms[:removed]
        self.forces = ForceSteps(self.atoms, stride)
        self.start = self._equilibrated()
        self.reference = drive(self.start.clone(), self.forces, self.kelvin, stride, strides)
        self.pairs = pairs(self.reference.frames)
        self.potential = mean_potential(self.reference.frames, self.atoms)

    def _equilibrated(self) -> Particles:
        rng, particles = np.random.default_rng(11), Particles.from_ase(self.atoms).clone()
        spread = np.sqrt(2.0 * boltzmann(particles.units) * self.kelvin / particles.mass)[:, None]
        particles.velocity[...] = spread * rng.normal(size=(particles.n, 3))
        particles.velocity -= particles.velocity.mean(axis=0)
        drive(particles, self.forces, self.kelvin, self.stride, 8, friction=4.0)
        return particles

    def targets(self, count: int) -> Targets:
        """Return evenly spread strides of the run with forces, both ends of each."""
        strides = self.forces.seen[-self.reference.done :]
        return [strides[k] for k in np.unique(np.linspace(0, len(strides) - 1, count).astype(int))]

    def measure(self, inner: Propagator, targets: Targets) -> dict[str, Any]:
        """Return the row of one way to run this case."""
        run = drive(self.start.clone(), inner, self.kelvin, self.stride, self.strides)
        return {
            "outcome": run.outcome,
            "strides": run.done,
            "atoms": run.frames.n,
            "temperature": run.temperature,
            "pair_distribution_error": difference_of_peak(pairs(run.frames), self.pairs),
            "potential_error_mev_per_atom": 1000.0 * (mean_potential(run.frames, self.atoms) - self.potential),
            **one_step(inner, targets, self.stride),
            **run.speed(self.stride),
            "speed_up_cpu": self.reference.cpu / self.reference.done * run.done / run.cpu,
            "control": controlled(run.statistics),
        }

    def row(self) -> dict[str, Any]:
        """Return the row of the run with forces."""
        return {
            "outcome": self.reference.outcome,
            "atoms": self.reference.frames.n,
            "strides": self.reference.done,
            "temperature": self.reference.temperature,
            "pair_distribution_scatter": own_difference_of_peak(self.pairs),
            "potential_ev_per_atom": self.potential,
            **self.reference.speed(self.stride),
        }


def controlled(statistics: dict[str, float]) -> dict[str, float] | None:
    """Return acceptance and the like, with the worst score of every estimator; None for a run without control."""
    worst = {k: v for k, v in statistics.items() if k.startswith("max_score_")}
    return figures(statistics) | worst if statistics.get("strides_tried") else None


def one_step(inner: Propagator, targets: Targets, stride: float, *, alone: bool = False) -> dict[str, Any]:
    """Return the mean error of a stride in percent of the mean displacement and change of velocity; ``alone``: its cost too."""
    missed, moved, seconds, statistics = np.zeros(2), np.zeros(2), 0.0, {}
    for before, exact in targets:
        after = before.clone()
        carry, cpu = inner.start(after), time.process_time()
        combine_statistics(statistics, inner.advance(after, carry, stride).statistics)
        seconds += time.process_time() - cpu
        for k, name in enumerate(("position", "velocity")):
            ours, first, last = (getattr(p, name) for p in (after, before, exact))
            missed[k] += np.linalg.norm(ours - last, axis=1).mean()
            moved[k] += np.linalg.norm(last - first, axis=1).mean()
    displacement, velocity = 100.0 * missed / moved
    found = {"one_step_displacement_percent": float(displacement), "one_step_velocity_percent": float(velocity)}
    speed = len(targets) * stride / fs * 1e-6 / seconds * 86400.0
    return found | ({"ns_per_day_cpu": speed, "control": controlled(statistics)} if alone else {})


def held_out_set(path: Path) -> Path:
    """Make a small held-out set: the temperatures of the training data, another seed."""
    recipe = replace(REFERENCE.recipe, segments=24, frames=3, decorrelation=128.0, equilibration=1000.0, seed=2_000_003)
    make_segments(recipe, path, calculator=REFERENCE.calculator, atoms=REFERENCE.atoms())
    return path


class Control:
    """Makes controllers of one calibration."""

    def __init__(self, stride: Any, data: Path, training: Path | None, states: int) -> None:
        self.stride = stride
        energy = EnergyDefect(AseInteraction(REFERENCE.calculator(), REFERENCE.atoms()))
        self.calibration = calibrate(stride, _states(data, states), [ReversibilityDefect(), energy])
        range_of = self.calibration if training is None else calibrate(stride, _states(training, 2 * states), [])
        self.limits = range_of.limits()

    def around(self, atoms: Atoms, tolerance: float) -> ErrorControlled:
        """Return the stride under error control for these atoms."""
        forces = AseInteraction(REFERENCE.calculator(), atoms)
        return ErrorControlled(
            self.stride,
            estimators=[TrainingRange(**self.limits), ReversibilityDefect(), EnergyDefect(copy.deepcopy(forces))],
            fallback=Fallback(forces, FORCE_STEP, radius=RADIUS),
            tolerance=tolerance,
            calibration=self.calibration,
        )


def _states(path: Path, most: int) -> list[Particles]:
    with SegmentFile(path) as file:
        return list(segment_states(list(file)[:most], per_segment=1))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the record; every finished row is printed."""
    began, stride = time.perf_counter(), stride_of(MODEL)
    length = stride.capabilities.strides[0]
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or held_out_set(Path(folder) / "held_out.h5")
        control = Control(stride, data, arguments.training, arguments.states)
    print(f"calibrated after {time.perf_counter() - began:.0f} s", flush=True)
    record: dict[str, Any] = {
        "machine": machine(),
        "versions": versions("askel", "numpy", "numba", "ase"),
        "load_before": os.getloadavg(),
        "model": MODEL,
        "stride_fs": length / fs,
        "strides": arguments.strides,
        "one_step_states": arguments.one_step,
        "thermostat": {"kind": "langevin", "time_constant_strides": 10.0},
        "fallback": {"calculator": "EMT", "step_fs": 2.0, "radius": RADIUS, "buffer": "all atoms"},
        "calibration_quantile_99": {
            name: table[length][0][control.calibration.levels.index(0.99)]
            for name, table in control.calibration.quantiles.items()
        },
        "calibration_temperature": control.calibration.temperature,
        "range": {k: v if isinstance(v, float) else next(iter(v.values())) for k, v in control.limits.items()},
        "cases": {},
    }
    for name in CASES:
        case = Case(name, length, arguments.strides)
        targets = case.targets(arguments.one_step)
        rows = record["cases"][name] = {"forces": case.row()}
        show(name, "forces", rows["forces"], began)
        rows["bare"] = case.measure(stride, targets)
        show(name, "bare", rows["bare"], began)
        rows["controlled"] = case.measure(control.around(case.atoms, TOLERANCE), targets)
        show(name, "controlled", rows["controlled"], began)
        if name == CURVE:
            record["curve"] = {"case": name, "bare": one_step(stride, targets, length, alone=True), "rows": []}
            for tolerance in TOLERANCES:
                found = one_step(control.around(case.atoms, tolerance), targets, length, alone=True)
                record["curve"]["rows"].append({"tolerance": str(tolerance), **found})
                show(name, f"tolerance {tolerance:g}", found, began)
            rows["tight"] = case.measure(control.around(case.atoms, TIGHT), targets)
            show(name, f"controlled, tolerance {TIGHT:g}", rows["tight"], began)
    inside = record["cases"]["300 K"]["bare"]["pair_distribution_error"]
    record["limit_pair_distribution_error"] = 2.0 * inside
    for rows in record["cases"].values():
        for row in (row for kind, row in rows.items() if kind != "forces"):
            row["within_twice_inside"] = bool(row["pair_distribution_error"] <= 2.0 * inside)
    return record | {"load_after": os.getloadavg(), "seconds": time.perf_counter() - began}


def show(case: str, kind: str, row: dict[str, Any], began: float) -> None:
    """Print a row."""
    numbers = {k: v for k, v in (row | (row.get("control") or {})).items() if isinstance(v, float)}
    text = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    print(f"{time.perf_counter() - began:4.0f} s {case}, {kind}: {row.get('outcome', '')} {text}", flush=True)


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw error against cost, and the errors of every case."""
    import matplotlib
    from askel.md.judging.plot import COLOURS
    from matplotlib.figure import Figure

    with matplotlib.rc_context({f"axes.spines.{side}": False for side in ("top", "right")} | STYLE):
        picture = Figure(figsize=(10.5, 3.9), layout="constrained")
        grid = picture.add_gridspec(2, 2)
        _curve(picture.add_subplot(grid[:, 0]), record, COLOURS)
        _bars(picture.add_subplot(grid[0, 1]), record, "pair_distribution_error", 100.0, COLOURS)
        _bars(picture.add_subplot(grid[1, 1]), record, "one_step_velocity_percent", 1.0, COLOURS)
        picture.savefig(path, dpi=130)


def _curve(axes: Any, record: dict[str, Any], colours: tuple[str, ...]) -> None:
    """Draw the error of one stride against the cost of a picosecond, with the tolerance at every point."""
    rows = record["curve"]["rows"]
    case, alone = record["cases"][record["curve"]["case"]], record["curve"]["bare"]
    cost, error = [86.4 / r["ns_per_day_cpu"] for r in rows], [r["one_step_velocity_percent"] for r in rows]
    axes.plot(cost, error, "o-", color=colours[0], label="error control, by tolerance")
    x, y = 86.4 / alone["ns_per_day_cpu"], alone["one_step_velocity_percent"]
    axes.plot(x, y, "s", color=colours[1], label="bare stride")
    axes.axvline(86.4 / case["forces"]["ns_per_day_cpu"], **DASHED, label="forces alone, 2 fs")
    labels: dict[float, list[str]] = {}
    for y, row in zip(error, rows, strict=True):
        labels.setdefault(y, []).append(row["tolerance"].replace("inf", "∞").removesuffix(".0"))
    for y, names in labels.items():
        axes.annotate(", ".join(names), (cost[error.index(y)], y), (6, 6), textcoords="offset points")
    axes.set(xlabel="processor time, s per ps", ylabel="velocity error of one stride, %", xlim=(0.0, None))
    axes.set(title=f"Accuracy against cost, {record['curve']['case']}", ylim=(-0.1, 1.35 * max(error)))
    axes.legend()


def _bars(axes: Any, record: dict[str, Any], quantity: str, factor: float, colours: tuple[str, ...]) -> None:
    """Draw one error of all cases, bare beside controlled."""
    names, rdf = list(record["cases"]), quantity.startswith("pair")
    for k, kind in enumerate(("bare", "controlled")):
        heights = [factor * record["cases"][n][kind][quantity] for n in names]
        bars = axes.bar(np.arange(len(names)) + 0.36 * (k - 0.5), heights, 0.34, color=colours[1 - k], label=kind)
        axes.bar_label(bars, fmt="%.2f" if rdf else "%.1f", fontsize=7, padding=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_title("Pair distribution, % of its peak" if rdf else "Velocity after one stride, %")
    if rdf:
        axes.axhline(factor * record["limit_pair_distribution_error"], **DASHED, label="twice inside, bare")
        axes.legend(ncols=3, loc="upper left")
    axes.margins(y=0.45 if rdf else 0.2)


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strides", type=int, default=300, help="of every run, 32 fs each")
    parser.add_argument("--states", type=int, default=24, help="of the calibration")
    parser.add_argument("--one-step", type=int, default=30, help="states for the error of one stride")
    parser.add_argument("--data", type=Path, help="held-out segments; made here if not given")
    parser.add_argument("--training", type=Path, help="training segments, for the limits of the range")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name} and the picture")
    parser.add_argument("--draw", action="store_true", help="only draw the record")
    arguments = parser.parse_args()
    record = json.loads(RECORD.read_text()) if arguments.draw else measure(arguments)
    if arguments.record or arguments.draw:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        draw(record, PICTURE)


if __name__ == "__main__":
    main()
