"""One regularised system as a plain function: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..integrators import Outcome
from ..particles import KINDS, InputError, NumericalFailure, Particles, nbody_units
from .regularised_chain import RegularisedChain

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evolved:
    """What ``evolve`` returns.

    Attributes
    ----------
    position, velocity, spin : (n, 3) at the end
    time : float, reached exactly
    energy_error : float, (E - work of post-Newtonian terms - E_0) / |E_0|, relative
    micro_steps, evaluations : int
    max_v_over_c, max_compactness : float, largest v / c and G M / (r c^2) met (0 without post-Newtonian terms)

    """

    position: FloatArray
    velocity: FloatArray
    spin: FloatArray
    time: float
    energy_error: float
    micro_steps: int
    evaluations: int
    max_v_over_c: float
    max_compactness: float


def evolve(
    mass: ArrayLike,
    position: ArrayLike,
    velocity: ArrayLike,
    t_end: float,
    *,
    tolerance: float = 1e-12,
    post_newtonian: Sequence[str] = (),
    speed_of_light: float | None = None,
    spin: ArrayLike | None = None,
) -> Evolved:
    """Integrate n bodies from t = 0 to t_end (of either sign) with the regularised chain, in units with G = 1.

    Parameters
    ----------
    mass : (n,) positive
    position, velocity : (n, 3)
    t_end : float
    tolerance : relative error per micro-step
    post_newtonian : names of terms, which then act between all bodies; needs ``speed_of_light``
    speed_of_light : c in the units of the velocities
    spin : (n, 3) spin angular momenta

    Returns
    -------
    Evolved ; the arguments are not changed

    Raises
    ------
    InputError : unusable values, unknown terms, terms without a speed of light
    NumericalFailure : the integration cannot go on (a collision of point masses)

    """
    if not np.isfinite(t_end):
        raise InputError(f"t_end is {t_end}; expected a finite time")
    n = np.size(mass)
    particles = Particles(
        np.array(mass, float),
        np.array(position, float),
        np.array(velocity, float),
        spin=np.zeros((n, 3)) if spin is None else np.array(spin, float),
        kind=np.full(n, KINDS["black-hole"]),
        units=nbody_units(speed_of_light=speed_of_light),
    )
    particles.check()
    chain = RegularisedChain(tolerance=tolerance, post_newtonian=post_newtonian)
    carry = chain.start(particles)
    start, work, totals = chain.energy(particles, carry), 0.0, dict.fromkeys(("micro_steps", "evaluations"), 0.0)
    highest = dict.fromkeys(("max_v_over_c", "max_compactness"), 0.0)
    outcome, remaining = Outcome.PARTIAL, float(t_end)
    while outcome is Outcome.PARTIAL:
        step = chain.advance(particles, carry, remaining)
        outcome, remaining = step.outcome, t_end - particles.time
        work += step.work
        totals = {k: v + step.statistics.get(k, 0.0) for k, v in totals.items()}
        highest = {k: max(v, step.statistics.get(k, 0.0)) for k, v in highest.items()}
    if outcome.failed:
        raise NumericalFailure(outcome.value, time=particles.time, identities=step.identities)
    end = chain.energy(particles, carry)
    assert particles.spin is not None
    return Evolved(
        particles.position,
        particles.velocity,
        particles.spin,
        float(t_end),
        (end - start - work) / abs(start) if start else end - work,
        int(totals["micro_steps"]),
        int(totals["evaluations"]),
        **highest,
    )
