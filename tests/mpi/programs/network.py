"""Run by several ranks: one model, one system, the atoms shared out; rank 0 compares with the same on one rank."""

import sys
from pathlib import Path

import numpy as np
from askel.equivariant import Engine
from askel.md.model_library import open_model
from askel.mpi import RankExchange, the_world
from askel.particles import InputError
from askel.particles.collective import gather, spread
from askel.particles.files import read

STRUCTURES = Path(__file__).resolve().parents[3] / "examples" / "structures"


def whole_state(name):
    particles = read(STRUCTURES / f"{name}.xyz")
    rng = np.random.default_rng(3)
    particles.velocity[...] = 0.02 * rng.normal(size=particles.velocity.shape) / np.sqrt(particles.mass)[:, None]
    particles.position += 0.01 * rng.normal(size=particles.position.shape)
    return particles


def strides(engine, particles):
    a = engine.architecture
    periodic = np.zeros(3, bool) if particles.periodic is None else particles.periodic
    cell = particles.cell if periodic.any() else None
    return engine.stride(
        particles.species, particles.mass, particles.position, particles.velocity, cell, periodic, a.strides[0]
    )


def largest(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def check(world, model, system, dtype, bound):
    exchange, whole = RankExchange(world), whole_state(system)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    loaded = open_model(model)
    exchange.traffic.clear()
    d, v = strides(Engine(loaded, dtype=dtype, exchange=exchange), mine)
    ghosts = exchange.reduce(exchange.traffic.bytes.get("halo", 0), "sum")
    mine.position[...], mine.velocity[...] = d, v  # carriers of the result
    together = gather(exchange, mine)
    if exchange.rank == 0:
        one, two = strides(Engine(loaded, dtype=dtype), whole)
        order = np.argsort(together.identity)
        errors = largest(together.position[order], one), largest(together.velocity[order], two)
        assert max(errors) <= bound, (model, dtype, errors)
        assert world.size == 1 or dtype == "float64" or max(errors) > 0.0, "the sums are in another order"
        assert world.size == 1 or ghosts > 0
        print("ok", model, dtype, f"{max(errors):.1e}", flush=True)


def check_refusal(world):
    """Atoms too close on one rank: every rank raises the same error, and none waits."""
    for spoil in (False, True):
        exchange, whole = RankExchange(world), whole_state("quartz")
        if not spoil:
            whole.position[5] = whole.position[0] + [0.1, 0.0, 0.0]
        mine = spread(exchange, whole if exchange.rank == 0 else None)
        if spoil and exchange.rank == world.size - 1:
            mine.position[0] = np.nan
        try:
            strides(Engine(open_model("quartz-30fs"), exchange=exchange), mine)
        except InputError as error:
            assert ("not finite" if spoil else "Angstrom apart") in str(error), error
        else:
            raise AssertionError("nothing was raised")
    exchange.barrier()
    if exchange.rank == 0:
        print("ok refusal", flush=True)


if __name__ == "__main__":
    world = the_world()
    cases = [("quartz-30fs", "quartz", "float32", 1e-5), ("paracetamol-7fs", "paracetamol", "float64", 1e-12)]
    if sys.argv[1:] == ["all"]:
        cases += [("quartz-30fs", "quartz", "float64", 1e-12), ("paracetamol-7fs", "paracetamol", "float32", 1e-5)]
    for case in cases:
        check(world, *case)
    check_refusal(world)
