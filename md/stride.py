"""The learned stride as a propagator: (x, v) at t to (x, v) at t + a long stride, by a network, without a force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..integrators import Capabilities, Change, Outcome, Step
from ..particles import SERIAL, UNIT_SYSTEMS, Exchange, InputError, Particles
from ..particles.collective import together
from ..particles.units import TIME, VELOCITY
from .model_units import MODEL_UNITS

FloatArray = NDArray[np.float64]

#: Strides agree when they differ by less than this share: ASE's fs and ours differ by 2e-9 (CODATA 2014 and 2018).
_SAME_STRIDE = 1e-6
#: Masses within this share of the training mass are that of the same isotope mixture; larger deviations are noted.
_SAME_MASS = 0.01
#: Largest factor by which a mass may differ from the training mass: hydrogen as heavy as 4 amu is in use.
_LARGEST_MASS_FACTOR = 4.5


class StrideArchitecture(Protocol):
    """What a stride needs to know of a network: see ``equivariant.Architecture``."""

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers."""
        ...

    @property
    def masses(self) -> tuple[float, ...]:
        """Masses of the training data, amu, one per species."""
        ...

    @property
    def strides(self) -> tuple[float, ...]:
        """Strides of the training data, fs."""
        ...


class StrideEngine(Protocol):
    """What evaluates a network of head "stride": ``equivariant.Engine``, or a test double."""

    @property
    def architecture(self) -> StrideArchitecture:
        """What the network was made for."""
        ...

    def stride(
        self,
        species: NDArray[np.integer],
        mass: FloatArray,
        position: FloatArray,
        velocity: FloatArray,
        cell: FloatArray | None,
        periodic: NDArray[np.bool_],
        stride: float,
        starts: NDArray[np.int64] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return displacement (n, 3) in Angstrom and new velocity (n, 3) in Angstrom/fs, float64."""
        ...


@dataclass(slots=True)
class StrideCarry:
    """Memory between steps.

    Attributes
    ----------
    strides : int, strides done

    """

    strides: int


class LearnedStride:
    r"""A stride of a trained network.

    (d, v') = f_h(x, v, Z, m, cell),  x <- x + d,  v <- v';  h < 0: v <- -v before and after, so that a map that is
    reversible undoes its stride

    | symbol | variable | shape | unit (ASE's) |
    |---|---|---|---|
    | x, v | ``particles.position``, ``particles.velocity`` | (n, 3) float64, overwritten | Angstrom, Angstrom/(10.18 fs) |
    | Z, m | ``particles.species``, ``particles.mass`` | (n,) | , amu |
    | h | ``dt`` | one of ``capabilities.strides``, up to the sign | 10.18 fs |

    No force is evaluated, and nothing is conserved but what the network conserves (momentum; angular momentum in open
    systems). A stride that fails (NOT_FINITE, OUT_OF_RANGE) changes nothing and reports ``elapsed`` 0.

    Parameters
    ----------
    engine : StrideEngine
    name : str, of the model, for messages
    starts : (R + 1,) int, row offsets of R independent replicas; None: one system
    exchange : Exchange, the engine's; the ranks, each with its own particles, agree on the outcome

    Raises
    ------
    InputError : in ``start``: units other than 'ase', species absent or unknown, masses off by more than a factor 4.5,
        values that are not finite, no velocities, a periodic direction without a cell vector; in ``advance``: another
        stride, and what the engine refuses in the very first stride (atoms that overlap)

    """

    def __init__(
        self,
        engine: StrideEngine,
        *,
        name: str = "the model",
        starts: Sequence[int] | None = None,
        exchange: Exchange = SERIAL,
    ) -> None:
        self.engine, self.name, self.exchange = engine, name, exchange
        self.starts = None if starts is None else np.array(starts, dtype=np.int64)
        unit = MODEL_UNITS.conversion(UNIT_SYSTEMS["ase"], TIME)
        self.capabilities = Capabilities(order=None, strides=tuple(h * unit for h in engine.architecture.strides))
        self._to_model = UNIT_SYSTEMS["ase"].conversion(MODEL_UNITS, VELOCITY)

    def start(self, particles: Particles) -> StrideCarry:
        """Check the particles and return the carry."""
        moving = self.exchange.reduce(int(particles.velocity.any()), "max")
        with together(self.exchange):
            self._check(particles)
            if particles.n > 1 and not moving:
                raise InputError(f"all velocities are zero; {self.name} needs velocities: draw them at a temperature")
        return StrideCarry(strides=0)

    def advance(self, particles: Particles, carry: StrideCarry, dt: float) -> Step:
        """Do one stride; ``dt`` is an admissible stride, or minus one, or 0."""
        if dt == 0.0:
            return Step(elapsed=0.0)
        stride, sign = self._stride(dt), np.sign(dt)
        assert particles.species is not None, "start has checked the species"
        try:
            displacement, velocity = self.engine.stride(
                particles.species,
                particles.mass,
                particles.position,
                particles.velocity * (sign * self._to_model),
                None if particles.cell is None or not _periodic(particles).any() else particles.cell,
                _periodic(particles),
                stride,
                self.starts,
            )
        except InputError:
            if carry.strides == 0:
                raise
            return Step(elapsed=0.0, outcome=Outcome.OUT_OF_RANGE)
        bad = ~(np.isfinite(displacement) & np.isfinite(velocity)).all(axis=1)
        if self.exchange.reduce(int(bad.any()), "max"):
            identities = tuple(int(i) for i in particles.identity[bad])
            return Step(elapsed=0.0, outcome=Outcome.NOT_FINITE, identities=identities)
        particles.position += displacement
        np.multiply(velocity, sign / self._to_model, out=particles.velocity)
        particles.time += dt
        carry.strides += 1
        return Step(elapsed=dt, statistics={"strides": 1})

    def synchronise(self, particles: Particles, carry: StrideCarry) -> None:
        """Do nothing: positions and velocities are always at the same time."""

    def membership_changed(self, particles: Particles, carry: StrideCarry, change: Change) -> StrideCarry:
        """Check the new particles."""
        with together(self.exchange):
            self._check(particles)
        return carry

    def notes(self, particles: Particles) -> tuple[str, ...]:
        """Return lines a user should read before a run: masses that the training data did not have."""
        assert particles.species is not None, "start has checked the species"
        lines = []
        for number, mass in zip(self.engine.architecture.species, self.engine.architecture.masses, strict=True):
            own = np.unique(particles.mass[particles.species == number])
            other = own[np.abs(own / mass - 1.0) > _SAME_MASS]
            if len(other):
                lines.append(
                    f"atoms of atomic number {number} have mass {', '.join(f'{m:g}' for m in other)} amu; {self.name} was "
                    f"trained with {mass:g}: it takes the mass into account, but was not tested with this one"
                )
        return tuple(lines)

    # ------------------------------------------------------------------ checks

    def _stride(self, dt: float) -> float:
        """Return the engine's number, in fs, for a dt."""
        for stride, admissible in zip(self.engine.architecture.strides, self.capabilities.strides or (), strict=True):
            if abs(abs(dt) - admissible) <= _SAME_STRIDE * admissible:
                return stride
        asked = UNIT_SYSTEMS["ase"].conversion(MODEL_UNITS, TIME) * dt
        known = ", ".join(f"{h:g}" for h in self.engine.architecture.strides)
        raise InputError(f"{self.name} was asked for a stride of {asked:g} fs; it was trained for {known} fs")

    def _check(self, particles: Particles) -> None:
        if particles.units != UNIT_SYSTEMS["ase"]:
            raise InputError(
                f"{self.name} needs particles in 'ase' units, not {particles.units.name!r}; convert them with "
                "particles.in_units(UNIT_SYSTEMS['ase'])"
            )
        particles.check(coincident=False)
        self._check_species(particles)
        _check_cell(particles)
        if self.starts is not None and (self.starts[0] != 0 or self.starts[-1] != particles.n):
            raise InputError(f"replicas end at row {self.starts[-1]}; expected {particles.n}, the number of particles")

    def _check_species(self, particles: Particles) -> None:
        if particles.species is None:
            raise InputError(f"the particles have no species; {self.name} needs an atomic number for every particle")
        known = self.engine.architecture.species
        unknown = np.setdiff1d(particles.species, known)
        if len(unknown):
            raise InputError(
                f"the particles hold atomic number {', '.join(map(str, unknown))}; {self.name} was made for "
                f"{', '.join(map(str, known))}"
            )
        for number, mass in zip(known, self.engine.architecture.masses, strict=True):
            ratio = particles.mass[particles.species == number] / mass
            wrong = (ratio > _LARGEST_MASS_FACTOR) | (ratio * _LARGEST_MASS_FACTOR < 1.0)
            if wrong.any():
                raise InputError(
                    f"an atom of atomic number {number} has mass {ratio[wrong][0] * mass:g} amu; {self.name} was trained "
                    f"with {mass:g} and takes masses within a factor {_LARGEST_MASS_FACTOR:g} of it"
                )


def _periodic(particles: Particles) -> NDArray[np.bool_]:
    return np.zeros(3, bool) if particles.periodic is None else particles.periodic


def _check_cell(particles: Particles) -> None:
    """Refuse periodic directions without a cell vector, and flat cells."""
    periodic = _periodic(particles)
    if not periodic.any():
        return
    vectors = np.zeros((3, 3)) if particles.cell is None else particles.cell
    length = np.linalg.norm(vectors, axis=1)
    if (length[periodic] == 0.0).any():
        axis = "abc"[int(np.argmax(periodic & (length == 0.0)))]
        raise InputError(f"the system repeats along {axis}, but that cell vector is zero; set the cell")
    if periodic.all() and abs(np.linalg.det(vectors)) < 1e-6 * length.prod():
        raise InputError("the cell has no volume: its vectors lie in one plane; set the cell")
