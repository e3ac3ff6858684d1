"""The command line: which commands and options there are. What they do is in ``commands``, loaded when one runs.

Plain argparse, because ``askel --help`` must answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Callable
from typing import NoReturn

from . import __version__

_DESCRIPTION = "N-body dynamics from black holes to molecules."
_EPILOG = "A first run:  askel example black_hole_triple  &&  askel run black_hole_triple.toml"
_EXIT_CODES = (
    "exit codes: 0 done, 2 bad input, 3 numerical failure, 4 missing dependency, "
    "75 stopped by Ctrl-C, SIGTERM, SIGUSR1 or --max-hours: go on with --resume"
)

Command = Callable[[argparse.Namespace], int]


def _later(name: str) -> Command:
    """Return a command that is imported when it is called."""

    def command(options: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module("askel.commands"), name)(options)
        return code

    return command


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of Askel's are, and name the nearest choice."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with 2."""
        wrong = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        near = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), 1) if wrong else []
        hint = f"did you mean {near[0]!r}?" if near else f"see {self.prog} --help"
        self.exit(2, f"{self.prog}: {message}; {hint}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = _Parser("askel", description=_DESCRIPTION, epilog=_EPILOG)
    top.add_argument("--version", action="version", version=f"askel {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, summary: str, epilog: str = "") -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=epilog)
        one.set_defaults(command=_later(name))
        return one

    _run(add("run", "run a job", _EXIT_CODES))
    info = add("info", "say what is in a file")
    info.add_argument("file")
    info.add_argument("--json", action="store_true", help="as JSON")
    _convert(add("convert", "turn a file into another format, by their names"))
    _plot(
        add("plot", "draw a trajectory: orbits, energy error, strain; or temperatures, distributions, spectra of atoms")
    )
    _data(add("data", "make training data with a reference calculator, or from trajectories", _EXIT_CODES))
    _train(add("train", "train a long stride, or an energy model", _EXIT_CODES))
    _evaluate(add("evaluate", "judge a model against its reference"))
    models = add("models", "list the models and references that come with askel, or print a model's card")
    models.add_argument("name", nargs="?", help="a model's name or file")
    models.add_argument("--json", action="store_true", help="as JSON")
    _scatter(
        add("scatter", "run many encounters; replay TABLE: one of them again; show TABLE: cross sections", _EXIT_CODES)
    )
    _scaling(
        add("scaling", "count bytes, messages and work of a job on several numbers of ranks, and say how it scales")
    )
    example = add("example", "list the example jobs, or write one of them here")
    example.add_argument("name", nargs="?", help="without .toml")
    add("check", "report the environment: versions, compiled kernels, threads, MPI, CUDA")
    schema = add("schema", "print the JSON schema of job files, or of recipes")
    schema.add_argument(
        "of", nargs="?", choices=("job", "data", "train", "scatter"), default="job", help="default: job"
    )
    return top


def _run(run: argparse.ArgumentParser) -> None:
    run.add_argument("job", help="a TOML file; askel example writes some")
    run.add_argument("-s", "--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the job")
    run.add_argument("--resume", action="store_true", help="go on from the last checkpoint; start if there is none")
    run.add_argument("--overwrite", action="store_true", help="replace existing output")
    run.add_argument("--dry-run", action="store_true", help="build everything, say what would be done, write nothing")
    run.add_argument("--quiet", action="store_true", help="no progress and no summary")
    run.add_argument("--max-hours", type=float, metavar="H", help="checkpoint and stop (code 75) after H hours")
    run.add_argument("--folder", metavar="DIR", default=".", help="where output goes (default: the current folder)")


def _scatter(scatter: argparse.ArgumentParser) -> None:
    scatter.add_argument(
        "words",
        nargs="+",
        metavar="JOB",
        help="a TOML file (askel example binary_single); or replay TABLE.h5, or show TABLE.h5",
    )
    scatter.add_argument("--encounter", type=int, metavar="N", help="replay: which one, from 0")
    scatter.add_argument(
        "-o", "--output", metavar="FILE", help="replay: trajectory (*.h5md); show: picture (*.png, ...)"
    )
    scatter.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
    _again(scatter)


def _scaling(scaling: argparse.ArgumentParser) -> None:
    scaling.add_argument("job", help="a TOML file; it is not run to its end, and nothing is written")
    scaling.add_argument("--ranks", metavar="P,P,...", default="1,2,4,8", help="numbers of ranks (default: 1,2,4,8)")
    scaling.add_argument("--steps", type=int, metavar="N", default=3, help="steps that are counted (default: 3)")
    scaling.add_argument("--latency", type=float, metavar="US", default=2.0, help="microseconds of a message (2)")
    scaling.add_argument("--bandwidth", type=float, metavar="GB/S", default=10.0, help="GB/s between two ranks (10)")
    scaling.add_argument(
        "-s", "--set", metavar="KEY=VALUE", action="append", default=[], help="override a key of the job"
    )
    scaling.add_argument("-o", "--output", metavar="FILE.json", help="write what was counted there")
    scaling.add_argument("--here", action="store_true", help=argparse.SUPPRESS)


def _convert(convert: argparse.ArgumentParser) -> None:
    convert.add_argument("source", metavar="IN")
    convert.add_argument("target", metavar="OUT")
    convert.add_argument("--frame", type=int, metavar="N", help="one frame alone; -1 is the last")
    convert.add_argument("--overwrite", action="store_true", help="replace OUT")


def _plot(plot: argparse.ArgumentParser) -> None:
    plot.add_argument("file")
    plot.add_argument("-o", "--output", metavar="PICTURE", help="*.png, *.svg or *.pdf (default: FILE with .png)")
    plot.add_argument("--overwrite", action="store_true", help="replace the picture")
    plot.add_argument("--plane", choices=("xy", "xz", "yz"), default="xy", help="the projection of the orbits")
    plot.add_argument("--last", type=float, metavar="FRACTION", default=1.0, help="only the last part of the run")


def _again(command: argparse.ArgumentParser) -> None:
    """Add what the commands that work for long have in common."""
    command.add_argument("-s", "--set", metavar="KEY=VALUE", action="append", default=[], help="override a key")
    command.add_argument("--resume", action="store_true", help="go on with what is there; start if nothing is")
    command.add_argument("--overwrite", action="store_true", help="replace existing output")
    command.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _data(data: argparse.ArgumentParser) -> None:
    data.add_argument("recipe", metavar="RECIPE", help="a TOML file: reference = ..., or [trajectories]")
    data.add_argument("output", metavar="OUT.h5", help="the file of segments")
    data.add_argument("--test", action="store_true", help="make the recipe's [test] set instead, from another seed")
    _again(data)


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("recipe", metavar="RECIPE", help="a TOML file: data = [...], strides = [...], a budget")
    train.add_argument("output", metavar="OUT", help="a folder, or *.safetensors (the folder is then named like it)")
    train.add_argument("--max-minutes", type=float, metavar="M", help="budget, in place of the recipe's max_minutes")
    _again(train)


def _evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("model", metavar="MODEL", help="a shipped model's name, or a file")
    evaluate.add_argument("--data", metavar="TEST.h5", help="segments that were not trained on: errors of one step")
    evaluate.add_argument("--reference", metavar="FILE", help="segments or trajectory to run against")
    evaluate.add_argument("--seeds", type=int, metavar="N", default=4, help="runs (default: 4)")
    evaluate.add_argument("--time", metavar="T", default="20 ps", help="of every run (default: 20 ps)")
    evaluate.add_argument("--temperature", type=float, metavar="K", help="default: that of the reference")
    evaluate.add_argument("--stride", type=float, metavar="FS", help="default: the model's longest")
    evaluate.add_argument("--thermostat", metavar="KIND", default="bussi", help="bussi, langevin, nose-hoover or none")
    evaluate.add_argument("-o", "--output", metavar="FOLDER", help="write judgement.png, .json and .md there")
    evaluate.add_argument("--overwrite", action="store_true", help="replace them")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of the table")
    evaluate.add_argument("--quiet", action="store_true", help="no progress")
