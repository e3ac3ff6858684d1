"""Regions against one chain of everything: a black-hole binary in a cluster of a thousand stars.

    python benchmarks/regions.py [--stars 1000] [--record]

The peer is the regularised chain over all bodies (exact to round-off). Shown: the error of the binary's elements and of
the stars, how both fall with the accuracy of the steps, and the same without the tide during the advance.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from askel.integrators import Fixed, Simulation, Whole
from askel.nbody import DirectGravity, RegularisedChain
from askel.nbody.galaxy import regions
from askel.nbody.initial_conditions import BlackHoleBinary, Component, Galaxy, Hernquist
from askel.nbody.orbits import elements_from_state
from askel.nbody.regions import BlackHoleRegions
from askel.particles import Particles
from machine import machine, versions

SOFTENING, STEP = 1e-3, 0.01
#: name -> (semi-major axis of the binary, radius of the region)
CASES = {"soft binary in a wide region": (0.01, 0.1), "hard binary in a narrow region": (0.001, 0.02)}
RESULT = Path(__file__).parent / "results" / "regions.json"


def cluster(stars: int, axis: float) -> Particles:
    """Return a Hernquist sphere of mass 1 and scale radius 1 around a black-hole binary of mass 0.02 and e = 0.5."""
    binary = BlackHoleBinary(mass=0.02, semi_major_axis=axis, eccentricity=0.5)
    galaxy = Galaxy([Component(Hernquist(1.0, 1.0), stars, softening=SOFTENING)], black_hole=binary)
    return galaxy.sample(seed=7)


def binary(particles: Particles) -> tuple[float, float]:
    """Return semi-major axis and eccentricity of the black holes."""
    one, two = np.flatnonzero(particles.is_kind(1))
    elements = elements_from_state(
        particles.mass[[one, two]].sum(), particles.position[two] - particles.position[one],
        particles.velocity[two] - particles.velocity[one],
    )  # fmt: skip
    return elements.semi_major_axis, elements.eccentricity


def exact(state: Particles, t_end: float) -> tuple[Particles, dict[str, Any]]:
    """Return the state that one chain of all bodies gives, and facts of the run."""
    started = time.perf_counter()
    chain = RegularisedChain(tolerance=1e-13, softening=SOFTENING, star_star="softened")
    report = Simulation(state, chain, Whole()).run(t_end)
    return state, {"wall_s": time.perf_counter() - started, "energy_error": report.max_energy_error}


def split(state: Particles, t_end: float, radius: float, accuracy: float, truth: Particles) -> dict[str, Any]:
    """Return the errors of region and block steps at one accuracy."""
    started = time.perf_counter()
    gravity = DirectGravity(softening=SOFTENING, star_star="softened")
    method = regions(
        gravity, radius=radius, accuracy=accuracy, tidal_accuracy=0.0, softening=SOFTENING, star_star="softened",
        tolerance=1e-12,
    )  # fmt: skip
    report = Simulation(state, method, Fixed(STEP)).run(t_end)
    (a, e), (a0, e0) = binary(state), binary(truth)
    return {
        "accuracy": accuracy,
        "semi_major_axis_error": abs(a / a0 - 1.0),
        "eccentricity_error": abs(e - e0),
        "rms_position_error": float(np.sqrt(np.mean(np.sum((state.position - truth.position) ** 2, axis=1)))),
        "median_position_error": float(np.median(np.linalg.norm(state.position - truth.position, axis=1))),
        "energy_error": report.max_energy_error,
        "momentum": float(np.abs(state.mass @ state.velocity).max() / (state.mass @ np.abs(state.velocity)).max()),
        "members": report.statistics["max_members"],
        "regions_moved": report.statistics["regions"],
        "wall_s": time.perf_counter() - started,
    }


def main() -> None:
    """Run, print, and with --record write results/regions.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--t-end", type=float, default=0.1)
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    cases = {name: case(asked.stars, asked.t_end, axis, radius) for name, (axis, radius) in CASES.items()}
    if asked.record:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine(), "versions": versions("numpy", "numba"),
            "stars": asked.stars, "t_end": asked.t_end, "softening": SOFTENING, "longest_step": STEP, **cases,
        }  # fmt: skip
        RESULT.write_text(json.dumps(record, indent=1) + "\n")


def case(stars: int, t_end: float, axis: float, radius: float) -> dict[str, Any]:
    """Return one chain of all, and regions at several accuracies, with and without the tide during the advance."""
    truth, facts = exact(cluster(stars, axis), t_end)
    out: dict[str, Any] = {"radius": radius, "semi_major_axis": binary(truth)[0], "eccentricity": binary(truth)[1]}
    out |= {"one_chain_of_all": facts, "tide_during_advance": [], "kicks_alone": []}
    print(f"radius {radius:g}, one chain of all: {facts}", flush=True)
    tide = BlackHoleRegions.tide
    for name in ("tide_during_advance", "kicks_alone"):
        BlackHoleRegions.tide = tide if name == "tide_during_advance" else _no_tide  # type: ignore[method-assign]
        for accuracy in (0.1, 0.025, 0.025 / 4, 0.025 / 16, 0.025 / 64):
            row = split(cluster(stars, axis), t_end, radius, accuracy, truth)
            print(name, {k: float(f"{v:.3g}") for k, v in row.items()}, flush=True)
            out[name].append(row)
    BlackHoleRegions.tide = tide  # type: ignore[method-assign]
    return out


def _no_tide(self: BlackHoleRegions, particles: Particles, rows: Any) -> Any:
    return np.zeros((3, 3))


if __name__ == "__main__":
    main()
