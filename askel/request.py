"""What is asked for: a job, how to run it, and where its outputs go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import load, override, parse
from .outputs import Outputs
from .particles import SERIAL, Exchange, InputError
from .tables import Config


@dataclass(frozen=True, slots=True)
class Request:
    """A job and how to run it.

    Attributes
    ----------
    config : the job
    origin : the job file, or None for a job from a program
    folder : where outputs go
    outputs : their names
    resume, overwrite, quiet : as on the command line
    max_hours : wall-clock limit, or None
    exchange : Exchange between ranks, which all make the same request

    """

    config: Config
    origin: Path | None
    folder: Path
    outputs: Outputs
    resume: bool = False
    overwrite: bool = False
    quiet: bool = True
    max_hours: float | None = None
    exchange: Exchange = SERIAL

    @property
    def inputs(self) -> Path:
        """The folder where the names of input files start."""
        return Path.cwd() if self.origin is None else self.origin.parent


def request(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    folder: str | os.PathLike[str] = ".",
    **how: Any,
) -> Request:
    """Return a job, read and parsed, with the names of its outputs; see ``Request``.

    Raises
    ------
    InputError : a job that cannot be used, or outputs where it may not write

    """
    origin = None if isinstance(source, Mapping) else Path(source)
    config = parse(override(source, overrides)) if isinstance(source, Mapping) else load(Path(source), overrides)
    trusted = origin is None or any(text.split("=")[0].strip() == "output.file" for text in overrides)
    outputs = Outputs.of(config.output.file, Path(folder), anywhere=trusted)
    limit = how.get("max_hours")
    if limit is not None and not limit > 0.0:
        raise InputError(f"--max-hours {limit:g}: must be positive")
    return Request(config, origin, Path(folder), outputs, **how)
