"""``askel data`` and ``askel train``: recipes in, files of segments and models out; both stop on signals and go on."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .config import checked, override, read_toml
from .learning_tables import DataRecipeTable, Trajectories
from .particles import InputError, Interrupted, MissingDependency
from .progress import Work
from .signals import StopRequest

#: Suffixes of what ``askel train`` and ``askel data`` write.
MODEL, SEGMENTS = ".safetensors", ".h5"


def data(options: argparse.Namespace) -> int:
    """Make a file of segments."""
    recipe = checked(override(read_toml(options.recipe, "recipe"), options.set), DataRecipeTable, str(options.recipe))
    target = Path(options.output)
    if target.suffix != SEGMENTS:
        raise InputError(f"{target}: files of segments end in {SEGMENTS}")
    if (recipe.reference is None) == (recipe.trajectories is None):
        came = "neither" if recipe.reference is None else "both"
        raise InputError(f"{options.recipe} has {came} of reference and [trajectories]; give one of them")
    if target.exists() and not (options.overwrite or options.resume):
        raise InputError(
            f"{target} is there already; use --resume to go on, --overwrite to replace it, or another name"
        )
    _folder_of(target)
    folder = Path(options.recipe).parent
    if recipe.trajectories is not None:
        return _cut(recipe.trajectories, folder, target, options)
    return _make(recipe, folder, target, options)


def _make(recipe: DataRecipeTable, folder: Path, target: Path, options: argparse.Namespace) -> int:
    """Run the reference's dynamics."""
    from .md.ase_data import DataRecipe, Progress, held_out, make_segments
    from .md.ase_references import find_reference

    reference = find_reference(str(recipe.reference))
    own = {f.name: getattr(recipe, f.name) for f in fields(DataRecipe)}
    own = {name: value for name, value in own.items() if value is not None}
    if "temperatures" in own:  # the reference's shares belong to its own temperatures
        own.setdefault("shares", ())
    plan = replace(reference.recipe, **own)
    if options.test:
        plan = held_out(plan, recipe.test.segments, recipe.test.temperature)
    atoms = reference.atoms() if recipe.structure is None else _structure(folder / recipe.structure)
    with StopRequest() as stop, Work(quiet=options.quiet) as work:

        def show(now: Progress) -> None:
            words = f"{now.done} of {now.total} segments | T {now.temperature:.0f} K | drift {now.drift:.2g} meV/atom"
            work.show(now.done / now.total, words)

        done = make_segments(
            plan, target, calculator=reference.calculator, atoms=atoms, reference=reference.name, resume=options.resume,
            overwrite=options.overwrite, progress=show, stop=stop,
        )  # fmt: skip
    if done.done < done.total:
        raise Interrupted(f"stopped by {stop.reason} after {done.done} of {done.total} segments; go on with --resume")
    if not options.quiet:
        print(
            f"{target}: {done.total} segments of {plan.frames} frames every {plan.interval:g} fs, energy strays by "
            f"{done.drift:.2g} meV/atom (largest {done.worst_drift:.2g})"
        )
    return 0


def _structure(path: Path) -> Any:
    from .particles.files import read
    from .particles.io_ase import atoms_from_particles

    particles = read(path)
    if particles.species is None:
        raise InputError(f"{path} has no chemical symbols; give a file of atoms")
    return atoms_from_particles(particles)


def _cut(table: Trajectories, folder: Path, target: Path, options: argparse.Namespace) -> int:
    """Cut trajectories that are there."""
    from .md.ase_data import segments_from_trajectory

    if options.resume or options.test:
        raise InputError("--resume and --test are for a reference; trajectories are cut at once")
    count = segments_from_trajectory(
        [folder / name for name in table.files], target, interval=table.interval, step=table.step,
        frames_per_segment=table.frames, temperature=table.temperature, reference=table.name, overwrite=options.overwrite,
    )  # fmt: skip
    if not options.quiet:
        print(f"{target}: {count} segments of {table.frames} frames every {table.interval:g} fs")
    return 0


def _folder_of(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {target.parent}: {error.strerror}; choose another") from None


# ---------------------------------------------------------------------- training


def train(options: argparse.Namespace) -> int:
    """Train a model."""
    values = _beside(override(read_toml(options.recipe, "recipe"), options.set), Path(options.recipe).parent)
    if options.max_minutes is not None:
        values["max_minutes"] = options.max_minutes
    training = needing_torch("askel.md.training.trainer")
    recipe = training.TrainingRecipe.from_mapping(values)
    target = Path(options.output)
    folder = target.with_suffix("") if target.suffix == MODEL else target
    if target.suffix == MODEL and target.exists() and not (options.overwrite or options.resume):
        raise InputError(
            f"{target} is there already; use --resume to go on, --overwrite to replace it, or another name"
        )
    there = (folder / importlib.import_module("askel.md.training.loop").CHECKPOINT).exists()
    with StopRequest() as stop, Work(quiet=options.quiet) as work:

        def show(row: Mapping[str, Any]) -> None:
            work.show(_fraction(recipe, row), _words(row))

        model = training.train(
            recipe, folder, resume=options.resume and there, overwrite=options.overwrite, progress=show, stop=stop
        )
    if target.suffix == MODEL:
        _folder_of(target)
        shutil.copyfile(folder / training.MODEL, target)
    if not options.quiet:
        _finished(model, target if target.suffix == MODEL else folder / training.MODEL, folder)
    return 0


def needing_torch(module: str) -> Any:
    """Import a module that imports torch; raises MissingDependency without it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name in ("torch", "e3nn"):
            raise MissingDependency(error.name, "ml") from None
        raise


def _beside(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the recipe with its files, which stand relative to the recipe, as paths."""
    from .build_stride import model_path
    from .md.model_library import find_model

    for key in ("data", "test"):
        files = values.get(key)
        names = [files] if isinstance(files, str) else files
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            values[key] = [str(folder / name) for name in names]
    start = values.get("start_from")
    if isinstance(start, str) and start:
        values["start_from"] = str(find_model(model_path(start, folder)))
    return values


def _fraction(recipe: Any, row: Mapping[str, Any]) -> float:
    """Return the part of the budget that is used up; of epochs, roughly."""
    used = [
        row["step"] / recipe.steps if recipe.steps else 0.0,
        row["epoch"] / recipe.epochs if recipe.epochs else 0.0,
        row["seconds"] / (60.0 * recipe.max_minutes) if recipe.max_minutes else 0.0,
    ]
    return min(max(used), 1.0)


def _words(row: Mapping[str, Any]) -> str:
    parts = [f"step {row['step']}"]
    parts += [
        f"{name} {row[key]:.4g}"
        for name, key in (("loss", "train_loss"), ("validation", "validation_loss"))
        if isinstance(row.get(key), float)
    ]
    return " | ".join([*parts, f"{row['steps_per_second']:.3g} steps/s"])


def _finished(model: Any, path: Path, folder: Path) -> None:
    card = model.card
    spent = card["training"]
    loss = spent.get("validation_loss")
    shown = "" if loss is None else f", validation loss {loss:.4g} (1: the baseline)"
    print(f"{path}: {spent['steps']} steps in {spent['minutes']:g} min, ended by {spent['ended']}{shown}")
    print(f"losses in {folder}/log.csv and loss.png; next: askel evaluate {path} --data TEST{SEGMENTS}")
    sys.stdout.flush()
