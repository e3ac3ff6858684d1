"""Time from the shell to an answer: ``askel --help``, ``import askel``; nothing heavy may be loaded for them.

Usage: python benchmarks/start_up.py [RECORD.json]; limit 0.5 s each.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import machine, versions

REPEATS = 9
LIMIT = 0.5  # s, wall-clock
COMMANDS = {
    "askel --help": ["-m", "askel", "--help"],
    "import askel": ["-c", "import askel"],
    "python alone": ["-c", "pass"],
}


def seconds(arguments: list[str]) -> list[float]:
    """Return the wall-clock times of some calls, sorted."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)


def main() -> None:
    """Measure, print, and write the record."""
    rows = {name: seconds(arguments) for name, arguments in COMMANDS.items()}
    record = {
        "benchmark": "start_up",
        "machine": machine(),
        "versions": versions("askel"),
        "limit_s": LIMIT,
        "median_s": {name: statistics.median(times) for name, times in rows.items()},
        "largest_s": {name: times[-1] for name, times in rows.items()},
    }
    print(json.dumps(record, indent=2))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
