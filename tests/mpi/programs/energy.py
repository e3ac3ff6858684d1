"""Run by several ranks: the energy, forces and virial of a network over ranks, against one rank and against differences."""

import numpy as np
from askel.equivariant import Architecture, Model, Network
from askel.integrators import Evaluation, Fixed, Simulation
from askel.integrators.composition import leapfrog
from askel.md.energy_model import EnergyModel
from askel.md.model_library import open_model
from askel.mpi import RankExchange, the_world
from askel.particles import SERIAL, UNIT_SYSTEMS, InputError, Particles
from askel.particles.collective import gather, spread

WANTS = ("acceleration", "potential_energy", "virial")
BOUNDS = {"float64": 1e-12, "float32": 1e-5}


def copper(cells=3):
    """Warm fcc copper in a slanted cell, without one of its atoms."""
    rng = np.random.default_rng(4)
    corner = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    place = 3.61 * (corner + 0.5 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])).reshape(-1, 3)[1:]
    cell = 3.61 * cells * (np.eye(3) + np.array([[0, 0, 0], [0.02, 0, 0], [0, -0.01, 0]]))
    place = place @ np.linalg.inv(3.61 * cells * np.eye(3)) @ cell + rng.normal(0.0, 0.1, place.shape)
    return atoms(np.full(len(place), 29), np.full(len(place), 63.546), place, rng, cell)


def molecule(n=24):
    """A grid of hydrogen, carbon and oxygen in no cell, disturbed."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n]
    species = rng.permutation(np.resize([1, 8, 6, 1], n))
    mass = np.array([{1: 1.008, 6: 12.011, 8: 15.999}[z] for z in species.tolist()])
    return atoms(species, mass, 1.5 * grid + rng.uniform(-0.25, 0.25, (n, 3)), rng)


def atoms(species, mass, place, rng, cell=None):
    velocity = 0.05 * rng.normal(size=place.shape) / np.sqrt(mass)[:, None]
    return Particles(mass, place, velocity, units=UNIT_SYSTEMS["ase"], species=species, cell=cell,
                     periodic=None if cell is None else np.ones(3, bool))  # fmt: skip


def untrained():
    a = Architecture(
        head="energy", species=(1, 6, 8), masses=(1.008, 12.011, 15.999), atom_energy=(-1.0, -2.0, -3.0), energy_scale=0.7,
        cutoff=3.0, average_neighbours=7.0, channels=4, layers=3, l_max=2, radial_functions=4, radial_hidden=(8,),
        parity="both",
    )  # fmt: skip
    return Model(a, {k: 10.0 * w if k == "readout" else w for k, w in Network(a).arrays().items()})


def scattered(exchange, whole):
    """Return what a rank gets when identities are dealt out in turn: many ghosts, and nothing for the last of three or more."""
    givers = exchange.size if exchange.size < 3 else exchange.size - 1
    return whole.select(whole.identity % givers == exchange.rank)


def evaluated(model, particles, exchange, dtype, backend="cpu"):
    out = Evaluation(particles.n, WANTS)
    EnergyModel(model, dtype=dtype, backend=backend, exchange=exchange).evaluate(particles, out)
    return out


def summed(exchange, out):
    return exchange.reduce(float(out.potential_energy), "sum"), exchange.reduce(out.virial, "sum")


def largest(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def check(world, name, model, whole, share, dtype, backend="cpu"):
    exchange = RankExchange(world)
    mine = share(exchange, whole)
    exchange.traffic.clear()
    out = evaluated(model, mine, exchange, dtype, backend)
    energy, virial = summed(exchange, out)
    traffic = exchange.traffic.bytes
    forward, back = (exchange.reduce(traffic.get(k, 0), "sum") for k in ("halo", "reverse"))
    carrier = mine.clone()
    carrier.velocity[...] = out.acceleration
    together = gather(exchange, carrier)
    if exchange.rank:
        return
    one = evaluated(model, whole, SERIAL, dtype, backend)
    order = np.argsort(together.identity)
    errors = {
        "energy": abs(energy / one.potential_energy - 1.0),
        "forces": largest(together.velocity[order], one.acceleration),
        "virial": largest(virial, one.virial),
    }
    assert max(errors.values()) <= BOUNDS[dtype], (name, dtype, errors)
    if world.size > 1:
        assert errors["forces"] > 0.0, "the sums are in another order"
        check_bytes(model.architecture, forward, back, np.dtype(dtype).itemsize, backend)
    print("ok", name, share.__name__, dtype, backend, f"{max(errors.values()):.1e}", flush=True)


def check_bytes(a, forward, back, width, backend):
    """Positions go to ghosts and forces return; features go a layer, and in the backward pass what their messages need.

    In torch positions go twice (for the graph, and to be differentiated), and the gradients of features return, but of the
    first, which depend on no position.
    """
    from askel.equivariant.paths import dimension
    from askel.equivariant.pruning import kept_kinds, kinds_before

    rows = [dimension(kinds_before(a, t)) for t in range(a.layers)]
    after = [dimension(kept_kinds(a, t)) + sum(degree > 0 for degree, _ in kept_kinds(a, t)) for t in range(a.layers)]
    places, there, returned = (2, rows, rows[1:]) if backend == "torch" else (1, rows + after, [])
    ghosts, rest = divmod(forward, places * 24 + sum(there) * a.channels * width)
    assert rest == 0 and ghosts > 0
    assert back == ghosts * (24 + sum(returned) * a.channels * width)


def check_differences(world, model, whole):
    """The force on one atom, and the virial of a stretch, against the total energy of all ranks at both ends."""
    exchange = RankExchange(world)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    out = evaluated(model, mine, exchange, "float64")
    _, virial = summed(exchange, out)
    for identity, axis in ((3, 0), (17, 2)):
        row = mine.identity == identity
        force = exchange.reduce(float((mine.mass[row] * out.acceleration[row, axis]).sum()), "sum")
        ends = []
        for sign in (1.0, -1.0):
            moved = mine.clone()
            moved.position[row, axis] += sign * 1e-4
            ends.append(summed(exchange, evaluated(model, moved, exchange, "float64"))[0])
        assert abs((ends[1] - ends[0]) / 2e-4 - force) < 1e-6 * max(abs(force), 1.0) and abs(force) > 1e-3
    if mine.cell is not None:
        ends = []
        for sign in (1.0, -1.0):
            moved, stretch = mine.clone(), np.eye(3)
            stretch[0, 1] += sign * 1e-5
            moved.position[...], moved.cell[...] = moved.position @ stretch, moved.cell @ stretch
            ends.append(summed(exchange, evaluated(model, moved, exchange, "float64"))[0])
        assert abs((ends[1] - ends[0]) / 2e-5 - virial[0, 1]) < 1e-6 * np.abs(virial).max()
        assert abs(virial[0, 1]) > 1e-3
    if exchange.rank == 0:
        print("ok differences", flush=True)


def check_dynamics(world, model, whole):
    """Velocity Verlet at constant energy: the same end and the same small error as on one rank."""
    ends = []
    for exchange in (RankExchange(world, every=3), SERIAL):
        mine = spread(exchange, whole if exchange.rank == 0 else None)
        interaction = EnergyModel(model, exchange=exchange)
        run = Simulation(mine, leapfrog(interaction, exchange=exchange), Fixed(0.1), exchange=exchange,
                         potential=interaction)  # fmt: skip
        run.energy()
        run.run(1.5)
        ends.append((gather(exchange, run.particles), run.energy_error))
        if world.rank:
            break
    if world.rank:
        return
    (many, error), (one, alone) = ends
    assert largest(many.position[np.argsort(many.identity)], one.position) < 1e-11
    assert 1e-7 < abs(error) < 1e-3 and abs(error - alone) < 1e-9 * abs(alone), (error, alone)
    print("ok dynamics", f"{error:.1e}", flush=True)


def check_refusal(world, model, whole):
    """An atom of a species that the model does not know, on one rank: all raise, and none waits."""
    exchange = RankExchange(world)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    if exchange.rank == 0:
        mine.species[0] = 79
    try:
        evaluated(model, mine, exchange, "float64")
    except InputError as error:
        assert "79" in str(error), error
    else:
        raise AssertionError("nothing was raised")
    if exchange.rank == 0:
        print("ok refusal", flush=True)


def on_the_curve(exchange, whole):
    return spread(exchange, whole if exchange.rank == 0 else None)


if __name__ == "__main__":
    world = the_world()
    crystal, cluster, shipped, random = copper(), molecule(), open_model("copper-energy"), untrained()
    for dtype in ("float64", "float32"):
        check(world, "copper", shipped, crystal, on_the_curve, dtype)
        check(world, "molecule", random, cluster, scattered, dtype)
    check(world, "copper", shipped, crystal, scattered, "float64")
    check(world, "copper", shipped, crystal, on_the_curve, "float64", "torch")
    check_differences(world, shipped, crystal)
    check_differences(world, random, cluster)
    check_dynamics(world, shipped, copper(2))
    check_refusal(world, shipped, crystal)
