"""Threads of an engine: all to its kernels, one to BLAS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

from ..particles import kernel_threads


class Threads:
    """Threads of the kernels; None: as numba was started. BLAS has one."""

    def __init__(self, threads: int | None) -> None:
        self._threads = threads
        self._blas = ThreadpoolController().select(user_api="blas")

    @contextlib.contextmanager
    def given(self) -> Iterator[None]:
        """Give the threads to the kernels and one to BLAS: two pools that wait for work by spinning slow each other down."""
        many = any(library.num_threads != 1 for library in self._blas.lib_controllers)
        with self._blas.limit(limits=1) if many else contextlib.nullcontext():
            if self._threads is None:
                yield
            else:
                with kernel_threads(self._threads):
                    yield
