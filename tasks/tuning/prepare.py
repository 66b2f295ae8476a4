"""Prepare a base model for training: the weights that its method trains require gradients, and it computes fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tasks.core import device
from tasks.model.base_models import BaseModel
from tasks.tuning import causal_attention, fused, methods
from tasks.tuning.activations import recompute
from tasks.tuning.method_params import EXPERIMENTS
from tasks.tuning.params import TrainedParams

Loader = Callable[[BaseModel, torch.dtype], Any]


def prepare(base: BaseModel, params: TrainedParams, steps: int, load: Loader | None = None) -> Any:
    """Return the model of ``trainable`` with its faster parts; frozen matrices may be in bf16.

    Raises:
        TunesmithError: as ``trainable``, or the model cannot compute activations again.
    """
    model = trainable(base, params, steps, load)
    fused.fuse(model)
    if base.kind == "causal":
        causal_attention.use(model)
    bf16 = device.use_bf16(params.training.precision)
    if bf16 and not params.sharded and not methods.named(params.method).needs_exact_base(params):
        fused.cast_frozen_to_bf16(model)
    if params.training.activation_checkpointing:
        recompute(model, f"{EXPERIMENTS}: training.activation_checkpointing")
    return model


def trainable(base: BaseModel, params: TrainedParams, steps: int, load: Loader | None = None) -> Any:
    """Return the model as transformers and peft make it, with the weights that the method trains in fp32.

    Args:
        base: the base model.
        params: parameters of the experiment.
        steps: optimizer steps of the whole training, which AdaLoRA divides into phases.
        load: loads the base model, by default as the method needs it.

    Raises:
        TunesmithError: the parameters name layers or weights that this model does not have.
    """
    method = methods.named(params.method)
    assert method.make_trainable is not None
    model = load(base, torch.float32) if load else method.load_base(base, params)
    return method.make_trainable(model, base, params, steps)


def count_parameters(model: Any) -> tuple[int, int]:
    """Return the numbers of trainable and of all parameters; a quantised weight counts as its original weights."""
    sizes = [(_count(p), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trainable in sizes if trainable), sum(n for n, _ in sizes)


def _count(parameter: Any) -> int:
    state = getattr(parameter, "quant_state", None)  # two 4-bit numbers in a byte
    return int(parameter.numel()) if state is None else int(torch.Size(state.shape).numel())
