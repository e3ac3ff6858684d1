"""Methods for many particles: block time steps, alone or with regularised regions around black holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..integrators import Interaction, Resolver
from ..integrators.block_leapfrog import BlockLeapfrog
from ..integrators.time_steps import AccelerationAndTide
from ..particles import SERIAL, Exchange
from .direct import DirectGravity
from .fmm import Fmm
from .regions import KETJU_ACCURACY, BlackHoleRegions, Log, nowhere
from .regularised_chain import RegularisedChain

#: eta_t where nothing else judges a particle
TIDAL_ACCURACY = 0.025


def block_leapfrog(
    interaction: Interaction, *, accuracy: float = 0.01, tidal_accuracy: float = TIDAL_ACCURACY,
    tides: str = "unsoftened", softening: float = 0.0, levels: int = 24, exchange: Exchange = SERIAL,
) -> BlockLeapfrog:  # fmt: skip
    """Return leapfrog with hierarchical block time steps.

    Parameters
    ----------
    interaction : accelerations that depend on positions alone
    accuracy : eta of dt = sqrt(2 eta eps/|a|); 0: softened particles are judged by tides alone
    tidal_accuracy : eta_t of dt = eta_t |tide|^(-1/2), where the interaction gives tides; 0: not looked at
    tides : who is judged by tides: "unsoftened" particles, which have no other criterion, or "all", by the shorter step.
        Which is better for softened ones depends on the galaxy, see docs/theory/gravity.md
    softening : length eps of all particles; 0: the lengths that they carry
    levels : most halvings of the step
    exchange : of the ranks that share the particles

    Raises
    ------
    InputError : nothing is left to judge a step by, or a value out of range

    """
    criterion = _criterion(interaction, accuracy, tidal_accuracy, tides, softening)
    return BlockLeapfrog(interaction, criterion, levels=levels, exchange=exchange)


def _criterion(
    interaction: Interaction, accuracy: float, tidal_accuracy: float, tides: str, softening: float
) -> AccelerationAndTide:
    """Return what judges the steps of particles; an accuracy of 0 is none."""
    given = "tide" in interaction.provides and tidal_accuracy > 0.0
    return AccelerationAndTide(
        accuracy=accuracy or None, tidal_accuracy=tidal_accuracy if given else None, softening=softening, tides=tides
    )


def regions(
    interaction: Interaction, *, radius: float, accuracy: float = 0.01, tidal_accuracy: float = TIDAL_ACCURACY,
    tides: str = "unsoftened", softening: float = 0.0, levels: int = 24, tolerance: float = 1e-10, star_star: str = "normal",
    post_newtonian: Sequence[str] = (), pairs: Literal["black-hole", "all"] = "black-hole",
    merger_distance: float | None = None, collisions: bool = False, resolver: Resolver | None = None,
    log_every: float = 0.0, exchange: Exchange = SERIAL,
) -> BlockLeapfrog:  # fmt: skip
    """Return block time steps with a regularised chain in spheres around black holes.

    Parameters
    ----------
    interaction, accuracy, tidal_accuracy, tides, softening, levels, exchange : as ``block_leapfrog`` takes them
    radius : of the spheres; they reach beyond the softening: 2.8 lengths of a spline
    tolerance, star_star, post_newtonian, pairs, merger_distance, collisions : as ``RegularisedChain`` takes them; stars
        are softened in a region as they are outside
    resolver : what becomes of mergers
    log_every : time between rows of series/black_holes; 0: one after each step of a region

    Raises
    ------
    InputError : a radius that is too small, or values that the parts refuse

    """
    criterion = _criterion(interaction, accuracy, tidal_accuracy, tides, softening)
    chain = RegularisedChain(
        tolerance=tolerance,
        softening=softening,
        star_star="none" if star_star == "none" else "softened",
        post_newtonian=post_newtonian,
        pairs=pairs,
        merger_distance=merger_distance,
        collisions=collisions,
    )
    within = interaction.softened_within if isinstance(interaction, DirectGravity | Fmm) else nowhere
    inner = BlackHoleRegions(
        radius,
        interaction,
        chain,
        resolver=resolver,
        log=Log(log_every),
        exchange=exchange,
        accuracy=accuracy or KETJU_ACCURACY,
        softened_within=within,
        soften_stars=star_star != "none" and softening == 0.0,
    )
    return BlockLeapfrog(interaction, criterion, regions=inner, levels=levels, exchange=exchange)
