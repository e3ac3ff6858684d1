"""The kernel table: (operation, backend) -> import path, resolved once, in a constructor.

A kernel takes arrays and numbers and returns a status code. The backend ``reference`` is plain NumPy and always exists;
``cpu`` is numba. Kernels are named by strings, so that nothing heavy is imported until one is needed.

numba's disk cache does not notice when a *called* function in another file changes, therefore it lives in a folder
named by the digest of all kernel sources, set here before any kernel is imported.

Processes that share this folder, ranks or runs started side by side, compile each function once between them: one does,
the others wait for it and find the code on the disk.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import InputError

#: (operation, backend) -> "module:function"; filled by the packages that own kernels, at import, with strings alone.
KERNELS: dict[tuple[str, str], str] = {}

_cache_in_use = False

_SOURCES = ("particles/_kernels", "nbody/_kernels", "equivariant/_kernels", "mpi/_kernels")


def register(paths: Mapping[tuple[str, str], str]) -> None:
    """Add rows to the kernel table; a row that is there already with another path is a programming error."""
    for key, path in paths.items():
        assert KERNELS.setdefault(key, path) == path, f"kernel {key} registered twice"


def resolve(operation: str, backend: str = "cpu") -> Callable[..., Any]:
    """Import and return a kernel.

    Raises
    ------
    InputError : no such operation or backend

    """
    path = KERNELS.get((operation, backend))
    if path is None:
        known = ", ".join(sorted({b for o, b in KERNELS if o == operation})) or "none"
        raise InputError(f"no {backend!r} kernel for {operation!r}; backends that have it: {known}")
    if backend != "reference":
        use_kernel_cache()
    module, _, name = path.partition(":")
    home = importlib.import_module(module)
    if backend == "cpu":
        _compile_one_at_a_time(home)
    function: Callable[..., Any] = getattr(home, name)
    return function


def cache_root() -> Path:
    """Return the folder of compiled kernels: ASKEL_CACHE_DIR, else the user's cache folder, else a temporary one."""
    chosen = os.environ.get("ASKEL_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "askel"


def source_digest() -> str:
    """Return a digest of all kernel sources and of the numba version."""
    import numba

    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    package = Path(__file__).resolve().parent.parent
    for folder in _SOURCES:
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def kernel_cache() -> Path:
    """Return the folder of compiled kernels that belongs to the present sources (it may not exist yet)."""
    return cache_root() / "numba" / source_digest()


def use_kernel_cache() -> None:
    """Point numba's disk cache at ``kernel_cache()``; does nothing when that has been done."""
    import numba

    global _cache_in_use
    if _cache_in_use:
        return
    folder = kernel_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:  # a fresh private folder: compiled code from a folder others can write must never be loaded
        folder = Path(tempfile.mkdtemp(prefix="askel-numba-"))
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    _cache_in_use = True


def _compile_one_at_a_time(home: ModuleType) -> None:
    """Make numba's functions in a module take turns, among all processes, when they are compiled."""
    from numba.core.registry import CPUDispatcher

    for function in vars(home).values():
        if isinstance(function, CPUDispatcher) and "compile" not in vars(function):
            vars(function)["compile"] = _in_turn(function)


def _in_turn(function: Any) -> Callable[[Any], Any]:
    """Return the ``compile`` of a function of numba, done while no other process does the same.

    What it does first is to look on the disk, so that who has waited finds what the other has compiled.
    """
    import llvmlite.binding
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    compile_or_load, name = function.compile, f"{function.__module__}.{function.__qualname__}"
    processor = llvmlite.binding.get_host_cpu_name()

    def compile_in_turn(signature: Any) -> Any:
        key = hashlib.sha256(f"{name} {signature} {processor}".encode()).hexdigest()[:32]
        turns = Path(numba.config.CACHE_DIR) / "turns"  # type: ignore[attr-defined]
        with global_compiler_lock, turn(turns / key):  # first the lock of threads: kernels that call each other nest
            return compile_or_load(signature)

    return compile_in_turn


@contextmanager
def turn(file: Path) -> Iterator[None]:
    """Let one process at a time through, until one has come to the end of the context: from then on there is no waiting.

    The lock is the operating system's and ends with its process, however that ends. Where files cannot be locked nobody waits.

    Parameters
    ----------
    file : which turns these are; it holds a byte when one process is through

    """
    try:
        import fcntl

        file.parent.mkdir(exist_ok=True)
        taken = file.open("ab", buffering=0)
    except (ImportError, OSError):
        yield
        return
    with taken:
        if file.stat().st_size == 0:
            with suppress(OSError):
                fcntl.flock(taken, fcntl.LOCK_EX)
        yield
        with suppress(OSError):
            taken.write(b"." if file.stat().st_size == 0 else b"")


def compiled_before(module: str) -> bool:
    """Return whether the cache holds compiled functions of a kernel module, so that a first run can say it compiles."""
    return any(kernel_cache().rglob(f"{module}.*.nbi"))


@contextmanager
def watch_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` once, when the first kernel is compiled inside the context; kernels that the cache holds do not count."""
    from numba.core import event

    class Watcher(event.Listener):
        told = False

        def on_start(self, event: event.Event) -> None:
            if not self.told:
                self.told = True
                tell()

        def on_end(self, event: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Watcher()):
        yield


def thread_count() -> int:
    """Return how many threads kernels use now."""
    import numba

    return int(numba.get_num_threads())


@contextmanager
def kernel_threads(threads: int) -> Iterator[None]:
    """Let kernels use so many threads inside the context (at most as many as numba was started with)."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, int(numba.config.NUMBA_NUM_THREADS))))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.set_num_threads(before)
