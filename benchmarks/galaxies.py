"""Initial conditions: accuracy of distribution functions, speed of sampling, and the picture of the guide.

    python benchmarks/galaxies.py [--record] [--draw]

Accuracy: f(E) by Eddington's inversion against the closed forms of Plummer and Hernquist. Speed: 100,000 particles of
Hernquist's model, distribution function included, in turn with galpy's ``isotropicHernquistdf`` (closed form of f), and of an
NFW halo with galpy's ``eddingtondf`` of a truncated power law, where galpy is installed (``pip install galpy``).
``--record`` writes ``results/galaxies.json``; ``--draw`` draws ``docs/images/initial_conditions.png``.
"""

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from askel.nbody.initial_conditions import (
    NFW,
    BlackHole,
    Component,
    Galaxy,
    Hernquist,
    King,
    Plummer,
    Potential,
    invert,
)
from askel.particles.pictures import STYLE
from machine import machine, versions

HERE = Path(__file__).parent
RECORD, PICTURE = HERE / "results" / "galaxies.json", HERE.parent / "docs" / "images" / "initial_conditions.png"
N, PICTURED_N, ROUNDS = 100_000, 300_000, 5
#: name -> galaxy; the first component is drawn
PICTURED = {
    "Plummer": Galaxy([Component(Plummer(1.0, 1.0), PICTURED_N)]),
    "King, $W_0 = 6$": Galaxy([Component(King(1.0, 1.0, 6.0), PICTURED_N)]),
    "Hernquist": Galaxy([Component(Hernquist(1.0, 1.0), PICTURED_N)]),
    "Hernquist around a black hole of 0.1": Galaxy([Component(Hernquist(1.0, 1.0), PICTURED_N)], BlackHole(0.1)),
    "Hernquist, $r_a = 0.5$": Galaxy([Component(Hernquist(1.0, 1.0), PICTURED_N, anisotropy_radius=0.5)]),
    "NFW, $r_t = 10$": Galaxy([Component(NFW(1.0, 1.0, 10.0), PICTURED_N)]),
}


def accuracy() -> dict[str, float]:
    """Return the largest relative error of f(E) between 2 % and 98 % of the depth, by model."""
    errors = {}
    for model in (Plummer(1.0, 1.0), Hernquist(1.0, 1.0)):
        energy = np.linspace(0.02, 0.98, 2000)
        found, exact = invert(model, Potential((model,)))(energy), model.distribution_function(energy)
        errors[type(model).__name__] = float(np.abs(found / exact - 1.0).max())
    return errors


def peers() -> dict[str, Any]:
    """Return name -> function that samples with galpy; nothing when it is not installed."""
    try:
        from galpy.df import eddingtondf, isotropicHernquistdf
        from galpy.potential import HernquistPotential, NFWPotential
    except ImportError:
        return {}
    hernquist = HernquistPotential(amp=2.0, a=1.0)
    nfw = NFWPotential(amp=1.0, a=1.0)
    return {
        "hernquist": lambda: isotropicHernquistdf(pot=hernquist).sample(n=N, return_orbit=False),
        "nfw": lambda: eddingtondf(pot=nfw, rmax=50.0).sample(n=N, return_orbit=False),
    }


def speed() -> dict[str, Any]:
    """Return seconds of sampling, medians of rounds in turn."""
    ours = {
        "hernquist": lambda: Galaxy([Component(Hernquist(1.0, 1.0), N, cut_radius=200.0)]).sample(),
        "nfw": lambda: Galaxy([Component(NFW(1.0, 1.0, 10.0), N)]).sample(),
    }
    theirs, figures = peers(), {}
    for name, sample in ours.items():
        both = {"askel_s": sample} | ({"galpy_s": theirs[name]} if theirs else {})
        times: dict[str, list[float]] = {key: [] for key in both}
        for _ in range(ROUNDS):
            for key, run in both.items():
                start = time.perf_counter()
                run()
                times[key].append(time.perf_counter() - start)
        row = {key: float(np.median(values)) for key, values in times.items()}
        figures[name] = row | ({"ratio": row["askel_s"] / row["galpy_s"]} if theirs else {})
    return figures


def radial_dispersion(galaxy: Galaxy, r: np.ndarray) -> np.ndarray:
    """Return sigma_r of the first component by Jeans' equation."""
    component = galaxy.components[0]
    profile, ra = component.profile, component.anisotropy_radius
    node, weight = np.polynomial.legendre.leggauss(400)
    half = 0.5 * np.log(min(profile.extent, 1e5) / r)[:, None]
    s = r[:, None] * np.exp(half * (1.0 + node))
    pull = (1.0 + (s / ra) ** 2) * profile.density(s) * galaxy.potential.enclosed_mass(s) / s
    return np.sqrt(np.sum(weight * half * pull, axis=1) / (profile.density(r) * (1.0 + (r / ra) ** 2)))


def sampled(galaxy: Galaxy, seed: int) -> tuple[np.ndarray, ...]:
    """Return radius, density, radial dispersion and anisotropy in shells evenly spaced in ln r."""
    state = galaxy.sample(seed=seed, sampling="quiet")
    stars = state.select(np.arange(PICTURED_N))
    radius = np.linalg.norm(stars.position, axis=1)
    radial = np.sum(stars.position * stars.velocity, axis=1) / radius
    tangential = np.sum(stars.velocity**2, axis=1) - radial**2
    edges = np.geomspace(*np.quantile(radius, (0.01, 0.998)), 26)
    inside = [(radius > low) & (radius < high) for low, high in pairwise(edges)]
    density = np.array([stars.mass[s].sum() for s in inside]) / (4.0 / 3.0 * np.pi * np.diff(edges**3))
    square = np.array([np.mean(radial[s] ** 2) for s in inside])
    beta = 1.0 - np.array([np.mean(tangential[s]) for s in inside]) / (2.0 * square)
    return np.sqrt(edges[:-1] * edges[1:]), density, np.sqrt(square), beta


def draw(path: Path) -> None:
    """Draw sampled against analytic profiles."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(11.0, 3.6), layout="constrained")
        for k, (name, galaxy) in enumerate(PICTURED.items()):
            component, colour = galaxy.components[0], f"C{k}"
            middle, density, dispersion, beta = sampled(galaxy, k)
            r = np.geomspace(middle[0], middle[-1], 200)
            panels[0].loglog(r, component.profile.density(r), colour, lw=1.2)
            panels[0].loglog(middle, density, "o", color=colour, ms=3, label=name)
            panels[1].loglog(r, radial_dispersion(galaxy, r), colour, lw=1.2)
            panels[1].loglog(middle, dispersion, "o", color=colour, ms=3)
            panels[2].semilogx(r, r**2 / (r**2 + component.anisotropy_radius**2), colour, lw=1.2)
            panels[2].semilogx(middle, beta, "o", color=colour, ms=3)
        for panel, title in zip(panels, ("density", "radial velocity dispersion", "anisotropy"), strict=True):
            panel.set_title(title)
            panel.set_xlabel("radius")
        panels[0].legend()
        figure.savefig(path, dpi=130)


def main() -> None:
    """Measure, print, and record or draw when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--draw", action="store_true", help="only draw the picture")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(PICTURE)
        return
    record = {
        "machine": machine(),
        "versions": versions("numpy", "scipy", "galpy"),
        "n": N,
        "error_of_f": accuracy(),
        "sampling": speed(),
    }
    print(json.dumps({k: record[k] for k in ("error_of_f", "sampling")}, indent=1))
    if arguments.record:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
