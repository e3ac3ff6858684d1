"""The channelwise product of features and harmonics in torch, differentiable to any order, without stored messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..particles import resolve
from .paths import Paths

_ARGUMENTS = ("x", "y", "w", "g")
#: derivative for an argument -> what its kernel takes, in this order
_TAKEN = {"g": ("x", "y", "w"), "x": ("g", "y", "w"), "w": ("x", "y", "g"), "y": ("x", "w", "g")}
#: kind of torch's device -> backend of the kernels
_BACKENDS = {"cpu": "cpu", "cuda": "cuda"}


@dataclass(eq=False)
class Links:
    """Edges as kernels want them: sorted by receiver, and an order that sorts them by sender.

    Attributes
    ----------
    sender, receiver : (E,) int64 tensors; receivers ascend
    n : number of atoms
    ghosts : rows after those of the atoms, which only send

    """

    sender: Tensor
    receiver: Tensor
    n: int
    ghosts: int = 0

    @cached_property
    def start(self) -> Tensor:
        """(n + 1,) first edge of each receiver."""
        return _first(self.receiver, self.n)

    @cached_property
    def by_sender(self) -> tuple[Tensor, Tensor]:
        """The order (E,) of edges by sender, and the first of each sender (n + ghosts + 1,)."""
        return torch.argsort(self.sender, stable=True), _first(self.sender, self.n + self.ghosts)

    @classmethod
    def own(cls, n: int) -> Links:
        """Return the links of n atoms with themselves."""
        index = torch.arange(n)
        return cls(index, index, n)


def _first(index: Tensor, n: int) -> Tensor:
    start = torch.zeros(n + 1, dtype=torch.int64, device=index.device)
    torch.cumsum(torch.bincount(index, minlength=n), 0, out=start[1:])
    return start


def memory(tensor: Tensor) -> Any:
    """Return a tensor as kernels take it: the same memory, as a NumPy array where it is the host's."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def couple(paths: Paths, links: Links, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    r"""Return the messages of all paths, summed at the receivers.

    m_i,k,path,c = sum_{e -> i} w_e,path,c sqrt(2 l_3 + 1) sum_ab C_abk x_sender(e),a,c y_e,b

    Parameters
    ----------
    x : (n + ghosts, D, C) features;  y : (E, (l_max + 1)^2) harmonics;  w : (E, P, C) weights; one dtype

    Returns
    -------
    flat tensor of rows * n * C numbers, laid out as ``paths`` says; by fused kernels on the CPU and on CUDA, elsewhere by torch

    """
    if x.device.type in _BACKENDS:
        return _Derivative.apply("g", paths, links, x, y, w, None)
    return couple_by_matrices(paths, links, x, y, w)


class _Derivative(torch.autograd.Function):
    """The derivative of the form F(x, y, w, g) of ``_kernels.coupling_reference`` for one of its arguments.

    F is linear in each, so the derivative of a derivative is a derivative with the incoming gradient in place of the
    argument that was missing.
    """

    @staticmethod
    def forward(ctx: Any, of: str, paths: Paths, links: Links, *arguments: Tensor | None) -> Tensor:
        ctx.of, ctx.paths, ctx.links = of, paths, links
        ctx.save_for_backward(*arguments)
        return _kernel(of, paths, links, dict(zip(_ARGUMENTS, arguments, strict=True)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        arguments = dict(zip(_ARGUMENTS, ctx.saved_tensors, strict=True))
        arguments[ctx.of] = gradients[0].contiguous()
        wanted = dict(zip(_ARGUMENTS, ctx.needs_input_grad[3:], strict=True))
        results = [
            _Derivative.apply(name, ctx.paths, ctx.links, *({**arguments, name: None}[k] for k in _ARGUMENTS))
            if name != ctx.of and wanted[name]
            else None
            for name in _ARGUMENTS
        ]
        return None, None, None, *results


def _kernel(of: str, paths: Paths, links: Links, tensors: dict[str, Tensor | None]) -> Tensor:
    given = {name: t.detach().contiguous() for name, t in tensors.items() if t is not None}
    sample = next(iter(given.values()))
    channels = (given["x"] if "x" in given else given["w"]).shape[2]
    edges = len(links.sender)
    shape: tuple[int, ...] = {
        "g": (paths.rows * links.n * channels,),
        "x": (links.n + links.ghosts, paths.dim_in, channels),
        "w": (edges, paths.n, channels),
        "y": (edges, (paths.l_max + 1) ** 2),
    }[of]
    order = (links.start,) if of == "g" else links.by_sender if of == "x" else ()
    out = sample.new_empty(shape)
    arrays = (*(given[name] for name in _TAKEN[of]), links.sender, links.receiver, *order)
    values = torch.from_numpy(paths.values).to(sample.dtype).numpy()
    kernel = resolve("couple" if of == "g" else f"couple_{of}", _BACKENDS[sample.device.type])
    kernel(*(memory(a) for a in arrays), paths.table, paths.entries, values, memory(out))
    return out


def couple_by_matrices(paths: Paths, links: Links, x: Tensor, y: Tensor, w: Tensor, chunk: int = 2048) -> Tensor:
    """Return what ``couple`` returns, by torch alone: a small matrix an edge and triple, edges in chunks; any device."""
    n, channels = links.n, x.shape[2]
    entries = torch.as_tensor(paths.entries, device=x.device)
    values = torch.as_tensor(paths.values, dtype=x.dtype, device=x.device)
    blocks = [x.new_zeros(n, 2 * degree + 1, width, channels) for _, degree, width in paths.blocks]
    for begin in range(0, len(y), chunk):
        part = slice(begin, begin + chunk)
        mixing = y.new_zeros(len(y[part]), paths.mixing_size).index_add(
            1, entries[:, 0], values * y[part][:, entries[:, 1]]
        )
        sent, receiver = x[links.sender[part]], links.receiver[part]
        for p, (_, _, out) in enumerate(paths.links):
            first, size_in, size_out, _, _, _, place, offset = (int(k) for k in paths.table[p])
            matrix = mixing[:, offset : offset + size_in * size_out].reshape(-1, size_out, size_in)
            moved = torch.bmm(matrix, sent[:, first : first + size_in]) * w[part, p, None]
            spread = x.new_zeros(blocks[out].shape[:2] + moved.shape[2:]).index_add(0, receiver, moved)
            pieces = torch.unbind(blocks[out], 2)
            blocks[out] = torch.stack([b + spread if k == place else b for k, b in enumerate(pieces)], 2)
    return torch.cat([block.reshape(-1) for block in blocks])
