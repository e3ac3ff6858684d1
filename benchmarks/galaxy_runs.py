"""Galaxies in motion: what block time steps, regions and fast multipoles make of problems with known answers.

    python benchmarks/galaxy_runs.py plummer friction hardening merger steps [--quick] [--record]

plummer    a sphere in equilibrium, ten crossing times: energy, momentum, Lagrangian radii
friction   a black hole sinks in a Hernquist sphere: Chandrasekhar (1943, doi:10.1086/144517), with the Coulomb logarithm of
           Just & Penarrubia (2005, doi:10.1051/0004-6361:20041175): b_max = rho/|d rho/dr|, b_min = G M/(v^2 + 2 sigma^2)
steps      drift of the energy against processor time with steps by acceleration, by tides, and by the shorter of both
merger     examples/galaxy_merger.toml: from two galaxies to one black hole, in one run
hardening  an equal-mass binary takes energy from stars: d(1/a)/dt = G H rho/sigma, H of about 15 to 20 (Quinlan 1996,
           doi:10.1016/S1384-1076(96)00003-6; Sesana & Khan 2015, doi:10.1093/mnrasl/slv131); rho, sigma at the influence radius
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from askel.integrators import Fixed, Simulation
from askel.nbody.fmm import Fmm
from askel.nbody.galaxy import block_leapfrog, regions
from askel.nbody.initial_conditions import BlackHole, BlackHoleBinary, Component, Galaxy, Hernquist, Plummer
from askel.nbody.orbits import elements_from_state
from askel.particles import Particles
from askel.particles.io_h5md import Trajectory
from machine import machine, versions
from scipy.integrate import solve_ivp
from scipy.special import erf

import askel

RESULT = Path(__file__).parent / "results" / "galaxy_runs.json"
SHARES = (0.1, 0.5, 0.9)


def plummer(quick: bool) -> dict[str, Any]:
    """Return what ten crossing times did to a Plummer sphere, G = M = scale radius = 1."""
    n, softening, step = (10_000 if quick else 100_000), 0.02, 0.25
    crossing = (3.0 * np.pi / 32.0) ** -1.5  # G M^(5/2)/(2 |E|)^(3/2), E = -3 pi/64
    state = Galaxy([Component(Plummer(1.0, 1.0), n, softening=softening)]).sample(seed=11)
    method = block_leapfrog(Fmm(relative_error=1e-3), tidal_accuracy=0.0)
    run = Simulation(state, method, Fixed(step))
    scale, before, started = state.mass @ np.abs(state.velocity), state.mass @ state.velocity, time.perf_counter()
    radii = [lagrangian_radii(state)]
    for part in range(10):
        report = run.run((part + 1) * crossing)
        radii.append(lagrangian_radii(state))
        print(f"t = {run.time:.1f}: dE/E {report.energy_error:.2e}, radii {radii[-1].round(3)}", flush=True)
    change = np.array(radii)[1:] / radii[0] - 1.0
    return {
        "n": n, "softening": softening, "longest_step": step, "accuracy": 0.025, "relative_force_error": 1e-3,
        "crossing_time": crossing, "energy_error_max": report.max_energy_error, "energy_error": report.energy_error,
        "momentum": float(np.abs((state.mass @ state.velocity - before) / scale).max()),
        "lagrangian_radii": [list(map(float, r)) for r in radii], "shares": SHARES,
        "largest_change_of_a_radius": [float(c) for c in np.abs(change).max(axis=0)],
        "max_level": report.statistics["max_level"], "base_steps": report.steps,
        "forces_per_particle": report.statistics["pulls"] / n,
        "forces_if_all_took_the_shortest": report.steps * 2 ** report.statistics["max_level"],
        "wall_s": time.perf_counter() - started,
    }  # fmt: skip


def lagrangian_radii(state: Particles) -> np.ndarray:
    """Return the radii that hold shares of the stars' mass, about their centre of mass."""
    stars = state.select(state.kind != 1) if state.kind is not None else state
    r = np.linalg.norm(stars.position - stars.centre_of_mass()[0], axis=1)
    return np.asarray(np.quantile(r, SHARES))


# ---------------------------------------------------------------------- dynamical friction

SPHERE = Hernquist(1.0, 1.0)


def friction(quick: bool) -> dict[str, Any]:
    """Return how the angular momentum of a black hole on a circular orbit decays, and what theory says."""
    n, mass, softening = (5_000 if quick else 40_000), 0.02, 0.02
    speed = float(np.sqrt(SPHERE.enclosed_mass(1.0)))
    hole = BlackHole(mass, position=(1.0, 0.0, 0.0), velocity=(0.0, speed, 0.0))
    state = Galaxy([Component(SPHERE, n, softening=softening)], further_black_holes=[hole]).sample(seed=3)
    method = regions(
        Fmm(softening=softening, kernel="spline"), radius=2.8 * softening, tidal_accuracy=0.0, softening=softening
    )
    run, started, rows = Simulation(state, method, Fixed(0.1)), time.perf_counter(), []
    while run.time < 12.0:
        report = run.run(run.time + 0.5)
        rows.append((run.time, *about_the_centre(state)))
        print(
            f"t = {run.time:.1f}: r {rows[-1][1]:.3f}, L {rows[-1][2]:.4f}, dE/E {report.energy_error:.1e}", flush=True
        )
    times, _, momentum = np.array(rows).T
    expected = chandrasekhar(mass, times)
    half = [float(np.interp(-0.5 * speed, -m, times)) for m in (momentum, expected)]
    quarter = [float(np.interp(-0.25 * speed, -m, times)) for m in (momentum, expected)]
    return {
        "n": n, "black_hole_mass": mass, "softening": softening, "times": times.tolist(),
        "angular_momentum": momentum.tolist(), "angular_momentum_theory": expected.tolist(),
        "time_to_half": half[0], "time_to_half_theory": half[1], "ratio_half": half[0] / half[1],
        "time_to_quarter": quarter[0], "time_to_quarter_theory": quarter[1], "ratio_quarter": quarter[0] / quarter[1],
        "energy_error_max": report.max_energy_error, "wall_s": time.perf_counter() - started,
    }  # fmt: skip


def about_the_centre(state: Particles) -> tuple[float, float]:
    """Return distance and specific angular momentum of the black hole about the densest place of the stars."""
    hole = int(np.flatnonzero(state.is_kind(1))[0])
    stars = state.select(~state.is_kind(1))
    centre = stars.position.mean(axis=0)
    for reach in (2.0, 1.0, 0.5, 0.25, 0.2, 0.2, 0.2):
        near = np.linalg.norm(stars.position - centre, axis=1) < reach
        centre = stars.position[near].mean(axis=0)
    drift = stars.velocity[np.linalg.norm(stars.position - centre, axis=1) < 0.3].mean(axis=0)
    apart, motion = state.position[hole] - centre, state.velocity[hole] - drift
    return float(np.linalg.norm(apart)), float(np.linalg.norm(np.cross(apart, motion)))


def chandrasekhar(mass: float, times: np.ndarray) -> np.ndarray:
    """Return the specific angular momentum of a circular orbit that starts at r = 1, by Chandrasekhar's formula."""

    def momentum(r: float) -> float:
        return float(np.sqrt(r * SPHERE.enclosed_mass(r)))

    def decay(_: float, y: np.ndarray) -> list[float]:
        r = y[0]
        square = float(SPHERE.enclosed_mass(r)) / r
        density, sigma2 = float(SPHERE.density(r)), dispersion(r)
        longest = density / abs(float(SPHERE.density_derivatives(r)[0]))
        logarithm = 0.5 * np.log1p((longest * (square + 2.0 * sigma2) / mass) ** 2)
        x = np.sqrt(square / (2.0 * sigma2))
        slow = erf(x) - 2.0 * x * np.exp(-(x**2)) / np.sqrt(np.pi)
        pull = 4.0 * np.pi * mass * density * logarithm * slow / square
        return [-r * pull / ((momentum(1.0001 * r) - momentum(r)) / (0.0001 * r))]

    path = solve_ivp(decay, (0.0, times[-1]), [1.0], t_eval=times, rtol=1e-8)
    return np.array([momentum(r) for r in path.y[0]])


def dispersion(r: float) -> float:
    """Return the square of the one-dimensional velocity dispersion of the isotropic sphere (Hernquist 1990)."""
    polynomial = 25.0 + 52.0 * r + 42.0 * r**2 + 12.0 * r**3
    return float((12.0 * r * (1.0 + r) ** 3 * np.log((1.0 + r) / r) - r / (1.0 + r) * polynomial) / 12.0)


# ---------------------------------------------------------------------- hardening


def hardening(quick: bool) -> dict[str, Any]:
    """Return the hardening rates of equal-mass binaries in the cusp of a Hernquist sphere."""
    seeds = (1,) if quick else (1, 2, 3)
    runs = [_harden(5_000 if quick else 20_000, seed) for seed in seeds]
    rates = np.array([r["H"] for r in runs])
    error = float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else None
    return {"H": float(rates.mean()), "H_error": error, "runs": runs}


def _harden(n: int, seed: int) -> dict[str, Any]:
    mass, softening, started = 0.02, 0.005, time.perf_counter()
    galaxy = Galaxy([Component(SPHERE, n, softening=softening)], black_hole=BlackHoleBinary(mass, 0.01))
    state = galaxy.sample(seed=seed)
    method = regions(
        Fmm(softening=softening, kernel="spline"),
        radius=0.05,
        tidal_accuracy=0.0,
        softening=softening,
        accuracy=0.005,
        tolerance=1e-9,
    )
    run, rows = Simulation(state, method, Fixed(0.05)), []
    while run.time < 5.0:
        report = run.run(run.time + 0.25)
        rows.append((run.time, *_binary_and_surroundings(state, mass)))
        print(
            f"t = {run.time:.2f}: a {rows[-1][1]:.5f}, e {rows[-1][2]:.3f}, dE/E {report.energy_error:.1e}", flush=True
        )
    times, axis, eccentricity, radius, density, sigma = np.array(rows).T
    late = times > 1.0
    slope = float(np.polyfit(times[late], 1.0 / axis[late], 1)[0])
    return {
        "n": n, "seed": seed, "black_hole_mass": mass, "softening": softening, "radius": 0.05, "times": times.tolist(),
        "semi_major_axis": axis.tolist(), "eccentricity": eccentricity.tolist(), "influence_radius": float(radius[late].mean()),
        "density": float(density[late].mean()), "sigma": float(sigma[late].mean()), "slope_of_inverse_a": slope,
        "H": slope * float(sigma[late].mean() / density[late].mean()), "energy_error_max": report.max_energy_error,
        "max_members": report.statistics["max_members"], "wall_s": time.perf_counter() - started,
    }  # fmt: skip


def _binary_and_surroundings(state: Particles, mass: float) -> tuple[float, ...]:
    """Return a, e, and at the influence radius (stars of twice the binary's mass inside): radius, density, dispersion."""
    one, two = np.flatnonzero(state.is_kind(1))
    orbit = elements_from_state(
        mass, state.position[two] - state.position[one], state.velocity[two] - state.velocity[one]
    )
    stars = state.select(~state.is_kind(1))
    r = np.sort(distance := np.linalg.norm(stars.position - 0.5 * (state.position[one] + state.position[two]), axis=1))
    radius = r[int(2.0 * mass / stars.mass[0])]
    shell = (distance > 0.7 * radius) & (distance < 1.3 * radius)
    density = stars.mass[shell].sum() / (4.0 / 3.0 * np.pi * radius**3 * (1.3**3 - 0.7**3))
    sigma = float(np.sqrt(np.mean(np.var(stars.velocity[shell], axis=0))))
    return orbit.semi_major_axis, orbit.eccentricity, float(radius), float(density), sigma


# ---------------------------------------------------------------------- two galaxies, to one black hole


def merger(quick: bool) -> dict[str, Any]:
    """Return what came of ``examples/galaxy_merger.toml``; the files stay in the current folder."""
    example = Path(__file__).parents[1] / "examples" / "galaxy_merger.toml"
    started = time.perf_counter()
    result = askel.run(example, overrides=["run.t_end=0.5"] if quick else [], overwrite=True)
    with Trajectory(result.trajectory) as file:
        rows, energy = file.table("series/black_holes"), file.table("series/energy")
        events = file.table("events/merger") if "events/merger" in file.tables() else {"time": []}
    position = np.column_stack([rows[f"position_{k}"] for k in "xyz"])
    velocity = np.column_stack([rows[f"velocity_{k}"] for k in "xyz"])
    one, two = (np.flatnonzero(rows["identity"] == i) for i in np.unique(rows["identity"]))
    both = np.intersect1d(rows["time"][one], rows["time"][two])
    a, b = (r[np.searchsorted(rows["time"][r], both)] for r in (one, two))
    mass = float(rows["mass"][a[0]] + rows["mass"][b[0]])
    orbits = [
        elements_from_state(mass, d, v)
        for d, v in zip(position[b] - position[a], velocity[b] - velocity[a], strict=True)
    ]
    apart = np.linalg.norm(position[b] - position[a], axis=1)
    bound = both[np.array([0.0 < o.semi_major_axis < 0.1 for o in orbits])]
    return {
        "job": "examples/galaxy_merger.toml", "first_separation": float(apart[0]), "smallest_separation": float(apart.min()),
        "bound_below_0.1_at": float(bound[0]) if len(bound) else None,
        "mergers_at": [float(t) for t in events["time"]], "rows_of_black_holes": len(rows["time"]),
        "energy_error_max": float(np.abs(energy["energy_error"]).max()), "wall_s": time.perf_counter() - started,
    }  # fmt: skip


# ---------------------------------------------------------------------- what steps are judged by

#: (accuracy, tidal_accuracy) of which None is not looked at
CRITERIA = ((0.01, None), (0.0025, None), (None, 0.1), (None, 0.05), (None, 0.025), (0.01, 0.1), (0.01, 0.05))


def steps(quick: bool) -> dict[str, Any]:
    """Return errors and costs of step criteria for a Plummer sphere, and for a Hernquist sphere, whose centre is a cusp."""
    cases = [(Plummer(1.0, 1.0), 4_000, 0.02, 0.25, 1.5)]
    if not quick:
        cases += [(SPHERE, 4_000, 0.005, 0.1, 1.5), (Plummer(1.0, 1.0), 20_000, 0.02, 0.25, 0.5)]
    rows = []
    for profile, n, softening, step, t_end in cases:
        for accuracy, tidal in CRITERIA:
            state = Galaxy([Component(profile, n, softening=softening)]).sample(seed=3)
            method = block_leapfrog(
                Fmm(relative_error=1e-3), accuracy=accuracy or 0.0, tidal_accuracy=tidal or 0.0, tides="all"
            )
            run = Simulation(state, method, Fixed(step))
            run.run(1e-9)  # compiles
            started = time.process_time()
            report = run.run(t_end)
            row = {
                "model": type(profile).__name__, "n": n, "softening": softening, "longest_step": step, "t_end": t_end,
                "accuracy": accuracy, "tidal_accuracy": tidal, "energy_error_max": report.max_energy_error,
                "forces_per_particle": report.statistics["pulls"] / n, "max_level": report.statistics["max_level"],
                "processor_s": time.process_time() - started,
            }  # fmt: skip
            print(row, flush=True)
            rows.append(row)
    return {"rows": rows}


PARTS = {"steps": steps, "merger": merger, "plummer": plummer, "friction": friction, "hardening": hardening}


def main() -> None:
    """Run the named parts, print, and with --record put them into results/galaxy_runs.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all when none is named")
    parser.add_argument("--quick", action="store_true", help="few particles, for a look")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    for part in asked.parts or PARTS:
        result = PARTS[part](asked.quick)
        print(part, {k: v for k, v in result.items() if isinstance(v, float | int)}, flush=True)
        if asked.record:
            record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
            facts = {
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                "machine": machine(),
                "versions": versions("numpy", "numba"),
            }
            RESULT.write_text(json.dumps({**record, part: {**facts, **result}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
