"""What the tests of the front door share: a job in a folder of its own, and the command line as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from askel.__main__ import main

JOB = Path(__file__).with_name("job.toml").read_text()


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """Return the one line of the error."""
        lines = [line for line in self.err.splitlines() if not line.startswith("compiling kernels")]
        assert len(lines) == 1 and lines[0].startswith("askel: "), self.err
        return lines[0].strip()


class Folder:
    """A folder in which commands run."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self._capsys = path, capsys

    def write(self, text: str = JOB, name: str = "job.toml") -> Path:
        path = self.path / name
        path.write_text(text)
        return path

    def askel(self, *arguments: str) -> Answer:
        """Call a command inside this process."""
        self._capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        heard = self._capsys.readouterr()
        return Answer(code, heard.out, heard.err)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "askel", *arguments], cwd=self.path, env=dict(os.environ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """Return name -> content of all files."""
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capsys)
