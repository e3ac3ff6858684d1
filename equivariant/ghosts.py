"""Rows of other ranks' atoms in torch: features go forward to whom they concern, gradients come back to their owners."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..particles import Halo


def with_ghosts(rows: Tensor, halo: Halo) -> Tensor:
    r"""Return the rows of this rank's atoms and after them those of its ghosts, differentiable to any order.

    y = (x, H x),  dE/dx = dE/dy_atoms + H^T dE/dy_ghosts: ``Halo.forward`` and ``Halo.reverse`` between the ranks

    E is then the sum over all ranks of what each differentiates, and every rank has to differentiate: neighbours wait for
    each other in the backward pass as they do in the forward one. The bytes are the same both ways.

    Parameters
    ----------
    rows : (n, ...) of the atoms, on the CPU
    halo : Halo of their positions

    Returns
    -------
    (n + halo.n, ...)

    """
    return torch.cat([rows, _Exchanged.apply(halo, len(rows), False, rows)])


class _Exchanged(torch.autograd.Function):
    """H x, the ghosts' rows of atoms' rows, or H^T y, the sums at the owners of ghosts' rows: each is the other's gradient."""

    @staticmethod
    def forward(ctx: Any, halo: Halo, n: int, back: bool, rows: Tensor) -> Tensor:
        ctx.halo, ctx.n, ctx.back = halo, n, back
        given = rows.detach().contiguous().numpy()
        if not back:
            return torch.from_numpy(halo.forward(given))
        sums = rows.new_zeros(n, *rows.shape[1:])
        halo.reverse(given, sums.numpy())
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return None, None, None, _Exchanged.apply(ctx.halo, ctx.n, not ctx.back, gradients[0])
