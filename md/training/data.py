"""Training pairs of NVE segments, and the statistics that fix a network's scales; NumPy alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...equivariant.architecture import Architecture
from ...equivariant.graph import neighbour_graph
from ...particles import InputError
from ...particles.io_segments import Segment
from .recipe import TrainingRecipe

FloatArray = NDArray[np.float64]

#: Frames on which the mean number of neighbours is counted, spread evenly over the training data.
_COUNTED_FRAMES = 200
#: Residuals are not taken to be smaller than this part of what a species does at all: a perfect baseline leaves rounding.
_SMALLEST_RESIDUAL = 1e-9


def part(segment: Segment, begin: int, end: int) -> Segment:
    """Return the frames ``begin`` ... ``end - 1`` of a segment as views."""
    cut = slice(begin, end)
    return replace(
        segment,
        position=segment.position[cut],
        velocity=segment.velocity[cut],
        energy=None if segment.energy is None else segment.energy[cut],
        forces=None if segment.forces is None else segment.forces[cut],
    )


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Where pairs start: pair p goes from frame ``first`` of its segment to frame ``first + span``.

    Attributes
    ----------
    segment, first, span, stride : (P,) int64; ``stride`` is the row of the stride in the tables

    """

    segment: NDArray[np.int64]
    first: NDArray[np.int64]
    span: NDArray[np.int64]
    stride: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Pairs:
        return Pairs(self.segment[rows], self.first[rows], self.span[rows], self.stride[rows])

    def thinned(self, most: int) -> Pairs:
        """Return at most so many, spread evenly; 0: all."""
        if not most or len(self) <= most:
            return self
        return self[np.linspace(0, len(self) - 1, most).round().astype(np.int64)]

    def long_enough(self, segments: Sequence[Segment], steps: int) -> NDArray[np.int64]:
        """Return the rows whose segment goes on for ``steps`` strides."""
        last = np.array([s.frames for s in segments], dtype=np.int64)[self.segment] - 1
        return np.flatnonzero(self.first + steps * self.span <= last)


def span_of(stride: float, interval: float) -> int:
    """Return how many frames a stride is; raises InputError unless it is a whole number of them."""
    span = round(stride / interval)
    if span < 1 or abs(span * interval - stride) > 1e-6 * stride:
        raise InputError(f"a stride of {stride:g} fs is no multiple of the data's interval of {interval:g} fs")
    return span


def pairs_of(segments: Sequence[Segment], strides: Sequence[float], every: int = 1) -> Pairs:
    """Return all pairs of the segments; segments shorter than a stride give none of it.

    Raises
    ------
    InputError : a stride that is no multiple of an interval, or that no segment is long enough for

    """
    columns: list[NDArray[np.int64]] = []
    for h, stride in enumerate(strides):
        found = 0
        for s, segment in enumerate(segments):
            span = span_of(stride, segment.interval)
            first = np.arange(0, segment.frames - span, every, dtype=np.int64)
            columns.append(np.stack([np.full_like(first, s), first, np.full_like(first, span), np.full_like(first, h)]))
            found += len(first)
        if not found:
            longest = max((s.frames - 1) * s.interval for s in segments)
            raise InputError(f"a stride of {stride:g} fs is longer than every segment of the data ({longest:g} fs)")
    return Pairs(*np.concatenate(columns, axis=1))


def split(
    segments: Sequence[Segment], fraction: float, seed: int, shortest: int = 2
) -> tuple[list[Segment], list[Segment]]:
    """Return (training, validation): whole segments are held out when the fraction is one or more of them, else the end
    of each, at least ``shortest`` frames.
    """
    count = int(fraction * len(segments) + 1e-9)
    if fraction == 0.0:
        return list(segments), []
    if count >= 1:
        held = set(np.random.default_rng([seed, 0x5E6]).permutation(len(segments))[:count].tolist())
        training = [s for k, s in enumerate(segments) if k not in held]
        return training, [s for k, s in enumerate(segments) if k in held]
    ends = [s.frames - max(shortest, round(fraction * s.frames)) for s in segments]
    if min(ends) < shortest:
        raise InputError(
            f"a segment of {min(s.frames for s in segments)} frames is too short to hold out {fraction:g} of it"
        )
    cut = list(zip(segments, ends, strict=True))
    return [part(s, 0, end) for s, end in cut], [part(s, end, s.frames) for s, end in cut]


@dataclass(frozen=True, eq=False, slots=True)
class Statistics:
    r"""Least squares of what atoms do on their velocity, per stride and species.

    displacement ~ drift h v,  v' ~ memory v;  drift = sum d.v / (h sum v.v),  memory = sum v'.v / sum v.v

    Attributes
    ----------
    drift, memory : (H, S)
    displacement_scale : (H, S) Angstrom, rms of a component of what the baseline leaves;  velocity_change_scale : Angstrom/fs
    velocity_scale : (S,) Angstrom/fs, rms of a component

    """

    drift: FloatArray
    memory: FloatArray
    displacement_scale: FloatArray
    velocity_change_scale: FloatArray
    velocity_scale: FloatArray


def species_of(segments: Sequence[Segment]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the atomic numbers in the data, ascending, and the median mass of each (amu)."""
    numbers = np.concatenate([s.species for s in segments])
    masses = np.concatenate([s.mass for s in segments])
    species = tuple(int(z) for z in np.unique(numbers))
    return species, tuple(float(np.median(masses[numbers == z])) for z in species)


def statistics(
    segments: Sequence[Segment], pairs: Pairs, strides: Sequence[float], species: Sequence[int], time_reversal: bool
) -> Statistics:
    """Return the statistics of the pairs, those seen backwards included when ``time_reversal``.

    Raises
    ------
    InputError : a species that does not move, or values that are not finite

    """
    sums = np.zeros((6, len(strides), len(species)))
    for s, segment in enumerate(segments):
        for h in range(len(strides)):
            chosen = pairs[(pairs.segment == s) & (pairs.stride == h)]
            if len(chosen):
                for k, z in enumerate(species):
                    sums[:, h, k] += _sums(segment, chosen, segment.species == z, time_reversal)
    if not np.isfinite(sums).all():
        raise InputError("the data hold positions or velocities that are not finite")
    number, vv, dv, dd, uv, uu = sums
    if (vv.sum(0) <= 0.0).any():
        still = species[int(np.argmin(vv.sum(0) > 0.0))]
        raise InputError(f"atoms of species {still} do not move in the data; a stride cannot be learned from them")
    number, safe = np.maximum(number, 1.0), np.where(vv > 0.0, vv, 1.0)
    time = np.asarray(strides, dtype=float)[:, None]
    velocity_scale = np.sqrt(vv.sum(0) / number.sum(0))
    left_d = np.sqrt(np.maximum(dd - dv**2 / safe, 0.0) / number)
    left_v = np.sqrt(np.maximum(uu - uv**2 / safe, 0.0) / number)
    return Statistics(
        drift=dv / (time * safe),
        memory=uv / safe,
        displacement_scale=np.maximum(left_d, _SMALLEST_RESIDUAL * time * velocity_scale),
        velocity_change_scale=np.maximum(left_v, _SMALLEST_RESIDUAL * velocity_scale),
        velocity_scale=velocity_scale,
    )


def _sums(segment: Segment, pairs: Pairs, atoms: NDArray[np.bool_], both: bool) -> FloatArray:
    """Return the number of components, and sums of v.v, d.v, d.d, v'.v, v'.v', of some atoms."""
    v, u = (segment.velocity[at][:, atoms] for at in (pairs.first, pairs.first + pairs.span))
    d = segment.position[pairs.first + pairs.span][:, atoms] - segment.position[pairs.first][:, atoms]
    vv, dv, dd, uv, uu = (float(np.vdot(a, b)) for a, b in ((v, v), (d, v), (d, d), (u, v), (u, u)))
    if not both:
        return np.array([v.size, vv, dv, dd, uv, uu])
    # backwards: v -> -v', d -> -d, v' -> -v
    return np.array([2 * v.size, vv + uu, dv + float(np.vdot(d, u)), 2 * dd, 2 * uv, uu + vv])


def average_neighbours(segments: Sequence[Segment], cutoff: float) -> float:
    """Return the mean number of neighbours of an atom within the cutoff, over frames spread evenly."""
    total = sum(s.frames for s in segments)
    starts = np.concatenate([[0], np.cumsum([s.frames for s in segments])]).astype(int).tolist()
    edges, atoms = 0, 0
    for at in np.linspace(0, total - 1, min(total, _COUNTED_FRAMES)).round().astype(int).tolist():
        k = bisect_right(starts, at) - 1
        segment = segments[k]
        graph = neighbour_graph(segment.position[at - starts[k]], segment.cell, segment.periodic, cutoff)
        edges, atoms = edges + len(graph.sender), atoms + len(segment.species)
    if not edges:
        raise InputError(
            f"no two atoms of the data are closer than the cutoff of {cutoff:g} Angstrom; give a larger one"
        )
    return edges / atoms


def _rows(table: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in table)


def stride_architecture(segments: Sequence[Segment], pairs: Pairs, recipe: TrainingRecipe) -> Architecture:
    """Return the architecture of a "stride" model whose scales are the statistics of the training pairs."""
    species, masses = species_of(segments)
    found = statistics(segments, pairs, recipe.strides, species, recipe.time_reversal)
    return Architecture(
        **_shape(recipe),
        species=species,
        masses=masses,
        average_neighbours=average_neighbours(segments, recipe.cutoff),
        strides=recipe.strides,
        head="stride",
        velocity_scale=tuple(float(x) for x in found.velocity_scale),
        drift=_rows(found.drift),
        memory=_rows(found.memory),
        displacement_scale=_rows(found.displacement_scale),
        velocity_change_scale=_rows(found.velocity_change_scale),
    )


def _shape(recipe: TrainingRecipe) -> dict:
    names = ("cutoff", "l_max", "parity", "channels", "layers", "radial_functions", "radial_hidden", "speed_functions",
             "speed_hidden")  # fmt: skip
    return {name: getattr(recipe, name) for name in names}


def energy_architecture(segments: Sequence[Segment], recipe: TrainingRecipe) -> Architecture:
    """Return the architecture of an "energy" model: energies of atoms by least squares, the rms force as the scale.

    E ~ sum_i atom_energy(species_i), the solution of least norm where compositions do not tell species apart;
    energy_scale = rms force component times 1 Angstrom

    Raises
    ------
    InputError : data without energies and forces, or with forces that vanish

    """
    species, masses = species_of(segments)
    if any(s.energy is None or s.forces is None for s in segments):
        raise InputError("head 'energy' needs data with energies and forces; these files hold none")
    counts = np.array([[np.count_nonzero(s.species == z) for z in species] for s in segments], dtype=float)
    mean = np.array([float(np.mean(s.energy)) for s in segments if s.energy is not None])
    weight = np.sqrt([float(s.frames) for s in segments])
    atom_energy = np.linalg.lstsq(counts * weight[:, None], mean * weight, rcond=1e-8)[0]
    squares = sum(float(np.vdot(s.forces, s.forces)) for s in segments if s.forces is not None)
    scale = float(np.sqrt(squares / sum(s.position.size for s in segments)))
    if not (np.isfinite(scale) and scale > 0.0):
        raise InputError(f"the rms force of the data is {scale}; expected a positive number")
    return Architecture(
        **_shape(recipe),
        species=species,
        masses=masses,
        average_neighbours=average_neighbours(segments, recipe.cutoff),
        head="energy",
        atom_energy=tuple(float(x) for x in atom_energy),
        energy_scale=scale,
    )
