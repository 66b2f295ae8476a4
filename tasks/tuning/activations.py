"""Activations that are computed again in the backward pass instead of being held."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from tasks.core.errors import TunesmithError
from tasks.model.unwrap import unwrapped


def recompute(model: Any, where: str) -> None:
    """Hold of each layer of ``model`` its input alone while training; in evaluation mode nothing changes.

    For a model with what is trained already around it, whatever is frozen.

    Raises:
        TunesmithError: the architecture cannot; ``where`` is the file and key that it names.
    """
    base = unwrapped(model)
    try:
        base.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise TunesmithError(
            f"{where}: {type(base).__name__} must be able to compute activations again; {error}; set it to false"
        ) from None
    # A gradient of the input is needed by reentrant checkpoints alone; below the lowest trained layer it is waste.
    base.disable_input_require_grads()
    layers: list[Any] = [module for module in base.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer._gradient_checkpointing_func = _recomputed
        layer._can_checkpoint_with_cache = True
    # It is the layers that compute again. Other modules would take the prefix away (GPT-2), or ask for gradients that
    # nothing needs (T5's attention).
    others = {module for module in base.modules() if hasattr(module, "gradient_checkpointing")} - set(layers)
    for module in others if layers else ():
        module.gradient_checkpointing = False


def _recomputed(function: Callable[..., Any], *args: Any) -> Any:
    """Both passes through a layer get a cache as it was: a layer appends to what it gets, which is the prefix of
    ``prefix_tuning``; transformers would take it away."""
    keywords = function.keywords if isinstance(function, partial) else {}

    def once(*args: Any) -> Any:
        return function(*map(_copied, args), **{name: _copied(value) for name, value in keywords.items()})

    return checkpoint(once, *args, use_reentrant=False)


def _copied(value: Any) -> Any:
    """A cache that can be appended to beside ``value``; anything else as it is."""
    if not isinstance(value, Cache):
        return value
    own = copy.copy(value)
    for name, held in vars(value).items():
        if isinstance(held, Cache):
            setattr(own, name, _copied(held))
        elif isinstance(held, list):
            setattr(own, name, [copy.copy(layer) for layer in held])
        elif isinstance(held, dict):
            setattr(own, name, dict(held))
    return own
