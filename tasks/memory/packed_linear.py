"""Linear layers for the plan of a quantised base: they take the memory of bitsandbytes' layers and hold no numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.model.unwrap import unwrapped
from tasks.tuning.fused import BF16Linear
from tasks.tuning.method_params import QuantisationParams

_BLOCK, _SCALES = 64, 256
"""Weights per scale, and scales per scale of scales (QLoRA; Dettmers et al. 2023, section 3)."""


class _PackedMatmul(torch.autograd.Function):
    """Both passes unpack the matrix for the duration of one product."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, packed: Tensor, shape: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.shape = shape
        return nn.functional.linear(hidden, hidden.new_empty(shape))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_output,) = grad_outputs
        return grad_output @ grad_output.new_empty(ctx.shape), None, None


class _PackedLinear(nn.Module):
    def __init__(self, linear: nn.Linear, quantisation: QuantisationParams, compute: torch.dtype) -> None:
        super().__init__()
        weights = linear.weight.numel()
        scales = -(-weights // _BLOCK)
        if quantisation.bits == 8:
            size = weights + 4 * linear.out_features  # an fp32 scale per row
        elif quantisation.double:
            size = -(-weights // 2) + scales + 4 * -(-scales // _SCALES)  # scales of one byte, with fp32 scales
        else:
            size = -(-weights // 2) + 4 * scales
        self.register_buffer("packed", torch.empty(size, dtype=torch.uint8))
        self.shape, self.compute, self.bias = tuple(linear.weight.shape), compute, linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            output: Tensor = _PackedMatmul.apply(hidden.to(self.compute), self.packed, self.shape)
        return (output if self.bias is None else output + self.bias).to(hidden.dtype)


def pack(model: Any, quantisation: QuantisationParams, compute: torch.dtype) -> None:
    """Replace the frozen linear layers of ``model`` by packed ones.

    The output layer stays, and so do the layers that the architecture keeps in fp32.
    """
    output_layer = unwrapped(model).get_output_embeddings()
    kept = set(unwrapped(model)._keep_in_fp32_modules or ())
    for path, module in list(model.named_modules()):
        for name, child in module.named_children():
            frozen = type(child) in (nn.Linear, BF16Linear) and not child.weight.requires_grad
            if frozen and child is not output_layer and kept.isdisjoint((*path.split("."), name)):
                setattr(module, name, _PackedLinear(child, quantisation, compute))
