"""Stochastic velocity rescaling (CSVR, the thermostat of Bussi, Donadio and Parrinello)."""

from __future__ import annotations

import math

from scipy.special import gammaincinv

from ..integrators import Change
from ..particles import SERIAL, Exchange, Particles
from ..particles.noise import Purpose, normal, uniform
from .groups import Group, Grouping, check_grouping, groups_of
from .layers import TwoHalves
from .temperature import Conserved, boltzmann, check_conserved, conserved_in
from .thermostats import Drawn, check_bath


class Bussi(TwoHalves):
    r"""Scales the velocities so that the kinetic energy follows its own canonical stochastic dynamics.

    v <- alpha v,  alpha = +-sqrt((sqrt(c) + R sqrt(a))^2 + a S),  a = (1 - c) k T / (2 K),  c = exp(-|dt| / (2 tau)); the
    sign is that of sqrt(c) + R sqrt(a); before and after the advance

    | symbol | variable | unit |
    |---|---|---|
    | v | ``particles.velocity``, (n, 3) overwritten, less what is conserved | length/time |
    | K, f | kinetic energy and degrees of freedom of a group | energy |
    | R, S | a normal number; a sum of f - 1 squared ones, drawn as a gamma variate by its inverse distribution | |
    | T, tau | ``temperature``, ``time_constant`` | K, time |

    The canonical distribution of K is exact for any dt. It disturbs the motion least, and so it repairs a wrong share of
    energy between species or modes only slowly: with a learned stride, watch the temperature of every species, or take
    ``groups="species"``, for liquids of molecules ``groups="molecules"``, or Langevin.

    Parameters
    ----------
    temperature : K
    time_constant : > 0, in the time unit of the particles
    seed : int
    groups : "all": one thermostat; "species": one for each species; "molecules": one each for translation, rotation and
        vibration of molecules. See ``groups_of`` for what is then conserved
    conserved : what motion keeps and the thermostat does not touch; None: what the boundaries say
    exchange : Exchange; each rank has its own particles, sums are over all

    Raises
    ------
    InputError : a temperature or a time constant that is not positive, an unknown grouping

    References
    ----------
    Bussi, Donadio & Parrinello 2007, doi:10.1063/1.2408420, appendix A

    """

    reversible = False

    def __init__(
        self,
        temperature: float,
        time_constant: float,
        *,
        seed: int = 0,
        groups: Grouping = "all",
        conserved: Conserved | None = None,
        exchange: Exchange = SERIAL,
    ) -> None:
        check_bath(temperature, time_constant)
        check_grouping(groups)
        check_conserved(conserved)
        self.temperature, self.time_constant = float(temperature), float(time_constant)
        self.seed, self.groups, self.conserved, self.exchange = seed, groups, conserved, exchange

    def start(self, particles: Particles) -> Drawn:
        """Return the memory."""
        return Drawn(0)

    def membership_changed(self, particles: Particles, memory: Drawn, change: Change) -> Drawn:
        """Keep the memory: noise belongs to identities."""
        return memory

    def half(self, particles: Particles, memory: Drawn, dt: float) -> float:
        """Do half a step; return the energy given."""
        kinetic = particles.kinetic_energy()
        for group in groups_of(particles, self.groups, conserved_in(particles, self.conserved), self.exchange):
            group.scale(particles, self._factor(particles, group, memory.draws, dt))
        memory.draws += 1
        return float(self.exchange.reduce(particles.kinetic_energy() - kinetic, "sum"))

    def _factor(self, particles: Particles, group: Group, draw: int, dt: float) -> float:
        doubled = group.doubled_kinetic(particles)
        if doubled == 0.0:
            return 1.0
        keep = math.exp(-0.5 * abs(dt) / self.time_constant)
        gain = (1.0 - keep) * boltzmann(particles.units) * self.temperature / doubled
        single = float(normal(self.seed, Purpose.THERMOSTAT, draw, [group.key])[0, 0])
        # the third column belongs to another block of the noise than the normal number
        chance = float(uniform(self.seed, Purpose.THERMOSTAT, draw, [group.key], 3)[0, 2])
        others = 2.0 * float(gammaincinv(0.5 * (group.degrees - 1), chance)) if group.degrees > 1 else 0.0
        return rescaling(keep, gain, single, others)


def rescaling(keep: float, gain: float, single: float, others: float) -> float:
    """Return alpha of the velocities: +-sqrt((sqrt(c) + R sqrt(a))^2 + a S), see ``Bussi``."""
    straight = math.sqrt(keep) + single * math.sqrt(gain)
    return math.copysign(math.sqrt(straight**2 + gain * others), straight)
