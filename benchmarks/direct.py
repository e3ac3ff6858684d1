"""Direct summation: directed pairs per second against n, beside a plain branchy numba loop in the same run.

    python benchmarks/direct.py [--threads 1] [--output benchmarks/results/direct.json]

Accuracy is the largest relative difference of an acceleration from the NumPy reference.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from askel.integrators import Evaluation
from askel.nbody import DirectGravity
from askel.particles import Particles
from machine import machine, versions

SIZES = (16, 64, 256, 1024, 4096, 8192)
ROUNDS = 9
SHORTEST = 2e-3  # seconds; shorter calls are repeated to fill it


@numba.njit
def plain_loop(mass, position, acceleration, potential):
    """Sum over all pairs as usual few-body codes write it: rows of three, and a test for i == j."""
    for i in range(len(mass)):
        acceleration[i] = 0.0
        potential[i] = 0.0
        for j in range(len(mass)):
            if i != j:
                dx = position[j, 0] - position[i, 0]
                dy = position[j, 1] - position[i, 1]
                dz = position[j, 2] - position[i, 2]
                r = np.sqrt(dx * dx + dy * dy + dz * dz)
                pull = mass[j] / (r * r * r)
                acceleration[i, 0] += pull * dx
                acceleration[i, 1] += pull * dy
                acceleration[i, 2] += pull * dz
                potential[i] -= mass[j] / r


def best_times(*calls: Callable[[], object]) -> list[float]:
    """Return the shortest wall time of each call, in seconds, measured in turns, so that all meet the same load."""
    counts = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        counts.append(max(1, round(SHORTEST / (time.perf_counter() - start))))
    best = [np.inf] * len(calls)
    for _ in range(ROUNDS):
        for k, (call, count) in enumerate(zip(calls, counts, strict=True)):
            start = time.perf_counter()
            for _ in range(count):
                call()
            best[k] = min(best[k], (time.perf_counter() - start) / count)
    return best


def row(n: int, wants: tuple[str, ...]) -> dict[str, float]:
    """Return what is measured at one size."""
    rng = np.random.default_rng(n)
    particles = Particles(np.full(n, 1.0 / n), rng.normal(size=(n, 3)), rng.normal(size=(n, 3)))
    out, gravity = Evaluation(n, wants), DirectGravity()
    fields = np.zeros((n, 3)), np.zeros(n)
    ours, theirs = best_times(
        lambda: gravity.evaluate(particles, out),
        lambda: plain_loop(particles.mass, particles.position, *fields),
    )
    exact = Evaluation(n)
    DirectGravity(backend="reference").evaluate(particles, exact)
    error = np.linalg.norm(out.acceleration - exact.acceleration, axis=1) / np.linalg.norm(exact.acceleration, axis=1)
    pairs = n * (n - 1)
    return {
        "n": n,
        "seconds": ours,
        "directed_pairs_per_second": pairs / ours,
        "plain_loop_pairs_per_second": pairs / theirs,
        "ratio_to_plain_loop": theirs / ours,
        "largest_relative_error": float(error.max()),
    }


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "direct.json")
    arguments = parser.parse_args()
    numba.set_num_threads(arguments.threads)
    record: dict[str, object] = {
        "machine": machine(),
        "versions": versions("askel", "numba", "numpy"),
        "threads": arguments.threads,
    }
    for name, wants in (
        ("acceleration", ("acceleration", "potential_energy")),
        ("with_jerk", ("acceleration", "jerk")),
    ):
        rows = [row(n, wants) for n in SIZES]
        record[name] = rows
        for r in rows:
            print(
                f"{name:12s} n = {r['n']:6.0f}: {r['directed_pairs_per_second']:.2e} pairs/s, "
                f"{r['ratio_to_plain_loop']:.2f} x plain loop, error {r['largest_relative_error']:.1e}"
            )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
