"""What a network is made of: a frozen description that a model file carries in its header, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..particles import InputError

#: Highest degree of spherical harmonics that kernels know.
HIGHEST_DEGREE = 3

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
        if self.head not in ("stride", "energy") or self.parity not in ("natural", "both"):
            raise InputError(f"a network has head 'stride' or 'energy', parity 'natural' or 'both'; not {self.head!r}, "
                             f"{self.parity!r}")  # fmt: skip
        if not 1 <= self.l_max <= HIGHEST_DEGREE:
            raise InputError(f"l_max is {self.l_max}; expected 1 to {HIGHEST_DEGREE}")
        if not self.species or list(self.species) != sorted(set(self.species)) or self.species[0] < 1:
            raise InputError(f"species are {self.species}; expected different atomic numbers in ascending order")
        for name in ("channels", "layers", "radial_functions", "speed_functions", "cutoff_power"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected a positive whole number")
        if not (self.cutoff > 0.0 and self.average_neighbours > 0.0 and math.isfinite(self.cutoff)):
            raise InputError(f"cutoff {self.cutoff} and average_neighbours {self.average_neighbours} must be positive")
        self._check_tables()

    def _check_tables(self) -> None:
        s, h = len(self.species), len(self.strides)
        per_species = ("masses", "velocity_scale") if self.head == "stride" else ("masses", "atom_energy")
        for name in per_species:
            if len(getattr(self, name)) != s:
                raise InputError(f"{name} has {len(getattr(self, name))} entries; expected one for each of {s} species")
        if self.head == "energy":
            return
        if h == 0 or any(not t > 0.0 for t in self.strides) or list(self.strides) != sorted(set(self.strides)):
            raise InputError(f"strides are {self.strides}; expected different positive times in fs, ascending")
        for name in ("drift", "memory", "displacement_scale", "velocity_change_scale"):
            table = getattr(self, name)
            if len(table) != h or any(len(row) != s for row in table):
                raise InputError(f"{name} must have a row for each of {h} strides and a column for each of {s} species")

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
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"the architecture has the unknown entry {unknown[0]!r}; the file is of a newer version")
        try:
            return cls(**{key: _tupled(value) for key, value in values.items()})
        except TypeError as error:
            raise InputError(f"the architecture cannot be read: {error}") from None


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, (tuple, list)) else value
