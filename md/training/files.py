"""Files of NVE segments, as training reads them and as a model's card tells of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...particles import InputError
from ...particles.io_segments import Segment, SegmentFile


def read_segments(paths: Sequence[str], *, forces: bool) -> list[Segment]:
    """Return the segments of some files, in their order; without forces, for which strides have no use, unless asked.

    Raises
    ------
    InputError : files that are no files of segments, are damaged, or hold none yet

    """
    segments: list[Segment] = []
    for path in paths:
        with SegmentFile(path) as file:
            if not len(file):
                raise InputError(f"{path} holds no segment yet; wait for the first, or make it anew")
            segments += file if forces else (replace(segment, forces=None) for segment in file)
    return segments


def facts(path: str) -> dict[str, Any]:
    """Return what a card says of a file: name, digest, reference, interval, numbers of segments and frames, temperatures."""
    with Path(path).open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    with SegmentFile(path) as file:
        return {
            "file": Path(path).name,
            "sha256": digest,
            "reference": file.reference,
            "step_fs": file.step,
            "interval_fs": file.interval,
            "segments": len(file),
            "frames": int(file.frames.sum()),
            "temperatures_K": sorted({round(float(t), 3) for t in file.temperatures}),
            "recipe": file.recipe,
        }
