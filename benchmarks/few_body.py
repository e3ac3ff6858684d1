"""Few-body figures: wall time at stated accuracy, Askel against REBOUND's IAS15 in the same run.

python benchmarks/few_body.py            prints the table
python benchmarks/few_body.py --record   also writes benchmarks/results/few_body.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import initial_conditions as ic
import numpy as np
from askel.integrators import Outcome, Step
from askel.nbody.regularised_chain import RegularisedChain
from askel.nbody.strain import peters_merger_time
from askel.particles import KINDS, Particles, nbody_units
from askel.particles.kernels import source_digest
from machine import machine, versions

HERE = Path(__file__).resolve().parent
HEAVY = ("torch", "numba", "mpi4py", "ase", "e3nn", "h5py", "scipy", "matplotlib", "pydantic", "numpy")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One row: a problem, the tolerance of the chain, repeats, and the target (largest |dE/E|, time over IAS15's)."""

    problem: ic.Problem
    tolerance: float
    repeats: int
    error_target: float | None
    ratio_target: float | None


JOBS = (
    Job(ic.pythagorean(), 1e-14, 15, 1e-12, 1 / 5),
    Job(ic.binary(0.999), 1e-14, 3, 1e-12, 1 / 25),
    Job(ic.binary(0.99999), 1e-14, 3, 1e-12, 1 / 25),
    Job(ic.black_hole_and_stars(50), 1e-12, 5, None, None),
    Job(ic.black_hole_and_stars(100), 1e-12, 3, None, None),
    Job(ic.black_hole_and_stars(200), 1e-12, 2, 1e-11, 1 / 3),
)


def energy(mass: ic.FloatArray, position: ic.FloatArray, velocity: ic.FloatArray) -> np.longdouble:
    """Return T - U in extended precision."""
    m, x, v = (np.asarray(a).astype(np.longdouble) for a in (mass, position, velocity))
    i, j = np.triu_indices(len(m), 1)
    distance = np.sqrt(((x[i] - x[j]) ** 2).sum(1))
    return 0.5 * (m * (v**2).sum(1)).sum() - (m[i] * m[j] / distance).sum()


def relative_error(start: np.longdouble, end: np.longdouble) -> float:
    return abs(float((end - start) / start))


def advance(particles: Particles, chain: RegularisedChain, t_end: float) -> tuple[Step, float, dict[str, float]]:
    """Return the last step, the wall time and the summed statistics of an advance to t_end."""
    total: dict[str, float] = {}
    begin = time.perf_counter()
    cpu = time.process_time()
    carry = chain.start(particles)
    while True:
        step = chain.advance(particles, carry, t_end - particles.time)
        for name, value in step.statistics.items():
            total[name] = max(total.get(name, 0.0), value) if name.startswith("max") else total.get(name, 0.0) + value
        if step.outcome is not Outcome.PARTIAL:
            total["cpu_s"] = time.process_time() - cpu
            return step, time.perf_counter() - begin, total


def askel_once(job: Job) -> tuple[float, float, dict[str, float], Particles]:
    p = job.problem
    particles = Particles(p.mass, p.position.copy(), p.velocity.copy())
    step, wall, counts = advance(particles, RegularisedChain(tolerance=job.tolerance), p.t_end)
    if step.outcome is not Outcome.COMPLETED or particles.time != p.t_end:
        raise SystemExit(f"{p.name}: {step.outcome.value}")
    start, end = energy(p.mass, p.position, p.velocity), energy(p.mass, particles.position, particles.velocity)
    return wall, relative_error(start, end), counts, particles


def rebound_once(job: Job) -> tuple[float, float, float]:
    """Return wall time, |dE/E| and processor time of IAS15 at its default accuracy."""
    import rebound

    p = job.problem
    simulation = rebound.Simulation()
    simulation.integrator = "ias15"
    for m, x, v in zip(p.mass, p.position, p.velocity, strict=True):
        simulation.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
    begin, cpu = time.perf_counter(), time.process_time()
    simulation.integrate(p.t_end)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    position = np.array([[b.x, b.y, b.z] for b in simulation.particles])
    velocity = np.array([[b.vx, b.vy, b.vz] for b in simulation.particles])
    return wall, relative_error(energy(p.mass, p.position, p.velocity), energy(p.mass, position, velocity)), cpu


def compare(job: Job, repeats: int) -> tuple[Record, Particles]:
    """Run both codes in turn and return the row of the record and the final state of Askel's last run."""
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(askel_once(job))
        theirs.append(rebound_once(job))
    wall, peer = statistics.median(r[0] for r in ours), statistics.median(r[0] for r in theirs)
    cpu, peer_cpu = statistics.median(r[2]["cpu_s"] for r in ours), statistics.median(r[2] for r in theirs)
    _, error, counts, final = ours[-1]
    n = len(job.problem.mass)
    row: Record = {
        "job": job.problem.name,
        "n": n,
        "t_end": job.problem.t_end,
        "tolerance": job.tolerance,
        "repeats": repeats,
        "askel_wall_s": wall,
        "ias15_wall_s": peer,
        "askel_walls_s": [r[0] for r in ours],
        "ias15_walls_s": [r[0] for r in theirs],
        "ratio": wall / peer,
        "askel_cpu_s": cpu,
        "ias15_cpu_s": peer_cpu,
        "ratio_cpu": cpu / peer_cpu,
        "askel_energy_error": error,
        "ias15_energy_error": theirs[-1][1],
        "micro_steps": int(counts["micro_steps"]),
        "rejected": int(counts["rejected"]),
        "evaluations": int(counts["evaluations"]),
        "pairs_per_s": counts["evaluations"] * n * (n - 1) / 2 / wall,
        "energy_error_target": job.error_target,
        "ratio_target": job.ratio_target,
    }
    if job.error_target is not None and job.ratio_target is not None:
        row["met"] = bool(error <= job.error_target and row["ratio"] <= job.ratio_target)
    return row, final


def rotated_errors(job: Job, copies: int = 24) -> Record:
    """|dE/E| of turned copies of one problem: a chaotic orbit's error in one orientation can be luck."""
    from scipy.spatial.transform import Rotation

    p, errors = job.problem, []
    for turn in Rotation.random(copies, random_state=1913).as_matrix():
        turned = ic.Problem(p.name, p.mass, p.position @ turn.T, p.velocity @ turn.T, p.t_end)
        errors.append(askel_once(Job(turned, job.tolerance, 1, None, None))[1])
    return {
        "rotated_copies": copies,
        "rotated_energy_error_median": statistics.median(errors),
        "rotated_energy_error_worst": max(errors),
    }


def escaper(particles: Particles) -> Record:
    """Return which body has left the other two, and the energy per mass of its motion relative to them."""
    m, x, v = particles.mass, particles.position, particles.velocity
    found = []
    for i in range(3):
        pair = [j for j in range(3) if j != i]
        centre, drift = m[pair] @ x[pair] / m[pair].sum(), m[pair] @ v[pair] / m[pair].sum()
        specific = 0.5 * np.sum((v[i] - drift) ** 2) - m.sum() / np.linalg.norm(x[i] - centre)
        found.append((float(specific), i))
    specific, i = max(found)
    return {"escaper_mass": float(m[i]), "escaper_specific_energy": specific, "lightest_escapes": bool(i == m.argmin())}


def inspiral(tolerance: float = 1e-13) -> Record:
    """2.5PN alone, circular, equal masses, from 200 to 6 G M / c^2: the time against Peters (1964)."""
    p = ic.inspiral(200.0)
    c = p.speed_of_light
    assert c is not None
    holes = np.full(2, KINDS["black-hole"])
    particles = Particles(p.mass, p.position.copy(), p.velocity.copy(), kind=holes, units=nbody_units(speed_of_light=c))
    chain = RegularisedChain(post_newtonian=["2.5"], merger_distance=3.0, tolerance=tolerance)
    step, wall, counts = advance(particles, chain, p.t_end)
    peters = peters_merger_time(0.5, 0.5, 1.0, 0.0, c=c) - peters_merger_time(0.5, 0.5, 6.0 / c**2, 0.0, c=c)
    return {
        "job": "2.5PN inspiral, 200 to 6 GM/c^2",
        "n": 2,
        "tolerance": tolerance,
        "askel_wall_s": wall,
        "outcome": step.outcome.name,
        "time": particles.time,
        "peters_time": peters,
        "relative_deviation": particles.time / peters - 1.0,
        "deviation_target": 1e-6,
        "separation_GM_over_c2": float(np.linalg.norm(particles.position[0] - particles.position[1]) * c**2),
        "micro_steps": int(counts["micro_steps"]),
        "evaluations": int(counts["evaluations"]),
        "met": bool(step.outcome is Outcome.EVENT and abs(particles.time / peters - 1.0) < 1e-6),
    }


# ---- start-up -------------------------------------------------------------------------------------------------------

_FIRST_JOB = """
import time; begin = time.perf_counter()
import numpy as np
from askel.nbody.regularised_chain import RegularisedChain
from askel.particles import Particles
p = Particles([3., 4., 5.], [[1., 3., 0.], [-2., -1., 0.], [1., -1., 0.]], np.zeros((3, 3)))
chain = RegularisedChain(); step = chain.advance(p, chain.start(p), 1.0)
print(step.outcome.name, time.perf_counter() - begin)
"""


def cold_and_warm() -> Record:
    """Wall time of the first and the second process of one job with an empty kernel cache."""
    walls, sources = [], source_digest()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            begin = time.perf_counter()
            _python(_FIRST_JOB, ASKEL_CACHE_DIR=folder)
            walls.append(time.perf_counter() - begin)
    return {
        "job": "Newtonian chain, whole process",
        "first_process_s": walls[0],
        "second_process_s": walls[1],
        "sources_changed_meanwhile": source_digest() != sources,  # then the second one had to compile too
    }


def _python(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return run.stdout


def start_up(repeats: int = 7) -> list[Record]:
    """Wall time of ``import askel`` and of the help page, and which of the heavy packages they load."""
    load = f"\nimport sys; print('loaded', *[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    help_page = "from askel.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    rows = []
    for name, command, probe in (
        ("python -c pass", "pass", "pass"),
        ("import askel", "import askel", "import askel"),
        ("askel --help", help_page, help_page),
    ):
        walls = []
        for _ in range(repeats):
            begin = time.perf_counter()
            _python(command)
            walls.append(time.perf_counter() - begin)
        run = subprocess.run([sys.executable, "-c", probe + load], capture_output=True, text=True, check=True)
        loaded = run.stderr.rpartition("loaded")[2].split()
        row: Record = {"job": name, "median_s": statistics.median(walls), "repeats": repeats, "heavy_loaded": loaded}
        if name != "python -c pass":
            banned = {"torch", "numba", "mpi4py", "ase", "e3nn"}
            row["met"] = row["median_s"] <= 0.5 and not banned & set(loaded)
        rows.append(row)
    return rows


# ---- output ---------------------------------------------------------------------------------------------------------


def table(rows: list[Record]) -> str:
    head = (
        f"{'job':26} {'n':>4} {'tol':>6} {'askel':>10} {'IAS15':>10} {'ratio':>7} {'of cpu':>7} {'dE/E':>8} {'IAS15':>8} "
        f"{'pairs/s':>8} met"
    )
    lines = [head, "-" * len(head)]
    for r in rows:
        met = {True: "yes", False: "NO", None: "-"}[r.get("met")]
        lines.append(
            f"{r['job']:26} {r['n']:4d} {r['tolerance']:6.0e} {r['askel_wall_s'] * 1e3:8.2f}ms "
            f"{r['ias15_wall_s'] * 1e3:8.2f}ms {r['ratio']:7.4f} {r['ratio_cpu']:7.4f} {r['askel_energy_error']:8.1e} "
            f"{r['ias15_energy_error']:8.1e} {r['pairs_per_s']:8.1e} {met}"
        )
    return "\n".join(lines)


def _tell(title: str, make: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = make()
    print(f"[{time.perf_counter() - begin:6.1f} s] {title}", file=sys.stderr, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write results/few_body.json")
    parser.add_argument("--quick", action="store_true", help="one repeat, without the cold start and 200 stars")
    options = parser.parse_args()
    if options.quick and options.record:
        parser.error("--quick makes no record: leave one of --quick and --record away")
    load = os.getloadavg()
    _tell("kernels ready", lambda: askel_once(Job(ic.binary(0.5, 1), 1e-13, 1, None, None)))
    comparison = []
    for job in JOBS:
        if options.quick and len(job.problem.mass) > 200:
            continue
        row, final = _tell(job.problem.name, lambda job=job: compare(job, 1 if options.quick else job.repeats))
        if row["n"] == 3:
            row |= escaper(final) | rotated_errors(job)
            row["met"] = row["met"] and row["rotated_energy_error_worst"] <= row["energy_error_target"]
        comparison.append(row)
    peters = _tell("inspiral", inspiral)
    starts = _tell("start-up", lambda: start_up(3 if options.quick else 7))
    cold = None if options.quick else _tell("cold and warm start", cold_and_warm)
    print(table(comparison))
    print(json.dumps({k: v for k, v in comparison[0].items() if "escape" in k or "rotated" in k}))
    print(json.dumps(peters))
    for row in (*starts, cold):
        print(json.dumps(row))
    if options.record:
        record = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine() | {"load_before": load},
            "versions": versions("askel", "numpy", "numba", "rebound"),
            "threads": 1,
            "comparison": comparison,
            "peters": peters,
            "start_up": starts,
            "cold_start": cold,
        }
        target = HERE / "results" / "few_body.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(record, indent=1) + "\n")
        print(f"wrote {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
