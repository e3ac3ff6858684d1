"""The command line: which commands and options there are. What they do is in ``commands``, loaded when one runs.

Plain argparse, because ``askel --help`` must answer at once.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser("askel", description=_DESCRIPTION, epilog=_EPILOG)
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
    _plot(add("plot", "draw orbits, energy error, orbital elements and strain of a trajectory"))
    example = add("example", "list the example jobs, or write one of them here")
    example.add_argument("name", nargs="?", help="without .toml")
    add("check", "report the environment: versions, compiled kernels, threads, MPI, CUDA")
    add("schema", "print the JSON schema of job files")
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
