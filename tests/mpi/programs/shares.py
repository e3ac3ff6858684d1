"""Read the initial state of a job, write it as a frame and as a checkpoint; print rank, particles, MiB of memory."""

import resource
import sys
from pathlib import Path

import h5py  # noqa: F401  what is loaded before the first look at memory is not counted
import numpy as np
from askel.integrators.carry import state_to_tree
from askel.particles.io_h5md_ranks import GatheredWriter, PartsWriter, TrajectoryWriter

from askel.initial_state import initial_state
from askel.outputs import Outputs
from askel.parallel import exchange_of_launch
from askel.request import request
from askel.saved import read_saved, save


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


if __name__ == "__main__":
    exchange = exchange_of_launch()
    asked = request(sys.argv[1], overrides=sys.argv[2:], exchange=exchange)
    in_shares = asked.config.output.files == "per-rank"
    exchange.barrier()
    before = peak()
    state = initial_state(asked.config, Path(), None, exchange, False)
    read = peak()
    path = asked.outputs.trajectory
    if in_shares:
        writer = PartsWriter.create(exchange, path, state, {})
    else:
        first = TrajectoryWriter.create(path, state, overwrite=True) if exchange.rank == 0 else None
        writer = GatheredWriter(exchange, first)
    with writer:
        writer.append(state, 0)
    wrote = peak()
    if in_shares:
        tree = {"particles": state_to_tree(state), "exchange": exchange.state_dict(None)}
        save(exchange, asked.outputs, tree, "", 0.0, {}, in_shares=True)
        del tree
        saved = read_saved(exchange, Outputs.of(path.name, Path(), anywhere=False))
        assert len(saved["simulation"]["particles"]["fields"]["identity"]) == state.n
    peaks = np.round(np.array([read, wrote, peak()]) - before, 1)
    lines = exchange.allgather(np.array([[exchange.rank, state.n, before, *peaks]]))
    if exchange.rank == 0:
        print("\n".join(" ".join(f"{x:g}" for x in row) for part in lines for row in part))
