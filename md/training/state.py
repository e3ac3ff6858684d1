"""Everything that changes while a model is trained, and how it goes into a checkpoint and comes back bit by bit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...equivariant.architecture import Architecture
from ...equivariant.network import Network
from ...equivariant.products import couple, couple_by_matrices
from .muon import Muon
from .recipe import TrainingRecipe
from .schedule import SCHEDULES, warmed

#: implementation of a recipe -> the network's channelwise product
PRODUCTS = {"fused": couple, "reference": couple_by_matrices}
#: The average forgets its first weights: its decay at step t is at most (1 + t)/(10 + t).
_AVERAGE_RISE = 10.0


class Sampler:
    """The order in which samples are seen: a function of the seed and the epoch, so that only a place must be kept.

    Attributes
    ----------
    epoch, place : int, the epoch and how many samples of it are done
    steps : int, strides in a row that samples must go on for

    """

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        self.epoch, self.place, self.steps = 0, 0, 1
        self._order: tuple[tuple[int, int], NDArray[np.int64], NDArray[np.float64]] | None = None

    def batch_size(self, rows: NDArray[np.int64]) -> int:
        """Return the number of samples in a step."""
        return min(self._recipe.batch, len(rows))

    def next(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the next samples of ``rows`` and their directions of time; what fills no batch waits for another epoch."""
        size = self.batch_size(rows)
        if self.place + size > len(rows):
            self.epoch, self.place = self.epoch + 1, 0
        order, backwards = self._shuffled(rows)
        part = slice(self.place, self.place + size)
        self.place += size
        return order[part], backwards[part]

    def _shuffled(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        key = (self.epoch, self.steps)
        if self._order is None or self._order[0] != key:
            rng = np.random.default_rng([self._recipe.seed, self.epoch, self.steps])
            order = rows[rng.permutation(len(rows))]
            backwards = np.where(self._recipe.time_reversal & (rng.random(len(rows)) < 0.5), -1.0, 1.0)
            self._order = key, order, backwards
        return self._order[1], self._order[2]


class TrainingState:
    """Weights, their moving average, optimiser, schedule, sampler, counters.

    Parameters
    ----------
    recipe : TrainingRecipe
    architecture : Architecture
    weights : to start from; None: random ones of the recipe's seed

    Attributes
    ----------
    network : Network that is trained;  average : Network whose weights are the moving average
    step : int, steps done;  seconds : float, wall time of all sessions up to the last checkpoint
    best : float, lowest validation loss;  best_weights : those of the average then;  waited : validations since
    summed, counted : loss since the last row of the log

    """

    def __init__(
        self, recipe: TrainingRecipe, architecture: Architecture, weights: Mapping[str, NDArray] | None = None
    ) -> None:
        dtype, product = getattr(torch, recipe.dtype), PRODUCTS[recipe.implementation]
        self.recipe = recipe
        self.network = Network(architecture, product, dtype=dtype, seed=recipe.seed)
        self.average = Network(architecture, product, dtype=dtype, seed=recipe.seed)
        for network in (self.network, self.average):
            if weights is not None:
                network.load(weights)
            network.to(recipe.device)
        self.average.requires_grad_(False)
        self.optimiser = _optimiser(self.network, recipe)
        self.schedule = SCHEDULES[recipe.schedule](recipe)
        self.sampler = Sampler(recipe)
        self.step, self.seconds = 0, 0.0
        self.summed, self.counted = 0.0, 0
        self.forget_best()

    def forget_best(self) -> None:
        """Start the search for the best weights anew: the loss has changed its meaning."""
        self.best, self.waited = math.inf, 0
        self.best_weights: dict[str, NDArray] = {}

    def validated(self, loss: float) -> None:
        """Take note of a validation loss of the average."""
        self.schedule.validated(loss)
        self.waited += 1
        if loss < self.best:
            self.best, self.waited, self.best_weights = loss, 0, self.average.arrays()

    def update(self, fraction: float) -> None:
        """Take one step down the gradients, which are there; then let the average follow."""
        rate = warmed(self.schedule.rate(fraction), self.step, self.recipe.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        decay = min(self.recipe.decay, (1.0 + self.step) / (_AVERAGE_RISE + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1.0 - decay)
        self.step += 1

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    # ------------------------------------------------------------------ checkpoints

    def tree(self) -> dict[str, Any]:
        """Return all of it as arrays, numbers and strings."""
        moments: dict[str, Any] = {}
        for name, weight in self.network.weights.items():
            own = self.optimiser.state.get(weight)
            if own:
                moments[name] = {k: v.detach().cpu().numpy().copy() for k, v in own.items()}
        s = self.sampler
        return {
            "architecture": self.network.architecture.to_json(),
            "recipe": self.recipe.to_json(),
            "weights": self.network.arrays(),
            "average": self.average.arrays(),
            "moments": moments,
            "schedule": self.schedule.state(),
            "sampler": {"epoch": s.epoch, "place": s.place, "steps": s.steps},
            "step": self.step,
            "seconds": self.seconds,
            "rate": self.rate,
            "summed": self.summed,
            "counted": self.counted,
            "best": {"loss": self.best, "waited": self.waited, "weights": self.best_weights},
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Take up what ``tree`` gave."""
        self.network.load(tree["weights"])
        self.average.load(tree["average"])
        for name, weight in self.network.weights.items():
            if name in tree["moments"]:
                kept = tree["moments"][name]
                own = {k: torch.from_numpy(np.asarray(v)).to(weight.device) for k, v in kept.items()}
                self.optimiser.state[weight] = own
        self.schedule.restore(tree["schedule"])
        s, kept = self.sampler, tree["sampler"]
        s.epoch, s.place, s.steps = int(kept["epoch"]), int(kept["place"]), int(kept["steps"])
        self.step, self.seconds = int(tree["step"]), float(tree["seconds"])
        self.summed, self.counted = float(tree["summed"]), int(tree["counted"])
        for group in self.optimiser.param_groups:
            group["lr"] = float(tree["rate"])
        best = tree["best"]
        self.best, self.waited, self.best_weights = float(best["loss"]), int(best["waited"]), dict(best["weights"])


def _optimiser(network: Network, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Return Muon, or fused AdamW; only matrices decay: scales and embeddings of a single row do not."""
    weights = list(network.weights.values())
    if recipe.optimiser == "muon":
        inner = [w for name, w in network.weights.items() if w.dim() >= 2 and name[0].isdigit()]
        chosen = {id(w) for w in inner}
        return Muon(
            inner, [w for w in weights if id(w) not in chosen],
            lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=recipe.betas,
        )  # fmt: skip
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
