"""Activation checkpointing: recompute activations in the backward pass instead of holding them."""

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
    """Hold only the input of each layer of ``model`` in training; evaluation mode does not change.

    ``model`` has its trained parts already; any of its weights may be frozen.

    Args:
        where: file and key of the parameter, for the error.

    Raises:
        TunesmithError: the architecture does not support it.
    """
    base = unwrapped(model)
    try:
        base.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise TunesmithError(
            f"{where}: the model must support activation checkpointing; {type(base).__name__} does not ({error}); set "
            "it to false"
        ) from None
    # Only reentrant checkpoints need a gradient of the input; below the lowest trained layer it is waste.
    base.disable_input_require_grads()
    layers: list[Any] = [module for module in base.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer._gradient_checkpointing_func = _recomputed
        layer._can_checkpoint_with_cache = True
    # The layers recompute. Other modules would drop the prefix (GPT-2), or ask for gradients that nothing needs (T5's
    # attention).
    others = {module for module in base.modules() if hasattr(module, "gradient_checkpointing")} - set(layers)
    for module in others if layers else ():
        module.gradient_checkpointing = False


def _recomputed(function: Callable[..., Any], *args: Any) -> Any:
    """Give both passes through a layer the same cache.

    A layer appends to its cache, which holds the prefix of ``prefix_tuning``; ``transformers`` would drop the cache.
    """
    keywords = function.keywords if isinstance(function, partial) else {}

    def with_own_cache(*args: Any) -> Any:
        return function(*map(_copied, args), **{name: _copied(value) for name, value in keywords.items()})

    return checkpoint(with_own_cache, *args, use_reentrant=False)


def _copied(value: Any) -> Any:
    """Copy a cache, so that appending leaves ``value`` as it is; return anything else unchanged."""
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
