"""Learning rates: linear rise, then cosine, plateau or constant; each a small object without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .recipe import TrainingRecipe


@dataclass
class Budget:
    """What a training may use up; ``done`` is the largest used fraction of steps, epochs and minutes.

    Attributes
    ----------
    steps : int, 0 for no limit;  minutes : float, 0 for no limit

    """

    steps: int
    minutes: float

    @classmethod
    def of(cls, recipe: TrainingRecipe, batches: int) -> Budget:
        """Return the budget of a recipe whose epochs have so many batches."""
        limits = [n for n in (recipe.steps, recipe.epochs * batches) if n > 0]
        return cls(min(limits, default=0), recipe.max_minutes)

    def done(self, step: int, seconds: float) -> float:
        """Return the used fraction, 1 or more when nothing is left."""
        parts = [step / self.steps] if self.steps else []
        if self.minutes:
            parts.append(seconds / (60.0 * self.minutes))
        return max(parts)


class _Stateless:
    """A schedule without memory."""

    def validated(self, loss: float) -> None:
        """Take note of nothing."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up nothing."""


class Cosine(_Stateless):
    r"""lr(f) = last + (first - last) (1 + cos pi f)/2 with f the used fraction of the budget."""

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._first, self._last = recipe.learning_rate, min(recipe.final_learning_rate, recipe.learning_rate)

    def rate(self, fraction: float) -> float:
        """Return the learning rate."""
        return self._last + 0.5 * (self._first - self._last) * (1.0 + math.cos(math.pi * min(fraction, 1.0)))


class Constant(_Stateless):
    """The same learning rate throughout."""

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._rate = recipe.learning_rate

    def rate(self, fraction: float) -> float:
        """Return the learning rate."""
        return self._rate


class Plateau:
    """The rate falls by a factor after so many validations without gain, and not below the final one."""

    def __init__(self, recipe: TrainingRecipe) -> None:
        self._recipe = recipe
        self._rate, self._best, self._waited = recipe.learning_rate, math.inf, 0

    def rate(self, fraction: float) -> float:
        """Return the learning rate."""
        return self._rate

    def validated(self, loss: float) -> None:
        """Take note of a validation loss."""
        self._waited += 1
        if loss < self._best:
            self._best, self._waited = loss, 0
        if self._waited >= self._recipe.plateau_patience:
            lowest = min(self._recipe.final_learning_rate, self._rate)
            self._rate, self._waited = max(self._rate * self._recipe.plateau_factor, lowest), 0

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"rate": self._rate, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self._rate, self._best, self._waited = float(state["rate"]), float(state["best"]), int(state["waited"])


#: schedule of a recipe -> class
SCHEDULES: dict[str, type[Cosine] | type[Plateau] | type[Constant]] = {
    "cosine": Cosine,
    "plateau": Plateau,
    "constant": Constant,
}


def warmed(rate: float, step: int, warm_up: int) -> float:
    """Return the rate of step 0, 1, ... with a linear rise over ``warm_up`` steps."""
    return rate * min(1.0, (step + 1) / warm_up) if warm_up else rate
