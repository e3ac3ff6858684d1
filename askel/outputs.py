"""The files of a run: trajectory, checkpoint and used.toml beside each other; names, locks, what may be replaced."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from .particles import InputError
from .particles.io_checkpoint import previous_path
from .particles.io_checkpoint_shares import share_paths
from .particles.io_journal import journal_path
from .particles.part_names import part_paths

SUFFIX = ".h5md"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The names of the files of one run.

    Attributes
    ----------
    trajectory : <stem>.h5md
    checkpoint : <stem>.checkpoint; the generation before it has ".previous" added
    used : <stem>.used.toml, the job as it was run

    """

    trajectory: Path
    checkpoint: Path
    used: Path

    @classmethod
    def of(cls, name: str, folder: Path, *, anywhere: bool) -> Outputs:
        """Return the names for ``output.file``.

        Parameters
        ----------
        name : as the job says
        folder : where relative names start
        anywhere : whether the user gave the name on the command line or in a program, and not a file from elsewhere

        Raises
        ------
        InputError : not a name of a trajectory, or one that leads out of the folder

        """
        path = Path(name)
        if path.suffix != SUFFIX:
            raise InputError(f"output.file = {name!r}: must end in {SUFFIX} (other programs find H5MD files by it)")
        if not anywhere and (path.is_absolute() or ".." in path.parts):
            raise InputError(
                f"output.file = {name!r}: a job file may only write inside the output folder; "
                f"give the folder with --folder, or the name with -s output.file={name}"
            )
        path = folder / path
        if not anywhere and not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"output.file = {name!r}: a link leads out of the output folder; choose another name")
        return cls(path, path.with_suffix(".checkpoint"), path.with_suffix(".used.toml"))

    @property
    def previous(self) -> Path:
        """The older generation of the checkpoint."""
        return previous_path(self.checkpoint)

    def existing(self) -> list[Path]:
        """Return the files that are there."""
        names = (self.trajectory, self.checkpoint, self.previous, self.used)
        parts = (*part_paths(self.trajectory), *share_paths(self.checkpoint))
        return [*(p for p in names if p.exists() or p.is_symlink()), *parts]

    def remove_old(self) -> None:
        """Remove the checkpoints of an earlier run, and its trajectory when that is in parts.

        A trajectory in one file stays until the first frame of the new one is there.
        """
        for old in (self.checkpoint, self.previous, *share_paths(self.checkpoint)):
            old.unlink(missing_ok=True)
        self.remove_parts()

    def remove_parts(self) -> None:
        """Remove the trajectory when it is in parts: the file that shows them first."""
        parts = part_paths(self.trajectory)
        for old in (self.trajectory, *parts) if parts else ():
            old.unlink(missing_ok=True)
            journal_path(old).unlink(missing_ok=True)

    def refuse_existing(self, job: Path | None) -> None:
        """Raise InputError when a run would write something over; the job file itself is not such a thing."""
        there = [p for p in self.existing() if job is None or not _same(p, job)]
        if there:
            hint = "--resume to go on, " if self.checkpoint in there else ""
            raise InputError(
                f"{there[0]} is there already; use {hint}--overwrite to replace it, or another output.file"
            )

    def refuse_lone_trajectory(self) -> None:
        """Raise InputError when a trajectory is there without a checkpoint to go on from."""
        if self.trajectory.exists():
            raise InputError(
                f"{self.trajectory} has no checkpoint {self.checkpoint.name} to resume from; "
                "use --overwrite to start anew, or another output.file"
            )

    def prepare_folder(self) -> None:
        """Make the folder, inside the output folder, and see that it takes files.

        Raises
        ------
        InputError : it cannot be made, or not be written to

        """
        folder = self.trajectory.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the output folder {folder}: {error.strerror}; choose another") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"the output folder {folder} is read-only; choose another with --folder")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


class Lock:
    """Holds a file open, so that no second process writes the same outputs; a killed process lets go of it.

    Raises
    ------
    InputError : another process holds it

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Lock:
        self._file = self._path.open("a")
        try:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # not on Windows
            pass
        except OSError:
            self._file.close()
            raise InputError(
                f"another run is writing {self._path.parent}; wait for it, or choose another name"
            ) from None
        return self

    def write(self, text: str) -> None:
        """Replace the content."""
        assert self._file is not None, "the lock is not held"
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
