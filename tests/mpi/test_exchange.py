"""The exchange of 1, 2, 3, 4 and 8 ranks gives what one process finds alone; the checks are in ``programs/exchanges.py``."""

import re
from pathlib import Path

import numpy as np
import pytest
from askel.particles import SERIAL, Particles
from askel.particles.collective import agree, gather, spread, together

PROGRAM = Path(__file__).resolve().parent / "programs" / "exchanges.py"
CHECKS = re.findall(r"^def (check_\w+)", PROGRAM.read_text(), re.MULTILINE)


@pytest.mark.parametrize("count", [1, 2, 3, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_all_ranks_agree_with_one_process(ranks, count):
    done = ranks.program(count, "exchanges")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"ok {name}" for name in CHECKS]
    assert len(CHECKS) >= 10


def test_serial_does_nothing():
    particles = Particles([1.0, 2.0], np.eye(3)[:2], np.zeros((2, 3)), identity=[7, 3])
    assert gather(SERIAL, particles) is particles
    assert spread(SERIAL, particles) is particles
    moved, kept = SERIAL.migrate(particles)
    assert moved is particles and kept.tolist() == [0, 1]
    halo = SERIAL.halo(particles.position, None, None, 5.0)
    assert halo.n == 0 and halo.forward(np.ones((2, 4, 3), np.float32)).shape == (0, 4, 3)
    assert SERIAL.ghosts(particles, ("position",), 1.0).n == 0
    assert SERIAL.reduce(3.5, "sum") == 3.5 and SERIAL.allgather(np.arange(3))[0].tolist() == [0, 1, 2]
    agree(SERIAL, None)
    with pytest.raises(ZeroDivisionError), together(SERIAL):
        raise ZeroDivisionError
    assert SERIAL.traffic.bytes == {}
