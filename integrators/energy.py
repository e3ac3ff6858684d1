"""The energy account of a run: what should be constant, and by how much it is not."""

from __future__ import annotations

import math

from .compensated import CompensatedSum


class EnergyLedger:
    r"""Kinetic + potential energy, minus what was put in on purpose.

    error = (E - W - J - E_0) / |E_0|, absolute where E_0 = 0

    | symbol | attribute | meaning |
    |---|---|---|
    | E_0 | ``initial`` | energy at the start |
    | W | ``work`` | energy given by non-conservative parts (``Step.work``) |
    | J | ``jumps`` | energy changes of events, such as mergers |

    All in the energy unit of the particles. Unknown energies are NaN and give NaN errors.
    """

    __slots__ = ("error", "initial", "jumps", "max_error", "work")

    def __init__(self) -> None:
        self.initial = math.nan
        self.work = CompensatedSum()
        self.jumps = CompensatedSum()
        self.error = math.nan
        self.max_error = math.nan

    def open(self, energy: float) -> None:
        """Set the energy at the start."""
        self.initial = energy
        self.error = self.max_error = 0.0 if math.isfinite(energy) else math.nan

    def record(self, energy: float) -> None:
        """Measure the error at one time."""
        scale = abs(self.initial) or 1.0
        drift = math.fsum(
            (energy, -self.initial, -self.work.value, -self.work.error, -self.jumps.value, -self.jumps.error)
        ) if math.isfinite(energy) and math.isfinite(self.initial) else math.nan  # fmt: skip
        self.error = drift / scale
        if not abs(self.error) <= self.max_error:
            self.max_error = abs(self.error)

    def state_dict(self) -> dict:
        """Return all of it as a tree of numbers."""
        return {
            "initial": self.initial,
            "error": self.error,
            "max_error": self.max_error,
            "work": self.work.state_dict(),
            "jumps": self.jumps.state_dict(),
        }

    def load_state_dict(self, tree: dict) -> None:
        """Take all of it from ``state_dict``."""
        self.initial, self.error = float(tree["initial"]), float(tree["error"])
        self.max_error = float(tree["max_error"])
        self.work.load_state_dict(tree["work"])
        self.jumps.load_state_dict(tree["jumps"])
