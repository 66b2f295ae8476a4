"""The loss of a batch, with the gradient written over the logits.

``torch.nn.functional.linear_cross_entropy`` never holds all logits. But it takes the matrix of the output layer, so it
ignores what a model or peft adds there: scales, caps, adapters. Its documentation says that it gains nothing for fewer
tokens than the layer is wide. A batch often has fewer supervised tokens than that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

BLOCK = 1 << 22
"""Logits per block: 16 MB in fp32. The process keeps freed memory of that size (``device.keep_freed_memory``)."""


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum the negative log-likelihood of ``targets`` (N,) under ``logits`` (N, V), in nats, in fp32.

    fp32 ``logits`` are overwritten by their gradient, so that no second tensor of their size is needed. Nothing else
    may read them, and they must not be a leaf.
    """
    total: Tensor = _CrossEntropy.apply(logits.float(), targets)
    return total


class _CrossEntropy(Function):
    """logits (N, V), targets (N,). Forward computes the gradient, ``softmax(logits) - one_hot(targets)``, in blocks."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        rows = max(1, BLOCK // logits.shape[-1])
        total = logits.new_zeros(())
        for block, target in zip(logits.split(rows), targets.unsqueeze(-1).split(rows), strict=True):
            log_probs = torch.log_softmax(block, -1)
            total -= log_probs.gather(-1, target).sum()
            torch.exp(log_probs, out=block)
            block.scatter_add_(-1, target, block.new_full((), -1.0).expand(target.shape))
        ctx.grad_logits = logits
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        grad_logits, ctx.grad_logits = ctx.grad_logits, None
        return grad_logits.mul_(grad_outputs[0]), None
