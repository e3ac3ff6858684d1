"""Running encounters by their numbers: columns of results, one row each, and any one of them again with its whole path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ensemble import Ensemble, Track, evolve_batch
from .ensemble_outcomes import OUTCOMES, classify, is_resonance, kicks
from .scattering import IntArray, Sample, Scattering
from .scattering_cross_sections import CrossSection, cross_section

Columns = dict[str, NDArray]


@dataclass(frozen=True, slots=True)
class Settings:
    """How encounters are integrated and when they end; as the arguments of ``evolve_batch``."""

    t_end: float
    stop: tuple[str, ...] = ("escape",)
    tolerance: float = 1e-12
    backend: str = "cpu"
    post_newtonian: tuple[str, ...] = ()
    tide: float = 1e-4
    merger_distance: float | None = None
    max_steps: int = 10_000_000


def run_encounters(scattering: Scattering, settings: Settings, numbers: IntArray) -> Columns:
    """Run encounters and return a row for each.

    Parameters
    ----------
    scattering : Scattering
    settings : Settings
    numbers : (k,) which encounters

    Returns
    -------
    name -> (k, ...) ; ``encounter`` is the number, ``outcome`` and ``reason`` are indices into ``OUTCOMES`` and ``REASONS``,
    ``drawn_...`` is what was drawn, ``kick`` and ``escape_velocity`` come from ``kicks``, the rest is as in ``Ensemble``

    Raises
    ------
    InputError : values drawn, or settings, that cannot be used

    """
    sample = scattering.sample(numbers)
    return _rows(scattering, numbers, sample, _integrate(scattering, settings, sample, 0))


def replay(
    scattering: Scattering, settings: Settings, number: int, most_steps: int = 1_000_000
) -> tuple[Columns, Sample, Track]:
    """Run one encounter alone; return its row, equal to the batch's to the last bit, its start, and every micro-step."""
    sample = scattering.sample(np.array([number]))
    ensemble = _integrate(scattering, settings, sample, most_steps)
    assert ensemble.track is not None
    return _rows(scattering, np.array([number]), sample, ensemble), sample, ensemble.track


def _integrate(scattering: Scattering, settings: Settings, sample: Sample, track: int) -> Ensemble:
    return evolve_batch(
        sample.mass, sample.position, sample.velocity, settings.t_end, tolerance=settings.tolerance,
        backend=settings.backend, post_newtonian=settings.post_newtonian, speed_of_light=scattering.c, stop=settings.stop,
        spin=sample.spin, radius=sample.radius, black_hole=sample.black_hole, merger_distance=settings.merger_distance,
        tide=settings.tide, max_steps=settings.max_steps, gravitational_constant=scattering.G, track=track,
    )  # fmt: skip


def _rows(scattering: Scattering, numbers: IntArray, sample: Sample, e: Ensemble) -> Columns:
    after = kicks(e, sample.mass, scattering.G)
    compactness = e.hardest / scattering.c**2 if scattering.c else np.full(len(e), np.nan)
    rows: Columns = {
        "encounter": numbers.astype(np.int64),
        "outcome": classify(e, scattering.initial_tops).astype(np.int8),
        "resonance": is_resonance(e).astype(np.int8),
        "reason": e.reason.astype(np.int8),
        "time": e.time,
        "energy_error": e.energy_error,
        "closest_approach": e.closest,
        "closest_pair": e.closest_pair.astype(np.int8),
        "peak_compactness": compactness,
        "steps": e.steps,
        "rejected_steps": e.rejected,
        "size_minima": e.minima.astype(np.int32),
        "part": e.tops.astype(np.int8),
        "semi_major_axis": e.orbits[:, :, 0],
        "eccentricity": e.orbits[:, :, 1],
        "inclination": e.orbits[:, :, 2],
        "stability_margin": e.orbits[:, :, 3],
        "orbit_members": e.members.astype(np.int32),
        "kick": after.speed,
        "escape_velocity": after.relative,
        "mass": sample.mass,
        "position": e.position,
        "velocity": e.velocity,
    }
    return rows | {f"drawn_{name}": values for name, values in sample.drawn.items()}


#: Columns from which cross sections follow.
NEEDED = (
    "outcome",
    "resonance",
    "drawn_largest_impact_parameter",
    "drawn_scale",
    "drawn_velocity",
    "drawn_critical_velocity",
)


def cross_sections(rows: Columns, *, even_area: bool) -> dict[str, CrossSection]:
    """Return the cross section of every outcome that happened, and of resonances.

    Parameters
    ----------
    rows : columns, of which ``NEEDED``, as far as they are there
    even_area : whether impact parameters are even over an area that begins at zero

    """
    b_max = rows.get("drawn_largest_impact_parameter") if even_area else None
    scale, speed = rows.get("drawn_scale"), None
    if b_max is not None and scale is not None and (scale > 0.0).all():
        speed = rows["drawn_velocity"] / rows["drawn_critical_velocity"]
    found = {
        name: cross_section(rows["outcome"] == i, b_max, scale, speed)
        for i, name in enumerate(OUTCOMES)
        if (rows["outcome"] == i).any()
    }
    if rows["resonance"].any():
        found["resonance"] = cross_section(rows["resonance"] > 0, b_max, scale, speed)
    return found
