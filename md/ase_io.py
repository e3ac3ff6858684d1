"""The entry point by which ASE reads and writes H5MD: ``ase.io.read("run.h5md", ":")``, ``ase.io.write("x.h5md", atoms)``.

ASE imports this module at every ``import ase.io``: it must not import h5py, nor anything of Askel, by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.utils.plugins import ExternalIOFormat

if TYPE_CHECKING:
    from ase import Atoms

#: What ``ase.ioformats`` points to; several images to a file, a file name rather than an open file.
h5md_format = ExternalIOFormat(
    desc="H5MD trajectory (Askel and other programs)",
    code="+S",
    module="askel.md.ase_io",
    ext="h5md",
)


def read_askel_h5md(filename: str | Path, index: int | slice = -1) -> Iterator[Atoms]:
    """Yield the chosen frames of an H5MD file.

    Parameters
    ----------
    filename : path
    index : int or slice of frames, as ``ase.io.read`` passes it

    Yields
    ------
    ase.Atoms in ASE units where the file's have a physical scale, else in N-body units (``atoms.info["units"]``)

    Raises
    ------
    InputError : not H5MD, damaged; IndexError: no such frame (as ASE's own readers)

    """
    from ..particles.io_ase import atoms_from_particles
    from ..particles.io_h5md import Trajectory

    with Trajectory(filename) as trajectory:
        chosen = range(len(trajectory))[index] if isinstance(index, slice) else [index]
        for i in chosen:
            yield atoms_from_particles(trajectory[i])


def write_askel_h5md(filename: str | Path, images: Atoms | Sequence[Atoms], **options: Any) -> None:
    """Write images as an H5MD file; an existing one is replaced, as ASE's writers do.

    Parameters
    ----------
    filename : path
    images : the frames
    options : ``compression`` ("gzip" or "lzf"), ``gadget_view``, ``metadata``; see ``TrajectoryWriter.create``

    """
    from ase import Atoms

    from ..particles.io_ase import particles_from_atoms
    from ..particles.io_h5md import TrajectoryWriter

    frames = [images] if isinstance(images, Atoms) else images
    writer = TrajectoryWriter.create(filename, particles_from_atoms(frames[0]), overwrite=True, **options)
    with writer:
        for step, atoms in enumerate(frames):
            writer.append(particles_from_atoms(atoms), step)
