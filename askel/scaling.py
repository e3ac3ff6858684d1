"""``askel scaling``: what a job would need on more ranks, from bytes, messages and work counted on as many ranks here.

The ranks may share cores: each one's processor time is measured, not the time on the clock. The model, and what it leaves out,
is in docs/theory/scaling.md:

    T(P) = max_r C_r + max_r [ m_r alpha + b_r / beta ] + n_c ceil(log2 P) alpha

| symbol | meaning | source |
|---|---|---|
| C_r | processor time of rank r in a step, communication left out | measured |
| m_r, b_r | messages and bytes that rank r sends in a step | counted |
| n_c | collective calls in a step | counted |
| alpha, beta | time of an empty message, bytes per second | of the network asked about |
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .build import build
from .config import load
from .launched import launched
from .parallel import exchange_of_launch
from .particles import Exchange, InputError, Particles
from .particles.collective import gather
from .tables import Config

#: Purposes of collective calls; the others are messages from one rank to another.
COLLECTIVE = ("reduce", "allgather", "barrier")
_COLUMNS = ("owned", "compute", "communicate", "bytes", "messages", "collectives", "halo_bytes")


def measure(config: Config, folder: Path, steps: int, exchange: Exchange) -> tuple[dict[str, Any] | None, Particles]:
    """Do some steps of a job on these ranks; return what each needed for one of them (on rank 0), and the final state there.

    The first step is not counted: tables are made in it, and particles move to their owners.
    """
    job = build(config, folder, exchange=exchange)
    simulation = job.simulation()
    step = getattr(job.controller, "step", None)
    if step is None:
        raise InputError("scaling is measured for methods with fixed steps; this job chooses its own")
    simulation.run(simulation.time + step)
    traffic = exchange.traffic
    traffic.clear()
    cpu = time.process_time()
    simulation.run(simulation.time + steps * step)
    cpu = time.process_time() - cpu - traffic.waited
    calls = sum(traffic.messages.get(name, 0) for name in COLLECTIVE)
    own = {
        "owned": simulation.particles.n,
        "compute": cpu / steps,
        "communicate": sum(traffic.seconds.values()) / steps,
        "bytes": sum(traffic.bytes.values()) / steps,
        "messages": (sum(traffic.messages.values()) - calls) / steps,
        "collectives": calls / steps,
        "halo_bytes": sum(traffic.bytes.get(name, 0) for name in ("halo", "reverse")) / steps,
    }
    rows = np.concatenate(exchange.allgather(np.array([[own[name] for name in _COLUMNS]], np.float64)))
    state = gather(exchange, simulation.particles)
    if exchange.rank > 0:
        return None, state
    per_rank = {name: rows[:, k].tolist() for k, name in enumerate(_COLUMNS)}
    return {"ranks": exchange.size, "particles": state.n, "per_rank": per_rank}, state


def predicted(found: dict[str, Any], latency: float, bandwidth: float) -> float:
    """Return T(P) in s of one step, each rank on a core of its own; see the head of this file."""
    rows = {name: np.array(values) for name, values in found["per_rank"].items()}
    talk = rows["messages"] * latency + rows["bytes"] / bandwidth
    together = rows["collectives"].max() * math.ceil(math.log2(max(found["ranks"], 1))) * latency
    return float(rows["compute"].max() + talk.max() + together)


def growth(records: Sequence[dict[str, Any]]) -> float | None:
    """Return the exponent p of halo bytes per rank ~ (N/P)^p, by least squares; None with fewer than two numbers of ranks."""
    points = [(r["particles"] / r["ranks"], np.mean(r["per_rank"]["halo_bytes"])) for r in records if r["ranks"] > 1]
    points = [(n, b) for n, b in points if b > 0.0]
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def table(records: Sequence[dict[str, Any]], latency: float, bandwidth: float) -> list[str]:
    """Return the lines that the command prints."""
    lines = [" ranks  particles/rank  imbalance  kB/step  messages  collectives  compute s  predicted s  efficiency"]
    first = records[0]
    base = predicted(first, latency, bandwidth) * first["ranks"]
    for record in records:
        rows = {name: np.array(values) for name, values in record["per_rank"].items()}
        mean = rows["compute"].mean()
        total = predicted(record, latency, bandwidth)
        lines.append(
            f"{record['ranks']:6d}  {rows['owned'].mean():14.0f}  {rows['compute'].max() / mean if mean else 1.0:9.2f}  "
            f"{rows['bytes'].mean() / 1e3:7.0f}  {rows['messages'].mean():8.1f}  {rows['collectives'].mean():11.1f}  "
            f"{rows['compute'].max():9.3g}  {total:11.3g}  {base / (record['ranks'] * total):10.0%}"
        )
    exponent = growth(records)
    if exponent is not None:
        lines.append(f"bytes of ghosts per rank grow as (N/P)^{exponent:.2f} (a surface: 0.67)")
    lines.append(f"network: {latency * 1e6:g} us a message, {bandwidth / 1e9:g} GB/s; each rank on a core of its own")
    return lines


def scaling(options: argparse.Namespace) -> int:
    """Run the command: start the ranks, one number of them after the other, or be one of them."""
    job = Path(options.job)
    if options.steps < 1:
        raise InputError(f"--steps {options.steps}: expected 1 or more")
    if launched()[1] > 1 or options.here:
        found, _ = measure(load(job, options.set), job.parent, options.steps, exchange_of_launch())
        if found is not None:
            print(json.dumps(found))
        return 0
    records = [_started(options, count) for count in _counts(options.ranks)]
    print("\n".join(table(records, options.latency * 1e-6, options.bandwidth * 1e9)))
    if options.output:
        Path(options.output).write_text(json.dumps(records, indent=1) + "\n")
    return 0


def _counts(text: str) -> list[int]:
    parts = text.split(",")
    if not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise InputError(f"--ranks {text}: expected numbers of ranks such as 1,2,4,8")
    return sorted({int(p) for p in parts})


def launcher() -> str:
    """Return ``mpiexec``: the one beside this Python, or on the path; raises InputError without one."""
    found = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise InputError("there is no mpiexec; it comes with: pip install 'askel[mpi]'")
    return found


def _started(options: argparse.Namespace, count: int) -> dict[str, Any]:
    command = [launcher(), "-n", str(count), sys.executable, "-m", "askel", "scaling", options.job, "--here"]
    command += ["--steps", str(options.steps), *(part for text in options.set for part in ("-s", text))]
    threads = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a rank is a core
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("askel: ")
        raise InputError(f"on {count} ranks: {said}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
