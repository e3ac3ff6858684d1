"""Fast multipole gravity: time, error, growth and momentum, against pytreegrav at equal error in the same run.

Plummer and Hernquist spheres, one thread, softening 0.01. Errors are relative, of accelerations, for 1,500 random particles
against direct summation with the same softening law; pytreegrav's against its own. Times are processor time, the shortest of a
few turns in which the codes alternate. pytreegrav is run at several opening angles, with and without quadrupoles, and
its time at Askel's rms error is read off its fastest curve (straight lines between logarithms).

    python benchmarks/gravity.py --record          # minutes; results/gravity.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numba
import numpy as np
from askel.integrators import Evaluation
from askel.nbody import DirectGravity, Fmm
from askel.nbody._kernels import fmm_cpu, fmm_leaf_cpu, fmm_trees_cpu
from askel.nbody._kernels.expansion_tables import LANES, size, tables, width
from askel.particles import Particles
from machine import machine, versions

SOFTENING = 0.01
SAMPLE = 1500
ASKED = (1e-2, 1e-3, 1e-4)
PEER = ((0.8, False), (0.6, False), (0.8, True), (0.6, True))


def sphere(model: str, n: int) -> Particles:
    """Return a sphere of mass 1 and scale radius 1, cut where 99.9 % (Plummer) or 98 % (Hernquist) of the mass is."""
    rng = np.random.default_rng(n)
    share = rng.random(n)
    if model == "plummer":
        radius = 1.0 / np.sqrt((0.999 * share) ** (-2.0 / 3.0) - 1.0)
    else:
        root = np.sqrt(0.98 * share)
        radius = root / (1.0 - root)
    direction = rng.normal(size=(n, 3))
    position = radius[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None]
    return Particles(np.full(n, 1.0 / n), position, np.zeros((n, 3)), softening=np.full(n, SOFTENING))


def exact(particles: Particles, which: np.ndarray) -> np.ndarray:
    """Return accelerations of some particles by direct summation, Plummer's law."""
    result = np.empty((len(which), 3))
    for k, i in enumerate(which):
        r = particles.position - particles.position[i]
        result[k] = (particles.mass / ((r * r).sum(axis=1) + SOFTENING**2) ** 1.5) @ r
    return result


def spread(found: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    error = np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)
    return {
        "rms": float(np.sqrt((error**2).mean())),
        "median": float(np.median(error)),
        "percentile_99": float(np.quantile(error, 0.99)),
    }


def shortest(calls: list, turns: int) -> tuple[list[float], list]:
    """Return the shortest processor time of each call, and what it gave; all are called once before."""
    given = [call() for call in calls]
    best = [np.inf] * len(calls)
    for _ in range(turns):
        for k, call in enumerate(calls):
            start = time.process_time()
            call()
            best[k] = min(best[k], time.process_time() - start)
    return best, given


def rows_of(model: str, n: int, turns: int, with_peer: bool) -> dict:
    """Return all that is measured of one sphere."""
    particles = sphere(model, n)
    which = np.random.default_rng(1).choice(n, min(SAMPLE, n), replace=False)
    out = Evaluation(n)
    kinds = [Fmm(relative_error=asked) for asked in ASKED]
    calls = [lambda kind=kind: kind.evaluate(particles, out) for kind in kinds]
    if with_peer:
        from pytreegrav import Accel, AccelTarget

        given = (particles.position, particles.mass, np.full(n, SOFTENING))
        peers = [
            lambda theta=theta, quadrupole=quadrupole: Accel(
                *given, theta=theta, quadrupole=quadrupole, parallel=False, method="tree"
            )
            for theta, quadrupole in PEER
        ]
        calls += peers
    seconds, found = shortest(calls, turns)
    reference = exact(particles, which)
    askel = []
    for asked, kind, taken in zip(ASKED, kinds, seconds, strict=False):
        kind.evaluate(particles, out)
        force = particles.mass[:, None] * out.acceleration
        row = {"asked": asked, "order": kind.order, "seconds": taken, **spread(out.acceleration[which], reference)}
        row["net_force"] = float(np.abs(force.sum(axis=0)).max() / np.abs(force).sum())
        askel.append(row | census(particles, kind))
    result = {"model": model, "n": n, "askel": askel}
    if with_peer:
        theirs = AccelTarget(
            particles.position[which], particles.position, particles.mass, softening_target=np.full(len(which), SOFTENING),
            softening_source=given[2], method="bruteforce", parallel=False,
        )  # fmt: skip
        result["pytreegrav"] = [
            {"theta": theta, "quadrupole": quadrupole, "seconds": taken, **spread(field[which], theirs)}
            for (theta, quadrupole), field, taken in zip(PEER, found[len(ASKED) :], seconds[len(ASKED) :], strict=True)
        ]
        for row in askel:
            row["pytreegrav_seconds_at_equal_rms"] = at_error(result["pytreegrav"], row["rms"])
            row["ratio"] = row["pytreegrav_seconds_at_equal_rms"] / row["seconds"]
    return result


def at_error(rows: list[dict], rms: float) -> float:
    """Return the time of the faster one of two curves, monopole and quadrupole, at an rms error."""
    times = []
    for quadrupole in (False, True):
        curve = sorted((np.log(r["rms"]), np.log(r["seconds"])) for r in rows if r["quadrupole"] is quadrupole)
        x, y = np.array(curve).T
        k = int(np.clip(np.searchsorted(x, np.log(rms)), 1, len(x) - 1))
        times.append(y[k - 1] + (y[k] - y[k - 1]) * (np.log(rms) - x[k - 1]) / (x[k] - x[k - 1]))
    return float(np.exp(min(times)))


@numba.njit
def _count(tree, order, coherence, leaf_size):
    """Count M2L translations, pairs of particles, and visited sinks."""
    cells, most = tree.cells, len(tree.cells)
    pool, extra = np.empty(64 * most, np.int64), np.empty(most, np.int64)
    far, near, frame = np.empty(most + 8, np.int64), np.empty(2 * most, np.int64), np.empty((most, 3), np.int64)
    pool[0], frame[0, 0], frame[0, 1], frame[0, 2], frames = 0, 0, 0, 1, 1
    translations = pairs = 0
    while frames > 0:
        frames -= 1
        c, start, stop = frame[frames, 0], frame[frames, 1], frame[frames, 2]
        n_far, n_near, end, itself = fmm_cpu._sort_out(
            c, tree, tree, True, 0, order, coherence, leaf_size, start, stop, pool, extra, far, near
        )
        translations += n_far
        sources = cells[c, 1] - cells[c, 0] if itself else 0
        for k in range(n_near):
            sources += near[2 * k + 1] - near[2 * k]
        pairs += sources * (cells[c, 1] - cells[c, 0])
        for child in range(cells[c, 2], cells[c, 3]):
            frame[frames, 0], frame[frames, 1], frame[frames, 2] = child, stop, end
            frames += 1
    return translations, pairs


def census(particles: Particles, kind: Fmm) -> dict[str, float]:
    """Return how much of which work there is, how long its two inner loops would take alone, and the time of its parts."""
    tolerance, coherence = kind._accuracy
    T, scale = tables(kind.order), fmm_leaf_cpu.scale_of(particles.position, particles.softening)
    nothing, roots = fmm_trees_cpu.empty_tree(0, 0, kind.order), np.zeros(0, np.int64)
    start = time.process_time()
    _, tree = fmm_trees_cpu.plant(particles.mass, particles.position, particles.softening, scale, False, kind.leaf_size)
    tree = fmm_trees_cpu.grow(tree, nothing, roots, False, T, kind.order, tolerance)
    grown = time.process_time()
    total = np.zeros((particles.n, 4))
    fmm_cpu.walk(tree, tree, np.zeros(1, np.int64), True, 0, T, kind.order, coherence, 0, kind.leaf_size, total)
    walked = time.process_time()
    _count(tree, kind.order, coherence, kind.leaf_size)
    counted = time.process_time()
    translations, pairs = _count(tree, kind.order, coherence, kind.leaf_size)
    verdicts = time.process_time() - counted
    peak = peaks(kind.order)
    return {
        "translations": int(translations),
        "pairs": int(pairs),
        "seconds_tree_and_moments": grown - start,
        "seconds_walk": walked - grown,
        "seconds_verdicts_alone": verdicts,
        "seconds_translations_alone": translations / peak["translations_per_second"],
        "seconds_pairs_alone": pairs / peak["pairs_per_second"],
        **peak,
    }


@numba.njit
def _pulls(tree, total):
    fmm_leaf_cpu._direct(tree, 0, 0, len(total), total, None)


@numba.njit
def _translations(order, rows, place, sources, lanes):
    fmm_cpu._translate(order, rows, place, sources, len(sources), lanes)


def peaks(order: int) -> dict[str, float]:
    """Return the speed of the two inner loops alone, on data that the fastest cache holds."""
    particles = sphere("plummer", 1024)
    _, tree = fmm_leaf_cpu._unsorted(particles.mass, particles.position, particles.softening, 1.0, False)
    total = np.zeros((1024, 4))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(65, width(order))) + 10.0
    arguments = (order, rows, rng.normal(size=5), np.arange(64), np.zeros((size(order), LANES)))
    calls = [lambda: _pulls(tree, total), lambda: [_translations(*arguments) for _ in range(200)]]
    (pulls, translations), _ = shortest(calls, 9)
    return {"pairs_per_second": 1024**2 / pulls, "translations_per_second": 200 * 64 / translations}


def crossover() -> list[dict[str, float]]:
    """Return times of one leaf, of the tree and of direct summation at small sizes."""
    rows = []
    for n in (64, 256, 1024, 4096, 8192):
        particles, out = sphere("plummer", n), Evaluation(n)
        kinds = (Fmm(leaf_size=n), Fmm(leaf_size=48), DirectGravity())
        seconds, _ = shortest([lambda k=k, p=particles, o=out: k.evaluate(p, o) for k in kinds], 9)
        rows.append({"n": n, **dict(zip(("one_leaf", "tree", "direct"), seconds, strict=True))})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5, 1e6])
    parser.add_argument("--peer-up-to", type=float, default=1e6)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    numba.set_num_threads(1)
    results = []
    for model in ("plummer", "hernquist"):
        for n in map(int, arguments.sizes):
            result = rows_of(model, n, arguments.turns, n <= arguments.peer_up_to)
            results.append(result)
            for row in result["askel"]:
                print(
                    f"{model} n = {n}: asked {row['asked']:g}, {row['seconds']:.3f} s, rms {row['rms']:.2e}, "
                    f"99 % {row['percentile_99']:.1e}, "
                    f"net force {row['net_force']:.0e}, {row.get('ratio', np.nan):.1f} x pytreegrav",
                    flush=True,
                )
    growth = {}
    for model in ("plummer", "hernquist"):
        chosen = [(r["n"], r["askel"][1]["seconds"]) for r in results if r["model"] == model]
        if len(chosen) > 1:
            (a, s), (b, t) = chosen[-2:]
            growth[model] = float(np.log(t / s) / np.log(b / a))
    print("growth with n:", growth)
    if arguments.record:
        record = {"machine": machine(), "versions": versions("askel", "numba", "numpy", "pytreegrav"), "threads": 1}
        record |= {"softening": SOFTENING, "growth_exponent": growth, "crossover": crossover(), "results": results}
        target = Path(__file__).parent / "results" / "gravity.json"
        target.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
