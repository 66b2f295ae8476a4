"""Fused parts of a model: fewer passes over memory, and less held for the backward pass.

Where matrix products are fast, the operations between them decide the speed: they read and write the same activations
again and again. A part is fused only if the ``forward`` of its class equals, word for word, the one that is rewritten
here. Other architectures keep their own code. The numbers are the same up to rounding.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
from tasks.tuning import causal_attention


def fuse(model: Any) -> None:
    """Fuse the RMS norms, gated MLPs, rotary embeddings and LoRA layers of ``model`` in place.

    ``model`` has its trained parts already. Its weights and their names stay as they are.
    """
    for module in model.modules():
        for part in _PARTS:
            if type(module) is part.plain or _same_forward(type(module), part.plain):
                module.__class__ = part.fused
                break
    layers = [module for module in model.modules() if _same_forward(type(module), LlamaDecoderLayer)]
    for layer in layers:
        # Only linear layers read these two norms. Experts behind a norm may sum its output in their own dtype.
        if type(layer.mlp) is FusedMLP:
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.casts_output = isinstance(norm, FusedRMSNorm)
    # Another attention may norm queries and keys in fp32 before it rotates them.
    casts_output = bool(layers) and all(_same_forward(type(layer.self_attn), LlamaAttention) for layer in layers)
    for module in model.modules():
        if isinstance(module, FusedRotaryEmbedding):
            module.casts_output = casts_output


def summary(model: Any) -> str:
    """Name the fused parts of ``model``, and the parts of the same role that keep the code of their library."""
    fused: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for module in model.modules():
        kind = type(module).__name__
        part = next((p for p in _PARTS if isinstance(module, p.role) or kind.endswith(p.suffix)), None)
        if part is None:
            continue
        is_fused = isinstance(module, part.fused) and not (part.fused is FusedLoraLinear and not module.is_plain())
        (fused if is_fused else kept)[part.name if isinstance(module, part.fused) else kind] += 1
    attention = unwrapped(model).config._attn_implementation
    if attention == causal_attention.NAME:
        fused["attention"] += 1
    else:
        kept[f"attention ({attention})"] += 1
    return f"fused: {_counted(fused)}; not fused: {_counted(kept)}"


def _counted(parts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in parts.items()) or "nothing"


def cast_frozen_to_bf16(model: Any) -> None:
    """Cast the frozen matrices of linear layers to bf16 once, since autocast would do so in every step.

    Embeddings stay in fp32, and so do the layers that the architecture keeps in fp32.
    """
    base = unwrapped(model)
    embedding, kept = base.get_input_embeddings().weight, set(base._keep_in_fp32_modules or ())
    for path, module in model.named_modules():
        frozen = type(module) is nn.Linear and not module.weight.requires_grad and module.weight is not embedding
        if frozen and kept.isdisjoint(path.split(".")):
            module.weight.data = module.weight.data.bfloat16()
            module.__class__ = BF16Linear


class BF16Linear(nn.Linear):
    """A frozen linear layer with its matrix in bf16; outside autocast it computes in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = autocast_dtype(x.device) or x.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        return functional.linear(x.to(dtype), self.weight.to(dtype), bias)


def _same_forward(cls: type[Any], reference: type[Any]) -> bool:
    """Whether a class of ``transformers`` has the ``forward`` of ``reference``: models copy code from each other."""
    if not cls.__module__.startswith("transformers.models."):
        return False
    return _source(cls.forward) == _source(reference.forward)


@cache  # inspect.getsource is slow, and layers repeat
def _source(function: Callable[..., Any]) -> str:
    return inspect.getsource(function)


class _RMSNorm(Function):
    """``y = x · rstd · weight`` with ``rstd = 1 / sqrt(mean(x²) + eps)`` (Zhang and Sennrich 2019).

    x (..., H) in fp32, weight (H,); y (..., H) in ``dtype``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        rstd = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()  # (..., 1)
        ctx.save_for_backward(x, rstd, weight)
        return torch.mul(x, rstd).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_y,) = grad_outputs
        x, rstd, weight = ctx.saved_tensors
        grad_normed = grad_y * weight
        dot = (grad_normed * x).sum(-1, keepdim=True)
        grad_x = grad_normed.mul_(rstd).addcmul_(x, dot.mul_(rstd.pow(3)).div_(-x.shape[-1]))
        grad_weight = (grad_y * x).mul_(rstd).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, None, None


class _SwiGLU(Function):
    """``silu(gate) · up`` (Shazeer 2020), which holds its two inputs and nothing else."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_output,) = grad_outputs
        gate, up = ctx.saved_tensors
        grad_up = functional.silu(gate).mul_(grad_output)
        grad_gate = torch.ops.aten.silu_backward(grad_output * up, gate)
        return grad_gate, grad_up


class _LoraLinear(Function):
    """``y = x Wᵀ + bias + scaling · x Aᵀ Bᵀ`` (Hu et al. 2021) with frozen ``W``; the sum is part of the last product.

    x (..., I), weight (O, I), bias (O,), lora_a (R, I), lora_b (O, R); y (..., O). N: all tokens of the batch.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, lora_a: Tensor, lora_b: Tensor, scaling: float
    ) -> Tensor:
        x_NI = x.flatten(0, -2)
        y_NO = x_NI @ weight.t() if bias is None else torch.addmm(bias, x_NI, weight.t())
        xa_NR = x_NI @ lora_a.t()
        y_NO.addmm_(xa_NR, lora_b.t(), alpha=scaling)
        ctx.save_for_backward(x_NI, weight, lora_a, lora_b, xa_NR)
        ctx.shape, ctx.scaling = x.shape, scaling
        return y_NO.view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        grad_NO = grad_outputs[0].flatten(0, -2)
        x_NI, weight, lora_a, lora_b, xa_NR = ctx.saved_tensors
        grad_xa_NR = (grad_NO @ lora_b).mul_(ctx.scaling)
        grad_b = (grad_NO.t() @ xa_NR).mul_(ctx.scaling)
        grad_a = grad_xa_NR.t() @ x_NI
        grad_x = (grad_NO @ weight).addmm_(grad_xa_NR, lora_a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, None, None, grad_a, grad_b, None


class FusedRMSNorm(LlamaRMSNorm):
    """A norm that computes in fp32.

    Attributes:
        casts_output: cast once to the dtype of autocast, so that the linear layers behind need not.
    """

    casts_output = False

    def forward(self, hidden_states: Tensor) -> Tensor:
        if hidden_states.dtype != torch.float32:
            return super().forward(hidden_states)
        dtype = (autocast_dtype(hidden_states.device) if self.casts_output else None) or torch.float32
        normed: Tensor = _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon, dtype)
        return normed


class FusedMLP(LlamaMLP):
    """A gated MLP; an activation other than SiLU is computed as before."""

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        silu = isinstance(self.act_fn, nn.SiLU | SiLUActivation) and gate.dtype == up.dtype
        gated = _SwiGLU.apply(gate, up) if silu else self.act_fn(gate) * up
        output: Tensor = self.down_proj(gated)
        return output


class FusedRotaryEmbedding(LlamaRotaryEmbedding):
    """Cosines and sines of the positions.

    Attributes:
        casts_output: cast to the dtype of autocast, which queries and keys have.
    """

    casts_output = False

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = super().forward(x, position_ids)
        dtype = (autocast_dtype(x.device) if self.casts_output else None) or cos.dtype
        return cos.to(dtype), sin.to(dtype)


class FusedLoraLinear(lora.Linear):
    """A LoRA layer. Peft's code computes those that are more than a plain adapter of a frozen linear layer."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not self.is_plain():
            output: Tensor = super().forward(x, *args, **kwargs)
            return output
        (name,) = self.active_adapters
        dtype = autocast_dtype(x.device) or x.dtype
        bias = self.base_layer.bias
        fused: Tensor = _LoraLinear.apply(
            x.to(dtype),
            self.base_layer.weight.to(dtype),
            None if bias is None else bias.to(dtype),
            self.lora_A[name].weight.to(dtype),
            self.lora_B[name].weight.to(dtype),
            self.scaling[name],
        )
        return fused

    def is_plain(self) -> bool:
        """Whether this is one adapter of a frozen linear layer, without dropout, bias or variant."""
        names, base = self.active_adapters, self.base_layer
        return (
            not (self.merged or self.disable_adapters or self.lora_variant or self.fan_in_fan_out)
            and len(names) == 1
            and isinstance(self.lora_dropout[names[0]], nn.Identity)
            and not self.lora_bias[names[0]]
            and type(base) in (nn.Linear, BF16Linear)
            and not any(parameter.requires_grad for parameter in base.parameters())
        )


@dataclass(frozen=True)
class _Part:
    """A part that can be fused.

    Attributes:
        name: plural, for the log.
        plain: class that is replaced.
        fused: class that replaces it.
        role: class from which all classes with this role derive, as far as there is one.
        suffix: ending of the names of classes with the same role in other architectures.
    """

    name: str
    plain: type[Any]
    fused: type[Any]
    role: type[Any]
    suffix: str


_PARTS = (
    _Part("norms", LlamaRMSNorm, FusedRMSNorm, LlamaRMSNorm, "Norm"),
    _Part("MLPs", LlamaMLP, FusedMLP, LlamaMLP, "MLP"),
    _Part("rotary embeddings", LlamaRotaryEmbedding, FusedRotaryEmbedding, LlamaRotaryEmbedding, "RotaryEmbedding"),
    _Part("LoRA layers", lora.Linear, FusedLoraLinear, lora.LoraLayer, "LoraLinear"),
)
