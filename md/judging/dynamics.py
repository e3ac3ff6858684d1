"""Dynamics: vibrational density of states and its peaks, mean squared displacement, self-diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...particles import InputError
from .frames import BLOCKS, FloatArray, Frames, blocks, mean_and_error, unwrap
from .structure import Distribution

#: speed of light in cm/fs (exact)
LIGHT = 2.99792458e-5
#: Angstrom^2/fs in 1e-9 m^2/s
DIFFUSION_UNIT = 1e4
#: wanted resolution of a spectrum, cm^-1 (distance of its points), where the runs are long enough
RESOLUTION = 4.0


def nyquist(interval: float) -> float:
    """Return the highest wavenumber in cm^-1 that frames every ``interval`` fs resolve: 1/(2 c interval)."""
    return 1.0 / (2.0 * LIGHT * interval)


# ---------------------------------------------------------------------- vibrations


def spectrum_length(runs: Sequence[Frames], resolution: float = RESOLUTION, least_windows: int = 4) -> int:
    """Return the number of frames of a window: 1/(c resolution), or what leaves ``least_windows`` in all the runs."""
    wanted = round(1.0 / (LIGHT * resolution * runs[0].interval))
    longest, total = max(len(r) for r in runs), sum(len(r) for r in runs)
    return max(min(wanted, longest, max(total // least_windows, 1)), 2)


def vibrations(runs: Sequence[Frames], *, window: int | None = None, count: int = BLOCKS) -> dict[int, Distribution]:
    r"""Return the vibrational density of states of every element, from velocities.

    D(nu) = sum_i m_i |FT(w v_i)(nu)|^2, averaged over windows that overlap by half (Welch), w: Hann; area 1 in cm^-1

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | v | ``velocity`` | (f, n, 3) | Angstrom/fs |
    | nu | ``x`` | (k,), to the Nyquist wavenumber of the interval | cm^-1 |
    | D | ``samples`` | (B, k) | cm |

    The momentum of the whole system is removed. What vibrates above the Nyquist wavenumber is folded below it, for a stride
    and for a reference thinned to the same interval alike: compare those two only.

    Parameters
    ----------
    runs : with velocities
    window : frames of one window; ``spectrum_length(runs)`` when not given. Give both sides the same duration.
    count : blocks for the error

    Raises
    ------
    InputError : no velocities

    References
    ----------
    Welch 1967, doi:10.1109/TAU.1967.1161901; Dickey & Paskin 1969, doi:10.1103/PhysRev.188.1407

    """
    from scipy.signal import welch

    length = spectrum_length(runs) if window is None else window
    pieces = [p for p in blocks(runs, count, shortest=length) if len(p) >= length]
    if not pieces:
        raise InputError(f"the runs are shorter than the window of {length} frames of the spectrum; make them longer")
    spectra: dict[int, list[FloatArray]] = {z: [] for z in runs[0].elements}
    wavenumber = np.zeros(0)
    for piece in pieces:
        v = centred_velocity(piece)
        rate, density = welch(v, fs=1.0 / piece.interval, window="hann", nperseg=length, detrend=False, axis=0)
        wavenumber = rate / LIGHT
        per_atom = density.sum(axis=2) * piece.mass
        for z, found in spectra.items():
            total = per_atom[:, piece.species == z].sum(axis=1)
            found.append(total / max(np.trapezoid(total, wavenumber), 1e-300))
    weights = np.array([len(p) for p in pieces], float)
    return {z: Distribution(wavenumber, np.stack(found), weights) for z, found in spectra.items()}


def centred_velocity(frames: Frames) -> FloatArray:
    """Return the velocities (f, n, 3) less that of the centre of mass, Angstrom/fs; raises InputError without velocities."""
    if frames.velocity is None:
        raise InputError("the frames have no velocities; temperatures and spectra need them")
    drift = np.einsum("n,fni->fi", frames.mass, frames.velocity) / frames.mass.sum()
    return np.asarray(frames.velocity - drift[:, None])


def overlap(one: Distribution, other: Distribution) -> float:
    """Return the overlapping coefficient of two densities of unit area, sum min(p, q)/sum q, on the other's grid: 1 = equal."""
    top = min(one.x[-1], other.x[-1])
    grid = other.x[other.x <= top * (1.0 + 1e-9)]
    p, q = np.interp(grid, one.x, one.mean), np.interp(grid, other.x, other.mean)
    p, q = p / max(p.sum(), 1e-300), q / max(q.sum(), 1e-300)
    return float(np.minimum(p, q).sum())


def own_overlap(one: Distribution) -> float:
    """Return the mean ``overlap`` of each block with the rest (NaN for one block): what finite sampling makes of 1."""
    found = []
    for b in range(len(one.samples)):
        others = np.arange(len(one.samples)) != b
        if others.any():
            rest = Distribution(one.x, one.samples[others], one.weights[others])
            found.append(overlap(Distribution(one.x, one.samples[b : b + 1], one.weights[b : b + 1]), rest))
    return float(np.mean(found)) if found else float("nan")


@dataclass(frozen=True, slots=True)
class PeakShift:
    """A peak of the reference's spectrum and the nearest of the model's.

    Attributes
    ----------
    reference, model : cm^-1
    error : standard error of the difference, cm^-1, from the scatter of both between blocks

    """

    reference: float
    model: float
    error: float

    @property
    def shift(self) -> float:
        """Model less reference, cm^-1."""
        return self.model - self.reference


def smoothed(spectrum: FloatArray, x: FloatArray, width: float) -> FloatArray:
    """Return a spectrum (..., k) convolved with a Gaussian of standard deviation ``width`` cm^-1."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(spectrum, width / (x[1] - x[0]), axis=-1, mode="nearest"))


def peaks(x: FloatArray, spectrum: FloatArray, *, width: float = 8.0, prominence: float = 0.1) -> FloatArray:
    """Return the positions (cm^-1, ascending) of the peaks of a smoothed spectrum, refined by a parabola.

    Parameters
    ----------
    x, spectrum : (k,)
    width : standard deviation of the smoothing, cm^-1
    prominence : least prominence, in units of the highest peak

    """
    from scipy.signal import find_peaks

    y = smoothed(spectrum, x, width)
    found = find_peaks(y, prominence=prominence * max(y.max(), 1e-300))[0]
    left, middle, right = y[found - 1], y[found], y[found + 1]
    return np.asarray(x[found] + 0.5 * (x[1] - x[0]) * (left - right) / (left - 2.0 * middle + right))


def peak_shifts(model: Distribution, reference: Distribution, *, width: float = 8.0) -> list[PeakShift]:
    """Return for every peak of the reference (prominence above a tenth of the highest) the nearest peak of the model.

    A peak that the block error of the reference explains (prominence below 3 errors) is left out; the model's peaks may be
    half as prominent. Without any peak in the model the shift is that to its highest point.
    """
    x, error = reference.x, smoothed(np.nan_to_num(reference.error), reference.x, width)
    mean = reference.mean
    theirs = peaks(model.x, model.mean, width=width, prominence=0.05)
    if not len(theirs):
        theirs = np.array([model.x[np.argmax(model.mean)]])
    height = smoothed(mean, x, width).max()
    result = []
    for place in peaks(x, mean, width=width):
        if 3.0 * np.interp(place, x, error) > max(
            0.1 * height, 0.5 * float(np.interp(place, x, smoothed(mean, x, width)))
        ):
            continue
        nearest = float(theirs[np.argmin(np.abs(theirs - place))])
        scatter = np.hypot(_scatter(reference, float(place), width), _scatter(model, nearest, width))
        result.append(PeakShift(float(place), nearest, float(scatter)))
    return result


def _scatter(spectrum: Distribution, place: float, width: float) -> float:
    """Return the standard error of a peak's position: the highest point within 3 widths, block by block."""
    if len(spectrum.samples) < 2:
        return float("nan")
    near = np.flatnonzero(np.abs(spectrum.x - place) <= max(3.0 * width, 2.0 * (spectrum.x[1] - spectrum.x[0])))
    y = smoothed(spectrum.samples, spectrum.x, width)[:, near]
    error = float(mean_and_error(spectrum.x[near][y.argmax(axis=1)], spectrum.weights)[1])
    grid = (spectrum.x[1] - spectrum.x[0]) / np.sqrt(12.0 * len(spectrum.samples))  # what reading off a grid makes
    return float(np.hypot(error, grid))


# ---------------------------------------------------------------------- diffusion


def mean_squared_displacement(frames: Frames, which: NDArray[np.bool_] | None = None) -> FloatArray:
    r"""Return <|x(t + lag) - x(t)|^2> over atoms and all t, for lags 0 ... f - 1, (f,) Angstrom^2.

    Positions are unwrapped, and the centre of mass is held. By the fast correlation algorithm, O(f log f): Calandrini et al.
    2011, doi:10.1051/sfn/201112010, section 4.2.
    """
    x = unwrap(frames).position
    x = x - (np.einsum("n,fni->fi", frames.mass, x) / frames.mass.sum())[:, None]
    x = x if which is None else x[:, which]
    f = len(x)
    square = np.append(np.sum(x**2, axis=2), np.zeros((1, x.shape[1])), axis=0)
    power = np.abs(np.fft.rfft(x, n=2 * f, axis=0)) ** 2
    product = np.fft.irfft(power, n=2 * f, axis=0)[:f].sum(axis=2)
    ends = 2.0 * square.sum(axis=0) - np.cumsum(square[np.arange(-1, f - 1)] + square[f - np.arange(f)], axis=0)
    pairs = (f - np.arange(f))[:, None]
    return np.asarray(((ends - 2.0 * product) / pairs).mean(axis=1))


def diffusion(
    runs: Sequence[Frames], element: int | None = None, *, window: tuple[float, float] = (0.1, 0.4), count: int = 5
) -> tuple[float, float]:
    r"""Return the self-diffusion coefficient and its block error, 1e-9 m^2/s, by Einstein's relation.

    6 D = slope of the mean squared displacement against the lag, least squares over ``window``, in each of the blocks

    Parameters
    ----------
    runs : at least as long as the motion takes to become diffusive
    element : atomic number; all atoms when not given
    window : first and last lag as fractions of a block
    count : blocks

    References
    ----------
    Maginn et al. 2019, doi:10.33011/livecoms.1.1.6324. No correction of the finite size of the cell is made.

    """
    pieces = blocks(runs, count, shortest=20)
    which = None if element is None else runs[0].species == element
    values = []
    for piece in pieces:
        lag = np.arange(len(piece)) * piece.interval
        inside = slice(max(int(window[0] * len(piece)), 1), max(int(window[1] * len(piece)), 3))
        values.append(np.polyfit(lag[inside], mean_squared_displacement(piece, which)[inside], 1)[0] / 6.0)
    mean, error = mean_and_error(values, [len(p) for p in pieces])
    return float(mean) * DIFFUSION_UNIT, float(error) * DIFFUSION_UNIT


def diffusion_green_kubo(
    runs: Sequence[Frames], element: int | None = None, *, longest: float | None = None, count: int = 5
) -> tuple[float, float]:
    r"""Return the self-diffusion coefficient and its block error, 1e-9 m^2/s, from velocities: D = 1/3 int_0^t <v(0).v(s)> ds.

    Parameters
    ----------
    runs : with velocities
    element : atomic number; all atoms when not given
    longest : upper limit t in fs; a fifth of a block when not given
    count : blocks

    """
    pieces = blocks(runs, count, shortest=20)
    which = np.ones(runs[0].n, bool) if element is None else runs[0].species == element
    values = []
    for piece in pieces:
        v = centred_velocity(piece)[:, which]
        f = len(v)
        power = np.abs(np.fft.rfft(v, n=2 * f, axis=0)) ** 2
        correlation = np.fft.irfft(power, n=2 * f, axis=0)[:f].sum(axis=2).mean(axis=1) / (f - np.arange(f))
        last = f // 5 if longest is None else min(round(longest / piece.interval), f - 1)
        values.append(np.trapezoid(correlation[: last + 1], dx=piece.interval) / 3.0)
    mean, error = mean_and_error(values, [len(p) for p in pieces])
    return float(mean) * DIFFUSION_UNIT, float(error) * DIFFUSION_UNIT


def diffusive(runs: Sequence[Frames]) -> bool:
    """Return whether a periodic system flows: its mean squared displacement grows, and beyond 1 Angstrom^2 in a block."""
    if runs[0].open:
        return False
    piece = max(blocks(runs, 5, shortest=20), key=len)
    if len(piece) < 20:
        return False
    curve = mean_squared_displacement(piece)
    early, late = curve[max(len(piece) // 10, 1)], curve[int(0.4 * len(piece))]
    return bool(late > 1.0 and late > 1.5 * early)
