"""Names of files that are written in parts, one by each rank: ``run.part-0.h5md``, ``run.part-1.h5md`` belong to ``run.h5md``."""

from __future__ import annotations

from pathlib import Path

_WORD = ".part-"


def part_path(whole: Path, number: int) -> Path:
    """Return the name of a part."""
    return whole.with_name(f"{whole.stem}{_WORD}{number}{whole.suffix}")


def part_paths(whole: Path) -> list[Path]:
    """Return the files that are named like parts of a file, in the order of their numbers."""
    head, found = f"{whole.stem}{_WORD}", {}
    for path in whole.parent.iterdir() if whole.parent.is_dir() else ():
        number = path.name.removeprefix(head).removesuffix(whole.suffix)
        if path.name == f"{head}{number}{whole.suffix}" and number.isascii() and number.isdigit():
            found[int(number)] = path
    return [found[number] for number in sorted(found)]
