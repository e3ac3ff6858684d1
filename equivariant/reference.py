"""The network once more, in e3nn's own operations on the same weights: the readable twin that tests compare with.

It shares with ``network.py`` the description, the names, shapes and order of the weights, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.nn import Gate
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu

from .architecture import Architecture
from .bases import SILU_GAIN
from .batch import Batch
from .harmonics import coupling
from .parameters import layer_irreps, parameters
from .paths import Irreps, paths


class ReferenceNetwork(nn.Module):
    """What ``Network`` is, slowly; features are (N, sum C (2 l + 1)), each channel's components side by side, as e3nn has them.

    Parameters
    ----------
    architecture : Architecture
    dtype : of the weights and features; positions, scales and momenta are float64 always

    """

    def __init__(self, architecture: Architecture, *, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        a = self.architecture = architecture
        sizes = {name: parameter.shape for name, parameter in parameters(a).items()}
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(shape, dtype=dtype)) for name, shape in sizes.items()}
        )
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # e3nn makes its constants in it
        try:
            self.layers = nn.ModuleList(_Layer(a, t) for t in range(a.layers))
            if a.head == "stride":
                self.readout = _per_species(a, [(a.channels, (1, -1))], [(2, (1, -1))])
        finally:
            torch.set_default_dtype(before)

    def load(self, weights: Mapping[str, NDArray]) -> ReferenceNetwork:
        """Take the weights of a model or a ``Network``; return self."""
        self.weights.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
        return self

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return displacement (N, 3) in Angstrom and new velocity (N, 3) in Angstrom/fs."""
        a, s, c = self.architecture, batch.species, self.architecture.channels
        row = torch.tensor([a.stride_index(h) for h in batch.stride.tolist()])[batch.frame]
        kinds = layer_irreps(a, a.layers - 1)[2]
        begin = sum(c * (2 * degree + 1) for degree, _ in kinds[: kinds.index((1, -1))])
        vectors = self._features(batch, row)[:, begin : begin + 3 * c]
        weight = self.weights["readout"].transpose(0, 1).reshape(-1)
        out = self.readout(vectors, self._species(batch), weight).double()

        def column(name: str) -> Tensor:
            return torch.tensor(getattr(a, name), dtype=torch.float64)[row, s][:, None]

        drifted = column("drift") * batch.stride[batch.frame][:, None] * batch.velocity
        displacement = drifted + column("displacement_scale") * out[:, :3]
        velocity = column("memory") * batch.velocity + column("velocity_change_scale") * out[:, 3:]
        return _with_momenta(batch, displacement, velocity)

    def energy(self, batch: Batch) -> Tensor:
        """Return the potential energy (F,) of each frame in eV."""
        a = self.architecture
        scalars = self._features(batch, None)[:, : a.channels]
        hidden = SILU_GAIN * silu(scalars @ self.weights["readout_hidden"])
        atomic = (hidden @ self.weights["readout"]).double()[:, 0] * a.energy_scale
        atomic = atomic + torch.tensor(a.atom_energy, dtype=torch.float64)[batch.species]
        return torch.stack([atomic[batch.frame == f].sum() for f in range(batch.n_frames)])

    def _features(self, batch: Batch, row: Tensor | None) -> Tensor:
        a, w, dtype = self.architecture, self.weights, self.weights["species"].dtype
        edges = batch.position[batch.sender] + batch.shift - batch.position[batch.receiver]
        length = torch.linalg.vector_norm(edges, dim=1)
        y_edge = _harmonics(a, edges, normalize=True).to(dtype)
        waves = torch.sin(w["bessel"].double() * length[:, None] / a.cutoff) / length[:, None]
        inputs = (math.sqrt(a.cutoff / 2.0) * waves).to(dtype)
        if a.head == "stride" and len(a.strides) > 1:
            inputs = torch.cat([inputs, one_hot(row[batch.receiver], len(a.strides)).to(dtype)], dim=1)  # type: ignore[index]
        envelope = _envelope(length / a.cutoff, a.cutoff_power).to(dtype)[:, None]
        x, facts, y_own = self._first(batch, row)
        layer: Any  # nn.ModuleList hides what it holds
        for t, layer in enumerate(self.layers):
            radial = envelope * self._perceptron(f"{t}_radial", inputs)
            sent = layer.through(x[batch.sender], y_edge, radial)
            message = sent.new_zeros(batch.n, sent.shape[1]).index_add(0, batch.receiver, sent)
            message = message / math.sqrt(a.average_neighbours)
            if a.head == "stride":
                message = layer.message(message, _flat(w, f"{t}_message", layer.through.signs))
                message = layer.last(message, y_own, self._perceptron(f"{t}_speed", facts))
            new = layer.update(message, _flat(w, f"{t}_update", layer.last.signs))
            kept = torch.cat([w[f"{t}_residual_{k}"].transpose(0, 1).reshape(-1) for k in layer.kept])
            x = layer.gate(new + layer.residual(x, self._species(batch), kept)) * layer.gain
        return x

    def _first(self, batch: Batch, row: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features before the first layer, the inputs of the speed networks, harmonics of own velocities."""
        a, w, s, dtype = self.architecture, self.weights, batch.species, self.weights["species"].dtype
        if row is None:
            higher = sum(2 * degree + 1 for degree, _ in layer_irreps(a, 0)[0][1:])
            return torch.cat([w["species"][s], w["species"].new_zeros(batch.n, higher * a.channels)], dim=1), s, s
        reduced = batch.velocity / torch.tensor(a.velocity_scale, dtype=torch.float64)[s][:, None]
        speed = (reduced**2).sum(dim=1).add(1e-30).sqrt()
        step = a.speed_limit / max(a.speed_functions - 1, 1)
        signs = (1, -1) if a.speed_basis == "even" else (1,)
        gauss = torch.stack(
            [
                torch.stack([torch.exp(-((speed / step - c * k) ** 2) / 2.0) for c in signs]).sum(0)
                for k in range(a.speed_functions)
            ],
            1,
        ).to(dtype)
        heavier = torch.log(batch.mass / torch.tensor(a.masses, dtype=torch.float64)[s])[:, None].to(dtype)
        scalars = (
            w["species"][s] + torch.einsum("nk,nkc->nc", gauss, w["speed"][s]) + w["stride"][row] + heavier * w["mass"]
        )
        size = 1.0 + (reduced**2).sum(dim=1, keepdim=True) / 3.0
        y = _harmonics(a, reduced, normalize=False)
        degrees = torch.tensor([degree for degree in range(a.l_max + 1) for _ in range(2 * degree + 1)])
        softened = y / (math.sqrt(3.0) * size ** ((degrees - 1) / 2.0))
        y = torch.where(degrees == 0, y, softened).to(dtype)
        parts = [scalars]
        for degree in range(1, a.l_max + 1):
            own = torch.einsum("nc,nm->ncm", w[f"velocity_{degree}"][s], y[:, degree**2 : (degree + 1) ** 2])
            parts.append(own.flatten(1))
        facts = [gauss, self._species(batch), one_hot(row, len(a.strides)).to(dtype), heavier]
        return torch.cat(parts, dim=1), torch.cat(facts, dim=1), y

    def _perceptron(self, name: str, inputs: Tensor) -> Tensor:
        matrices = _named(self.weights, name)
        for matrix in matrices[:-1]:
            inputs = SILU_GAIN * silu(inputs @ matrix)
        return inputs @ matrices[-1]

    def _species(self, batch: Batch) -> Tensor:
        return one_hot(batch.species, len(self.architecture.species)).to(self.weights["species"].dtype)


class _Layer(nn.Module):
    """The operations of one layer; its weights come from outside."""

    def __init__(self, a: Architecture, t: int) -> None:
        super().__init__()
        c = a.channels
        before, middle, after = layer_irreps(a, t)
        self.through = self.last = _Product(a, before, middle)
        if a.head == "stride":
            self.message = o3.Linear(self.through.irreps_out, [(c, kind) for kind in middle], internal_weights=False)
            self.last = _Product(a, middle, after)
        self.gate, gain = _gate(after, c)
        self.update = o3.Linear(self.last.irreps_out, self.gate.irreps_in, internal_weights=False)
        self.kept = [k for k, kind in enumerate(after) if kind in before]
        self.residual = _per_species(a, [(c, kind) for kind in before], self.gate.irreps_in)
        self.register_buffer("gain", gain, persistent=False)


class _Product(nn.Module):
    """Every path from features of some kinds to others, each channel for itself; a kind of output for each path."""

    signs: Tensor

    def __init__(self, a: Architecture, before: Irreps, after: Irreps) -> None:
        super().__init__()
        links = paths(before, after, a.l_max).links
        self.irreps_out = o3.Irreps([(a.channels, after[k]) for _, _, k in links])
        self.product = o3.TensorProduct(
            [(a.channels, kind) for kind in before], o3.Irreps.spherical_harmonics(a.l_max), self.irreps_out,
            [(i, l_2, p, "uvu", True) for p, (i, l_2, _) in enumerate(links)],
            path_normalization="none", internal_weights=False, shared_weights=False,
        )  # fmt: skip
        signs = torch.tensor([_sign(before[i][0], l_2, after[k][0]) for i, l_2, k in links])
        self.register_buffer("signs", signs.repeat_interleave(a.channels), persistent=False)

    def forward(self, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """Return the products, the components of every path with e3nn's sign, not ours."""
        products: Tensor = self.product(x, y, weights)
        return products


def _sign(l_1: int, l_2: int, l_3: int) -> float:
    """Return 1 or -1: e3nn's coupling tensor is ours up to a sign, which goes into the linear map that follows."""
    theirs = o3.wigner_3j(l_1, l_2, l_3, dtype=torch.float64)
    return math.copysign(1.0, float((theirs * torch.from_numpy(coupling(l_1, l_2, l_3))).sum()))


def _per_species(a: Architecture, irreps_in: list, irreps_out: list) -> o3.FullyConnectedTensorProduct:
    """Return the linear maps of features, one for each species, as a product with the species in one-hot form."""
    species = o3.Irreps([(len(a.species), (0, 1))])
    return o3.FullyConnectedTensorProduct(
        o3.Irreps(irreps_in), species, o3.Irreps(irreps_out), path_normalization="none", internal_weights=False,
        shared_weights=True,
    )  # fmt: skip


def _gate(kinds: Irreps, c: int) -> tuple[Gate, Tensor]:
    """Return the gate, and what takes the normalisation of second moments out of its results again."""
    act: dict[int, Callable[[Tensor], Tensor]] = {1: silu, -1: torch.tanh}
    scalars = [(c, kind) for kind in kinds if kind[0] == 0]
    gated = [(c, kind) for kind in kinds if kind[0] > 0]
    gates = [(c * len(gated), (0, 1))]
    gate = Gate(scalars, [act[parity] for _, (_, parity) in scalars], gates, [torch.sigmoid], gated)
    gains = []
    for degree, parity in kinds:
        function = act[parity] if degree == 0 else torch.sigmoid
        wanted = SILU_GAIN if (degree, parity) == (0, 1) else 1.0
        gains.append(torch.full((c * (2 * degree + 1),), wanted / normalize2mom(function).cst))
    return gate, torch.cat(gains)


def _named(weights: nn.ParameterDict, name: str) -> list[Tensor]:
    """Return the arrays name_0, name_1, ..., in this order."""
    return [w for key, w in weights.items() if key.rpartition("_")[0] == name]


def _flat(weights: nn.ParameterDict, name: str, signs: Tensor) -> Tensor:
    """Return the weights of an ``o3.Linear``, which divides by the root of the number of its inputs, one sign for each."""
    matrices = _named(weights, name)
    parts = signs.split([len(matrix) for matrix in matrices])
    scaled = (math.sqrt(len(m)) * s[:, None] * m for m, s in zip(matrices, parts, strict=True))
    return torch.cat([m.reshape(-1) for m in scaled])


def _harmonics(a: Architecture, vectors: Tensor, *, normalize: bool) -> Tensor:
    return o3.spherical_harmonics(list(range(a.l_max + 1)), vectors, normalize=normalize, normalization="component")


def _envelope(u: Tensor, p: int) -> Tensor:
    value = 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)
    return torch.where(u < 1, value, torch.zeros_like(value))


def _with_momenta(batch: Batch, displacement: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same with the total momentum of the old state, and its angular momentum where the system is open."""
    m, frame = batch.mass[:, None], batch.frame

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(batch.n_frames, *values.shape[1:]).index_add(0, frame, values)

    def centred(values: Tensor) -> Tensor:
        return values - (total(m * values) / total(m))[frame]

    drift = (total(m * batch.velocity) / total(m))[frame]
    displacement = centred(displacement) + drift * batch.stride[frame, None]
    inner, position = centred(velocity), centred(batch.position)
    moved = centred(batch.position + displacement)
    lost = total(m * (torch.linalg.cross(position, batch.velocity - drift) - torch.linalg.cross(moved, inner)))
    squares = total(m * (moved**2).sum(1, keepdim=True))[:, :, None] * torch.eye(3, dtype=m.dtype)
    inertia = squares - total(m[:, :, None] * moved[:, :, None] * moved[:, None])
    turn = (torch.linalg.pinv(inertia, hermitian=True) @ lost[:, :, None])[..., 0] * batch.open[:, None]
    return displacement, inner + drift + torch.linalg.cross(turn[frame], moved)
