"""Direct gravity on a CUDA device: time, share of the device's limit, error; beside the CPU with all its threads.

    python benchmarks/direct_cuda.py [--n 262144] [--output benchmarks/results/direct_cuda.json]

"double", "mixed" precision, and the law "spline" in double (of which nearly all pairs are Newton's). The limit: a multiprocessor
issues so many instructions of the precision for each clock, fused or not, and a directed pair takes so many of them (counted in
the PTX, in float64 with five inside the reciprocal root). ``share_of_limit`` is the pairs done over the pairs that limit
allows at the highest clock. Three times: arrays on the device; as `DirectGravity` calls it (positions up, accelerations down,
masses kept there); and with everything copied. The error is against the reference in extended precision for a sample of targets,
relative to the acceleration. Without a device it says so in one line.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from askel.particles import resolve
from askel.particles.kernels import thread_count
from machine import write_device_record
from numba import cuda

REPEATS = 7
SAMPLE = 64  # targets whose error is measured
#: compute capability -> instructions that a multiprocessor issues for each clock, float64 and float32 (CUDA programming guide)
ISSUED = {(7, 0): (32, 64), (8, 0): (32, 64), (8, 6): (2, 128), (8, 9): (2, 128), (9, 0): (64, 128)}
#: variant -> operation, law, column of ISSUED, instructions of a directed pair
VARIANTS = {
    # 3 sub, 1 compare, 6 fma, 3 mul, 1 add; in the root 2 mul, 3 fma
    "double": ("acceleration", 0, 0, 19),
    # 6 sub, 4 add, 1 compare, 6 fma, 3 mul
    "mixed": ("acceleration_mixed", 0, 1, 20),
    "spline": ("acceleration_compact", 1, 0, 20),
}


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


def peak(device) -> tuple[tuple[float, float], dict[str, object]]:
    """Return the float64 and float32 instructions issued a second at the highest clock (0: unknown), and what the device is."""
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    clock = 1e3 * device.CLOCK_RATE
    issued = ISSUED.get(tuple(device.compute_capability), (0, 0))
    rates = tuple(r * device.MULTIPROCESSOR_COUNT * clock for r in issued)
    known = {
        "name": name,
        "compute_capability": list(device.compute_capability),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        "highest_clock_hz": clock,
        "float64_peak_flops": 2 * rates[0],
        "float32_peak_flops": 2 * rates[1],
    }
    return rates, known


def measure(n: int, variant: str, limits: tuple[float, float]) -> dict[str, object]:
    """Return what is measured at one size."""
    operation, law, column, instructions = VARIANTS[variant]
    numbers = (1.0, law, 1.0) if law else (1.0, 1.0)
    given = problem(n)
    there = [cuda.to_device(a) for a in given]
    results, host = (cuda.device_array((n, 3)), cuda.device_array(n)), (np.empty((n, 3)), np.empty(n))
    kernel, on_cpu = resolve(operation, "cuda"), resolve("acceleration_compact" if law else "acceleration", "cpu")
    resident = seconds(lambda: kernel(*there, *numbers, *results), REPEATS)
    called = seconds(lambda: kernel(*given, *numbers, *host), REPEATS)
    copied = seconds(lambda: kernel(*(cuda.to_device(a) for a in given), *numbers, *host), REPEATS)
    few = min(n, 16384)
    part = problem(few)
    cpu = seconds(lambda: on_cpu(*part, *numbers, np.empty((few, 3)), np.empty(few)), 3) * (n / few) ** 2
    errors = []
    for i in np.random.default_rng(1).choice(n, min(n, SAMPLE), replace=False):
        if law:
            break  # the tests hold the law to its twin; the sample is of Plummer's
        reference = exact(int(i), *given[:3])
        errors.append(float(np.linalg.norm(host[0][i] - reference) / np.linalg.norm(reference)))
    pairs, limit = n * (n - 1.0) / resident, limits[column]
    return {
        "n": n,
        "variant": variant,
        "seconds": resident,
        "seconds_as_called": called,
        "seconds_with_copies": copied,
        "directed_pairs_per_second": pairs,
        "instructions_per_pair": instructions,
        "share_of_limit": pairs * instructions / limit if limit else None,
        "cpu_seconds_scaled_from_16384": cpu,
        "ratio_to_cpu": cpu / resident,
        "largest_relative_error": max(errors, default=None),
    }


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[4096, 16384, 65536, 262_144])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "direct_cuda.json")
    arguments = parser.parse_args()
    if not cuda.is_available():
        sys.exit("found no CUDA device; nothing is measured")
    limits, device = peak(cuda.get_current_device())
    rows = [measure(n, variant, limits) for n in arguments.n for variant in VARIANTS]
    for r in rows:
        share = "an unknown share" if r["share_of_limit"] is None else f"{r['share_of_limit']:.0%}"
        error = "" if r["largest_relative_error"] is None else f", error {r['largest_relative_error']:.1e}"
        print(
            f"n = {r['n']:7.0f} {r['variant']:7}: {r['seconds']:.2e} s ({r['seconds_as_called']:.2e} as called), "
            f"{r['directed_pairs_per_second']:.2e} pairs/s, {share} of the limit, {r['ratio_to_cpu']:.0f} x CPU{error}"
        )
    write_device_record(arguments.output, device, (), rows, cpu_threads=thread_count())


if __name__ == "__main__":
    main()
