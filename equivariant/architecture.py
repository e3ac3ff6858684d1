"""What a network is made of: a frozen description that a model file carries in its header, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal

from ..particles import InputError

#: Highest degree of spherical harmonics that kernels know.
HIGHEST_DEGREE = 3

#: What a description may ask for at most; more is a damaged file.
_WHOLE = {
    "l_max": (1, HIGHEST_DEGREE), "channels": (1, 4096), "layers": (1, 64), "radial_functions": (1, 1024),
    "cutoff_power": (1, 64), "speed_functions": (1, 1024),
}  # fmt: skip
_CHOICES = {"head": ("stride", "energy"), "parity": ("natural", "both"), "speed_basis": ("even", "plain")}
#: What files say nothing of that are older than the choice.
_BEFORE = {"speed_basis": "plain"}
_MOST_LAYERS, _WIDEST, _LAST_ELEMENT = 16, 65536, 118

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    r"""All numbers that decide the shape of a network, and the fixed scales of its input and output.

    Units: Angstrom, fs, amu, eV. S species, H strides.

    Attributes
    ----------
    species : (S,) atomic numbers, ascending
    masses : (S,) amu, the masses of the training data; others (isotopes) enter as ln(m / mass)
    cutoff : Angstrom, reach of an edge
    average_neighbours : mean number of edges of an atom in the training data; sums over neighbours are divided by its root
    strides : (H,) fs, the strides a "stride" model was trained for; empty for "energy"
    head : "stride": (x, v) -> (displacement, v'); "energy": x -> energy and its gradient
    l_max : highest degree of features and harmonics, 1 to 3
    parity : "natural": features of parity (-1)^l alone; "both": both parities of every degree
    channels : features of each kind
    layers : message-passing layers
    radial_functions : Bessel functions of the edge length
    cutoff_power : p of the polynomial cutoff
    radial_hidden : widths of the hidden layers of the radial network
    speed_functions : Gaussians of the reduced speed
    speed_basis : "even": Gaussians that are even in the speed, smooth at rest; "plain": with a kink there (models of older files)
    speed_limit : where the Gaussians end, in units of ``velocity_scale``
    speed_hidden : widths of the hidden layers of the speed network
    velocity_scale : (S,) Angstrom/fs, root mean square of one velocity component in the training data
    drift : (H, S), baseline of the displacement: drift * stride * v
    memory : (H, S), baseline of the new velocity: memory * v
    displacement_scale : (H, S) Angstrom, rms of what the baseline leaves
    velocity_change_scale : (H, S) Angstrom/fs, the same of the velocity
    atom_energy : (S,) eV, of "energy" models: mean energy that an atom of a species stands for
    energy_scale : eV, of "energy" models: unit of the network's output per atom

    """

    species: tuple[int, ...]
    masses: tuple[float, ...]
    cutoff: float
    average_neighbours: float
    strides: tuple[float, ...] = ()
    head: Literal["stride", "energy"] = "stride"
    l_max: int = 2
    parity: Literal["natural", "both"] = "natural"
    channels: int = 64
    layers: int = 4
    radial_functions: int = 8
    cutoff_power: int = 6
    radial_hidden: tuple[int, ...] = (64, 64)
    speed_functions: int = 16
    speed_basis: Literal["even", "plain"] = "even"
    speed_limit: float = 5.0
    speed_hidden: tuple[int, ...] = (64,)
    velocity_scale: tuple[float, ...] = ()
    drift: Rows = ()
    memory: Rows = ()
    displacement_scale: Rows = ()
    velocity_change_scale: Rows = ()
    atom_energy: tuple[float, ...] = ()
    energy_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise _wrong(name, getattr(self, name), " or ".join(map(repr, choices)))
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if not (_is_whole(value) and low <= value <= high):
                raise _wrong(name, value, f"a whole number from {low} to {high}")
        for name in ("cutoff", "average_neighbours", "speed_limit", "energy_scale"):
            if not (_is_real(getattr(self, name)) and getattr(self, name) > 0.0):
                raise _wrong(name, getattr(self, name), "a positive number")
        for name in ("radial_hidden", "speed_hidden"):
            widths = getattr(self, name)
            fits = isinstance(widths, tuple) and len(widths) <= _MOST_LAYERS
            if not fits or not all(_is_whole(w) and 1 <= w <= _WIDEST for w in widths):
                raise _wrong(name, widths, f"up to {_MOST_LAYERS} whole numbers from 1 to {_WIDEST}")
        self._check_species()
        self._check_tables()

    def _check_species(self) -> None:
        known = self.species
        if (
            not isinstance(known, tuple)
            or not known
            or not all(_is_whole(z) and 1 <= z <= _LAST_ELEMENT for z in known)
        ):
            raise _wrong("species", known, f"atomic numbers, 1 to {_LAST_ELEMENT}")
        if list(known) != sorted(set(known)):
            raise _wrong("species", known, "different atomic numbers in ascending order")
        own = ("masses", "velocity_scale") if self.head == "stride" else ("masses", "atom_energy")
        for name in own:
            row = getattr(self, name)
            if not _is_row(row, len(known), positive=name != "atom_energy"):
                kind = "finite" if name == "atom_energy" else "positive"
                raise _wrong(name, row, f"{kind} numbers, one for each of {len(known)} species")

    def _check_tables(self) -> None:
        if self.head == "energy":
            return
        strides = self.strides
        if not strides or not _is_row(strides, None, positive=True) or list(strides) != sorted(set(strides)):
            raise _wrong("strides", strides, "different positive times in fs, ascending")
        s, h = len(self.species), len(strides)
        for name in ("drift", "memory", "displacement_scale", "velocity_change_scale"):
            table = getattr(self, name)
            fits = isinstance(table, tuple) and len(table) == h and all(_is_row(row, s) for row in table)
            if not fits or ("scale" in name and any(x < 0.0 for row in table for x in row)):
                raise _wrong(
                    name, table, f"a row for each of {h} strides, with a finite number for each of {s} species"
                )

    @property
    def irreps(self) -> tuple[tuple[int, int], ...]:
        """The kinds of features, (degree, parity), in the order in which arrays hold them."""
        kinds = []
        for degree in range(self.l_max + 1):
            natural = (-1) ** degree
            kinds.append((degree, natural))
            if self.parity == "both":
                kinds.append((degree, -natural))
        return tuple(kinds)

    @property
    def first_irreps(self) -> tuple[tuple[int, int], ...]:
        """The kinds of features before the first layer: those of harmonics."""
        return tuple((degree, (-1) ** degree) for degree in range(self.l_max + 1))

    def stride_index(self, stride: float) -> int:
        """Return the row of a stride (fs) in the tables; raises InputError for one the model was not made for."""
        for i, known in enumerate(self.strides):
            if abs(stride - known) <= 1e-6 * known:
                return i
        raise InputError(
            f"a stride of {stride:g} fs: this model was made for {', '.join(f'{t:g}' for t in self.strides) or 'no stride'} fs"
        )

    def species_index(self, atomic_numbers: Any) -> Any:
        """Return the position of each atomic number in ``species`` (int64 array); raises InputError for unknown ones."""
        import numpy as np

        numbers = np.asarray(atomic_numbers)
        known = np.asarray(self.species)
        index = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        wrong = known[index] != numbers
        if wrong.any():
            came = ", ".join(str(int(z)) for z in sorted(set(numbers[wrong].tolist())))
            raise InputError(f"species {came} (atomic numbers): this model knows {', '.join(map(str, self.species))}")
        return index.astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return the description as JSON's types."""
        return {key: _listed(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Architecture:
        """Return the architecture of what ``to_json`` gave.

        Raises
        ------
        InputError : unknown or missing entries, or values that do not fit together

        """
        if not isinstance(values, Mapping):
            raise InputError(f"the architecture is {repr(values)[:60]}; expected a table")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"the architecture has the unknown entry {unknown[0]!r}; the file is of a newer version")
        try:
            return cls(**{key: _tupled(value) for key, value in {**_BEFORE, **values}.items()})
        except TypeError as error:
            raise InputError(f"the architecture cannot be read: {error}") from None


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_row(value: Any, length: int | None, *, positive: bool = False) -> bool:
    if not isinstance(value, tuple) or (length is not None and len(value) != length):
        return False
    return all(_is_real(x) and (x > 0.0 or not positive) for x in value)


def _wrong(name: str, value: Any, expected: str) -> InputError:
    came = repr(value)
    return InputError(f"{name} is {came if len(came) < 60 else came[:57] + '...'}; expected {expected}")


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, (tuple, list)) else value
