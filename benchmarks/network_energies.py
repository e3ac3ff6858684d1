"""Energy, forces and virial of a network: fused kernels, the network in torch and the e3nn twin, with the same weights, in turn.

    python benchmarks/network_energies.py [--output benchmarks/results/network_energies.json] [--cases quartz] [--threads 1 2]

The shipped copper-energy model (16 channels, 2 layers, cutoff 5 A) on 108 and 500 warm atoms, and a network of standard size
with random weights (64 channels, l_max 2, 4 layers, natural parity, radial networks 64-64-64) on paracetamol (20 atoms, cutoff
4 A), water (192, 6 A) and quartz (1296, 4.5 A). A call is what a user makes: positions in; energy, forces and virial out;
neighbour list included (e3nn: forces alone). ``..._s`` is the shortest and ``..._cpu_s`` the least processor time of a call;
ratios are of processor times on one thread, of times on more: machines are shared. ``..._us_per_edge`` is of the first.
``..._working_bytes``, of a process of its own, is the largest resident size in calls less that before them. Errors are the
largest difference of the forces from torch in float64, relative to the largest force.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import machine, versions
from network_inference import SETTINGS, reset_peak, resident, structure

CASES = ("copper-108", "copper-500", "paracetamol", "water", "quartz")
#: implementation -> (calls at most, seconds of processor time after which it stops)
REPEAT = {"fused": (20, 3.0), "torch": (6, 3.0), "e3nn": (2, 3.0)}


def case(name):
    """Return the atoms and the model of a case."""
    from askel.md.model_library import open_model

    if name.startswith("copper"):
        from ase.build import bulk

        atoms = bulk("Cu", cubic=True, a=3.6) * ((3,) * 3 if name == "copper-108" else (5,) * 3)
        atoms.rattle(0.1, seed=1)
        return atoms, open_model("copper-energy")
    atoms = structure(name)
    atoms.rattle(0.05, seed=1)
    return atoms, random_model(name)


def random_model(name):
    """Return a network of energies of standard size."""
    from askel.equivariant import Architecture, Model
    from askel.equivariant.parameters import parameters

    species, masses, cutoff, _ = SETTINGS[name]
    architecture = Architecture(
        species=species, masses=masses, cutoff=cutoff, average_neighbours={"paracetamol": 10.5, "water": 85.0}.get(name, 31.0),
        head="energy", channels=64, layers=4, l_max=2, radial_hidden=(64, 64, 64), atom_energy=(0.0,) * len(species),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    weights = {key: p.scale * rng.normal(size=p.shape) for key, p in parameters(architecture).items()}
    weights["bessel"] = np.pi * np.arange(1, architecture.radial_functions + 1)
    return Model(architecture, {k: w.astype(np.float32) for k, w in weights.items()})


def caller(implementation, dtype, atoms, model, threads):
    """Return a function without arguments that gives the forces."""
    cell = atoms.cell.array if atoms.pbc.any() else None
    state = (atoms.numbers, atoms.get_masses(), atoms.positions, cell, atoms.pbc)
    if implementation == "fused":
        from askel.equivariant import FusedEnergy

        engine = FusedEnergy(model, dtype, threads=threads)
        return lambda: engine.energy(*state)[1]
    import torch
    from askel.equivariant.batch import Batch, System
    from askel.md.energy_model import TorchEnergy

    if implementation == "torch":
        engine = TorchEnergy(model, dtype)
        return lambda: engine.energy(*state)[1]
    from askel.equivariant.reference import ReferenceNetwork

    network = (
        ReferenceNetwork(model.architecture, dtype=getattr(torch, dtype)).load(model.weights).requires_grad_(False)
    )

    def forces():
        batch = Batch.of([System(*state[:3], cell=state[3], periodic=state[4])], model.architecture)
        batch.position.requires_grad_()
        return -torch.autograd.grad(network.energy(batch).sum(), batch.position)[0].numpy()

    return forces


def timed(calls):
    """Return {name: (result, seconds, processor seconds)} of functions, called in turn."""
    results = {name: call() for name, call in calls.items()}
    spent = {name: [] for name in calls}
    while True:
        left = [n for n in calls if len(spent[n]) < REPEAT[n[0]][0] and sum(c for _, c in spent[n]) < REPEAT[n[0]][1]]
        if not left:
            return {n: (results[n], *(min(column) for column in zip(*spent[n], strict=True))) for n in calls}
        for name in left:
            wall, cpu = time.perf_counter(), time.process_time()
            calls[name]()
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))


def row(name, threads, with_e3nn):
    """Return the record of one case."""
    import numba
    import torch
    from askel.equivariant import neighbour_graph

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    atoms, model = case(name)
    cell = atoms.cell.array if atoms.pbc.any() else None
    edges = len(neighbour_graph(atoms.positions, cell, atoms.pbc, model.architecture.cutoff).sender)
    names = [(k, d) for k in ("fused", "torch") for d in ("float32", "float64")] + [("e3nn", "float32")] * with_e3nn
    found = timed({key: caller(*key, atoms, model, threads) for key in names})
    exact = found["torch", "float64"][0]
    record = {"case": name, "threads": threads, "atoms": len(atoms), "edges": edges}
    for (implementation, dtype), (forces, wall, cpu) in found.items():
        key = f"{implementation}_{dtype}"
        record |= {
            f"{key}_s": wall,
            f"{key}_cpu_s": cpu,
            f"{key}_us_per_edge": 1e6 * (cpu if threads == 1 else wall) / edges,
        }
        record[f"{key}_error"] = float(np.abs(forces - exact).max() / np.abs(exact).max())
    which = 2 if threads == 1 else 1
    for dtype in ("float32", "float64"):
        record[f"ratio_to_torch_{dtype}"] = found["torch", dtype][which] / found["fused", dtype][which]
    if with_e3nn:
        record["ratio_to_e3nn_float32"] = found["e3nn", "float32"][which] / found["fused", "float32"][which]
    return record


def working_bytes(name, implementation, dtype):
    """Return the memory of calls, measured in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--memory", name, implementation, dtype]
    return float(
        subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout.split()[-1]
    )


def memory(name, implementation, dtype):
    """Print the largest resident size in calls less that before them."""
    import vesin  # noqa: F401 - loads torch where that is installed, which is no part of a call

    caller(implementation, dtype, *case("copper-108"), 1)()
    call = caller(implementation, dtype, *case(name), 1)
    base = reset_peak()
    call()
    call()
    print(resident("VmHWM") - base)


def main():
    """Measure all cases and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=str(Path(__file__).parent / "results" / "network_energies.json"))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        memory(*options.memory)
        return
    rows = []
    for name in options.cases:
        for threads in options.threads:
            rows.append(row(name, threads, threads == 1))
            if threads == 1:
                for key in (("fused", "float32"), ("torch", "float32")):
                    rows[-1]["{}_{}_working_bytes".format(*key)] = working_bytes(name, *key)
            print(json.dumps(rows[-1]), flush=True)
            record = {
                "machine": machine(), "versions": versions("askel", "numpy", "numba", "torch", "e3nn", "vesin"), "rows": rows,
            }  # fmt: skip
            Path(options.output).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
