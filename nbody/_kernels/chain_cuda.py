"""A large chain whose rows are computed on a CUDA device; `chain_cpu` is the same function, and its source.

The host keeps the tree, the order and step of the extrapolation, events and landing: this is `chain_cpu.advance`, run by Python,
with rows and forces of `chain_row_cuda` in place of the CPU's. The tree and the list of near pairs cost 1.1e-9 n^2 seconds of one
core a micro-step, as much as three substeps of its bulk sum, of which a micro-step has a hundred: more than thirty times the
speed of a core is not to be had before they are on the device too.
"""

from . import chain_cpu, chain_events, chain_extrapolation
from .chain_row_cuda import forces, row
from .device_cuda import calling

_extrapolate = calling(chain_extrapolation.extrapolate, row=row)
_locate = calling(chain_events.locate, extrapolate=_extrapolate)
advance = calling(chain_cpu.advance, extrapolate=_extrapolate, locate=_locate, forces=forces)
