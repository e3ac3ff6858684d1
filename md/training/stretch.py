r"""What least squares leave out of a stride, put back: strides that keep their energy on average.

The best prediction by squares is a mean, so it lacks the spread e of what it could not foresee: a stride d', v' of true d, v has
<v'.v'> = <v.v> - <e_v.e_v>, and a map of predictions cools (by 0.14 % of the energy a stride of quartz at an error of 4 %).
Stretched by

    1 + <e_v.e_v>/(2 <v.v>)  (velocities),    1 + <e_d.e_d>/<d.d>  (displacements)

it keeps, to first order in these small numbers, the mean of v.v, and that of the square of the distance from a resting place:
there <u.d> = -<d.d>/2 of a stationary motion u. One-step errors change by the same small part of themselves.
It repairs the mean of a species alone; what goes wrong between modes is for a thermostat.

| symbol | meaning | unit |
|---|---|---|
| d, v | displacement in a stride, velocity after it | Angstrom, Angstrom/fs |
| e | their errors on states that were not trained on | |
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...equivariant.architecture import Architecture
from .metrics import Errors


def stretches(found: Errors) -> dict[str, list[list[float]]]:
    """Return by what displacements and velocities are to grow, each (H, S): a stride, a species; 0 where there was no pair."""
    _, _, error, _, square = np.moveaxis(found.sums, 1, 0)
    left = np.divide(error, square, out=np.zeros_like(error), where=square > 0.0)
    return {"displacement": left[0].tolist(), "velocity": (0.5 * left[1]).tolist()}


def stretched(architecture: Architecture, by: dict[str, list[list[float]]]) -> Architecture:
    """Return an architecture whose strides are those of the given one times 1 + ``by``."""

    def scaled(table: tuple[tuple[float, ...], ...], quantity: str) -> tuple[tuple[float, ...], ...]:
        rows = zip(table, by[quantity], strict=True)
        return tuple(tuple(x * (1.0 + more) for x, more in zip(row, growth, strict=True)) for row, growth in rows)

    return replace(
        architecture,
        drift=scaled(architecture.drift, "displacement"),
        displacement_scale=scaled(architecture.displacement_scale, "displacement"),
        memory=scaled(architecture.memory, "velocity"),
        velocity_change_scale=scaled(architecture.velocity_change_scale, "velocity"),
    )
