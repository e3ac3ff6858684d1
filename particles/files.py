"""Files of any format: read, write, convert, describe. A format is a row of ``FORMATS`` and a module with five names.

A module of a format has ``MANY_FRAMES``, ``sniff(path, head)``, ``states(path, frame, units)`` (an iterator; frame None for
all), ``write_states(path, states)`` and ``describe(path)``, and ``stretch(path, frame, k, of)`` where a part can be read alone.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import AskelError, InputError
from .particles import Particles
from .units import UnitSystem


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
    module : module beside this one, imported when needed
    extensions : names that ask for it when writing; "" for all others
    summary : one line

    """

    name: str
    module: str
    extensions: tuple[str, ...]
    summary: str

    def load(self) -> Any:
        """Import and return the module."""
        return importlib.import_module(f".{self.module}", __package__)


#: In the order in which a file's content is asked.
FORMATS: tuple[Format, ...] = (
    Format("h5md", "io_h5md_files", (".h5md",), "H5MD trajectories, ours and of other programs"),
    Format("gadget", "io_gadget", (".hdf5", ".h5"), "GADGET-style HDF5 snapshots"),
    Format("checkpoint", "io_checkpoint_files", (".checkpoint",), "checkpoints of Askel (read only)"),
    Format("csv", "io_csv", (".csv",), "comma-separated values with a header"),
    Format("text", "io_text", (".txt", ".dat"), "one row a body: m x y z vx vy vz"),
    Format("ase", "io_ase", ("",), "extended XYZ and all that ASE reads or writes"),
)
_BINARY = ("h5md", "gadget", "checkpoint")
_HEAD = 4096


def format_of(path: str | Path) -> Format:
    """Return the format of an existing file: by its content where that is telling, else by its name.

    Raises
    ------
    InputError : no such file, a folder, empty, no known format

    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if not head:
        raise InputError(f"{path} is empty")
    binary = [f for f in FORMATS if f.name in _BINARY and f.load().sniff(path, head)]
    if binary:
        return binary[0]
    if head.startswith(b"\x89HDF"):
        raise InputError(f"{path} is an HDF5 file, but neither H5MD nor GADGET; see what is in it with h5dump")
    wanted = [f for f in FORMATS if f.name in _BINARY and path.suffix.lower() in f.extensions]
    if wanted:
        raise InputError(f"{path} is named like {wanted[0].summary}, but its content is something else")
    rest = [f for f in FORMATS if f.name not in _BINARY]
    named = [f for f in rest if path.suffix.lower() in f.extensions and path.suffix]
    if named:
        return named[0]
    for found in rest:
        if found.load().sniff(path, head):
            return found
    raise InputError(f"{path} is in no format that Askel or ASE knows; known: {', '.join(f.name for f in FORMATS)}")


def _format_to_write(path: Path) -> Format:
    named = [f for f in FORMATS if path.suffix.lower() in f.extensions and path.suffix]
    return named[0] if named else FORMATS[-1]


def frames(path: str | Path, frame: int | None = None, *, units: UnitSystem | None = None) -> Iterator[Particles]:
    """Yield all frames of a file (or one of them), converted to ``units`` when given."""
    for state in format_of(path).load().states(Path(path), frame, units):
        yield state if units is None else state.in_units(units)


def read(path: str | Path, frame: int = -1, *, units: UnitSystem | None = None) -> Particles:
    """Return one frame of a file of any known format.

    Parameters
    ----------
    path : the file
    frame : which one, from the start (0, 1, ...) or from the end (-1, -2, ...)
    units : UnitSystem to convert to; also says what the numbers mean where the file does not

    Returns
    -------
    Particles, in ``units``, or in those of the file

    Raises
    ------
    InputError : unreadable, damaged, unknown format, no such frame, no units, units that cannot be converted

    """
    (state,) = frames(path, frame, units=units)
    return state


def read_stretch(
    path: str | Path, k: int, of: int, frame: int = -1, *, units: UnitSystem | None = None
) -> Particles | None:
    """Return a part of one frame, so that several ranks read it together; None where only the whole can be read.

    Parameters
    ----------
    path, frame, units : as for ``read``
    k, of : the k-th (from 0) of so many parts of about equal size, which may be empty; optional fields of the whole may be
        absent in one of them

    Raises
    ------
    InputError : as ``read``

    """
    reader = getattr(format_of(path).load(), "stretch", None)
    state: Particles | None = None if reader is None else reader(Path(path), frame, k, of)
    return state if state is None or units is None else state.in_units(units)


def write(path: str | Path, particles: Particles, *, overwrite: bool = False, gadget_view: bool = False) -> None:
    """Write a state to a file whose name says the format (.h5md, .hdf5, .csv, .txt, .xyz, and all that ASE writes).

    Parameters
    ----------
    path : the file; an existing one stays as it is until the new one is complete
    particles : Particles
    overwrite : replace an existing file
    gadget_view : add a GADGET view to an .h5md file

    Raises
    ------
    InputError : the file exists, cannot be written there, or the format cannot hold the state

    """
    _write(Path(path), [particles], overwrite=overwrite, gadget_view=gadget_view)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    frame: int | None = None,
    units: UnitSystem | None = None,
    overwrite: bool = False,
    gadget_view: bool = False,
) -> int:
    """Write a file in another format; return the number of frames written.

    Parameters
    ----------
    source, target : files
    frame : one frame alone; all when not given (the last one, where the target holds only one)
    units : convert to these; the file's own when not given
    overwrite : replace an existing target
    gadget_view : add a GADGET view of the last frame to an .h5md file

    Raises
    ------
    InputError : as ``read`` and ``write``

    """
    source, target = Path(source), Path(target)
    if target.exists() and target.samefile(source):
        raise InputError(f"{source} cannot be converted to itself; give another name")
    written = _format_to_write(target)
    _refuse_existing(target, overwrite)
    which = -1 if frame is None and not written.load().MANY_FRAMES else frame
    count = _write(target, frames(source, which, units=units), overwrite=overwrite, gadget_view=gadget_view)
    if written.name == "h5md" and frame is None and format_of(source).name == "h5md":
        written.load().copy_records(source, target)
    return count


def info(path: str | Path) -> dict[str, Any]:
    """Return what is in a file, as plain values.

    Returns
    -------
    dict with: path, format, bytes, frames, particles, time {first, last}, units, and for trajectories energy_error {max,
    final}, post_newtonian {terms, max_v_over_c, max_compactness}, mergers, wall_time (s), valid, damaged (list of
    sentences), and what else the run reported; None where the file does not say

    Raises
    ------
    InputError : unreadable, unknown format

    """
    path = Path(path)
    found = format_of(path)
    unknown = {
        "energy_error": {"max": None, "final": None},
        "post_newtonian": {"terms": [], "max_v_over_c": None, "max_compactness": None},
        "mergers": 0,
        "wall_time": None,
        "valid": True,
        "damaged": [],
    }
    facts: dict[str, Any] = {"path": str(path), "format": found.name, "bytes": path.stat().st_size}
    described = found.load().describe(path)
    return facts | described | {key: value for key, value in unknown.items() if key not in described}


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file to write")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; give another name, or overwrite it (--overwrite)")


def _write(path: Path, states: Iterable[Particles], *, overwrite: bool, gadget_view: bool) -> int:
    """Write under a temporary name, then rename."""
    _refuse_existing(path, overwrite)
    form = _format_to_write(path)
    if gadget_view and form.name != "h5md":
        raise InputError(f"a GADGET view goes into .h5md files, not into {path.name}")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    module = form.load()
    options: dict[str, Any] = {"gadget_view": True} if gadget_view else {}
    if form.name == "ase":
        count = _guarded(path, temporary, lambda: module.write_named(temporary, states, path))
    else:
        count = _guarded(path, temporary, lambda: module.write_states(temporary, states, **options))
    return count


def _guarded(path: Path, temporary: Path, do: Any) -> int:
    try:
        count: int = do()
        temporary.replace(path)
    except InputError:
        raise
    except (OSError, AskelError) as error:
        cause = error.__cause__ if isinstance(error, AskelError) else error
        what = getattr(cause, "strerror", None) or cause
        raise InputError(f"cannot write {path}: {what}; what was there is intact") from None
    finally:
        temporary.unlink(missing_ok=True)
    return count
