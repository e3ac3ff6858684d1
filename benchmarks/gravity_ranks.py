"""Gravity over several ranks: what each sends, how even its work is, and what the forces are worth.

Usage: python benchmarks/gravity_ranks.py [result.json]; it starts mpiexec itself. More ranks than cores are fine: bytes and
messages are counted, and work is the processor time of each rank, not the time that passed.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from askel.integrators import Evaluation
from askel.nbody import Fmm
from askel.particles import Particles
from askel.particles.collective import spread
from machine import machine

COUNTS, SIZES, SAMPLE, ERROR = (1, 2, 4, 8), (20_000, 60_000, 200_000), 400, 1e-3
REPEATS = 6  # the shortest time counts: ranks share cores with each other


def plummer(n):
    rng = np.random.default_rng(1)
    radius = 1.0 / np.sqrt(rng.uniform(0.0, 0.999, n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    position = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    return Particles(np.full(n, 1.0 / n), position, np.zeros((n, 3)), softening=np.full(n, 0.01))


def exact(whole, which):
    """Return the accelerations of some particles by direct sums."""
    out = np.empty((len(which), 3))
    for row, i in enumerate(which):
        apart = whole.position - whole.position[i]
        s2 = (apart**2).sum(axis=1) + whole.softening[i] ** 2
        out[row] = (whole.mass * s2**-1.5) @ apart
    return out


def timed(exchange, interaction, mine):
    """Return an evaluation and the processor seconds that each rank takes for it, waiting for the others left out."""
    out, seconds, traffic = Evaluation(mine.n), [], exchange.traffic
    interaction.evaluate(mine, out)
    exchange.barrier()
    traffic.clear()
    for _ in range(REPEATS):
        started, waited = time.process_time(), traffic.waited
        interaction.evaluate(mine, out)
        seconds.append(time.process_time() - started - traffic.waited + waited)
    return out, float(np.min(seconds))


def measure(exchange, n):
    """Return the figures of one size; the particles lie along the curve of the decomposition, shared by number, then by work."""
    whole = plummer(n)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    interaction = Fmm(relative_error=ERROR, exchange=exchange)
    out, by_number = timed(exchange, interaction, mine)
    for _ in range(3 if exchange.size > 1 else 0):
        exchange.weigh(out.work)
        mine, _ = exchange.migrate(mine)
        out = Evaluation(mine.n)
        interaction.evaluate(mine, out)
    out, seconds = timed(exchange, interaction, mine)
    traffic = exchange.traffic
    sent = sum(traffic.bytes.get(name, 0) for name in ("allgather", "alltoall")) / REPEATS
    messages = sum(traffic.messages.values()) / REPEATS
    force = mine.mass[:, None] * out.acceleration
    sums = exchange.reduce(np.array([*force.sum(axis=0), np.abs(force).sum()]), "sum")
    which = np.sort(np.random.default_rng(2).choice(n, SAMPLE, replace=False))
    rows = np.flatnonzero(np.isin(mine.identity, which))
    a = exact(whole, mine.identity[rows])
    error2 = float((((out.acceleration[rows] - a) ** 2).sum(axis=1) / (a**2).sum(axis=1)).sum())
    return {
        "bytes": [int(part[0]) for part in exchange.allgather(np.array([sent]))],
        "alltoall_bytes": [
            int(p[0]) for p in exchange.allgather(np.array([traffic.bytes.get("alltoall", 0) / REPEATS]))
        ],
        "messages": [float(part[0]) for part in exchange.allgather(np.array([messages]))],
        "particles": [int(part[0]) for part in exchange.allgather(np.array([mine.n]))],
        "cpu_seconds": [float(part[0]) for part in exchange.allgather(np.array([seconds]))],
        "cpu_seconds_by_number": [float(part[0]) for part in exchange.allgather(np.array([by_number]))],
        "rms_error": float(np.sqrt(exchange.reduce(error2, "sum") / SAMPLE)),
        "momentum": float(np.abs(sums[:3]).max() / sums[3]),
    }


def one_rank(file):
    """Run on every rank: measure all sizes."""
    from askel.mpi import RankExchange, the_world

    exchange = RankExchange(the_world(), every=1)
    Fmm(leaf_size=8).evaluate(few := plummer(200), Evaluation(few.n))  # compiles
    Fmm(leaf_size=8, exchange=exchange).evaluate(few := plummer(200), Evaluation(few.n))  # compiles
    found = {str(n): measure(exchange, n) for n in SIZES}
    if exchange.rank == 0:
        Path(file).write_text(json.dumps(found))


def main():
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            file = Path(folder) / f"{count}.json"
            mpiexec = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
            subprocess.run([mpiexec, "-n", str(count), sys.executable, __file__, "--rank", str(file)], check=True)
            found[str(count)] = json.loads(file.read_text())
    for of_size in found.values():
        for row in of_size.values():
            for name in ("", "_by_number"):
                seconds = row["cpu_seconds" + name]
                row["imbalance" + name] = max(seconds) / (sum(seconds) / len(seconds))
            print({k: v if not isinstance(v, list) else max(v) for k, v in row.items()})
    result = {"machine": machine(), "relative_error": ERROR, "ranks": found}
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results" / "gravity_ranks.json"
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    one_rank(sys.argv[2]) if sys.argv[1:2] == ["--rank"] else main()
