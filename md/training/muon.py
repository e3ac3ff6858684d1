"""Muon: matrices step along the nearest semi-orthogonal matrix of their averaged gradient, everything else by AdamW."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

#: Coefficients of the quintic that drives singular values towards 1, and how often it is applied.
_QUINTIC, _ROUNDS = (3.4445, -4.7750, 2.0315), 5
#: rms of a step of AdamW, which a step along an orthogonal matrix is scaled to.
_ADAM_RMS = 0.2
_MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    r"""m <- b m + (1 - b) g;  w <- w (1 - lr decay) - lr 0.2 sqrt(max(k, n)) orthogonal((1 - b) g + b m),  b = 0.95.

    Learning rate and decay of weights mean what they mean in AdamW, and the same values of them do well.

    Parameters
    ----------
    matrices : weights (..., k, n), each a linear map or a stack of them
    others : weights for AdamW
    lr : learning rate;  weight_decay : of matrices, others do not decay
    betas : of AdamW

    References
    ----------
    Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982

    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
    ) -> None:
        groups = [
            {"params": list(matrices), "weight_decay": weight_decay, "orthogonal": True},
            {"params": list(others), "weight_decay": 0.0, "orthogonal": False},
        ]
        super().__init__(groups, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients."""
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            (self._orthogonal if group["orthogonal"] else self._adam)(weights, group)

    def _orthogonal(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        rate = group["lr"]
        stacks: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for w in weights:
            stacks[tuple(w.shape[-2:])].append(w)
        for (k, n), same in stacks.items():
            steps = []
            for w in same:
                assert w.grad is not None
                mean = self._moment(w, "exp_avg")
                mean.lerp_(w.grad, 1.0 - _MOMENTUM)
                steps.append(w.grad.lerp(mean, _MOMENTUM).view(-1, k, n))
            found = orthogonal(torch.cat(steps)).split([len(s) for s in steps])
            for w, step in zip(same, found, strict=True):
                w.mul_(1.0 - rate * group["weight_decay"])
                w.add_(step.view(w.shape), alpha=-rate * _ADAM_RMS * max(k, n) ** 0.5)

    def _adam(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for w in weights:
            assert w.grad is not None
            mean, square = self._moment(w, "exp_avg"), self._moment(w, "exp_avg_sq")
            count = self.state[w].setdefault("step", torch.zeros(()))
            count += 1
            mean.lerp_(w.grad, 1.0 - first)
            square.lerp_(w.grad.square(), 1.0 - second)
            spread = (square / (1.0 - second ** float(count))).sqrt_().add_(1e-8)
            w.addcdiv_(mean, spread, value=-group["lr"] / (1.0 - first ** float(count)))

    def _moment(self, w: Tensor, name: str) -> Tensor:
        own = self.state[w]
        if name not in own:
            own[name] = torch.zeros_like(w)
        moment: Tensor = own[name]
        return moment


def orthogonal(x: Tensor) -> Tensor:
    """Return about U V^T of x = U S V^T, (b, k, n), singular values between 0.7 and 1.2, by Newton-Schulz iterations."""
    turned = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if turned else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if turned else x
