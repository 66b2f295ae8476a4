"""Parts of a model computed with fewer passes over memory and less held for the backward pass; the numbers are the same
up to rounding.

Where products of matrices are fast, what stands between them decides: it reads and writes the same activations again
and again. Each part is exchanged only where the ``forward`` of its class reads as the one that was rewritten, so
another architecture keeps its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from transformers.activations import SiLUActivation
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)

from tasks.core.device import autocast_dtype
from tasks.model.unwrap import unwrapped


def fuse(model: Any) -> None:
    """Exchange the root mean square norms, gated feed-forwards, rotary embeddings and LoRA layers of ``model``.

    ``model`` has what is trained around it; its weights and their names stay as they are.
    """
    for module in model.modules():
        for plain, fused in _FUSED.items():
            if type(module) is plain or _reads_as(type(module), plain):
                module.__class__ = fused
                break
    layers = [module for module in model.modules() if _reads_as(type(module), LlamaDecoderLayer)]
    for layer in layers:
        # Behind both stand linear layers alone; where experts do, what they get may be summed in its type.
        if type(layer.mlp) is _FusedFeedForward:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.rounds = isinstance(norm, _FusedNorm)
    # Elsewhere queries and keys may be normed in fp32 before they are rotated.
    rounded = bool(layers) and all(_reads_as(type(layer.self_attn), LlamaAttention) for layer in layers)
    for module in model.modules():
        if isinstance(module, _FusedRotary):
            module.rounds = rounded


def halve_frozen(model: Any) -> None:
    """Frozen matrices of linear layers in bf16, to which autocast would round them in every step.

    Embeddings stay, and what the architecture keeps in fp32.
    """
    base = unwrapped(model)
    shared, kept = base.get_input_embeddings().weight, set(base._keep_in_fp32_modules or ())
    for path, module in model.named_modules():
        frozen = type(module) is nn.Linear and not module.weight.requires_grad and module.weight is not shared
        if frozen and kept.isdisjoint(path.split(".")):
            module.weight.data = module.weight.data.bfloat16()
            module.__class__ = HalfLinear


class HalfLinear(nn.Linear):
    """A frozen linear layer with its matrix in bf16; outside autocast it computes in the type of its input."""

    def forward(self, hidden: Tensor) -> Tensor:
        dtype = autocast_dtype(hidden.device) or hidden.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        return functional.linear(hidden.to(dtype), self.weight.to(dtype), bias)


def _reads_as(kind: type[Any], known: type[Any]) -> bool:
    """Whether a class of transformers computes as ``known`` does: their code is copied from model to model."""
    if not kind.__module__.startswith("transformers.models."):
        return False
    return _source(kind.forward) == _source(known.forward)


@cache  # it is read slowly, and layers repeat
def _source(function: Callable[..., Any]) -> str:
    return inspect.getsource(function)


class _Norm(Function):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last axis of fp32 ``x``, in ``dtype``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return torch.mul(x, scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        x, scale, weight = ctx.saved_tensors
        weighted = gradient * weight
        along = (weighted * x).sum(-1, keepdim=True)
        of_x = weighted.mul_(scale).addcmul_(x, along.mul_(scale.pow(3)).div_(-x.shape[-1]))
        of_weight = (gradient * x).mul_(scale).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, None, None


class _Gated(Function):
    """``silu(gate) * up``, of which nothing else is held."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        gate, up = ctx.saved_tensors
        of_up = functional.silu(gate).mul_(gradient)
        return torch.ops.aten.silu_backward(gradient * up, gate), of_up


class _LowRank(Function):
    """``x Wᵀ + bias + scaling · x Aᵀ Bᵀ`` of a frozen ``W``; the sum is part of the last product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float) -> Tensor:
        rows = x.flatten(0, -2)
        said = rows @ w.t() if bias is None else torch.addmm(bias, rows, w.t())
        narrow = rows @ a.t()
        said.addmm_(narrow, b.t(), alpha=scaling)
        ctx.save_for_backward(rows, w, a, b, narrow)
        ctx.shape, ctx.scaling = x.shape, scaling
        return said.view(*x.shape[:-1], len(w))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0].flatten(0, -2)
        rows, w, a, b, narrow = ctx.saved_tensors
        of_narrow = (gradient @ b).mul_(ctx.scaling)
        of_b = (gradient.t() @ narrow).mul_(ctx.scaling)
        of_a = of_narrow.t() @ rows
        of_x = (gradient @ w).addmm_(of_narrow, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return of_x, None, None, of_a, of_b, None


class _FusedNorm(LlamaRMSNorm):
    rounds = False  # to the type of autocast, as the linear layers behind it would, each for itself

    def forward(self, hidden_states: Tensor) -> Tensor:
        if hidden_states.dtype != torch.float32:
            return super().forward(hidden_states)
        dtype = (autocast_dtype(hidden_states.device) if self.rounds else None) or torch.float32
        normed: Tensor = _Norm.apply(hidden_states, self.weight, self.variance_epsilon, dtype)
        return normed


class _FusedFeedForward(LlamaMLP):
    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        silu = isinstance(self.act_fn, nn.SiLU | SiLUActivation) and gate.dtype == up.dtype
        between = _Gated.apply(gate, up) if silu else self.act_fn(gate) * up
        said: Tensor = self.down_proj(between)
        return said


class _FusedRotary(LlamaRotaryEmbedding):
    rounds = False  # to the type of autocast, which queries and keys have, as in a model that is all in that type

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = super().forward(x, position_ids)
        dtype = (autocast_dtype(x.device) if self.rounds else None) or cos.dtype
        return cos.to(dtype), sin.to(dtype)


class _FusedLora(lora.Linear):
    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self._plain(*args, **kwargs):
            said: Tensor = super().forward(x, *args, **kwargs)
            return said
        (name,) = self.active_adapters
        dtype = autocast_dtype(x.device) or x.dtype
        bias = self.base_layer.bias
        found: Tensor = _LowRank.apply(
            x.to(dtype),
            self.base_layer.weight.to(dtype),
            None if bias is None else bias.to(dtype),
            self.lora_A[name].weight.to(dtype),
            self.lora_B[name].weight.to(dtype),
            self.scaling[name],
        )
        return found

    def _plain(self, *args: Any, **kwargs: Any) -> bool:
        """Whether it is one LoRA beside a frozen linear layer and nothing more."""
        names, base = self.active_adapters, self.base_layer
        return (
            not (args or kwargs or self.merged or self.disable_adapters or self.lora_variant or self.fan_in_fan_out)
            and len(names) == 1
            and isinstance(self.lora_dropout[names[0]], nn.Identity)
            and not self.lora_bias[names[0]]
            and type(base) in (nn.Linear, HalfLinear)
            and not any(parameter.requires_grad for parameter in base.parameters())
        )


_FUSED: dict[type[Any], type[Any]] = {
    LlamaRMSNorm: _FusedNorm,
    LlamaMLP: _FusedFeedForward,
    LlamaRotaryEmbedding: _FusedRotary,
    lora.Linear: _FusedLora,
}
