"""Chains, post-Newtonian terms and fast multipoles on a CUDA device: time and error beside the CPU with all its threads.

    python benchmarks/gravity_cuda.py [--jobs chain post-newtonian fmm] [--scale 1.0] [--output FILE]

chain: one micro-step of 1,000, 4,000 and 10,000 bodies from rest, with tree and copies; post-newtonian: all terms among 2, 100
and 1,000 bodies; fmm: forces on 100,000 and 1,000,000 bodies at error 1e-3. The error is the largest difference from the CPU over
the largest value. ``--scale`` makes all sizes smaller, to try the program. Without a device it says so in one line; direct
sums are in direct_cuda.py. The record is benchmarks/results/gravity_cuda.json.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from askel.nbody import Fmm, RegularisedChain
from askel.particles import Particles, resolve
from askel.particles.kernels import thread_count
from machine import write_device_record
from numba import cuda

REPEATS = 3
Outputs = tuple[np.ndarray, ...]


def plummer(n: int) -> np.ndarray:
    """Return positions of a Plummer sphere in its own units, (n, 3), from a fixed seed."""
    rng = np.random.default_rng(n)
    radius = 1.0 / np.sqrt(rng.uniform(0.0, 0.999, n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    return (radius / np.linalg.norm(direction, axis=1))[:, None] * direction


def chain(n: int, backend: str) -> tuple[Callable[[], object], Outputs]:
    """Return a call of one micro-step of a chain, from its start, and what it overwrites."""
    method, start = RegularisedChain(tolerance=1e-8, max_steps=1, backend=backend), plummer(n)
    particles = Particles(np.full(n, 1.0 / n), start, np.zeros((n, 3)))

    def call() -> None:
        particles.position[...], particles.velocity[...] = start, 0.0
        method.advance(particles, method.start(particles), 1.0)

    return call, (particles.position, particles.velocity)


def post_newtonian(b: int, backend: str) -> tuple[Callable[[], object], Outputs]:
    """Return a call of all post-Newtonian terms among b bodies, and what it overwrites."""
    kernel, rng, x = resolve("post_newtonian", backend), np.random.default_rng(b), plummer(b)
    out = np.empty((b, 3)), np.empty((b, 3))
    vectors = x[:, None] - x[None], 0.1 * rng.normal(size=(b, 3)), rng.normal(size=(b, 3)) / b**2
    given = (511, 1.0, 10.0, np.full(b, 1.0 / b), ~np.eye(b, dtype=bool), *vectors)
    return lambda: kernel(*given, *out), out


def fmm(n: int, backend: str) -> tuple[Callable[[], object], Outputs]:
    """Return a call of fast multipoles, and what it overwrites; the leaf size of the CPU, so that errors compare."""
    particles = Particles(np.full(n, 1.0 / n), plummer(n), np.zeros((n, 3)))
    gravity, out = Fmm(softening=1e-3, leaf_size=48, backend=backend), (np.empty((n, 3)), np.empty(n))
    return lambda: gravity.field(particles, *out), out


#: job -> function (size, backend), sizes
JOBS = {
    "chain": (chain, (1000, 4000, 10_000)),
    "post-newtonian": (post_newtonian, (2, 100, 1000)),
    "fmm": (fmm, (100_000, 1_000_000)),
}


def seconds(call: Callable[[], object]) -> float:
    """Return the median wall time of a call, after one that compiles."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(job: str, n: int) -> dict[str, object]:
    """Return times of both backends and how far they are apart."""
    make, took, found = JOBS[job][0], {}, {}
    for backend in ("cpu", "cuda"):
        call, found[backend] = make(n, backend)
        took[backend] = seconds(call)
    pairs = zip(found["cpu"], found["cuda"], strict=True)
    error = max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-300)) for a, b in pairs)
    return {
        "job": job,
        "n": n,
        "cpu_s": took["cpu"],
        "cuda_s": took["cuda"],
        "ratio": took["cpu"] / took["cuda"],
        "error": error,
    }


def main() -> None:
    """Measure, print a table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gravity_cuda.json")
    arguments = parser.parse_args()
    if not cuda.is_available():
        sys.exit("found no CUDA device; nothing is measured")
    rows = []
    for job in arguments.jobs:
        for n in JOBS[job][1]:
            r = measure(job, max(2, int(arguments.scale * n)))
            rows.append(r)
            print(
                f"{r['job']:14} n = {r['n']:8}: {r['cuda_s']:.2e} s, CPU {r['cpu_s']:.2e} s, {r['ratio']:.1f} x, "
                f"error {r['error']:.1e}"
            )
    name = cuda.get_current_device().name
    text = name.decode() if isinstance(name, bytes) else name
    write_device_record(arguments.output, text, (), rows, cpu_threads=thread_count())


if __name__ == "__main__":
    main()
