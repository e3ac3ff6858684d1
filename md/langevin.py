"""Langevin thermostat: friction and noise before and after a stride (OBABO, with the stride in place of BAB)."""

from __future__ import annotations

import math

import numpy as np

from ..integrators import Change
from ..particles import SERIAL, Exchange, Particles
from ..particles.noise import Purpose, normal
from .layers import TwoHalves
from .temperature import Conserved, boltzmann, check_conserved, conserved_in, conserved_velocity
from .thermostats import Drawn, check_bath


class Langevin(TwoHalves):
    r"""Ornstein-Uhlenbeck half steps of the velocities around the advance.

    v_i <- c v_i + sqrt((1 - c^2) k T / m_i) xi_i,  c = exp(-|dt| / (2 tau)), before and after

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | v, m | ``particles.velocity``, ``particles.mass`` | (n, 3) overwritten, (n,) | of the particles |
    | T | ``temperature`` | | K (an energy in units without a scale) |
    | tau | ``time_constant``, 1 / friction | | time |
    | xi | ``noise.normal(seed, THERMOSTAT, draw, identity, 3)`` | (n, 3) | |

    Each half step leaves the canonical distribution as it is, exactly, whatever dt; so does the whole step when the
    map inside conserves energy and volume. The change of the velocities is projected so that what is conserved stays as it
    is; the projection is orthogonal in the metric of the masses, which keeps the distribution exact.

    Parameters
    ----------
    temperature : K
    time_constant : > 0, in the time unit of the particles; about 10 strides is a good start
    seed : int
    conserved : "momentum", "momentum and rotation" or "nothing"; None: what the boundaries say, so that an open system does not
        begin to rotate (a network that has never seen rotation would be asked beyond its data)
    exchange : Exchange; each rank has its own particles, sums are over all

    Raises
    ------
    InputError : a temperature or a time constant that is not positive (0 K is allowed)

    References
    ----------
    Bussi & Parrinello 2007, doi:10.1103/PhysRevE.75.056707

    """

    reversible = False

    def __init__(
        self,
        temperature: float,
        time_constant: float,
        *,
        seed: int = 0,
        conserved: Conserved | None = None,
        exchange: Exchange = SERIAL,
    ) -> None:
        check_bath(temperature, time_constant)
        check_conserved(conserved)
        self.temperature, self.time_constant = float(temperature), float(time_constant)
        self.seed, self.conserved, self.exchange = seed, conserved, exchange

    def start(self, particles: Particles) -> Drawn:
        """Return the memory."""
        return Drawn(0)

    def membership_changed(self, particles: Particles, memory: Drawn, change: Change) -> Drawn:
        """Keep the memory: noise belongs to identities."""
        return memory

    def half(self, particles: Particles, memory: Drawn, dt: float) -> float:
        """Do half a step; return the energy given."""
        kinetic = particles.kinetic_energy()
        keep = math.exp(-0.5 * abs(dt) / self.time_constant)
        heat = -math.expm1(-abs(dt) / self.time_constant) * boltzmann(particles.units) * self.temperature
        noise = normal(self.seed, Purpose.THERMOSTAT, memory.draws, particles.identity, 3)
        memory.draws += 1
        kept = conserved_in(particles, self.conserved)
        before = conserved_velocity(particles, kept, self.exchange)
        particles.velocity *= keep
        particles.velocity += np.sqrt(heat / particles.mass)[:, None] * noise
        particles.velocity += before - conserved_velocity(particles, kept, self.exchange)
        return float(self.exchange.reduce(particles.kinetic_energy() - kinetic, "sum"))
