"""An HDF5 file in the making that is consistent on the disk at every moment: begun, committed, published, closed.

It is begun beside its place, under a name that starts with a dot, and takes its place with the first commit that has something
in it, so that nothing is written over before that; one that never had anything is not made.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import h5py

from .errors import AskelError, InputError
from .io_hdf5 import reading, reason
from .io_journal import JournaledFile, uninterrupted


class Hdf5Writer:
    """What writers of journaled HDF5 files share.

    Raises
    ------
    AskelError : the disk refuses (full, for instance); the file then stays as after the last commit

    """

    def __init__(self, file: JournaledFile, target: Path) -> None:
        self._file, self._target = file, target
        self._h5 = h5py.File(file, "r+" if file.size else "w")
        self._published = file.path == target
        self._closed = False

    @classmethod
    def _begun(cls, path: str | Path, *, overwrite: bool, choices: str = "or overwrite it (--overwrite)") -> Self:
        """Return the writer of a new, empty file; ``choices`` ends the message that one is there."""
        target = Path(path).resolve()
        if target.is_dir():
            raise InputError(f"{path} is a folder; expected the name of a file to write")
        if target.exists() and not overwrite:
            raise InputError(f"{path} exists; give another name, {choices}")
        try:
            file = JournaledFile(target.with_name(f".{target.name}.new"), "new")
        except OSError as error:
            raise InputError(f"cannot write {path}: {reason(error)}; give a name in a writable folder") from None
        return cls(file, target)

    @classmethod
    def _reopened(cls, path: str | Path) -> Self:
        """Return the writer of a file that is there, after finishing an interrupted commit."""
        target = Path(path).resolve()
        try:
            file = JournaledFile(target, "update")
        except OSError as error:
            raise InputError(f"cannot write {path}: {reason(error)}") from None
        try:
            with reading(target):
                return cls(file, target)
        except BaseException:
            file.close()
            raise

    def _holds_something(self) -> bool:
        """Return whether the file is worth its place."""
        raise NotImplementedError

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"{self._target} is closed; open it again with resume")
        if self._file.failure is not None:
            raise AskelError(f"{self._target} can no longer be written: an earlier write failed; the file is intact")

    def _commit(self, *, sync: bool = False) -> None:
        """Make what was written permanent; with ``sync`` it also survives a power failure."""
        self._h5.flush()
        self._file.commit(sync=sync)
        if not self._published and self._holds_something():
            self._file.move_to(self._target)
            self._published = True

    def _refused(self, error: OSError) -> AskelError:
        return AskelError(f"cannot write {self._target}: {reason(error)}; what it held before is intact")

    def _finish(self) -> None:
        """Write and commit what is still to be written before the file is closed."""

    def close(self) -> None:
        """Commit and close; a file that never held anything is not made."""
        if self._closed:
            return
        try:
            if self._file.failure is None:
                self._finish()
        finally:
            self._closed = True
            with uninterrupted():
                try:
                    with reading(self._target):
                        self._h5.close()
                finally:
                    self._close_file()

    def _close_file(self) -> None:
        if self._file.failure is None and self._published:
            self._file.commit()
        self._file.close()
        if not self._published:
            self._file.path.unlink(missing_ok=True)

    def _abandon(self) -> None:
        """Close without writing anything more."""
        self._closed = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()
