"""The loss of a batch, and its gradient in the place of the logits.

``torch.nn.functional.linear_cross_entropy`` would not even hold the logits of all, but takes the matrix of the output
layer, and leaves out what a model or peft does there (scales, caps, adapters); and by its own account it gains
nothing for fewer tokens than the layer is wide, as the supervised ones of a batch often are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

_BLOCK = 1 << 22
"""Logits of a block: 16 MB in fp32, which stay with the process when they are freed (``device.keep_freed_memory``)."""


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of ``targets`` (N,) by ``logits`` (N, V), in nats, summed, in fp32.

    ``logits`` are spent: where they are fp32 their gradient is written over them, so no other tensor of their size is
    asked for. Nothing else may read them, nor may they be a leaf.
    """
    total: Tensor = _CrossEntropy.apply(logits.float(), targets)
    return total


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        rows = max(1, _BLOCK // logits.shape[-1])
        total = logits.new_zeros(())
        for block, right in zip(logits.split(rows), targets.unsqueeze(-1).split(rows), strict=True):
            likely = torch.log_softmax(block, -1)
            total -= likely.gather(-1, right).sum()
            torch.exp(likely, out=block)
            block.scatter_add_(-1, right, block.new_full((), -1.0).expand(right.shape))
        ctx.gradient = logits
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(gradients[0]), None
