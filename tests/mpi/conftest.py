"""Starting ranks for tests: ``mpiexec`` beside the interpreter, or on the path; never without a time limit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parent / "programs"


class Ranks:
    """Starts processes of this interpreter as ranks of one MPI world."""

    def __init__(self) -> None:
        beside = str(Path(sys.executable).parent)
        found = shutil.which("mpiexec", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
        if found is None:
            pytest.fail("mpiexec is not installed; it comes with the test extra (mpich)")
        self.mpiexec = found

    def start(self, ranks: int, *arguments: object, **how) -> subprocess.Popen:
        """Start ranks with these arguments of Python; one thread a rank, for they share few cores."""
        command = [self.mpiexec, "-n", str(ranks), sys.executable, *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", **how.pop("variables", {})}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, text=True, **{**streams, **how})

    def run(self, ranks: int, *arguments: object, timeout: float = 400.0, **how) -> subprocess.CompletedProcess:
        """Run ranks to their end."""
        return self.finish(self.start(ranks, *arguments, **how), timeout)

    def finish(self, process: subprocess.Popen, timeout: float = 400.0) -> subprocess.CompletedProcess:
        """Wait for the end of all ranks."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"the ranks did not end within {timeout:g} s\n{out}\n{err}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def askel(self, ranks: int, *arguments: object, **how) -> subprocess.CompletedProcess:
        """Run the command line on several ranks."""
        return self.run(ranks, "-m", "askel", *arguments, **how)

    def program(self, ranks: int, name: str, *arguments: object, **how) -> subprocess.CompletedProcess:
        """Run one of ``tests/mpi/programs``."""
        return self.run(ranks, PROGRAMS / f"{name}.py", *arguments, **how)


@pytest.fixture(scope="session")
def ranks() -> Ranks:
    return Ranks()
