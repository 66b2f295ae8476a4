"""Linear layers of a quantised base as memory sees them: packed numbers, for a moment the matrix they stand for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.model.unwrap import unwrapped
from tasks.tuning.fused import HalfLinear
from tasks.tuning.method_params import QuantisationParams

_BLOCK, _SCALES = 64, 256
"""Weights that share a scale, and scales that share one (QLoRA; Dettmers et al. 2023, section 3)."""


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, packed: Tensor, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.shape = shape
        return nn.functional.linear(hidden, hidden.new_empty(shape))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        return gradient @ gradient.new_empty(ctx.shape), None, None


class _Packed(nn.Module):
    def __init__(self, linear: nn.Linear, how: QuantisationParams, compute: torch.dtype) -> None:
        super().__init__()
        count = linear.weight.numel()
        scales = -(-count // _BLOCK)
        # In bytes: a scale of 4 a block, or of 1 and a share of 4; of 8-bit numbers one of 4 a row.
        extra = scales + 4 * -(-scales // _SCALES) if how.double else 4 * scales
        size = count + 4 * linear.out_features if how.bits == 8 else -(-count // 2) + extra
        self.register_buffer("packed", torch.empty(size, dtype=torch.uint8))
        self.shape, self.compute, self.bias = tuple(linear.weight.shape), compute, linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            said: Tensor = _Product.apply(hidden.to(self.compute), self.packed, self.shape)
        return (said if self.bias is None else said + self.bias).to(hidden.dtype)


def pack(model: Any, how: QuantisationParams, compute: torch.dtype) -> None:
    """Replace the frozen linear layers of ``model`` but the output layer's and those that the architecture keeps."""
    output_layer = unwrapped(model).get_output_embeddings()
    kept = set(unwrapped(model)._keep_in_fp32_modules or ())
    for path, module in list(model.named_modules()):
        for name, child in module.named_children():
            frozen = type(child) in (nn.Linear, HalfLinear) and not child.weight.requires_grad
            if frozen and child is not output_layer and kept.isdisjoint((*path.split("."), name)):
                setattr(module, name, _Packed(child, how, compute))
