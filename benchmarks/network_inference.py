"""One stride of the network: the fused engine against the e3nn twin with the same weights, end to end, neighbour list included.

    python benchmarks/network_inference.py [--output benchmarks/results/network_inference.json] [--cases paracetamol water quartz]

Published sizes: 64 channels, l_max 2, 4 layers, both parities, radial networks 64-64-64, float32; paracetamol (20 atoms,
cutoff 4 A), water (192 atoms, 6 A), quartz (1296 atoms, 4.5 A); and the 162-atom quartz cell. Every measurement is a process of
its own, so that its memory is its own: `..._working_bytes` is the largest resident size during the strides (tables and weights of
the engine are made in the first) less the resident size just before, the kernel's record of the largest having been reset there;
absent where the system cannot reset it. It repeats the stride and reports the shortest and the median time. Accuracy is the
largest difference of displacement and velocity relative to their largest value.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine, versions

CASES = ("paracetamol", "water", "quartz", "quartz-162")
SETTINGS = {  # species, masses, cutoff (A), stride (fs)
    "paracetamol": ((1, 6, 7, 8), (1.008, 12.011, 14.007, 15.999), 4.0, 7.0),
    "water": ((1, 8), (1.008, 15.999), 6.0, 5.0),
    "quartz": ((8, 14), (15.999, 28.085), 4.5, 30.0),
    "quartz-162": ((8, 14), (15.999, 28.085), 4.5, 30.0),
}
#: implementation -> (repetitions at least, seconds after which it stops in any case); small systems are repeated for two seconds
REPEAT = {"fused": (15, 20.0), "e3nn": (3, 30.0)}
AT_LEAST = 2.0


def structure(case):
    """Return the atoms of a case."""
    from askel.md.ase_references import paracetamol, quartz_unit_cell, water

    if case == "paracetamol":
        return paracetamol()
    if case == "water":
        return water(64)
    return quartz_unit_cell() * ((6, 6, 4) if case == "quartz" else (3, 3, 2))


def model(case, parity, channels=64, layers=4):
    """Return a network of published size (or another) with random weights."""
    from askel.equivariant import Architecture, Model
    from askel.equivariant.parameters import parameters

    species, masses, cutoff, stride = SETTINGS[case]
    s = len(species)
    neighbours = {"paracetamol": 10.5, "water": 85.0}.get(case, 31.0)
    architecture = Architecture(
        species=species, masses=masses, cutoff=cutoff, average_neighbours=neighbours, strides=(stride,), parity=parity,
        channels=channels, layers=layers, l_max=2, radial_hidden=(64, 64, 64), speed_hidden=(64,), velocity_scale=(0.005,) * s,
        drift=((0.5,) * s,), memory=((0.3,) * s,), displacement_scale=((0.05,) * s,), velocity_change_scale=((0.01,) * s,),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    weights = {name: p.scale * rng.normal(size=p.shape) for name, p in parameters(architecture).items()}
    weights["bessel"] = np.pi * np.arange(1, architecture.radial_functions + 1)
    return Model(architecture, {k: w.astype(np.float32) for k, w in weights.items()})


def child(case, parity, implementation, threads, target):
    """Measure one implementation and write its result."""
    import vesin  # noqa: F401 - loads torch where that is installed, which is no part of a stride

    atoms, trained = structure(case), model(case, parity)
    stepper(implementation, structure("paracetamol"), model("paracetamol", parity, 16, 1), threads)()
    step = stepper(implementation, atoms, trained, threads)
    base = reset_peak()
    result, times, began = step(), [], time.perf_counter()
    repetitions, limit = REPEAT[implementation]
    while not times or (elapsed := time.perf_counter() - began) < limit:
        if len(times) >= repetitions and elapsed >= AT_LEAST:
            break
        start = time.perf_counter()
        result = step()
        times.append(time.perf_counter() - start)
    cell = atoms.cell.array if atoms.pbc.any() else None
    np.savez(
        target, displacement=result[0], velocity=result[1], times=times, peak=resident("VmHWM"), base=base,
        edges=edges(trained.architecture, atoms, cell),
    )  # fmt: skip


def resident(entry):
    """Return VmRSS, the resident bytes, or VmHWM, the most there were; nan where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024.0 * float(line.split()[1]) for line in lines if line.startswith(entry)), np.nan)


def reset_peak():
    """Give back what is free, let the largest resident size be counted anew, return the size; nan where that cannot be."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return np.nan
    return resident("VmRSS")


def stepper(implementation, atoms, trained, threads):
    """Return a function that does one stride, the neighbour list included."""
    velocity = 0.005 * np.random.default_rng(2).normal(size=(len(atoms), 3))
    cell = atoms.cell.array if atoms.pbc.any() else None
    stride = trained.architecture.strides[0]
    if implementation == "fused":
        from askel.equivariant import Engine

        engine = Engine(trained, threads=threads)

        def step():
            return engine.stride(atoms.numbers, atoms.get_masses(), atoms.positions, velocity, cell, atoms.pbc, stride)

    else:
        import torch
        from askel.equivariant.batch import Batch, System
        from askel.equivariant.reference import ReferenceNetwork

        torch.set_num_threads(threads)
        network = ReferenceNetwork(trained.architecture, dtype=torch.float32).load(trained.weights)

        def step():
            with torch.no_grad():
                system = System(atoms.numbers, atoms.get_masses(), atoms.positions, velocity, cell, atoms.pbc, stride)
                return [t.numpy() for t in network(Batch.of([system], trained.architecture))]

    return step


def edges(architecture, atoms, cell):
    """Return the number of directed edges."""
    from askel.equivariant import neighbour_graph

    return len(neighbour_graph(atoms.positions, cell, atoms.pbc, architecture.cutoff).sender)


def measured(case, parity, implementation, threads, folder):
    """Run a measurement as a process; return its arrays."""
    target = Path(folder) / f"{case}-{parity}-{implementation}-{threads}.npz"
    arguments = [sys.executable, __file__, "--child", case, parity, implementation, str(threads), str(target)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    subprocess.run(arguments, check=True, env=environment)
    return dict(np.load(target))


def row(case, parity, threads, folder):
    """Return the record of one case."""
    fused, e3nn = (measured(case, parity, k, threads, folder) for k in ("fused", "e3nn"))
    names = ("displacement", "velocity")
    difference = max(float(np.abs(fused[k] - e3nn[k]).max() / np.abs(e3nn[k]).max()) for k in names)
    working = [float(r["peak"] - r["base"]) for r in (fused, e3nn)]
    record = {
        "case": case, "parity": parity, "threads": threads, "atoms": len(fused["velocity"]), "edges": int(fused["edges"]),
        "fused_s": float(fused["times"].min()), "fused_median_s": float(np.median(fused["times"])),
        "e3nn_s": float(e3nn["times"].min()), "e3nn_median_s": float(np.median(e3nn["times"])),
        "ratio": float(e3nn["times"].min() / fused["times"].min()),
        "us_per_edge_and_layer": float(1e6 * fused["times"].min() / fused["edges"] / 4),
        "largest_relative_difference": difference,
        "ns_per_day": SETTINGS[case][3] * 1e-6 * 86400.0 / float(fused["times"].min()),
    }  # fmt: skip
    if np.isfinite(working).all():
        record |= {"fused_peak_bytes": float(fused["peak"]), "e3nn_peak_bytes": float(e3nn["peak"])}
        record |= {
            "fused_working_bytes": working[0],
            "e3nn_working_bytes": working[1],
            "memory_ratio": working[0] / working[1],
        }
    print(json.dumps(record), flush=True)
    return record


def main():
    """Measure all cases and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=str(Path(__file__).parent / "results" / "network_inference.json"))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--parities", nargs="+", default=["both", "natural"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, parity, implementation, threads, target = options.child
        child(case, parity, implementation, int(threads), target)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row(case, parity, threads, folder)
            for case in options.cases
            for parity in options.parities
            for threads in options.threads
        ]
    record = {
        "machine": machine(), "versions": versions("askel", "numpy", "numba", "torch", "e3nn", "vesin"), "rows": rows,
    }  # fmt: skip
    Path(options.output).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
