r"""Temperature: degrees of freedom counted truly, per species, and a monitor of equipartition.

A conserved momentum takes degrees of freedom from each atom according to its mass, not evenly. With the total momentum
at rest, <m_i v_i^2> = k T g_i with

g_i = 3 (1 - m_i/M) - [angular momentum conserved] tr(I^-1 I_i),  sum g_i = 3n - 3 (- 3, or - 2 for a linear molecule)

| symbol | meaning |
|---|---|
| M, I | total mass, tensor of inertia about the centre of mass (pseudo-inverse for linear molecules) |
| I_i | what atom i adds to I: m_i (r_i^2 1 - r_i r_i^T) |

With an ``exchange``, particles are those of this rank, and sums are over all ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..particles import SERIAL, Exchange, InputError, Particles, UnitSystem
from ..particles.units import ENERGY
from .rigid import angular_momentum, inverse_inertia, mean, rotation_axes, rotation_field

FloatArray = NDArray[np.float64]
#: What motion keeps, and what therefore holds no heat.
Conserved = Literal["nothing", "momentum", "momentum and rotation"]

CONSERVED: tuple[Conserved, ...] = ("nothing", "momentum", "momentum and rotation")
#: Boltzmann's constant, J/K, exact.
_BOLTZMANN = 1.380649e-23
#: Key of the whole system in tables by atomic number.
ALL = 0


def boltzmann(units: UnitSystem) -> float:
    """Return k in energy per kelvin; 1 in units without a physical scale, where temperatures are energies."""
    return _BOLTZMANN / units.factor(ENERGY) if units.physical else 1.0


def check_conserved(conserved: str | None) -> None:
    """Refuse words that are not in ``CONSERVED`` (None: what the boundaries say)."""
    if conserved is not None and conserved not in CONSERVED:
        raise InputError(f"conserved is {conserved!r}; expected one of {', '.join(map(repr, CONSERVED))}")


def conserved_in(particles: Particles, conserved: Conserved | None = None) -> Conserved:
    """Return what is given, or else what an isolated system conserves: rotation too in a system that is open."""
    if conserved is not None:
        return conserved
    is_open = particles.periodic is None or not particles.periodic.any()
    return "momentum and rotation" if is_open else "momentum"


def degrees_of_freedom(
    particles: Particles, conserved: Conserved | None = None, exchange: Exchange = SERIAL
) -> FloatArray:
    """Return g (n,), the degrees of freedom of every atom; their sum is the number of the system.

    Parameters
    ----------
    particles : Particles; with rotation conserved, its positions matter
    conserved : what the motion keeps; None: what the boundaries say

    """
    kept = conserved_in(particles, conserved)
    mass = particles.mass
    if kept == "nothing":
        return np.full(particles.n, 3.0)
    out = 3.0 * (1.0 - mass / exchange.reduce(float(mass.sum()), "sum"))
    if kept == "momentum and rotation":
        r = particles.position - mean(mass, particles.position, exchange)
        inverse = inverse_inertia(mass, r, exchange)
        squared = np.einsum("ij,ij->i", r, r)
        out -= mass * (squared * np.trace(inverse) - np.einsum("ij,jk,ik->i", r, inverse, r))
    return out


def count_degrees(particles: Particles, conserved: Conserved | None = None, exchange: Exchange = SERIAL) -> int:
    """Return the number of degrees of freedom: 3n; 3n - 3; and with rotation conserved 3n - 6, linear 3n - 5."""
    kept, n = conserved_in(particles, conserved), int(exchange.reduce(particles.n, "sum"))
    if kept == "nothing" or n == 0:
        return 3 * n
    axes = rotation_axes(particles.mass, particles.position, exchange) if kept == "momentum and rotation" else 0
    return 3 * n - 3 - axes


def conserved_velocity(particles: Particles, conserved: Conserved, exchange: Exchange = SERIAL) -> FloatArray:
    """Return the velocities (n, 3) of the conserved motion: that of the centre of mass, and the rigid rotation."""
    mass, x, v = particles.mass, particles.position, particles.velocity
    if conserved == "nothing":
        return np.zeros_like(v)
    drift = np.broadcast_to(mean(mass, v, exchange), v.shape)
    if conserved == "momentum":
        return drift
    return np.asarray(drift + rotation_field(mass, x, angular_momentum(mass, x, v, exchange), exchange))


def species_rows(particles: Particles, exchange: Exchange = SERIAL) -> dict[int, NDArray[np.int64]]:
    """Return atomic number -> rows, of all species on any rank; one entry with key 0 for particles without species."""
    if particles.species is None:
        return {ALL: np.arange(particles.n)}
    present = np.unique(np.concatenate(exchange.allgather(np.unique(particles.species))))
    return {int(z): np.flatnonzero(particles.species == z) for z in present}


def temperatures(
    particles: Particles, conserved: Conserved | None = None, exchange: Exchange = SERIAL
) -> dict[int, float]:
    """Return atomic number -> temperature now, and under key 0 (``ALL``) that of the whole system.

    T_s = sum m w^2 / (k sum g) over the atoms of a species, w the velocity less the conserved motion

    Parameters
    ----------
    particles : Particles
    conserved : what the motion keeps; None: what the boundaries say

    Returns
    -------
    dict, K; NaN for a species without a degree of freedom

    """
    kept = conserved_in(particles, conserved)
    w = particles.velocity - conserved_velocity(particles, kept, exchange)
    heat = particles.mass * np.einsum("ij,ij->i", w, w) / boltzmann(particles.units)
    degrees = degrees_of_freedom(particles, kept, exchange)
    groups = {ALL: np.arange(particles.n), **species_rows(particles, exchange)}
    sums = exchange.reduce(np.array([(heat[rows].sum(), degrees[rows].sum()) for rows in groups.values()]), "sum")
    return {number: _ratio(float(h), float(g)) for number, (h, g) in zip(groups, sums, strict=True)}


def _ratio(heat: float, degrees: float) -> float:
    return heat / degrees if degrees > 1e-6 else float("nan")


@dataclass(frozen=True, slots=True)
class SpeciesTemperature:
    """What a monitor found for one species.

    Attributes
    ----------
    species : atomic number; 0 for the whole system
    mean, error : K, mean over the frames and its standard error by blocks (NaN with fewer than 8 frames)
    expected : K
    verdict : "correct"; "not correct": off by more than the tolerance and by more than twice the error; "undecided": the
        error is too large to tell

    """

    species: int
    mean: float
    error: float
    expected: float
    verdict: Literal["correct", "not correct", "undecided"]


class TemperatureMonitor:
    """Mean temperature of every species over a run, with standard errors: is the energy shared as it should be?

    Memory is bounded: block means, whose blocks double in length when there are 64.

    Parameters
    ----------
    target : K, of the thermostat; None: every species is compared with the whole system
    conserved : what the motion keeps; None: what the boundaries say
    tolerance : relative deviation that is "not correct"
    skip : frames left out at the start
    exchange : Exchange; each rank adds its own particles, temperatures are of all

    """

    def __init__(
        self,
        target: float | None = None,
        *,
        conserved: Conserved | None = None,
        tolerance: float = 0.02,
        skip: int = 0,
        exchange: Exchange = SERIAL,
    ) -> None:
        check_conserved(conserved)
        self._exchange = exchange
        self.target, self.conserved, self.tolerance, self.skip = target, conserved, tolerance, skip
        self.frames = 0
        self._species: list[int] = []
        self._blocks: list[FloatArray] = []
        self._open = np.zeros(0)
        self._filled, self._length = 0, 1

    def add(self, particles: Particles) -> dict[int, float]:
        """Take note of a state; return its temperatures.

        Raises
        ------
        InputError : other species than before

        """
        now = temperatures(particles, self.conserved, self._exchange)
        if not self._species:
            self._species, self._open = list(now), np.zeros(len(now))
        elif self._species != list(now):
            raise InputError(f"the monitor has seen species {self._species[1:]}, now {list(now)[1:]}; use a new one")
        self.frames += 1
        if self.frames > self.skip:
            self._open = self._open + np.array(list(now.values()))
            self._filled += 1
            self._close_block()
        return now

    def report(self) -> tuple[SpeciesTemperature, ...]:
        """Return one row for the whole system and one for every species."""
        means, errors = self._means(), self._errors()
        rows = []
        for k, number in enumerate(self._species):
            expected = float(means[0]) if self.target is None else self.target
            verdict = self._verdict(float(means[k]) - expected, float(errors[k]), expected)
            rows.append(SpeciesTemperature(number, float(means[k]), float(errors[k]), expected, verdict))
        return tuple(rows)

    def lines(self) -> tuple[str, ...]:
        """Return the report as lines of text, the verdict on equipartition last."""
        from ..particles.io_ase import symbols

        rows = self.report()
        text = [
            f"{'all' if r.species == ALL else symbols(np.array([r.species]))[0]:>3s} {r.mean:9.2f} +- {r.error:.2f} K, "
            f"expected {r.expected:.2f}: {r.verdict}"
            for r in rows
        ]
        wrong = [r for r in rows if r.verdict == "not correct"]
        unsure = [r for r in rows if r.verdict == "undecided"]
        summary = "not correct" if wrong else "undecided, too few independent frames" if unsure else "correct"
        return (*text, f"equipartition: {summary}")

    def state_dict(self) -> dict:
        """Return what a restart needs, as a tree."""
        return {
            "frames": self.frames,
            "species": np.array(self._species, dtype=np.int64),
            "blocks": np.array(self._blocks).reshape(len(self._blocks), len(self._species)),
            "open": self._open.copy(),
            "filled": self._filled,
            "length": self._length,
        }

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Take all of it from ``state_dict``."""
        self.frames, self._filled, self._length = int(tree["frames"]), int(tree["filled"]), int(tree["length"])
        self._species = [int(z) for z in tree["species"]]
        self._blocks = [np.array(row, dtype=float) for row in tree["blocks"]]
        self._open = np.array(tree["open"], dtype=float)

    def _close_block(self) -> None:
        if self._filled < self._length:
            return
        self._blocks.append(self._open / self._length)
        self._open, self._filled = np.zeros_like(self._open), 0
        if len(self._blocks) == 64:
            self._blocks = list(_pairs(np.array(self._blocks)))
            self._length *= 2

    def _means(self) -> FloatArray:
        count = len(self._blocks) * self._length + self._filled
        total = self._open + self._length * np.sum(self._blocks, axis=0, initial=0.0)
        return np.asarray(total / count) if count else np.full(len(self._species), np.nan)

    def _errors(self) -> FloatArray:
        """Return the largest standard error over block lengths that leave 8 blocks or more."""
        blocks, found = np.array(self._blocks), []
        while len(blocks) >= 8:
            found.append(blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)))
            blocks = _pairs(blocks)
        return np.max(found, axis=0) if found else np.full(len(self._species), np.nan)

    def _verdict(
        self, deviation: float, error: float, expected: float
    ) -> Literal["correct", "not correct", "undecided"]:
        allowed = self.tolerance * expected
        if not np.isfinite(deviation) or not np.isfinite(error):
            return "undecided"
        if abs(deviation) > allowed and abs(deviation) > 2.0 * error:
            return "not correct"
        return "correct" if abs(deviation) <= allowed and 2.0 * error <= allowed else "undecided"


def _pairs(blocks: FloatArray) -> FloatArray:
    """Return the means of neighbouring pairs; an odd last one is left out."""
    even = 2 * (len(blocks) // 2)
    return np.asarray(blocks[:even].reshape(-1, 2, blocks.shape[1]).mean(axis=1))
