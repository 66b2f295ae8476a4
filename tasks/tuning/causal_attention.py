"""Attention of decoders in training: no mask for padding, and a faster backward pass in bf16 on a CPU."""

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
_BLOCK = 128
"""Queries per block of the backward pass: as fast as 64 for short rows, and faster for long ones."""


def use(model: Any) -> None:
    """Let a decoder attend without a mask for padding, since training pads its batches on the right.

    Padding comes after all supervised tokens, and a causal model never looks ahead. A model whose attention may not be
    causal keeps its own attention.
    """
    base = unwrapped(model)
    causal = [module.is_causal for module in base.modules() if hasattr(module, "is_causal")]
    plain = base.config._attn_implementation == "sdpa" and base._can_set_attn_implementation()
    if plain and causal and all(causal) and not _reads_attention_name(type(base)):
        base.set_attn_implementation(NAME)


def _reads_attention_name(cls: type[Any]) -> bool:
    """Whether the model's code depends on the name of its attention."""
    module = inspect.getmodule(cls)
    return module is None or '"sdpa"' in inspect.getsource(module)


def _mask(**kwargs: Any) -> Tensor | None:
    """Drop the padding mask in training only: generation pads on the left, and computes no gradients."""
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
    same_shape = query.shape == (*key.shape[:1], query.shape[1], *key.shape[2:]) and key.shape == value.shape
    plain = attention_mask is None and not dropout and kwargs.get("is_causal") is not False
    extras = any(kwargs.get(name) is not None for name in ("position_bias", "softcap", "cache"))
    in_bf16 = query.device.type == "cpu" and autocast_dtype(query.device) == torch.bfloat16
    if not (same_shape and plain and not extras and in_bf16 and torch.is_grad_enabled()):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out_BHTD = CausalAttention.apply(query.bfloat16(), key.bfloat16(), value.bfloat16(), scale)
    return out_BHTD.transpose(1, 2).contiguous(), None


class CausalAttention(Function):
    """``softmax(scale · q kᵀ) v`` in which no query sees a later key; q (B, H, T, D), k and v (B, K, T, D).

    The forward pass is PyTorch's flash attention. Its backward pass for CPUs works on small tiles, whose products are
    slow in bf16. Here a block of queries of the whole batch is one product, over the keys up to the block's end.

    K key-value heads are shared by groups of G = H / K query heads. The queries of a group are stacked: a block of Q
    queries has G · Q rows. N = B · K.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        out, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, True, scale=scale)
        ctx.save_for_backward(q, k, v, out, logsumexp)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_out,) = grad_outputs
        q, k, v, out, logsumexp_BHT = ctx.saved_tensors
        (batch, heads, length, width), key_heads = q.shape, k.shape[1]
        group, stacks = heads // key_heads, batch * key_heads
        k_NTD, v_NTD = k.reshape(stacks, length, width), v.reshape(stacks, length, width)
        grad_q = torch.empty_like(q)
        grad_k_NTD, grad_v_NTD = torch.zeros_like(k_NTD), torch.zeros_like(v_NTD)
        delta_BHT1 = (grad_out * out).sum(-1, keepdim=True)
        for start in range(0, length, _BLOCK):
            end = min(length, start + _BLOCK)
            queries = end - start

            def stacked(tensor: Tensor, start: int = start, end: int = end, queries: int = queries) -> Tensor:
                return tensor[:, :, start:end].reshape(stacks, group * queries, tensor.shape[-1])

            q_block, grad_block = stacked(q), stacked(grad_out)
            k_seen, v_seen = k_NTD[:, :end], v_NTD[:, :end]
            scores = torch.bmm(q_block, k_seen.transpose(1, 2)).float().mul_(ctx.scale)
            probs = scores.sub_(stacked(logsumexp_BHT.unsqueeze(-1))).exp_().to(q.dtype)
            probs.view(stacks, group, queries, end)[..., start:].tril_()
            grad_v_NTD[:, :end].baddbmm_(probs.transpose(1, 2), grad_block)
            grad_scores = torch.bmm(grad_block, v_seen.transpose(1, 2)).sub_(stacked(delta_BHT1))
            grad_scores = grad_scores.mul_(probs).mul_(ctx.scale)
            grad_q[:, :, start:end] = torch.bmm(grad_scores, k_seen).view(batch, heads, queries, width)
            grad_k_NTD[:, :end].baddbmm_(grad_scores.transpose(1, 2), q_block)
        return grad_q, grad_k_NTD.view_as(k), grad_v_NTD.view_as(v), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)
