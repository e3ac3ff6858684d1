"""One stride of the network on a GPU, end to end: ns/day, against e3nn on the same GPU in the same run, and against the roofline.

    python benchmarks/network_cuda.py [--output benchmarks/results/network_cuda.json] [--cells 9 10 5] [--parities both natural]
    python benchmarks/network_cuda.py --estimate          # the roofline alone, which needs no device

Alpha-quartz, 4,050 atoms, a network of published size (64 channels, l_max 2, 4 layers, radial networks 64-64-64, cutoff 4.5 A)
with random weights, float32, strides of 30 fs. Between two strides every atom moves as in a crystal at 300 K (a new
displacement of 0.09 A a direction from its site), so that the search for neighbours counts as it does in a run. ``stride_s`` is
the median over whole strides, positions and velocities from the host and back to it, ``first_s`` the first one, compilation
included; ``search_s`` a search for candidates on the host, ``searches`` how many the strides needed. e3nn gets its edges and
arrays on the device beforehand and is timed without them. Accuracy is the largest difference of displacement and velocity from
the engine of the CPU in float64, relative to their largest value.

The roofline counts what a stride cannot do without: multiply-adds at the chip's float32 rate (no tensor cores), bytes of main
memory, and what the kernel of messages reads through the second-level cache (the radial tables: four rows an edge). The
time of each part is its slowest resource; parts follow one another. Without a device it says so in one line.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from machine import write_device_record
from network_inference import model

REPEATS, E3NN_REPEATS = 30, 5
STRIDE = 30.0
AMPLITUDE = 0.09  # Angstrom, root mean square of one component
#: name of a device begins with -> float32 operations a second, bytes a second of main memory and of the second-level cache
#: (data sheets of the SXM boards; the cache as micro-benchmarks find it, about)
PEAKS = {
    "NVIDIA A100": (19.5e12, 2.0e12, 4.0e12),
    "NVIDIA H100": (66.9e12, 3.35e12, 5.5e12),
    "NVIDIA H200": (66.9e12, 4.8e12, 5.5e12),
}


def parts(architecture, n: int, edges: float) -> list[dict[str, float | str]]:
    """Return operations, bytes of main memory and bytes through the cache of the parts of one stride."""
    from askel.equivariant.parameters import layer_irreps
    from askel.equivariant.paths import dimension, paths
    from askel.equivariant.pruning import SCALARS, VECTORS

    a, c, rows = architecture, architecture.channels, []
    for t in range(a.layers):
        before, middle, after = layer_irreps(a, t)
        after = (SCALARS, VECTORS) if t == a.layers - 1 else after
        through, last = paths(before, middle, a.l_max), paths(middle, after, a.l_max)
        old, new = dimension(before), dimension(after)
        gates = sum(degree > 0 for degree, _ in after)
        products = {k: float((p.table[:, 1] * p.table[:, 2]).sum()) for k, p in (("through", through), ("last", last))}
        inputs = float(through.table[:, 1].sum())
        rows.append(
            {
                "part": f"messages {t}",
                "flops": 2.0 * edges * c * (products["through"] + inputs + 4 * through.n),
                "bytes": 4.0 * n * c * (old + through.rows) + edges * (4 * (a.l_max + 1) ** 2 + 24),
                "cache_bytes": 4.0 * edges * c * (old + 4 * through.n),
            }
        )
        wide = 2.0 * n * c * c
        linear = wide * (through.rows + last.rows + gates * last.blocks[0][2] + new + gates)
        speed = 2.0 * n * a.speed_hidden[-1] * last.n * c
        rows.append(
            {
                "part": f"matrices {t}",
                "flops": linear + speed,
                "bytes": 4.0
                * n
                * c
                * (through.rows + dimension(middle) + last.rows + last.n + old + 3 * (new + gates)),
                "cache_bytes": 0.0,
            }
        )
        rows.append(
            {
                "part": f"product with the velocity, gate {t}",
                "flops": 2.0 * n * c * products["last"],
                "bytes": 4.0 * n * c * (2 * dimension(middle) + last.n + last.rows + 2 * new + gates),
                "cache_bytes": 0.0,
            }
        )
    return rows


def roofline(rows, peaks) -> float:
    """Return the least seconds of a stride: every part at the speed of its slowest resource."""
    flops, memory, cache = peaks
    return sum(max(r["flops"] / flops, r["bytes"] / memory, r["cache_bytes"] / cache) for r in rows)


def estimate(architecture, n: int, edges: int) -> dict:
    """Return totals of a stride, and the least time on each known device."""
    rows = parts(architecture, n, edges)
    totals = {key: sum(r[key] for r in rows) for key in ("flops", "bytes", "cache_bytes")}
    least = {name: roofline(rows, peaks) for name, peaks in PEAKS.items()}
    messages = [r for r in rows if str(r["part"]).startswith("messages")]
    return {
        **totals,
        "messages_flops": sum(r["flops"] for r in messages),
        "messages_cache_bytes": sum(r["cache_bytes"] for r in messages),
        "least_s": least,
        "most_ns_per_day": {name: per_day(s) for name, s in least.items()},
    }


def per_day(seconds: float) -> float:
    """Return nanoseconds a day of strides that take so long."""
    return STRIDE * 1e-6 * 86400.0 / seconds


def states(atoms, count: int):
    """Yield positions and velocities of a crystal in thermal motion, from a fixed seed."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield atoms.positions + AMPLITUDE * rng.normal(size=(len(atoms), 3)), 0.005 * rng.normal(size=(len(atoms), 3))


def fused(trained, atoms) -> tuple[dict, list]:
    """Return what is measured of the engine on the device, and the result of the last stride."""
    import torch
    from askel.equivariant import Engine
    from askel.equivariant import engine as engine_module

    search, spent = engine_module.neighbour_graph, []

    def timed(*arguments):
        start = time.perf_counter()
        found = search(*arguments)
        spent.append(time.perf_counter() - start)
        return found

    engine_module.neighbour_graph = timed
    try:
        engine, times, result = Engine(trained, backend="cuda"), [], []
        for x, v in states(atoms, REPEATS + 2):
            start = time.perf_counter()
            result = engine.stride(atoms.numbers, atoms.get_masses(), x, v, atoms.cell.array, atoms.pbc, STRIDE)
            times.append(time.perf_counter() - start)
    finally:
        engine_module.neighbour_graph = search
    return {
        "first_s": times[0],
        "stride_s": statistics.median(times[2:]),
        "searches": len(spent),
        "strides": len(times),
        "search_s": statistics.median(spent),
        "kernels_s": kernel_seconds(engine, atoms),
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }, result


def kernel_seconds(engine, atoms) -> float:
    """Return the device's own time of a stride: from the first launch to the last, without waiting for the host in between."""
    import torch

    x, v = next(states(atoms, 1))
    arguments = (atoms.numbers, atoms.get_masses(), x, v, atoms.cell.array, atoms.pbc, STRIDE)
    engine.stride(*arguments)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as record:
        engine.stride(*arguments)
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in record.key_averages()) * 1e-6


def e3nn(trained, atoms) -> dict:
    """Return what is measured of the e3nn twin on the device; None where its memory does not suffice."""
    import torch
    from askel.equivariant.batch import Batch, System
    from askel.equivariant.reference import ReferenceNetwork

    torch.cuda.reset_peak_memory_stats()
    x, v = list(states(atoms, REPEATS + 2))[-1]
    system = System(atoms.numbers, atoms.get_masses(), x, v, atoms.cell.array, atoms.pbc, STRIDE)
    try:
        with torch.no_grad(), torch.device("cuda"):
            network = ReferenceNetwork(trained.architecture, dtype=torch.float32).load(trained.weights).to("cuda")
            batch, times = Batch.of([system], trained.architecture).to("cuda"), []
            for _ in range(E3NN_REPEATS + 2):
                torch.cuda.synchronize()
                start = time.perf_counter()
                result = network(batch)
                torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
    except torch.cuda.OutOfMemoryError:
        return {"e3nn_s": None, "e3nn_peak_bytes": None, "e3nn": None}
    return {
        "e3nn_s": statistics.median(times[2:]),
        "e3nn_peak_bytes": torch.cuda.max_memory_allocated(),
        "e3nn": [t.cpu().numpy() for t in result],
    }


def difference(mine, reference) -> float:
    """Return the largest difference relative to the largest value."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(mine, reference, strict=True))


def measure(parity: str, atoms, peaks) -> dict:
    """Return the record of one network."""
    from askel.equivariant import Engine, neighbour_graph

    trained = model("quartz", parity)
    record, result = fused(trained, atoms)
    other = e3nn(trained, atoms)
    theirs = other.pop("e3nn")
    x, v = list(states(atoms, REPEATS + 2))[-1]
    exact = Engine(trained, dtype="float64").stride(
        atoms.numbers, atoms.get_masses(), x, v, atoms.cell.array, atoms.pbc, STRIDE
    )
    edges = len(neighbour_graph(x, atoms.cell.array, atoms.pbc, trained.architecture.cutoff).sender)
    least = roofline(parts(trained.architecture, len(atoms), edges), peaks) if peaks else None
    return {
        "parity": parity, "atoms": len(atoms), "edges": edges, **record, **other,
        "ns_per_day": per_day(record["stride_s"]), "ratio_to_e3nn": other["e3nn_s"] and other["e3nn_s"] / record["stride_s"],
        "error": difference(result, exact), "e3nn_error": theirs and difference(theirs, exact),
        "least_s": least, "share_of_roofline": least and least / record["kernels_s"],
    }  # fmt: skip


def tell(r: dict) -> None:
    """Print a record in a line."""
    ratio = "e3nn ran out of memory" if r["ratio_to_e3nn"] is None else f"{r['ratio_to_e3nn']:.1f} x e3nn"
    share = "" if r["share_of_roofline"] is None else f", kernels at {r['share_of_roofline']:.0%} of the roofline"
    print(
        f"{r['parity']:>7}, {r['atoms']} atoms, {r['edges']} edges: {1e3 * r['stride_s']:.2f} ms a stride "
        f"({1e3 * r['kernels_s']:.2f} on the device), {r['ns_per_day']:.0f} ns/day, {ratio}, error {r['error']:.1e}{share}; "
        f"{r['searches']} searches of {1e3 * r['search_s']:.0f} ms in {r['strides']} strides"
    )


def main() -> None:
    """Measure, print a table and write the record; or print the estimate."""
    from askel.md.ase_references import quartz_unit_cell

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs=3, default=[9, 10, 5])
    parser.add_argument("--parities", nargs="+", default=["both", "natural"], choices=["both", "natural"])
    parser.add_argument("--estimate", action="store_true", help="print the roofline; needs no device")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "network_cuda.json")
    arguments = parser.parse_args()
    atoms = quartz_unit_cell() * tuple(arguments.cells)
    if arguments.estimate:
        from askel.equivariant import neighbour_graph

        for parity in arguments.parities:
            a = model("quartz", parity).architecture
            edges = len(neighbour_graph(atoms.positions, atoms.cell.array, atoms.pbc, a.cutoff).sender)
            print(json.dumps({"parity": parity, "atoms": len(atoms), "edges": edges, **estimate(a, len(atoms), edges)}))
        return
    import torch
    from numba import cuda

    if not (cuda.is_available() and torch.cuda.is_available()):
        sys.exit("found no CUDA device, or no torch built for one; nothing is measured")
    name = torch.cuda.get_device_name()
    peaks = next((p for start, p in PEAKS.items() if name.startswith(start)), None)
    rows = []
    for parity in arguments.parities:
        rows.append(measure(parity, atoms, peaks))
        tell(rows[-1])
    write_device_record(arguments.output, name, ("torch", "e3nn", "vesin"), rows)


if __name__ == "__main__":
    main()
