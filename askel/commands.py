"""What the commands do; each takes the parsed options and returns an exit code."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from .particles import InputError


def run(options: argparse.Namespace) -> int:
    """Run a job, or say what it would do."""
    from .job import execute
    from .parallel import exchange_of_launch
    from .request import request

    exchange = exchange_of_launch()
    asked = request(
        options.job,
        overrides=options.set,
        folder=options.folder,
        resume=options.resume,
        overwrite=options.overwrite,
        quiet=options.quiet,
        max_hours=options.max_hours,
        exchange=exchange,
    )
    if options.dry_run and exchange.rank > 0:
        return 0
    if options.dry_run:
        from .preview import preview

        print("\n".join(preview(asked)))
        return 0
    result = execute(asked)
    if result.report is not None and not options.quiet and exchange.rank == 0:
        from .preview import summary

        print("\n".join(summary(result)))
    return 0


def info(options: argparse.Namespace) -> int:
    """Say what is in a file."""
    from .describe import describe, shown

    print(shown(describe(Path(options.file)), as_json=options.json))
    return 0


def convert(options: argparse.Namespace) -> int:
    """Turn a file into another format."""
    from .particles.files import convert as turn

    frame = {} if options.frame is None else {"frame": options.frame}
    turn(options.source, options.target, overwrite=options.overwrite, **frame)
    return 0


def plot(options: argparse.Namespace) -> int:
    """Draw a trajectory."""
    from .plot import plot as draw

    target = Path(options.output) if options.output else Path(options.file).with_suffix(".png")
    print(draw(options.file, target, plane=options.plane, last=options.last, overwrite=options.overwrite))
    return 0


def example(options: argparse.Namespace) -> int:
    """List the example jobs, or write one here."""
    folder = resources.files("askel.examples")
    jobs = {p.name.removesuffix(".toml"): p for p in folder.iterdir() if p.name.endswith(".toml")}
    if options.name is None:
        width = max(len(name) for name in jobs) + 2
        print("\n".join(f"{name:<{width}}{_first_comment(jobs[name].read_text())}" for name in sorted(jobs)))
        return 0
    name = options.name.removesuffix(".toml")
    if name not in jobs:
        near = difflib.get_close_matches(name, jobs, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(jobs))}"
        raise InputError(f"no example {name!r}; {hint}")
    files = {f"{name}.toml": jobs[name].read_text()}
    for data in (folder / f"{name}.csv", folder / "structures" / f"{name}.xyz"):
        if data.is_file():
            files[data.name] = data.read_text()
    for target in files:
        if Path(target).exists():
            raise InputError(f"{target} is there already; move it away, or run this in another folder")
    for target, text in files.items():
        with Path(target).open("x") as file:
            file.write(text)
    _, recipe, command = _first_comment(jobs[name].read_text()).partition("Run: ")
    print(f"wrote {' and '.join(files)}; next: {command if recipe else f'askel run {name}.toml'}")
    return 0


def _first_comment(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line.lstrip("# ") if line.startswith("#") else ""


def check(options: argparse.Namespace) -> int:
    """Report the environment; 4 when a package of the base is missing."""
    from .environment import missing, report

    rows = report()
    width = max(len(what) for what, _ in rows) + 2
    print("\n".join(f"{what:<{width}}{finding}" for what, finding in rows))
    return 4 if missing() else 0


def schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of job files, or of the recipes of data or training."""
    makers: dict[str, Callable[[], Any]] = {
        "job": _job_schema,
        "data": _data_schema,
        "train": _training_schema,
        "scatter": _scatter_schema,
    }
    json.dump(makers[options.of](), sys.stdout, indent=2)
    print()
    return 0


def _job_schema() -> Any:
    from .tables import Config

    return Config.model_json_schema()


def _data_schema() -> Any:
    from .learning_tables import DataRecipeTable

    return DataRecipeTable.model_json_schema()


def _scatter_schema() -> Any:
    from .scatter_tables import ScatterJob

    return ScatterJob.model_json_schema()


def _training_schema() -> Any:
    from pydantic import TypeAdapter

    from .md.training.recipe import TrainingRecipe

    return TypeAdapter(TrainingRecipe).json_schema()


def scatter(options: argparse.Namespace) -> int:
    """Run many encounters."""
    from .scatter_command import scatter as meet

    return meet(options)


def data(options: argparse.Namespace) -> int:
    """Make training data."""
    from .learning import data as make

    return make(options)


def train(options: argparse.Namespace) -> int:
    """Train a model."""
    from .learning import train as learn

    return learn(options)


def evaluate(options: argparse.Namespace) -> int:
    """Judge a model."""
    from .judging import evaluate as judge

    return judge(options)


def models(options: argparse.Namespace) -> int:
    """List models and references."""
    from .judging import models as say

    return say(options)


def scaling(options: argparse.Namespace) -> int:
    """Say how a job scales."""
    from .scaling import scaling as count

    return count(options)
