"""LoRA as ``lora`` and ``qlora`` add it."""

from __future__ import annotations

from typing import Any

from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters
from tasks.tuning.method_params import LoraParams


def add_lora(model: Any, base: BaseModel, params: LoraParams) -> Any:
    """Add the factors that ``params`` describes to ``model``.

    Raises:
        TunesmithError: the model has no such targets.
    """
    from peft import LoraConfig

    targets = peft_adapters.target_modules(model, params.targets, "lora.targets")
    config = LoraConfig(
        task_type=peft_adapters.task_type(base),
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        target_modules=targets,
        use_rslora=params.rslora,
        use_dora=params.dora,
    )
    return peft_adapters.add_adapter(model, config, base, "lora.targets", targets)
