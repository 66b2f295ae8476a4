"""Attention of decoders while training: no mask for padding, and in bf16 on a CPU a faster backward pass."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tasks.core.device import autocast_dtype
from tasks.model.unwrap import unwrapped

NAME = "right_padded_sdpa"
_QUERIES = 128
"""A block of queries of the backward pass: measured as fast as 64 for short rows, faster for long ones."""


def use(model: Any) -> None:
    """Let ``model``, whose batches are padded on the right in training, attend without a mask for padding there.

    Padding stands behind all that is learnt, and a decoder never looks there. A model whose attention is not known to
    be causal keeps its own.
    """
    base = unwrapped(model)
    causal = [module.is_causal for module in base.modules() if hasattr(module, "is_causal")]
    plain = base.config._attn_implementation == "sdpa" and base._can_set_attn_implementation()
    if plain and causal and all(causal) and not _asks_for_sdpa(type(base)):
        base.set_attn_implementation(NAME)


def _asks_for_sdpa(kind: type[Any]) -> bool:
    """Whether the model's code does something else where its attention has another name."""
    module = inspect.getmodule(kind)
    return module is None or '"sdpa"' in inspect.getsource(module)


def _mask(**kwargs: Any) -> Tensor | None:
    """Whoever generates with the model pads on the left, and computes no gradients."""
    return sdpa_mask(**kwargs | ({"attention_mask": None} if torch.is_grad_enabled() else {}))


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    alike = query.shape == (*key.shape[:1], query.shape[1], *key.shape[2:]) and key.shape == value.shape
    plain = attention_mask is None and not dropout and kwargs.get("is_causal") is not False
    more = any(kwargs.get(name) is not None for name in ("position_bias", "softcap", "cache"))
    in_bf16 = query.device.type == "cpu" and autocast_dtype(query.device) == torch.bfloat16
    if not (alike and plain and not more and in_bf16 and torch.is_grad_enabled()):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    said = CausalAttention.apply(query.bfloat16(), key.bfloat16(), value.bfloat16(), scale)
    return said.transpose(1, 2).contiguous(), None


class CausalAttention(Function):
    """``softmax(scale · q kᵀ) v`` in which no query sees a later key; q (B, H, T, D), k and v (B, H / group, T, D).

    The forward pass is PyTorch's flash attention. Its backward pass for a CPU computes in small tiles, whose products
    are slow in bf16; here a block of queries of the whole batch is one product. Heads that share keys stand below each
    other, and a block sees the keys up to its own end.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        said, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, True, scale=scale)
        ctx.save_for_backward(q, k, v, said, logsumexp)
        ctx.scale = scale
        return said

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        q, k, v, said, logsumexp_BHT = ctx.saved_tensors
        (rows, heads, length, width), shared = q.shape, k.shape[1]
        group, batch = heads // shared, rows * shared
        keys, values = k.reshape(batch, length, width), v.reshape(batch, length, width)
        of_q = torch.empty_like(q)
        of_k, of_v = torch.zeros_like(keys), torch.zeros_like(values)
        mean_BHT1 = (gradient * said).sum(-1, keepdim=True)
        for start in range(0, length, _QUERIES):
            end = min(length, start + _QUERIES)
            block = end - start

            def stacked(tensor: Tensor, start: int = start, end: int = end, block: int = block) -> Tensor:
                return tensor[:, :, start:end].reshape(batch, group * block, tensor.shape[-1])

            queries, outward = stacked(q), stacked(gradient)
            seen, read = keys[:, :end], values[:, :end]
            scores = torch.bmm(queries, seen.transpose(1, 2)).float().mul_(ctx.scale)
            shares = scores.sub_(stacked(logsumexp_BHT.unsqueeze(-1))).exp_().to(q.dtype)
            shares.view(batch, group, block, end)[..., start:].tril_()
            of_v[:, :end].baddbmm_(shares.transpose(1, 2), outward)
            of_scores = torch.bmm(outward, read.transpose(1, 2)).sub_(stacked(mean_BHT1)).mul_(shares).mul_(ctx.scale)
            of_q[:, :, start:end] = torch.bmm(of_scores, seen).view(rows, heads, block, width)
            of_k[:, :end].baddbmm_(of_scores.transpose(1, 2), queries)
        return of_q, of_k.view_as(k), of_v.view_as(v), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)
