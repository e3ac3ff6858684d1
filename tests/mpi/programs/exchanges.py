"""Run by several ranks: every check below compares what the ranks do together with what one process finds alone."""

import sys
import traceback

import numpy as np
from askel.mpi import RankExchange, the_world
from askel.particles import UNIT_SYSTEMS, InputError, NumericalFailure, Particles
from askel.particles.collective import agree, agreed_failure, gather, spread, together

CELLS = {
    "open": (None, None),
    "cube": (np.eye(3) * 6.0, (True, True, True)),
    "triclinic": (np.array([[6.0, 0.0, 0.0], [2.5, 5.0, 0.0], [-1.0, 2.0, 4.5]]), (True, True, True)),
    "slab": (np.array([[6.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 0.0]]), (True, True, False)),
    "small cell": (np.eye(3) * np.array([2.0, 9.0, 3.0]), (True, True, True)),
}


def state(n, kind="open", seed=1):
    rng = np.random.default_rng(seed)
    cell, periodic = CELLS[kind]
    extra = {} if cell is None else {"cell": cell, "periodic": periodic}
    identity = rng.permutation(5 * n)[:n]
    return Particles(
        rng.random(n) + 0.5,
        rng.normal(size=(n, 3)) * 3.0,
        rng.normal(size=(n, 3)),
        identity=identity,
        time=1.25,
        units=UNIT_SYSTEMS["ase"],
        species=rng.integers(1, 9, n).astype(np.int32),
        spin=rng.normal(size=(n, 3)),
        kind=np.full(n, 5, np.int8),
        **extra,
    )


def shared(exchange, particles):
    return spread(exchange, particles if exchange.rank == 0 else None)


def same(a, b):
    """Whether two states are equal to the last bit, up to the order of particles."""
    i, j = np.argsort(a.identity), np.argsort(b.identity)
    assert [f.name for f in a.present()] == [f.name for f in b.present()] and a.units == b.units and a.time == b.time
    for field in a.present():
        one, two = getattr(a, field.name), getattr(b, field.name)
        if field.scope == "particle":
            assert np.array_equal(one[i], two[j]), field.name
        else:
            assert np.array_equal(one, two), field.name


def everywhere(exchange, particles):
    """Return all particles on every rank, from the exchange's own gather and a second way."""
    ids = np.sort(np.concatenate(exchange.allgather(particles.identity)))
    whole = gather(exchange, particles)
    if exchange.rank == 0:
        assert np.array_equal(whole.identity if exchange.size > 1 else np.sort(whole.identity), ids)
    else:
        assert whole.n == 0
    return whole


# ---------------------------------------------------------------------- checks


def check_numbers(world):
    exchange = RankExchange(world)
    r, p = exchange.rank, exchange.size
    assert exchange.reduce(r + 1, "sum") == p * (p + 1) // 2 and isinstance(exchange.reduce(r, "sum"), int)
    assert exchange.reduce(0.5 * r, "max") == 0.5 * (p - 1) and isinstance(exchange.reduce(0.5, "min"), float)
    assert np.array_equal(exchange.reduce(np.array([[r], [-r]]), "min"), [[0], [1 - p]])
    numbers = np.random.default_rng(r).normal(size=1000)
    sums = exchange.allgather(exchange.reduce(numbers, "sum"))
    assert all(np.array_equal(s, sums[0]) for s in sums)
    mine = np.full((r, 2), r, np.int32)
    for s, part in enumerate(exchange.allgather(mine)):
        assert part.shape == (s, 2) and part.dtype == np.int32 and (part == s).all()
    kind = np.dtype([("a", np.int64), ("b", np.float64, (3,))])
    parts = []
    for s in range(p):
        rows = np.zeros((r * s) % 3, kind)
        rows["a"], rows["b"] = 100 * r + s, 0.5 * r
        parts.append(rows)
    for s, part in enumerate(exchange.alltoall(parts)):
        assert len(part) == (r * s) % 3 and (part["a"] == 100 * s + r).all() and (part["b"] == 0.5 * s).all()
    traffic = exchange.traffic
    sent = sum(part.nbytes for s, part in enumerate(parts) if s != r)
    assert traffic.bytes["alltoall"] == sent and traffic.messages["reduce"] == 6, traffic


def check_spreading_loses_nothing(world):
    for kind in CELLS:
        for n in (0, 1, 2, 5, 300):
            exchange, whole = RankExchange(world), state(n, kind)
            mine = shared(exchange, whole)
            found = everywhere(exchange, mine)
            if exchange.rank == 0:
                same(found, whole)


def check_migration_loses_nothing(world):
    """Particles jump at random, for many steps; identities and every field come through, and each is at its owner's."""
    for seed in range(6):
        kind = list(CELLS)[seed % len(CELLS)]
        exchange, whole = RankExchange(world, every=1), state(60 + 7 * seed, kind, seed)
        mine = shared(exchange, whole)
        for step in range(8):
            noise = np.random.default_rng(100 * seed + step).normal(size=(5 * whole.n, 3)) * (0.1 if step % 3 else 4.0)
            whole.position += noise[whole.identity]
            mine.position += noise[mine.identity]
            before = mine.clone()
            after, kept = exchange.migrate(mine)
            assert np.array_equal(after.identity[: len(kept)], before.identity[kept])
            assert not np.isin(after.identity[len(kept) :], before.identity).any()
            assert (exchange.decomposition.owners(after.position) == exchange.rank).all()
            mine = after
            found = everywhere(exchange, mine)
            if exchange.rank == 0:
                same(found, whole)


def check_nothing_moves_without_need(world):
    exchange = RankExchange(world, every=1, bound=1.5)
    mine = shared(exchange, state(100))
    again, kept = exchange.migrate(mine)
    assert again is mine and np.array_equal(kept, np.arange(mine.n))
    exchange = RankExchange(world, every=3)
    mine = shared(exchange, state(100))
    mine.position += 50.0 * np.random.default_rng(exchange.rank).normal(size=(mine.n, 3))
    assert exchange.migrate(mine)[0] is mine and exchange.migrate(mine)[0] is mine
    moved = exchange.migrate(mine)[0]
    assert world.size == 1 or exchange.reduce(int(moved is not mine), "max")


def check_all_with_one_rank_are_shared_out(world):
    """Once there are cuts, everything lies with rank 0, and then with the last: the others have nothing to measure."""
    exchange, whole = RankExchange(world, every=1), state(60)
    mine = shared(exchange, whole)
    exchange.weigh(np.where(mine.identity % 7 < 2, 40.0, 1.0) + mine.identity)  # cuts that share the number unevenly
    exchange.migrate(mine)
    for holder in (0, world.size - 1):
        mine = exchange.migrate(whole.select(np.full(whole.n, exchange.rank == holder)))[0]
        assert mine.n <= whole.n // world.size + 1
        found = everywhere(exchange, mine)
        if exchange.rank == 0:
            same(found, whole)


def check_work_is_balanced(world):
    exchange = RankExchange(world, every=1, bound=1.1)
    mine = shared(exchange, state(4000))
    counts = np.array([len(part) for part in exchange.allgather(mine.identity)])
    assert counts.max() <= 1.01 * counts.mean() + 1, counts
    for _ in range(2):
        work = np.where(mine.position[:, 0] > 0.0, 10.0, 1.0)
        exchange.weigh(work)
        mine = exchange.migrate(mine)[0]
    loads = exchange.reduce(
        np.bincount([exchange.rank], [np.where(mine.position[:, 0] > 0, 10.0, 1.0).sum()], world.size), "sum"
    )
    assert loads.max() <= 1.02 * loads.mean() + 10, loads
    assert exchange.decomposition.imbalance < 1.03
    if world.size > 1:
        counts = np.array([len(part) for part in exchange.allgather(mine.identity)])
        assert counts.max() > 1.3 * counts.mean(), "equal work is not equal numbers here"


def brute_ghosts(whole, mine, reach):
    """Return identities of all others with an image within reach, by looking at all pairs and many images."""
    others = ~np.isin(whole.identity, mine.identity)
    found = np.zeros(whole.n, bool)
    steps = [(0, 0, 0)]
    if whole.cell is not None:
        spans = [range(-12, 13) if p else range(1) for p in whole.periodic]
        steps = [(i, j, k) for i in spans[0] for j in spans[1] for k in spans[2]]
    cell = np.zeros((3, 3)) if whole.cell is None else whole.cell
    fractional = None
    if whole.cell is not None:  # into the cell first, so that few images are enough
        full = np.where(np.array(whole.periodic)[:, None], cell, np.eye(3))
        fractional = np.floor(whole.position @ np.linalg.inv(full)) * np.array(whole.periodic)
        place = whole.position - fractional @ full
        own = mine.position - (np.floor(mine.position @ np.linalg.inv(full)) * np.array(whole.periodic)) @ full
        steps = [s for s in steps if max(map(abs, s)) <= 3]
    else:
        place, own = whole.position, mine.position
    for s in steps:
        moved = place[others] + np.array(s, float) @ cell
        if len(own):
            near = (np.linalg.norm(moved[:, None] - own[None], axis=2) <= reach).any(axis=1)
            found[np.flatnonzero(others)[near]] = True
    return np.sort(whole.identity[found])


def check_ghosts(world):
    for kind in CELLS:
        for n, reach in ((2, 1.0), (150, 1.3), (150, 3.5), (150, 1e-9)):
            exchange, whole = RankExchange(world), state(n, kind)
            mine = shared(exchange, whole)
            ghosts = exchange.ghosts(mine, ("identity", "position", "mass"), reach)
            assert np.array_equal(np.sort(ghosts.identity), brute_ghosts(whole, mine, reach)), (kind, n, reach)
            row = {int(i): k for k, i in enumerate(whole.identity)}
            at = [row[int(i)] for i in ghosts.identity]
            assert np.array_equal(ghosts.position, whole.position[at]) and np.array_equal(ghosts.mass, whole.mass[at])
            assert ghosts.spin is None and ghosts.species is None


def check_halo_forward_and_reverse(world):
    exchange, whole = RankExchange(world), state(200, "triclinic")
    mine = shared(exchange, whole)
    halo = exchange.halo(mine.position, mine.cell, mine.periodic, 1.5)
    exchange.traffic.clear()
    for shape, dtype in (((), np.float32), ((4, 5), np.float64), ((3,), np.int64)):
        row = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
        rows = mine.identity.astype(dtype).reshape(-1, *[1] * len(shape)) + row
        ids = halo.forward(mine.identity)
        assert np.array_equal(halo.forward(rows), ids.astype(dtype).reshape(-1, *[1] * len(shape)) + row)
    ghosts = exchange.reduce(halo.n, "sum")
    features = np.zeros((mine.n, 9, 16), np.float32)
    exchange.traffic.clear()
    halo.forward(features)
    assert exchange.reduce(exchange.traffic.bytes["halo"], "sum") == ghosts * 9 * 16 * 4
    assert exchange.reduce(exchange.traffic.messages["halo"], "sum") <= world.size * (world.size - 1)
    owned = np.zeros((mine.n, 2))
    halo.reverse(np.ones((halo.n, 2)) * [1.0, 10.0], owned)
    copies = np.concatenate(exchange.allgather(halo.forward(mine.identity)))
    times = np.array([(copies == i).sum() for i in mine.identity])
    assert np.array_equal(owned, times[:, None] * [1.0, 10.0])


def check_colocate(world):
    exchange, whole = RankExchange(world), state(100)
    mine = shared(exchange, whole)
    owners = np.concatenate(exchange.allgather(np.full(mine.n, exchange.rank)))
    ids = np.concatenate(exchange.allgather(mine.identity))
    chosen = ids[owners == world.size - 1]
    assert exchange.colocate(mine, chosen) == world.size - 1


def check_restart_keeps_the_order(world):
    exchange, whole = RankExchange(world, every=2), state(120, "slab")
    mine = shared(exchange, whole)
    mine.position[...] += 0.3
    mine = exchange.migrate(exchange.migrate(mine)[0])[0]
    tree, saved = exchange.state_dict(mine), gather(exchange, mine)
    if exchange.rank:
        tree["identity"] = tree["identity"][:0]
    other = RankExchange(world, every=2)
    back = spread(other, saved if exchange.rank == 0 else None, tree)
    assert np.array_equal(back.identity, mine.identity) and np.array_equal(back.position, mine.position)
    one, two = exchange.migrate(mine)[0], other.migrate(back)[0]
    assert np.array_equal(one.identity, two.identity)
    tree["size"] = world.size + 1  # as if of another number of ranks
    back = spread(RankExchange(world), saved if exchange.rank == 0 else None, tree)
    found = gather(exchange, back)
    if exchange.rank == 0:
        same(found, saved)


def check_errors_are_common(world):
    exchange = RankExchange(world)
    last = exchange.size - 1
    try:
        with together(exchange):
            if exchange.rank == last:
                raise InputError("no such thing; give another")
    except InputError as error:
        assert str(error) == "no such thing; give another" and error.exit_code == 2
        assert error.everywhere or exchange.size == 1
    else:
        raise AssertionError("nothing was raised")
    agree(exchange, None)
    failure = NumericalFailure("not finite", time=0.1, step=3, identities=[7 + last]) if exchange.rank == last else None
    try:
        agreed_failure(exchange, failure)
    except NumericalFailure as error:
        assert (error.time, error.step, error.identities) == (0.1, 3, (7 + last,)), error
    else:
        raise AssertionError("nothing was raised")


def main():
    world = the_world()
    checks = {name: check for name, check in globals().items() if name.startswith("check_")}
    for name, check in checks.items():
        try:
            check(world)
        except Exception:
            print(f"FAILED {name} on rank {world.rank}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            world.settle(1)
            world.abort(1)
        world.barrier()
        if world.rank == 0:
            print("ok", name, flush=True)


if __name__ == "__main__":
    main()
