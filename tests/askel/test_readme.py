"""The README's job and Python examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BODIES = "0.5 1 0 0 0 0.5 0\n0.5 -1 0 0 0 -0.5 0\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.S)


@pytest.fixture
def with_job(folder):
    folder.write(blocks("toml")[0].replace("t_end = 75.0", "t_end = 1.0"))
    folder.write(BODIES, "bodies.txt")
    return folder


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_examples_run(with_job, number: int) -> None:
    exec(compile(blocks("python")[number], f"README.md, example {number}", "exec"), {})


def test_the_job_runs(with_job) -> None:
    answer = with_job.askel("run", "job.toml", "--quiet")
    assert answer.code == 0, answer.err


def test_there_is_something_to_test() -> None:
    assert len(blocks("python")) == 3
    assert len(blocks("toml")) == 1
    for picture in re.findall(r"!\[.*\]\((.*)\)", README.read_text()):
        assert 10_000 < (README.parent / picture).stat().st_size < 400_000
