"""Trajectories: one HDF5 file that is valid H5MD, with tables and a run report beside the frames.

The names to use; the layout is described in ``io_h5md_layout``, the unit strings in ``io_h5md_units``, why a kill at any
moment leaves a good file in ``io_journal``.
"""

from __future__ import annotations

from .io_h5md_read import Trajectory
from .io_h5md_write import TrajectoryWriter

__all__ = ["Trajectory", "TrajectoryWriter"]
