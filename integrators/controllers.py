"""Who chooses the step: the controller protocol and the three that every run can use.

A controller knows nothing of the particles: it sees the finished step and says whether it stands and how long the next
one should be. The run loop shortens a step that would pass the time to land on, and reduces it over ranks.
"""

from __future__ import annotations

import math
from typing import Protocol

from ..particles import InputError
from .propagator import Step


class Controller(Protocol):
    """Chooses steps and judges them."""

    @property
    def rejects(self) -> bool:
        """Whether ``accept`` can say no; the loop then keeps a copy of the state before each step."""
        ...

    def propose(self, remaining: float) -> float:
        """Return the next dt, with the sign of ``remaining``, the signed time to the next landing (never 0)."""
        ...

    def accept(self, step: Step, dt: float) -> bool:
        """Take note of a step tried with ``dt`` and return whether it stands."""
        ...

    def state_dict(self) -> dict:
        """Return what a restart needs, as a tree of numbers and strings."""
        ...

    def load_state_dict(self, tree: dict) -> None:
        """Take back what ``state_dict`` gave."""
        ...


class Fixed:
    """Every step has the same size.

    Parameters
    ----------
    step : float > 0, in the time unit of the particles

    Raises
    ------
    InputError : step is not positive and finite

    """

    rejects = False

    def __init__(self, step: float) -> None:
        if not (step > 0.0 and math.isfinite(step)):
            raise InputError(f"step is {step:g}; expected a positive time step")
        self.step = float(step)

    def propose(self, remaining: float) -> float:
        """Return the step with the sign of ``remaining``."""
        return math.copysign(self.step, remaining)

    def accept(self, step: Step, dt: float) -> bool:
        """Return True."""
        return True

    def state_dict(self) -> dict:
        """Return nothing: the step is part of the configuration."""
        return {}

    def load_state_dict(self, tree: dict) -> None:
        """Do nothing."""


class Whole:
    """All of the remaining time in one call, for propagators that choose their own micro-steps (``adaptive``)."""

    rejects = False

    def propose(self, remaining: float) -> float:
        """Return ``remaining``."""
        return remaining

    def accept(self, step: Step, dt: float) -> bool:
        """Return True."""
        return True

    def state_dict(self) -> dict:
        """Return nothing."""
        return {}

    def load_state_dict(self, tree: dict) -> None:
        """Do nothing."""


class ErrorPerStep:
    r"""Keeps ``Step.error``, which is relative to the tolerance, below 1: a proportional-integral controller.

    dt_next = dt * clip(safety * e_n^(-alpha) * e_{n-1}^(beta)),  alpha = 0.7/k, beta = 0.4/k, k = order + 1

    A step with e_n > 1 is done again with dt * clip(safety * e_n^(-1/k)).

    Parameters
    ----------
    order : int, order of the propagator; its local error falls as dt^(order + 1)
    first : float > 0, the first step
    safety : float in (0, 1]
    shrink, grow : bounds of the change between two steps

    References
    ----------
    Hairer & Wanner, Solving Ordinary Differential Equations II, section IV.2; Gustafsson 1991,
    doi:10.1145/210232.210242

    """

    rejects = True

    def __init__(
        self, order: int, first: float, *, safety: float = 0.9, shrink: float = 0.2, grow: float = 5.0
    ) -> None:
        if order < 1 or not (first > 0.0 and math.isfinite(first)):
            raise InputError(f"error control got order {order} and first step {first:g}; both must be positive")
        self.order, self.safety, self.shrink, self.grow = order, safety, shrink, grow
        self._dt = float(first)
        self._previous_error = 1.0

    def propose(self, remaining: float) -> float:
        """Return the present step with the sign of ``remaining``."""
        return math.copysign(self._dt, remaining)

    def accept(self, step: Step, dt: float) -> bool:
        """Adapt the step size; return whether the error was at most 1.

        Raises
        ------
        InputError : the propagator gives no error estimate

        """
        if step.error is None:
            raise InputError("error control needs a propagator with an error estimate; wrap it in StepDoubling")
        good = step.error <= 1.0 and not step.outcome.failed
        k = self.order + 1
        error = max(step.error, 1e-10) if math.isfinite(step.error) else 1e10
        factor = self.safety * error ** (-0.7 / k) * self._previous_error ** (0.4 / k)
        if not good:
            factor = min(self.safety * error ** (-1.0 / k), 0.9)
        factor = min(max(factor, self.shrink), self.grow)
        if good:
            self._previous_error = error
            shortened = abs(dt) < self._dt
            self._dt = max(self._dt, abs(dt) * factor) if shortened else abs(dt) * factor
        else:
            self._dt = abs(dt) * factor
        return good

    def state_dict(self) -> dict:
        """Return the step and the last error."""
        return {"dt": self._dt, "previous_error": self._previous_error}

    def load_state_dict(self, tree: dict) -> None:
        """Take back the step and the last error."""
        self._dt, self._previous_error = float(tree["dt"]), float(tree["previous_error"])
