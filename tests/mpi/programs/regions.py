"""Run by several ranks: a cluster with merging black holes, under regions; rank 0 writes what became of it.

Arguments: the file to write, and the end of the run.
"""

import json
import sys
from pathlib import Path

import numpy as np
from askel.integrators import Fixed, Records, Simulation
from askel.mpi import RankExchange, the_world
from askel.nbody import Mergers
from askel.nbody.galaxy import regions
from askel.nbody.initial_conditions import BlackHoleBinary, Component, Galaxy, Hernquist
from askel.particles import nbody_units
from askel.particles.collective import gather, spread

TERMS = ("1", "2", "2.5")


class AllPairs:
    """Newtonian sums over the particles of all ranks, in the order of identities, in plain NumPy."""

    provides = frozenset({"acceleration", "potential_energy"})
    velocity_dependent = False

    def __init__(self, exchange):
        self.exchange = exchange

    def evaluate(self, particles, out):
        rows = np.column_stack([particles.identity.astype(float), particles.mass, particles.position])
        rows = np.concatenate(self.exchange.allgather(rows))
        rows = rows[np.argsort(rows[:, 0])]
        apart = rows[None, :, 2:] - particles.position[:, None]
        square = np.einsum("ijk,ijk->ij", apart, apart)
        own = rows[None, :, 0] == particles.identity[:, None]
        inverse = np.where(own, 0.0, 1.0 / np.sqrt(np.where(own, 1.0, square)))
        out.acceleration[...] = np.einsum("ij,ijk->ik", rows[None, :, 1] * inverse**3, apart)
        out.potential_energy = -0.5 * float(particles.mass @ inverse @ rows[:, 1])


def main(world):
    exchange = RankExchange(world, every=2)
    galaxy = Galaxy(
        [Component(Hernquist(1.0, 1.0), 150)],
        black_hole=BlackHoleBinary(0.04, 0.0018),
        further_black_holes=[],
    )
    whole = galaxy.sample(seed=2, units=nbody_units(speed_of_light=30.0))
    whole.softening = np.full(whole.n, 1e-3)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    method = regions(
        AllPairs(exchange), radius=0.1, tidal_accuracy=0.0, tolerance=1e-12, post_newtonian=TERMS, merger_distance=12.0,
        resolver=Mergers(post_newtonian=TERMS), exchange=exchange,
    )  # fmt: skip
    records = Records(np.inf)
    run = Simulation(mine, method, Fixed(0.02), observers=[records], exchange=exchange)
    report = run.run(float(sys.argv[2]))
    end = gather(exchange, run.particles)
    if exchange.rank == 0:
        order = np.argsort(end.identity)
        facts = {
            "identity": end.identity[order].tolist(), "position": end.position[order].tolist(),
            "mass": end.mass[order].tolist(), "energy_error": report.max_energy_error,
            "events": records.events, "rows": len(run.rows), "members": report.statistics["max_members"],
        }  # fmt: skip
        Path(sys.argv[1]).write_text(json.dumps(facts))


main(the_world())
