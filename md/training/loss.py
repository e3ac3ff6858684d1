"""What a training lowers: squared errors of strides, one or several on the model's own states, or of energies and forces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...equivariant.batch import Batch
from ...equivariant.network import Network
from ...particles.io_segments import Segment
from .batches import Frames, IntArray
from .data import FloatArray, Pairs
from .recipe import TrainingRecipe, doubles


class Objective(Protocol):
    """What a training loop asks of its task."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def loss(self, network: Network, rows: IntArray, backwards: FloatArray, steps: int) -> Tensor:
        """Return the mean loss of some samples, differentiable in the weights.

        rows : (F,) samples;  backwards : (F,) -1.0 where time runs backwards, else 1.0;  steps : strides in a row
        """

    def rows(self, steps: int) -> IntArray:
        """Return the samples that go on for so many strides."""


class StrideObjective:
    r"""Squared errors of displacement and velocity over several strides of the model on its own states.

    loss = mean over strides k, atoms i, components of
    w_d ((D_k - D_k^ref)/s_d)^2 + w_v ((v_k - v_k^ref)/s_v)^2,  D_k the displacement since the start

    s_d, s_v are what the baseline leaves, for the stride and the species of the atom, so that light and heavy atoms count alike.
    Neighbours of own states are found anew; gradients go through positions and velocities of all strides.

    Samples of a stride h whose double is learned too add what is missing from a semigroup, f_h o f_h = f_2h, from their start:

    semigroup x mean of w_d ((D_hh - D_2h)/s_d)^2 + w_v ((v_hh - v_2h)/s_v)^2,  s_d, s_v of 2h

    The second h starts where the model itself arrived, no data are asked, and gradients go through all three strides.

    Parameters
    ----------
    frames : Frames, the data as batches
    pairs : samples
    recipe : weights w_d, w_v and semigroup

    """

    def __init__(self, frames: Frames, pairs: Pairs, recipe: TrainingRecipe) -> None:
        self.frames, self.pairs = frames, pairs
        self._displacement_weight, self._velocity_weight = recipe.displacement_weight, recipe.velocity_weight
        self._semigroup = recipe.semigroup
        a = frames.architecture
        self._strides = np.array(a.strides)
        self._double = np.array(doubles(a.strides))
        self._scales = [
            torch.tensor(table, dtype=torch.float64, device=frames.device)
            for table in (a.displacement_scale, a.velocity_change_scale)
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def rows(self, steps: int) -> IntArray:
        """Return the samples whose segment goes on for so many strides."""
        return self.pairs.long_enough(self.frames.segments, steps)

    def loss(self, network: Network, rows: IntArray, backwards: FloatArray, steps: int) -> Tensor:
        """Return the mean loss of some samples, differentiable in the weights."""
        one, frames = self.pairs[rows], self.frames
        start = np.where(backwards > 0.0, one.first, one.first + steps * one.span)
        span = np.where(backwards > 0.0, one.span, -one.span)
        batch = frames.batch(one.segment, start, self._strides[one.stride], backwards)
        scales = self._scales_of(one.stride, batch)
        total, moved = batch.position.new_zeros(()), torch.zeros_like(batch.position)
        origin = batch.position
        for k in range(1, steps + 1):
            displacement, velocity = network(batch)
            moved = moved + displacement
            wanted = frames.targets(one.segment, start, start + k * span, backwards)
            total = total + self._squared(moved - wanted[0], velocity - wanted[1], scales).mean() / steps
            if k == 1 and self._semigroup:
                total = total + self._semigroup * self._composed(network, one, batch, displacement, velocity)
            if k < steps:
                batch = frames.rebuilt(batch, one.segment, origin + moved, velocity)
        return total

    def _composed(self, network: Network, one: Pairs, batch: Batch, displacement: Tensor, velocity: Tensor) -> Tensor:
        """Return the mean over all atoms of what two strides miss one of twice the length by; 0 where no such is known."""
        rows = np.flatnonzero(self._double[one.stride] >= 0)
        if not len(rows):
            return batch.position.new_zeros(())
        part, atoms = batch.part(rows)
        double = self._double[one.stride[rows]]
        whole = network(replace(part, stride=torch.from_numpy(self._strides[double]).to(part.stride)))
        middle = self.frames.rebuilt(part, one.segment[rows], part.position + displacement[atoms], velocity[atoms])
        again = network(middle)
        d, v = displacement[atoms] + again[0] - whole[0], again[1] - whole[1]
        return self._squared(d, v, self._scales_of(double, part)).sum() / displacement.numel()

    def _scales_of(self, stride: IntArray, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return s_d and s_v (N, 1), for the row of the stride of each frame."""
        place = torch.from_numpy(stride).to(batch.frame.device)[batch.frame], batch.species
        displacement, velocity = self._scales
        return displacement[place][:, None], velocity[place][:, None]

    def _squared(self, displacement: Tensor, velocity: Tensor, scales: tuple[Tensor, Tensor]) -> Tensor:
        """Return the weighted squares (N, 3) of differences."""
        d, v = (displacement / scales[0]).square(), (velocity / scales[1]).square()
        return self._displacement_weight * d + self._velocity_weight * v


class EnergyObjective:
    r"""Squared errors of energies per atom and of forces, F = -dE/dx of the network.

    loss = w_E mean ((E - E^ref)/(n s_E))^2 + w_F mean ((F - F^ref)/s_F)^2, s_E the spread of energies per atom, s_F the rms force

    Parameters
    ----------
    frames : Frames of segments with energies and forces
    pairs : samples, of which only ``segment`` and ``first`` count
    recipe : weights w_E and w_F

    """

    def __init__(self, frames: Frames, pairs: Pairs, recipe: TrainingRecipe) -> None:
        self.frames, self.pairs = frames, pairs
        self._energy_weight, self._force_weight = recipe.energy_weight, recipe.force_weight
        self._force_scale = frames.architecture.energy_scale
        self._energy_scale = energy_spread(
            frames.segments, frames.architecture.atom_energy, frames.architecture.species
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def rows(self, steps: int) -> IntArray:
        """Return all samples: energies know no strides."""
        return np.arange(len(self.pairs))

    def loss(self, network: Network, rows: IntArray, backwards: FloatArray, steps: int) -> Tensor:
        """Return the mean loss of some samples, differentiable in the weights."""
        one, frames = self.pairs[rows], self.frames
        batch = frames.batch(one.segment, one.first, np.zeros(len(rows)), backwards)
        energy, forces = energy_and_forces(network, batch, differentiable=True)
        wanted = frames.energies(one.segment, one.first)
        atoms = batch.sums(torch.ones_like(batch.mass)[:, None])[:, 0]
        wrong = (energy - wanted[0]) / (atoms * self._energy_scale)
        return (
            self._energy_weight * wrong.square().mean()
            + self._force_weight * ((forces - wanted[1]) / self._force_scale).square().mean()
        )


def energy_spread(segments: Sequence[Segment], atom_energy: Sequence[float], species: Sequence[int]) -> float:
    """Return the standard deviation, eV, of energies per atom about what the atoms stand for."""
    left = []
    for segment in segments:
        if segment.energy is not None:
            own = sum(e * np.count_nonzero(segment.species == z) for e, z in zip(atom_energy, species, strict=True))
            left.append((segment.energy - own) / len(segment.species))
    return max(float(np.std(np.concatenate(left))), 1e-12)


def energy_and_forces(network: Network, batch: Batch, *, differentiable: bool) -> tuple[Tensor, Tensor]:
    """Return energies (F,) and forces (N, 3), differentiable in the weights when asked."""
    position = batch.position.detach().requires_grad_()
    energy = network.energy(batch.with_state(position, batch.velocity))
    (gradient,) = torch.autograd.grad(energy.sum(), position, create_graph=differentiable)
    return energy, -gradient
