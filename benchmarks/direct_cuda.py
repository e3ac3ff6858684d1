"""Direct gravity on a CUDA device: time, share of the device's float64 limit, error; beside the CPU with all its threads.

    python benchmarks/direct_cuda.py [--n 262144] [--output benchmarks/results/direct_cuda.json]

The limit: a multiprocessor issues so many float64 instructions for each clock, fused or not, and a directed pair takes
INSTRUCTIONS of them (counted in the PTX, and five inside the reciprocal root). ``share_of_float64_limit`` is the pairs done
over the pairs that limit allows at the highest clock; ``float64_flops_share`` is the same count with two operations for each
fused instruction and one for others, over the peak of the data sheet. The error is against the reference in extended precision
for a sample of targets, relative to the acceleration. Without a device it says so in one line.
"""

import argparse
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from askel.particles import resolve
from askel.particles.kernels import thread_count
from machine import machine, versions
from numba import cuda

REPEATS = 7
SAMPLE = 64  # targets whose error is measured
#: compute capability -> float64 instructions that a multiprocessor issues for each clock (CUDA programming guide)
ISSUED = {(7, 0): 32, (8, 0): 32, (9, 0): 64}
INSTRUCTIONS, FUSED = 19, 9  # of a directed pair: 3 sub, 1 compare, 6 fma, 3 mul, 1 add; in the root 2 mul, 3 fma


def problem(n: int) -> tuple[np.ndarray, ...]:
    """Return mass, position, softening, special of a Plummer sphere in its own units, from a fixed seed."""
    rng = np.random.default_rng(n)
    radius = 1.0 / np.sqrt(rng.uniform(0.0, 0.999, n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    return np.full(n, 1.0 / n), radius[:, None] * direction, np.full(n, 1e-3), np.zeros(n, bool)


def exact(i: int, mass: np.ndarray, position: np.ndarray, softening: np.ndarray) -> np.ndarray:
    """Return the acceleration of particle i, (3,), in extended precision; softening of one length."""
    r = np.delete(position, i, axis=0).astype(np.longdouble) - position[i]
    s2 = (r * r).sum(axis=1) + np.longdouble(softening[i]) ** 2
    return (np.delete(mass, i) / (s2 * np.sqrt(s2))) @ r


def seconds(call, repeats: int) -> float:
    """Return the median wall time of a call that has been made before."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(device) -> tuple[float, dict[str, object]]:
    """Return the float64 instructions the device issues a second at its highest clock (0: unknown), and what it is."""
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    clock = 1e3 * device.CLOCK_RATE
    rate = ISSUED.get(tuple(device.compute_capability), 0) * device.MULTIPROCESSOR_COUNT * clock
    known = {
        "name": name,
        "compute_capability": list(device.compute_capability),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        "highest_clock_hz": clock,
        "float64_peak_flops": 2 * rate,
    }
    return rate, known


def measure(n: int, limit: float) -> dict[str, float | None]:
    """Return what is measured at one size; arrays stay on the device, and one time with copies."""
    given = problem(n)
    there = [cuda.to_device(a) for a in given]
    results, host = (cuda.device_array((n, 3)), cuda.device_array(n)), (np.empty((n, 3)), np.empty(n))
    on_device, on_cpu = resolve("acceleration", "cuda"), resolve("acceleration", "cpu")
    resident = seconds(lambda: on_device(*there, 1.0, 1.0, *results), REPEATS)
    copied = seconds(lambda: on_device(*given, 1.0, 1.0, *host), REPEATS)
    few = min(n, 16384)
    part = problem(few)
    cpu = seconds(lambda: on_cpu(*part, 1.0, 1.0, np.empty((few, 3)), np.empty(few)), 3) * (n / few) ** 2
    mine = results[0].copy_to_host()
    errors = []
    for i in np.random.default_rng(1).choice(n, min(n, SAMPLE), replace=False):
        reference = exact(int(i), *given[:3])
        errors.append(float(np.linalg.norm(mine[i] - reference) / np.linalg.norm(reference)))
    pairs = n * (n - 1.0) / resident
    return {
        "n": n,
        "seconds": resident,
        "seconds_with_copies": copied,
        "directed_pairs_per_second": pairs,
        "share_of_float64_limit": pairs * INSTRUCTIONS / limit if limit else None,
        "float64_flops_share": pairs * (INSTRUCTIONS + FUSED) / (2 * limit) if limit else None,
        "cpu_seconds_scaled_from_16384": cpu,
        "ratio_to_cpu": cpu / resident,
        "largest_relative_error": max(errors),
    }


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[4096, 16384, 65536, 262_144])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "direct_cuda.json")
    arguments = parser.parse_args()
    if not cuda.is_available():
        sys.exit("found no CUDA device; nothing is measured")
    limit, device = peak(cuda.get_current_device())
    rows = [measure(n, limit) for n in arguments.n]
    for r in rows:
        share = "an unknown share" if r["share_of_float64_limit"] is None else f"{r['share_of_float64_limit']:.0%}"
        print(
            f"n = {r['n']:7.0f}: {r['seconds']:.2e} s, {r['directed_pairs_per_second']:.2e} pairs/s, "
            f"{share} of the float64 limit, {r['ratio_to_cpu']:.0f} x CPU, "
            f"error {r['largest_relative_error']:.1e}"
        )
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": device,
        "machine": machine(),
        "versions": versions("askel", "numba", "numba-cuda", "numpy"),
        "cpu_threads": thread_count(),
        "instructions_per_pair": INSTRUCTIONS,
        "rows": rows,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
