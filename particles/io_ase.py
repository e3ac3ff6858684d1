"""ASE in both directions: ``ase.Atoms`` as states, states as Atoms, and every file format that ASE reads or writes.

A state in ASE units (Angstrom, amu, eV) goes back and forth unchanged. States with other physical scales are converted by
``atoms_from_particles``; in files they keep their own numbers and say their units in ``info``. Particles without an atomic
number become symbol X.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .fields import FIELDS, Field
from .io_text import check_frame, unit_facts, units_from_facts
from .particles import Particles
from .units import UNIT_SYSTEMS, UnitSystem

if TYPE_CHECKING:
    from ase import Atoms

MANY_FRAMES = True
#: Fields that ASE has no place for: they become arrays of their element's name.
_EXTRA = tuple(FIELDS[name] for name in ("identity", "spin", "radius", "kind", "softening"))
_EXTENDED_XYZ = (".xyz", ".extxyz")


def particles_from_atoms(atoms: Atoms) -> Particles:
    """Return the state that views an ``ase.Atoms``.

    ``position`` is a view of the atoms' positions; mass, velocity (momentum / mass), species, cell are copies.

    Parameters
    ----------
    atoms : ase.Atoms, in ASE units unless ``atoms.info`` says others (as ``atoms_from_particles`` leaves it)

    Returns
    -------
    Particles, n = len(atoms); identities from the array "id", else 0 ... n-1

    Raises
    ------
    InputError : an atom without mass that moves

    """
    mass = np.array(atoms.get_masses(), dtype=float)
    momenta = atoms.get_momenta()
    if np.any((mass == 0.0) & momenta.any(axis=1)):
        raise InputError("an atom has momentum but no mass; set the masses")
    velocity = atoms.arrays.get("velo")
    if velocity is None:
        velocity = momenta / np.where(mass == 0.0, 1.0, mass)[:, None]
    values: dict[str, Any] = {f.name: _extra(atoms, f) for f in _EXTRA}
    if atoms.numbers.any():
        values["species"] = atoms.numbers.astype(np.int32)
    if atoms.pbc.any() or atoms.cell.array.any():
        values |= {"cell": np.array(atoms.cell.array), "periodic": np.array(atoms.pbc)}
    units = units_from_facts(atoms.info) or UNIT_SYSTEMS["ase"]
    time = float(atoms.info.get("time", 0.0))
    return Particles(mass, atoms.arrays["positions"], np.array(velocity, float), time=time, units=units, **values)


def _extra(atoms: Atoms, field: Field) -> NDArray | None:
    value = atoms.arrays.get(field.element)
    if value is None or value.shape != (len(atoms), *field.shape) or value.dtype.kind not in "fiu":
        return None
    return value.astype(field.dtype)


def atoms_from_particles(particles: Particles, *, keep_units: bool = False) -> Atoms:
    """Return an ``ase.Atoms`` copy of a state.

    Parameters
    ----------
    particles : Particles; converted to ASE units where its units have a physical scale
    keep_units : leave the numbers as they are, and say the units in ``info`` (what files do)

    Returns
    -------
    ase.Atoms with masses, momenta, the arrays id, spin, radius, kind, softening where present, and ``info["time"]``

    """
    from ase import Atoms

    if particles.units.physical and not keep_units:
        particles = particles.in_units(UNIT_SYSTEMS["ase"])
    numbers = np.zeros(particles.n, int) if particles.species is None else particles.species
    atoms = Atoms(numbers, positions=particles.position, cell=particles.cell, pbc=particles.periodic)
    atoms.set_masses(particles.mass)
    atoms.set_momenta(particles.mass[:, None] * particles.velocity, apply_constraint=False)
    for field in _EXTRA:
        value = getattr(particles, field.name)
        if value is not None:
            atoms.set_array(field.element, np.array(value))
    atoms.info["time"] = particles.time
    if particles.units != UNIT_SYSTEMS["ase"]:
        atoms.info.update(unit_facts(particles.units))
        atoms.set_array("velo", np.array(particles.velocity))  # momentum / mass would round
    return atoms


def standard_masses(species: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the standard atomic masses (n,), in amu, of atomic numbers (n,); raises InputError for other numbers."""
    from ase.data import atomic_masses

    if len(species) and not 0 <= int(species.min()) <= int(species.max()) < len(atomic_masses):
        raise InputError(f"species must be atomic numbers, 0 to {len(atomic_masses) - 1}, not {species.max()}")
    return np.array(atomic_masses[species], dtype=float)


def symbols(species: NDArray[np.integer]) -> list[str]:
    """Return the chemical symbols of atomic numbers (n,)."""
    from ase.data import chemical_symbols

    return [chemical_symbols[z] for z in species]


def numbers(elements: Iterable[str]) -> NDArray[np.int64]:
    """Return the atomic numbers of chemical symbols, written in any case."""
    from ase.data import atomic_numbers

    return np.array([atomic_numbers[element.capitalize()] for element in elements], dtype=np.int64)


# ---------------------------------------------------------------------- files


def sniff(path: Path, head: bytes) -> bool:
    """Return whether ASE knows the format."""
    return _format_of(path, reading=True) is not None


def states(path: Path, frame: int | None, units: UnitSystem | None) -> Iterator[Particles]:
    """Yield one frame, or all (frame None), of a file that ASE reads; its units are ASE's unless the file says others.

    Raises
    ------
    InputError : ASE cannot read it, no such frame

    """
    images = _read(path, None if frame is None else frame)
    for image in images:
        yield particles_from_atoms(image).clone()


def write_states(path: Path, frames: Iterable[Particles]) -> int:
    """Write frames by ASE, or as extended XYZ with all digits; return how many.

    Raises
    ------
    InputError : no format known for the name, or one that cannot hold these states

    """
    return write_named(path, frames, path)


def write_named(path: Path, frames: Iterable[Particles], named: Path) -> int:
    """Write frames to ``path`` in the format that the name ``named`` asks for."""
    from ase.io import write

    iterator = iter(frames)
    first = next(iterator)
    atomic = first.units == UNIT_SYSTEMS["ase"] or (first.species is not None and first.units.physical)
    images = (atoms_from_particles(s, keep_units=not atomic) for s in chain([first], iterator))
    if named.suffix in _EXTENDED_XYZ:
        return _write_extended_xyz(path, images)
    kind = _format_of(named, reading=False)
    if kind is None:
        raise InputError(f"no format is known for {named.name}; see 'askel info' and 'ase info --formats'")
    found = list(images)
    try:
        write(path, found, format=kind, parallel=False)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"ASE cannot write {len(found)} frames as {kind}: {str(error).splitlines()[0:1]}") from None
    return len(found)


def describe(path: Path) -> dict[str, Any]:
    """Return what a file that ASE reads holds."""
    images = _read(path, None)
    found = [particles_from_atoms(image) for image in images]
    timed = all("time" in image.info for image in images)
    return {
        "ase_format": _format_of(path, reading=True),
        "frames": len(found),
        "particles": max((s.n for s in found), default=0),
        "time": {"first": found[0].time if timed else None, "last": found[-1].time if timed else None},
        "units": found[0].units.name,
    }


def _read(path: Path, frame: int | None) -> list[Atoms]:
    from ase.io import read

    kind = _format_of(path, reading=True)  # ASE would read on one rank for all; here each rank that asks reads
    if kind is None:
        raise InputError(f"{path} is in no format that Askel or ASE knows")
    chosen = slice(None) if frame is None else slice(frame, frame + 1 or None)  # a number is clamped by some readers
    try:
        images: Any = read(path, chosen, format=kind, parallel=False)
        if not images and frame is not None:
            check_frame(path, frame, len(read(path, slice(None), format=kind, parallel=False)))
    except InputError:
        raise
    except Exception as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as {kind}: {what[:120]}") from None
    if not images:
        raise InputError(f"{path} holds no atoms")
    return list(images)


def _format_of(path: Path, *, reading: bool) -> str | None:
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        return str(filetype(str(path), read=reading))
    except (UnknownFileTypeError, OSError, UnicodeDecodeError):
        return None


def _write_extended_xyz(path: Path, images: Iterable[Atoms]) -> int:
    """Write extended XYZ with 17 digits (ASE's writer has 8 decimals, too few for any but Angstrom)."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for atoms in images:
            count += 1
            arrays = {"species": np.array(atoms.get_chemical_symbols()), "pos": atoms.positions}
            arrays |= {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
            file.write(f"{len(atoms)}\n{_comment(atoms, arrays)}\n")
            columns = [c for value in arrays.values() for c in _flat_columns(value)]
            file.writelines(" ".join(row) + "\n" for row in zip(*columns, strict=True))
    return count


def _comment(atoms: Atoms, arrays: dict[str, NDArray]) -> str:
    letters = {"U": "S", "f": "R", "i": "I", "u": "I"}
    properties = ":".join(
        f"{name}:{letters[v.dtype.kind]}:{v.shape[1] if v.ndim > 1 else 1}" for name, v in arrays.items()
    )
    parts = [f"Properties={properties}"]
    if atoms.cell.array.any():
        parts.append('Lattice="' + " ".join(repr(float(x)) for x in atoms.cell.array.ravel()) + '"')
    parts.append('pbc="' + " ".join("T" if p else "F" for p in atoms.pbc) + '"')
    parts += [f"{name}={value}" for name, value in atoms.info.items()]
    return " ".join(parts)


def _flat_columns(value: NDArray) -> list[list[str]]:
    table = value.reshape(len(value), -1) if len(value) else value.reshape(0, int(np.prod(value.shape[1:])))
    return [[str(x) if isinstance(x, str) else repr(x) for x in table[:, k].tolist()] for k in range(table.shape[1])]
