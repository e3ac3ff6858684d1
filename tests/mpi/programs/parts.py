"""Write a trajectory in parts as fast as it goes: arguments are the path, the first frame, and how many (0: no end).

Particle i of 40 is at (k, i, rank that owned it) in frame k; owners change with every frame; particle 7 is gone from frame 5 on.
"""

import os
import sys
from pathlib import Path

import numpy as np
from askel.mpi import RankExchange, the_world
from askel.particles import Particles
from askel.particles.io_h5md_ranks import PartsWriter


def state(rank, size, frame):
    identity = np.arange(40)
    own = identity[((identity * 7 + frame) % size == rank) & ((identity != 7) | (frame < 5))]
    position = np.column_stack([np.full(len(own), float(frame)), own, np.full(len(own), float(rank))])
    return Particles(np.ones(len(own)), position, 0.0 * position, identity=own, time=float(frame))


if __name__ == "__main__":
    exchange = RankExchange(the_world())
    path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    mine = state(exchange.rank, exchange.size, first)
    if first:
        lengths = {"particles/trajectory": first, "series/x": first}
        writer = PartsWriter.resume(exchange, path, lengths, mine)
    else:
        writer = PartsWriter.create(exchange, path, mine, {})
    pids = np.concatenate(exchange.allgather(np.array([os.getpid()])))
    if exchange.rank == 0:
        os.write(1, f"pids {' '.join(map(str, pids))}\n".encode())
    with writer:
        frame = first
        while frame < first + count or not count:
            writer.append_row("series/x", {"frame": frame})
            writer.append(state(exchange.rank, exchange.size, frame), frame)
            frame += 1
            if exchange.rank == 0:
                os.write(1, f"frames {frame}\n".encode())
