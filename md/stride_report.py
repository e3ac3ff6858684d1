"""What a long-stride run watches as it goes: temperature of every species, momentum, energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..integrators.compensated import CompensatedSum
from ..integrators.report import combine_statistics
from ..particles import SERIAL, Exchange, Particles
from . import control_report
from .temperature import Conserved, SpeciesTemperature, TemperatureMonitor

#: A warning needs so many strides and so many standard errors: errors of short runs are too small, and a warning that is
#: often wrong is not read.
_FEWEST, _SIGMAS = 200, 4.0


@dataclass(frozen=True, slots=True)
class StrideReport:
    """A run so far.

    Attributes
    ----------
    steps : strides that the report covers
    temperatures : one row for the whole system, then one for every species (``TemperatureMonitor.report``)
    momentum_change : |P - P_0| / sum m |v|, of the total momentum
    energy_defect, largest_energy_defect : eV per atom, kinetic + potential energy - work of the thermostat, less its value
        at the start: now (as measured last), and the largest; NaN where it was not asked for
    figures : of speed ("ns_per_day") and of error control, see ``control_report.figures``
    text : the lines of the report

    """

    steps: int
    temperatures: tuple[SpeciesTemperature, ...]
    momentum_change: float
    energy_defect: float
    largest_energy_defect: float
    figures: Mapping[str, float]
    text: tuple[str, ...] = field(repr=False)

    @property
    def equipartition(self) -> str:
        """The verdict: "correct", "not correct" or "undecided"."""
        verdicts = {row.verdict for row in self.temperatures}
        return next((v for v in ("not correct", "undecided") if v in verdicts), "correct" if verdicts else "undecided")

    def __str__(self) -> str:
        return "\n".join(self.text)


class StrideWatch:
    """Takes note of every stride; memory is bounded.

    Parameters
    ----------
    target : K, temperature of the thermostat, None without one
    conserved : what the motion keeps; None: what the boundaries say
    exchange : Exchange; each rank has its own particles, sums are over all

    """

    def __init__(self, target: float | None, conserved: Conserved | None, exchange: Exchange = SERIAL) -> None:
        self.monitor = TemperatureMonitor(target, conserved=conserved, exchange=exchange)
        self._exchange = exchange
        self.steps = 0
        self.statistics: dict[str, float] = {}
        self.begun = False
        self._momentum = np.full(3, np.nan)
        self._momentum_change = 0.0
        self._work = CompensatedSum()
        self._first = self._last = np.nan
        self._largest = 0.0
        self._time = self._wall_time = 0.0

    def disturbed(self, particles: Particles) -> None:
        """Begin, or begin anew as somebody changed the state: momentum as now, energy as measured next."""
        self.begun = True
        self._momentum, self._momentum_change, self._first = self._total(particles)[:3], 0.0, np.nan

    def stride(
        self,
        particles: Particles,
        work: float,
        statistics: Mapping[str, float],
        *,
        time: float = 0.0,
        wall_time: float = 0.0,
    ) -> None:
        """Take note of the state after a stride, of the energy given in it, what was counted, its time, and seconds it took."""
        self.steps += 1
        self.monitor.add(particles)
        self._work.add(work)
        self._time += time
        self._wall_time += wall_time
        combine_statistics(self.statistics, dict(statistics))
        *momentum, size = self._total(particles)
        change = float(np.linalg.norm(momentum - self._momentum))
        self._momentum_change = change / size if size > 0.0 else 0.0

    def energy(self, particles: Particles, potential: float) -> None:
        """Take note of the potential energy, in the unit of the particles."""
        kinetic, n = self._exchange.reduce(np.array([particles.kinetic_energy(), particles.n]), "sum").tolist()
        net = (kinetic + potential - self._work.value) / max(n, 1.0)
        if np.isnan(self._first):
            self._first = net
        self._last = net
        self._largest = max(self._largest, abs(net - self._first))

    def _total(self, particles: Particles) -> NDArray[np.float64]:
        """Return the total momentum and sum m |v|, (4,)."""
        speed = np.linalg.norm(particles.velocity, axis=1)
        own = np.array([*(particles.mass @ particles.velocity), particles.mass @ speed])
        return np.asarray(self._exchange.reduce(own, "sum"))

    def report(self) -> StrideReport:
        """Return what was seen."""
        rows = self.monitor.report() if self.monitor.frames else ()
        known = not np.isnan(self._first)
        defect, largest = (self._last - self._first, self._largest) if known else (np.nan, np.nan)
        text = [f"{self.steps} strides", *(self.monitor.lines() if rows else ())]
        text.append(f"total momentum changed by {self._momentum_change:.1e} of sum m |v|")
        if known:
            text.append(f"energy defect {1e3 * defect:.3g} meV/atom, largest {1e3 * largest:.3g}")
        found = control_report.figures(self.statistics, time=self._time, wall_time=self._wall_time)
        if "strides_tried" in self.statistics:
            text.append(control_report.report(self.statistics, time=self._time, wall_time=self._wall_time))
        elif "ns_per_day" in found:
            text.append(f"{found['ns_per_day']:.4g} ns/day")
        return StrideReport(self.steps, rows, self._momentum_change, float(defect), float(largest), found, tuple(text))

    def verdict_line(self) -> str:
        """Return one line when equipartition is not correct beyond doubt, else ""."""
        from ..particles.io_ase import symbols

        rows = self.monitor.report() if self.monitor.frames >= _FEWEST else ()
        wrong = [r for r in rows if r.verdict == "not correct" and abs(r.mean - r.expected) > _SIGMAS * r.error]
        if not wrong:
            return ""
        names = ["all atoms" if r.species == 0 else symbols(np.array([r.species]))[0] for r in wrong]
        found = ", ".join(
            f"{name} {r.mean:.1f} +- {r.error:.1f} K ({r.mean / r.expected - 1.0:+.1%} of {r.expected:.1f})"
            for name, r in zip(names, wrong, strict=True)
        )
        return f"equipartition is not correct: {found}; use Langevin, a shorter stride, or error control"

    def state_dict(self) -> dict[str, Any]:
        """Return what a restart needs, as a tree."""
        return {
            "monitor": self.monitor.state_dict(),
            "steps": self.steps,
            "statistics": dict(self.statistics),
            "momentum": self._momentum.copy(),
            "momentum_change": self._momentum_change,
            "work": self._work.state_dict(),
            "time": np.array([self._time, self._wall_time]),
            "energy": np.array([self._first, self._last, self._largest]),
        }

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Take all of it from ``state_dict``."""
        self.monitor.load_state_dict(tree["monitor"])
        self.steps, self.begun = int(tree["steps"]), True
        self.statistics = {name: float(value) for name, value in tree["statistics"].items()}
        self._momentum, self._momentum_change = np.array(tree["momentum"], float), float(tree["momentum_change"])
        self._work.load_state_dict(tree["work"])
        self._time, self._wall_time = (float(v) for v in tree["time"])
        self._first, self._last, self._largest = (float(v) for v in tree["energy"])
