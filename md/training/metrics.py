"""How wrong a model is on pairs: mean absolute and relative errors per stride and species, beside trivial predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...equivariant.architecture import Architecture
from ...equivariant.batch import Batch
from ...equivariant.network import Network
from .batches import Frames
from .data import FloatArray, Pairs
from .loss import energy_and_forces

Predict = Callable[[Batch], tuple[Tensor, Tensor]]
#: What is summed for displacements and for velocities.
_SUMS = ("number", "error", "squared error", "size", "squared size")


class Errors:
    """Sums of errors over pairs, per quantity (displacement, velocity), stride and species.

    Attributes
    ----------
    sums : (2, 5, H, S) float64: number of components, |error|, error^2, |what was to be predicted| and its square

    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.sums = np.zeros((2, len(_SUMS), len(architecture.strides), len(architecture.species)))

    def add(self, stride: Tensor, species: Tensor, quantity: int, found: Tensor, wanted: Tensor) -> None:
        """Add atoms: rows of strides and species (N,), values (N, 3)."""
        h, s = self.sums.shape[2:]
        place = (stride * s + species).cpu().numpy()
        error = found.double() - wanted
        columns = (torch.ones_like(error), error.abs(), error.square(), wanted.abs(), wanted.square())
        for k, column in enumerate(columns):
            added = np.bincount(place, column.sum(1).cpu().numpy(), minlength=h * s)
            self.sums[quantity, k] += added.reshape(h, s)

    def loss(self, displacement_weight: float, velocity_weight: float) -> float:
        """Return the loss of one stride (see ``training_loss.StrideObjective``)."""
        a = self.architecture
        scales = np.array([a.displacement_scale, a.velocity_change_scale])
        each = (self.sums[:, 2] / scales**2).sum((1, 2)) / self.sums[:, 0].sum((1, 2))
        return float(displacement_weight * each[0] + velocity_weight * each[1])

    def relative(self, quantity: int, stride: int, species: int | None = None) -> float:
        """Return the sum of |error| over that of |value|, of one species or of all atoms."""
        _, error, _, size, _ = self._of(quantity, stride, species)
        return error / size if size else math.nan

    def absolute(self, quantity: int, stride: int, species: int | None = None) -> float:
        """Return the mean absolute error of a component (Angstrom, Angstrom/fs)."""
        number, error, *_ = self._of(quantity, stride, species)
        return error / number if number else math.nan

    def _of(self, quantity: int, stride: int, species: int | None) -> list[float]:
        table = self.sums[quantity, :, stride]
        return [float(x) for x in (table.sum(1) if species is None else table[:, species])]

    def table(self) -> dict[str, Any]:
        """Return the errors as JSON's types: stride -> all atoms and each species."""
        a = self.architecture
        result: dict[str, Any] = {}
        for h, stride in enumerate(a.strides):
            if self.sums[0, 0, h].sum():
                row = self._row(h, None)
                row["species"] = {str(z): self._row(h, s) for s, z in enumerate(a.species) if self.sums[0, 0, h, s]}
                result[f"{stride:g} fs"] = row
        return result

    def _row(self, stride: int, species: int | None) -> dict[str, Any]:
        return {
            "displacement_mae_1e-5_A": 1e5 * self.absolute(0, stride, species),
            "displacement_relative": self.relative(0, stride, species),
            "velocity_mae_1e-5_A_per_fs": 1e5 * self.absolute(1, stride, species),
            "velocity_relative": self.relative(1, stride, species),
        }


def errors(predict: Predict, frames: Frames, pairs: Pairs, batch: int) -> Errors:
    """Return the one-stride errors of a prediction on pairs."""
    found = Errors(frames.architecture)
    strides = np.array(frames.architecture.strides)
    for begin in range(0, len(pairs), batch):
        one = pairs[slice(begin, begin + batch)]
        forward: FloatArray = np.ones(len(one))
        graph = frames.batch(one.segment, one.first, strides[one.stride], forward)
        with torch.no_grad():
            predicted = predict(graph)
        wanted = frames.targets(one.segment, one.first, one.first + one.span, forward)
        row = torch.from_numpy(one.stride).to(frames.device)[graph.frame]
        for quantity in (0, 1):
            found.add(row, graph.species, quantity, predicted[quantity], wanted[quantity])
    return found


def _zero(batch: Batch) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(batch.position), torch.zeros_like(batch.velocity)


def _ballistic(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.stride[batch.frame][:, None] * batch.velocity, batch.velocity


def _scaled(architecture: Architecture) -> Predict:
    """Return the least-squares baseline: drift h v and memory v, per stride and species."""
    drift, memory = torch.tensor(architecture.drift), torch.tensor(architecture.memory)

    def predict(batch: Batch) -> tuple[Tensor, Tensor]:
        row = torch.tensor([architecture.stride_index(h) for h in batch.stride.tolist()])[batch.frame.cpu()]
        column = row, batch.species.cpu()
        displacement, velocity = _ballistic(batch)
        device = batch.position.device
        return drift[column].to(device)[:, None] * displacement, memory[column].to(device)[:, None] * velocity

    return predict


def judge(network: Network, frames: Frames, pairs: Pairs, batch: int) -> dict[str, Any]:
    """Return the table of errors of a model and of what needs no model: nothing moves, straight on, scaled straight on."""
    rivals: dict[str, Predict] = {
        "model": network, "zero": _zero, "ballistic": _ballistic, "velocity-scaled": _scaled(frames.architecture),
    }  # fmt: skip
    return {
        "pairs": len(pairs),
        **{name: errors(predict, frames, pairs, batch).table() for name, predict in rivals.items()},
    }


def energy_errors(network: Network, frames: Frames, pairs: Pairs, batch: int) -> dict[str, Any]:
    """Return mean absolute errors of energies per atom (eV) and of force components (eV/Angstrom), in all and relative."""
    energy = force = size = 0.0
    number = components = 0
    for begin in range(0, len(pairs), batch):
        one = pairs[slice(begin, begin + batch)]
        graph = frames.batch(one.segment, one.first, np.zeros(len(one)), np.ones(len(one)))
        found = energy_and_forces(network, graph, differentiable=False)
        wanted = frames.energies(one.segment, one.first)
        atoms = graph.sums(torch.ones_like(graph.mass)[:, None])[:, 0]
        energy += float(((found[0].detach() - wanted[0]) / atoms).abs().sum())
        force += float((found[1] - wanted[1]).abs().sum())
        size += float(wanted[1].abs().sum())
        number, components = number + len(one), components + found[1].numel()
    return {
        "frames": number,
        "energy_mae_eV_per_atom": energy / number,
        "force_mae_eV_per_A": force / components,
        "force_relative": force / size,
    }
