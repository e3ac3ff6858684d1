"""The state: a slotted struct of arrays that every method of Askel reads and changes in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .fields import FIELDS, PARTICLE_FIELDS, SYSTEM_FIELDS, Field
from .units import UNIT_SYSTEMS, UnitSystem

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]


class Particles:
    """n particles at one time, in one unit system.

    Arrays are C-contiguous and float64 (``identity`` int64); optional fields are None when absent. All fields, their
    shapes, dtypes and dimensions are declared in ``askel.particles.fields.FIELDS``.

    Parameters
    ----------
    mass : (n,) mass
    position, velocity : (n, 3)
    identity : (n,) int, unique and >= 0; 0 ... n-1 when not given
    time : float
    units : UnitSystem, N-body units when not given
    fields : further fields of the table by name: spin, radius, kind, softening, species, cell, periodic

    Notes
    -----
    Arrays of the right dtype and layout are used without a copy, so that the state can view an ``ase.Atoms``.
    Construction checks shapes only; ``check()`` looks at the values.

    Raises
    ------
    InputError : wrong shapes, unknown fields

    """

    __slots__ = (*FIELDS, "units")

    time: float
    identity: NDArray[np.int64]
    mass: FloatArray
    position: FloatArray
    velocity: FloatArray
    spin: FloatArray | None
    radius: FloatArray | None
    kind: NDArray[np.int8] | None
    softening: FloatArray | None
    species: NDArray[np.int32] | None
    cell: FloatArray | None
    periodic: NDArray[np.bool_] | None
    units: UnitSystem

    def __init__(
        self,
        mass: ArrayLike,
        position: ArrayLike,
        velocity: ArrayLike,
        *,
        identity: ArrayLike | None = None,
        time: float = 0.0,
        units: UnitSystem = UNIT_SYSTEMS["nbody"],
        **fields: ArrayLike | None,
    ) -> None:
        n = len(np.atleast_1d(np.asarray(mass)))
        given: dict[str, Any] = {"mass": mass, "position": position, "velocity": velocity, **fields}
        given["identity"] = np.arange(n, dtype=np.int64) if identity is None else identity
        unknown = sorted(set(given) - set(FIELDS))
        if unknown:
            raise InputError(f"unknown field {unknown[0]!r}; known: {', '.join(FIELDS)}")
        self.time = float(time)
        self.units = units
        for field in (*PARTICLE_FIELDS, *SYSTEM_FIELDS):
            if field.name != "time":
                value = given.get(field.name)
                setattr(self, field.name, None if value is None else _array(field, value, n))

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.mass)

    def __len__(self) -> int:
        return len(self.mass)

    def __repr__(self) -> str:
        optional = [f.name for f in self.present() if not f.required]
        extra = f", {', '.join(optional)}" if optional else ""
        return f"Particles(n={self.n}, time={self.time:g}, units={self.units.name!r}{extra})"

    def present(self) -> list[Field]:
        """Return the declared fields this state carries (time included)."""
        return [f for f in FIELDS.values() if getattr(self, f.name) is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return field name -> value (views, not copies) of all present fields."""
        return {f.name: getattr(self, f.name) for f in self.present()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], units: UnitSystem) -> Particles:
        """Make a state from what ``to_dict`` gives."""
        return cls(units=units, **values)

    def clone(self) -> Particles:
        """Return a deep copy."""
        values = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in self.to_dict().items()}
        return Particles.from_dict(values, self.units)

    def copy_from(self, other: Particles) -> None:
        """Overwrite this state, in place, with another of the same size and fields (for rolling a step back).

        Raises
        ------
        InputError : size or fields differ

        """
        if self.n != other.n or [f.name for f in self.present()] != [f.name for f in other.present()]:
            raise InputError(f"cannot copy {other!r} into {self!r}: size and fields must be the same")
        for field in other.present():
            if field.name == "time":
                self.time = other.time
            else:
                getattr(self, field.name)[...] = getattr(other, field.name)
        self.units = other.units

    def select(self, which: ArrayLike) -> Particles:
        """Return a new state (copies) of the particles picked by a mask or by row numbers, in that order."""
        rows = np.asarray(which)
        values = {
            f.name: np.array(getattr(self, f.name)[rows]) if f.scope == "particle" else getattr(self, f.name)
            for f in self.present()
        }
        return Particles.from_dict(values, self.units)

    def assign(self, rows: ArrayLike, other: Particles) -> None:
        """Overwrite some rows, in place, with the particles of another state; fields that only it has are added."""
        for field in other.present():
            if field.scope != "particle":
                continue
            if getattr(self, field.name) is None:
                setattr(self, field.name, np.full((self.n, *field.shape), field.fill, field.dtype))
            getattr(self, field.name)[rows] = getattr(other, field.name)

    def replace_with(self, other: Particles) -> None:
        """Become ``other`` (any size): the one way in which the membership of a state changes."""
        for field in FIELDS:
            setattr(self, field, getattr(other, field))
        self.units = other.units

    def in_units(self, units: UnitSystem) -> Particles:
        """Return the state converted to another unit system (a copy; itself when the units are the same).

        Raises
        ------
        InputError : exactly one of the two systems has no physical scale

        """
        if units == self.units:
            return self
        values = {}
        for field in self.present():
            value = getattr(self, field.name)
            factor = self.units.conversion(units, field.dimension)
            values[field.name] = (
                value * factor if factor != 1.0 else (np.array(value) if field.name != "time" else value)
            )
        return Particles.from_dict(values, units)

    def is_kind(self, code: int) -> NDArray[np.bool_]:
        """Return the mask (n,) of particles of one kind (all False when kinds are absent)."""
        return np.zeros(self.n, bool) if self.kind is None else self.kind == code

    def softening_lengths(self, softening: float = 0.0) -> FloatArray:
        """Return the softening lengths (n,): the number for all where it is positive, else those of the particles, else zeros."""
        if softening > 0.0 or self.softening is None:
            return np.full(self.n, softening)
        return self.softening

    def centre_of_mass(self) -> tuple[FloatArray, FloatArray]:
        """Return the centre-of-mass position and velocity, each (3,); zeros for massless states."""
        total = self.mass.sum()
        if total == 0.0:
            return np.zeros(3), np.zeros(3)
        return self.mass @ self.position / total, self.mass @ self.velocity / total

    def kinetic_energy(self) -> float:
        """Return T = sum m v^2 / 2 in the units of the state."""
        return float(0.5 * np.sum(self.mass * np.einsum("ij,ij->i", self.velocity, self.velocity)))

    def check(self, *, coincident: bool = True, massless: bool = False) -> None:
        """Look at the values and refuse what no method can use.

        Parameters
        ----------
        coincident : refuse two particles at one position
        massless : accept zero masses

        Raises
        ------
        InputError : non-finite values, negative or zero masses, repeated identities, coincident particles

        """
        for field in self.present():
            bad = ~np.isfinite(np.asarray(getattr(self, field.name), float))
            if bad.any():
                where = "" if field.scope == "system" else f" of particle {self.identity[np.argwhere(bad)[0][0]]}"
                raise InputError(f"{field.name}{where} is not finite; every value must be a finite number")
        wrong = self.mass < 0.0 if massless else self.mass <= 0.0
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InputError(
                f"mass of particle {self.identity[i]} is {self.mass[i]:g}; masses must be "
                f"{'zero or positive' if massless else 'positive'}"
            )
        ids, counts = np.unique(self.identity, return_counts=True)
        if (counts > 1).any():
            raise InputError(f"identity {ids[np.argmax(counts > 1)]} is used twice; every particle needs its own")
        if self.n and ids[0] < 0:
            raise InputError(f"identity {ids[0]} is negative; identities start at 0")
        if coincident:
            self._refuse_coincident()

    def _refuse_coincident(self) -> None:
        order = np.lexsort(self.position.T)
        same = (np.diff(self.position[order], axis=0) == 0.0).all(axis=1)
        if same.any():
            i = int(np.argmax(same))
            pair = sorted(int(k) for k in self.identity[order[i : i + 2]])
            raise InputError(f"particles {pair[0]} and {pair[1]} are at the same position; move or merge them")

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Particles:
        """Return the state that views an ``ase.Atoms`` (ASE units: Angstrom, amu, and energies in eV)."""
        from .io_ase import particles_from_atoms

        return particles_from_atoms(atoms)

    def to_ase(self) -> Atoms:
        """Return an ``ase.Atoms`` copy of the state, converted to ASE units where the units have a physical scale."""
        from .io_ase import atoms_from_particles

        return atoms_from_particles(self)


def join(states: Sequence[Particles]) -> Particles:
    """Return one state of all particles of several; absent optional fields take their fill value.

    Raises
    ------
    InputError : no state, or different units or times

    """
    if not states:
        raise InputError("nothing to join")
    first = states[0]
    if any(s.units != first.units or s.time != first.time for s in states):
        raise InputError("states to join must have the same units and the same time")
    values: dict[str, Any] = {}
    for field in FIELDS.values():
        parts = [getattr(s, field.name) for s in states]
        if all(p is None for p in parts):
            continue
        if field.scope == "system":
            values[field.name] = next(p for p in parts if p is not None)
            continue
        filled = [
            np.full((s.n, *field.shape), field.fill, field.dtype) if p is None else p
            for s, p in zip(states, parts, strict=True)
        ]
        values[field.name] = np.concatenate(filled)
    return Particles.from_dict(values, first.units)


def _array(field: Field, value: ArrayLike, n: int) -> NDArray:
    shape = (n, *field.shape) if field.scope == "particle" else field.shape
    try:
        array = np.ascontiguousarray(value, dtype=field.dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"{field.name} cannot be read as {field.dtype}: {error}") from None
    if array.shape != shape:
        if array.size == int(np.prod(shape)) and n == 1:
            return array.reshape(shape)
        raise InputError(f"{field.name} has shape {array.shape}; expected {shape}")
    return array
