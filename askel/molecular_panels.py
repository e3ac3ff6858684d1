"""The panels of ``askel plot`` for atoms: temperature by element, energy, pair distributions, vibrations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .molecules import FloatArray, Molecules
from .panels import COLOURS
from .particles import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WINDOWS = 80  # points of a smoothed series
_LEAST_WINDOW = 32  # frames of a spectrum's window
_MOST_PAIRS = 6
_BOND = 4.0  # times the other peaks: so high is a bond


def draw(picture: Figure, molecules: Molecules) -> None:
    """Draw what there is of the panels into a figure."""
    panels = []
    if molecules.temperature:
        panels.append(temperatures)
    if len(molecules.energy) > 1:
        panels.append(energy)
    panels.append(pairs)
    spectra = _spectra(molecules)
    cells = picture.add_gridspec(2, 2)
    places = [cells[0, 0], cells[0, 1], cells[1, 0], cells[1, 1]]
    wanted = len(panels) + bool(spectra)
    if wanted == 3:
        places = [cells[0, :], cells[1, 0], cells[1, 1]]
    elif wanted <= 2:
        places = [cells[0, :], cells[1, :]]
    for panel, place in zip(panels, places, strict=False):
        panel(picture.add_subplot(place), molecules)
    if spectra:
        _draw_spectra(picture.add_subplot(places[len(panels)]), molecules, spectra)


def _colours(molecules: Molecules) -> dict[str, str]:
    from .particles.io_ase import symbols

    names = symbols(np.array(molecules.frames.elements))
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}


def temperatures(axes: Axes, molecules: Molecules) -> None:
    """Draw the temperature of every element: each value pale, means over windows full; the band is 2 % of the target."""
    time, colours = molecules.temperature_time, _colours(molecules)
    series = {name: molecules.temperature[name] for name in colours if name in molecules.temperature}
    if len(series) < 2:
        series = {"all": molecules.temperature["all"]}
    reach = []
    for name, values in series.items():
        colour = colours.get(name, COLOURS[0])
        axes.plot(time, values, color=colour, linewidth=0.5, alpha=0.25)
        label = f"{'all atoms' if name == 'all' else name}: mean {np.nanmean(values):.0f} K"
        when, means = _windows(time, values)
        axes.plot(when, means, color=colour, linewidth=1.5, label=label)
        reach += [float(np.nanmin(means)), float(np.nanmax(means))]
    if molecules.target is not None:
        axes.axhspan(
            0.98 * molecules.target, 1.02 * molecules.target, color="#bbbbbb", alpha=0.5, linewidth=0, zorder=0
        )
    room = 0.15 * (max(reach) - min(reach)) + 1.0  # single values of few atoms scatter far beyond
    axes.set_ylim(max(min(reach) - room, 0.0), max(reach) + room)
    axes.set(title="Temperature by element", xlabel="time [ps]", ylabel="T [K]")
    _fit(axes, time)
    axes.legend(loc="best", ncols=2)


def _windows(time: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means over about ``_WINDOWS`` windows of a series."""
    width = max(len(values) // _WINDOWS, 1)
    cut = len(values) // width * width
    return time[:cut].reshape(-1, width).mean(axis=1), values[:cut].reshape(-1, width).mean(axis=1)


def energy(axes: Axes, molecules: Molecules) -> None:
    """Draw kinetic + potential energy less the work of the thermostat, from its value at the start, per atom."""
    net = 1e3 * (molecules.energy - molecules.energy[0]) / molecules.frames.n
    axes.plot(molecules.energy_time, net, color="#444444", linewidth=1.0)
    axes.axhline(0.0, color="#999999", linewidth=0.6)
    axes.set(title="Energy less the thermostat's work", xlabel="time [ps]", ylabel="E − W − E₀ [meV/atom]")
    _fit(axes, molecules.energy_time)


def pairs(axes: Axes, molecules: Molecules) -> None:
    """Draw the radial distribution of every pair of elements; of molecules, the density of all distances."""
    from .md.judging.frames import static_blocks
    from .md.judging.structure import default_reach, pair_distributions
    from .particles.io_ase import symbols

    frames = molecules.frames
    solid = bool(frames.periodic.all())
    if not solid:
        frames = replace(frames, species=np.zeros_like(frames.species))
    found = pair_distributions(static_blocks([frames]), default_reach(frames))
    for k, (key, one) in enumerate(list(found.items())[:_MOST_PAIRS]):
        label = "–".join(symbols(np.array(key))) if solid else "all atoms"
        colour = COLOURS[k % len(COLOURS)]
        mean, error = one.mean, np.nan_to_num(one.error)
        axes.fill_between(one.x, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, linewidth=0)
        axes.plot(one.x, mean, color=colour, linewidth=1.3, label=label)
    axes.set(title="Pair distributions", xlabel="r [Å]", ylabel="g(r)" if solid else "density of distances [1/Å]")
    axes.set_ylim(bottom=0.0)
    if solid:
        _cut_bonds(axes, [one.mean for one in found.values()])
    begins = min(float(one.x[np.argmax(one.mean > 1e-3 * one.mean.max())]) for one in found.values())
    axes.set_xlim(0.8 * begins, max(float(one.x[-1]) for one in found.values()))
    axes.legend(loc="best")


def _cut_bonds(axes: Axes, curves: list[FloatArray]) -> None:
    """End the axis above what is not bonded, where peaks of bonds would hide it, and say how high they reach."""
    highest = max(float(g.max()) for g in curves)
    rest = max(_past_the_bond(g) for g in curves)
    if highest > _BOND * rest > 0.0:
        axes.set_ylim(0.0, 1.3 * rest)
        said = axes.text(0.02, 0.97, f"bonds reach {highest:.0f}", transform=axes.transAxes, va="top", color="#666666")
        said.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0})


def _past_the_bond(g: FloatArray) -> float:
    """Return the greatest value past the first gap behind the greatest one, or the greatest one where there is no gap."""
    peak = int(np.argmax(g))
    gap = np.flatnonzero(g[peak:] < 0.02 * g[peak])
    return float(g[peak + gap[0] :].max()) if len(gap) else float(g[peak])


def _spectra(molecules: Molecules) -> dict[int, tuple[FloatArray, FloatArray]]:
    """Return the vibrational density of states of every element, or nothing where frames are too few."""
    from .md.judging.dynamics import spectrum_length, vibrations

    frames = molecules.frames
    if frames.velocity is None or len(frames) < 2 or spectrum_length([frames]) < _LEAST_WINDOW:
        return {}
    try:
        found = vibrations([frames])
    except InputError:
        return {}
    return {z: (one.x, one.mean) for z, one in found.items()}


def _draw_spectra(axes: Axes, molecules: Molecules, spectra: dict[int, tuple[FloatArray, FloatArray]]) -> None:
    from .md.judging.dynamics import nyquist
    from .particles.io_ase import symbols

    limit = nyquist(molecules.frames.interval)
    colours = _colours(molecules)
    for z, (x, density) in spectra.items():
        name = symbols(np.array([z]))[0]
        axes.plot(x, 1e3 * density, color=colours[name], linewidth=1.2, label=name)
    axes.set(
        title="Vibrational density of states",
        xlabel=f"wavenumber [1/cm], Nyquist {limit:.0f} (frames every {molecules.frames.interval:.3g} fs)",
        ylabel="VDOS [10⁻³ cm]",
    )
    highest = max(float(x[np.searchsorted(np.cumsum(d), 0.98 * d.sum())]) for x, d in spectra.values())
    axes.set_xlim(0.0, min(1.15 * highest, limit))
    axes.set_ylim(bottom=0.0)
    axes.legend(loc="best")


def _fit(axes: Axes, time: FloatArray) -> None:
    if len(time) > 1:
        axes.set_xlim(float(time[0]), float(time[-1]))
