"""The weights of a network: their names, shapes and initial scales, from the architecture alone, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from .architecture import Architecture
from .paths import Irreps, paths, reachable

#: Hidden scalars per channel of the readout of an energy.
_ENERGY_HIDDEN = 2
#: The readout starts small: an untrained network is its baseline.
_READOUT_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class Parameter:
    """Shape of an array of weights, and the standard deviation of its initial values."""

    shape: tuple[int, ...]
    scale: float


def parameters(a: Architecture) -> dict[str, Parameter]:
    """Return name -> Parameter of all weights of a network."""
    s, c = len(a.species), a.channels
    table = {"species": Parameter((s, c), 1.0), "bessel": Parameter((a.radial_functions,), 0.0)}
    if a.head == "stride":
        table["speed"] = Parameter((s, a.speed_functions, c), 0.5)
        table["mass"] = Parameter((1, c), 1.0)
        table["stride"] = Parameter((len(a.strides), c), 1.0)
        table |= {f"velocity_{degree}": Parameter((s, c), 1.0) for degree in range(1, a.l_max + 1)}
    for t in range(a.layers):
        table |= _layer(a, t)
    if a.head == "stride":
        table["readout"] = Parameter((s, c, 2), _READOUT_SCALE * c**-0.5)
    else:
        hidden = _ENERGY_HIDDEN * c
        table["readout_hidden"] = Parameter((c, hidden), c**-0.5)
        table["readout"] = Parameter((hidden, 1), _READOUT_SCALE * hidden**-0.5)
    return table


def _layer(a: Architecture, t: int) -> dict[str, Parameter]:
    c = a.channels
    before, middle, after = layer_irreps(a, t)
    through = paths(before, middle, a.l_max)
    table = _perceptron(f"{t}_radial", (radial_inputs(a), *a.radial_hidden, through.n * c))
    last = through
    if a.head == "stride":
        for k, (_, _, width) in enumerate(through.blocks):
            table[f"{t}_message_{k}"] = Parameter((width * c, c), (width * c) ** -0.5)
        last = paths(middle, after, a.l_max)
        table |= _perceptron(f"{t}_speed", (speed_inputs(a), *a.speed_hidden, last.n * c))
    for k, (_, _, width) in enumerate(last.blocks):
        outputs = gate_channels(after, c) if k == 0 else c
        table[f"{t}_update_{k}"] = Parameter((width * c, outputs), (width * c) ** -0.5)
        if after[k] in before:
            table[f"{t}_residual_{k}"] = Parameter((len(a.species), c, outputs), c**-0.5)
    return table


def _perceptron(name: str, widths: tuple[int, ...]) -> dict[str, Parameter]:
    pairs = enumerate(pairwise(widths))
    return {f"{name}_{k}": Parameter((fan_in, fan_out), fan_in**-0.5) for k, (fan_in, fan_out) in pairs}


@cache
def layer_irreps(a: Architecture, t: int) -> tuple[Irreps, Irreps, Irreps]:
    """Return the kinds of features before layer t, after its messages, and after it: of the wanted ones, those in reach."""
    before = a.first_irreps if t == 0 else layer_irreps(a, t - 1)[2]
    middle = reachable(before, a.irreps, a.l_max)
    return before, middle, reachable(middle, a.irreps, a.l_max) if a.head == "stride" else middle


def radial_inputs(a: Architecture) -> int:
    """Return the number of inputs of the radial networks."""
    return a.radial_functions + (len(a.strides) if len(a.strides) > 1 else 0)


def speed_inputs(a: Architecture) -> int:
    """Return the number of inputs of the speed networks: Gaussians, species, stride, mass."""
    return a.speed_functions + len(a.species) + len(a.strides) + 1


def gate_channels(irreps: Irreps, channels: int) -> int:
    """Return how many even scalars a layer makes: those that stay, and one gate for each channel of a higher degree."""
    return channels * (1 + sum(degree > 0 for degree, _ in irreps))
