"""Judging a trajectory against a reference trajectory: temperatures, structure, dynamics, each with block errors.

Works on arrays of any origin (``frames.make_frames``, ``read_frames``, ``frames_from_universe``,
``ase_bonds.frames_from_atoms``). ``model`` judges a model: one step, runs over seeds, speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...particles import InputError
from .conservation import energy_drift, mean_temperatures, momentum_change, temperatures
from .dynamics import (
    diffusion,
    diffusive,
    mean_squared_displacement,
    nyquist,
    overlap,
    own_overlap,
    peak_shifts,
    spectrum_length,
    vibrations,
)
from .failure import Failure, before_failure, durations, failure, ns_per_day, survival
from .files import Runs, as_runs
from .frames import FloatArray, Frames, blocks, static_blocks, subsample
from .report import NAN, Curve, Judgement, Row, Verdict, decide, difference_row
from .structure import (
    Distribution,
    angle_distributions,
    default_reach,
    difference_of_peak,
    hellinger,
    hellinger_within,
    internal_distributions,
    own_difference_of_peak,
    pair_distributions,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What passes.

    Attributes
    ----------
    temperature : relative, of all atoms and of each element
    rdf : mean absolute difference in units of the highest peak
    peak : cm^-1, shift of a vibrational peak
    diffusion : standard errors of the difference
    diffusion_known : the diffusion verdict is "unclear" where its bound is more than this fraction of the reference
    sampled : Hellinger distance; a distribution is "unclear" where sampling alone may make more than this
    failed : fraction of runs

    """

    temperature: float = 0.02
    rdf: float = 0.02
    peak: float = 10.0
    diffusion: float = 2.0
    diffusion_known: float = 0.5
    sampled: float = 0.2
    failed: float = 0.0


_READING = (
    "errors are standard errors over blocks; of distances between distributions (RDF, Hellinger) and of overlaps the column "
    "'reference' says what the finite sampling of the reference alone makes of 0 and 1"
)
Part = tuple[list[Row], list[Curve]]


def judge(
    trajectory: Runs,
    reference: Runs,
    *,
    temperature: float | None = None,
    wall_time: float | None = None,
    failures: Sequence[Failure | None] | None = None,
    discard: float = 0.0,
    bounds: Bounds | None = None,
    title: str = "",
) -> Judgement:
    """Judge runs against reference runs of the same system.

    Parameters
    ----------
    trajectory : frames, several independent runs of them, or a file
    reference : the same; frames at least as often as the judged (every whole fraction of its interval)
    temperature : K, of the thermostat; the reference's own mean when not given
    wall_time : seconds of all runs together, for ns/day
    failures : of each run, where known; found by ``failure.failure`` when not given. Frames after it are left out.
    discard : fs at the start of every run that are checked for failure and speed, but not measured
    bounds : see ``Bounds``
    title : heading

    Returns
    -------
    Judgement

    Raises
    ------
    InputError : no frames, or other atoms than the reference's

    """
    limits = Bounds() if bounds is None else bounds
    runs, truth = as_runs(trajectory), as_runs(reference, temperature)
    if not np.array_equal(runs[0].species, truth[0].species):
        raise InputError(
            "the trajectory and its reference hold other atoms; judge against a reference of the same system"
        )
    known = temperature is not None or truth[0].velocity is None or truth[0].n < 2
    wanted = temperature if known else mean_temperatures(truth)[0][0]
    found = [failure(r, wanted) for r in runs] if failures is None else list(failures)
    notes = [_READING]
    rows = _stability(runs, found, limits)
    skip = round(discard / runs[0].interval)
    kept = [before_failure(r, f) for r, f in zip(runs, found, strict=True)]
    sound = [r.part(slice(skip, None)) for r in kept if r is not None and len(r) > skip + 1]
    curves: list[Curve] = []
    if sound:
        for part in (
            _temperature(sound, truth, temperature, limits),
            _structure(sound, truth, limits),
            _dynamics(sound, truth, limits, notes),
        ):
            rows += part[0]
            curves += part[1]
    else:
        notes.append("every run failed before anything else could be measured")
    simulated = sum(durations(runs))
    facts = {"runs": len(runs), "interval_fs": runs[0].interval, "simulated_ps": simulated * 1e-3}
    if wall_time is not None:
        rows.append(Row("speed", "end to end", ns_per_day(simulated, wall_time), unit="ns/day"))
        facts["wall_s"] = wall_time
    return Judgement(title or "judgement against the reference", tuple(rows), tuple(curves), tuple(notes), facts)


# ---------------------------------------------------------------------- stability, temperatures


def _stability(runs: Sequence[Frames], failures: Sequence[Failure | None], limits: Bounds) -> list[Row]:
    found = survival(durations(runs), failures)
    half = (found.high - found.low) / 2.0
    why = "".join(f", {n} {reason}" for reason, n in found.reasons.items())
    rows = [
        Row(
            "stability", f"failed runs of {found.runs}{why}", found.fraction, half, "fraction (Wilson 95 %)",
            bound=limits.failed, compared="value", verdict=decide(found.fraction, limits.failed, 0.0),
        ),
        Row("stability", "shortest run", min(found.lasted) * 1e-3, unit="ps"),
    ]  # fmt: skip
    if runs[0].velocity is None:
        return rows
    kept = [cut for r, f in zip(runs, failures, strict=True) if (cut := before_failure(r, f)) is not None]
    changes = [momentum_change(r) for r in kept]
    if changes:
        rows.append(Row("stability", "change of momentum", max(p for p, _ in changes), unit="of Σ m v"))
        angular = [a for _, a in changes if a is not None]
        if angular:
            rows.append(Row("stability", "change of angular momentum", max(angular), unit="of Σ m r v"))
    if kept and kept[0].potential_energy is not None and min(len(r) for r in kept) > 4:
        drift = energy_drift(kept)
        rows.append(Row("stability", "energy drift", drift.slope, drift.slope_error, "meV/atom/ps", 0.0))
    return rows


def _temperature(runs: list[Frames], truth: list[Frames], wanted: float | None, limits: Bounds) -> Part:
    if runs[0].velocity is None or runs[0].n < 2:
        return [], []
    total, each = mean_temperatures(runs)
    known = truth[0].velocity is not None
    if wanted is None and not known:
        return [Row("temperature", "all atoms", *total, "K")], []
    their_total, their_each = ((wanted or 0.0, NAN), {}) if wanted is not None else mean_temperatures(truth)
    rows = [difference_row("temperature", "all atoms", total, their_total, limits.temperature * their_total[0], "K")]
    names = _names(runs[0])
    if len(each) > 1:
        for z, value in each.items():
            right = their_each.get(z, their_total)
            rows.append(difference_row("temperature", names[z], value, right, limits.temperature * right[0], "K"))
    return rows, _temperature_curves(runs, names, their_total[0])


def _temperature_curves(runs: list[Frames], names: dict[int, str], wanted: float, points: int = 60) -> list[Curve]:
    """Return the temperature of every element in time, averaged over the runs and over windows."""
    length = min(len(r) for r in runs)
    window = max(length // points, 1)
    series: dict[int, list[FloatArray]] = {z: [] for z in names}
    for run in runs:
        for z, value in temperatures(run.part(slice(0, length)))[1].items():
            series[z].append(value[: length // window * window].reshape(-1, window).mean(axis=1))
    curves = []
    for z, found in series.items():
        if found:
            time = np.asarray((np.arange(len(found[0])) + 0.5) * window * runs[0].interval * 1e-3)
            line: FloatArray = np.full(len(time), wanted)
            curves.append(
                Curve(
                    "temperature",
                    names[z],
                    time,
                    np.asarray(np.mean(found, axis=0)),
                    None,
                    time,
                    line,
                    None,
                    "time [ps]",
                    "T [K]",
                )
            )
    return curves


# ---------------------------------------------------------------------- structure


def _structure(runs: list[Frames], truth: list[Frames], limits: Bounds) -> Part:
    mine, theirs = static_blocks(runs), static_blocks(truth)
    span = sum(len(r) for r in runs) * runs[0].interval / truth[0].interval
    rows, curves = _pairs(mine, theirs, limits)
    for section, label, one, other in _distributions(mine, theirs):
        expected, most = hellinger_within(other, span)
        distance = hellinger(one.mean, other.mean)
        verdict = _within_sampling(distance, most, limits.sampled)
        name = f"{label}, Hellinger"
        rows.append(Row("structure", name, distance, NAN, "", expected, NAN, most, "value", verdict))
        unit = "length [Å]" if section == "bond" else "angle [°]"
        curves.append(_curve(section, label, one, other, unit, "density"))
    return rows, curves


def _within_sampling(distance: float, most: float, sampled: float) -> Verdict:
    if math.isnan(most):
        return ""
    if distance <= most:
        return "pass" if most <= sampled else "unclear"
    return "fail" if most <= sampled or distance > 2.0 * most else "unclear"


def _pairs(mine: list[Frames], theirs: list[Frames], limits: Bounds) -> Part:
    reach = default_reach(theirs[0])
    names = _names(mine[0])
    periodic = bool(mine[0].periodic.all())
    if not periodic:  # a molecule: all pairs as one distribution
        mine, theirs = ([replace(p, species=np.zeros_like(p.species)) for p in side] for side in (mine, theirs))
    one, other = pair_distributions(mine, reach), pair_distributions(theirs, reach)
    rows, curves = [], []
    for key, right in other.items():
        label = "-".join(names[z] for z in key) if periodic else "all pairs"
        value, expected = difference_of_peak(one[key], right), own_difference_of_peak(right)
        noise = math.hypot(*np.nan_to_num([own_difference_of_peak(one[key]), expected]))
        verdict = decide(value, limits.rdf, noise)
        name = f"RDF {label}, difference"
        rows.append(Row("structure", name, value, noise, "of peak", expected, NAN, limits.rdf, "value", verdict))
        curves.append(_curve("rdf", label, one[key], right, "r [Å]", "g(r)" if periodic else "h(r) [1/Å]"))
    return rows, curves


def _distributions(mine: list[Frames], theirs: list[Frames]) -> list[tuple[str, str, Distribution, Distribution]]:
    """Return (section, label, model's, reference's) of all angle, bond and dihedral distributions."""
    from .ase_bonds import bond_reach

    names = _names(theirs[0])
    found = []
    one, other = angle_distributions(mine, bond_reach), angle_distributions(theirs, bond_reach)
    for key, right in other.items():
        if key in one:
            found.append(("angle", "angle " + "-".join(names[z] for z in key), one[key], right))
    pattern = theirs[0]
    inner, outer = internal_distributions(mine, pattern), internal_distributions(theirs, pattern)
    found += [(label.split()[0], label, inner[label], right) for label, right in outer.items()]
    return found


def _curve(section: str, label: str, one: Distribution, other: Distribution, x_label: str, y_label: str) -> Curve:
    return Curve(
        section, label, one.x, one.mean, one.error, other.x, other.mean, other.error, x_label=x_label, y_label=y_label
    )


def _names(frames: Frames) -> dict[int, str]:
    from ...particles.io_ase import symbols

    return dict(zip(frames.elements, symbols(np.array(frames.elements)), strict=True))


# ---------------------------------------------------------------------- dynamics


def _dynamics(runs: list[Frames], truth: list[Frames], limits: Bounds, notes: list[str]) -> Part:
    rows: list[Row] = []
    curves: list[Curve] = []
    if runs[0].velocity is not None and truth[0].velocity is not None:
        part = _spectra(runs, truth, limits, notes)
        rows, curves = part
    if diffusive(truth):
        more = _diffusion(runs, truth, limits)
        rows += more[0]
        curves += more[1]
    return rows, curves


def _spectra(runs: list[Frames], truth: list[Frames], limits: Bounds, notes: list[str]) -> Part:
    try:
        thinned = subsample(truth, runs[0].interval)
    except InputError as mistake:
        notes.append(f"no spectra: of the reference, {mistake}")
        return [], []
    window = min(spectrum_length(runs), spectrum_length(thinned))
    if window < 32:
        notes.append(f"no spectra: a window of {window} frames is too short; make the runs and the reference longer")
        return [], []
    mine, theirs = vibrations(runs, window=window), vibrations(thinned, window=window)
    resolution = float(next(iter(theirs.values())).x[1])
    notes.append(
        f"spectra end at {nyquist(runs[0].interval):.0f} cm^-1, the Nyquist wavenumber of {runs[0].interval:g} fs, with a "
        f"point every {resolution:.1f} cm^-1; the reference was thinned to the same interval, so both fold what lies above"
    )
    rows, curves = [], []
    for z, name in _names(runs[0]).items():
        one, other = mine[z], theirs[z]
        rows.append(Row("dynamics", f"VDOS overlap {name}", overlap(one, other), reference=own_overlap(other)))
        shifts = peak_shifts(one, other)
        if shifts:
            worst = max(shifts, key=lambda s: abs(s.shift))
            verdict = decide(worst.shift, limits.peak, worst.error)
            label = f"VDOS peak {name} (worst of {len(shifts)})"
            rows.append(
                Row(
                    "dynamics",
                    label,
                    worst.model,
                    worst.error,
                    "cm^-1",
                    worst.reference,
                    NAN,
                    limits.peak,
                    verdict=verdict,
                )
            )
        curves.append(_curve("vdos", name, one, other, "wavenumber [1/cm]", "VDOS [cm]"))
    return rows, curves


def _diffusion(runs: list[Frames], truth: list[Frames], limits: Bounds) -> Part:
    spans = [sum(durations(r)) for r in (runs, truth)]
    counts = [max(round(5 * s / min(spans)), 2) for s in spans]
    rows = []
    for z, name in _names(runs[0]).items():
        value, right = (diffusion(r, z, count=c) for r, c in zip((runs, truth), counts, strict=True))
        bound = limits.diffusion * math.hypot(value[1], right[1])
        row = difference_row("dynamics", f"diffusion {name}", value, right, bound, "1e-9 m²/s")
        vague = not bound <= limits.diffusion_known * abs(right[0])
        verdict: Verdict = "fail" if abs(value[0] - right[0]) > bound else ("unclear" if vague else "pass")
        rows.append(replace(row, verdict=verdict))
    return rows, [_displacement_curve(runs, truth)]


def _displacement_curve(runs: list[Frames], truth: list[Frames], points: int = 200) -> Curve:
    """Return the mean over blocks, but much shorter ones, of each side."""
    sides: list[FloatArray] = []
    for side in (runs, truth):
        pieces = blocks(side, 5, shortest=20)
        whole = [p for p in pieces if len(p) > 0.9 * max(map(len, pieces))]
        last = min(map(len, whole)) // 2
        curve = np.mean([mean_squared_displacement(p)[:last] for p in whole], axis=0)
        every = max(last // points, 1)
        sides += [np.asarray(np.arange(last)[::every] * whole[0].interval * 1e-3, float), curve[::every]]
    return Curve(
        "displacement", "all atoms", sides[0], sides[1], None, sides[2], sides[3], None, "lag [ps]", "MSD [Å²]"
    )
