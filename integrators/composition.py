"""Symplectic splitting with fixed steps: leapfrog and its compositions of 4th, 6th and 8th order.

"Leapfrog" here is velocity Verlet, kick-drift-kick, with positions and velocities at the same times; the variant that
keeps velocities half a step behind is not meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange, InputError, Particles
from .coefficients import SPLITTINGS, Splitting
from .compensated import add_compensated
from .interaction import Evaluation, Interaction
from .propagator import Capabilities, Change, Outcome, Step

FloatArray = NDArray[np.float64]


@dataclass(slots=True)
class CompositionCarry:
    """Memory between steps.

    Attributes
    ----------
    position_error, velocity_error : (n, 3), what rounding took from positions and velocities; (0, 3) on several ranks
    acceleration : (n, 3), at ``known_at``
    known_at : (n, 3), the positions for which the acceleration is known (NaN: nowhere), so that a wrapper may move
        particles between two steps

    """

    position_error: FloatArray
    velocity_error: FloatArray
    acceleration: FloatArray
    known_at: FloatArray


class Composition:
    r"""Drifts and kicks in turn, with the coefficients of a ``Splitting``.

    x <- x + d_i dt v,  v <- v + k_i dt a(x)

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | length, length/time |
    | a | ``Evaluation.acceleration`` | (n, 3) float64 | length/time^2 |
    | d_i, k_i | ``splitting.drifts``, ``splitting.kicks`` | | |

    Positions and velocities are summed with compensation (on one rank: between ranks, and in their checkpoints, particles
    carry nothing but their fields). Symplectic and time-reversible; the global error falls as dt^order.

    Parameters
    ----------
    interaction : accelerations that depend on positions alone
    splitting : Splitting, from ``SPLITTINGS`` or your own
    exchange : Exchange, the interaction's; with it the ranks agree on when accelerations are evaluated

    Raises
    ------
    InputError : the interaction depends on velocities

    References
    ----------
    Hairer, Lubich & Wanner, Geometric Numerical Integration, chapter V, doi:10.1007/3-540-30666-8; ``splitting.origin``

    """

    def __init__(self, interaction: Interaction, splitting: Splitting, *, exchange: Exchange = SERIAL) -> None:
        if interaction.velocity_dependent:
            raise InputError(
                f"{splitting.name} needs forces that depend on positions alone, and {type(interaction).__name__} "
                "depends on velocities; use radau15 or gbs"
            )
        self.interaction, self.splitting, self.exchange = interaction, splitting, exchange
        self.capabilities = Capabilities(order=splitting.order, symplectic=True, reversible=True)

    def start(self, particles: Particles) -> CompositionCarry:
        """Return the carry."""
        shape = (particles.n, 3)
        lost = shape if self.exchange.size == 1 else (0, 3)
        return CompositionCarry(np.zeros(lost), np.zeros(lost), np.zeros(shape), np.full(shape, np.nan))

    def advance(self, particles: Particles, carry: CompositionCarry, dt: float) -> Step:
        """Do one step of size dt."""
        if dt == 0.0:
            return Step(elapsed=0.0)  # with the rounding errors, adding nothing could still change a last bit
        evaluations = 0
        drifts, kicks = self.splitting.drifts, self.splitting.kicks
        drifts_first = len(drifts) > len(kicks)
        outer, inner = (drifts, kicks) if drifts_first else (kicks, drifts)
        for i in range(len(outer) + len(inner)):
            fraction = (outer if i % 2 == 0 else inner)[i // 2]
            if (i % 2 == 0) == drifts_first:
                _add(particles.position, carry.position_error, fraction * dt * particles.velocity)
            else:
                evaluations += self._accelerate(particles, carry)
                _add(particles.velocity, carry.velocity_error, fraction * dt * carry.acceleration)
        particles.time += dt
        outcome = Outcome.COMPLETED if np.isfinite(particles.position).all() else Outcome.NOT_FINITE
        return Step(elapsed=dt, outcome=outcome, statistics={"micro_steps": 1, "evaluations": evaluations})

    def synchronise(self, particles: Particles, carry: CompositionCarry) -> None:
        """Do nothing: positions and velocities are always at the same time."""

    def membership_changed(self, particles: Particles, carry: CompositionCarry, change: Change) -> CompositionCarry:
        """Start anew: what is lost is one acceleration and the last bits of the sums."""
        return self.start(particles)

    def _accelerate(self, particles: Particles, carry: CompositionCarry) -> int:
        unknown = not np.array_equal(carry.known_at, particles.position)
        if not self.exchange.reduce(int(unknown), "max"):
            return 0
        out = Evaluation(particles.n)
        self.interaction.evaluate(particles, out)
        if out.work is not None:
            self.exchange.weigh(out.work)
        carry.acceleration = out.acceleration
        carry.known_at = particles.position.copy()  # after a restart on other ranks it has their number of rows
        return 1


def _add(total: FloatArray, error: FloatArray, increment: FloatArray) -> None:
    if len(error) == len(total):
        add_compensated(total, error, increment)
    else:  # several ranks, or a run that was begun on several
        total += increment


def leapfrog(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return kick-drift-kick leapfrog (velocity Verlet), 2nd order, one acceleration per step."""
    return Composition(interaction, SPLITTINGS["leapfrog"], exchange=exchange)


def leapfrog_dkd(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return drift-kick-drift leapfrog (position Verlet), 2nd order, one acceleration per step."""
    return Composition(interaction, SPLITTINGS["leapfrog-dkd"], exchange=exchange)


def yoshida4(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Yoshida's 4th-order composition (Forest & Ruth), three accelerations per step."""
    return Composition(interaction, SPLITTINGS["yoshida4"], exchange=exchange)


def yoshida6(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Yoshida's 6th-order composition A, seven accelerations per step."""
    return Composition(interaction, SPLITTINGS["yoshida6"], exchange=exchange)


def yoshida8(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Yoshida's 8th-order composition D, fifteen accelerations per step."""
    return Composition(interaction, SPLITTINGS["yoshida8"], exchange=exchange)


def mclachlan4(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return McLachlan's 4th-order splitting, five accelerations per step."""
    return Composition(interaction, SPLITTINGS["mclachlan4"], exchange=exchange)


def blanes_moan4(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Blanes & Moan's 4th-order splitting, six accelerations per step and a very small error."""
    return Composition(interaction, SPLITTINGS["blanes-moan4"], exchange=exchange)


def blanes_moan6(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Blanes & Moan's 6th-order splitting, eleven accelerations per step."""
    return Composition(interaction, SPLITTINGS["blanes-moan6"], exchange=exchange)


def kahan_li6(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Kahan & Li's 6th-order composition, nine accelerations per step."""
    return Composition(interaction, SPLITTINGS["kahan-li6"], exchange=exchange)


def kahan_li8(interaction: Interaction, *, exchange: Exchange = SERIAL) -> Composition:
    """Return Kahan & Li's 8th-order composition, seventeen accelerations per step."""
    return Composition(interaction, SPLITTINGS["kahan-li8"], exchange=exchange)
