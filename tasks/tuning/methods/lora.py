"""``lora``: train two factors of low rank beside weight matrices (Hu et al. 2021)."""

from __future__ import annotations

from typing import Any

from tasks.model.base_models import BaseModel
from tasks.tuning.lora import add_lora
from tasks.tuning.method import Method
from tasks.tuning.method_params import LoraParams
from tasks.tuning.params import TrainedParams


class LoraTraining(TrainedParams):
    """Parameters of an experiment with ``lora``."""

    lora: LoraParams


def make_trainable(model: Any, base: BaseModel, params: LoraTraining, steps: int) -> Any:
    """Add LoRA to ``model``."""
    return add_lora(model, base, params.lora)


METHOD = Method(
    params=LoraTraining,
    make_trainable=make_trainable,
    needs_exact_base=lambda params: params.lora.dora,  # the length of each column of the weights is computed
    shardable=True,
)
