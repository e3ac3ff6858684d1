"""How long a step each particle may take: criteria for block time steps."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError, Particles

FloatArray = NDArray[np.float64]


class StepCriterion(Protocol):
    """Judges the step of each particle by what pulls at it."""

    def needs(self, particles: Particles) -> tuple[str, ...]:
        """Return the quantities of an ``Evaluation`` that ``longest`` looks at; raises InputError if it cannot judge."""
        ...

    def longest(self, particles: Particles, acceleration: FloatArray, tide: FloatArray | None) -> FloatArray:
        """Return the longest step of each particle, (n,), infinite where anything goes."""
        ...


class AccelerationAndTide:
    r"""The shorter one of the time to fall through the softening length and of the tidal time scale.

    dt = min( sqrt(2 eta eps/|a|), eta_t |T|^(-1/2) ),  T_kl = d a_k / d x_l,  |T| the Frobenius norm over sqrt(6)

    | symbol | variable | shape | unit |
    |---|---|---|---|
    | eta | ``accuracy`` | | |
    | eta_t | ``tidal_accuracy`` | | |
    | eps | ``softening``, or ``particles.softening`` where it is 0 | | length |
    | a, T | ``acceleration``, ``tide`` | (n, 3), (n, 3, 3) float64 | length/time^2, 1/time^2 |

    At distance r of a point mass M, |T|^(-1/2) is sqrt(r^3/(G M)), an orbital period over 2 pi.

    Parameters
    ----------
    accuracy : eta of softened particles; None: they are judged by tides alone
    tidal_accuracy : eta_t; None: softened particles are judged by acceleration alone
    softening : length of all particles; 0: the lengths in ``particles.softening``
    tides : whose tides are looked at, of "all" or only of those that are "unsoftened" (or all, where accuracy is None)

    Raises
    ------
    InputError : a criterion is not positive, or both are None; particles without softening and no tidal criterion; an unknown
        word for ``tides``

    References
    ----------
    Power et al. 2003, doi:10.1046/j.1365-8711.2003.05925.x (acceleration); Grudic & Hopkins 2020,
    doi:10.1093/mnras/staa1453 (tides)

    """

    def __init__(
        self, *, accuracy: float | None = 0.025, tidal_accuracy: float | None = None, softening: float = 0.0,
        tides: str = "all",
    ) -> None:  # fmt: skip
        for name, value in (("accuracy", accuracy), ("tidal_accuracy", tidal_accuracy)):
            if value is not None and not 0.0 < value < np.inf:
                raise InputError(f"{name} is {value:g}; expected a positive number, such as 0.025")
        if accuracy is None and tidal_accuracy is None:
            raise InputError("neither accuracy nor tidal_accuracy is given; block time steps need one to judge by")
        if tides not in ("all", "unsoftened"):
            raise InputError(f"tides is {tides!r}; expected 'all' or 'unsoftened'")
        self.accuracy, self.tidal_accuracy, self.softening = accuracy, tidal_accuracy, float(softening)
        self._of_all = tides == "all" or accuracy is None

    def needs(self, particles: Particles) -> tuple[str, ...]:
        """Return "tide" where tides are looked at."""
        lengths = particles.softening_lengths(self.softening)
        unsoftened = bool((lengths <= 0.0).any())
        if self.tidal_accuracy is not None:
            return ("tide",) if self._of_all or unsoftened else ()
        if unsoftened:
            who = particles.identity[np.argmin(lengths)]
            raise InputError(
                f"particle {who} has no softening, which steps by acceleration need; give tidal_accuracy, or a softening"
            )
        return ()

    def longest(self, particles: Particles, acceleration: FloatArray, tide: FloatArray | None) -> FloatArray:
        """Return the longest step of each particle, (n,)."""
        steps, lengths = np.full(particles.n, np.inf), particles.softening_lengths(self.softening)
        with np.errstate(divide="ignore"):
            if self.accuracy is not None:
                fall = np.sqrt(2.0 * self.accuracy * lengths / np.linalg.norm(acceleration, axis=1))
                steps[lengths > 0.0] = fall[lengths > 0.0]
            if self.tidal_accuracy is not None and self.needs(particles):
                assert tide is not None, "a tidal criterion was not given the tides it asked for"
                judged = np.full(particles.n, True) if self._of_all else lengths <= 0.0
                rate = np.linalg.norm(tide[judged].reshape(-1, 9), axis=1) / np.sqrt(6.0)
                steps[judged] = np.minimum(steps[judged], self.tidal_accuracy / np.sqrt(rate))
        return steps
