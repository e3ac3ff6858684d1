"""A stride of 10,368 atoms of quartz on 1, 2, 4, ... ranks: equal results, bytes sent, how they grow, predicted efficiency.

python benchmarks/scaling.py --record      (ranks may share cores: processor time is counted, see docs/theory/scaling.md)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from askel.equivariant import neighbour_graph
from askel.md.model_library import open_model
from askel.mpi import Decomposition
from askel.particles import Particles
from askel.particles.files import read, write
from machine import machine

from askel.config import parse
from askel.parallel import exchange_of_launch
from askel.scaling import growth, launcher, measure, predicted, table

HERE = Path(__file__).resolve().parent
CELLS, MODEL = 4, "quartz-30fs"
LATENCY, BANDWIDTH = 2e-6, 10e9


def crystal(cells: int) -> Particles:
    """Return so many copies of the example's crystal along each cell vector, thermal velocities added by the job."""
    one = read(HERE.parent / "examples" / "structures" / "quartz.xyz")
    steps = [np.array([i, j, k]) for i in range(cells) for j in range(cells) for k in range(cells)]
    place = np.concatenate([one.position + s @ one.cell for s in steps])
    many = len(steps)
    return Particles(
        np.tile(one.mass, many), place, np.zeros_like(place), units=one.units, species=np.tile(one.species, many),
        cell=one.cell * cells, periodic=one.periodic,
    )  # fmt: skip


def ghosts_by_geometry(cells: int, counts: tuple[int, ...]) -> list[dict[str, float]]:
    """Return the mean number of ghosts per rank for P pieces of a larger crystal, from its edges, without any message."""
    whole, cutoff = crystal(cells), open_model(MODEL).architecture.cutoff
    graph = neighbour_graph(whole.position, whole.cell, whole.periodic, cutoff)
    found = []
    for count in counts:
        owner, _ = Decomposition(Alone(count)).shared(whole.position, np.ones(whole.n), whole.cell, whole.periodic)
        across = owner[graph.sender] != owner[graph.receiver]
        pairs = np.unique(graph.sender[across] * count + owner[graph.receiver[across]])
        found.append({"ranks": count, "particles": whole.n, "ghosts_per_rank": len(pairs) / count})
    return found


class Alone:
    """One process that cuts for many ranks."""

    def __init__(self, size: int) -> None:
        self.size = size

    def reduce(self, value: Any, operation: str) -> Any:
        """Return the value: all particles are here."""
        return value


def job(folder: Path) -> dict[str, Any]:
    return {
        "particles": {"file": str(folder / "crystal.xyz"), "temperature": 300.0},
        "integrator": {"kind": "stride", "model": MODEL},
        "run": {"t_end": "30 ps", "seed": 1},
    }


def child(folder: Path, steps: int) -> None:
    exchange = exchange_of_launch()
    found, state = measure(parse(job(folder)), folder, steps, exchange)
    if found is not None:
        order = np.argsort(state.identity)
        np.savez(folder / f"on{exchange.size}.npz", position=state.position[order], velocity=state.velocity[order])
        (folder / f"on{exchange.size}.json").write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", default="1,2,4,8,16")
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--child", metavar="FOLDER")
    options = parser.parse_args()
    if options.child:
        child(Path(options.child), options.steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "crystal.xyz", crystal(options.cells))
        counts = [int(p) for p in options.ranks.split(",")]
        records = []
        for count in counts:
            command = [
                launcher(),
                "-n",
                str(count),
                sys.executable,
                __file__,
                "--child",
                name,
                "--steps",
                str(options.steps),
            ]
            subprocess.run(command, check=True, env=os.environ | {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
            found = json.loads((folder / f"on{count}.json").read_text())
            one, many = np.load(folder / f"on{counts[0]}.npz"), np.load(folder / f"on{count}.npz")
            found["largest_difference_to_one_rank"] = {
                k: float(np.abs(one[k] - many[k]).max() / np.abs(one[k]).max()) for k in ("position", "velocity")
            }
            found["predicted_seconds"] = predicted(found, LATENCY, BANDWIDTH)
            records.append(found)
            print(count, found["largest_difference_to_one_rank"], flush=True)
    lines = table(records, LATENCY, BANDWIDTH)
    surface = ghosts_by_geometry(8, (8, 64, 512))
    x, y = np.log([(g["particles"] / g["ranks"], g["ghosts_per_rank"]) for g in surface]).T
    lines += [f"{g['particles']} atoms, {g['ranks']} ranks: {g['ghosts_per_rank']:.0f} ghosts each" for g in surface]
    lines.append(f"ghosts per rank grow as (N/P)^{np.polyfit(x, y, 1)[0]:.2f}")
    print("\n".join(lines))
    if options.record:
        result = {
            "what": "one stride of quartz by a network, shared out over ranks",
            "machine": machine(), "model": MODEL, "latency_s": LATENCY, "bandwidth_bytes_per_s": BANDWIDTH,
            "halo_bytes_exponent": growth(records), "table": lines, "records": records, "geometry": surface,
        }  # fmt: skip
        (HERE / "results" / "scaling.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
