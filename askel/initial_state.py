"""What each rank has at the start: the initial state read, completed, checked and shared out."""

from __future__ import annotations

from pathlib import Path

from . import checks
from .particles import Exchange, Particles
from .particles.collective import on_first, refuse_repeated, spread, together, with_common_fields
from .sources import completed, particles_of, share_of
from .tables import Config
from .times import times_of


def initial_state(
    config: Config, folder: Path, particles: Particles | None, exchange: Exchange, in_shares: bool
) -> Particles:
    """Return what this rank owns of the initial state, after all checks that need the whole of it."""
    share = particles if in_shares else None
    if particles is None and exchange.size > 1:
        with together(exchange):
            share = share_of(config, folder, exchange.rank, exchange.size)
        if share is not None:
            share = completed(config, with_common_fields(exchange, share))
    if share is None:
        whole = on_first(exchange, lambda: _checked_state(config, folder, particles))
        return spread(exchange, whole)
    return _checked_shares(config, share, exchange)


def _checked_state(config: Config, folder: Path, particles: Particles | None) -> Particles:
    state = particles_of(config, folder) if particles is None else particles
    checks.masses(state)
    checks.softening(config, state)
    checks.post_newtonian(config, state)
    checks.mergers(config, state)
    times_of(config, state, state.n)
    return state


def _checked_shares(config: Config, share: Particles, exchange: Exchange) -> Particles:
    """Return what this rank owns of particles that are shared out in any way."""
    n = int(exchange.reduce(share.n, "sum"))
    with together(exchange):
        checks.some(n)
        share.check(coincident=False)
        checks.softening(config, share)
        checks.mergers(config, share)
        times_of(config, share, n)
    refuse_repeated(exchange, share.identity)
    mine = exchange.restore(share, {})
    with together(exchange):  # whoever is at one place has one owner
        mine.check()
    checks.post_newtonian(config, mine, exchange)
    return mine
