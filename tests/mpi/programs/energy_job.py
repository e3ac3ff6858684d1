"""Run by several ranks: jobs of atoms moved or judged by a network's energy, through the front door, against one rank."""

from pathlib import Path

import numpy as np
from askel.mpi import the_world
from askel.particles import NumericalFailure
from askel.particles.io_h5md import Trajectory

import askel

VERLET = {"kind": "leapfrog", "step": "2 fs"}
LANGEVIN = {"kind": "langevin", "temperature": 300.0}
BAROSTAT = {"pressure": 10000.0, "compressibility": 7e-7, "coupling": "axes", "time": "50 fs", "every": 2}
STRIDE = {"kind": "stride", "model": "copper-16-32fs"}
STRICT = {"estimators": ["range", "reversibility", "energy"], "tolerance": 1e-3}
FALLBACK = {"fallback": "forces", "fallback_step": "4 fs"}

#: name -> tables beside those that all have, steps, their length in fs, bound of what differs from one rank
CASES = {
    "verlet": ({"integrator": VERLET}, 8, 2, 1e-10),
    "pressure": ({"integrator": VERLET, "thermostat": LANGEVIN, "barostat": BAROSTAT}, 8, 2, 1e-10),
    "stride under pressure": ({"integrator": STRIDE, "thermostat": LANGEVIN, "barostat": BAROSTAT}, 4, 32, 1e-5),
    "strides that stand": ({"integrator": STRIDE, "error_control": STRICT | {"tolerance": 100.0}}, 3, 32, 1e-5),
    "strides that do not": ({"integrator": STRIDE, "error_control": STRICT | FALLBACK}, 3, 32, 1e-10),
}


def crystal(path):
    corner = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    place = 3.6 * (corner + 0.5 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])).reshape(-1, 3)
    rows = "\n".join("Cu " + " ".join(map(repr, row)) for row in place.tolist())
    path.write_text(f'32\nLattice="7.2 0 0 0 7.2 0 0 0 7.2" pbc="T T T"\n{rows}\n')


def job(name, tables, steps, fs):
    return {
        "units": {"system": "ase"}, "particles": {"file": "copper.xyz", "temperature": 300.0},
        "forces": {"model": "copper-energy"}, "run": {"t_end": f"{steps * fs} fs", "seed": 2},
        "output": {"file": f"{name}.h5md", "every": f"{fs} fs"}, **tables,
    }  # fmt: skip


def found(name):
    with Trajectory(f"{name}.h5md") as trajectory:
        return [trajectory[k] for k in range(len(trajectory))], trajectory.table("series/energy")


def assert_same(one, other, bound):
    (frames, energy), (frames2, energy2) = found(one), found(other)
    assert len(frames) == len(frames2) > 2
    for a, b in zip(frames, frames2, strict=True):
        i, j = np.argsort(a.identity), np.argsort(b.identity)
        for field in ("position", "velocity"):
            x, y = getattr(a, field)[i], getattr(b, field)[j]
            assert np.abs(x - y).max() <= bound * np.abs(x).max(), field
        assert np.abs(a.cell - b.cell).max() <= bound * np.abs(a.cell).max()
    for key in ("energy", "work"):
        assert np.abs(energy[key] - energy2[key]).max() <= bound * np.abs(energy["energy"]).max(), key
    return frames, energy


def check(name, rank):
    *tables, bound = CASES[name]
    many = askel.run(job("many", *tables), parallel=True, overwrite=True)
    if rank:
        return
    one = askel.run(job("one", *tables), overwrite=True)
    frames, energy = assert_same("one", "many", bound)
    control = [
        {k: v for k, v in r.report.statistics.items() if k.startswith(("strides", "fallback", "estim"))}
        for r in (one, many)
    ]
    assert control[0] == control[1], control
    if "pressure" in name:
        assert np.abs(frames[-1].cell - frames[0].cell).max() > 1e-3 and abs(energy["work"][-1]) > 1e-3
    if name == "strides that do not":
        assert control[1]["strides_replaced"] == 6.0  # in halves of 16 fs
    print("ok", name, flush=True)


def check_restart(rank):
    """A run in two parts is the whole one to the last bit, on as many ranks; its last part on one rank, to rounding."""
    tables, steps, fs, bound = CASES["verlet"]
    askel.run(job("whole", tables, steps, fs), parallel=True)
    for end in (4, steps):
        askel.run(job("parts", tables, end, fs), parallel=True, resume=True)
    askel.run(job("other", tables, 4, fs), parallel=True)
    if rank == 0:
        assert_same("whole", "parts", 0.0)
        askel.run(job("other", tables, steps, fs), resume=True)
        assert_same("whole", "other", bound)
        print("ok restart", flush=True)


def check_end(rank):
    """A rejected stride without a fall-back ends the run everywhere, with all atoms named."""
    tables = {"integrator": STRIDE, "error_control": STRICT | {"estimators": ["energy"], "tolerance": 1e-9}}
    try:
        askel.run(job("end", tables, 3, 32), parallel=True)
    except NumericalFailure as failure:
        assert len(failure.identities) == 32, failure
    else:
        raise AssertionError("nothing was raised")
    if rank == 0:
        print("ok end", flush=True)


if __name__ == "__main__":
    world = the_world()
    if world.rank == 0:
        crystal(Path("copper.xyz"))
    world.barrier()
    for name in CASES:
        check(name, world.rank)
    check_restart(world.rank)
    check_end(world.rank)
