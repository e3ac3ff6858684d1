"""Files of NVE segments, the data that long strides are learned from: streamed, resumable, readable while they grow.

One HDF5 file holds segments of any number of systems, flat and end to end:

| path | shape and unit |
|---|---|
| ``systems/<k>/species``, ``mass``, ``periodic`` | (n,) atomic numbers, (n,) amu, (3,) |
| ``systems/<k>/cell``, absent without one | (3, 3) Angstrom |
| ``position``, ``velocity``, ``forces`` (may be absent) | (A, 3), a row per atom and frame; Angstrom, Angstrom/fs, eV/Angstrom |
| ``energy`` (may be absent) | (F,), a row per frame; eV |
| ``segments/system``, ``temperature`` | (S,) number of the system; K |
| ``segments/row``, ``frame``, ``frames`` | (S,) first row, first frame, number of frames |

Attributes of the root say what it is: ``askel_segments`` (version of the format), ``reference``, ``step`` and ``interval`` (fs),
``seed``, ``recipe`` (JSON), ``askel`` (version of the program), ``units``.
"""

from __future__ import annotations

from .io_segments_read import FORMAT, SegmentFile
from .io_segments_write import SegmentWriter
from .segments import Segment

__all__ = ["FORMAT", "Segment", "SegmentFile", "SegmentWriter"]
