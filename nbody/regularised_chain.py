"""The regularised chain: a few bodies to a few hundred, followed through any close encounter to round-off.

What it is: algorithmic regularisation by a logarithmic Hamiltonian in minimum-spanning-tree coordinates with
Gragg-Bulirsch-Stoer extrapolation (MSTAR, Rantala et al. 2020, doi:10.1093/mnras/staa084), with compensated sums, errors
measured by vector norms, post-Newtonian terms, spins, and events located inside the steps. What it is not: a chain in
the sense of Mikkola & Aarseth's nearest-neighbour chain, and not Kustaanheimo-Stiefel regularisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..integrators import Capabilities, Change, Event, Outcome, Step
from ..particles import KINDS, InputError, Particles, resolve
from .post_newtonian import parse_terms

FloatArray = NDArray[np.float64]

#: How stars pull on stars: (strength, whether softened). Black holes are never softened.
STAR_STAR: dict[str, tuple[float, bool]] = {"normal": (1.0, False), "none": (0.0, False), "softened": (1.0, True)}

_OUTCOMES = (
    Outcome.COMPLETED,
    Outcome.PARTIAL,
    Outcome.EVENT,
    Outcome.STEP_LIMIT,
    Outcome.STEP_TOO_SMALL,
    Outcome.NOT_FINITE,
)
_STATISTICS = ("micro_steps", "rejected", "evaluations", "rebuilds", "max_v_over_c", "max_compactness", "landings")
_BLACK_HOLE = KINDS["black-hole"]

#: Pair evaluations after which one call returns (about a quarter of a second), so that signals and progress are seen.
CALL_BUDGET = 60_000_000

#: Bodies from which a device is asked for its rows: below, a substep's launches cost more than its pairs on one core.
FEWEST_ON_DEVICE = 512
DEVICE_SPEED = 50  # the same budget in time: pairs of a device for one of the CPU, roughly


@dataclass(slots=True)
class ExternalField:
    """A smooth field over a chain: f(x, t) = g + g' t + (K + K' t) (x - x0), t counted from the start of an advance.

    Attributes
    ----------
    acceleration, acceleration_rate : (3,) g and g'
    tide, tide_rate : (3, 3) K and K', K_ij = d g_i / d x_j
    origin : (3,) x0

    """

    acceleration: ArrayLike = (0.0, 0.0, 0.0)
    acceleration_rate: ArrayLike = (0.0, 0.0, 0.0)
    tide: ArrayLike = field(default_factory=lambda: np.zeros((3, 3)))
    tide_rate: ArrayLike = field(default_factory=lambda: np.zeros((3, 3)))
    origin: ArrayLike = (0.0, 0.0, 0.0)

    def bundle(self) -> tuple:
        """Return the arrays in the order of the kernel's external bundle."""
        names = ("origin", "acceleration", "acceleration_rate", "tide", "tide_rate")
        return (True, *(np.ascontiguousarray(getattr(self, name), dtype=np.float64) for name in names))


@dataclass(slots=True)
class ChainCarry:
    """What a chain remembers between advances; enough to go on bit for bit.

    Attributes
    ----------
    order : (n,) row of each body in tree order; lo : (n-1,) root side of each edge
    high, low : the state in two parts, [t, B, W | X | V | S], see ``_kernels/chain_row.py``
    step : (2,) next fictitious step and target row of the extrapolation
    frame : (3,) velocity of the frame in which post-Newtonian terms are evaluated: the centre of mass at the start

    """

    order: NDArray[np.int64]
    lo: NDArray[np.int64]
    high: FloatArray
    low: FloatArray
    step: FloatArray
    frame: FloatArray


class RegularisedChain:
    """Propagator of one regularised system.

    The equations of motion are x'' = F(x) + f(x, v), F the Newtonian pull of all pairs and f the post-Newtonian terms and
    an external field. Time is transformed by dt = ds / U, which makes the orbit of two bodies exact at any
    eccentricity; everything else converges by extrapolation.

    Parameters
    ----------
    tolerance : relative error per micro-step, of every edge vector, velocity vector and of the time (1e-13; at 1e-15
        round-off decides)
    softening : length, Plummer softening of star-star forces when ``star_star`` is "softened"
    star_star : "normal", "none" (stars feel black holes alone) or "softened"; black holes are never softened
    post_newtonian : names of terms, see ``askel.nbody.post_newtonian``; needs units with a speed of light
    pairs : "black-hole" (terms act between black holes) or "all" (also between a black hole and other bodies)
    merger_distance : black holes merge at this multiple of 2 G (m1 + m2) / c^2; None: they do not
    collisions : whether bodies with a radius collide, and are disrupted by black holes at R (M/m)^(1/3)
    transform : "logarithmic", or "ttl" (time-transformed leapfrog, Mikkola & Aarseth 2002, doi:10.1023/A:1021149313347)
    external : a smooth field that acts during the advance, may be replaced between advances
    max_rows : most rows of the extrapolation table
    max_steps : most micro-steps of one advance; reaching it is an outcome, not an error
    backend : "cpu", or "cuda": rows of ``FEWEST_ON_DEVICE`` or more bodies are computed on a GPU, to rounding; without
        post-Newtonian terms, external field and "ttl"

    Notes
    -----
    Positions, velocities and spins of the particles are overwritten by ``advance``. Measured |dE/E| after 1000 orbits: at
    tolerance 1e-13, 4e-12 to 6e-12 for e >= 0.999 and 4e-11 for circular orbits (twice the steps); at 1e-14 ten times
    less; the Pythagorean problem to t = 75 ends within 6e-12 and 6e-13. Post-Newtonian terms are evaluated in the
    inertial frame in which the centre of mass was at rest at the start.

    Raises
    ------
    InputError : unknown options or terms; post-Newtonian terms or mergers without a speed of light; "cuda" without a device, or
        with what it does not have

    """

    def __init__(
        self,
        *,
        tolerance: float = 1e-13,
        softening: float = 0.0,
        star_star: str = "normal",
        post_newtonian: Sequence[str] = (),
        pairs: Literal["black-hole", "all"] = "black-hole",
        merger_distance: float | None = None,
        collisions: bool = False,
        transform: str = "logarithmic",
        external: ExternalField | None = None,
        max_rows: int = 9,
        max_steps: int = 1_000_000_000,
        backend: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        if not 1e-16 <= tolerance <= 1e-2:
            raise InputError(f"tolerance {tolerance:g} is out of range; expected 1e-16 to 1e-2, such as 1e-13")
        if star_star not in STAR_STAR:
            raise InputError(f"star_star {star_star!r} is unknown; expected one of {', '.join(STAR_STAR)}")
        if transform not in ("logarithmic", "ttl"):
            raise InputError(f"transform {transform!r} is unknown; expected 'logarithmic' or 'ttl'")
        if not 4 <= max_rows <= 20:
            raise InputError(f"max_rows {max_rows} is out of range; expected 4 to 20")
        if pairs not in ("black-hole", "all"):
            raise InputError(f"pairs {pairs!r} is unknown; expected 'black-hole' or 'all'")
        self.tolerance, self.max_rows, self.max_steps = tolerance, max_rows, max_steps
        self.terms, self.term_names, self.pairs = (
            parse_terms(post_newtonian),
            tuple(post_newtonian),
            pairs,
        )
        self.star_weight, softened = STAR_STAR[star_star]
        self.star_softening = softening if softened else 0.0
        self.merger_distance, self.collisions = merger_distance, collisions
        self.transform, self.external = transform, external
        self._advance = resolve("chain_advance", "cpu")
        self._advance_many = resolve("chain_advance", backend)
        if backend == "cuda":
            resolve("require_device", backend)()
            if self.terms or external is not None or transform != "logarithmic":
                raise InputError(
                    "backend 'cuda' has chains without post-Newtonian terms, external field and 'ttl'; use backend = 'cpu'"
                )
        self._on_device = backend != "cpu"
        self._read_in = resolve("chain_read_in", "cpu")
        self._read_out = resolve("chain_read_out", "cpu")
        self._energies = resolve("chain_energies", "cpu")

    @property
    def capabilities(self) -> Capabilities:
        """Adaptive, any step, largest group about 1,000 bodies, ten times that on a GPU."""
        return Capabilities(order=None, adaptive=True, largest_group=10_000 if self._on_device else 1000)

    @property
    def _perturbed(self) -> bool:
        return self.terms != 0 or self.external is not None

    def start(self, particles: Particles) -> ChainCarry:
        """Return the chain of these particles."""
        self._light(particles)
        n = particles.n
        spins = 9 if self._perturbed else 6
        carry = ChainCarry(
            order=np.zeros(n, np.int64),
            lo=np.zeros(max(n - 1, 0), np.int64),
            high=np.zeros(3 + spins * n),
            low=np.zeros(3 + spins * n),
            step=np.zeros(2),
            frame=particles.centre_of_mass()[1],
        )
        if n > 1:
            self._read_in(*self._bodies(particles), carry.order, carry.lo, carry.high, carry.low, self._perturbed)
            kinetic, u = self._both_energies(particles, carry)
            carry.high[1] = u - kinetic
            if self.transform == "ttl":
                carry.high[2] = _omega(particles)
        return carry

    def advance(self, particles: Particles, carry: ChainCarry, dt: float) -> Step:
        """Move the particles by dt of either sign, or until an event or the work budget of one call."""
        n = particles.n
        if n < 2:
            return self._drift(particles, dt)
        if dt == 0.0:
            return Step(0.0, energy=self.energy(particles, carry))
        self._fit(particles, carry)
        carry.high[0] = carry.low[0] = 0.0
        binding = carry.high[1], carry.low[1]
        centre = self._centre_energy(particles, carry)
        statistics, found = np.zeros(len(_STATISTICS)), np.zeros(2, np.int64)
        light = self._light(particles)
        horizon, radius = self._reaches(particles, light)
        device = self._on_device and n >= FEWEST_ON_DEVICE
        budget = max(200, CALL_BUDGET * (DEVICE_SPEED if device else 1) // (n * n + 40))
        status, kinetic, u = (self._advance_many if device else self._advance)(
            dt, carry.step, carry.order, carry.lo, carry.high, carry.low, particles.mass, self._holes(particles), horizon,
            radius, particles.units.gravitational_constant, self.star_weight, self.star_softening, self.tolerance,
            self.max_rows, self.max_steps, budget, self._slots(particles), light,
            self._perturbation(particles, carry), self._transform(particles), statistics, found,
        )  # fmt: skip
        outcome = _OUTCOMES[status]
        elapsed = dt if outcome is Outcome.COMPLETED else float(carry.high[0] + carry.low[0])
        self.synchronise(particles, carry)
        particles.time += elapsed
        centre_now = self._centre_energy(particles, carry)
        return Step(
            elapsed=elapsed,
            outcome=outcome,
            work=float((binding[0] - carry.high[1]) + (binding[1] - carry.low[1])) + centre_now - centre,
            energy=float(kinetic - u) + centre_now,
            events=(self._event(particles, found),) if outcome is Outcome.EVENT else (),
            identities=self._closest(particles) if outcome.failed else (),
            statistics=dict(zip(_STATISTICS, (float(s) for s in statistics), strict=True)),
        )

    def synchronise(self, particles: Particles, carry: ChainCarry) -> None:
        """Overwrite position, velocity and spin of the particles by the chain's."""
        if particles.n > 1:
            arguments = self._bodies(particles)
            self._read_out(*arguments, carry.order, carry.lo, carry.high, carry.low, self._perturbed)

    def membership_changed(self, particles: Particles, carry: ChainCarry, change: Change) -> ChainCarry:
        """Return a new chain in the same post-Newtonian frame."""
        fresh = self.start(particles)
        fresh.frame = carry.frame
        return fresh

    def energy(self, particles: Particles, carry: ChainCarry) -> float:
        """Return kinetic + Newtonian potential energy, summed over separations along the tree."""
        if particles.n < 2:
            return particles.kinetic_energy()
        kinetic, u = self._both_energies(particles, carry)
        return float(kinetic - u) + self._centre_energy(particles, carry)

    # ---- what the kernel needs ------------------------------------------------------------------------------

    def _light(self, particles: Particles) -> float:
        light = particles.units.speed_of_light
        if light is None and (self.terms or self.merger_distance is not None):
            raise InputError(
                f"post-Newtonian terms and mergers need a speed of light, which {particles.units.name!r} units lack; "
                "give speed_of_light, or length and mass, in [units]"
            )
        return light or 0.0

    def _bodies(self, particles: Particles) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        spin = particles.spin if particles.spin is not None else np.zeros((particles.n, 3))
        return particles.position, particles.velocity, spin, particles.mass

    def _holes(self, particles: Particles) -> NDArray[np.int64]:
        return particles.is_kind(_BLACK_HOLE).astype(np.int64)

    def _both_energies(self, particles: Particles, carry: ChainCarry) -> tuple[float, float]:
        constant = particles.units.gravitational_constant
        return self._energies(
            carry.order, carry.lo, carry.high, particles.mass, self._holes(particles), constant, self.star_weight,
            self.star_softening,
        )  # fmt: skip

    def _centre_energy(self, particles: Particles, carry: ChainCarry) -> float:
        n = particles.n
        velocity = carry.high[3 + 3 * n + np.arange(1, 4) * n - 1]
        return 0.5 * float(particles.mass.sum()) * float(velocity @ velocity)

    def _reaches(self, particles: Particles, light: float) -> tuple[FloatArray, FloatArray]:
        horizon, radius = np.zeros(particles.n), np.zeros(particles.n)
        holes = particles.is_kind(_BLACK_HOLE)
        if self.merger_distance is not None:
            scale = self.merger_distance * 2.0 * particles.units.gravitational_constant / light**2
            horizon = np.where(holes, scale * particles.mass, 0.0)
        if self.collisions and particles.radius is not None:
            radius = np.where(holes, 0.0, particles.radius)
        return horizon, radius

    def _slots(self, particles: Particles) -> NDArray[np.int64]:
        members = particles.is_kind(_BLACK_HOLE)
        if self.pairs == "all":
            members = np.full(particles.n, members.any())
        if not self.terms:
            members = np.zeros(particles.n, bool)
        return np.where(members, np.cumsum(members) - 1, -1)

    def _perturbation(self, particles: Particles, carry: ChainCarry) -> tuple | None:
        if not self._perturbed:
            return None
        members = self._slots(particles) >= 0
        b = int(members.sum())
        holes = particles.is_kind(_BLACK_HOLE)[members]
        acts = (holes[:, None] | holes[None, :]) & ~np.eye(b, dtype=bool)
        post = (
            self.terms, self._light(particles) or 1.0, np.zeros(b, np.int64), acts, np.full((b, b), -1), carry.frame,
            np.zeros(b), np.zeros((b, b, 3)), np.zeros((b, 3)), np.zeros((b, 3)), np.zeros((b, 3)), np.zeros((b, 3)),
        )  # fmt: skip
        external = self.external or ExternalField()
        return post, (self.external is not None, *external.bundle()[1:])

    def _transform(self, particles: Particles) -> tuple | None:
        """(a, b, g, weights, workspace) of the time transformation; every pair weighs the mean of m_i m_j."""
        if self.transform == "logarithmic":
            return None
        n = particles.n
        mean = (particles.mass.sum() ** 2 - particles.mass @ particles.mass) / (n * (n - 1))
        return 0.0, 1.0, 0.0, np.full((n, n), mean), np.zeros(3 * n)

    def _fit(self, particles: Particles, carry: ChainCarry) -> None:
        """Give the carry room for spins, or take it away, when perturbations were switched on or off."""
        n = particles.n
        size = 3 + (9 if self._perturbed else 6) * n
        if carry.high.size == size:
            return
        spins = np.zeros((3, n)) if particles.spin is None else particles.spin[carry.order].T
        carry.high = np.concatenate([carry.high[: 3 + 6 * n], spins.ravel()])[:size]
        carry.low = np.concatenate([carry.low[: 3 + 6 * n], np.zeros(3 * n)])[:size]

    # ---- outcomes -------------------------------------------------------------------------------------------

    def _event(self, particles: Particles, found: NDArray[np.int64]) -> Event:
        i, j = sorted(int(k) for k in found)
        holes = particles.is_kind(_BLACK_HOLE)[[i, j]]
        kind = {2: "merger", 1: "tidal-disruption", 0: "collision"}[int(holes.sum())]
        if kind == "tidal-disruption" and self._swallowed(particles, *((i, j) if holes[0] else (j, i))):
            kind = "capture"
        separation = particles.position[i] - particles.position[j]
        relative = particles.velocity[i] - particles.velocity[j]
        data = {"separation": float(np.linalg.norm(separation)), "relative_speed": float(np.linalg.norm(relative))}
        return Event(kind, particles.time, (int(particles.identity[i]), int(particles.identity[j])), data)

    def _swallowed(self, particles: Particles, hole: int, star: int) -> bool:
        horizon, radius = self._reaches(particles, self._light(particles))
        return bool(horizon[hole] >= radius[star] * np.cbrt(particles.mass[hole] / particles.mass[star]))

    def _closest(self, particles: Particles) -> tuple[int, ...]:
        distance = np.linalg.norm(particles.position[:, None] - particles.position[None, :], axis=-1)
        np.fill_diagonal(distance, np.inf)
        pair = np.unravel_index(int(np.argmin(distance)), distance.shape)
        return tuple(sorted(int(particles.identity[k]) for k in pair))

    def _drift(self, particles: Particles, dt: float) -> Step:
        particles.position += dt * particles.velocity
        particles.time += dt
        return Step(dt, energy=particles.kinetic_energy())


def _omega(particles: Particles) -> float:
    """Omega = sum_{i<j} mean(m_i m_j) / r_ij."""
    i, j = np.triu_indices(particles.n, 1)
    distance = np.linalg.norm(particles.position[i] - particles.position[j], axis=1)
    return float(np.mean(particles.mass[i] * particles.mass[j]) * np.sum(1.0 / distance))
