"""Several ranks as one program: the exchange between them, and one end and one message for all."""

from __future__ import annotations

from .launched import launched
from .particles import SERIAL, Exchange


def exchange_of_launch() -> Exchange:
    """Return the exchange between the ranks that a launcher started, the serial one without a launcher.

    Raises
    ------
    MissingDependency : several ranks, and no mpi4py
    InputError : mpi4py belongs to another MPI than the launcher

    """
    if launched()[1] == 1:
        return SERIAL
    from .mpi import RankExchange, the_world

    return RankExchange(the_world(launched()[1]))


def settle(code: int, *, everywhere: bool) -> bool:
    """Return whether this rank should say what happened; end all ranks at once when the others go on waiting for this one.

    Parameters
    ----------
    code : exit code of this rank
    everywhere : whether it is known that all ranks fail in the same way

    """
    rank, size = launched()
    if size == 1:
        return True
    from .mpi.world import existing_world

    world = existing_world()
    if world is None or everywhere:  # before they met, ranks fail alike: they read the same job
        return rank == 0
    together, speaker = world.settle(code)
    if not together:
        world.abort_later(code, speaker=speaker)
    return speaker
