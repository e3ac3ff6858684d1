"""A trajectory file as an ``MDAnalysis.Universe`` with the masses, identities and elements that MDAnalysis itself leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, MissingDependency
from .io_h5md_read import Trajectory
from .units import UNIT_SYSTEMS


def to_mdanalysis(path: str | Path) -> Any:
    """Return the universe of a trajectory file.

    Parameters
    ----------
    path : file that ends in ``.h5md``

    Returns
    -------
    MDAnalysis.Universe, an atom per particle of the first frame: positions (single precision) in Angstrom and times in ps
    for states in ASE units, else in the numbers of the file; ``masses``, ``ids``, and ``elements``, ``names`` where there
    are atomic numbers

    Raises
    ------
    InputError : not an H5MD file, no frames, or particles that were born later
    MissingDependency : MDAnalysis is not installed

    """
    try:
        from MDAnalysis import Universe
    except ImportError:
        raise MissingDependency("MDAnalysis", "convert") from None
    with Trajectory(path) as trajectory:
        if not len(trajectory):
            raise InputError(f"{path} holds no frames")
        first, rows = trajectory[0], trajectory.rows
    if first.n != rows:
        raise InputError(
            f"{path} has {rows} particles, {first.n} of them in the first frame; MDAnalysis wants all there"
        )
    if first.units == UNIT_SYSTEMS["ase"]:
        universe = Universe(str(path))
    else:
        universe = Universe.empty(rows, trajectory=True).load_new(str(path), convert_units=False)
    universe.add_TopologyAttr("masses", np.array(first.mass))
    universe.add_TopologyAttr("ids", np.array(first.identity))
    if first.species is not None:
        from .io_ase import symbols

        universe.add_TopologyAttr("elements", symbols(first.species))
        universe.add_TopologyAttr("names", symbols(first.species))
    return universe
