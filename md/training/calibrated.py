"""What a trained stride is typically wrong by, and how close atoms came: numbers that its card carries for error control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from ...equivariant.model_file import Model
from ..calibration import calibrate, segment_states
from ..estimators import DoublingDefect, Estimator, ReversibilityDefect

#: States looked at, spread over the segments.
_STATES = 120


def calibrated(model: Model, segments: Sequence[Any]) -> Mapping[str, Any]:
    """Return the entries "calibration" and "shortest_pair" (Angstrom) of a card.

    Parameters
    ----------
    model : of head "stride"
    segments : held-out NVE segments (Angstrom, Angstrom/fs)

    """
    from ..model_library import stride_of

    stride = stride_of(model)
    estimators: list[Estimator] = [ReversibilityDefect()]
    if len(model.architecture.strides) > 1:
        estimators.append(DoublingDefect())
    per_segment = max(1, -(-_STATES // max(len(segments), 1)))
    states = islice(segment_states(segments, per_segment=per_segment), _STATES)
    found = calibrate(stride, states, estimators).to_json()
    return {"calibration": found, "shortest_pair": min(found["shortest_pair"].values(), default=None)}
