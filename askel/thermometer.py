"""What a run of atoms watches: temperature of every element as a series, momentum, energy; a verdict at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .integrators import Row, Schedule, Simulation, Writer
from .md.ase_baths import conserved_with, target_of
from .md.control_report import report as control_report
from .md.stride_report import StrideWatch
from .md.temperature import ALL, temperatures
from .particles import SERIAL, Exchange, Particles
from .particles.io_ase import symbols
from .units_text import picoseconds


class Thermometer:
    """Writes rows of the table ``series/temperature`` (step, time, temperature, temperature_<element>: K); sees every step.

    Parameters
    ----------
    writer : Writer
    every : float > 0, time between rows, in the unit of the particles
    thermostat : layer around the propagator, or None: what temperatures are compared with
    exchange : Exchange between ranks

    """

    order = 0

    def __init__(self, writer: Writer, every: float, thermostat: Any = None, exchange: Exchange = SERIAL) -> None:
        self._writer, self._schedule, self._thermostat = writer, Schedule(every), thermostat
        self._watch = StrideWatch(target_of(thermostat), conserved_with(thermostat), exchange)
        self._exchange = exchange
        self._seen, self._written, self._work = -1, -1, 0.0
        self._now = self._begun = self._reached = math.nan

    def start(self, time: float, direction: int) -> None:
        """Start the schedule."""
        self._schedule.start(time, direction)
        self._begun = time

    def next_due(self, time: float) -> float:
        """Return the time of the next row."""
        return self._schedule.next_due

    def due(self, time: float) -> bool:
        """Return True: every step counts."""
        return True

    def observe(self, simulation: Simulation) -> None:
        """Take note of a state, and write a row when it is due."""
        particles = simulation.particles
        if self._seen < 0:
            self._watch.disturbed(particles)
        elif simulation.step != self._seen:
            self._watch.stride(particles, simulation.work - self._work, {})
        self._seen, self._work, self._reached = simulation.step, simulation.work, simulation.time
        if self._schedule.reached(simulation.time):
            self._write(simulation)
            self._schedule.advance(simulation.time)

    def _write(self, simulation: Simulation) -> None:
        row = temperature_row(simulation.particles, conserved_with(self._thermostat), self._exchange)
        self._now = float(row["temperature"])
        self._writer.append_row("series/temperature", {"step": simulation.step, "time": simulation.time, **row})
        energy = simulation.energy()
        if math.isfinite(energy):
            kinetic = float(self._exchange.reduce(simulation.particles.kinetic_energy(), "sum"))
            self._watch.energy(simulation.particles, energy - kinetic)
        self._written = simulation.step

    def event(self, row: Row) -> None:
        """Do nothing."""

    def finish(self, simulation: Simulation) -> None:
        """Write the last row, unless the run was stopped or it is written already."""
        if not simulation.stopped and simulation.step != self._written:
            self._write(simulation)

    def state_dict(self) -> dict:
        """Return what a restart needs."""
        return {
            "schedule": self._schedule.state_dict(),
            "watch": self._watch.state_dict(),
            "seen": self._seen,
            "written": self._written,
            "work": self._work,
            "now": self._now,
        }

    def load_state_dict(self, tree: dict) -> None:
        """Take all of it back."""
        self._schedule.load_state_dict(tree["schedule"])
        self._watch.load_state_dict(tree["watch"])
        self._seen, self._written = int(tree["seen"]), int(tree["written"])
        self._work, self._now = float(tree["work"]), float(tree["now"])

    # ------------------------------------------------------------------ what it says

    def words(self, simulation: Simulation) -> str:
        """Return the temperature as written last."""
        return f"T {self._now:.0f} K" if math.isfinite(self._now) else ""

    def facts(self) -> dict[str, Any]:
        """Return what the trajectory's report says: mean temperature by element, momentum, energy defect, verdict."""
        found = self._watch.report()
        rows = {_element(r.species): r for r in found.temperatures}
        facts: dict[str, Any] = {
            "temperature": {name: r.mean for name, r in rows.items()},
            "temperature_error": {name: r.error for name, r in rows.items() if math.isfinite(r.error)},
            "equipartition": found.equipartition,
            "momentum_change": found.momentum_change,
        }
        if math.isfinite(found.energy_defect):
            facts["energy_defect_meV_per_atom"] = 1e3 * found.energy_defect
        return facts

    def notes(self, statistics: Mapping[str, float], wall_time: float) -> tuple[str, ...]:
        """Return the summary's lines: temperatures, momentum, energy, error control, speed; a warning where one is due."""
        if self._watch.steps == 0:
            return ()
        lines = list(self._watch.report().text[1:])
        span = abs(self._reached - self._begun)
        if "strides_tried" in statistics:
            lines += control_report(statistics).splitlines()
        if wall_time > 0.0:
            lines.append(f"{picoseconds(span) * 1e-3 / wall_time * 86400.0:.4g} ns/day")
        line = self._watch.verdict_line()
        return (*lines, f"warning: {line}") if line else tuple(lines)


def temperature_row(particles: Particles, conserved: Any, exchange: Exchange = SERIAL) -> dict[str, float]:
    """Return temperature, and temperature_<element> of every element, in K."""
    found = temperatures(particles, conserved, exchange)
    total = {"temperature": found.pop(ALL)}
    return total | {f"temperature_{_element(z)}": value for z, value in found.items()}


def _element(number: int) -> str:
    return "all" if number == ALL else symbols(np.array([number]))[0]
