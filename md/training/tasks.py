"""What is learned: one small record of functions for each head of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...equivariant.architecture import Architecture
from ...equivariant.network import Network
from ...particles.io_segments import Segment
from .batches import Frames, IntArray
from .data import Pairs, energy_architecture, pairs_of, stride_architecture
from .loss import EnergyObjective, Objective, StrideObjective
from .metrics import energy_errors, errors, judge
from .recipe import TrainingRecipe

#: Columns of the log: name -> value.
Columns = dict[str, float]


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of training.

    Attributes
    ----------
    pairs : (segments, recipe) -> samples
    architecture : (segments, pairs, recipe) -> Architecture with the statistics of the data
    objective : (frames, pairs, recipe) -> what is lowered
    validate : (network, objective, recipe, strides in a row) -> loss and columns of the log
    report : (network, frames, pairs, batch) -> table of errors for the card

    """

    pairs: Callable[[Sequence[Segment], TrainingRecipe], Pairs]
    architecture: Callable[[Sequence[Segment], Pairs, TrainingRecipe], Architecture]
    objective: Callable[[Frames, Pairs, TrainingRecipe], Objective]
    validate: Callable[[Network, Objective, TrainingRecipe, int], tuple[float, Columns]]
    report: Callable[[Network, Frames, Pairs, int], dict[str, Any]]


def _stride_pairs(segments: Sequence[Segment], recipe: TrainingRecipe) -> Pairs:
    return pairs_of(segments, recipe.strides, recipe.every)


def _energy_pairs(segments: Sequence[Segment], recipe: TrainingRecipe) -> Pairs:
    firsts = [np.arange(0, s.frames, recipe.every, dtype=np.int64) for s in segments]
    segment = np.repeat(np.arange(len(segments)), [len(f) for f in firsts])
    first = np.concatenate(firsts)
    return Pairs(segment, first, np.zeros_like(first), np.zeros_like(first))


def _validate_strides(
    network: Network, objective: Objective, recipe: TrainingRecipe, steps: int
) -> tuple[float, Columns]:
    assert isinstance(objective, StrideObjective)
    pairs, a = objective.pairs, objective.frames.architecture
    found = errors(network, objective.frames, pairs, recipe.batch)
    columns: Columns = {}
    for h, stride in enumerate(a.strides):
        if not (pairs.stride == h).any():
            continue
        for s, z in enumerate(a.species):
            columns[f"displacement_{stride:g}fs_{z}"] = found.relative(0, h, s)
            columns[f"velocity_{stride:g}fs_{z}"] = found.relative(1, h, s)
    if steps == 1:
        return found.loss(recipe.displacement_weight, recipe.velocity_weight), columns
    return mean_loss(network, objective, objective.rows(steps), recipe.batch, steps), columns


def _validate_energies(
    network: Network, objective: Objective, recipe: TrainingRecipe, steps: int
) -> tuple[float, Columns]:
    assert isinstance(objective, EnergyObjective)
    loss = mean_loss(network, objective, objective.rows(1), recipe.batch, 1)
    table = energy_errors(network, objective.frames, objective.pairs, recipe.batch)
    return loss, {name: table[name] for name in ("energy_mae_eV_per_atom", "force_mae_eV_per_A", "force_relative")}


def mean_loss(network: Network, objective: Objective, rows: IntArray, batch: int, steps: int) -> float:
    """Return the mean loss of samples, all seen forwards."""
    import torch

    total = 0.0
    energies = isinstance(objective, EnergyObjective)
    for begin in range(0, len(rows), batch):
        part = rows[begin : begin + batch]
        with torch.set_grad_enabled(energies):  # forces are gradients
            total += len(part) * float(objective.loss(network, part, np.ones(len(part)), steps).detach())
    return total / max(len(rows), 1)


def _energy_architecture(segments: Sequence[Segment], pairs: Pairs, recipe: TrainingRecipe) -> Architecture:
    return energy_architecture(segments, recipe)


#: head of the network -> task
TASKS: dict[str, Task] = {
    "stride": Task(_stride_pairs, stride_architecture, StrideObjective, _validate_strides, judge),
    "energy": Task(_energy_pairs, _energy_architecture, EnergyObjective, _validate_energies, energy_errors),
}
