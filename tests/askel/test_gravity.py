"""[gravity] as a job file gives it: kinds, softening laws and errors reach the interaction."""

from __future__ import annotations

import numpy as np
import pytest
from askel.nbody import DirectGravity, Fmm
from askel.particles import InputError

from askel import build
from askel.tables import Config


def interaction(**gravity):
    config = Config(
        units={"system": "galactic"},
        particles={"body": [{"mass": 1.0, "position": [0, 0, 0], "velocity": [0, 0, 0]}]},
        gravity=gravity,
        run={"t_end": 1.0},
    )
    from askel.particles import SERIAL, UNIT_SYSTEMS

    return build._interaction(config, UNIT_SYSTEMS["galactic"], SERIAL)


def test_fast_multipoles() -> None:
    made = interaction(kind="fmm", softening="20 pc", kernel="wendland", relative_error=1e-4)
    assert isinstance(made, Fmm)
    assert made.softening == pytest.approx(0.02)
    assert (made.kernel, made.relative_error) == ("wendland", 1e-4)


def test_direct_sums() -> None:
    made = interaction(softening=0.1, kernel="spline", star_star="softened")
    assert isinstance(made, DirectGravity)
    assert (made.softening, made.kernel, made.weight) == (0.1, "spline", 1.0)
    assert np.isclose(interaction().softening, 0.0)


def test_a_device_is_asked_for_by_name() -> None:
    from numba import cuda

    if cuda.is_available():
        assert interaction(backend="cuda", precision="mixed").provides == {"acceleration", "potential_energy", "virial"}
        return
    with pytest.raises(InputError, match='found no CUDA device; use backend = "cpu"'):
        interaction(backend="cuda")
