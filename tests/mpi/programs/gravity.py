"""Run by several ranks: gravity of particles that they share against direct sums; rank 0 writes what was found.

Argument: the file to write.
"""

import json
import sys
from pathlib import Path

import numpy as np
from askel.integrators import Evaluation
from askel.mpi import RankExchange, the_world
from askel.nbody import DirectGravity, Fmm
from askel.particles import InputError, NumericalFailure, Particles
from askel.particles.collective import spread

WANTS = ("acceleration", "potential_energy", "virial")
TIDAL = ("few", "mixed", "one few", "spline", "direct")  # cases in which tides are wanted too


def plummer(n, softening=0.02):
    rng = np.random.default_rng(5)
    radius = 1.0 / np.sqrt(rng.random(n) ** (-2.0 / 3.0) - 1.0)
    direction = rng.normal(size=(n, 3))
    position = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    position[: n // 3] = 0.1 * position[: n // 3] + [1.5, 0.3, 0.0]  # a dense companion
    softening = softening * (1.0 + rng.random(n)) if softening else np.zeros(n)
    return Particles(rng.random(n) ** 2 / n, position, np.zeros((n, 3)), softening=softening)


def owned(exchange, whole, how):
    """Return what this rank owns: slabs of equal numbers; the last rank nothing; all mixed; or rank 0 alone one corner."""
    size, rank = exchange.size, exchange.rank
    ranks = max(1, size - 1) if how == "one empty" else size
    if how == "mixed":
        return whole.select(np.arange(whole.n) % size == rank)
    if how == "one few" and size > 1:
        far = whole.position[:, 0] > np.sort(whole.position[:, 0])[-4]
        return whole.select(far if rank == 0 else ~far & (np.arange(whole.n) % (size - 1) == rank - 1))
    order = np.argsort(np.argsort(whole.position[:, 0]))
    return whole.select(order * ranks // whole.n == rank)


def compared(exchange, whole, how, exact, kind=Fmm, wants=WANTS, **options):
    """Return errors against direct sums, momentum, and what the energy and the virial are off."""
    mine = owned(exchange, whole, how)
    out = Evaluation(mine.n, wants)
    kind(exchange=exchange, **options).evaluate(mine, out)
    a = exact.acceleration[mine.identity]
    error2 = ((out.acceleration - a) ** 2).sum(axis=1) / (a**2).sum(axis=1)
    force = mine.mass[:, None] * out.acceleration
    sums = np.array([*force.sum(axis=0), np.abs(force).sum(), error2.sum(), out.potential_energy, *out.virial.ravel()])
    sums = exchange.reduce(sums, "sum")
    tide2 = np.zeros(1)
    if out.tide is not None:
        tide = exact.tide[mine.identity]
        tide2 = ((out.tide - tide) ** 2).sum(axis=(1, 2)) / (tide**2).sum(axis=(1, 2))
    return {
        "tide": float(np.sqrt(exchange.reduce(tide2.sum(), "sum") / whole.n)),
        "rms": float(np.sqrt(sums[4] / whole.n)),
        "worst": float(np.sqrt(exchange.reduce(error2.max(initial=0.0), "max"))),
        "momentum": float(np.abs(sums[:3]).max() / sums[3]),
        "energy": float(sums[5] / exact.potential_energy - 1.0),
        "virial": float(np.abs(sums[6:].reshape(3, 3) - exact.virial).max() / np.abs(exact.virial).max()),
    }


def balance(exchange, n):
    """Return the work of the busiest rank over the mean: first of equal numbers, then twice of what is shared by work."""
    whole = plummer(n)
    mine = spread(exchange, whole if exchange.rank == 0 else None)
    found = []
    for _ in range(3):
        out = Evaluation(mine.n)
        Fmm(exchange=exchange).evaluate(mine, out)
        if out.work is not None:
            own = float(out.work.sum())
            found.append(exchange.reduce(own, "max") / exchange.reduce(own, "sum") * exchange.size)
            exchange.weigh(out.work)
            mine, _ = exchange.migrate(mine)
    return found


def failing(exchange, n):
    """Return the identities that all ranks name of two particles in one place."""
    whole = plummer(n, softening=0.0)
    whole.position[11] = whole.position[23]
    with np.errstate(all="ignore"):
        try:
            Fmm(exchange=exchange).evaluate(mine := owned(exchange, whole, "mixed"), Evaluation(mine.n, WANTS))
        except NumericalFailure as failure:
            return failure.identities
    return []


def main(world):
    exchange, facts = RankExchange(world), {}
    cases = {
        "few": (2000, "slabs", {}), "few, spline": (2000, "one empty", {"kernel": "spline"}),
        "slabs": (6000, "slabs", {}), "fine": (6000, "slabs", {"relative_error": 1e-5}),
        "one empty": (6000, "one empty", {"relative_error": 1e-2}), "mixed": (6000, "mixed", {}),
        "one few": (6000, "one few", {}), "spline": (6000, "slabs", {"kernel": "spline"}),
        "direct": (500, "one few", {"kind": DirectGravity}),
    }  # fmt: skip
    for name, (n, how, options) in cases.items():
        whole = plummer(n)
        exact, wants = Evaluation(n, (*WANTS, "tide")), (*WANTS, "tide") if name in TIDAL else WANTS
        direct = DirectGravity(kernel=options.get("kernel", "plummer"))
        direct.evaluate(whole, exact)
        facts[name] = compared(exchange, whole, how, exact, wants=wants, **options)
    facts["failing"] = [failing(exchange, 100), failing(exchange, 5000)]
    try:
        Fmm(exchange=exchange, backend="reference")
        facts["reference"] = ""
    except InputError as error:
        facts["reference"] = str(error)
    facts["bytes"] = dict(exchange.traffic.bytes)
    facts["balance"] = balance(RankExchange(world, every=1), 20_000)
    if exchange.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(facts))


main(the_world())
