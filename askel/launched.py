"""Whether a launcher started this process as one of several ranks; without MPI, and without importing anything."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: What launchers tell a process: (variable of the number of ranks, variable of this rank).
_LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),  # MPICH, Intel, Cray
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PALS_SIZE", "PALS_RANKID"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)


def launched(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return (rank, number of ranks) as the launcher says; (0, 1) where there is none."""
    for size, rank in _LAUNCHERS:
        if environment.get(size, "").isdigit() and environment.get(rank, "").isdigit():
            return int(environment[rank]), int(environment[size])
    return 0, 1
