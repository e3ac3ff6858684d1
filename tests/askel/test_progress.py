"""What a running job shows."""

from __future__ import annotations

import math
import time as clock
from types import SimpleNamespace

import pytest

from askel import progress
from askel.progress import Bar, Lines, Rate, Silent, display, duration


@pytest.fixture
def seconds(monkeypatch) -> list[float]:
    """Return a clock that stands still: set its only element."""
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return now


def at(time: float, error: float = 1e-12) -> SimpleNamespace:
    return SimpleNamespace(time=time, t_end=10.0, energy_error=error)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.04, "0.0 s"), (4.24, "4.2 s"), (42.4, "42 s"), (190.2, "3 min 10 s"), (7500.0, "2 h 5 min"), (math.nan, "?")],
)
def test_durations_in_words(value: float, words: str) -> None:
    assert duration(value) == words


def test_the_rate_leaves_out_the_first_measurement_and_smooths(seconds: list[float]) -> None:
    rate = Rate()
    for now, time in [(100.0, 0.0), (160.0, 0.1), (161.0, 2.1)]:
        seconds[0] = now
        rate.update(time)
    assert rate.value == pytest.approx(2.0, rel=1e-12)
    assert rate.left(-8.0) == pytest.approx(4.0, rel=1e-12)
    seconds[0] = 162.0
    rate.update(6.1)
    assert 2.0 < rate.value < 4.0
    seconds[0] = 162.1  # too short to tell
    rate.update(100.0)
    assert rate.value < 4.0


def test_lines_come_every_ten_seconds(seconds: list[float], capsys) -> None:
    with Lines(" yr") as lines:
        for now in range(100, 126):
            seconds[0] = float(now)
            lines.show(at((now - 100) / 5))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("t = 2 of 10 yr | 0.2 yr/s | dE/E  1.0e-12 | 40 s left")


def test_a_bar_shows_time_rate_error_and_what_is_left(seconds: list[float], monkeypatch) -> None:
    import rich.console

    consoles = []

    class Recorder(rich.console.Console):
        def __init__(self, **how: object) -> None:
            super().__init__(force_terminal=True, record=True, width=120)
            consoles.append(self)

    monkeypatch.setattr(rich.console, "Console", Recorder)
    with Bar(" yr", 0.0) as bar:
        for now in range(100, 106):
            seconds[0] = float(now)
            bar.show(at(float(now - 100)))
    text = consoles[0].export_text()
    for words in ("t = 5 yr", "50%", "1 yr/s", "dE/E  1.0e-12", "5.0 s left"):
        assert words in text, words


def test_an_unknown_energy_error_is_not_shown(seconds: list[float], capsys) -> None:
    with Lines("") as lines:
        seconds[0] = 111.0
        lines.show(at(1.0, math.nan))
    assert "dE" not in capsys.readouterr().err


def test_what_is_shown_where(monkeypatch) -> None:
    assert isinstance(display("", 0.0, quiet=True), Silent)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(display("", 0.0, quiet=False), Lines)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(display("", 0.0, quiet=False), Bar)
