"""Ensembles: time per encounter at stated accuracy against REBOUND's IAS15, outcome statistics, replay.

python benchmarks/ensemble.py            prints the figures
python benchmarks/ensemble.py --record   also writes benchmarks/results/ensemble.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from askel.nbody import evolve_batch
from askel.nbody.ensemble_outcomes import OUTCOMES
from askel.nbody.post_newtonian import parse_terms
from askel.nbody.post_newtonian_integrals import integrals
from askel.nbody.scattering import Approach, Body, Orbit, Part, Sample, Scattering
from askel.nbody.scattering_cross_sections import capture_cross_section, cross_section
from askel.nbody.scattering_distributions import Distribution, fixed
from askel.nbody.scattering_run import Settings, cross_sections, replay, run_encounters
from askel.particles import kernel_threads
from machine import machine, versions

HERE = Path(__file__).resolve().parent
Record = dict[str, Any]
STAR, HOLE, HEAVY = Body(fixed(1.0)), Body(fixed(0.5), black_hole=True), Body(fixed(1.0), black_hole=True)


def binary(eccentricity: Distribution) -> Part:
    return Part((STAR, STAR), (Orbit(fixed(1.0), eccentricity),))


#: Equal masses, thermal eccentricities, v = 0.5, b <= 6 a, 40 a apart at the start; followed to t = 300.
TIMED = Scattering(
    (binary(Distribution("thermal", {"high": 0.999})), Part((STAR,))),
    Approach(fixed(0.5), Distribution("disk", {"high": 6.0}), separation=40.0),
    seed=70921,
)
CIRCULAR = (binary(fixed(0.0)), Part((STAR,)))
#: Circular binaries of equal masses, met at a tenth of the critical velocity; those that come close, from close by.
HARD = Scattering(CIRCULAR, Approach(fixed(0.1), Distribution("disk", {"high": 36.0}), scaled=True), seed=3)
CLOSE = Scattering(
    CIRCULAR, Approach(fixed(0.1), Distribution("disk", {"high": 20.0}), scaled=True, separation=20.0), seed=4
)
#: The circular case by Starlab 4.4.4, by the authors of Hut & Bahcall 1983 (doi:10.1086/160956) and McMillan & Hut 1996
#: (doi:10.1086/177610): `sigma3 -e 0 -v 0.1 -d 1000 -q`, seeds 21, 22, 23, 9,090 encounters by a Hermite scheme.
#: Means of the three runs with their binomial errors, in pi a^2 (v_c / v)^2.
STARLAB = {"exchange": (3.31, 0.075), "direct exchange": (0.793, 0.033), "resonance": (4.68, 0.10)}
#: The timed encounters of black holes: c is 100 times the velocity of a circular binary, periastra are tens of GM/c^2 and more.
TERMS, LIGHT = ("1", "1cross", "2", "2.5"), 100.0
HOLES = Scattering(
    (Part((HEAVY, HEAVY), (Orbit(fixed(1.0), Distribution("thermal", {"high": 0.999})),)), Part((HEAVY,))),
    TIMED.approach, seed=70921, c=LIGHT,
)  # fmt: skip
T_END, STOP = 300.0, ("escape", "mardling-aarseth")


def energy(sample: Sample, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Return T - U of each encounter in extended precision."""
    m, x, v = (np.asarray(a).astype(np.longdouble) for a in (sample.mass, position, velocity))
    e = 0.5 * (m * (v**2).sum(axis=2)).sum(axis=1)
    for i in range(3):
        for j in range(i):
            e -= m[:, i] * m[:, j] / np.sqrt(((x[:, i] - x[:, j]) ** 2).sum(axis=1))
    return e


def errors(sample: Sample, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    before = energy(sample, sample.position, sample.velocity)
    return np.abs((energy(sample, position, velocity) - before) / before).astype(float)


def askel_once(sample: Sample, tolerance: float, stop: tuple[str, ...]) -> tuple[float, Any]:
    """Return processor seconds per encounter, and the result."""
    begin = time.process_time()
    result = evolve_batch(sample.mass, sample.position, sample.velocity, T_END, tolerance=tolerance, stop=stop)
    return (time.process_time() - begin) / len(result), result


def rebound_once(sample: Sample, which: range) -> tuple[float, np.ndarray]:
    """Return processor seconds per encounter of IAS15 at its default accuracy, and |dE/E|."""
    import rebound

    position, velocity = sample.position.copy(), sample.velocity.copy()
    begin = time.process_time()
    for k in which:
        simulation = rebound.Simulation()
        simulation.integrator = "ias15"
        for m, x, v in zip(sample.mass[k], sample.position[k], sample.velocity[k], strict=True):
            simulation.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
        simulation.integrate(T_END)
        for i, body in enumerate(simulation.particles):
            position[k, i], velocity[k, i] = (body.x, body.y, body.z), (body.vx, body.vy, body.vz)
    spent = (time.process_time() - begin) / len(which)
    return spent, errors(sample, position, velocity)[list(which)]


def timing(repeats: int, tolerances: tuple[float, ...] = (1e-12, 3e-12, 1e-11, 1e-10)) -> Record:
    """Time both codes in turn, on one core; the peer takes another tenth of the encounters each time."""
    sample = TIMED.sample(np.arange(1000))
    with kernel_threads(1):
        askel_once(sample, 1e-12, ())
        runs: dict[tuple[float, bool], list[float]] = {(t, s): [] for t in tolerances for s in (False, True)}
        peer, peer_errors, results = [], [], {}
        for repeat in range(repeats):
            for tolerance, early in runs:
                spent, result = askel_once(sample, tolerance, STOP if early else ())
                runs[tolerance, early].append(spent)
                results[tolerance, early] = result
            spent, wrong = rebound_once(sample, range(repeat % 10, 1000, 10))
            peer.append(spent)
            peer_errors.append(wrong)
    ias15 = statistics.median(peer)
    rows = []
    for (tolerance, early), spent in runs.items():
        result = results[tolerance, early]
        wrong = errors(sample, result.position, result.velocity)
        rows.append(
            {
                "tolerance": tolerance,
                "early_stop": early,
                "ms_per_encounter": 1e3 * statistics.median(spent),
                "ms_each_run": [1e3 * s for s in spent],
                "ratio_to_ias15": statistics.median(spent) / ias15,
                "energy_error_median": float(np.median(wrong)),
                "energy_error_p99": float(np.percentile(wrong, 99)),
                "energy_error_largest": float(wrong.max()),
                "micro_steps_mean": float(result.steps.mean()),
                "rejected_mean": float(result.rejected.mean()),
            }
        )
    return {
        "job": "1,000 binary-single encounters, equal masses, thermal e, v = 0.5, b <= 6 a, from 40 a to t = 300, one core",
        "askel": rows,
        "ias15_ms_per_encounter": 1e3 * ias15,
        "ias15_ms_each_run": [1e3 * s for s in peer],
        "ias15_energy_error_p99": float(np.percentile(np.concatenate(peer_errors), 99)),
        "targets_ms": [0.6, 0.3],
        "target_energy_error_p99": 1e-9,
        "met": bool(rows[0]["ms_per_encounter"] <= 0.3 and rows[0]["energy_error_p99"] <= 1e-9),
    }


def hard_cross_sections(count: int) -> Record:
    """Exchange and resonance of circular equal-mass binaries at v = 0.1 v_c, in pi a^2 (v_c / v)^2, beside those of Starlab."""
    rows = run_encounters(HARD, Settings(1e6, tolerance=1e-11), np.arange(count))
    found = cross_sections(rows, even_area=True)
    b_max, scale = rows["drawn_largest_impact_parameter"], rows["drawn_scale"]
    direct = (rows["outcome"] == OUTCOMES.index("exchange")) & (rows["resonance"] == 0)
    speed = rows["drawn_velocity"] / rows["drawn_critical_velocity"]
    found["direct exchange"] = cross_section(direct, b_max, scale, speed)
    peers: Record = {}
    for name, (peer, error) in STARLAB.items():
        mine = found[name]
        sigmas = (mine.scaled - peer) / math.hypot(mine.scaled_error, error)
        peers[name] = {"askel": [mine.scaled, mine.scaled_error], "starlab": [peer, error], "sigmas": sigmas}
    unresolved = found.get("unresolved")
    return {
        "job": "circular binaries, equal masses, v = 0.1 v_c",
        "encounters": count,
        **peers,
        "unresolved": 0.0 if unresolved is None else unresolved.scaled,
        # either of the two may be the one that goes; the fit is good to a quarter
        "exchange_fit_heggie_hut_mcmillan_1996": 2.0 * exchange_fit(1.0, 1.0, 1.0),
        "energy_error_p99": float(np.percentile(np.abs(rows["energy_error"]), 99)),
        "met": all(abs(p["sigmas"]) < 3.0 for p in peers.values()),
    }


def peer_outcomes(count: int) -> Record:
    """The same hard encounters by IAS15, with outcomes and minima of the size found independently, one encounter at a time."""
    sample = CLOSE.sample(np.arange(count))
    end = evolve_batch(sample.mass, sample.position, sample.velocity, 1e6, tolerance=1e-11, stop=("escape",))
    lonely = (end.tops[:, :, None] == end.tops[:, None, :]).sum(axis=2) == 1
    mine = np.where(end.parted == 2, lonely.argmax(axis=1), -1)
    peer, minima = np.array([rebound_outcome(sample, k, 1e5) for k in range(count)]).T
    both = (mine >= 0) & (peer >= 0)
    single = both & (end.minima == 1) & (minima == 1)
    pairs = {
        "exchange": (mine[both] != 2, peer[both] != 2),
        "resonance": (end.minima[both] > 1, minima[both] > 1),
    }
    record: Record = {"job": "the same hard encounters by REBOUND's IAS15", "encounters": int(both.sum())}
    for name, (a, b) in pairs.items():
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        record[name] = [int(a.sum()), int(b.sum())]
        record[f"{name}_sigmas"] = (only_a - only_b) / max(
            only_a + only_b, 1
        ) ** 0.5  # McNemar: chaos decides each, not the sum
    record["single_passages"] = [int(single.sum()), int((single & (mine == peer)).sum())]
    record["met"] = bool(max(abs(record["exchange_sigmas"]), abs(record["resonance_sigmas"])) < 3.0)
    return record


def rebound_outcome(sample: Sample, k: int, t_end: float) -> tuple[int, int]:
    """Return who is alone in the end (-1: undecided), and the number of minima of sum r_ij^2 between twice larger maxima."""
    import rebound

    simulation = rebound.Simulation()
    simulation.integrator = "ias15"
    for m, x, v in zip(sample.mass[k], sample.position[k], sample.velocity[k], strict=True):
        simulation.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
    m, x, v = sample.mass[k], np.zeros((3, 3)), np.zeros((3, 3))
    down, extreme, minima = True, np.inf, 0
    while simulation.t < t_end:
        simulation.steps(1)
        simulation.serialize_particle_data(xyz=x)
        p, q, r = x.tolist()
        s2 = math.dist(p, q) ** 2 + math.dist(q, r) ** 2 + math.dist(r, p) ** 2
        turned = s2 > 2.0 * extreme if down else s2 < 0.5 * extreme
        if turned:
            minima, down = minima + down, not down
        extreme = s2 if turned else (min if down else max)(extreme, s2)
        if down or s2 < 200.0 or simulation.steps_done % 16:
            continue
        simulation.serialize_particle_data(vxvyvz=v)
        for i, j, h in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            mass = m[j] + m[h]
            away, speed = x[i] - (m[j] * x[j] + m[h] * x[h]) / mass, v[i] - (m[j] * v[j] + m[h] * v[h]) / mass
            wide = math.dist(x[j], x[h])
            bound = 0.5 * np.sum((v[j] - v[h]) ** 2) < mass / wide
            free = 0.5 * speed @ speed > m.sum() / np.linalg.norm(away)
            if bound and free and away @ speed > 0.0 and away @ away > 100.0 * wide**2:
                return i, minima
    return -1, minima


def exchange_fit(m1: float, m2: float, m3: float) -> float:
    """Cross section for m3 to replace m2, in pi G M a / (2 v^2): Heggie, Hut & McMillan 1996, doi:10.1086/177611, equation 17."""
    m12, m23, m13, m123 = m1 + m2, m2 + m3, m1 + m3, m1 + m2 + m3
    x, y = m1 / m12, m3 / m123
    power = (
        3.70 + 7.49 * x - 1.89 * y - 15.49 * x**2 - 2.93 * x * y - 2.92 * y**2
        + 3.07 * x**3 + 13.15 * x**2 * y - 5.23 * x * y**2 + 3.12 * y**3
    )  # fmt: skip
    shape = (m23 / m123) ** (1 / 6) * (m3 / m13) ** 3.5 * (m123 / m12) ** (1 / 3) * (m13 / m123)
    return float(shape * np.exp(power))


def ionisation(count: int) -> Record:
    """Ionisation of circular binaries far above v_c, against the impulsive limit 40/9 pi a^2 (v_c / v)^2 (Hut 1983)."""
    fast = Scattering(
        (binary(fixed(0.0)), Part((STAR,))),
        Approach(fixed(12.0), Distribution("disk", {"high": 3.0}), scaled=True),
        seed=5,
    )
    found = cross_sections(run_encounters(fast, Settings(1e5), np.arange(count)), even_area=True)["ionisation"]
    return {
        "job": "ionisation of circular binaries, equal masses, v = 12 v_c",
        "encounters": count,
        "cross_section": [found.scaled, found.scaled_error],
        "impulsive_limit": 40.0 / 9.0,
        "sigmas": (found.scaled - 40.0 / 9.0) / found.scaled_error,
        "met": bool(abs(found.scaled - 40.0 / 9.0) < 3.0 * found.scaled_error),
    }


def relativity(repeats: int, many: int, few: int) -> Record:
    """Time black holes in lanes, in the general chain (which terms of spins keep, here of zero spins) and as Newtonian points."""
    sample = HOLES.sample(np.arange(many))
    ways: dict[str, tuple[tuple[str, ...], int]] = {
        "lanes": (TERMS, many),
        "lanes, all orders": ((*TERMS, "3", "3.5"), many),
        "general chain": ((*TERMS, "SO"), few),
        "newtonian lanes": ((), many),
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    last: dict[str, Any] = {}

    def once(terms: tuple[str, ...], which: slice) -> tuple[float, Any]:
        begin = time.process_time()
        end = evolve_batch(
            sample.mass[which], sample.position[which], sample.velocity[which], T_END, post_newtonian=terms,
            speed_of_light=LIGHT, stop=STOP, merger_distance=6.0 if terms else None,
        )  # fmt: skip
        return (time.process_time() - begin) / len(end), end

    with kernel_threads(1):
        for terms, _ in ways.values():
            once(terms, slice(0, 1))
        for repeat in range(repeats):
            for name, (terms, count) in ways.items():
                spent, last[name] = once(
                    terms, slice(0, count) if count == many else slice(few * repeat, few * (repeat + 1))
                )
                runs[name].append(spent)
    ms = {name: 1e3 * statistics.median(spent) for name, spent in runs.items()}
    wrong = np.abs(last["lanes"].energy_error)
    return {
        "job": f"binary-single encounters of equal black holes, thermal e, v = 0.5, b <= 6 a, c = {LIGHT:g}, terms {TERMS}, "
        "ended by escape, stability or merger, one core",
        "encounters": [many, few * repeats],
        "ms_per_encounter": ms,
        "ms_each_run": {name: [1e3 * t for t in spent] for name, spent in runs.items()},
        "chain_over_lanes": ms["general chain"] / ms["lanes"],
        "micro_steps_mean": {name: float(end.steps.mean()) for name, end in last.items()},
        "energy_less_work_error_p99": float(np.percentile(wrong, 99)),
        "energy_1pn_drift_median": [energy_1pn(c, min(many, 40)) for c in (LIGHT, 2.0 * LIGHT)],
        "met": bool(ms["lanes"] <= 1.0),
    }


def energy_1pn(c: float, count: int) -> float:
    """Return the median |dE/E| of the 1PN energy with 1PN terms alone, which leaves c^-4, from 40 a to t = 150."""
    sample = HOLES.sample(np.arange(count))
    terms = ("1", "1cross")
    end = evolve_batch(
        sample.mass, sample.position, sample.velocity, 150.0, post_newtonian=terms, speed_of_light=c, max_steps=10_000
    )
    states = (sample.position, sample.velocity), (end.position, end.velocity)
    before, after = (
        np.array([integrals(parse_terms(terms), sample.mass[k], x[k], v[k], G=1.0, c=c).energy for k in range(count)])
        for x, v in states
    )
    return float(np.median(np.abs((after - before) / before)))


def capture(count: int) -> Record:
    """2.5PN capture of two equal black holes at v = 1e-3 c, against the analytic cross section."""
    expected = capture_cross_section(0.5, 0.5, 1e-3)
    largest = 1.4 * (expected / np.pi) ** 0.5
    holes = Scattering(
        (Part((HOLE,)), Part((HOLE,))),
        Approach(fixed(1e-3), Distribution("disk", {"high": largest}), separation=2e4), seed=9, c=1.0,
    )  # fmt: skip
    settings = Settings(1e9, ("escape", "capture"), post_newtonian=("2.5",), merger_distance=6.0)
    for terms in (("2.5",), ("2.5", "SO")):
        run_encounters(holes, replace(settings, post_newtonian=terms), np.arange(1))
    begin = time.process_time()
    rows = run_encounters(holes, settings, np.arange(count))
    spent = (time.process_time() - begin) / count
    bound = np.isin(rows["outcome"], [OUTCOMES.index(name) for name in ("capture", "merger")])
    slow = replace(settings, post_newtonian=("2.5", "SO"))  # which the general chain takes
    begin = time.process_time()
    run_encounters(holes, slow, np.arange(count // 40))
    chain = (time.process_time() - begin) / (count // 40)
    share = float(bound.mean())
    sigma = np.pi * largest**2 * share
    error = np.pi * largest**2 * np.sqrt(share * (1.0 - share) / count)
    return {
        "job": "2.5PN capture of equal black holes, v = 1e-3 c",
        "encounters": count,
        "cross_section": [sigma, error],
        "analytic": expected,
        "sigmas": (sigma - expected) / error,
        "ms_per_encounter": 1e3 * spent,
        "ms_per_encounter_general_chain": 1e3 * chain,
        "met": bool(abs(sigma - expected) < 3.0 * error),
    }


def replays(count: int) -> Record:
    """Encounters of a batch run again alone: how many are equal in every bit of every column."""
    settings = Settings(T_END, STOP)
    rows = run_encounters(TIMED, settings, np.arange(2000))
    equal = 0
    for number in np.random.default_rng(1).choice(2000, count, replace=False):
        alone, _, track = replay(TIMED, settings, int(number))
        same = all(
            np.array_equal(v, rows[n][number : number + 1], equal_nan=v.dtype.kind == "f") for n, v in alone.items()
        )
        equal += int(same and len(track.time) == alone["steps"][0])
    return {"replayed": count, "bit_equal": equal, "met": equal == count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write results/ensemble.json")
    parser.add_argument("--quick", action="store_true", help="small numbers")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="these alone; a record keeps the others as they are")
    options = parser.parse_args()
    if options.quick and options.record:
        parser.error("--quick makes no record: leave one of --quick and --record away")
    quick = options.quick
    parts = {
        "timing": lambda: timing(1 if quick else 7),
        "replay": lambda: replays(10 if quick else 100),
        "ionisation": lambda: ionisation(20_000 if quick else 400_000),
        "hard": lambda: hard_cross_sections(500 if quick else 10_000),
        "peer_outcomes": lambda: peer_outcomes(20 if quick else 200),
        "relativity": lambda: relativity(1 if quick else 5, 100 if quick else 1000, 4 if quick else 20),
        "capture": lambda: capture(100 if quick else 2000),
    }
    if unknown := set(options.parts or ()) - set(parts):
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(parts)}")
    target = HERE / "results" / "ensemble.json"
    record: Record = json.loads(target.read_text()) if options.parts and target.exists() else {}
    record |= {"machine": machine() | {"load_before": os.getloadavg()}}
    record |= {"versions": versions("askel", "numpy", "numba", "rebound")}
    for name in options.parts or parts:
        record[name] = parts[name]() | {"date": datetime.now(UTC).isoformat(timespec="seconds")}
        print(name, json.dumps(record[name], indent=1), flush=True)
    if options.record:
        target.write_text(json.dumps(record, indent=1) + "\n")
        print(f"wrote {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
