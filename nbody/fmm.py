"""Fast multipole gravity: all pairs to an asked relative error, with a cost that grows in proportion to n."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..integrators import Evaluation
from ..particles import SERIAL, Exchange, InputError, NumericalFailure, Particles, resolve
from ..particles.collective import agreed_failure
from .direct import reach, refuse_bad, virial
from .softening import law

FloatArray = NDArray[np.float64]

ORDERS = (2, 3, 4, 5, 6)
SMALLEST_ERROR, LARGEST_ERROR = 1e-6, 0.1


class Setting(NamedTuple):
    """What an order needs for an rms error of the asked size: factors of the two limits in `fmm_reference`, and the leaf size."""

    tolerance: float
    coherence: float
    leaf_size: int


#: Measured on Plummer and Hernquist spheres of 1e5 particles (benchmarks/gravity.py): the rms error is that asked for, or less
SETTINGS = {
    2: Setting(0.5, 10.0, 32),
    3: Setting(0.9, 14.0, 48),
    4: Setting(0.9, 18.0, 48),
    5: Setting(0.9, 18.0, 48),
    6: Setting(0.9, 18.0, 64),
}


#: particles up to which one leaf holds all: faster than expansions there, and exact
DIRECT = 4096
DIRECT_ON_DEVICE = 65536  # the same on a GPU, which sums that many in tens of milliseconds, in float64


def fastest_order(relative_error: float) -> int:
    """Return the order that is fastest for an error (benchmarks/gravity.py)."""
    return 4 if relative_error >= 3e-3 else 5 if relative_error >= 2e-4 else 6


class Fmm:
    r"""Newtonian gravity by multipole expansions on an octree, with softening.

    a_i = G sum_j m_j w(r_ij) r_ij,  phi_i = -G sum_j m_j g(r_ij),  r_ij = x_j - x_i

    Plummer: w = 1/s^3, g = 1/s, s^2 = r^2 + eps^2

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | m, x | ``particles.mass``, ``particles.position`` | (n,), (n, 3) float64 | mass, length |
    | eps_ij | the larger softening of the pair | | length |
    | G | ``particles.units.gravitational_constant`` | | |
    | a | ``out.acceleration`` | (n, 3) float64, overwritten | length/time^2 |
    | T_kl = d a_k/d x_l | ``out.tide`` | (n, 3, 3) float64, overwritten | 1/time^2 |
    | sum m phi / 2 | ``out.potential_energy`` | float, overwritten | energy |
    | sum x (x) m a | ``out.virial`` | (3, 3) float64, overwritten | energy |

    The relative error of accelerations is about ``relative_error``, as root mean square over the particles; one particle in a
    hundred exceeds four times as much. Tides, one derivative further, have about ten times that error (Frobenius norms, root mean
    square; 7 to 9 times measured); acceleration and tide together take 1.2 times as long as accelerations (1e5 particles).
    Total momentum is conserved to rounding. The result depends on the particles alone: not on
    earlier calls, nor on the number of threads. Up to ``DIRECT`` particles everything is one leaf, which is summed exactly.

    Parameters
    ----------
    softening : Plummer-equivalent length of all particles; 0: the lengths in ``particles.softening``, or none where absent
    kernel : "plummer", "spline" or "wendland", see ``nbody/softening.py``
    relative_error : asked rms error of an acceleration, between 1e-6 and 0.1
    order : of the expansions, 2 to 6; None: the fastest for the error
    leaf_size : cells of at most so many particles are summed directly with each other; None: the fastest
    backend : "cpu", "cuda" or "reference"; of several ranks "cpu". "cuda" sums near pairs, and up to
        ``DIRECT_ON_DEVICE`` particles all, on a GPU, without tides; the tree and the far field stay on the host
    exchange : every rank has its own particles, and feels those of all; few are brought together, of many each rank sends the
        others what of its tree they may need. A result then depends on who owns what, within ``relative_error``; momentum
        is conserved to rounding across ranks as well.

    Raises
    ------
    InputError : unknown option or one out of range, "cuda" without a device, or a backend that cannot serve several ranks

    References
    ----------
    Dehnen 2002, doi:10.1006/jcph.2002.7026 (mutual expansions); Dehnen 2014, doi:10.1186/s40668-014-0001-7 (acceptance);
    docs/theory/gravity.md

    """

    velocity_dependent = False

    def __init__(
        self,
        *,
        softening: float = 0.0,
        kernel: str = "plummer",
        relative_error: float = 1e-3,
        order: int | None = None,
        leaf_size: int | None = None,
        backend: str = "cpu",
        exchange: Exchange = SERIAL,
    ) -> None:
        if not (np.isfinite(softening) and softening >= 0.0):
            raise InputError(f"softening is {softening}; it must be a finite length, zero or positive")
        if not SMALLEST_ERROR <= relative_error <= LARGEST_ERROR:
            raise InputError(
                f"relative_error is {relative_error}; expected {SMALLEST_ERROR:g} to {LARGEST_ERROR:g}, such as 1e-3"
            )
        if order is not None and order not in ORDERS:
            raise InputError(f"order is {order}; expected one of {', '.join(map(str, ORDERS))}")
        if leaf_size is not None and leaf_size < 1:
            raise InputError(f"leaf_size is {leaf_size}; expected a positive number of particles")
        self.softening, self.kernel, self.relative_error = float(softening), kernel, float(relative_error)
        self._law = law(kernel)
        self.order = fastest_order(relative_error) if order is None else order
        setting = SETTINGS[self.order]
        self._direct = (DIRECT_ON_DEVICE if backend == "cuda" else DIRECT) if leaf_size is None else leaf_size
        self.leaf_size = setting.leaf_size if leaf_size is None else leaf_size
        self._accuracy = setting.tolerance * relative_error, setting.coherence * relative_error
        self._fmm, self._exchange = resolve("fmm", backend), exchange
        self.provides = frozenset(
            {"acceleration", "potential_energy", "virial"} | (set() if backend == "cuda" else {"tide"})
        )
        if backend == "cuda":
            resolve("require_device", backend)()
        if exchange.size > 1:
            self._part, self._ranks = resolve("fmm_part", backend), resolve("fmm_ranks", backend)

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants.

        Raises
        ------
        NumericalFailure : two particles in one place without softening, or values that are not finite

        """
        potential, work = np.empty(particles.n), np.ones(particles.n)
        self._field(particles, out.acceleration, potential, work, out.tide)
        out.work = work if self._exchange.size > 1 else None
        out.potential_energy = 0.5 * float(particles.mass @ potential)
        if out.virial is not None:
            origin = self._mean_position(particles)
            out.virial[...] = virial(particles.mass, particles.position, out.acceleration, origin)

    def field(
        self, particles: Particles, acceleration: FloatArray, potential: FloatArray, tide: FloatArray | None = None
    ) -> None:
        """Overwrite the acceleration, (n, 3), the potential at each particle, (n,) in velocity^2, and the tide, (n, 3, 3).

        Raises
        ------
        NumericalFailure : two particles in one place without softening, or values that are not finite

        """
        self._field(particles, acceleration, potential, np.empty(particles.n), tide)

    def _field(
        self, particles: Particles, acceleration: FloatArray, potential: FloatArray, work: FloatArray,
        tide: FloatArray | None,
    ) -> None:  # fmt: skip
        """Overwrite the same, and of several ranks the work, (n,) in pairs."""
        radius = self._law.radius * particles.softening_lengths(self.softening)
        if self._exchange.size > 1:
            self._field_of_all(particles, radius, acceleration, potential, work, tide)
            return
        leaf_size = max(self._direct, 1) if particles.n <= self._direct else self.leaf_size
        status = self._fmm(
            particles.mass, particles.position, radius, self._law.number, self.order, leaf_size, *self._accuracy,
            particles.units.gravitational_constant, acceleration, potential, tide,
        )  # fmt: skip
        refuse_bad(status, particles, potential)

    def _field_of_all(
        self, particles: Particles, radius: FloatArray, acceleration: FloatArray, potential: FloatArray,
        work: FloatArray, tide: FloatArray | None,
    ) -> None:  # fmt: skip
        """Overwrite the same, with the particles of all ranks pulling; every rank makes the call."""
        constant, exchange = particles.units.gravitational_constant, self._exchange
        if exchange.reduce(particles.n, "sum") <= self._direct:
            parts = exchange.allgather(np.column_stack([particles.mass, particles.position, radius]))
            work[...] = sum(len(part) for part in parts)
            start, every = sum(len(part) for part in parts[: exchange.rank]), np.concatenate(parts)
            status = self._part(
                every[:, 0].copy(), every[:, 1:4].copy(), every[:, 4].copy(), self._law.number, start,
                start + particles.n, constant, acceleration, potential, tide,
            )  # fmt: skip
        else:
            status = self._ranks(
                exchange, particles.mass, particles.position, radius, self._law.number, self.order, self.leaf_size,
                *self._accuracy, constant, acceleration, potential, work, tide,
            )  # fmt: skip
        failure = None
        try:
            refuse_bad(status, particles, potential)
        except NumericalFailure as error:
            failure = error
        agreed_failure(exchange, failure)

    def _mean_position(self, particles: Particles) -> FloatArray | None:
        """Return the mean position of the particles of all ranks, (3,); None of one rank, which finds its own."""
        if self._exchange.size == 1:
            return None
        sums = self._exchange.reduce(np.append(particles.position.sum(axis=0), float(particles.n)), "sum")
        return np.asarray(sums[:3] / max(float(sums[3]), 1.0))

    def softened_within(self, particles: Particles) -> float:
        """Return the distance within which pairs are softened; infinite for "plummer"."""
        return reach(self._law, particles.softening_lengths(self.softening))
