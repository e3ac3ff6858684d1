"""Kernels are compiled once between processes that start together, and a killed one is in nobody's way."""

import os
import subprocess
import sys
import time

import pytest
from askel.particles.kernels import turn

COMPILES = """
import sys, time
import numpy as np
from numba.core import event
import askel.mpi
from askel.particles import resolve

class Count(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].__name__)
    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Count()):
    kernel, out = resolve("hilbert_index"), np.empty(2, np.int64)
    print("ready", flush=True)
    sys.stdin.readline()
    kernel(np.array([[0, 0, 0], [5, 6, 7]]), out)
print(*sorted(Count.names), out[1] != out[0])
"""
HOLDS = """
import sys
from pathlib import Path
from askel.particles.kernels import turn
with turn(Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.readline()
"""


def start(script, *arguments, **variables):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], env=os.environ | variables, **pipes)
    assert process.stdout.readline()  # it is where it says that it is
    return process


def test_one_of_three_processes_compiles(tmp_path):
    together = [start(COMPILES, ASKEL_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    for process in together:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=100.0)[0].split() for process in together)
    assert said[:2] == [["True"], ["True"]] and "hilbert_index" in said[2] and said[2][-1] == "True"
    later = start(COMPILES, ASKEL_CACHE_DIR=str(tmp_path))
    assert later.communicate("\n", timeout=100.0)[0].split() == ["True"]


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_the_turn_of_a_killed_process_passes_on(tmp_path):
    file = tmp_path / "turns" / "one"
    first = start(HOLDS, str(file))
    second = subprocess.Popen([sys.executable, "-c", HOLDS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(1.0)
    assert second.poll() is None and file.stat().st_size == 0
    first.kill()
    first.wait()
    second.stdin.close()
    assert second.wait(30.0) == 0 and second.stdout.read() == b"inside\n"
    assert file.stat().st_size == 1
    third, fourth = start(HOLDS, str(file)), start(HOLDS, str(file))  # both inside: there is nothing left to wait for
    for process in (third, fourth):
        process.communicate("\n", timeout=30.0)


def test_an_error_is_nobodys_success(tmp_path):
    file = tmp_path / "turns" / "one"
    with pytest.raises(ZeroDivisionError), turn(file):
        raise ZeroDivisionError
    assert file.stat().st_size == 0


def test_where_there_is_no_folder_nobody_waits(tmp_path):
    with turn(tmp_path / "no" / "such" / "one"):
        pass
    assert not (tmp_path / "no").exists()
