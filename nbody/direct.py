"""Direct summation: Newtonian gravity of all pairs, exact to rounding, with a cost that grows as n^2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..integrators import Evaluation
from ..particles import KINDS, SERIAL, Exchange, InputError, NumericalFailure, Particles, resolve
from ..particles.packing import pack_rows, unpack_rows
from .softening import LAWS, Law, law

FloatArray = NDArray[np.float64]

#: star_star -> (weight of star-star pairs, whether black holes keep out of softening)
STAR_STAR: dict[str, tuple[float, bool]] = {"normal": (1.0, False), "none": (0.0, True), "softened": (1.0, True)}

#: precision -> operation of the kernel table
PRECISIONS: dict[str, str] = {"double": "acceleration", "mixed": "acceleration_mixed"}


class DirectGravity:
    r"""Newtonian gravity by a sum over all pairs, with Plummer softening.

    a_i = G sum_j m_j r_ij / s_ij^3,  phi_i = -G sum_j m_j / s_ij,  s_ij^2 = |r_ij|^2 + eps_ij^2,  r_ij = x_j - x_i

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | m, x | ``particles.mass``, ``particles.position`` | (n,), (n, 3) float64 | mass, length |
    | eps_ij | the larger softening of the pair | | length |
    | G | ``particles.units.gravitational_constant`` | | |
    | a, da/dt | ``out.acceleration``, ``out.jerk`` | (n, 3) float64, overwritten | length/time^2, length/time^3 |
    | T_kl = d a_k/d x_l | ``out.tide`` | (n, 3, 3) float64, overwritten | 1/time^2 |
    | sum m phi / 2 | ``out.potential_energy`` | float, overwritten | energy |
    | sum x (x) m a | ``out.virial`` | (3, 3) float64, overwritten | energy |

    | star_star | star with star | pairs with a black hole |
    |---|---|---|
    | "normal" | softened as given | softened as given |
    | "softened" | softened as given | Newton |
    | "none" | no force | Newton |

    Parameters
    ----------
    softening : length of all particles; 0: the lengths in ``particles.softening``, or none where that is absent
    kernel : "plummer" (the equations above), or "spline" or "wendland", which end at a radius, see ``nbody/softening.py``;
        these two give no jerk
    star_star : "normal", "softened" or "none"; all that is not a black hole counts as a star
    backend : "cpu" (threads from about five hundred particles on; results do not depend on their number), "cuda" (a GPU, which
        keeps masses and softenings; positions go there and accelerations come back at every call; without tides) or "reference"
    precision : "double", or "mixed" with backend "cuda": pairs in float32 from coordinates of 48 bits, sums in float64, an
        error of about 1e-7; for "plummer", without jerk (`_kernels/direct_mixed_cuda.py`)
    exchange : every rank brings all particles together and keeps what concerns its own: for sets of a few thousand

    Raises
    ------
    InputError : unknown option, negative softening, a softening that nothing would use, or "cuda" without a device

    References
    ----------
    Aarseth, Gravitational N-Body Simulations (2003), doi:10.1017/CBO9780511535246; options as in KETJU, Mannerkoski et
    al. 2023, doi:10.1093/mnras/stad2139

    """

    velocity_dependent = False

    def __init__(
        self, *, softening: float = 0.0, star_star: str = "normal", kernel: str = "plummer", backend: str = "cpu",
        precision: str = "double", exchange: Exchange = SERIAL,
    ) -> None:  # fmt: skip
        if not (np.isfinite(softening) and softening >= 0.0):
            raise InputError(f"softening is {softening}; it must be a finite length, zero or positive")
        if star_star not in STAR_STAR:
            raise InputError(f"star_star is {star_star!r}; expected one of {', '.join(STAR_STAR)}")
        self.softening = float(softening)
        self.weight, self._spare_black_holes = STAR_STAR[star_star]
        if self.weight == 0.0 and softening > 0.0:
            raise InputError(f"softening is {softening}, but with star_star = 'none' nothing is softened; remove one")
        self.kernel, self._softening_law, self._exchange = kernel, law(kernel), exchange
        self._compact = kernel != "plummer"
        if precision not in PRECISIONS or (precision != "double" and (backend != "cuda" or self._compact)):
            raise InputError(
                f"precision is {precision!r}; expected 'double', or 'mixed' with backend = 'cuda' and kernel = 'plummer'"
            )
        bare = self._compact or precision != "double"
        more = (set() if bare else {"jerk"}) | (set() if backend == "cuda" else {"tide"})
        self.provides = frozenset({"acceleration", "potential_energy", "virial"} | more)
        self._acceleration = resolve("acceleration_compact" if self._compact else PRECISIONS[precision], backend)
        self._acceleration_jerk = resolve("acceleration_jerk", backend)
        if backend == "cuda":
            resolve("require_device", backend)()
        else:
            self._acceleration_tide = resolve("acceleration_tide", backend)

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants.

        Raises
        ------
        NumericalFailure : two particles in one place without softening, or values that are not finite

        """
        if self._exchange.size == 1:
            self._evaluate(particles, out)
            return
        whole, own = self._brought_together(particles)
        every = Evaluation(whole.n, out.wants)
        potential = self._evaluate(whole, every)
        out.acceleration[...] = every.acceleration[own]
        out.potential_energy = 0.5 * float(particles.mass @ potential[own])
        if out.jerk is not None and every.jerk is not None:
            out.jerk[...] = every.jerk[own]
        if out.tide is not None and every.tide is not None:
            out.tide[...] = every.tide[own]
        if out.virial is not None and every.virial is not None:
            out.virial[...] = every.virial if self._exchange.rank == 0 else 0.0

    def _evaluate(self, particles: Particles, out: Evaluation) -> FloatArray:
        """Overwrite all that ``out`` wants, for particles of one rank; return their potentials, (n,)."""
        potential = np.empty(particles.n)
        if out.tide is not None:
            *given, constant = self._law(particles)
            status = self._acceleration_tide(
                particles.mass, particles.position, *given, self._softening_law.number, constant,
                out.acceleration, potential, out.tide,
            )  # fmt: skip
            refuse_bad(status, particles, potential)
        elif out.jerk is None:
            self._field(particles, out.acceleration, potential)
        if out.jerk is not None:
            status = self._acceleration_jerk(
                particles.mass, particles.position, particles.velocity, *self._law(particles),
                out.acceleration, out.jerk, potential,
            )  # fmt: skip
            refuse_bad(status, particles, potential)
        out.potential_energy = 0.5 * float(particles.mass @ potential)
        if out.virial is not None:
            out.virial[...] = virial(particles.mass, particles.position, out.acceleration)
        return potential

    def _brought_together(self, particles: Particles) -> tuple[Particles, slice]:
        """Return the particles of all ranks, and where those of this one are among them."""
        parts = self._exchange.allgather(
            pack_rows(particles, ("identity", "mass", "position", "velocity", "softening", "kind"))
        )
        first = sum(len(part) for part in parts[: self._exchange.rank])
        return unpack_rows(np.concatenate(parts), particles), slice(first, first + particles.n)

    def field(self, particles: Particles, acceleration: FloatArray, potential: FloatArray) -> None:
        """Overwrite the acceleration, (n, 3), and the potential at each particle, (n,) in velocity^2.

        Raises
        ------
        NumericalFailure : two particles in one place without softening, or values that are not finite

        """
        if self._exchange.size == 1:
            self._field(particles, acceleration, potential)
            return
        whole, own = self._brought_together(particles)
        accelerations, potentials = np.empty((whole.n, 3)), np.empty(whole.n)
        self._field(whole, accelerations, potentials)
        acceleration[...], potential[...] = accelerations[own], potentials[own]

    def _field(self, particles: Particles, acceleration: FloatArray, potential: FloatArray) -> None:
        *given, constant = self._law(particles)
        if self._compact:
            given.append(self._softening_law.number)
        status = self._acceleration(particles.mass, particles.position, *given, constant, acceleration, potential)
        refuse_bad(status, particles, potential)

    def softened_within(self, particles: Particles) -> float:
        """Return the distance within which a pair with a black hole is softened; infinite for "plummer"."""
        if self._spare_black_holes:
            return 0.0
        return reach(self._softening_law, particles.softening_lengths(self.softening))

    def _law(self, particles: Particles) -> tuple[FloatArray, NDArray[np.bool_], float, float]:
        """Return what kernels take between the state and the output: softening, special, weight, G."""
        special = particles.is_kind(KINDS["black-hole"]) if self._spare_black_holes else np.zeros(particles.n, bool)
        radius = self._softening_law.radius * particles.softening_lengths(self.softening)
        return radius, special, self.weight, particles.units.gravitational_constant


def reach(law: Law, lengths: FloatArray) -> float:
    """Return the distance from which particles of some softening lengths, (n,), pull by Newton's law."""
    longest = float(lengths.max(initial=0.0))
    return np.inf if law.number == LAWS["plummer"].number and longest > 0.0 else law.radius * longest


def virial(
    mass: FloatArray, position: FloatArray, acceleration: FloatArray, origin: FloatArray | None = None
) -> FloatArray:
    """Return sum_i (x_i - origin) (x) m_i a_i, (3, 3), in units of energy; mass (n,), the others (n, 3).

    The origin does not matter where the forces add up to zero; the mean position (None) keeps the rounding small.
    """
    if len(mass) == 0:
        return np.zeros((3, 3))
    centred: FloatArray = position - (position.mean(axis=0) if origin is None else origin)
    return np.asarray(centred.T @ (mass[:, None] * acceleration), dtype=np.float64)


def refuse_bad(status: int, particles: Particles, potential: FloatArray) -> None:
    """Raise NumericalFailure with the identities of the particles whose potential is not finite, if a kernel says so."""
    if status == 0:
        return
    who = particles.identity[~np.isfinite(potential)]
    raise NumericalFailure(
        "the gravitational force is not finite: particles in one place, or positions that are not finite",
        time=particles.time,
        identities=[int(k) for k in who[:8]],
    )
