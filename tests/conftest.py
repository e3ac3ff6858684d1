"""What all tests share; how CUDA kernels are proven without a GPU: simulated, compiled to PTX, assembled, their needs read."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# On a developer's machine hypothesis looks for new examples each time; a merge is decided by the same ones every time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

CAPABILITIES = ("80", "90")

#: of a multiprocessor: registers, threads, blocks, bytes of shared memory; A100 and H100, from the CUDA programming guide
LIMITS = {"80": (65536, 2048, 32, 164 * 1024), "90": (65536, 2048, 32, 228 * 1024)}

_COMPILED = """
import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
import numba.cuda.dispatcher
from numba import cuda, types

module, folder, versions, *kernels = sys.argv[1:]
places = (f"askel.{package}._kernels.{module}" for package in ("nbody", "equivariant"))
module = importlib.import_module(next(place for place in places if importlib.util.find_spec(place)))
scalars = {"f": types.float64, "s": types.float32, "i": types.int64, "j": types.int32, "b": types.boolean}


def argument(code):
    scalar, rank = scalars[code[0]], int(code[1:] or 0)
    return types.Array(scalar, rank, "C") if rank else scalar


for version in versions.split(","):
    capability = tuple(int(c) for c in version)
    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)  # there is none
    for kernel in kernels:
        name, *codes = kernel.split()
        ptx, _ = cuda.compile_ptx(getattr(module, name), tuple(argument(c) for c in codes), cc=capability)
        Path(folder, f"{name}_{version}.ptx").write_text(ptx)
"""


@dataclass(frozen=True)
class Machine:
    """What an assembled kernel needs of a multiprocessor; ``ptx`` is its text."""

    capability: str
    ptx: str
    registers: int
    shared: int
    spills: bool

    def resident(self, threads):
        """Return how many threads in blocks of ``threads`` a multiprocessor holds at a time."""
        of_registers, of_threads, of_blocks, of_shared = LIMITS[self.capability]
        warps = -(-threads // 32)
        blocks = min(
            of_registers // (-(-self.registers // 8) * 8 * 32 * warps),
            of_threads // threads,
            of_blocks,
            of_shared // (self.shared + 1024),
        )
        return blocks * threads


def python(code, *arguments, **environment):
    """Run code in a fresh interpreter and return its words."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.split()


def _assembler():
    """Return the path of ptxas, from the toolchain of PyPI or of the system, or None."""
    try:
        package = importlib.util.find_spec("nvidia.cuda_nvcc")
    except ModuleNotFoundError:
        package = None
    for folder in (package.submodule_search_locations or []) if package else []:
        if Path(folder, "bin", "ptxas").exists():
            return str(Path(folder, "bin", "ptxas"))
    return shutil.which("ptxas")


@pytest.fixture(scope="session")
def simulated():
    """Return a function that runs code in numba's simulator of a device and returns its words."""
    return lambda code: python(code, NUMBA_ENABLE_CUDASIM="1")


@pytest.fixture(scope="session")
def assembled(tmp_path_factory):
    """Return a function of a kernel module and lines "name f1 i ..." that gives {(name, capability): Machine}.

    An argument is f (float64), s (float32), i (int64), j (int32) or b (boolean), and its rank if it is an array.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("needs numba-cuda[cu12], which the test extra has on Linux")
    if _assembler() is None:
        pytest.skip("needs ptxas")

    def build(module, *kernels):
        folder = tmp_path_factory.mktemp("ptx")
        python(_COMPILED, module, str(folder), ",".join(CAPABILITIES), *kernels)
        return {
            (k.split()[0], c): _assemble(folder / f"{k.split()[0]}_{c}.ptx", c) for k in kernels for c in CAPABILITIES
        }

    return build


def _assemble(path, capability):
    command = [_assembler(), "-v", f"-arch=sm_{capability}", str(path), "-o", str(path.with_suffix(".cubin"))]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, shared = re.search(r"Used (\d+) registers", told), re.search(r"(\d+) bytes smem", told)
    clean = re.findall(r"(\d+) bytes spill (?:stores|loads)", told)
    ptx = path.read_text()
    assert f".target sm_{capability}" in ptx and clean
    return Machine(capability, ptx, int(registers[1]), int(shared[1]) if shared else 0, any(int(c) for c in clean))
