"""Training data of the shipped energy model of copper: strained, rattled and defective cells with EMT's energies and forces.

    python benchmarks/copper_energies.py FILE [--cells 1200] [--seed 1]

Cells of 32 atoms about fcc, each strained by up to 8 % in length (isotropic, and 4 % in any other direction), one in five with
a vacancy. Each is written as a segment of two frames at rest, with atoms displaced by up to 0.25 Angstrom rms, as
`askel train` with head "energy" reads them.
"""

import argparse

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from askel.md.ase_references import COPPER_A
from askel.particles.io_segments import Segment, SegmentWriter


def cell(rng):
    """Return one structure as a segment."""
    atoms = bulk("Cu", cubic=True, a=COPPER_A) * (2, 2, 2)
    shear = rng.uniform(-0.04, 0.04, (3, 3))
    strain = np.eye(3) * (1.0 + rng.uniform(-0.08, 0.08)) + 0.5 * (shear + shear.T)
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    if rng.random() < 0.2:
        del atoms[int(rng.integers(len(atoms)))]
    atoms.calc = EMT()
    ideal, frames = atoms.positions.copy(), []
    for _ in range(2):
        atoms.positions = ideal + rng.uniform(0.0, 0.25) * rng.normal(size=ideal.shape) / np.sqrt(3.0)
        frames.append((atoms.positions.copy(), atoms.get_forces(), atoms.get_potential_energy()))
    position, forces, energy = (np.array(column) for column in zip(*frames, strict=True))
    return Segment(
        atoms.numbers, atoms.get_masses(), atoms.cell.array.copy(), np.ones(3, bool), 0.0, 1.0, position, 0.0 * position, forces,
        energy,
    )  # fmt: skip


def main():
    """Write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--cells", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with SegmentWriter.create(
        options.file, reference="copper-emt, strained", step=1.0, interval=1.0, overwrite=True
    ) as writer:
        for _ in range(options.cells):
            writer.append(cell(rng))


if __name__ == "__main__":
    main()
