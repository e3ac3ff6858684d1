"""The fall-back of a learned stride: velocity Verlet with known forces, for all atoms or for the region of the offenders."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..integrators import Interaction, Outcome, Step
from ..integrators.regions import ForceSteps, neighbourhood
from ..particles import SERIAL, Exchange, InputError, Particles


class Fallback:
    r"""Force steps in place of a stride.

    Without ``radius`` all atoms are done by velocity Verlet. With it, only the atoms within ``radius`` of an offender are; the
    others keep to the path of the rejected stride, a cubic between its ends, and one region is repaired without forces
    elsewhere. See ``integrators.regions.ForceSteps`` for the equations and for the error at the seam.

    Parameters
    ----------
    interaction : Interaction, such as AseInteraction of any ASE calculator
    step : longest time step, in the time unit of the particles
    radius : length around each offender; None: all atoms
    buffer : length; the interaction is given the region and all within this distance of it, as a cluster in the same cell:
        exact for a calculator that reaches no further. None: it is given all atoms
    momentum : "restored": after a regional repair the centre of mass moves uniformly, by one small shift of all atoms;
        "free": for pinned atoms and external fields
    largest : share of the atoms above which a region is not worth its seam, and all are done
    exchange : Exchange, the interaction's; on several ranks all atoms are done

    Raises
    ------
    InputError : lengths or times that are not positive, a buffer without a radius, a radius on several ranks

    """

    def __init__(
        self,
        interaction: Interaction,
        step: float,
        *,
        radius: float | None = None,
        buffer: float | None = None,
        momentum: Literal["restored", "free"] = "restored",
        largest: float = 0.5,
        exchange: Exchange = SERIAL,
    ) -> None:
        if radius is not None and not (radius >= 0.0 and math.isfinite(radius)):
            raise InputError(f"the radius of the fall-back is {radius:g}; expected a length, or None for all atoms")
        if radius is None and buffer is not None:
            raise InputError("the fall-back has a buffer but no radius; give the radius of the region, or no buffer")
        if radius is not None and exchange.size > 1:
            raise InputError("a region is redone among the paths of the others on one rank; give no radius on several")
        self.method = ForceSteps(interaction, step, buffer=buffer, momentum=momentum, exchange=exchange)
        self.radius, self.largest, self.exchange = radius, float(largest), exchange

    def rows(self, before: Particles, offenders: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask (n,) of the atoms to be done, for offenders (n,) bool."""
        everybody = np.ones(before.n, bool)
        if self.radius is None:
            return everybody
        region = neighbourhood(before, offenders, self.radius)
        return everybody if region.mean() > self.largest else region

    def redo(self, before: Particles, after: Particles, rows: NDArray[np.bool_], dt: float) -> tuple[Step, str]:
        """Overwrite ``rows`` of ``after``; a failed step changes nothing.

        Returns
        -------
        step : Step
        problem : what a calculator that failed said, or ""

        """
        try:
            return self.method.redo(before, after, rows, dt), ""
        except NotImplementedError:
            raise
        except (ArithmeticError, RuntimeError) as error:  # failures of calculators are RuntimeErrors
            if self.exchange.size > 1:  # the others are waiting in the middle of it
                raise
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            return Step(elapsed=0.0, outcome=Outcome.NOT_CONVERGED), problem
