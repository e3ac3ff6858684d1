"""What is measured on segments while they are made: total energy, its drift, the kinetic temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError
from ..particles.segments import Segment
from .model_units import BOLTZMANN, KINETIC

FloatArray = NDArray[np.float64]


def total_energy(segment: Segment) -> FloatArray:
    """Return potential plus kinetic energy of each frame, (F,) in eV; raises InputError for segments without energies."""
    if segment.energy is None:
        raise InputError("the segment holds no energies")
    return segment.energy + kinetic_energy(segment)


def kinetic_energy(segment: Segment) -> FloatArray:
    """Return sum_i m_i v_i^2 / 2 of each frame, (F,) in eV."""
    return 0.5 * KINETIC * np.einsum("i,fij,fij->f", segment.mass, segment.velocity, segment.velocity)


def energy_drift(segment: Segment, work: FloatArray | float = 0.0) -> float:
    """Return the largest deviation of the total energy from that of the first frame, in meV per atom.

    Parameters
    ----------
    work : (F,) eV, what a thermostat put in before each frame

    """
    energy = total_energy(segment) - work
    return float(np.abs(energy - energy[0]).max() * 1e3 / segment.n)


def degrees_of_freedom(n: int, *, is_open: bool) -> int:
    """Return 3 n less the conserved momentum, and in an open system the angular momentum (not for atoms on a line)."""
    return max(3 * n - (min(6, 3 * n - 1) if is_open else 3), 1)


def kinetic_temperature(segment: Segment) -> FloatArray:
    """Return 2 K / (d k_B) of each frame, (F,) in K, with d the degrees of freedom."""
    freedom = degrees_of_freedom(segment.n, is_open=not segment.periodic.any())
    return 2.0 * kinetic_energy(segment) / (freedom * BOLTZMANN)
