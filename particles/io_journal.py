"""A file that changes from one consistent state to the next, or not at all, whenever the process is killed.

HDF5 flushes a dataset's new length, its index and the file's header one after the other: a process killed in between, or
a disk that fills up, can leave a file that no longer opens. ``JournaledFile`` is given to h5py as a file object. It keeps
what HDF5 changes in the committed part of the file in memory, writes what lies beyond it at once (nothing refers to that
yet), and ``commit`` first writes the changed pages to a journal beside the file, then to the file, then empties the
journal. A complete journal found later belongs to an interrupted commit and is applied; an incomplete one is ignored.

The pages are small (some tens of kilobytes a commit), so that a commit costs tens of microseconds.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

PAGE = 4096
_MAGIC = b"ASKELJ1\n"
_HEADER = struct.Struct("<8sQQIII")  # magic, pages, file size, crc of page 0 before and after, crc of all that follows
_NUMBER = struct.Struct("<Q")
_FAILURES = (OSError, ValueError, OverflowError, MemoryError)  # of the disk; of a closed file; of a damaged one


def journal_path(path: Path) -> Path:
    """Return the name of the journal that belongs to a file."""
    return path.with_name(path.name + ".journal")


def read_journal(path: Path) -> tuple[dict[int, bytes], int] | None:
    """Return (page number -> content, file size) of an interrupted commit of this file, or None when there is none."""
    try:
        raw = journal_path(path).read_bytes()
        if len(raw) < _HEADER.size:
            return None
        with path.open("rb") as file:
            first = zlib.crc32(file.read(PAGE).ljust(PAGE, b"\0"))
    except OSError:
        return None
    magic, count, size, before, after, crc = _HEADER.unpack_from(raw)
    if magic != _MAGIC or len(raw) != _HEADER.size + count * (_NUMBER.size + PAGE):
        return None
    if zlib.crc32(raw[_HEADER.size :]) != crc or first not in (before, after):
        return None  # incomplete, or the journal of another file of the same name
    pages = {}
    for at in range(_HEADER.size, len(raw), _NUMBER.size + PAGE):
        (number,) = _NUMBER.unpack_from(raw, at)
        pages[number] = raw[at + _NUMBER.size : at + _NUMBER.size + PAGE]
    return pages, size


def replay(path: Path) -> bool:
    """Finish an interrupted commit, if there is one; return whether there was."""
    found = read_journal(path)
    if found is not None:
        pages, size = found
        with path.open("r+b") as file:
            _apply(file, pages, size)
            os.fsync(file.fileno())
    journal_path(path).unlink(missing_ok=True)
    return found is not None


def _apply(file: Any, pages: dict[int, bytes], size: int) -> None:
    """Write pages, neighbours together (the less a program without the journal can see of it, the better)."""
    runs: list[tuple[int, list[bytes]]] = []
    for number in sorted(pages):
        if runs and runs[-1][0] + len(runs[-1][1]) == number:
            runs[-1][1].append(pages[number])
        else:
            runs.append((number, [pages[number]]))
    joined = [(number * PAGE, b"".join(parts)) for number, parts in runs]
    for start, data in reversed(joined):  # page 0, which names the end of the file, comes last
        file.seek(start)
        _write_all(file, data)
    file.truncate(size)


def _write_all(file: Any, data: Any) -> None:
    view = memoryview(data)
    while len(view):
        done = file.write(view)
        view = view[done:]


class JournaledFile:
    """File object for ``h5py.File`` whose changes reach the disk in ``commit`` alone.

    No method that HDF5 calls ever raises (h5py does not survive that): a failure is kept and raised by ``commit``.

    Parameters
    ----------
    path : the file
    mode : "new" makes an empty file; "update" finishes an interrupted commit and goes on; "read" shows an interrupted
        commit as finished and changes nothing

    """

    def __init__(self, path: Path, mode: Literal["new", "update", "read"]) -> None:
        if mode == "update":
            replay(path)
        self.path = path
        self.failure: BaseException | None = None
        self._read_only = mode == "read"
        self._file: Any = path.open({"new": "w+b", "update": "r+b", "read": "rb"}[mode], buffering=0)
        self._journal: Any = None
        self._at = 0
        pages, self.size = (read_journal(path) if self._read_only else None) or ({}, self._size_on_disk())
        self._pages = {number: bytearray(page) for number, page in pages.items()}
        self._settled = self.size  # what is on the disk and consistent
        self._limit = _round_up(self.size)

    def __repr__(self) -> str:
        return str(self.path)  # h5py takes it for the name of the file

    # -- what HDF5 calls ------------------------------------------------------------------------------------------

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position of the next read or write."""
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self.size = self._at if size is None else size
        return self.size

    def flush(self) -> None:
        """Do nothing: ``commit`` does it."""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; what lies beyond the end reads as zeros."""
        view, start = memoryview(buffer).cast("B"), self._at
        try:
            self._file.seek(start)
            done = 0
            while done < len(view):
                got = self._file.readinto(view[done:])
                if not got:
                    break
                done += got
            view[done:] = bytes(len(view) - done)
            if self._pages:
                self._overlay(view, start)
        except _FAILURES as error:
            self.failure = self.failure or error
        self._at = start + len(view)
        return len(view)

    def read(self, count: int = -1) -> bytes:
        """Return bytes (h5py recognises file objects by this method and calls ``readinto``)."""
        buffer = bytearray(max(self.size - self._at, 0) if count < 0 else count)
        self.readinto(buffer)
        return bytes(buffer)

    def write(self, data: Any) -> int:
        """Write: into memory in the committed part of the file, to the disk beyond it."""
        view = memoryview(data).cast("B")
        start, end = self._at, self._at + len(view)
        held = len(view) if self.failure else max(0, min(end, self._limit) - start)
        if held < len(view):
            try:
                self._file.seek(start + held)
                _write_all(self._file, view[held:])
            except _FAILURES as error:
                self.failure, held = error, len(view)
        if held:
            self._hold(start, view[:held])
        self._at, self.size = end, max(self.size, end)
        return len(view)

    # -- what Askel calls -----------------------------------------------------------------------------------------

    def commit(self, *, sync: bool = False) -> None:
        """Make all changes since the last commit permanent, together.

        Parameters
        ----------
        sync : wait until the disk has them, so that they survive a power failure (milliseconds)

        Raises
        ------
        OSError : the disk refused something; the file on it is as after the last commit

        """
        if self.failure is not None:
            raise OSError(*self.failure.args[:2]) from self.failure
        try:
            if self._pages:
                self._write_journal(sync)
            pages = {number: bytes(page) for number, page in self._pages.items()}
            if sync:
                os.fsync(self._file.fileno())
            _apply(self._file, pages, self.size)
            if sync:
                os.fsync(self._file.fileno())
            if self._journal is not None:
                self._journal.truncate(0)
        except OSError as error:
            self.failure = error
            raise
        self._pages.clear()
        self._settled, self._limit = self.size, _round_up(self.size)

    def move_to(self, path: Path) -> None:
        """Give the file another name, replacing what has it."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for name in (self.path, path):
            journal_path(name).unlink(missing_ok=True)
        self.path.replace(path)
        self.path = path

    def close(self) -> None:
        """Close; changes that were not committed are dropped."""
        if self._file.closed:
            return
        pending = self._read_only or read_journal(self.path) is not None
        try:
            if not pending and self._size_on_disk() > self._settled:
                self._file.truncate(self._settled)
        finally:
            self._file.close()
            if self._journal is not None:
                self._journal.close()
            if not pending:
                journal_path(self.path).unlink(missing_ok=True)

    def _size_on_disk(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _write_journal(self, sync: bool) -> None:
        if self._journal is None:
            self._journal = journal_path(self.path).open("w+b", buffering=0)
        self._file.seek(0)
        first = self._file.read(PAGE).ljust(PAGE, b"\0")
        body = b"".join(_NUMBER.pack(n) + bytes(page) for n, page in self._pages.items())
        after = zlib.crc32(self._pages.get(0, first))
        header = _HEADER.pack(_MAGIC, len(self._pages), self.size, zlib.crc32(first), after, zlib.crc32(body))
        self._journal.seek(0)
        try:
            _write_all(self._journal, header + body)
            if sync:
                os.fsync(self._journal.fileno())
        except OSError:
            self._journal.truncate(0)
            raise

    def _page(self, number: int) -> bytearray:
        page = self._pages.get(number)
        if page is None:
            try:
                self._file.seek(number * PAGE)
                content = self._file.read(PAGE)
            except _FAILURES as error:
                self.failure, content = self.failure or error, b""
            page = self._pages[number] = bytearray(content.ljust(PAGE, b"\0"))
        return page

    def _hold(self, start: int, view: memoryview) -> None:
        done = 0
        while done < len(view):
            number, offset = divmod(start + done, PAGE)
            part = min(PAGE - offset, len(view) - done)
            self._page(number)[offset : offset + part] = view[done : done + part]
            done += part

    def _overlay(self, view: memoryview, start: int) -> None:
        for number in range(start // PAGE, -(-(start + len(view)) // PAGE)):
            page = self._pages.get(number)
            if page is not None:
                low, high = max(start, number * PAGE), min(start + len(view), (number + 1) * PAGE)
                view[low - start : high - start] = page[low - number * PAGE : high - number * PAGE]


def _round_up(size: int) -> int:
    return -(-size // PAGE) * PAGE


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the Python handlers of SIGINT and SIGTERM until the block is left: HDF5 does not survive an exception."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    came: list[tuple[int, Any]] = []
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    ours = [s for s, handler in before.items() if callable(handler)]
    for number in ours:
        signal.signal(number, lambda n, frame: came.append((n, frame)))
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        for late, frame in came:
            handler = before[signal.Signals(late)]
            assert callable(handler)
            handler(late, frame)
