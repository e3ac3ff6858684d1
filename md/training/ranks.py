"""Several processes that train one model, as ``torchrun`` starts them; one process alone is the same code."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...particles import InputError


class Alone:
    """One process: nothing is shared."""

    rank, size = 0, 1

    def mean(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Return the loss."""
        return loss.detach()

    def agree(self, values: Sequence[float]) -> list[float]:
        """Return the values."""
        return list(values)


class Ranks:
    """The processes of ``torchrun``: each takes its share of a batch, gradients are averaged, rank 0 decides and writes.

    Parameters
    ----------
    device : "cuda": one GPU a process, by NCCL; "cpu": by gloo

    """

    def __init__(self, device: str) -> None:
        from torch import distributed

        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device == "cuda" else "gloo")
            atexit.register(_leave)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", self.rank)))
        self._device = device

    def mean(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Replace gradients by their mean over ranks; return the mean loss."""
        from torch import distributed

        gradients = [w.grad for w in network.parameters() if w.grad is not None]
        flat = torch.cat([loss.detach().reshape(1).to(gradients[0].dtype), *(g.reshape(-1) for g in gradients)])
        distributed.all_reduce(flat)
        flat /= self.size
        begin = 1
        for gradient in gradients:
            gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
            begin += gradient.numel()
        return flat[0]

    def agree(self, values: Sequence[float]) -> list[float]:
        """Return what rank 0 has."""
        from torch import distributed

        shared = torch.tensor(list(values), dtype=torch.float64, device=self._device)
        distributed.broadcast(shared, 0)
        return [float(x) for x in shared]


def _leave() -> None:
    """End the connections before the interpreter ends: threads of gloo that outlive it can abort the process."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def ranks_of(device: str, batch: int) -> Alone | Ranks:
    """Return the processes that this one belongs to.

    Raises
    ------
    InputError : a batch that the processes cannot share evenly

    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Alone()
    if batch % size:
        raise InputError(f"a batch of {batch} frames on {size} processes; give a multiple of {size}")
    return Ranks(device)
