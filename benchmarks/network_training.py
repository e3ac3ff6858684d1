"""One training step of the network: the fused path against the e3nn twin with the same weights, in turns, one thread, float32.

    python benchmarks/network_training.py [--rounds 5] [--output benchmarks/results/network_training.json]

Published sizes: 64 channels, l_max 2, 4 layers, both parities, radial networks 64-64-64, cutoff 4 A; a batch of ten paracetamol
molecules (20 atoms and about 210 edges each). A step is forward, backward and AdamW. Peak memory is measured in a process of
its own for each: largest resident size during two steps, less the resident size before them (with weights and batch).
Accuracy is the largest difference of outputs and of the weights' gradients, relative to the largest of each array.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, versions

PATHS = ("fused", "e3nn")
TARGETS = {"speed": 6.0, "memory": 1 / 3}
MOLECULES = 10
SHIFT = 0.02  # Angstrom, rms of the displacements that make ten different molecules of one


def batch_and_model(path: str) -> tuple[Any, Any]:
    """Return the batch and the model of one path; both paths have the same weights."""
    import torch
    from askel.equivariant import Architecture, Batch, Network
    from askel.equivariant.batch import System
    from askel.md.ase_references import paracetamol

    torch.set_num_threads(1)
    s = 4
    architecture = Architecture(
        species=(1, 6, 7, 8), masses=(1.008, 12.011, 14.007, 15.999), cutoff=4.0, average_neighbours=10.5, strides=(7.0,),
        parity="both", channels=64, layers=4, l_max=2, radial_hidden=(64, 64, 64), speed_hidden=(64,),
        velocity_scale=(0.016, 0.0045, 0.004, 0.004), drift=((0.5,) * s,), memory=((0.3,) * s,),
        displacement_scale=((0.05,) * s,), velocity_change_scale=((0.01,) * s,),
    )  # fmt: skip
    atoms, rng = paracetamol(), np.random.default_rng(1)
    mass = np.array(
        [dict(zip(architecture.species, architecture.masses, strict=True))[z] for z in atoms.numbers.tolist()]
    )
    systems = [
        System(
            species=atoms.numbers, mass=mass, position=atoms.positions + rng.normal(0.0, SHIFT, (len(atoms), 3)),
            velocity=rng.normal(size=(len(atoms), 3)) * (0.016 * mass[:, None] ** -0.5), stride=7.0,
        )
        for _ in range(MOLECULES)
    ]  # fmt: skip
    network = Network(architecture, dtype=torch.float32)
    if path == "fused":
        return Batch.of(systems, architecture), network
    from askel.equivariant.reference import ReferenceNetwork

    weights = network.arrays()
    return Batch.of(systems, architecture), ReferenceNetwork(architecture, dtype=torch.float32).load(weights)


def loss(model: Any, batch: Any) -> Any:
    """Return squares of displacements and velocities, both of order one."""
    displacement, velocity = model(batch)
    return (displacement / 0.05).square().mean() + (velocity / 0.01).square().mean()


def stepper(model: Any, batch: Any) -> Callable[[], float]:
    """Return a function that does one training step."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        value = loss(model, batch)
        value.backward()
        optimiser.step()
        return float(value.detach())

    return step


def differences() -> dict[str, float]:
    """Return the largest relative differences of outputs and gradients of the two paths."""
    outputs, gradients = [], []
    for path in PATHS:
        batch, model = batch_and_model(path)
        outputs.append([o.detach().numpy() for o in model(batch)])
        loss(model, batch).backward()
        gradients.append(
            {name: np.zeros(w.shape) if w.grad is None else w.grad.numpy() for name, w in model.weights.items()}
        )
    largest = [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(*outputs, strict=True)]
    mine, theirs = gradients
    slopes = [float(np.abs(mine[k] - g).max() / np.abs(g).max()) for k, g in theirs.items() if g.any()]
    return {"displacement": largest[0], "velocity": largest[1], "gradients": max(slopes)}


def times(rounds: int) -> dict[str, dict[str, Any]]:
    """Return wall and processor times of steps of both paths, measured in turns."""
    steps = {path: stepper(*reversed(batch_and_model(path))) for path in PATHS}
    found: dict[str, dict[str, Any]] = {path: {"walls_s": [], "cpus_s": []} for path in PATHS}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for path, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            found[path]["walls_s"].append(time.perf_counter() - wall)
            found[path]["cpus_s"].append(time.process_time() - cpu)
    for row in found.values():
        row |= {"wall_s": statistics.median(row["walls_s"]), "cpu_s": statistics.median(row["cpus_s"])}
    return found


def resident() -> int:
    """Return the bytes this process holds now, and forget the largest so far where the system allows it."""
    gc.collect()
    status = Path("/proc/self/status")
    if not status.exists():
        return largest_resident()
    Path("/proc/self/clear_refs").write_text("5")
    return _kilobytes(status, "VmRSS")


def largest_resident() -> int:
    """Return the largest number of bytes this process has held.

    Linux's ru_maxrss begins with what the parent process had held, which its status file does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return _kilobytes(status, "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _kilobytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def memory(path: str) -> int:
    """Return the bytes that two training steps of a path need, in this process."""
    batch, model = batch_and_model(path)
    if path == "fused":  # compiled kernels are loaded before, as e3nn's generated code is
        import torch
        from askel.equivariant.parameters import layer_irreps
        from askel.equivariant.paths import paths
        from askel.equivariant.products import Links, couple

        table = paths(*layer_irreps(model.architecture, 0)[:2], 2)
        sizes = ((2, table.dim_in, 16), (2, 9), (2, table.n, 16))
        couple(table, Links.own(2), *(torch.zeros(n, requires_grad=True) for n in sizes)).sum().backward()
    step, before = stepper(model, batch), resident()
    step(), step()
    return largest_resident() - before


def memory_elsewhere(path: str) -> int:
    """Return what ``memory`` gives in a fresh process."""
    run = subprocess.run([sys.executable, __file__, "--memory", path], capture_output=True, text=True, check=True)
    return int(run.stdout.split()[-1])


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "network_training.json")
    parser.add_argument("--memory", choices=PATHS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from askel.particles import kernel_threads

    with kernel_threads(1):
        if arguments.memory:
            print(memory(arguments.memory))
            return
        load = os.getloadavg()
        batch, model = batch_and_model("fused")
        record: dict[str, Any] = {
            "machine": machine() | {"load_before": load},
            "versions": versions("askel", "torch", "e3nn", "numba", "numpy"),
            "threads": 1, "dtype": "float32", "molecules": MOLECULES, "atoms": batch.n, "edges": len(batch.sender),
            "weights": sum(w.numel() for w in model.parameters()), "differences": differences(), "steps": times(arguments.rounds),
        }  # fmt: skip
    peaks = {path: memory_elsewhere(path) for path in PATHS}
    fused, e3nn = (record["steps"][path] for path in PATHS)
    record |= {
        "peak_bytes": peaks, "speed_ratio": e3nn["wall_s"] / fused["wall_s"], "speed_ratio_cpu": e3nn["cpu_s"] / fused["cpu_s"],
        "memory_ratio": peaks["fused"] / peaks["e3nn"], "targets": TARGETS,
    }  # fmt: skip
    record["met"] = record["speed_ratio"] >= TARGETS["speed"] and record["memory_ratio"] <= TARGETS["memory"]
    print(
        f"{record['edges']} edges: fused {fused['wall_s'] * 1e3:.0f} ms, e3nn {e3nn['wall_s'] * 1e3:.0f} ms a step: "
        f"{record['speed_ratio']:.1f} times ({record['speed_ratio_cpu']:.1f} of processor time); peak "
        f"{peaks['fused'] / 1e6:.0f} against {peaks['e3nn'] / 1e6:.0f} MB; differences {record['differences']}; "
        f"{'met' if record['met'] else 'NOT met'}"
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
