"""Temperatures with the true degrees of freedom, energy drift, momenta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...particles import InputError
from ..model_units import BOLTZMANN, KINETIC
from .dynamics import centred_velocity
from .frames import FloatArray, Frames, blocks, mean_and_error, static_blocks


def internal_velocity(frames: Frames) -> FloatArray:
    r"""Return velocities (f, n, 3), Angstrom/fs, without the motion of the whole: translation, and rotation when open.

    v_i - V - omega x r_i,  omega = I^-1 L (pseudo-inverse: linear molecules), r from the centre of mass
    """
    v = centred_velocity(frames)
    if not frames.open:
        return v
    r, inertia = _inertia(frames)
    momentum = np.einsum("n,fni->fi", frames.mass, np.cross(r, v))
    omega = np.einsum("fij,fj->fi", np.linalg.pinv(inertia, rcond=1e-8, hermitian=True), momentum)
    return np.asarray(v - np.cross(omega[:, None], r))


def _inertia(frames: Frames) -> tuple[FloatArray, FloatArray]:
    """Return positions from the centre of mass (f, n, 3) and the inertia tensors (f, 3, 3)."""
    centre = np.einsum("n,fni->fi", frames.mass, frames.position) / frames.mass.sum()
    r = frames.position - centre[:, None]
    return r, _tensor(frames.mass, r)


def _tensor(mass: FloatArray, r: FloatArray) -> FloatArray:
    outer = np.einsum("n,fni,fnj->fij", mass, r, r)
    return np.asarray(np.trace(outer, axis1=1, axis2=2)[:, None, None] * np.eye(3) - outer)


def degrees_of_freedom(frames: Frames) -> tuple[float, dict[int, FloatArray]]:
    r"""Return the degrees of freedom of the internal motion: of all, and of each element, (f,).

    g = 3 n - 3 - rank(I) (the last when open);  g_s = 3 n_s - 3 M_s/M - tr(I^+ I_s), sum_s g_s = g

    M_s and I_s are the mass and the inertia tensor (about the centre of mass of all) of the element: a heavy atom loses
    more of its share than a light one. Equipartition: <K_s> = g_s k_B T/2.
    """
    mass = frames.mass
    share = {z: np.full(len(frames), 3.0 * (frames.species == z).sum()) for z in frames.elements}
    for z in share:
        share[z] -= 3.0 * mass[frames.species == z].sum() / mass.sum()
    total = 3.0 * frames.n - 3.0
    if frames.open:
        r, inertia = _inertia(frames)
        inverse = np.linalg.pinv(inertia, rcond=1e-8, hermitian=True)
        total -= float(np.linalg.matrix_rank(inertia[0], tol=1e-8 * max(float(np.abs(inertia[0]).max()), 1e-300)))
        for z in share:
            which = frames.species == z
            share[z] -= np.einsum("fij,fji->f", inverse, _tensor(mass[which], r[:, which]))
    return total, share


def temperatures(frames: Frames) -> tuple[FloatArray, dict[int, FloatArray]]:
    r"""Return the temperature in K of every frame, (f,): of all, and of each element, T_s = 2 K_s/(g_s k_B).

    Raises InputError without velocities, or with no internal degree of freedom.
    """
    total, share = degrees_of_freedom(frames)
    if total < 1.0:
        raise InputError(f"{frames.n} atoms have no internal degree of freedom, and no temperature")
    kinetic = 0.5 * KINETIC * frames.mass * np.sum(internal_velocity(frames) ** 2, axis=2)
    each = {
        z: 2.0 * kinetic[:, frames.species == z].sum(axis=1) / (np.maximum(g, 1e-12) * BOLTZMANN)
        for z, g in share.items()
        if g.min() > 0.5
    }
    return np.asarray(2.0 * kinetic.sum(axis=1) / (total * BOLTZMANN)), each


def mean_temperatures(
    runs: Sequence[Frames], count: int = 10
) -> tuple[tuple[float, float], dict[int, tuple[float, float]]]:
    """Return (mean, block error) of the temperature in K: of all, and of each element."""
    pieces = static_blocks(runs, count)
    found = [temperatures(p) for p in pieces]
    weights = [len(p) for p in pieces]
    total = mean_and_error([t.mean() for t, _ in found], weights)
    each = {z: mean_and_error([e[z].mean() for _, e in found if z in e], weights) for z in found[0][1]}
    return (float(total[0]), float(total[1])), {z: (float(m), float(e)) for z, (m, e) in each.items()}


@dataclass(frozen=True, slots=True)
class Drift:
    """How the total energy behaves.

    Attributes
    ----------
    slope, slope_error : meV/atom/ps, mean over the runs (or halves) and its standard error
    scatter : meV/atom, standard deviation around the line

    """

    slope: float
    slope_error: float
    scatter: float


def energy_drift(runs: Sequence[Frames]) -> Drift:
    r"""Return the drift of kinetic + potential energy by least squares, of runs with potential energies and velocities.

    The error is from the runs, or where there are fewer than three from blocks of them. Raises InputError without energies.
    """
    pieces = list(runs) if len(runs) >= 3 else blocks(runs, 5, shortest=4)
    slopes, residuals = [], []
    for piece in pieces:
        energy = 1e3 * total_energy(piece) / piece.n
        time = np.arange(len(piece)) * piece.interval * 1e-3
        if len(piece) < 2:
            continue
        line = np.polyfit(time, energy, 1)
        slopes.append(line[0])
        residuals.append(np.std(energy - np.polyval(line, time)))
    whole = [np.polyfit(np.arange(len(r)) * r.interval * 1e-3, 1e3 * total_energy(r) / r.n, 1)[0] for r in runs]
    error = float(mean_and_error(slopes)[1])
    return Drift(float(np.average(whole, weights=[len(r) for r in runs])), error, float(np.mean(residuals)))


def total_energy(frames: Frames) -> FloatArray:
    """Return kinetic + potential energy of every frame, (f,) eV."""
    if frames.potential_energy is None or frames.velocity is None:
        raise InputError("the frames have no potential energies or no velocities; the energy drift needs both")
    kinetic = 0.5 * KINETIC * np.einsum("n,fni,fni->f", frames.mass, frames.velocity, frames.velocity)
    return np.asarray(kinetic + frames.potential_energy)


def momentum_change(frames: Frames) -> tuple[float, float | None]:
    r"""Return the largest change of linear and (open systems) angular momentum since the first frame.

    max_t |P(t) - P(0)| / sum_i m_i |v_i(0)|,  max_t |L(t) - L(0)| / sum_i m_i |r_i(0)| |v_i(0)|, about the origin

    Exact dynamics gives round-off; a thermostat that does not conserve momentum gives values of the order 1/sqrt(n).
    """
    v = frames.velocity
    if v is None:
        raise InputError("the frames have no velocities; momenta need them")
    speed = np.linalg.norm(v[0], axis=1)
    linear = np.einsum("n,fni->fi", frames.mass, v)
    p = float(np.linalg.norm(linear - linear[0], axis=1).max() / max(float(frames.mass @ speed), 1e-300))
    if not frames.open:
        return p, None
    angular = np.einsum("n,fni->fi", frames.mass, np.cross(frames.position, v))
    scale = float(frames.mass @ (np.linalg.norm(frames.position[0], axis=1) * speed))
    return p, float(np.linalg.norm(angular - angular[0], axis=1).max() / max(scale, 1e-300))
