"""The network in torch: an equivariant message-passing network with a head for strides or for energies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import silu

from .architecture import Architecture
from .bases import SILU_GAIN, cutoff_function, radial_basis, speed_basis, velocity_harmonics
from .batch import Batch
from .conservation import conserve
from .harmonics import solid_harmonics
from .parameters import layer_irreps, parameters
from .paths import Irreps, Paths, dimension, paths
from .products import Links, couple
from .pruning import VECTORS, kept_kinds, kinds_before, pruned

Couple = Callable[[Paths, Links, Tensor, Tensor, Tensor], Tensor]


class Network(nn.Module):
    r"""(x, v, Z, m, h) -> (displacement, v') or (x, Z) -> energy, equivariant under rotations, reflections and permutations.

    | step | what |
    |---|---|
    | scalars | species + speed (Gaussians of \|v\|/s_Z, per species) + stride + ln(m/m_Z) |
    | vectors and tensors | harmonics of v/s_Z, smooth at rest, per species |
    | layer | messages: channelwise product of the sender's features with harmonics of the edge, weights from the edge's length |
    | | sum / sqrt(mean neighbours); linear; product with harmonics of the atom's own velocity, weights from its speed; linear |
    | | + linear map of the old features, one for each species; gate (silu even, tanh odd scalars, sigmoid gates) |
    | readout "stride" | two vectors an atom, per species, times the residual scales, on top of the baseline drift h v, memory v |
    | readout "energy" | one scalar an atom; forces and virial are its exact gradient |
    | momentum | ``conservation.conserve``, float64 |

    Parameters
    ----------
    architecture : Architecture
    product : the channelwise product; ``products.couple`` (fused kernels), or a twin of it
    dtype : of the weights and features; positions, scales and momenta are float64 always
    seed : of the initial weights

    References
    ----------
    Thiemann et al. 2025 (TrajCast), arXiv:2503.23794; Batzner et al. 2022, doi:10.1038/s41467-022-29939-5

    """

    _masses: Tensor
    _velocity_scale: Tensor
    _drift: Tensor
    _memory: Tensor
    _displacement_scale: Tensor
    _velocity_change_scale: Tensor
    _atom_energy: Tensor

    def __init__(
        self,
        architecture: Architecture,
        product: Couple = couple,
        *,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.architecture, self.product = architecture, product
        generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterDict()
        for name, parameter in parameters(architecture).items():
            values = parameter.scale * torch.randn(*parameter.shape, generator=generator, dtype=torch.float64)
            self.weights[name] = nn.Parameter(values.to(dtype))
        frequencies = math.pi * torch.arange(1, architecture.radial_functions + 1)
        self.weights["bessel"] = nn.Parameter(frequencies.to(dtype))
        self._constants()

    @property
    def moves(self) -> bool:
        """Whether this is a network of strides, which sees velocities."""
        return self.architecture.head == "stride"

    def _constants(self) -> None:
        a = self.architecture
        names = (
            "masses",
            "velocity_scale",
            "drift",
            "memory",
            "displacement_scale",
            "velocity_change_scale",
            "atom_energy",
        )
        for name in names:
            self.register_buffer(f"_{name}", torch.tensor(getattr(a, name), dtype=torch.float64), persistent=False)

    # ------------------------------------------------------------------ what it gives

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return displacement (N, 3) in Angstrom and new velocity (N, 3) in Angstrom/fs, both float64.

        Raises
        ------
        InputError : a stride the architecture does not know

        """
        a = self.architecture
        which = [a.stride_index(h) for h in batch.stride.tolist()]
        row = torch.tensor(which, device=batch.stride.device)[batch.frame]
        features = self._features(batch, row)
        last = kept_kinds(a, a.layers - 1)
        first = dimension(last[: last.index(VECTORS)])
        vectors = features[:, first : first + 3]
        out = _per_species(batch, vectors, self.weights["readout"]).double()
        s = batch.species
        column = (row, s)
        ballistic = batch.stride[batch.frame][:, None] * batch.velocity
        displacement = (
            self._drift[column][:, None] * ballistic + self._displacement_scale[column][:, None] * out[..., 0]
        )
        velocity = (
            self._memory[column][:, None] * batch.velocity + self._velocity_change_scale[column][:, None] * out[..., 1]
        )
        return conserve(
            displacement, velocity, position=batch.position, before=batch.velocity, mass=batch.mass, frame=batch.frame,
            stride=batch.stride, open_frame=batch.open.double(), sums=batch.sums, xp=torch,
        )  # fmt: skip

    def energy(self, batch: Batch) -> Tensor:
        """Return the potential energy (F,) of each frame in eV, float64, differentiable in the positions."""
        c, w = self.architecture.channels, self.weights
        scalars = self._features(batch, None)[:, 0, :c]
        hidden = SILU_GAIN * silu(scalars @ w["readout_hidden"])
        atomic = (hidden @ w["readout"]).double() * self.architecture.energy_scale
        return batch.sums(atomic + self._atom_energy[batch.species][:, None])[:, 0]

    # ------------------------------------------------------------------ layers

    def _features(self, batch: Batch, row: Tensor | None) -> Tensor:
        a, dtype = self.architecture, self.weights["species"].dtype
        edges = batch.vectors()
        length = edges.square().sum(1).sqrt()
        unit = (edges / length[:, None]).to(dtype)
        y_edge = torch.stack(solid_harmonics(unit[:, 0], unit[:, 1], unit[:, 2], a.l_max), 1)
        inputs = radial_basis(length, self.weights["bessel"].double(), a, torch).to(dtype)
        envelope = (cutoff_function(length, a) / math.sqrt(a.average_neighbours))[:, None].to(dtype)
        if self.moves and len(a.strides) > 1:
            assert row is not None, "a network of strides knows the stride"
            inputs = torch.cat([inputs, nn.functional.one_hot(row[batch.receiver], len(a.strides)).to(dtype)], 1)
        x, speed, y_own = self._first(batch, row, dtype)
        w = pruned(a, dict(self.weights.items()))
        for t in range(a.layers):
            before, middle, after = kinds_before(a, t), layer_irreps(a, t)[1], kept_kinds(a, t)
            last = through = paths(before, middle if self.moves else after, a.l_max)
            weights = _network(w, f"{t}_radial", inputs, envelope)
            sent = batch.senders(x)
            message = self.product(through, batch.links, sent, y_edge, weights.view(len(length), through.n, a.channels))
            if self.moves:
                last = paths(middle, after, a.l_max)
                own = _network(w, f"{t}_speed", speed).view(batch.n, last.n, a.channels)
                mixed = torch.cat(self._mixed(w, f"{t}_message", message, through, batch.n), 1)
                message = self.product(last, batch.own, mixed, y_own, own)
            new = self._mixed(w, f"{t}_update", message, last, batch.n)
            x = gate(_with_residual(w, t, batch, x, new, before, after), after, a.channels)
        return x

    def _first(self, batch: Batch, row: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features before the first layer, the inputs of the speed networks, harmonics of own velocities."""
        a, w, s = self.architecture, self.weights, batch.species
        scalars = w["species"][s]
        if not self.moves:
            return scalars[:, None], scalars, scalars
        assert row is not None, "a network of strides knows the stride"
        reduced = batch.velocity / self._velocity_scale[s][:, None]
        heavier = torch.log(batch.mass / self._masses[s])[:, None]
        gauss = speed_basis(reduced.square().sum(1).add(1e-30).sqrt(), a, torch).to(dtype)
        scalars = scalars + _per_species(batch, gauss[:, None], w["speed"])[:, 0]
        scalars = scalars + w["stride"][row] + heavier.to(dtype) * w["mass"]
        y = torch.stack(velocity_harmonics(reduced, a.l_max), 1).to(dtype)
        parts = [scalars[:, None]]
        for degree in range(1, a.l_max + 1):
            parts.append(y[:, degree**2 : (degree + 1) ** 2, None] * w[f"velocity_{degree}"][s][:, None])
        one_hot = nn.functional.one_hot
        facts = [gauss, one_hot(s, len(a.species)).to(dtype), one_hot(row, len(a.strides)).to(dtype), heavier.to(dtype)]
        return torch.cat(parts, 1), torch.cat(facts, 1), y

    def _mixed(self, w: Mapping[str, Tensor], name: str, message: Tensor, through: Paths, n: int) -> list[Tensor]:
        """Return the linear combinations of all paths to each kind, (n, 2 l + 1, channels out)."""
        c = self.architecture.channels
        blocks = message.split([(2 * degree + 1) * width * n * c for _, degree, width in through.blocks])
        return [
            block.view(n, 2 * degree + 1, width * c) @ w[f"{name}_{k}"]
            for k, (block, (_, degree, width)) in enumerate(zip(blocks, through.blocks, strict=True))
        ]

    # ------------------------------------------------------------------ weights

    def load(self, weights: Mapping[str, NDArray]) -> Network:
        """Take the weights of a model file (names and shapes must agree); return self."""
        self.weights.load_state_dict({k: torch.as_tensor(np.asarray(v)) for k, v in weights.items()})
        return self

    def arrays(self) -> dict[str, NDArray]:
        """Return copies of the weights as NumPy arrays."""
        return {k: v.detach().cpu().numpy().copy() for k, v in self.weights.items()}


def _network(w: Mapping[str, Tensor], name: str, inputs: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """Return a perceptron of the inputs, times a factor for each row (applied where the rows are short)."""
    hidden, k = inputs, 0
    while f"{name}_{k + 1}" in w:
        hidden = SILU_GAIN * silu(hidden @ w[f"{name}_{k}"])
        k += 1
    return (hidden * factor) @ w[f"{name}_{k}"]


def _with_residual(
    w: Mapping[str, Tensor], t: int, batch: Batch, x: Tensor, new: list[Tensor], before: Irreps, after: Irreps
) -> list[Tensor]:
    old = dict(zip(before, x.split([2 * degree + 1 for degree, _ in before], 1), strict=True))
    return [
        part + _per_species(batch, old[kind], w[f"{t}_residual_{k}"]) if kind in old else part
        for k, (part, kind) in enumerate(zip(new, after, strict=True))
    ]


def _per_species(batch: Batch, x: Tensor, weight: Tensor) -> Tensor:
    """Return x (N, k, in) times the matrix (in, out) of each atom's species."""
    if weight.shape[0] == 1:
        return x @ weight[0]
    order, back, counts = batch.by_species
    parts = torch.split(x[order], counts)
    return torch.cat([part @ weight[s] for s, part in enumerate(parts)])[back]


def gate(parts: list[Tensor], irreps: Irreps, channels: int) -> Tensor:
    """Return gated features (N, D, C): silu for even scalars, tanh for odd ones, sigmoid gates for the rest."""
    scalars, *rest = parts[0].split(channels, -1)
    gates = iter(rest)
    results = [SILU_GAIN * silu(scalars)]
    for (degree, _), part in zip(irreps[1:], parts[1:], strict=True):
        results.append(torch.tanh(part) if degree == 0 else part * torch.sigmoid(next(gates)))
    return torch.cat(results, 1)
