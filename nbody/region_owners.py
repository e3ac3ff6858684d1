"""Which rank moves which region: members are brought there from all ranks, and go back afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integrators import Event, Outcome, Settled, Step
from ..integrators.split_regions import Moved
from ..particles import Exchange, Particles
from ..particles.packing import pack_rows, unpack_rows


class Gathered:
    """The members of some regions, each region whole on one rank.

    The first region goes to the rank that owns most of it, each further one to the rank with the least to do, by what the chains
    did last.

    Parameters
    ----------
    exchange : Exchange
    members : of each region, on this rank
    memory : of the regions, see ``BlackHoleRegions.start``; the same on all ranks

    Attributes
    ----------
    wholes : all members of each region in the order of their identities, on the rank that moves it; None elsewhere

    """

    def __init__(self, exchange: Exchange, members: Sequence[Particles], memory: Any) -> None:
        self._exchange, self._members = exchange, list(members)
        self.wholes: list[Particles | None] = list(members)
        if exchange.size > 1:
            self._owners = self._assign(memory)
            self.wholes = [self._bring(m, owner) for m, owner in zip(members, self._owners, strict=True)]

    def returned(self, moved: Sequence[Moved | None], memory: Any) -> list[Moved]:
        """Return what became of the members of this rank; ``memory`` becomes the same on all ranks."""
        if self._exchange.size == 1:
            return [m for m in moved if m is not None]
        return [self._back(i, m, memory) for i, m in enumerate(moved)]

    def _assign(self, memory: Any) -> list[int]:
        exchange = self._exchange
        counts = exchange.reduce(np.array([m.n for m in self._members], np.float64), "sum")
        heaviest = np.array([(m.mass.max(), int(key_of(m))) if m.n else (0.0, -1) for m in self._members])
        keys = [int(max(rows[i].tolist() for rows in exchange.allgather(heaviest))[1]) for i in range(len(heaviest))]
        costs = [n**2 * max(1.0, float(memory.get(str(k), (0, 0, 0))[2])) for n, k in zip(counts, keys, strict=True)]
        owners, load = [0] * len(costs), np.zeros(exchange.size)
        for turn, i in enumerate(np.argsort(costs, kind="stable")[::-1]):
            most = exchange.colocate(self._members[i], self._members[i].identity)
            owners[i] = most if turn == 0 else int(np.argmin(load))
            load[owners[i]] += costs[i]
        return owners

    def _bring(self, members: Particles, owner: int) -> Particles | None:
        rows = pack_rows(members)
        came = self._exchange.alltoall([rows if r == owner else rows[:0] for r in range(self._exchange.size)])
        if self._exchange.rank != owner:
            return None
        whole = np.concatenate(came)
        state = unpack_rows(whole[np.argsort(whole["identity"], kind="stable")], members)
        state.time = members.time
        return state

    def _back(self, i: int, moved: Moved | None, memory: Any) -> Moved:
        words = b"" if moved is None else json.dumps(_told(moved, memory)).encode()
        said = self._exchange.allgather(np.frombuffer(words, np.uint8))
        facts = json.loads(next(part for part in said if len(part)).tobytes())
        memory |= {k: np.array(v) for k, v in facts["memory"].items()}
        mine = self._members[i]
        every = self._exchange.allgather(_records(moved, mine, facts["spins"]))
        rows = np.concatenate(every)
        order = np.argsort(rows["identity"], kind="stable")
        at = order[np.minimum(np.searchsorted(rows["identity"], mine.identity, sorter=order), max(len(rows) - 1, 0))]
        at = at[rows["identity"][at] == mine.identity] if len(rows) else at[:0]
        return Moved(unpack_rows(rows[at], mine), _step(facts))


def key_of(members: Particles) -> str:
    """Return the name of a region: the identity of its heaviest body."""
    return str(int(members.identity[np.argmax(members.mass)]))


def _records(moved: Moved | None, mine: Particles, spins: bool) -> NDArray:
    """Return the rows of a moved region, or none of the same layout; spins may have come up in a merger."""
    state = mine.select(np.zeros(mine.n, bool)) if moved is None else moved.particles
    if spins and state.spin is None:
        state.spin = np.zeros((state.n, 3))
    return pack_rows(state)


def _told(moved: Moved, memory: Any) -> dict[str, Any]:
    step = moved.step
    events = [{**asdict(e), "data": dict(e.data)} for e in step.events]
    return {
        "elapsed": step.elapsed, "outcome": step.outcome.name, "work": step.work, "events": events, "rows": step.rows,
        "identities": step.identities, "spins": moved.particles.spin is not None, "statistics": step.statistics,
        "memory": {k: np.asarray(v).tolist() for k, v in memory.items()},
    }  # fmt: skip


def _step(facts: dict[str, Any]) -> Step:
    events = tuple(
        Event(e["kind"], e["time"], tuple(e["identities"]), e["data"],
              None if e["settled"] is None else Settled(tuple(e["settled"]["gone"]), e["settled"]["stop"]))
        for e in facts["events"]
    )  # fmt: skip
    return Step(
        facts["elapsed"], outcome=Outcome[facts["outcome"]], work=facts["work"], events=events,
        rows=tuple((table, row) for table, row in facts["rows"]), identities=tuple(facts["identities"]),
        statistics=facts["statistics"],
    )  # fmt: skip
